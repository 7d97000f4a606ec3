/*
 * erofs: writes a read-only file system image (EROFS, uncompressed, blocks of 4 KiB) in one pass over a tree: what the guest's
 * kernel mounts. Written here because a tree is in the store and not in a folder, which is all that mkfs.erofs can read.
 *
 * Content goes to whole blocks in the order in which it comes; inodes, with small contents and tails behind them, to extents in
 * between. A folder's inode is given a place when it begins, since its children name it, and is filled in when it ends. Memory is
 * that of the names of the folders that are open. Blocks of zeros are left out of the file.
 * Sequence: erofs_new (the root is open), entries in byte order of their names with folders nested, erofs_end.
 * Names and link targets may hold any bytes but NUL. All belongs to root; all times are the one that is given.
 */
#ifndef SBX_IMAGE_EROFS_H
#define SBX_IMAGE_EROFS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/base/err.h"

struct erofs;
struct erofs_name {
	const char *p; /* not terminated */
	size_t n;
};

/* fd: an empty file, which stays the caller's. max: it must not become larger (TOO_LARGE). */
struct erofs *erofs_new(int fd, uint64_t max, int64_t time_s);
void erofs_free(struct erofs *e);

/* mode: permission bits. */
int erofs_dir_begin(struct erofs *e, struct erofs_name name, mode_t mode, struct err *err);
int erofs_dir_end(struct erofs *e, struct err *err);
/* A file of exactly that size: its content follows in pieces, then erofs_file_end. */
int erofs_file_begin(struct erofs *e, struct erofs_name name, mode_t mode, uint64_t size, struct err *err);
int erofs_file_data(struct erofs *e, const void *data, size_t n, struct err *err);
int erofs_file_end(struct erofs *e, struct err *err);
int erofs_link(struct erofs *e, struct erofs_name name, struct erofs_name target, struct err *err);
/* Fifo, socket or device; mode with its type. */
int erofs_special(struct erofs *e, struct erofs_name name, mode_t mode, dev_t rdev, struct err *err);
/* Close the root and write what is left. *size: of the image, in whole blocks. */
int erofs_end(struct erofs *e, uint64_t *size, struct err *err);

#endif
