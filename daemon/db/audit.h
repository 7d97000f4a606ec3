/*
 * db/audit: who did what in a team, and how much the team used.
 *
 * Neither is durable beyond a kill of the process: after a power cut the newest may be missing.
 */
#ifndef SBX_DB_AUDIT_H
#define SBX_DB_AUDIT_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/db/db.h"
#include "shared/base/err.h"

struct db_audit {
	int64_t id, team;
	char *actor_type;	     /* "user", "api_key" or "system" */
	char *actor_id, *actor_name; /* or NULL */
	char *resource_type, *resource_id;
	char *action;
	char *scope;	 /* "team" or "admin": who may read it */
	char *status;	 /* "success", "info", "warning" or "error" */
	char **metadata; /* "K=V" */
	int64_t created_ms;
};

struct db_audit_query {
	int64_t team;
	int admin;		      /* also what only admins may read */
	int64_t before_ms, before_id; /* a whole second, as the wire has it; 0: from the newest on. id 0: of that second none */
	char *const *types, *const *actions; /* NULL-terminated, or NULL: all */
	int64_t limit;
};

int db_audit_insert(struct db *db, struct db_audit *row, struct err *err);
/* Newest first. db_audits_release. */
int db_audit_list(struct db *db, const struct db_audit_query *q, struct db_audit **out, size_t *n, struct err *err);
void db_audit_release(struct db_audit *row);
void db_audits_release(struct db_audit *rows, size_t n);

/* What a team used at one time. */
struct db_use {
	int64_t team, at_s, running, vcpus, memory_mb;
};
int db_use_insert(struct db *db, const struct db_use *row, struct err *err);
/* The highest figures of each bucket_s seconds (aligned to 1970) from since_s on, oldest first; at_s is where a bucket begins.
 * Free the array. */
int db_use_series(struct db *db, int64_t team, int64_t since_s, int64_t bucket_s, struct db_use **out, size_t *n, struct err *err);
/* The sums of each UTC day from since_s to until_s (exclusive): vcpus and memory_mb of its samples added up. */
int db_use_days(struct db *db, int64_t team, int64_t since_s, int64_t until_s, struct db_use **out, size_t *n, struct err *err);
/* Forget what is older. */
int db_use_prune(struct db *db, int64_t before_s, struct err *err);

#endif
