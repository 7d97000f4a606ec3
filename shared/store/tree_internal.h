/*
 * tree_internal: paths, and the set of hashes with marks: shared by tree*.c.
 */
#ifndef SBX_STORE_TREE_INTERNAL_H
#define SBX_STORE_TREE_INTERNAL_H

#include "shared/store/tree.h"

/* How deep folders may be in a path: more than PATH_MAX lets anybody have. Recursion stays within a thread's stack. */
#define TREE_DEPTH_MAX 2048u

struct part {
	const char *p;
	size_t n;
};
/* The next part of a path, *path moved behind it: 1, 0 at the end, -1 (INVALID) for ".." and what can be no name. */
int tree_part(const char **path, struct part *out, struct err *err);

/* hash_set with a few marks for each hash (1 to 3): true when one of them was not there before. hash_set_add sets all of them. */
enum { MARK_TREE = 1, MARK_CHUNK = 2, MARK_ALL = 3 };
bool hash_set_mark(struct hash_set *set, const struct hash *id, unsigned marks);

#endif
