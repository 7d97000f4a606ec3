/*
 * Comparing up to three trees name by name, in step: the one that is wanted, the one on disk (of which nodes may be in memory
 * only), and the one that was last pushed or checked out. Folders that tree and disk have alike are not entered. A stack on the
 * heap: depth is the tree's to choose.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/store/work_internal.h"

struct frame {
	bool has[SIDES];
	struct tree_node node[SIDES]; /* bytes empty: they are kept ones */
	uint32_t at[SIDES];
	size_t path_len;
};

struct walk {
	const struct compare *c;
	struct frame *stack;
	size_t depth, max;
	struct buf path;
};

static const struct buf *find_kept(const struct work *w, const struct hash *id)
{
	size_t lo = 0, hi = w->kept_n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = hash_cmp(&w->kept[mid].id, id);
		if (!c)
			return &w->kept[mid].bytes;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static int kept_order(const void *a, const void *b)
{
	return hash_cmp(&((const struct kept *)a)->id, &((const struct kept *)b)->id);
}

static int load(struct work *w, const struct hash *id, struct tree_node *out, struct err *err)
{
	const struct buf *kept = find_kept(w, id);
	if (!kept)
		return tree_load(w->store, id, out, err);
	*out = (struct tree_node){ .bytes = BUF_INIT };
	return node_decode(kept->p, kept->len, &out->node, err);
}

static int enter(struct walk *k, const bool has[SIDES], const struct hash id[SIDES], struct err *err)
{
	if (k->depth == k->max) {
		k->max += k->max / 2 + 16;
		k->stack = mem_grow(k->stack, k->max, sizeof(*k->stack));
	}
	struct frame *f = &k->stack[k->depth++];
	*f = (struct frame){ .path_len = k->path.len };
	const struct node *nodes[SIDES] = { NULL };
	for (int i = 0; i < SIDES; i++) {
		if (!has[i])
			continue;
		if (load(k->c->work, &id[i], &f->node[i], err))
			return -1;
		f->has[i] = true;
		nodes[i] = &f->node[i].node;
	}
	return k->c->enter ? k->c->enter(k->c->arg, k->path.p, nodes, err) : 0;
}

static void frame_free(struct frame *f)
{
	for (int i = 0; i < SIDES; i++)
		if (f->has[i])
			tree_unload(&f->node[i]);
}

static int leave(struct walk *k, struct err *err)
{
	struct frame *f = &k->stack[k->depth - 1];
	k->path.len = f->path_len;
	k->path.p[k->path.len] = '\0';
	int rc = k->c->leave ? k->c->leave(k->c->arg, k->path.p, err) : 0;
	frame_free(f);
	k->depth--;
	return rc;
}

static int name_order(const struct child *a, const struct child *b)
{
	size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
	int c = memcmp(a->name, b->name, n);
	return c ? c : (int)a->name_len - (int)b->name_len;
}

/* The children of the lowest name that is left; false at the end. */
static bool next_name(struct frame *f, const struct child *out[SIDES])
{
	const struct child *low = NULL;
	for (int i = 0; i < SIDES; i++) {
		out[i] = f->has[i] && f->at[i] < f->node[i].node.count ? &f->node[i].node.children[f->at[i]] : NULL;
		if (out[i] && (!low || name_order(out[i], low) < 0))
			low = out[i];
	}
	for (int i = 0; i < SIDES; i++) {
		if (out[i] && name_order(out[i], low) != 0)
			out[i] = NULL;
		f->at[i] += out[i] != NULL;
	}
	return low != NULL;
}

static bool same(const struct child *a, const struct child *b)
{
	return a == b || (a && b && child_eq(a, b));
}

static int step(struct walk *k, struct err *err)
{
	struct frame *f = &k->stack[k->depth - 1];
	const struct child *child[SIDES];
	/* back to this folder's path, however deep the last name led */
	k->path.len = f->path_len;
	k->path.p[k->path.len] = '\0';
	if (!next_name(f, child))
		return leave(k, err);
	const struct child *tree = child[SIDE_TREE], *disk = child[SIDE_DISK];
	bool differ = !same(tree, disk);
	if (!differ && !(k->c->all_names && tree))
		return 0;
	const struct child *any = tree ? tree : disk;
	if (k->path.len)
		buf_ch(&k->path, '/');
	buf_add(&k->path, any->name, any->name_len);
	if (buf_failed(&k->path))
		return err_set(err, ERR_TOO_LARGE, "no memory for a path");
	int rc = k->c->each(k->c->arg, k->path.p, child, err);
	if (rc || !differ)
		return rc == TREE_SKIP ? 0 : rc;
	bool has[SIDES];
	struct hash id[SIDES];
	for (int i = 0; i < SIDES; i++) {
		has[i] = child[i] && child[i]->has_dir;
		if (has[i])
			id[i] = child[i]->dir;
	}
	if (has[SIDE_TREE] && has[SIDE_DISK] && hash_eq(&id[SIDE_TREE], &id[SIDE_DISK]))
		return 0;
	return has[SIDE_TREE] || has[SIDE_DISK] ? enter(k, has, id, err) : 0;
}

int work_compare(const struct compare *c, struct err *err)
{
	struct walk k = { .c = c, .path = BUF_INIT };
	struct work *w = c->work;
	/* an empty path is a string, too */
	if (!buf_reserve(&k.path, 256))
		return err_set(err, ERR_TOO_LARGE, "no memory for a path");
	if (w->kept_n)
		qsort(w->kept, w->kept_n, sizeof(*w->kept), kept_order);
	int rc = enter(&k, c->has, c->id, err);
	while (!rc && k.depth) {
		if (pool_stopped(&w->pool))
			rc = err_sys(err, EINTR, "stopped");
		else
			rc = step(&k, err);
	}
	while (k.depth)
		frame_free(&k.stack[--k.depth]);
	free(k.stack);
	buf_free(&k.path);
	return rc;
}

uint32_t work_dir_mode(const struct child *c)
{
	return c->has_file && entry_is_dir_mode(&c->file) ? c->file.mode & 07777 : OBJECT_DIR_MODE;
}

const struct entry *work_file(const struct child *c)
{
	return c && c->has_file && !entry_is_dir_mode(&c->file) ? &c->file : NULL;
}
