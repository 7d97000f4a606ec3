/*
 * label: names for trees that move, each with its history (reflog). reference/mcp-v8.md 2.7 and 2.8, with the defects listed there
 * mended: head and history are one record, so they cannot disagree; the loser of a race to create a label learns the true head;
 * names have rules; labels can be removed and renamed.
 *
 * On disk: one append-only file a label below `labels/`, records with checksums; the head is the `to` of the last whole record. A
 * torn record at the end is cut by the next writer. A move is durable (fdatasync) before it is acknowledged.
 * Locks: moves take the store's writer lock by themselves unless it is held (store_begin). Reading takes none.
 *
 * Group commit: label_move within an open write is seen by this store at once and by others after store_end (or store_checkpoint),
 * which first makes the objects durable and then writes the records: one fdatasync for all moves of a label in the write. When that
 * fails, or after store_abort, none of them may be relied on. So a daemon answers many pushes with one begin and one end.
 * label_list, label_log, label_knows, label_remove and label_rename within a write that has moves do a store_checkpoint first.
 *
 * Damage: a label whose last record is damaged is IO, not the record before it; a move with `any` mends it. Damage further back is
 * skipped by label_log, named by gc_fsck, and makes gc refuse.
 *
 * Threads: one at a time for a struct store.
 */
#ifndef SBX_STORE_LABEL_H
#define SBX_STORE_LABEL_H

#include "shared/store/store.h"

#define LABEL_MAX 255
#define LABEL_MESSAGE_MAX 4096

enum label_op { LABEL_CREATE, LABEL_PUSH, LABEL_RESET, LABEL_FORCE, LABEL_MERGE, LABEL_RENAME };
const char *label_op_name(enum label_op op); /* "create", ... */

struct label_entry {
	int64_t at; /* ms since 1970 */
	bool has_from;
	struct hash from, to;
	bool has_other; /* LABEL_MERGE: the tree that was merged in, so that the next merge finds its base */
	struct hash other;
	enum label_op op;
	char *message; /* NULL = none */
};

/* 1 to 255 bytes of UTF-8 without control characters, not 64 hex digits, no part between slashes that is empty, "." or "..", not
 * beginning with '-' or '@', without '@{', ':' , '\\', '?', '*', '[' or spaces at an end. INVALID with the rule that is broken. */
int label_check(const char *name, struct err *err);

/* The head. NOT_FOUND. */
int label_head(struct store *s, const char *name, struct hash *out, struct err *err);
/* All labels in byte order of their names. */
struct label {
	char *name;
	struct hash head;
	int64_t at; /* of the last move */
};
struct label_list {
	struct label *v;
	size_t n;
};
int label_list(struct store *s, struct label_list *out, struct err *err);
void label_list_free(struct label_list *l);
/* The history, oldest first: the newest `limit` entries, all with SIZE_MAX. NOT_FOUND. */
struct label_log {
	struct label_entry *v;
	size_t n;
};
int label_log(struct store *s, const char *name, size_t limit, struct label_log *out, struct err *err);
void label_log_free(struct label_log *l);
/* Is the tree the `to` or `from` of an entry? 1, 0, -1. */
int label_knows(struct store *s, const char *name, const struct hash *id, struct err *err);

/* A move. */
struct label_move {
	const char *name;
	struct hash to;
	enum label_op op;		  /* what to write; LABEL_PUSH becomes LABEL_CREATE where there was no label */
	const struct hash *expected;	  /* compare and set: the head must be this... */
	bool absent;			  /* ...or the label must not exist... */
	bool any;			  /* ...or whatever it is */
	const struct hash *other;	  /* LABEL_MERGE */
	const char *message;		  /* NULL */
	bool missing_ok;		  /* the target need not be in the store (mcp-v8's wire) */
};
/* 0 moved; 1 rejected, and *current is the true head (*exists false: there is none); -1 with err (INVALID name or message,
 * NOT_FOUND the target is not in the store). */
int label_move(struct store *s, const struct label_move *m, struct hash *current, bool *exists, struct err *err);
/* NOT_FOUND; CONFLICT when `expected` is given and is not the head. */
int label_remove(struct store *s, const char *name, const struct hash *expected, struct err *err);
/* With its history. CONFLICT when the new name is taken. */
int label_rename(struct store *s, const char *from, const char *to, struct err *err);

#endif
