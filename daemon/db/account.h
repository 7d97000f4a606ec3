/*
 * db/account: the records of users, teams, memberships, logins of other services and API keys.
 *
 * Numbers are what records refer to each other by; the ids that people see (uid) are text of base 36. Team 0 and user 0 are the
 * local ones, there from the start. All changes are durable. 1, 0, -1 of a look-up: found (release it), not, err.
 */
#ifndef SBX_DB_ACCOUNT_H
#define SBX_DB_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/db/db.h"
#include "shared/base/err.h"

struct db_user {
	int64_t id;
	char *uid, *email, *name;
	char *password; /* bcrypt, or NULL: logs in by another service only */
	int64_t admin;	/* of the whole installation */
	int64_t created_ms;
};

struct db_team {
	int64_t id;
	char *uid, *name, *slug;
	int64_t byoc; /* its sandboxes run on hosts of its own */
	int64_t created_ms, deleted_ms;
};

/* A member with who that is, or a team with what one is in it. */
struct db_member {
	int64_t team, user;
	char *role;
	int64_t is_default, joined_ms;
	char *user_uid, *user_name, *user_email;
	char *team_uid, *team_name, *team_slug;
	int64_t user_admin, team_byoc, team_created_ms;
};

struct db_key {
	char *id, *name, *prefix;
	char *hash; /* SHA-256 of the secret in hex */
	int64_t account, created_by, created_ms, used_ms;
};

/* CONFLICT when the e-mail address is taken. row->id gets its number. */
int db_user_insert(struct db *db, struct db_user *row, struct err *err);
int db_user_by_email(struct db *db, const char *email, struct db_user *out, struct err *err);
int db_user_by_id(struct db *db, int64_t id, struct db_user *out, struct err *err);
int db_user_by_uid(struct db *db, const char *uid, struct db_user *out, struct err *err);
int db_user_by_login(struct db *db, const char *provider, const char *subject, struct db_user *out, struct err *err);
/* Those whose address begins so, by address, at most limit; not the local one. db_users_release. */
int db_user_search(struct db *db, const char *prefix, int64_t limit, struct db_user **out, size_t *n, struct err *err);
/* was: what it must be for that, so that nothing newer is overwritten (0 then too); NULL for anything. */
int db_user_set_password(struct db *db, int64_t id, const char *was, const char *password, struct err *err);
int db_user_set_name(struct db *db, int64_t id, const char *name, struct err *err);
void db_user_release(struct db_user *row);
void db_users_release(struct db_user *rows, size_t n);
/* CONFLICT when that login is somebody's. */
int db_login_insert(struct db *db, const char *provider, const char *subject, int64_t user, struct err *err);

int db_team_insert(struct db *db, struct db_team *row, struct err *err);
/* Also those that are deleted. */
int db_team_by_id(struct db *db, int64_t id, struct db_team *out, struct err *err);
int db_team_by_uid(struct db *db, const char *uid, struct db_team *out, struct err *err);
int db_team_rename(struct db *db, int64_t id, const char *name, struct err *err);
int db_team_set_byoc(struct db *db, int64_t id, struct err *err);
int db_team_delete(struct db *db, int64_t id, int64_t deleted_ms, struct err *err);
/* Those that are deleted, by id. db_teams_release. */
int db_team_deleted(struct db *db, struct db_team **out, size_t *n, struct err *err);
void db_team_release(struct db_team *row);
void db_teams_release(struct db_team *rows, size_t n);

/* team, user, role, is_default and joined_ms of the row. CONFLICT when he is one already. */
int db_member_insert(struct db *db, const struct db_member *row, struct err *err);
/* Of a live team. */
int db_member_get(struct db *db, int64_t team, int64_t user, struct db_member *out, struct err *err);
/* By joining; live teams only. db_members_release. */
int db_member_of_team(struct db *db, int64_t team, struct db_member **out, size_t *n, struct err *err);
int db_member_of_user(struct db *db, int64_t user, struct db_member **out, size_t *n, struct err *err);
int db_member_set_role(struct db *db, int64_t team, int64_t user, const char *role, struct err *err);
int db_member_delete(struct db *db, int64_t team, int64_t user, struct err *err);
void db_member_release(struct db_member *row);
void db_members_release(struct db_member *rows, size_t n);

int db_key_insert(struct db *db, const struct db_key *key, struct err *err);
/* How many it took away: of that account by id, or (by_name) by name. -1 err. */
int64_t db_key_delete(struct db *db, int64_t account, const char *id, bool by_name, struct err *err);
/* Newest first. db_keys_release. */
int db_key_list(struct db *db, int64_t account, struct db_key **out, size_t *n, struct err *err);
/* Of a live team. */
int db_key_find(struct db *db, const char *hash, struct db_key *out, struct err *err);
/* Is there one of that name? 1, 0, -1. */
int db_key_named(struct db *db, int64_t account, const char *name, struct err *err);
int db_key_touch(struct db *db, const char *id, int64_t used_ms, struct err *err);
void db_key_release(struct db_key *key);
void db_keys_release(struct db_key *rows, size_t n);

#endif
