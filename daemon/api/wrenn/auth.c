/* Accounts, logins, and the team one works in. */
#include "daemon/api/wrenn/wrenn.h"

#include <stdlib.h>

#include "daemon/api/auth.h"
#include "daemon/api/call.h"

void wrenn_reply_session(struct http_req *r, int status, const struct db_member *who)
{
	auto_buf out = BUF_INIT, token = BUF_INIT;
	struct jw w;
	auth_issue(wrenn_core(r), who, &token);
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "token", token.p);
	wrenn_kid(&w, "user_id", UID_USER, who->user_uid);
	wrenn_kid(&w, "team_id", UID_TEAM, who->team_uid);
	jw_kstr(&w, "email", who->user_email);
	jw_kstr(&w, "name", who->user_name);
	jw_obj_end(&w);
	http_reply_json(r, status, &out);
}

static void on_entered(void *arg, const struct db_member *who, const struct err *err)
{
	struct entry_call *c = arg;
	struct http_req *r = call_end(&c->call);
	if (r && err)
		http_reply_err(r, err);
	else if (r)
		wrenn_reply_session(r, c->status, who);
	free(c);
}

void wrenn_signup(struct http_req *r)
{
	const js *body = http_body(r);
	const char *email = js_str(js_get(body, "email"), ""), *password = js_str(js_get(body, "password"), "");
	account_signup(wrenn_core(r), email, password, js_str(js_get(body, "name"), ""), on_entered, entry_call_new(r, 201));
}

void wrenn_login(struct http_req *r)
{
	const js *body = http_body(r);
	const char *email = js_str(js_get(body, "email"), ""), *password = js_str(js_get(body, "password"), "");
	account_login(wrenn_core(r), email, password, on_entered, entry_call_new(r, 200));
}

void wrenn_switchTeam(struct http_req *r)
{
	struct err err = ERR_INIT;
	struct db_team team;
	struct db_member who;
	const char *uid = uid_parse(UID_TEAM, js_str(js_get(http_body(r), "team_id"), ""), &err);
	if (!uid || team_find(wrenn_core(r), uid, &team, &err)) {
		http_reply_err(r, &err);
		return;
	}
	int64_t id = team.id;
	db_team_release(&team);
	if (team_member(wrenn_core(r), id, http_identity(r)->user, &who, &err)) {
		err_set(&err, ERR_FORBIDDEN, "you are not in that team");
		http_reply_err(r, &err);
		return;
	}
	wrenn_reply_session(r, 200, &who);
	db_member_release(&who);
}
