/* Teams and who is in them. */
#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/people.h"
#include "daemon/api/sbx/sbx.h"

#include <string.h>

#include "shared/base/mem.h"

static void write_member(struct jw *w, const struct db_member *m)
{
	jw_obj(w);
	jw_kstr(w, "id", m->user_uid);
	jw_kstr(w, "name", m->user_name);
	people_write_email(w, m->user_email);
	jw_kstr(w, "role", m->role);
	api_write_time(w, "joinedAt", m->joined_ms);
	jw_obj_end(w);
}

/* "members": those of the team. -1 when they cannot be had. */
static int write_members(struct http_req *r, struct jw *w, int64_t team, struct err *err)
{
	struct db_member *all;
	size_t n;
	if (team_members(people_core(r), team, &all, &n, err))
		return -1;
	jw_key(w, "members");
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		write_member(w, &all[i]);
	jw_arr_end(w);
	db_members_release(all, n);
	return 0;
}

static void reply_team(struct http_req *r, int status, const struct db_member *team)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	people_write_team(&w, team);
	http_reply_json(r, status, &out);
}

static void reply_member(struct http_req *r, int status, const struct db_member *m)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	write_member(&w, m);
	http_reply_json(r, status, &out);
}

/* ---- teams ---- */

void sbx_listTeams(struct http_req *r)
{
	struct db_member *all;
	size_t n;
	struct err err = ERR_INIT;
	if (!people_only(r))
		return;
	if (team_of_user(people_core(r), http_identity(r)->user, &all, &n, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "teams");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		people_write_team(&w, &all[i]);
	jw_arr_end(&w);
	jw_obj_end(&w);
	db_members_release(all, n);
	http_reply_json(r, 200, &out);
}

void sbx_createTeam(struct http_req *r)
{
	struct db_team team;
	struct db_member mine;
	struct err err = ERR_INIT;
	int64_t user = http_identity(r)->user;
	if (!people_only(r))
		return;
	if (team_create(people_core(r), js_str(js_get(http_body(r), "name"), ""), user, &team, &err)) {
		http_reply_err(r, &err);
		return;
	}
	int64_t id = team.id;
	db_team_release(&team);
	if (team_member(people_core(r), id, user, &mine, &err)) {
		http_reply_err(r, &err);
		return;
	}
	reply_team(r, 201, &mine);
	db_member_release(&mine);
}

void sbx_getTeam(struct http_req *r)
{
	struct db_member in;
	struct identity acting;
	auto_buf out = BUF_INIT;
	struct jw w;
	struct err err = ERR_INIT;
	if (!people_enter(r, &in, &acting))
		return;
	jw_init(&w, &out);
	jw_obj(&w);
	people_write_team_members(&w, &in);
	int rc = write_members(r, &w, in.team, &err);
	jw_obj_end(&w);
	db_member_release(&in);
	people_reply(r, rc, 200, &out, &err);
}

static void note_rename(struct core *core, const struct identity *who, const struct db_member *before, const struct db_member *now)
{
	auto_free char *from = mem_printf("old_name=%s", before->team_name), *to = mem_printf("new_name=%s", now->team_name);
	char *const metadata[] = { from, to, NULL };
	audit_note(core, AUDIT_TEAM_RENAME, who, who->team, now->team_uid, metadata);
}

void sbx_updateTeam(struct http_req *r)
{
	struct db_member before, now;
	struct identity acting;
	struct err err = ERR_INIT;
	struct core *core = people_core(r);
	if (!people_enter(r, &before, &acting))
		return;
	if (team_rename(core, &acting, js_str(js_get(http_body(r), "name"), ""), NULL, NULL, &err) ||
		team_member(core, acting.team, acting.user, &now, &err)) {
		http_reply_err(r, &err);
	} else {
		note_rename(core, &acting, &before, &now);
		reply_team(r, 200, &now);
		db_member_release(&now);
	}
	db_member_release(&before);
}

void sbx_deleteTeam(struct http_req *r)
{
	struct identity acting;
	struct err err = ERR_INIT;
	if (!people_act(r, &acting))
		return;
	people_reply_done(r, team_delete(people_core(r), &acting, &err), &err);
}

void sbx_leaveTeam(struct http_req *r)
{
	struct identity acting;
	struct err err = ERR_INIT;
	if (!people_act(r, &acting))
		return;
	int rc = team_leave(people_core(r), &acting, &err);
	if (rc == 0)
		audit_note(people_core(r), AUDIT_MEMBER_LEAVE, &acting, acting.team, acting.id, NULL);
	else if (acting.role == ROLE_OWNER)
		err_hint(&err, "delete the team instead: sbx team rm");
	people_reply_done(r, rc, &err);
}

/* ---- members ---- */

void sbx_listMembers(struct http_req *r)
{
	struct identity acting;
	auto_buf out = BUF_INIT;
	struct jw w;
	struct err err = ERR_INIT;
	if (!people_act(r, &acting))
		return;
	jw_init(&w, &out);
	jw_obj(&w);
	int rc = write_members(r, &w, acting.team, &err);
	jw_obj_end(&w);
	people_reply(r, rc, 200, &out, &err);
}

/* Taken in, with this role. */
static int add(struct core *core, const struct identity *who, const js *body, struct db_member *out, struct err *err)
{
	const char *role = js_str(js_get(body, "role"), role_name(ROLE_MEMBER));
	if (who->team == TEAM_LOCAL) {
		err_set(err, ERR_FORBIDDEN, "the local team is the operator's alone");
		return err_hint(err, "make a team for others with: sbx team create NAME");
	}
	if (team_add_member(core, who, js_str(js_get(body, "email"), ""), out, err)) {
		if (err->code == ERR_NOT_FOUND)
			err_hint(err, "have him open an account first: sbx login --signup");
		return -1;
	}
	if (!strcmp(role, out->role))
		return 0;
	auto_free char *uid = mem_strdup(out->user_uid);
	db_member_release(out);
	return team_set_role(core, who, uid, role, err) ? -1 : team_member_by_uid(core, who->team, uid, out, err);
}

void sbx_addMember(struct http_req *r)
{
	struct db_member added = { 0 };
	struct identity acting;
	struct err err = ERR_INIT;
	if (!people_act(r, &acting))
		return;
	if (add(people_core(r), &acting, http_body(r), &added, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_free char *email = mem_printf("email=%s", added.user_email), *role = mem_printf("role=%s", added.role);
	char *const metadata[] = { email, role, NULL };
	audit_note(people_core(r), AUDIT_MEMBER_ADD, &acting, acting.team, added.user_uid, metadata);
	reply_member(r, 201, &added);
	db_member_release(&added);
}

/* Who is meant by an id or an address; as a copy, to be freed. */
static char *find_member(struct core *core, int64_t team, const char *word, struct err *err)
{
	struct db_member *all;
	size_t n;
	char *uid = NULL;
	auto_free char *email = account_clean_email(word);
	if (team_members(core, team, &all, &n, err))
		return NULL;
	for (size_t i = 0; i < n && !uid; i++)
		if (!strcmp(all[i].user_uid, word) || !strcmp(all[i].user_email, email))
			uid = mem_strdup(all[i].user_uid);
	db_members_release(all, n);
	if (uid)
		return uid;
	err_set(err, ERR_NOT_FOUND, "the team has no member '%s'", word);
	err_hint(err, "list them with: sbx team member ls");
	return NULL;
}

void sbx_updateMember(struct http_req *r)
{
	struct db_member now;
	struct identity acting;
	struct err err = ERR_INIT;
	struct core *core = people_core(r);
	const char *role = js_str(js_get(http_body(r), "role"), "");
	if (!people_act(r, &acting))
		return;
	auto_free char *uid = find_member(core, acting.team, http_param(r, "member"), &err);
	if (!uid || team_set_role(core, &acting, uid, role, &err) || team_member_by_uid(core, acting.team, uid, &now, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_free char *to = mem_printf("new_role=%s", role);
	char *const metadata[] = { to, NULL };
	audit_note(core, AUDIT_MEMBER_ROLE, &acting, acting.team, uid, metadata);
	reply_member(r, 200, &now);
	db_member_release(&now);
}

void sbx_removeMember(struct http_req *r)
{
	struct identity acting;
	struct err err = ERR_INIT;
	struct core *core = people_core(r);
	if (!people_act(r, &acting))
		return;
	auto_free char *uid = find_member(core, acting.team, http_param(r, "member"), &err);
	int rc = uid ? team_remove_member(core, &acting, uid, &err) : -1;
	if (rc == 0)
		audit_note(core, AUDIT_MEMBER_REMOVE, &acting, acting.team, uid, NULL);
	people_reply_done(r, rc, &err);
}
