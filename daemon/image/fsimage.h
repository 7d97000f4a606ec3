/*
 * fsimage: a tree of the store as a file system image that a VM mounts: $SBX_CACHE/fs/<tree id>.erofs, made once for each tree
 * (temporary file, sync, rename, under a lock file), shared by all VMs and homes, safe to delete.
 * Its length is always FSIMAGE_SIZE, mostly a hole, since the guest's drive has a fixed size. All belongs to root; all times are
 * those of the making.
 */
#ifndef SBX_IMAGE_FSIMAGE_H
#define SBX_IMAGE_FSIMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/err.h"
#include "shared/store/store.h"

#define FSIMAGE_SIZE ((uint64_t)64 << 30)
/* Images that no sandbox has a link to are removed, the least recently used first, when all together take more. */
#define FSIMAGE_CACHE_MAX ((uint64_t)8 << 30)

/* Path of a tree's image: allocated. */
char *fsimage_path(const char *cache, const struct hash *tree);
/* Whether it is there; then it counts as used now. */
bool fsimage_ready(const char *cache, const struct hash *tree);
/* Make it, if it is not there (blocking, for a thread), unless stop says so meanwhile (UNAVAILABLE; NULL: it does not). TOO_LARGE;
 * INVALID for what no file system can hold. */
typedef bool fsimage_stop(void *arg);
int fsimage_make(const char *cache, struct store *s, const struct hash *tree, fsimage_stop *stop, void *arg, struct err *err);
/* Keep all together below max bytes. */
void fsimage_prune(const char *cache, uint64_t max);

#endif
