/*
 * mount: a tree of the store in a sandbox, and what was changed there back into the store.
 *
 * At create the tree's image (image/fsimage.h) becomes the second drive of the VM, and the guest mounts it at a path, writable. The
 * record (db_fs) names the tree, which is pinned in the store for as long as there is the sandbox: the content of the mount is
 * always that tree and the changes that the guest keeps. A push stores the changes only, makes the new tree, and moves a label from
 * where it is known to be: at the tree that was mounted, or at what was pushed last. Of any other folder of the guest all is read.
 * Thread: the loop's.
 */
#ifndef SBX_CORE_MOUNT_H
#define SBX_CORE_MOUNT_H

#include "daemon/core/sandbox.h"
#include "daemon/core/vault.h"

/* What is mounted in it; NULL when nothing is. */
const struct db_fs *sandbox_fs(const struct sandbox *sb);

struct mount_spec {
	const char *path;    /* in the guest: absolute */
	const char *label;   /* NULL: the one that was mounted or last pushed to */
	const char *message; /* NULL */
	bool detach;	     /* move no label */
	bool force, merge;   /* when the label is elsewhere: move it all the same; join the changes with what is there */
	bool has_expected;   /* the label must be at `expected` */
	struct hash expected;
};

enum mount_outcome { MOUNT_DETACHED, MOUNT_CREATED, MOUNT_PUSHED, MOUNT_MERGED, MOUNT_UNCHANGED, MOUNT_REJECTED, MOUNT_CONFLICTS };
const char *mount_outcome_name(enum mount_outcome o); /* "detached", "created", "pushed", "merged", "unchanged", ... */

struct mount_pushed {
	enum mount_outcome outcome;
	const char *label;  /* NULL: detached */
	bool mounted;	    /* only what was changed in a mount was read */
	struct hash tree;   /* the folder's content */
	struct hash head;   /* where the label is now (exists) */
	struct hash before; /* where it was (had_before) */
	bool exists, had_before;
	struct change_counts counts;
	const struct merge_result *merge; /* MOUNT_CONFLICTS, MOUNT_MERGED */
};
/* Once, from the loop; err or out. */
typedef void mount_pushed_cb(void *arg, const struct mount_pushed *out, const struct err *err);
struct mount_push;
/* NULL with err: STATE when the sandbox does not run, INVALID, LIMIT. */
struct mount_push *mount_push(struct sandbox *sb, const struct mount_spec *spec, mount_pushed_cb *cb, void *arg, struct err *err);
/* Nobody waits any more: no callback. A label may have moved, or still move, or not. Not after the callback. */
void mount_push_forget(struct mount_push *p);

#endif
