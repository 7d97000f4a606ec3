/*
 * diff_internal: what the parts of diff (diff.c, diff_git.c, diff_mcp.c) share. Lines are numbers here: equal lines, equal numbers.
 */
#ifndef SBX_STORE_DIFF_INTERNAL_H
#define SBX_STORE_DIFF_INTERNAL_H

#include "shared/store/diff.h"

struct seq {
	const uint32_t *id;
	size_t n;
};

/* Edit scripts of two sequences whose numbers are below `classes`. */
int script_git(struct seq a, struct seq b, size_t classes, struct diff_runs *out, struct err *err);
int script_mcp(struct seq a, struct seq b, size_t classes, struct diff_runs *out, struct err *err);

/* Append a run; false without memory. */
bool runs_add(struct diff_runs *r, size_t *cap, struct diff_run run);
int diff_no_memory(struct err *err);
/* NULL without memory. */
void *diff_zeros(size_t n, size_t size);

#endif
