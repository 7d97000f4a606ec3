/*
 * rootfs: the root file system of image `base`: busybox and the agent, as an ext4 file. No root, no loop device: the
 * tree is copied in by mke2fs and its owners are set in the file by debugfs.
 */
#ifndef SBX_IMAGE_ROOTFS_H
#define SBX_IMAGE_ROOTFS_H

#include "shared/base/buf.h"
#include "shared/base/err.h"

/* The static busybox of this machine: its path, allocated. NOT_FOUND with a hint when there is none. */
char *rootfs_busybox(struct err *err);
/* Build the tree in dir (new); owners are collected as debugfs commands in `owners`. */
int rootfs_tree(const char *dir, const char *busybox, const char *agent, struct buf *owners, struct err *err);
/* The ext4 file from the tree; `owners` as above. tmp: a folder for scratch files. */
int rootfs_disk(const char *dir, const struct buf *owners, const char *tmp, const char *path, struct err *err);

#endif
