/* Accounts and logins: who somebody is, and the tokens that say so. */
#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/people.h"
#include "daemon/api/sbx/sbx.h"

#include <stdlib.h>

#include "daemon/api/auth.h"
#include "daemon/api/call.h"
#include "shared/base/mem.h"

static void write_user(struct jw *w, const struct db_member *who)
{
	jw_obj(w);
	jw_kstr(w, "id", who->user_uid);
	jw_kstr(w, "name", who->user_name);
	people_write_email(w, who->user_email);
	jw_obj_end(w);
}

static void reply_login(struct http_req *r, int status, const struct db_member *who)
{
	auto_buf out = BUF_INIT, token = BUF_INIT;
	struct jw w;
	int64_t until = auth_issue(people_core(r), who, &token);
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "token", token.p);
	api_write_time(&w, "expiresAt", until);
	jw_key(&w, "user");
	write_user(&w, who);
	jw_key(&w, "team");
	people_write_team(&w, who);
	jw_obj_end(&w);
	http_add_header(r, "Cache-Control", "no-store");
	http_reply_json(r, status, &out);
}

/* ---- coming in ---- */

static void on_entered(void *arg, const struct db_member *who, const struct err *err)
{
	struct entry_call *c = arg;
	struct http_req *r = call_end(&c->call);
	const char *team = r ? js_str(js_get(http_body(r), "team"), NULL) : NULL;
	struct db_member chosen = { 0 };
	struct err failure = ERR_INIT;
	if (r && err)
		http_reply_err(r, err);
	else if (r && team && people_team(people_core(r), who->user, team, &chosen, &failure))
		http_reply_err(r, &failure);
	else if (r)
		reply_login(r, c->status, team ? &chosen : who);
	db_member_release(&chosen);
	free(c);
}

void sbx_signup(struct http_req *r)
{
	const js *body = http_body(r);
	const char *email = js_str(js_get(body, "email"), ""), *password = js_str(js_get(body, "password"), "");
	account_signup(people_core(r), email, password, js_str(js_get(body, "name"), ""), on_entered, entry_call_new(r, 201));
}

void sbx_login(struct http_req *r)
{
	const js *body = http_body(r);
	const char *email = js_str(js_get(body, "email"), ""), *password = js_str(js_get(body, "password"), "");
	account_login(people_core(r), email, password, on_entered, entry_call_new(r, 200));
}

/* Who can reach the socket is the operator: no more is asked of him. */
void sbx_issueLocalToken(struct http_req *r)
{
	struct db_member who;
	struct err err = ERR_INIT;
	if (team_member(people_core(r), TEAM_LOCAL, USER_LOCAL, &who, &err)) {
		http_reply_err(r, &err);
		return;
	}
	reply_login(r, 200, &who);
	db_member_release(&who);
}

void sbx_switchTeam(struct http_req *r)
{
	struct db_member who;
	struct err err = ERR_INIT;
	if (!people_only(r))
		return;
	if (people_team(people_core(r), http_identity(r)->user, js_str(js_get(http_body(r), "team"), ""), &who, &err)) {
		http_reply_err(r, &err);
		return;
	}
	reply_login(r, 200, &who);
	db_member_release(&who);
}

/* ---- who is it ---- */

/* Of a key: a team is all that it has. */
static int find_team(struct core *core, const struct identity *who, struct db_member *out, struct err *err)
{
	struct db_team team;
	if (who->kind != IDENTITY_KEY)
		return team_member(core, who->team, who->user, out, err);
	if (team_get(core, who->team, &team, err))
		return -1;
	*out = (struct db_member){ .team = team.id, .team_byoc = team.byoc, .team_created_ms = team.created_ms };
	out->team_uid = mem_steal(&team.uid);
	out->team_name = mem_steal(&team.name);
	out->team_slug = mem_steal(&team.slug);
	db_team_release(&team);
	return 0;
}

void sbx_getAccount(struct http_req *r)
{
	static const char *const kinds[] = { [IDENTITY_LOCAL] = "local",
		[IDENTITY_KEY] = "key",
		[IDENTITY_USER] = "user",
		[IDENTITY_CONTROL] = "local" };
	const struct identity *who = http_identity(r);
	struct db_member in;
	struct err err = ERR_INIT;
	if (find_team(people_core(r), who, &in, &err)) {
		http_reply_err(r, &err);
		return;
	}
	bool key = who->kind == IDENTITY_KEY;
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "kind", kinds[who->kind]);
	jw_key(&w, "user");
	if (key)
		jw_null(&w);
	else
		write_user(&w, &in);
	jw_key(&w, "key");
	if (key) {
		jw_obj(&w);
		jw_kstr(&w, "id", who->id);
		jw_kstr(&w, "name", who->name);
		jw_obj_end(&w);
	} else {
		jw_null(&w);
	}
	jw_key(&w, "team");
	people_write_team(&w, &in);
	jw_kstr(&w, "role", in.role);
	jw_kbool(&w, "operator", identity_is_operator(who));
	jw_obj_end(&w);
	db_member_release(&in);
	http_reply_json(r, 200, &out);
}
