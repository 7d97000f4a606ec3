/* blocks: what differs between two images, and reading it. Two tries are walked side by side; folders with one id are not entered.
 */
#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/store/blocks_internal.h"

/* A folder of one of the two, or nothing. A smaller image is the first part of a larger one: its top stands for the folders that it
 * would have above. */
struct side {
	bool has;
	unsigned level;
	struct hash id;
};
struct pair {
	struct side side[2]; /* from, to */
};

struct walk {
	struct store *s;
	struct layout l[2];
	struct hash zero;
	int (*leaf)(struct walk *w, uint64_t leaf, const struct pair *p, struct err *err);
	/* blocks_diff */
	blocks_diff_fn *each;
	struct blocks_run run; /* not told yet */
	/* blocks_each */
	blocks_data_fn *data;
	struct crew *crew;
	void *arg;
};

static int open_side(struct walk *w, const struct side *side, unsigned level, struct fan *out, struct err *err)
{
	out->has = 0;
	if (!side->has)
		return 0;
	if (side->level == level)
		return fan_load(w->s, &side->id, out, err);
	out->has = 1;
	out->id[0] = side->id;
	return 0;
}

/* index: the folder's number among those of its level. */
static int walk_level(struct walk *w, unsigned level, uint64_t index, const struct pair *p, struct err *err)
{
	const struct side *a = &p->side[0], *b = &p->side[1];
	struct fan fans[2];
	if ((!a->has && !b->has) || (a->has && b->has && a->level == b->level && hash_eq(&a->id, &b->id)))
		return 0;
	if (index << (level * FAN_BITS) >= w->l[1].leaves)
		return layout_beyond(err);
	if (level == 0)
		return w->leaf(w, index, p, err);
	if (open_side(w, a, level, &fans[0], err) || open_side(w, b, level, &fans[1], err))
		return -1;
	for (unsigned i = 0; i < FAN; i++) {
		struct pair below;
		for (int k = 0; k < 2; k++) {
			unsigned at = p->side[k].level < level ? p->side[k].level : level - 1;
			below.side[k] = (struct side){ .has = fans[k].has >> i & 1, .level = at, .id = fans[k].id[i] };
		}
		int rc = walk_level(w, level - 1, index << FAN_BITS | i, &below, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int walk_start(struct walk *w, const struct hash *from, const struct hash *to, struct err *err)
{
	if (layout_load(w->s, to, &w->l[1], err))
		return -1;
	w->l[0].shape = w->l[1].shape;
	if (layout_load(w->s, from, &w->l[0], err) || layout_fits(&w->l[0], &w->l[1], err))
		return -1;
	blocks_zero_id(w->l[1].shape.block, &w->zero);
	return 0;
}

static int walk_all(struct walk *w, struct err *err)
{
	struct pair top;
	for (int k = 0; k < 2; k++)
		top.side[k] = (struct side){ .has = w->l[k].has_data, .level = w->l[k].levels, .id = w->l[k].data };
	return walk_level(w, w->l[1].levels, 0, &top, err);
}

/* The blocks of a leaf on both sides, and how many of them the image has. */
static int load_pair(struct walk *w, uint64_t leaf, const struct pair *p, struct leaf out[2], struct err *err)
{
	for (int k = 0; k < 2; k++) {
		const struct side *side = &p->side[k];
		if (leaf_load(w->s, side->has ? &side->id : NULL, &w->l[k], &w->zero, &out[k], err))
			return -1;
		for (unsigned i = 0; i < w->l[k].per_leaf; i++)
			if (leaf * w->l[k].per_leaf + i >= w->l[k].blocks && !hash_eq(&out[k].id[i], &w->zero))
				return layout_beyond(err);
	}
	return 0;
}

/* ---- what differs ---- */

static int tell(struct walk *w, struct err *err)
{
	struct blocks_run run = w->run;
	run.place = run.first * w->l[1].shape.block;
	w->run.count = 0;
	return run.count ? w->each(w->arg, &run, err) : 0;
}

static int diff_leaf(struct walk *w, uint64_t leaf, const struct pair *p, struct err *err)
{
	struct leaf ids[2];
	if (load_pair(w, leaf, p, ids, err))
		return -1;
	for (unsigned i = 0; i < w->l[1].per_leaf; i++) {
		uint64_t at = leaf * w->l[1].per_leaf + i;
		if (hash_eq(&ids[0].id[i], &ids[1].id[i]))
			continue;
		bool zero = hash_eq(&ids[1].id[i], &w->zero);
		if (w->run.count && (w->run.first + w->run.count != at || w->run.zero != zero)) {
			int rc = tell(w, err);
			if (rc)
				return rc;
		}
		if (!w->run.count)
			w->run = (struct blocks_run){ .first = at, .zero = zero };
		w->run.count++;
	}
	return 0;
}

int blocks_diff(struct store *s, const struct hash *from, const struct hash *to, blocks_diff_fn *each, void *arg, struct err *err)
{
	struct walk w = { .s = s, .leaf = diff_leaf, .each = each, .arg = arg };
	if (walk_start(&w, from, to, err))
		return -1;
	int rc = walk_all(&w, err);
	return rc ? rc : tell(&w, err);
}

/* ---- reading ---- */

struct job {
	uint64_t leaf;
	struct pair pair;
};

static int hand_out(struct walk *w, uint64_t leaf, const struct pair *p, struct err *err)
{
	struct job *j = crew_slot(w->crew, err);
	if (!j)
		return -1;
	j->leaf = leaf;
	j->pair = *p;
	crew_go(w->crew);
	return 0;
}

/* Blocks [i, i + n) of a leaf, read and told. */
static int read_run(struct walk *w, const struct leaf *ids, uint64_t first, unsigned n, struct buf *data, struct err *err)
{
	uint32_t block = w->l[1].shape.block;
	const struct blocks_run run = {
		.first = first, .count = n, .zero = hash_eq(&ids->id[first % w->l[1].per_leaf], &w->zero), .place = first * block
	};
	if (run.zero)
		return w->data(w->arg, &run, NULL, err);
	buf_clear(data);
	for (unsigned i = 0; i < n; i++) {
		const struct hash *id = &ids->id[first % w->l[1].per_leaf + i];
		char hex[HASH_HEX + 1];
		if (store_get(w->s, id, data, err))
			return -1;
		if (data->len != (size_t)(i + 1) * block)
			return err_set(err, ERR_IO, "object %s is no block of %u bytes", hash_hex(id, hex), block);
	}
	return w->data(w->arg, &run, (const uint8_t *)data->p, err);
}

static int read_leaf(void *arg, void *slot, void *scratch, struct err *err)
{
	struct walk *w = arg;
	const struct job *j = slot;
	struct leaf ids[2];
	auto_buf data = BUF_INIT;
	unsigned per_leaf = w->l[1].per_leaf;
	(void)scratch;
	if (load_pair(w, j->leaf, &j->pair, ids, err))
		return -1;
	for (unsigned i = 0, n; i < per_leaf; i += n) {
		bool zero = hash_eq(&ids[1].id[i], &w->zero);
		for (n = 0; i + n < per_leaf && !hash_eq(&ids[0].id[i + n], &ids[1].id[i + n]); n++)
			if (hash_eq(&ids[1].id[i + n], &w->zero) != zero)
				break;
		if (n && read_run(w, &ids[1], j->leaf * per_leaf + i, n, &data, err))
			return -1;
		n = n ? n : 1;
	}
	return 0;
}

int blocks_each(struct store *s, const struct hash *from, const struct hash *to, blocks_data_fn *each, void *arg, struct err *err)
{
	struct walk w = { .s = s, .leaf = hand_out, .data = each, .arg = arg };
	const struct crew_work work = { .slot = sizeof(struct job), .run = read_leaf, .arg = &w };
	if (walk_start(&w, from, to, err) || !(w.crew = crew_new(&work, err)))
		return -1;
	return crew_end(w.crew, walk_all(&w, err), err);
}
