/*
 * db/host: machines that carry sandboxes for this control plane, their tags and their credentials. Durable; times of heartbeats
 * are not. 1, 0, -1 of a look-up: found (release it), not, err.
 */
#ifndef SBX_DB_HOST_H
#define SBX_DB_HOST_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/db/db.h"
#include "shared/base/err.h"

struct db_host {
	int64_t id;
	char *uid;
	char *type;   /* "regular" or "byoc" */
	int64_t team; /* that brought it; 0: nobody's */
	char *provider, *zone, *arch;
	int64_t cpu_cores, memory_mb, disk_gb;
	char *address;
	char *status; /* "pending", "online", "unreachable" */
	int64_t heartbeat_ms, created_by, created_ms, changed_ms;
	char *fingerprint; /* of its certificate */
};

int db_host_insert(struct db *db, struct db_host *row, struct err *err);
int db_host_update(struct db *db, const struct db_host *row, struct err *err);
int db_host_get(struct db *db, const char *uid, struct db_host *out, struct err *err);
int db_host_by_id(struct db *db, int64_t id, struct db_host *out, struct err *err);
/* Newest first; team -1: all. db_hosts_release. */
int db_host_list(struct db *db, int64_t team, struct db_host **out, size_t *n, struct err *err);
/* With its tags, its credentials and the snapshots that it keeps. */
int db_host_delete(struct db *db, int64_t id, struct err *err);
int db_host_beat(struct db *db, int64_t id, int64_t now_ms, struct err *err);
void db_host_release(struct db_host *row);
void db_hosts_release(struct db_host *rows, size_t n);

struct db_host_tag {
	int64_t host;
	char *tag;
};
/* Both are idempotent. */
int db_host_tag_add(struct db *db, int64_t host, const char *tag, struct err *err);
int db_host_tag_remove(struct db *db, int64_t host, const char *tag, struct err *err);
/* By name. db_host_tags_release. */
int db_host_tags(struct db *db, int64_t host, struct db_host_tag **out, size_t *n, struct err *err);
void db_host_tags_release(struct db_host_tag *rows, size_t n);

/* Registration tokens: by hash, used once. */
int db_host_token_insert(struct db *db, const char *hash, int64_t host, int64_t expires_ms, struct err *err);
/* Take it: 1 with its host, 0: there is none that is valid now. */
int db_host_token_take(struct db *db, const char *hash, int64_t now_ms, int64_t *host, struct err *err);

/* Refresh tokens: each is in the family of the registration that it came from. */
struct db_host_refresh {
	char *hash;
	int64_t host;
	char *family;
	int64_t expires_ms, revoked_ms;
	char *request; /* hash of the name that its holder gave the request which used it up, or NULL */
};
int db_host_refresh_insert(struct db *db, const struct db_host_refresh *row, struct err *err);
int db_host_refresh_get(struct db *db, const char *hash, struct db_host_refresh *out, struct err *err);
/* It is used up: by the row's request, at its revoked_ms. */
int db_host_refresh_use(struct db *db, const struct db_host_refresh *row, struct err *err);
int db_host_refresh_revoke_family(struct db *db, const char *family, int64_t now_ms, struct err *err);
/* Of every family of a host. */
int db_host_refresh_revoke_all(struct db *db, int64_t host, int64_t now_ms, struct err *err);
void db_host_refresh_release(struct db_host_refresh *row);

/* Snapshots that are kept on the machine where they were taken. */
struct db_host_snapshot {
	int64_t team;
	char *name;
	int64_t host;
	char *tree, *image, *parent, *accel; /* tree: hex; the others may be NULL */
	int64_t vcpus, memory_mb, created_ms, disk, stored;
};
/* In the place of one of that team and name. */
int db_host_snapshot_put(struct db *db, const struct db_host_snapshot *row, struct err *err);
int db_host_snapshot_get(struct db *db, int64_t team, const char *name, struct db_host_snapshot *out, struct err *err);
/* By name. db_host_snapshots_release. */
int db_host_snapshot_list(struct db *db, int64_t team, struct db_host_snapshot **out, size_t *n, struct err *err);
int db_host_snapshot_delete(struct db *db, int64_t team, const char *name, struct err *err);
void db_host_snapshot_release(struct db_host_snapshot *row);
void db_host_snapshots_release(struct db_host_snapshot *rows, size_t n);

/* Names of snapshots that a host may have and has to forget. Both are idempotent. */
struct db_host_leftover {
	int64_t host, team;
	char *name;
};
int db_host_leftover_put(struct db *db, const struct db_host_leftover *row, struct err *err);
int db_host_leftover_delete(struct db *db, const struct db_host_leftover *row, struct err *err);
/* Of that host. db_host_leftovers_release. */
int db_host_leftovers(struct db *db, int64_t host, struct db_host_leftover **out, size_t *n, struct err *err);
void db_host_leftovers_release(struct db_host_leftover *rows, size_t n);

#endif
