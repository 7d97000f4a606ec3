#include "daemon/core/team.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/account.h"
#include "daemon/core/internal.h"
#include "daemon/core/snapshot.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

char *team_clean_name(const char *name, struct err *err)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _-@'";
	auto_free char *clean = str_trimmed(name);
	size_t n = strlen(clean);
	if (n >= 1 && n <= TEAM_NAME_MAX && strspn(clean, letters) == n)
		return mem_steal(&clean);
	err_set(err, ERR_INVALID, "'name' must be 1 to %d letters, digits, blanks and any of _ - @ and the apostrophe",
		TEAM_NAME_MAX);
	return NULL;
}

static int add_member(struct core *core, const struct db_member *who, enum role role, struct err *err)
{
	struct db_member row = *who;
	row.role = (char *)(uintptr_t)role_name(role);
	return db_member_insert(core->db, &row, err);
}

int team_insert(struct core *core, const char *name, int64_t owner, bool is_default, struct db_team *out, struct err *err)
{
	char uid[UID_LENGTH + 1], half[2][7];
	rand_id(uid, UID_LENGTH);
	rand_hex(half[0], 6);
	rand_hex(half[1], 6);
	*out = (struct db_team){ .uid = mem_strdup(uid),
		.name = mem_strndup(name, TEAM_NAME_MAX),
		.slug = mem_printf("%s-%s", half[0], half[1]),
		.created_ms = clock_wall_ms() };
	struct db_member first = { .user = owner, .is_default = is_default, .joined_ms = out->created_ms };
	int rc = db_team_insert(core->db, out, err);
	first.team = out->id;
	if (rc == 0)
		rc = add_member(core, &first, ROLE_OWNER, err);
	if (rc)
		db_team_release(out);
	return rc;
}

int team_create(struct core *core, const char *name, int64_t owner, struct db_team *out, struct err *err)
{
	auto_free char *clean = team_clean_name(name, err);
	if (!clean || db_begin(core->db, err))
		return -1;
	if (team_insert(core, clean, owner, false, out, err)) {
		db_rollback(core->db);
		return -1;
	}
	if (!db_commit(core->db, err))
		return 0;
	db_team_release(out);
	return -1;
}

static int only_live(int found, struct db_team *out, struct err *err)
{
	if (found == 1 && !out->deleted_ms)
		return 0;
	if (found == 1)
		db_team_release(out);
	return found < 0 ? -1 : err_set(err, ERR_NOT_FOUND, "there is no such team");
}

int team_get(struct core *core, int64_t team, struct db_team *out, struct err *err)
{
	return only_live(db_team_by_id(core->db, team, out, err), out, err);
}

int team_find(struct core *core, const char *uid, struct db_team *out, struct err *err)
{
	return only_live(db_team_by_uid(core->db, uid, out, err), out, err);
}

bool team_is_gone(struct core *core, int64_t team)
{
	struct db_team row;
	if (db_team_by_id(core->db, team, &row, NULL) != 1)
		return false;
	bool gone = row.deleted_ms != 0;
	db_team_release(&row);
	return gone;
}

int team_set_byoc(struct core *core, const char *uid, struct err *err)
{
	struct db_team team;
	if (team_find(core, uid, &team, err))
		return -1;
	int rc = db_team_set_byoc(core->db, team.id, err);
	db_team_release(&team);
	return rc;
}

int team_of_user(struct core *core, int64_t user, struct db_member **out, size_t *n, struct err *err)
{
	return db_member_of_user(core->db, user, out, n, err);
}

int team_members(struct core *core, int64_t team, struct db_member **out, size_t *n, struct err *err)
{
	return db_member_of_team(core->db, team, out, n, err);
}

int team_member(struct core *core, int64_t team, int64_t user, struct db_member *out, struct err *err)
{
	int found = db_member_get(core->db, team, user, out, err);
	if (found == 0)
		err_set(err, ERR_NOT_FOUND, "the team has no such member");
	return found == 1 ? 0 : -1;
}

int team_member_by_uid(struct core *core, int64_t team, const char *user_uid, struct db_member *out, struct err *err)
{
	struct db_user user;
	int found = db_user_by_uid(core->db, user_uid, &user, err);
	if (found == 0)
		err_set(err, ERR_NOT_FOUND, "the team has no such member");
	if (found != 1)
		return -1;
	int64_t id = user.id;
	db_user_release(&user);
	return team_member(core, team, id, out, err);
}

int team_require(const struct identity *who, enum role role, struct err *err)
{
	if (who->role >= role)
		return 0;
	err_set(err, ERR_FORBIDDEN, "only %s may do this",
		role == ROLE_OWNER ? "the owner of the team" : "admins and the owner of the team");
	return err_hint(err, "ask one of them");
}

int team_rename(struct core *core, const struct identity *who, const char *name, char **old, char **now, struct err *err)
{
	struct db_team team;
	auto_free char *clean = team_clean_name(name, err);
	if (!clean || team_require(who, ROLE_ADMIN, err) || team_get(core, who->team, &team, err))
		return -1;
	int rc = db_team_rename(core->db, who->team, clean, err);
	if (rc == 0 && old)
		*old = mem_steal(&team.name);
	if (rc == 0 && now)
		*now = mem_steal(&clean);
	db_team_release(&team);
	return rc;
}

static int by_number(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

bool team_among(const int64_t *teams, size_t n, int64_t team)
{
	return bsearch(&team, teams, n, sizeof(*teams), by_number) != NULL;
}

/* What belongs to teams that are deleted; their numbers ascend. */
static void drop_things(struct core *core, const int64_t *teams, size_t n)
{
	for (size_t i = core->count; i-- > 0;)
		if (team_among(teams, n, core->boxes[i]->row.account))
			sandbox_delete(core->boxes[i], NULL, NULL);
	snapshot_drop_teams(core, teams, n);
}

int team_sweep(struct core *core, struct err *err)
{
	struct db_team *rows;
	size_t n;
	if (db_team_deleted(core->db, &rows, &n, err))
		return -1;
	auto_free int64_t *teams = mem_array(n + 1, sizeof(*teams));
	for (size_t i = 0; i < n; i++)
		teams[i] = rows[i].id;
	db_teams_release(rows, n);
	if (n)
		drop_things(core, teams, n);
	return 0;
}

int team_delete(struct core *core, const struct identity *who, struct err *err)
{
	struct db_team team;
	if (team_require(who, ROLE_OWNER, err))
		return -1;
	if (who->team == TEAM_LOCAL)
		return err_set(err, ERR_FORBIDDEN, "the local team stays");
	if (team_get(core, who->team, &team, err))
		return -1;
	db_team_release(&team);
	if (db_team_delete(core->db, who->team, clock_wall_ms(), err))
		return -1;
	drop_things(core, &who->team, 1);
	return 0;
}

int team_add_member(struct core *core, const struct identity *who, const char *email, struct db_member *out, struct err *err)
{
	struct db_user user;
	if (team_require(who, ROLE_ADMIN, err))
		return -1;
	auto_free char *at = account_clean_email(email);
	if (!*at)
		return err_set(err, ERR_INVALID, "'email' is required");
	int found = who->team == TEAM_LOCAL ? 0 : db_user_by_email(core->db, at, &user, err);
	if (found == 1 && user.id == USER_LOCAL) { /* nobody's */
		db_user_release(&user);
		found = 0;
	}
	if (found != 1)
		return found < 0 ? -1 : err_set(err, ERR_NOT_FOUND, "nobody has an account with the address '%s'", at);
	const struct db_member row = { .team = who->team, .user = user.id, .joined_ms = clock_wall_ms() };
	int rc = add_member(core, &row, ROLE_MEMBER, err);
	if (rc && err && err->code == ERR_CONFLICT)
		err_set(err, ERR_INVALID, "'%s' is a member already", at);
	if (rc == 0)
		rc = team_member(core, who->team, user.id, out, err);
	db_user_release(&user);
	return rc;
}

/* Somebody whom a manager of the team may touch: not its owner. */
static int find_subject(struct core *core, const struct identity *who, const char *uid, struct db_member *out, struct err *err)
{
	if (team_require(who, ROLE_ADMIN, err) || team_member_by_uid(core, who->team, uid, out, err))
		return -1;
	if (strcmp(out->role, role_name(ROLE_OWNER)))
		return 0;
	db_member_release(out);
	return err_set(err, ERR_FORBIDDEN, "the owner's membership cannot be changed");
}

int team_set_role(struct core *core, const struct identity *who, const char *user_uid, const char *role, struct err *err)
{
	struct db_member subject;
	enum role wanted = role_parse(role);
	if (wanted != ROLE_ADMIN && wanted != ROLE_MEMBER)
		return err_set(err, ERR_INVALID, "'role' must be admin or member");
	if (find_subject(core, who, user_uid, &subject, err))
		return -1;
	int rc = db_member_set_role(core->db, who->team, subject.user, role, err);
	db_member_release(&subject);
	return rc;
}

int team_remove_member(struct core *core, const struct identity *who, const char *user_uid, struct err *err)
{
	struct db_member subject;
	if (find_subject(core, who, user_uid, &subject, err))
		return -1;
	int rc = db_member_delete(core->db, who->team, subject.user, err);
	db_member_release(&subject);
	return rc;
}

int team_leave(struct core *core, const struct identity *who, struct err *err)
{
	if (who->role == ROLE_OWNER)
		return err_set(err, ERR_FORBIDDEN, "the owner cannot leave the team");
	if (who->role == ROLE_NONE)
		return err_set(err, ERR_FORBIDDEN, "you are not in this team");
	return db_member_delete(core->db, who->team, who->user, err);
}
