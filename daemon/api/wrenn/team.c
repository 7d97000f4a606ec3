/* Teams, who belongs to them, and finding people. */
#include "daemon/api/wrenn/wrenn.h"

#include "shared/base/mem.h"

static void write_team_members(struct jw *w, const char *uid, const char *name, const char *slug, bool byoc, int64_t created_ms)
{
	wrenn_kid(w, "id", UID_TEAM, uid);
	jw_kstr(w, "name", name);
	jw_kstr(w, "slug", slug);
	jw_kbool(w, "is_byoc", byoc);
	wrenn_ktime(w, "created_at", created_ms ? created_ms : 1000);
}

static void write_team(struct jw *w, const struct db_team *team, const char *role)
{
	jw_obj(w);
	write_team_members(w, team->uid, team->name, team->slug, team->byoc != 0, team->created_ms);
	wrenn_kopt(w, "role", role);
	jw_obj_end(w);
}

static void write_member(struct jw *w, struct core *core, const void *row)
{
	const struct db_member *m = row;
	(void)core;
	jw_obj(w);
	wrenn_kid(w, "user_id", UID_USER, m->user_uid);
	jw_kstr(w, "name", m->user_name);
	jw_kstr(w, "email", m->user_email);
	jw_kstr(w, "role", m->role);
	wrenn_ktime(w, "joined_at", m->joined_ms ? m->joined_ms : 1000);
	jw_obj_end(w);
}

/* A team, with what the member is in it. */
static void write_own(struct jw *w, struct core *core, const void *row)
{
	const struct db_member *m = row;
	(void)core;
	jw_obj(w);
	write_team_members(w, m->team_uid, m->team_name, m->team_slug, m->team_byoc != 0, m->team_created_ms);
	jw_kstr(w, "role", m->role);
	jw_obj_end(w);
}

static void write_found(struct jw *w, struct core *core, const void *row)
{
	const struct db_user *user = row;
	(void)core;
	jw_obj(w);
	wrenn_kid(w, "user_id", UID_USER, user->uid);
	jw_kstr(w, "email", user->email);
	jw_obj_end(w);
}

void wrenn_searchUsers(struct http_req *r)
{
	struct db_user *found;
	size_t n;
	struct err err = ERR_INIT;
	const char *email = http_query(r, "email");
	if (account_search(wrenn_core(r), email ? email : "", &found, &n, &err)) {
		http_reply_err(r, &err);
		return;
	}
	wrenn_reply_list(r, write_found, found, n, sizeof(*found));
	db_users_release(found, n);
}

void wrenn_listTeams(struct http_req *r)
{
	struct db_member *all;
	size_t n;
	struct err err = ERR_INIT;
	if (team_of_user(wrenn_core(r), http_identity(r)->user, &all, &n, &err)) {
		http_reply_err(r, &err);
		return;
	}
	wrenn_reply_list(r, write_own, all, n, sizeof(*all));
	db_members_release(all, n);
}

void wrenn_createTeam(struct http_req *r)
{
	struct db_team team;
	struct err err = ERR_INIT;
	if (team_create(wrenn_core(r), js_str(js_get(http_body(r), "name"), ""), http_identity(r)->user, &team, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	write_team(&w, &team, role_name(ROLE_OWNER));
	db_team_release(&team);
	http_reply_json(r, 201, &out);
}

void wrenn_getTeam(struct http_req *r)
{
	struct db_team team;
	struct db_member *all;
	size_t n;
	struct err err = ERR_INIT;
	if (team_get(wrenn_core(r), http_team(r), &team, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "team");
	write_team(&w, &team, NULL);
	db_team_release(&team);
	if (team_members(wrenn_core(r), http_team(r), &all, &n, &err)) {
		http_reply_err(r, &err);
		return;
	}
	jw_key(&w, "members");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_member(&w, wrenn_core(r), &all[i]);
	jw_arr_end(&w);
	jw_obj_end(&w);
	db_members_release(all, n);
	http_reply_json(r, 200, &out);
}

void wrenn_renameTeam(struct http_req *r)
{
	const struct identity *who = http_identity(r);
	const char *name = js_str(js_get(http_body(r), "name"), "");
	struct err err = ERR_INIT;
	auto_free char *old = NULL, *now = NULL;
	int rc = team_rename(wrenn_core(r), who, name, &old, &now, &err);
	if (rc == 0) {
		auto_free char *from = mem_printf("old_name=%s", old), *to = mem_printf("new_name=%s", now);
		char *const metadata[] = { from, to, NULL };
		audit_note(wrenn_core(r), AUDIT_TEAM_RENAME, who, who->team, wrenn_uid(r, UID_TEAM, "id"), metadata);
	}
	wrenn_reply_done(r, rc, &err);
}

void wrenn_deleteTeam(struct http_req *r)
{
	struct err err = ERR_INIT;
	wrenn_reply_done(r, team_delete(wrenn_core(r), http_identity(r), &err), &err);
}

void wrenn_listTeamMembers(struct http_req *r)
{
	struct db_member *all;
	size_t n;
	struct err err = ERR_INIT;
	if (team_members(wrenn_core(r), http_team(r), &all, &n, &err)) {
		http_reply_err(r, &err);
		return;
	}
	wrenn_reply_list(r, write_member, all, n, sizeof(*all));
	db_members_release(all, n);
}

void wrenn_addTeamMember(struct http_req *r)
{
	const struct identity *who = http_identity(r);
	struct db_member added;
	struct err err = ERR_INIT;
	if (team_add_member(wrenn_core(r), who, js_str(js_get(http_body(r), "email"), ""), &added, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_free char *email = mem_printf("email=%s", added.user_email), *role = mem_printf("role=%s", added.role);
	char *const metadata[] = { email, role, NULL };
	audit_note(wrenn_core(r), AUDIT_MEMBER_ADD, who, who->team, added.user_uid, metadata);
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	write_member(&w, wrenn_core(r), &added);
	db_member_release(&added);
	http_reply_json(r, 201, &out);
}

void wrenn_updateMemberRole(struct http_req *r)
{
	const struct identity *who = http_identity(r);
	const char *uid = wrenn_uid(r, UID_USER, "uid"), *role = js_str(js_get(http_body(r), "role"), "");
	struct err err = ERR_INIT;
	int rc = team_set_role(wrenn_core(r), who, uid, role, &err);
	if (rc == 0) {
		auto_free char *to = mem_printf("new_role=%s", role);
		char *const metadata[] = { to, NULL };
		audit_note(wrenn_core(r), AUDIT_MEMBER_ROLE, who, who->team, uid, metadata);
	}
	wrenn_reply_done(r, rc, &err);
}

void wrenn_removeTeamMember(struct http_req *r)
{
	const struct identity *who = http_identity(r);
	const char *uid = wrenn_uid(r, UID_USER, "uid");
	struct err err = ERR_INIT;
	int rc = team_remove_member(wrenn_core(r), who, uid, &err);
	if (rc == 0)
		audit_note(wrenn_core(r), AUDIT_MEMBER_REMOVE, who, who->team, uid, NULL);
	wrenn_reply_done(r, rc, &err);
}

void wrenn_leaveTeam(struct http_req *r)
{
	const struct identity *who = http_identity(r);
	struct err err = ERR_INIT;
	int rc = team_leave(wrenn_core(r), who, &err);
	if (rc == 0)
		audit_note(wrenn_core(r), AUDIT_MEMBER_LEAVE, who, who->team, who->id, NULL);
	wrenn_reply_done(r, rc, &err);
}
