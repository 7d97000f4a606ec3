/*
 * snapshot: the state of a sandbox at one instant, kept in the store under a name; others are created from it.
 *
 * A snapshot is a tree (vm/keep.h) and a pin on it, "vm/<name>": the pin is the snapshot, so it is there or is not, and lists of
 * them need no record of their own. Taking one stops a running sandbox for some ten milliseconds (freeze.h); the rest happens
 * beside it. What is created from it goes on where the sandbox was, with an identity of its own. Thread: the loop's; callbacks come
 * from the loop.
 */
#ifndef SBX_CORE_SNAPSHOT_H
#define SBX_CORE_SNAPSHOT_H

#include "daemon/core/core.h"
#include "daemon/core/sandbox.h"
#include "shared/store/hash.h"

struct vault;

#define SNAPSHOT_NAME_MAX 64
#define SNAPSHOT_IMAGE "snapshot:" /* before its name, as the image of what is created from it */

struct snapshot {
	char *name;
	struct hash tree;
	char *image, *parent, *accel;
	int64_t vcpus, memory_mb, created_ms;
	uint64_t disk;	/* bytes, as its guest sees it */
	int64_t stored; /* bytes that it takes in the store (keep.h); 0: not known, for it was made by an older sbx */
};

/* Letters, digits and ._- , at most SNAPSHOT_NAME_MAX, beginning with a letter or digit. INVALID. */
int snapshot_check_name(const char *name, struct err *err);

/* Refuse a name that somebody has: CONFLICT. Returns -1. */
int snapshot_taken(const char *name, struct err *err);

/* list: valid in the call. */
typedef void snapshots_cb(void *arg, const struct snapshot *list, size_t n, const struct err *err);
/* Names are their team's. Keep the state of a running or paused sandbox, for its team. CONFLICT when there is one of that name,
 * unless replace. */
int sandbox_snapshot(struct sandbox *sb, const char *name, bool replace, snapshots_cb *cb, void *arg, struct err *err);
/* All of a team by name, or (name not NULL) that one: NOT_FOUND. */
void snapshot_list(struct core *core, int64_t team, const char *name, snapshots_cb *cb, void *arg);
/* Name a tree that is in the store already (it came from elsewhere), for the local team: INVALID when it is no snapshot. */
void snapshot_adopt(struct core *core, const char *name, const struct hash *tree, bool replace, snapshots_cb *cb, void *arg);
/* Forget the name; what is only its goes with the store's next gc. Sandboxes that were made from it have what they need. */
void snapshot_remove(struct core *core, int64_t team, const char *name, snapshots_cb *cb, void *arg);
/* For remote_snapshot.c, blocking, any thread. Is one of this name kept on this machine: 1, 0, -1? Forget it. */
int snapshot_is_home(struct vault *v, int64_t team, const char *name, struct err *err);
int snapshot_drop_home(struct vault *v, int64_t team, const char *name, struct err *err);
/* Forget all of teams that are deleted (ascending numbers), some time soon and without telling: what fails is logged, and is for
 * the next start of the daemon. */
void snapshot_drop_teams(struct core *core, const int64_t *teams, size_t n);

#endif
