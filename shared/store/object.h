/*
 * object: the bytes of tree nodes: reading and writing them. The id of a node is the hash of these bytes.
 *
 * Format and rules: reference/mcp-v8.md 2.2 and 2.3 (bincode 1). What that system cannot say is kept in ways that leave the ids of
 * what it can say unchanged (man/sbx-store.5, "Extensions"):
 *   - permission bits of files other than 0644: mode of the entry (0755, 04755, ...), as a plain number without the type bits;
 *   - an empty folder: has_dir with the id of the empty node;
 *   - permission bits of a folder other than 0755: beside has_dir, a file part with mode S_IFDIR | bits, size 0, inline, empty;
 *   - fifos, sockets and devices: file part with mode S_IFIFO, S_IFSOCK, S_IFCHR or S_IFBLK | bits, inline content "" or
 *     "MAJOR:MINOR";
 *   - names that are not UTF-8: their bytes.
 * Reader: hostile input. Strict: exactly one encoding for each tree is accepted (order, no duplicates, no trailing bytes, no names
 * that are empty, ".", "..", or hold '/' or NUL, tags 0 or 1, an inline size that is the content's, a symlink whose target is its
 * content, nothing inline that is larger or in chunks that is smaller than it may be, modes as above). What a chunk list leads to
 * is not known here: tree.h checks sizes when it reads.
 */
#ifndef SBX_STORE_OBJECT_H
#define SBX_STORE_OBJECT_H

#include <sys/stat.h>

#include "shared/base/err.h"
#include "shared/store/hash.h"

#define OBJECT_INLINE_MAX 65536u
#define OBJECT_NAME_MAX 255u
#define OBJECT_FILE_MODE 0644u
#define OBJECT_LINK_MODE 0120777u /* S_IFLNK | 0777 */
#define OBJECT_DIR_MODE 0755u

enum object_kind { OBJECT_TREE = 1, OBJECT_CHUNK = 2, OBJECT_BLOB = 3 /* whatever else the store is given: manifests */ };

/* The file part of a child. Pointers are into the node's bytes. */
struct entry {
	uint32_t mode; /* as stored: 0644, 0755, 0120777, S_IFDIR | bits, S_IFIFO | bits... */
	uint64_t size;
	bool chunked;
	const uint8_t *data; /* inline content (size bytes), or chunk ids (HASH_LEN each) */
	uint32_t chunks;     /* of them, when chunked */
	const char *link;    /* symlink target (not terminated), NULL when it is none */
	size_t link_len;
};

struct child {
	const char *name; /* not terminated */
	uint16_t name_len;
	bool has_file, has_dir;
	struct entry file;
	struct hash dir;
};

/* A node whose bytes stay the caller's. children are in byte order of their names. */
struct node {
	struct child *children;
	uint32_t count;
};

static inline bool entry_is_link(const struct entry *e)
{
	return e->link != NULL;
}
static inline bool entry_is_dir_mode(const struct entry *e)
{
	return S_ISDIR(e->mode);
}
static inline bool entry_is_special(const struct entry *e)
{
	return S_ISFIFO(e->mode) || S_ISSOCK(e->mode) || S_ISCHR(e->mode) || S_ISBLK(e->mode);
}
static inline bool entry_is_file(const struct entry *e)
{
	return !entry_is_link(e) && !entry_is_dir_mode(e) && !entry_is_special(e);
}

/* INVALID when the bytes are no node. Free with node_free. */
int node_decode(const void *data, size_t n, struct node *out, struct err *err);
void node_free(struct node *node);
/* Child by name, NULL. */
const struct child *node_find(const struct node *node, const char *name, size_t len);

/* Append the bytes of a node; children must be in order (checked: INVALID). */
int node_encode(const struct child *children, uint32_t count, struct buf *out, struct err *err);
/* Append the bytes of an entry alone; their hash is the entry id of merge conflicts. */
void entry_encode(const struct entry *e, struct buf *out);
void entry_id(const struct entry *e, struct hash *out);
bool entry_eq(const struct entry *a, const struct entry *b);
bool child_eq(const struct child *a, const struct child *b);

/* Name rules of a child, as node_decode checks them. */
bool object_name_ok(const char *name, size_t len);
/* The id of the node without children. */
extern const struct hash object_empty;

#endif
