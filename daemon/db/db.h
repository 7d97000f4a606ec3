/*
 * db: the daemon's durable records in one SQLite file (WAL). The only module with SQL in it.
 *
 * A function returns when the change is committed. Commits survive a kill of the process at any instant
 * (synchronous=NORMAL: a power cut may lose the newest, and then the VMs are gone as well); what outlives the machine's boots
 * (accounts, keys, hosts, channels) and whatever is written between db_begin and db_commit is committed with FULL. Here are the
 * sandboxes; account.h, audit.h, channel.h and host.h have the rest. Statements are prepared once. Thread: one at a time (the
 * loop's).
 */
#ifndef SBX_DB_DB_H
#define SBX_DB_DB_H

#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"

struct db;

#define DB_FAILED "database" /* the word of errors that are the database's own: it cannot be read or written */

/* Text lists (environment, labels) are stored as "K=V" strings; NULL-terminated array, owned by the row. */
struct db_sandbox {
	char *id, *name; /* name NULL when it has none */
	char *image, *template_key;
	char *image_digest; /* of an image of the user's library, or NULL */
	char *state;	    /* word of core's state table */
	char *reason;	    /* why it does not run, or NULL */
	char *accel;	    /* word, or NULL */
	char **env, **labels;
	int64_t vcpus, memory_mb, timeout_s;
	int64_t net; /* core's enum */
	int64_t account;
	int64_t created_ms, expires_ms; /* wall clock; 0 = never */
	int64_t pid, start_time;	/* of the VM process; 0 = none */
	int64_t create_us;
	char *mac;			  /* of its NIC, or NULL */
	char *parent;			  /* id of the sandbox or name of the snapshot that it was made from, or NULL */
	char **layers;			  /* names of frozen layers under its disk's top, the uppermost first */
	int64_t run_vcpus, run_memory_mb; /* what it runs with, or was paused with; vcpus and memory_mb count from its next start */
	int64_t booted;			  /* its memory began empty, not as the template's */
	int64_t idle_s;			  /* pause it after so long without use; 0 = never */
	int64_t disk_mb;		  /* its disk is to be so large from its next start on; 0 = as it is */
	int64_t idled;			  /* it was paused for that: the next use resumes it */
	char *net_rules;		  /* of net mode allow, else NULL */
	char *template;			  /* what its creator asked for, in the words of his dialect; NULL: the image */
	int64_t started_ms, active_ms;	  /* when it last came up, and was last used for what counts */
	int64_t changed_ms;		  /* the record */
	int64_t host;			  /* number of the machine that carries it; 0: this one; HOST_CONTROL */
};
#define HOST_CONTROL (-1) /* this one, for a control plane */

/* What is left of a sandbox that is over. */
struct db_past {
	char *id, *name, *image, *template;
	char *state; /* "stopped", or "error" for one that never ran */
	char *reason;
	int64_t account, vcpus, memory_mb, idle_s, created_ms, started_ms, active_ms, ended_ms;
};

struct db_port {
	char *sandbox, *bind;
	int64_t host_port, guest_port;
};

/* Open or create; brings an older schema up to date. A file that is damaged or newer is refused. */
struct db *db_open(const char *path, struct err *err);
void db_close(struct db *db);

/* What is written between the two becomes durable as one, or, when db_commit fails or is never reached, not at all. */
int db_begin(struct db *db, struct err *err);
int db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);

/* CONFLICT when the id or name is taken. */
int db_sandbox_insert(struct db *db, const struct db_sandbox *row, struct err *err);
/* Writes all of the row with that id. CONFLICT when the name is taken. */
int db_sandbox_update(struct db *db, const struct db_sandbox *row, struct err *err);
int db_sandbox_delete(struct db *db, const char *id, struct err *err);
/* Calls cb with each row, oldest first; the callee takes what it wants with db_sandbox_move. Stops at a non-zero answer. */
int db_sandbox_each(struct db *db, int (*cb)(void *arg, struct db_sandbox *row), void *arg, struct err *err);
void db_sandbox_release(struct db_sandbox *row);
/* In the place of one with that id. */
int db_past_put(struct db *db, const struct db_past *row, struct err *err);
/* Of that account: 1 found (release it), 0 not, -1 err. */
int db_past_get(struct db *db, int64_t account, const char *id, struct db_past *out, struct err *err);
void db_past_release(struct db_past *row);
/* The whole row moves to the caller; `from` is left empty. */
struct db_sandbox db_sandbox_move(struct db_sandbox *from);

/* A sandbox's ports go with it. CONFLICT when it has that host port already. */
int db_port_insert(struct db *db, const struct db_port *port, struct err *err);
int db_port_delete(struct db *db, const char *sandbox, int64_t host_port, struct err *err);
int db_port_each(struct db *db, int (*cb)(void *arg, const struct db_port *port), void *arg, struct err *err);

/* The tree of the store that is mounted in a sandbox; goes with its sandbox. */
struct db_fs {
	char *sandbox, *path;
	char *tree;   /* id */
	char *label;  /* that it was mounted by or last pushed to, or NULL */
	char *pushed; /* what its content was at the last push, or NULL */
};
/* New, or in place of what there was. */
int db_fs_put(struct db *db, const struct db_fs *row, struct err *err);
/* As db_sandbox_each; what the callee takes it sets to NULL. */
int db_fs_each(struct db *db, int (*cb)(void *arg, struct db_fs *row), void *arg, struct err *err);
void db_fs_release(struct db_fs *row);

#endif
