/*
 * patch: one changed file as a piece of a unified diff that git apply and patch understand.
 */
#ifndef SBX_CLI_FS_PATCH_H
#define SBX_CLI_FS_PATCH_H

#include "cli/fs/repo.h"
#include "shared/store/diff.h"

struct patcher {
	struct store *s;
	const char *folder; /* the new side lies here, NULL: in the store */
};

struct patch_size {
	uint64_t added, removed; /* lines */
	bool binary;		 /* not lines of text, or too long for them */
};

/* Appended to out. */
int patch_write(const struct patcher *p, const struct diff_item *item, struct buf *out, struct err *err);
int patch_measure(const struct patcher *p, const struct diff_item *item, struct patch_size *out, struct err *err);
/* A patch for a terminal: colours, and nothing in it that the terminal would obey. */
void patch_paint(struct buf *out, const char *text, size_t n);

#endif
