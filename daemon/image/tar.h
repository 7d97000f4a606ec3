/*
 * tar: reads a tar stream, plain or packed (gzip, zstd, xz, bzip2), and knows the SHA-256 of the unpacked bytes at its end. The
 * only module of images with libarchive in it. Bytes are foreign: sizes and numbers are bounded, names are not judged here.
 */
#ifndef SBX_IMAGE_TAR_H
#define SBX_IMAGE_TAR_H

#include <stdint.h>
#include <sys/types.h>

#include "daemon/image/ext4.h"
#include "daemon/image/hash.h"
#include "shared/base/err.h"

#define TAR_BYTES_MAX ((uint64_t)32 << 30) /* unpacked */

struct tar;

/* More bytes: their number, 0 at the end, -1 with err. */
typedef ssize_t tar_read(void *arg, const void **data, struct err *err);

struct tar_entry {
	const char *path;		 /* as it stands there */
	const char *symlink, *hard_link; /* or NULL */
	struct ext4_meta meta;		 /* the pointers hold until the next entry */
	uint64_t size;
};

struct tar *tar_open(tar_read *read, void *arg, struct err *err);
void tar_free(struct tar *t);
/* The next entry: 1, 0 at the end, -1. */
int tar_next(struct tar *t, struct tar_entry *out, struct err *err);
/* The next piece of its contents: 1, 0 at its end, -1. Between pieces are holes. */
int tar_data(struct tar *t, const void **data, size_t *n, uint64_t *offset, struct err *err);
/* Read what follows the last entry; the hash of all unpacked bytes. */
int tar_end(struct tar *t, char sha[HASH_HEX], struct err *err);
/* Unpacked bytes so far. */
uint64_t tar_bytes(const struct tar *t);

#endif
