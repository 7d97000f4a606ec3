/*
 * vault: the store of the home ($SBX_HOME/store) for the daemon: labels, trees and objects, without ever holding up the loop.
 *
 * Opened on first use. Its writer thread takes all label moves and merges that wait at once into one write of the store, so that
 * one fdatasync answers them all; its reader thread serves what changes nothing. What may take long, and what goes at a client's
 * speed, has a thread of its own (streams, garbage collection), VAULT_STREAMS of them at once. Every thread has its own handle of
 * the store. Other processes may use the same store; another daemon may not (daemon.lock: CONFLICT for all that is asked of us).
 * Objects that were uploaded, merged, or said to be there are kept from garbage collection for VAULT_HOLD_MS after.
 *
 * What is asked is a struct that begins with a struct vault_op. The caller zeroes it, fills in `done` and what is asked, and keeps
 * it and all that it points to until done is called: once, from the loop, never from inside the call that asked. Then op.failed and
 * op.err say how it went.
 * Thread: the loop's.
 */
#ifndef SBX_CORE_VAULT_H
#define SBX_CORE_VAULT_H

#include <stdbool.h>
#include <uv.h>

#include "daemon/core/change_tree.h"
#include "shared/store/gc.h"
#include "shared/store/merge.h"
#include "shared/store/ref.h"
#include "shared/store/remote.h"

#define VAULT_STREAMS 32u
#define VAULT_UPLOADS 16u
#define VAULT_HOLD_MS (10 * 60 * 1000)
/* Up to so much content comes with vault_file. */
#define VAULT_INLINE ((uint64_t)256 << 10)

struct vault;
/* Touches no disk. */
struct vault *vault_new(uv_loop_t *loop, const char *path);
/* Waits for what is being done, and fails what is not begun (done is called from inside). Memory goes when the loop has run on. */
void vault_close(struct vault *v);
/* Its memory stays until it is let go of: for work in another thread that begins in the loop, and ends there. */
void vault_keep(struct vault *v);
void vault_let_go(struct vault *v);
/* Any thread. */
bool vault_closing(struct vault *v);
/* A handle of the store for the calling thread, which closes it: for work that is not the vault's. UNAVAILABLE when it is closed.
 * Any thread. */
struct store *vault_open(struct vault *v, struct err *err);
/* Is there one already? vault_open makes it. Any thread, as that. */
bool vault_exists(const struct vault *v);

struct vault_op {
	void (*done)(struct vault_op *op);
	bool failed;
	struct err err;
	/* the vault's own */
	struct vault_op *next;
	void (*run)(struct vault *v, struct vault_op *op, struct store *s);
	void (*after)(struct vault_op *op, struct store *s); /* when it is durable; NULL */
	bool grouped, hold;
};

/* ---- labels ---- */
struct vault_labels {
	struct vault_op op;
	struct label_list out; /* label_list_free */
};
void vault_labels(struct vault *v, struct vault_labels *q);

/* The newest `limit` moves, oldest first. NOT_FOUND. With limit 1 it is the head and when it came there. */
struct vault_log {
	struct vault_op op;
	const char *name;
	size_t limit;
	struct label_log out; /* label_log_free */
};
void vault_log(struct vault *v, struct vault_log *q);

enum vault_when {
	VAULT_EXPECTED, /* the label is at `expected` */
	VAULT_ABSENT,	/* there is none */
	VAULT_ANY,
	VAULT_OURS, /* vault_merge: it is at our side, or there is none */
};
enum vault_moved { VAULT_MOVED, VAULT_REJECTED /* see exists and current */, VAULT_UNKNOWN /* `known`, and it is not */ };
struct vault_move {
	struct vault_op op;
	const char *name;
	const char *message; /* NULL */
	struct hash to, expected, other;
	enum vault_when when;
	enum label_op what; /* as label_move takes it */
	bool has_other;
	bool known;  /* the label's history must have the new tree */
	bool create; /* the first move is logged as LABEL_CREATE, whatever `what` is */
	bool want_at;
	bool missing_ok; /* else all objects of the tree must be there: NOT_FOUND names one that is not */
	/* answer */
	enum vault_moved how;
	bool exists; /* VAULT_REJECTED: there is such a label; VAULT_MOVED: there was */
	struct hash current;
	int64_t at; /* VAULT_MOVED, if want_at: when it last moved, in ms since 1970 */
};
void vault_move(struct vault *v, struct vault_move *q);

/* NOT_FOUND; rejected with current when expected is given and is not the head. */
struct vault_remove {
	struct vault_op op;
	const char *name;
	bool has_expected, rejected;
	struct hash expected, current;
};
void vault_remove(struct vault *v, struct vault_remove *q);

struct vault_rename {
	struct vault_op op;
	const char *from, *to;
	struct hash head;
	int64_t at;
};
void vault_rename(struct vault *v, struct vault_rename *q);

/* ---- trees ---- */
struct vault_resolve {
	struct vault_op op;
	const char *text;
	struct ref ref;	  /* ref_free */
	struct hash id;	  /* of the entry, or of the folder */
	const char *type; /* "file", "folder", "symlink", "fifo", "socket", "block", "char" */
};
void vault_resolve(struct vault *v, struct vault_resolve *q);

struct vault_entry {
	const char *path, *type;
	uint32_t mode; /* permission bits */
	uint64_t size;
	struct hash id;
	const char *target; /* of a symlink; not terminated */
	size_t target_len;
};
/* The entries of a folder. each is called in another thread, with arg; non-zero ends it with err. */
struct vault_list {
	struct vault_op op;
	struct hash tree;
	const char *path;
	bool recursive;
	int (*each)(void *arg, const struct vault_entry *e, struct err *err);
	void *arg;
	struct hash folder; /* its id */
};
void vault_list(struct vault *v, struct vault_list *q);

/* A file of a tree; INVALID for a folder. */
struct vault_file {
	struct vault_op op;
	struct hash tree;
	const char *path;
	struct hash id;
	uint64_t size;
	struct buf data; /* the content, when it is at most VAULT_INLINE; buf_free */
};
void vault_file(struct vault *v, struct vault_file *q);

struct vault_merge {
	struct vault_op op;
	/* texts of refs that are resolved first, or NULL: the ids are in m. Without a base one is looked for, if ours is a text. */
	const char *ours, *theirs, *base;
	struct tree_merge m;
	struct hash base_id; /* what m.base points to, when it was looked for or given as a text */
	/* move this label to a clean result; NULL */
	const char *into, *message;
	enum vault_when when;
	struct hash expected;
	/* answer */
	struct merge_result result; /* merge_result_free */
	enum vault_moved how;
	bool exists;
	struct hash current;
};
void vault_merge(struct vault *v, struct vault_merge *q);

/* ---- objects ---- */
/* A tree counts as there only with all that it leads to. */
struct vault_have {
	struct vault_op op;
	const struct hash *ids;
	size_t n;
	bool *have;
};
void vault_have(struct vault *v, struct vault_have *q);

/* A stream of remote.h from a client, in pieces, in constant memory. */
struct vault_upload;
struct vault_upload_ops {
	void (*on_room)(void *arg);
	/* All is durable, or what failed (before or after vault_upload_end); nothing comes after it. */
	void (*on_end)(void *arg, const struct remote_counts *counts, const struct err *err);
};
/* LIMIT when too many are under way. */
struct vault_upload *vault_upload_new(struct vault *v, const struct vault_upload_ops *ops, void *arg, struct err *err);
/* How much was taken; when that is less than n, on_room says when to go on. */
size_t vault_upload_write(struct vault_upload *u, const void *data, size_t n);
void vault_upload_end(struct vault_upload *u);
/* No callbacks any more. What came whole is kept. */
void vault_upload_close(struct vault_upload *u);

/* What a sandbox changed, as the stream of shared/wire/changes.h comes from it: an upload that becomes a tree, made from `base`.
 * The result is there in on_end, when there was no error (its counts are NULL). */
struct vault_upload *vault_changes_new(
	struct vault *v, const struct hash *base, const struct vault_upload_ops *ops, void *arg, struct err *err);
const struct change_counts *vault_changes_result(struct vault_upload *u);

/* ---- trees of sandboxes ---- */
/* Find the tree that a text means, pin it under a name, and have its image in the cache (image/fsimage.h). */
struct vault_mount {
	struct vault_op op;
	const char *text, *pin, *cache;
	/* answer */
	struct hash tree;
	char *label; /* the label that is at that tree, when the text named one; allocated */
	/* the vault's own */
	struct vault *vault;
	void (*done)(struct vault_op *op);
};
void vault_mount(struct vault *v, struct vault_mount *q);
struct vault_pin {
	struct vault_op op;
	const char *name;
	struct hash tree;
};
void vault_pin(struct vault *v, struct vault_pin *q);
/* Some time soon, and nobody is told: remove pins; remove all pins with a prefix but for those named. */
void vault_unpin(struct vault *v, const char *const *names, size_t n);
void vault_keep_pins(struct vault *v, const char *prefix, const char *const *names, size_t n);

/* A stream to a client, which pauses it. */
struct vault_stream;
struct vault_stream_ops {
	bool (*on_data)(void *arg, const void *data, size_t n); /* false: pause until vault_stream_resume */
	void (*on_end)(void *arg, const struct err *err);	/* NULL: that was all; nothing comes after it */
};
/* All that the wanted trees lead to, but for what the trees lead to that the other side has. NOT_FOUND before the first data. */
struct vault_fetch {
	struct hash *want, *have; /* taken over */
	size_t want_n, have_n;
	bool only; /* the wanted objects themselves, and nothing that they lead to */
};
struct vault_stream *vault_fetch(struct vault *v, const struct vault_fetch *q, const struct vault_stream_ops *ops, void *arg);
struct vault_stream *vault_read(struct vault *v, const struct vault_file *file, uint64_t offset, uint64_t length,
	const struct vault_stream_ops *ops, void *arg);
void vault_stream_resume(struct vault_stream *st);
/* No callbacks any more; in every case the last call. Not from inside on_data. */
void vault_stream_close(struct vault_stream *st);

/* ---- care ---- */
struct vault_stats {
	struct vault_op op;
	struct store_totals out;
	size_t labels;
	bool read_only;
	const char *path;
};
void vault_stats(struct vault *v, struct vault_stats *q);

/* CONFLICT while objects are held, here or by another process. */
struct vault_gc {
	struct vault_op op;
	bool dry;
	struct store_swept out;
};
void vault_gc(struct vault *v, struct vault_gc *q);

#endif
