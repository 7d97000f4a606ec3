/*
 * rootfs: root file systems as ext4 files, and the tree of image `base`, which is busybox. No root, no loop device: the tree is
 * copied in by mke2fs and its owners are set in the file by debugfs. The agent is not in it, see bundle.h.
 */
#ifndef SBX_IMAGE_ROOTFS_H
#define SBX_IMAGE_ROOTFS_H

#include "shared/base/buf.h"
#include "shared/base/err.h"

struct tree_job;

struct disk_shape {
	const char *size;    /* what the guest sees, "4G"; the file holds only what is used */
	unsigned journal_mb; /* small: the guest writes through all of it, and that is kept for each VM */
};

/* The static busybox of this machine: its path, allocated. NOT_FOUND with a hint when there is none. */
char *rootfs_busybox(struct err *err);
/* The tree of image `base`. Its owners are collected in job->owners. */
int rootfs_tree(const struct tree_job *job);
/* The ext4 file of a tree, without unused blocks. owners: debugfs commands, empty: the tree's owners are kept (root only).
 * tmp: a folder for scratch files. */
int rootfs_disk(const char *dir, const struct disk_shape *shape, const struct buf *owners, const char *tmp, const char *path,
	struct err *err);

#endif
