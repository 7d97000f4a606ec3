/*
 * archive_out: a tree as an archive. The same tree gives the same bytes, whatever the machine's locale and time zone: entries are
 * in the tree's order, belong to 0:0 and are of 1970 (zip: 1980).
 */
#ifndef SBX_CLI_FS_ARCHIVE_OUT_H
#define SBX_CLI_FS_ARCHIVE_OUT_H

#include "shared/store/tree.h"

enum export_format { EXPORT_TAR, EXPORT_TAR_GZ, EXPORT_TAR_ZST, EXPORT_ZIP };

struct export_sink {
	int (*write)(void *arg, const void *data, size_t n, struct err *err);
	/* what the format has no word for was left out */
	void (*skipped)(void *arg, const char *path, const char *why);
	void *arg;
};

/* INVALID for a tree in which a name is a file and a folder, which no archive can say. */
int archive_export(
	struct store *s, const struct hash *tree, enum export_format format, const struct export_sink *sink, struct err *err);

#endif
