/*
 * change_tree: what a sandbox changed becomes a tree. The stream of changes (shared/wire/changes.h) is turned into edits of the
 * tree that was mounted; contents go into the store as they come, and edits are applied whenever they have become many, so that
 * memory does not depend on how much was changed. The stream may be hostile.
 */
#ifndef SBX_CORE_CHANGE_TREE_H
#define SBX_CORE_CHANGE_TREE_H

#include "shared/store/store.h"

/* Bytes are of regular files. */
struct change_counts {
	struct hash tree;
	uint64_t files, bytes, removed;
};

struct change_tree;
struct change_tree *change_tree_new(const struct hash *base);
void change_tree_free(struct change_tree *c);
/* The next bytes of the stream; then its end. Each within a write of the store that the caller began, always of the same handle;
 * after a failure only change_tree_free. */
int change_tree_add(struct change_tree *c, struct store *s, const void *data, size_t n, struct err *err);
int change_tree_end(struct change_tree *c, struct store *s, struct err *err);
/* After change_tree_end; until change_tree_free. */
const struct change_counts *change_tree_result(const struct change_tree *c);

#endif
