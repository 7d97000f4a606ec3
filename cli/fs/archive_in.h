/*
 * archive_in: an archive (tar, also compressed by gzip, bzip2, xz or zstd, or zip) as a tree. It may be hostile: nothing is
 * unpacked to disk, names with ".." and what is a file and a folder at once are refused, a leading slash is dropped, and what it
 * swells to is bounded. Hard links become files of the same content; devices are left out unless they are asked for. Owners and
 * times are dropped.
 */
#ifndef SBX_CLI_FS_ARCHIVE_IN_H
#define SBX_CLI_FS_ARCHIVE_IN_H

#include <sys/types.h>

#include "shared/store/tree.h"

#define IMPORT_SIZE_MAX ((uint64_t)64 << 30)
#define IMPORT_ENTRIES_MAX 10000000u

struct import_counts {
	uint64_t entries, bytes;
};

struct import_source {
	/* the next bytes in memory of the reader: > 0, 0 at the end, -1 with err */
	ssize_t (*read)(void *arg, const void **data, struct err *err);
	/* as lseek, -1 where that is not possible; NULL */
	int64_t (*seek)(void *arg, int64_t offset, int whence);
	void (*skipped)(void *arg, const char *path, const char *why);
	/* now and then: 0 or -1 to stop */
	int (*step)(void *arg, const struct import_counts *c, struct err *err);
	void *arg;
	uint64_t size_max; /* bytes of content; 0: IMPORT_SIZE_MAX, and no more than 1000 times of what was read */
	bool devices;
};

/* Objects go into a write that the caller began. INVALID, TOO_LARGE, PROTOCOL for what is no archive. */
int archive_import(
	struct store *s, const struct import_source *source, struct hash *out, struct import_counts *counts, struct err *err);

#endif
