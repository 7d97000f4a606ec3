/*
 * change: what differs between two trees, or a tree and a folder, as the commands show it.
 */
#ifndef SBX_CLI_FS_CHANGE_H
#define SBX_CLI_FS_CHANGE_H

#include "cli/fs/repo.h"
#include "shared/store/diff.h"

/* "added", "removed", "changed", "mode", "renamed"; and its letter: A D M T R. */
const char *change_name(enum diff_kind kind);
char change_letter(enum diff_kind kind);
/* Members of an open object: change, path, oldPath, type, and of both sides mode, size, id. */
void doc_change(struct doc *d, const struct diff_item *item);
/* "M  path", "R  old -> new"; a folder's path ends with a slash. */
void print_change(struct buf *out, const struct diff_item *item);

/* A diff_fn that prints items as lines, or adds them to an open array of the document. */
struct change_list {
	struct cli *cli;
	struct doc *doc; /* NULL: lines */
	size_t count;
};
int change_list_add(void *arg, const struct diff_item *item, struct err *err);

#endif
