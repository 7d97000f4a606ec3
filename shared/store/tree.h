/*
 * tree: trees of nodes in a store: looking things up, walking, changing. Ids in, ids out.
 * Paths are relative, parts between single slashes, any bytes but NUL; "" is the root. "." and empty parts are dropped, ".." is
 * INVALID.
 * The empty folder (object_empty) need not be in the store.
 * Threads: as the store's; a tree_file and a hash_set belong to one thread at a time.
 */
#ifndef SBX_STORE_TREE_H
#define SBX_STORE_TREE_H

#include "shared/store/object.h"
#include "shared/store/store.h"

/* A node with the bytes it points into. */
struct tree_node {
	struct buf bytes;
	struct node node;
};
int tree_load(struct store *s, const struct hash *id, struct tree_node *out, struct err *err);
void tree_unload(struct tree_node *t);

/* What is at a path: a file part (or a folder's mode), a folder, or both. NOT_FOUND. The entry points into holder: tree_at_free,
 * also allowed after a failure. The root is not looked for. */
struct tree_at {
	bool has_file, has_dir;
	struct entry file;
	struct hash dir;
	struct tree_node holder;
};
int tree_find(struct store *s, const struct hash *root, const char *path, struct tree_at *out, struct err *err);
void tree_at_free(struct tree_at *at);

/* Every entry below a tree in byte order of names, a file part before the folder of its name: until each returns non-zero, which is
 * returned. A call for a folder has is_dir set (then a file part of the child that is a folder's mode belongs to it and is not told
 * apart); it may answer TREE_SKIP to stay out of it. Deep trees are no problem; what a hostile tree repeats is walked as often. */
#define TREE_SKIP 2
typedef int tree_each_fn(void *arg, const char *path, const struct child *child, bool is_dir, struct err *err);
int tree_walk(struct store *s, const struct hash *root, tree_each_fn *each, void *arg, struct err *err);

/* Read bytes [offset, offset + length) of a file's content, as far as there are; each gets them in order, until it returns
 * non-zero, which is returned. IO when the chunks are not of the size that the entry says. */
typedef int tree_data_fn(void *arg, const void *data, size_t n, struct err *err);
int tree_read(struct store *s, const struct entry *file, uint64_t offset, uint64_t length, tree_data_fn *each, void *arg,
	struct err *err);
/* Whole, at most max bytes (TOO_LARGE). */
int tree_read_all(struct store *s, const struct entry *file, size_t max, struct buf *out, struct err *err);

/* A new tree from an old one by edits given in any order; only the nodes on changed spines are read and written. Empty folders
 * that edits leave behind are dropped as mcp-v8 does, unless they were there before or an edit says so (dir with object_empty; a
 * file part that is a folder's mode, which makes the folder, and of which 0755 is left out). Edits of a folder are done before
 * those below it, those of one path in their order. Removing what is not there is no error. */
struct tree_edit {
	const char *path;
	bool remove;		  /* file part (and folder mode) at path; with dir also the folder (tree does not count) */
	bool dir;		  /* set: replace the folder at path by *tree */
	const struct entry *file; /* set: the file part; its pointers must live until tree_apply returns */
	struct hash tree;
};
/* Objects are put into a write that the caller began. root may be &object_empty. */
int tree_apply(struct store *s, const struct hash *root, const struct tree_edit *edits, size_t n, struct hash *out,
	struct err *err);

/* A file's content as an entry: inline up to OBJECT_INLINE_MAX, else cut, hashed and put. Streams: any size in constant memory. */
struct tree_file;
struct tree_file *tree_file_new(struct store *s, uint32_t mode);
int tree_file_add(struct tree_file *f, const void *data, size_t n, struct err *err);
/* As adding n zero bytes, but a long run costs next to nothing: for holes. */
int tree_file_zeros(struct tree_file *f, uint64_t n, struct err *err);
/* *entry points into f, which the caller frees when it is done with the entry. With OBJECT_LINK_MODE the content is the target. */
int tree_file_end(struct tree_file *f, struct entry *entry, struct err *err);
void tree_file_free(struct tree_file *f);

/* Everything that a tree leads to (nodes and chunks), each once, until each returns non-zero, which is returned. Missing objects
 * are reported to missing (NULL: NOT_FOUND); the empty folder never is. seen (NULL: none) lets several calls share what was
 * visited; what the caller added counts as visited. An object that is both a node and a chunk comes twice. Damaged nodes are
 * errors. */
struct hash_set;
struct hash_set *hash_set_new(void);
void hash_set_free(struct hash_set *set);
bool hash_set_add(struct hash_set *set, const struct hash *id); /* false: it was there */
/* Was added, or visited by tree_reach. */
bool hash_set_has(const struct hash_set *set, const struct hash *id);
size_t hash_set_count(const struct hash_set *set);
typedef int tree_object_fn(void *arg, enum object_kind kind, const struct hash *id, struct err *err);
int tree_reach(struct store *s, const struct hash *root, struct hash_set *seen, tree_object_fn *each, void *arg,
	void (*missing)(void *arg, const struct hash *id), struct err *err);

#endif
