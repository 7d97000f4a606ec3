/*
 * tree: trees of nodes in a store: looking things up, walking, changing. Ids in, ids out.
 * Paths are relative, parts between single slashes, any bytes but NUL; "" is the root. "." and empty parts are dropped, ".." is INVALID.
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

/* What is at a path: a file part, a folder, or both. NOT_FOUND. The entry points into holder, which the caller unloads. */
struct tree_at {
	bool has_file, has_dir;
	struct entry file;
	struct hash dir;
	struct tree_node holder;
};
int tree_find(struct store *s, const struct hash *root, const char *path, struct tree_at *out, struct err *err);
void tree_at_free(struct tree_at *at);

/* Every entry below a tree in byte order of names, a file part before the folder of its name: until each returns non-zero. For a folder
 * entry is NULL and each may answer TREE_SKIP to stay out of it. */
#define TREE_SKIP 2
typedef int tree_each_fn(void *arg, const char *path, const struct child *child, bool is_dir, struct err *err);
int tree_walk(struct store *s, const struct hash *root, tree_each_fn *each, void *arg, struct err *err);

/* Read bytes [offset, offset + length) of a file's content; each gets them in order. */
typedef int tree_data_fn(void *arg, const void *data, size_t n, struct err *err);
int tree_read(struct store *s, const struct entry *file, uint64_t offset, uint64_t length, tree_data_fn *each, void *arg, struct err *err);
/* Whole, at most max bytes (TOO_LARGE). */
int tree_read_all(struct store *s, const struct entry *file, size_t max, struct buf *out, struct err *err);

/* A new tree from an old one by edits given in any order; only the nodes on changed spines are written. Empty folders that edits leave
 * behind are dropped as mcp-v8 does, unless they were there before. */
struct tree_edit {
	const char *path;
	bool remove;		  /* file part (and folder mode) at path; with dir also the folder */
	bool dir;		  /* set: replace the folder at path by *tree */
	const struct entry *file; /* set: the file part; its pointers must live until tree_apply returns */
	struct hash tree;
};
/* Objects are put into a write that the caller began. root may be &object_empty. */
int tree_apply(struct store *s, const struct hash *root, const struct tree_edit *edits, size_t n, struct hash *out, struct err *err);

/* A file's content as an entry: inline up to OBJECT_INLINE_MAX, else cut, hashed and put. Streams: any size in constant memory. */
struct tree_file;
struct tree_file *tree_file_new(struct store *s, uint32_t mode);
int tree_file_add(struct tree_file *f, const void *data, size_t n, struct err *err);
/* *entry points into f, which the caller frees when it is done with the entry. */
int tree_file_end(struct tree_file *f, struct entry *entry, struct err *err);
void tree_file_free(struct tree_file *f);

/* Everything that a tree leads to (nodes and chunks), each once, until each returns non-zero. Missing objects are reported to missing
 * (NULL: an error). seen lets several calls share what was visited. */
struct hash_set;
struct hash_set *hash_set_new(void);
void hash_set_free(struct hash_set *set);
bool hash_set_add(struct hash_set *set, const struct hash *id); /* false: it was there */
bool hash_set_has(const struct hash_set *set, const struct hash *id);
size_t hash_set_count(const struct hash_set *set);
typedef int tree_object_fn(void *arg, enum object_kind kind, const struct hash *id, struct err *err);
int tree_reach(struct store *s, const struct hash *root, struct hash_set *seen, tree_object_fn *each, void *arg,
	void (*missing)(void *arg, const struct hash *id), struct err *err);

#endif
