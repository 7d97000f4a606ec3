/*
 * ext4: a file system written straight into a file, by libext2fs. No root, no mount, and no path of the host is ever made of a
 * name inside, so that a hostile archive has nothing to climb out of.
 *
 * Sequence: ext4_create; files (ext4_file_begin, ext4_file_write..., ext4_file_end), which no folder names yet; then names
 * (ext4_link, ext4_symlink, ext4_node, ext4_mkdir), parents first; ext4_finish. ext4_free at the end in any case.
 * One thread; blocking. NO_SPACE when the disk is too small for what is to go into it.
 */
#ifndef SBX_IMAGE_EXT4_H
#define SBX_IMAGE_EXT4_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/base/err.h"

#define EXT4_DISK_SIZE "8G" /* what the guest sees; the file holds only what is used */
#define EXT4_ROOT 2

struct ext4;

struct ext4_xattr {
	char *name;
	void *value;
	size_t n;
};

/* What is known of a file beside its name and contents. */
struct ext4_meta {
	mode_t mode; /* with the kind of file */
	uint32_t uid, gid;
	int64_t mtime; /* seconds */
	dev_t rdev;
	const struct ext4_xattr *xattrs;
	size_t xattr_count;
};

/* An empty file system in the new file path. NULL with err. */
struct ext4 *ext4_create(const char *path, struct err *err);
void ext4_free(struct ext4 *x);
/* All is on the disk when it returns 0, and free space takes none. */
int ext4_finish(struct ext4 *x, struct err *err);

/* Contents of a regular file, one at a time. Holes are where nothing is written. */
int ext4_file_begin(struct ext4 *x, uint32_t *ino, struct err *err);
int ext4_file_write(struct ext4 *x, uint64_t offset, const void *data, size_t n, struct err *err);
int ext4_file_end(struct ext4 *x, uint64_t size, struct err *err);
/* Give the space of such a file back: nothing names it. */
int ext4_forget(struct ext4 *x, uint32_t ino, struct err *err);

/* Name a file of ext4_file_begin or ext4_node. `links`: how many names it will have in all; meta is written with the first. */
int ext4_link(struct ext4 *x, uint32_t parent, const char *name, uint32_t ino, mode_t mode, struct err *err);
int ext4_set(struct ext4 *x, uint32_t ino, const struct ext4_meta *meta, unsigned links, struct err *err);
/* A device or a fifo without a name. */
int ext4_node(struct ext4 *x, const struct ext4_meta *meta, uint32_t *ino, struct err *err);
/* A symlink without a name. */
int ext4_symlink(struct ext4 *x, const char *target, uint32_t *ino, struct err *err);
/* A new folder; the names of the top (EXT4_ROOT) come with the file system. Meta by ext4_set with links 0. */
int ext4_mkdir(struct ext4 *x, uint32_t parent, const char *name, uint32_t *ino, struct err *err);

#endif
