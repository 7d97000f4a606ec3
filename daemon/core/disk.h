/*
 * disk: a sandbox's disk as a chain of files.
 *
 *   vms/<id>/disk.qcow2 -> layers/<name>.qcow2 ... -> its base's files       (top first; only the top is ever written to)
 *
 * To give somebody a disk as it is at an instant, a small top is copied, and a large one is put among the layers (a file of that
 * name too; nothing is copied) while its sandbox goes on with a new, empty top. A layer is never written to again, may be under any
 * number of sandboxes, and goes with the last of them.
 *
 * Going on with a new top, so that a crash at any instant leaves one whole chain: 1 a link in layers/; 2 disk.next, empty; 3 the
 * record names the layer; 4 the VM is switched, or started, on disk.next; 5 disk.next becomes disk.qcow2. disk_recover undoes what
 * was before 3 and does what is after it; the VM of a daemon that died between 3 and 4 is switched by the next. Thread: the loop's.
 * No function takes longer than a few file operations, but for disk_copy.
 */
#ifndef SBX_CORE_DISK_H
#define SBX_CORE_DISK_H

#include "daemon/core/core.h"
#include "daemon/core/internal.h"

#define DISK_CHAIN_MAX 24
/* A top up to so large is copied; any, when there are so many layers already. */
#define DISK_COPY_MAX ((off_t)4 << 20)
#define DISK_LAYERS_MANY 12
/* So many become one when the sandbox is resumed or started. */
#define DISK_LAYERS_MERGE 8

/* The chain of sb over its base, its top in the file `top` (disk.qcow2 or disk.next of its folder). Strings are owned by the
 * result: disk_chain_free. */
struct disk_chain {
	struct vm_disk v[DISK_CHAIN_MAX];
	unsigned n;
};
int disk_chain(const struct sandbox *sb, const struct base *base, const char *top, struct disk_chain *out, struct err *err);
void disk_chain_free(struct disk_chain *chain);
/* Is its top to be copied? */
bool disk_is_small(const struct sandbox *sb);

/* Make one file of a top and its layers while nobody writes to it: disk_merge in a worker (paths: top first; the new file replaces
 * the first of them, and is the same disk with and without the layers), then disk_merged drops the layers from the record. */
bool disk_has_many(const struct sandbox *sb);
int disk_merge(const char *const *paths, size_t n, struct err *err);
int disk_merged(struct sandbox *sb, struct err *err);
/* The paths of a file `top` of its folder (NULL: none) and of its layers below that, NULL-terminated: allocated, drop_list. */
char **disk_paths(const struct sandbox *sb, const char *top);

/* Steps 1 to 3, and the record in memory. On failure nothing has changed. */
int disk_push(struct sandbox *sb, struct err *err);
/* What comes after that: step 5, if it goes on with the new top (step 4 was done, or it is paused); else 1 to 3 are undone. What
 * fails is logged, and done by the next start of the daemon. */
void disk_settle(struct sandbox *sb, bool switched);

/* For a time in which the disk is written to but may have to be as it was: its top under another name. disk_save does it without
 * copying (a small one is copied by the caller: DISK_SAVED in its folder); disk_restore puts it back, if there is one, and is as if
 * nothing had been written; disk_forget_saved goes on with what was. */
#define DISK_SAVED "disk.saved"
int disk_save(struct sandbox *sb, struct err *err);
int disk_restore(struct sandbox *sb, struct err *err);
void disk_forget_saved(struct sandbox *sb);

/* After a crash between the steps of a new top. */
int disk_recover(struct sandbox *sb, struct err *err);
/* Take over the layers of another sandbox (record in memory only). */
void disk_share(struct db_sandbox *to, const struct db_sandbox *from);
/* Remove layers that no sandbox has. */
void disk_sweep(struct core *core);

#endif
