/*
 * blocks: writing. The calling thread sorts what the source has into leaves; the crew reads, hashes and puts the blocks of a leaf
 * and then the leaf; what becomes of the folders above is left to tree_apply, as edits of the base.
 */
#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/store/blocks_internal.h"

enum {
	PATH_ROOM = sizeof(BLOCKS_DATA) + 2 * LEVELS_MAX,
	EDITS = 1 << 16, /* so many leaves go into the tree at once: a bound on memory, hardly ever reached */
};

/* A leaf that changes. */
struct job {
	uint64_t leaf;
	uint32_t take, zero; /* blocks to read, blocks that became zero: a bit each */
	uint64_t place[LEAF_MAX];
	bool has_base;
	struct hash base;
	/* its result */
	bool empty, same;
	struct hash id;
};

struct edit {
	char path[PATH_ROOM];
	struct hash id;
	bool empty;
};

struct writing {
	struct store *s;
	struct layout l, base;
	const struct blocks_source *source;
	struct hash zero;
	struct hash root; /* the tree as far as it is made */
	struct edit *edits;
	size_t edits_n, room;
	/* the folders of the base on the way to the last leaf that was looked for */
	struct fan fans[LEVELS_MAX];
	uint64_t at[LEVELS_MAX]; /* number of each among those of its level, plus 1 */
};

/* ---- in the crew ---- */

/* Blocks [i, i + n) of the leaf, which lie together in the source too. */
static int read_run(const struct writing *w, const struct job *j, unsigned i, unsigned n, uint8_t *data, struct err *err)
{
	uint32_t block = w->l.shape.block;
	uint64_t at = (j->leaf * w->l.per_leaf + i) * block, want = (uint64_t)n * block;
	uint64_t have = want < w->l.shape.size - at ? want : w->l.shape.size - at;
	memset(data + have, 0, (size_t)(want - have));
	return w->source->read(w->source->arg, j->place[i], data, (size_t)have, err);
}

/* All that is to be taken, to its place in data. */
static int read_blocks(const struct writing *w, const struct job *j, uint8_t *data, struct err *err)
{
	uint32_t block = w->l.shape.block;
	for (unsigned i = 0, n; i < w->l.per_leaf; i += n) {
		n = 1;
		if (!(j->take >> i & 1))
			continue;
		while (i + n < w->l.per_leaf && j->take >> (i + n) & 1 && j->place[i + n] == j->place[i] + (uint64_t)n * block)
			n++;
		if (read_run(w, j, i, n, data + (size_t)i * block, err))
			return -1;
	}
	return 0;
}

static int put_blocks(const struct writing *w, struct job *j, const uint8_t *data, struct leaf *leaf, struct err *err)
{
	uint32_t block = w->l.shape.block;
	j->same = j->has_base;
	j->empty = true;
	for (unsigned i = 0; i < w->l.per_leaf; i++) {
		const uint8_t *p = data + (size_t)i * block;
		struct hash id = leaf->id[i];
		bool take = j->take >> i & 1;
		if (j->zero >> i & 1 || (take && blocks_all_zero(p, block)))
			id = w->zero;
		else if (take)
			hash_of(p, block, &id);
		bool zero = hash_eq(&id, &w->zero), same = hash_eq(&id, &leaf->id[i]);
		if (take && !zero && !same && store_put(w->s, OBJECT_CHUNK, p, block, &id, NULL, err))
			return -1;
		j->same = j->same && same;
		j->empty = j->empty && zero;
		leaf->id[i] = id;
	}
	return 0;
}

static int do_leaf(void *arg, void *slot, void *scratch, struct err *err)
{
	const struct writing *w = arg;
	struct job *j = slot;
	struct leaf leaf;
	if (leaf_load(w->s, j->has_base ? &j->base : NULL, &w->l, &w->zero, &leaf, err) || read_blocks(w, j, scratch, err) ||
		put_blocks(w, j, scratch, &leaf, err))
		return -1;
	if (j->same)
		j->id = j->base;
	return j->same || j->empty ? 0 : leaf_put(w->s, &leaf, &w->l, &j->id, err);
}

/* ---- in the calling thread ---- */

static void leaf_path(const struct layout *l, uint64_t leaf, char *out)
{
	char *p = stpcpy(out, BLOCKS_DATA);
	for (unsigned level = l->levels; level--;) {
		*p++ = '/';
		*p++ = "0123456789abcdef"[leaf >> (level * FAN_BITS) & (FAN - 1)];
	}
	*p = '\0';
}

static int apply_edits(struct writing *w, struct err *err)
{
	auto_free struct tree_edit *edits = mem_array(w->edits_n, sizeof(*edits));
	for (size_t i = 0; i < w->edits_n; i++) {
		const struct edit *e = &w->edits[i];
		edits[i] = (struct tree_edit){ .path = e->path, .remove = e->empty, .dir = true, .tree = e->id };
	}
	struct hash root = w->root;
	int rc = w->edits_n ? tree_apply(w->s, &root, edits, w->edits_n, &w->root, err) : 0;
	w->edits_n = 0;
	return rc;
}

static int take_leaf(void *arg, const void *slot, struct err *err)
{
	struct writing *w = arg;
	const struct job *j = slot;
	if (j->same || (j->empty && !j->has_base))
		return 0;
	if (w->edits_n == w->room) {
		w->room = w->room ? 2 * w->room : 256;
		w->edits = mem_grow(w->edits, w->room, sizeof(*w->edits));
	}
	struct edit *e = &w->edits[w->edits_n++];
	leaf_path(&w->l, j->leaf, e->path);
	e->id = j->id;
	e->empty = j->empty;
	return w->edits_n < EDITS ? 0 : apply_edits(w, err);
}

/* The base's leaf of a number, if it has one; else where the next one may be. */
struct spot {
	bool has;
	struct hash id;
	uint64_t gap_end; /* leaf */
};

static int find_base(struct writing *w, uint64_t leaf, struct spot *out, struct err *err)
{
	const struct layout *b = &w->base;
	*out = (struct spot){ .has = b->has_data && leaf < b->leaves, .id = b->data, .gap_end = w->l.leaves };
	for (unsigned level = b->levels; out->has && level--;) {
		uint64_t number = leaf >> (level * FAN_BITS), at = number >> FAN_BITS;
		if (w->at[level] != at + 1 && fan_load(w->s, &out->id, &w->fans[level], err))
			return -1;
		w->at[level] = at + 1;
		out->has = w->fans[level].has >> (number & (FAN - 1)) & 1;
		out->id = w->fans[level].id[number & (FAN - 1)];
		out->gap_end = (number + 1) << (level * FAN_BITS);
	}
	return 0;
}

static int check_run(const struct writing *w, const struct blocks_run *r, uint64_t from, struct err *err)
{
	if (r->first < from || r->first > w->l.blocks || r->count > w->l.blocks - r->first)
		return err_set(err, ERR_INVALID, "blocks %llu and on, %llu of them, are out of order or beyond the image",
			(unsigned long long)r->first, (unsigned long long)r->count);
	return 0;
}

/* Put what a run has of the leaf into the job, from block `at` on; returns how many blocks those are. */
static uint64_t add_run(const struct writing *w, struct job *j, const struct blocks_run *r, uint64_t at)
{
	uint64_t end = (j->leaf + 1) * w->l.per_leaf, to = r->first + r->count < end ? r->first + r->count : end;
	for (uint64_t b = at; b < to; b++) {
		unsigned i = (unsigned)(b - j->leaf * w->l.per_leaf);
		if (r->zero)
			j->zero |= 1u << i;
		else
			j->take |= 1u << i;
		j->place[i] = r->place + (b - r->first) * w->l.shape.block;
	}
	return to - at;
}

static struct job *new_job(struct crew *c, uint64_t leaf, const struct spot *spot, struct err *err)
{
	struct job *j = crew_slot(c, err);
	if (!j)
		return NULL;
	j->leaf = leaf;
	j->take = j->zero = 0;
	j->has_base = spot->has;
	j->base = spot->id;
	return j;
}

/* Add a run to the leaf that is coming together, and hand out those that are. */
static int add_all(struct writing *w, struct crew *c, const struct blocks_run *r, struct job **last, struct err *err)
{
	struct job *j = *last;
	for (uint64_t at = r->first, end = r->first + r->count; at < end;) {
		uint64_t leaf = at / w->l.per_leaf;
		if (j && j->leaf == leaf) {
			at += add_run(w, j, r, at);
			continue;
		}
		struct spot spot;
		if (j)
			crew_go(c);
		*last = j = NULL;
		if (find_base(w, leaf, &spot, err))
			return -1;
		/* zeros where the base has nothing change nothing */
		if (r->zero && !spot.has)
			at = spot.gap_end * w->l.per_leaf;
		else if (!(*last = j = new_job(c, leaf, &spot, err)))
			return -1;
	}
	return 0;
}

static int hand_out(struct writing *w, struct crew *c, struct err *err)
{
	struct blocks_run r;
	struct job *last = NULL;
	uint64_t from = 0;
	int more;
	while ((more = w->source->next(w->source->arg, &r, err)) > 0) {
		if (check_run(w, &r, from, err) || add_all(w, c, &r, &last, err))
			return -1;
		from = r.first + r.count;
	}
	if (last)
		crew_go(c);
	return more;
}

/* The tree to change: the base, or with another size a new top over what it has. */
static int start_root(struct writing *w, const struct hash *base, struct err *err)
{
	char text[128], path[PATH_ROOM];
	if (base && w->base.shape.size == w->l.shape.size) {
		w->root = *base;
		return 0;
	}
	size_t n = blocks_meta(&w->l.shape, text, sizeof(text));
	const struct entry meta = { .mode = OBJECT_FILE_MODE, .size = n, .data = (const uint8_t *)text };
	struct tree_edit edits[] = {
		{ .path = BLOCKS_META, .file = &meta },
		{ .path = path, .dir = true, .tree = w->base.data },
	};
	/* what was the whole is now the first part, level by level */
	const struct layout above = { .levels = w->l.levels - w->base.levels };
	leaf_path(&above, 0, path);
	return tree_apply(w->s, &object_empty, edits, w->base.has_data ? 2 : 1, &w->root, err);
}

static int write_leaves(struct writing *w, struct err *err)
{
	const struct crew_work work = { .slot = sizeof(struct job),
		.scratch = (size_t)w->l.per_leaf * w->l.shape.block,
		.run = do_leaf,
		.done = take_leaf,
		.arg = w };
	struct crew *c = crew_new(&work, err);
	if (!c || crew_end(c, hand_out(w, c, err), err))
		return -1;
	return apply_edits(w, err);
}

/* A leaf names the block of zeros, which has to be there. */
static int put_zeros(const struct writing *w, struct err *err)
{
	auto_free uint8_t *zeros = mem_zalloc(w->l.shape.block);
	return store_put(w->s, OBJECT_CHUNK, zeros, w->l.shape.block, &w->zero, NULL, err);
}

/* NOLINTNEXTLINE(readability-function-size): the contract in blocks.h has six parameters and the error */
int blocks_write(struct store *s, const struct hash *base, const struct blocks_shape *shape, const struct blocks_source *source,
	struct hash *out, struct err *err)
{
	auto_free struct writing *w = mem_zalloc(sizeof(*w));
	w->s = s;
	w->source = source;
	w->base.shape = *shape;
	if (layout_of(shape, &w->l, err) || layout_load(s, base, &w->base, err) || layout_fits(&w->base, &w->l, err))
		return -1;
	blocks_zero_id(shape->block, &w->zero);
	int rc = put_zeros(w, err) || start_root(w, base, err) || write_leaves(w, err) ? -1 : 0;
	free(w->edits);
	*out = w->root;
	return rc;
}
