/*
 * blocks: a large sparse file of blocks of one size (the RAM of a VM, a disk) as a tree, so that gc, fsck, remotes and clones treat
 * it as any other. What changes little between two images is cheap to keep, and what differs is found without reading the rest.
 *
 * The tree: a file `blocks` with three lines of text ("sbx-blocks 1", "block 16384", "size 268435456") and the folder `data`,
 * absent when all is zero: a trie of folders named by one hex digit each, as deep as the size needs and no deeper. At the bottom
 * each folder is a leaf: one file `blocks` of 16 blocks (32 of 4 KiB), every block a chunk of its own. A leaf that is all zero, and
 * a folder of such, is absent; a zero block within a leaf is the chunk of zeros; what is beyond the size is zero. So an image has
 * one tree, whatever it was made from. Scattered changes cost, beside the blocks, about 700 bytes a leaf and the same for each
 * folder above it. Not for work_push: a file that is checked out of such a tree and pushed again is cut as files are. Reading:
 * hostile trees. INVALID for what is no such tree, IO for a block of another size; memory does not depend on what a tree says. Its
 * size is what it says (BLOCKS_SIZE_MAX at most): ask blocks_shape before writing it out. Threads: reading, hashing and compressing
 * run on all cores; callbacks that say so are called from several threads at once.
 */
#ifndef SBX_STORE_BLOCKS_H
#define SBX_STORE_BLOCKS_H

#include "shared/store/store.h"

#define BLOCKS_SIZE_MAX ((uint64_t)1 << 44)
#define BLOCKS_MIN 4096u /* a block is a power of two between these */
#define BLOCKS_MAX (1u << 20)

struct blocks_shape {
	uint64_t size; /* in bytes; the last block may be cut by it */
	uint32_t block;
};
/* What a tree says of itself. INVALID when it is none of ours. */
int blocks_shape(struct store *s, const struct hash *id, struct blocks_shape *out, struct err *err);

/* Blocks one behind the other. */
struct blocks_run {
	uint64_t first, count;
	bool zero;	/* all of them, now: nothing is to be read */
	uint64_t place; /* of the first one, in whatever the source reads from: goes up with the bytes */
};

/* Where new content comes from. */
struct blocks_source {
	/* The next run of blocks that may differ from the base: 1, 0 at the end, -1. In ascending order, none twice. */
	int (*next)(void *arg, struct blocks_run *run, struct err *err);
	/* Exactly n bytes. Called from several threads, also after next was. */
	int (*read)(void *arg, uint64_t place, void *data, size_t n, struct err *err);
	void *arg;
};
/* The tree of base with the blocks that source has; without a base (NULL) the others are zero. The base has the same block size and
 * is not larger (INVALID). Blocks that are as they were cost no space. The caller began a write and holds gc off. */
int blocks_write(struct store *s, const struct hash *base, const struct blocks_shape *shape, const struct blocks_source *source,
	struct hash *out, struct err *err);

/* What differs in `to` from `from` (NULL: from zeros), in ascending order, until each returns non-zero, which is returned. Time
 * goes with the difference. run->place is the offset in bytes. INVALID when block sizes differ or from is larger. */
typedef int blocks_diff_fn(void *arg, const struct blocks_run *run, struct err *err);
int blocks_diff(struct store *s, const struct hash *from, const struct hash *to, blocks_diff_fn *each, void *arg, struct err *err);

/* The same with the bytes: whole blocks, NULL for a run of zeros. Called from several threads, in no order; -1 ends it. */
typedef int blocks_data_fn(void *arg, const struct blocks_run *run, const uint8_t *data, struct err *err);
int blocks_each(struct store *s, const struct hash *from, const struct hash *to, blocks_data_fn *each, void *arg, struct err *err);

/* The tree of a regular file's content, up to shape->size (a shorter file: zeros behind it; the file must not change). Holes are
 * not read. What does not differ from base (may be NULL) costs no space. Inside a write. */
int blocks_from_file(
	struct store *s, const struct hash *base, const struct blocks_shape *shape, int fd, struct hash *out, struct err *err);
/* Make a file that has the content of `from` (NULL: nothing or zeros only) be `to`, of its size; zeros become holes where the file
 * system has them. Not fsynced. */
int blocks_to_file(struct store *s, const struct hash *from, const struct hash *to, int fd, struct err *err);

#endif
