/*
 * What a checkout has to do. Three trees are compared: the wanted one, the one on disk (just scanned), and the one that was last
 * pushed or checked out here (the stat index's). What is on disk and equals the last is not a local change and may be replaced or
 * removed; what only disk has is nobody's business and stays.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/store/work_checkout.h"

/* One name, as each() sees it. */
struct place {
	struct plan *p;
	const char *path;
	struct plan_frame *frame;
	const struct child *tree, *disk, *base;
	struct item *next; /* the item that will be, NULL when the tree has none */
	struct item *item; /* the one that is */
};

static void conflict(struct plan *p, const char *path)
{
	if (p->conflicts_n++ < CONFLICTS_SHOWN)
		buf_fmt(&p->conflicts, "%s'%s'", p->conflicts.len ? ", " : "", path);
}

static void touch(struct plan *p, struct dir *d)
{
	if (d->touched)
		return;
	d->touched = true;
	if (p->touched_n == p->touched_max) {
		p->touched_max += p->touched_max + 16;
		p->touched = mem_grow(p->touched, p->touched_max, sizeof(struct dir *));
	}
	p->touched[p->touched_n++] = d;
}

static void remove_item(struct plan *p, struct dir *d, uint32_t item, bool folder, bool must)
{
	if (p->removals_n == p->removals_max) {
		p->removals_max += p->removals_max + 16;
		p->removals = mem_grow(p->removals, p->removals_max, sizeof(*p->removals));
	}
	p->removals[p->removals_n++] = (struct removal){ .dir = d, .item = item, .folder = folder, .must = must };
}

static bool is_dir(const struct child *c)
{
	return c && c->has_dir;
}

/* Is the file on disk ours to replace? */
static bool file_ours(const struct place *pl)
{
	const struct entry *disk = work_file(pl->disk), *base = work_file(pl->base);
	return pl->p->w->o->force || pl->frame->all || (base && entry_eq(disk, base));
}

static bool folder_ours(const struct place *pl)
{
	return pl->p->w->o->force || (is_dir(pl->base) && hash_eq(&pl->base->dir, &pl->disk->dir));
}

static int count_file(void *arg, const char *path, const struct child *child, bool folder, struct err *err)
{
	struct pool *pool = arg;
	(void)path;
	(void)err;
	if (!folder && child && work_file(child)) {
		atomic_fetch_add(&pool->new_files, 1);
		atomic_fetch_add(&pool->new_bytes, child->file.size);
	}
	return 0;
}

static int write_file(struct place *pl)
{
	struct pool *pool = &pl->p->w->pool;
	pl->next->flags |= ITEM_WRITE;
	pl->next->dir = NULL;
	touch(pl->p, pl->frame->dir);
	if (pl->p->w->o->dry) {
		atomic_fetch_add(&pool->new_files, 1);
		atomic_fetch_add(&pool->new_bytes, pl->tree->file.size);
	}
	return 0;
}

static uint32_t number_of(const struct place *pl)
{
	return (uint32_t)(pl->item - pl->frame->dir->items);
}

/* The tree has a file here. */
static int want_file(struct place *pl)
{
	if (is_dir(pl->disk)) {
		if (!folder_ours(pl)) {
			conflict(pl->p, pl->path);
			return TREE_SKIP;
		}
		write_file(pl);
		pl->p->coming = (struct plan_frame){ .dir = pl->item->dir, .all = true, .item = number_of(pl) };
		return 0;
	}
	const struct entry *disk = work_file(pl->disk);
	if (disk && entry_eq(disk, &pl->tree->file))
		return TREE_SKIP;
	if (disk && !file_ours(pl))
		conflict(pl->p, pl->path);
	else
		write_file(pl);
	return TREE_SKIP;
}

static void make_folder(struct place *pl)
{
	struct dir *above = pl->frame->dir;
	struct dir *d = dir_new(pl->p->w, above, (uint32_t)(pl->next - above->next));
	d->moved = d->fresh = true;
	d->id = pl->tree->dir;
	d->want_mode = work_dir_mode(pl->tree);
	d->mode = S_IFDIR | d->want_mode;
	pl->next->dir = d;
	pl->next->flags = 0;
	touch(pl->p, above);
}

static int want_mode(struct place *pl)
{
	uint32_t tree = work_dir_mode(pl->tree), disk = work_dir_mode(pl->disk);
	struct dir *d = pl->item->dir;
	if (tree == disk)
		return 0;
	if (!pl->p->w->o->force && is_dir(pl->base) && work_dir_mode(pl->base) != disk) {
		conflict(pl->p, pl->path);
		return 0;
	}
	d->set_mode = true;
	d->want_mode = tree;
	return 0;
}

/* The tree has a folder here. */
static int want_folder(struct place *pl, struct err *err)
{
	if (is_dir(pl->disk)) {
		pl->item->dir->id = pl->tree->dir;
		pl->p->coming = (struct plan_frame){ .dir = pl->item->dir, .tree = true, .item = number_of(pl) };
		return want_mode(pl);
	}
	if (work_file(pl->disk)) {
		if (!file_ours(pl)) {
			conflict(pl->p, pl->path);
			return TREE_SKIP;
		}
		remove_item(pl->p, pl->frame->dir, number_of(pl), false, true);
	}
	make_folder(pl);
	if (pl->p->w->o->dry && tree_walk(pl->p->w->store, &pl->tree->dir, count_file, &pl->p->w->pool, err))
		return -1;
	return TREE_SKIP;
}

/* The tree has nothing here: what was ours goes, what was never pushed stays. */
static int want_nothing(struct place *pl)
{
	if (is_dir(pl->disk)) {
		if (!is_dir(pl->base) && !pl->frame->all)
			return TREE_SKIP;
		pl->p->coming = (struct plan_frame){ .dir = pl->item->dir, .all = pl->frame->all, .item = number_of(pl) };
		return 0;
	}
	if (!work_file(pl->base) && !pl->frame->all)
		return TREE_SKIP;
	if (file_ours(pl))
		remove_item(pl->p, pl->frame->dir, number_of(pl), false, false);
	else
		conflict(pl->p, pl->path);
	return TREE_SKIP;
}

static int lost(const char *path, struct err *err)
{
	err_set(err, ERR_INTERNAL, "'%s' is not where it was found", path);
	return -1;
}

static int plan_each(void *arg, const char *path, const struct child *const child[SIDES], struct err *err)
{
	struct plan *p = arg;
	struct place pl = { .p = p,
		.path = path,
		.frame = &p->stack[p->depth - 1],
		.tree = child[SIDE_TREE],
		.disk = child[SIDE_DISK],
		.base = child[SIDE_BASE] };
	struct dir *d = pl.frame->dir;
	const struct child *any = pl.tree ? pl.tree : pl.disk;
	if (pl.tree && !(pl.next = items_find(d->next, d->next_count, any->name, any->name_len)))
		return lost(path, err);
	if (pl.disk && !(pl.item = dir_find(d, any->name, any->name_len)))
		return lost(path, err);
	if (pl.tree && work_file(pl.tree) && pl.tree->has_dir) {
		err_set(err, ERR_STATE, "'%s' is both a file and a folder in this tree: a folder on disk cannot have both", path);
		return err_hint(err, "read what is in it with `sbx fs ls` and `sbx fs cat`, or export it");
	}
	if (pl.tree && !pl.disk && atomic_load(&p->w->has_rules) && work_ignored(p->w, path, pl.tree->has_dir)) {
		pl.next->flags |= ITEM_LEFT;
		return TREE_SKIP;
	}
	if (pl.tree && work_file(pl.tree))
		return want_file(&pl);
	if (pl.tree && pl.tree->has_dir)
		return want_folder(&pl, err);
	return pl.disk ? want_nothing(&pl) : TREE_SKIP;
}

/* What stays as it is keeps its stamp and its subfolder. */
static void adopt(struct dir *d, const struct node *node)
{
	dir_set_next(d, node);
	for (uint32_t i = 0; i < d->next_count; i++) {
		struct item *it = &d->next[i];
		const struct item *was = dir_find(d, it->name, it->len);
		if (!was || (was->flags & ITEM_GONE))
			continue;
		it->stamp = was->stamp;
		if (!was->dir || !node->children[i].has_dir)
			continue;
		it->dir = was->dir;
		it->dir->in_parent = i;
		it->dir->moved = true;
	}
}

static int plan_enter(void *arg, const char *path, const struct node *const node[SIDES], struct err *err)
{
	struct plan *p = arg;
	(void)path;
	(void)err;
	if (p->depth == p->max) {
		p->max += p->max + 16;
		p->stack = mem_grow(p->stack, p->max, sizeof(*p->stack));
	}
	p->stack[p->depth++] = p->coming;
	if (p->coming.tree)
		adopt(p->coming.dir, node[SIDE_TREE]);
	return 0;
}

static int plan_leave(void *arg, const char *path, struct err *err)
{
	struct plan *p = arg;
	(void)path;
	(void)err;
	struct plan_frame *f = &p->stack[--p->depth];
	if (!f->tree && p->depth)
		remove_item(p, p->stack[p->depth - 1].dir, f->item, true, f->all);
	return 0;
}

int plan_make(struct plan *p, struct work *w, const struct hash *tree, struct err *err)
{
	*p = (struct plan){ .w = w, .conflicts = BUF_INIT, .coming = { .dir = w->top, .tree = true } };
	struct compare c = { .work = w, .each = plan_each, .enter = plan_enter, .leave = plan_leave, .arg = p };
	c.has[SIDE_TREE] = c.has[SIDE_DISK] = true;
	c.id[SIDE_TREE] = *tree;
	c.id[SIDE_DISK] = w->top->id;
	if (w->index) {
		c.has[SIDE_BASE] = true;
		c.id[SIDE_BASE] = *index_tree(w->index);
	}
	w->top->id = *tree;
	if (work_compare(&c, err))
		return -1;
	if (!p->conflicts_n)
		return 0;
	err_set(err, ERR_CONFLICT, "local changes in '%s' are in the way: %s%s", w->folder, p->conflicts.p,
		p->conflicts_n > CONFLICTS_SHOWN ? " and others" : "");
	return err_hint(err, "push them first (%zu in all), or throw them away with --force", p->conflicts_n);
}

void plan_free(struct plan *p)
{
	buf_free(&p->conflicts);
	free(p->stack);
	free(p->removals);
	free(p->touched);
}
