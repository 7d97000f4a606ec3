/*
 * rootfs: the root file system of image `base`, which is busybox, as an ext4 file. No root, no loop device: the tree is copied in
 * by mke2fs and its owners are set in the file by debugfs. The agent is not in it, see bundle.h.
 */
#ifndef SBX_IMAGE_ROOTFS_H
#define SBX_IMAGE_ROOTFS_H

#include "shared/base/err.h"

struct disk_job;

/* The static busybox of this machine: its path, allocated. NOT_FOUND with a hint when there is none. */
char *rootfs_busybox(struct err *err);
int rootfs_base(const struct disk_job *job);

#endif
