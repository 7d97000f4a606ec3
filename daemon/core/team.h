/*
 * team: who belongs together. Everything that somebody makes is a team's: sandboxes, keys, templates, channels, hosts.
 *
 * A team has one owner, who made it, admins and members. What each may do: reference/wrenn.md 2.9. A team that is deleted keeps its
 * record and its slug; its sandboxes end, its snapshots go, and its keys and tokens are worth nothing from that moment. The record
 * says so first: what a daemon that dies does not come to is done by the next. Other APIs call teams orgs or accounts. Thread: the
 * loop's.
 */
#ifndef SBX_CORE_TEAM_H
#define SBX_CORE_TEAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/core.h"
#include "daemon/core/identity.h"
#include "daemon/db/account.h"
#include "shared/base/err.h"

enum { TEAM_NAME_MAX = 128, UID_LENGTH = 10 };

/* A name: letters, digits, blanks and _-@'; trimmed copy, or NULL with INVALID. */
char *team_clean_name(const char *name, struct err *err);
/* Release out with db_team_release. */
int team_create(struct core *core, const char *name, int64_t owner, struct db_team *out, struct err *err);
/* Inside a transaction. */
int team_insert(struct core *core, const char *name, int64_t owner, bool is_default, struct db_team *out, struct err *err);
/* A live one; NOT_FOUND. */
int team_get(struct core *core, int64_t team, struct db_team *out, struct err *err);
int team_find(struct core *core, const char *uid, struct db_team *out, struct err *err);
/* It is deleted, for certain: not when the database does not answer. */
bool team_is_gone(struct core *core, int64_t team);
/* Is it one of these, which ascend? */
bool team_among(const int64_t *teams, size_t n, int64_t team);
/* When the daemon starts: end and remove what is left of teams that are deleted. */
int team_sweep(struct core *core, struct err *err);
/* It brings hosts of its own from now on. NOT_FOUND. */
int team_set_byoc(struct core *core, const char *uid, struct err *err);
/* Teams of a user, members of a team, in the order of joining. db_members_release. */
int team_of_user(struct core *core, int64_t user, struct db_member **out, size_t *n, struct err *err);
int team_members(struct core *core, int64_t team, struct db_member **out, size_t *n, struct err *err);
/* NOT_FOUND when he is none. Release out. */
int team_member(struct core *core, int64_t team, int64_t user, struct db_member *out, struct err *err);
int team_member_by_uid(struct core *core, int64_t team, const char *user_uid, struct db_member *out, struct err *err);

/* What `who` does in his own team; FORBIDDEN when his role is not enough. */
/* old, now: the names that it had and has, allocated; may be NULL. */
int team_rename(struct core *core, const struct identity *who, const char *name, char **old, char **now, struct err *err);
int team_delete(struct core *core, const struct identity *who, struct err *err);
/* A member from now on. NOT_FOUND: no account has that address; INVALID: he is one already. */
int team_add_member(struct core *core, const struct identity *who, const char *email, struct db_member *out, struct err *err);
int team_set_role(struct core *core, const struct identity *who, const char *user_uid, const char *role, struct err *err);
int team_remove_member(struct core *core, const struct identity *who, const char *user_uid, struct err *err);
int team_leave(struct core *core, const struct identity *who, struct err *err);
/* FORBIDDEN unless his role is at least that. */
int team_require(const struct identity *who, enum role role, struct err *err);

#endif
