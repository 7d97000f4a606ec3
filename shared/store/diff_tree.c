/* diff of trees: two passes when renames are wanted (first what came and went, by content), else one. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/store/diff.h"
#include "shared/store/tree_internal.h"

/* A file that came or went, to be paired. */
struct mover {
	struct hash content;
	char *path, *pair; /* pair: the other's path, once found; belongs to the other */
};
struct movers {
	struct mover *v;
	size_t n, room;
};

struct walk {
	struct store *s;
	const struct hash *root_a;
	diff_fn *each;
	void *arg;
	struct buf path;
	unsigned depth;
	bool collecting;
	struct movers gone, came;
};

/* What differs at one name: its file part, the folder itself (there or not, mode), what is in the folder. */
enum part_kind { PART_FILE, PART_SELF, PART_INSIDE };
struct item {
	enum part_kind part;
	const struct child *a, *b; /* NULL: not there */
};

struct items {
	struct item *v;
	size_t n, room;
};

static const struct entry *file_of(const struct child *c)
{
	return c && c->has_file && !entry_is_dir_mode(&c->file) ? &c->file : NULL;
}

static const struct entry *mode_of(const struct child *c)
{
	return c && c->has_file && entry_is_dir_mode(&c->file) ? &c->file : NULL;
}

static const struct hash *dir_of(const struct child *c)
{
	return c && c->has_dir ? &c->dir : NULL;
}

static void add_item(struct items *l, enum part_kind part, const struct child *a, const struct child *b)
{
	if (l->n == l->room) {
		l->room = l->room ? l->room * 2 : 32;
		l->v = mem_grow(l->v, l->room, sizeof(*l->v));
	}
	l->v[l->n++] = (struct item){ part, a, b };
}

static bool entries_differ(const struct entry *a, const struct entry *b)
{
	return a && b ? !entry_eq(a, b) : a != b;
}

static void compare_children(struct items *l, const struct child *a, const struct child *b)
{
	const struct hash *da = dir_of(a), *db = dir_of(b);

	if (entries_differ(file_of(a), file_of(b)))
		add_item(l, PART_FILE, a, b);
	if (entries_differ(mode_of(a), mode_of(b)) || (!da && db && hash_eq(db, &object_empty)) ||
		(da && !db && hash_eq(da, &object_empty)))
		add_item(l, PART_SELF, a, b);
	if (da && db ? !hash_eq(da, db) : da != db)
		add_item(l, PART_INSIDE, a, b);
}

static int name_order(const struct child *a, const struct child *b)
{
	size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
	int order = memcmp(a->name, b->name, n);

	return order ? order : (int)a->name_len - (int)b->name_len;
}

/* The order of paths: what is in folder "a" is "a/...", which comes after "a.c". */
static int item_order(const void *pa, const void *pb)
{
	const struct item *x = pa, *y = pb;
	const struct child *a = x->a ? x->a : x->b, *b = y->a ? y->a : y->b;
	size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
	int order = memcmp(a->name, b->name, n);

	if (order)
		return order;
	/* Past the shorter name: a slash stands there when it is a folder's inside. */
	int next_a = n < a->name_len ? (unsigned char)a->name[n] : x->part == PART_INSIDE ? '/' : -1;
	int next_b = n < b->name_len ? (unsigned char)b->name[n] : y->part == PART_INSIDE ? '/' : -1;
	if (next_a != next_b)
		return next_a - next_b;
	return (int)x->part - (int)y->part;
}

static void compare_nodes(struct items *l, const struct node *a, const struct node *b)
{
	uint32_t i = 0, j = 0;

	while (i < a->count || j < b->count) {
		const struct child *x = i < a->count ? &a->children[i] : NULL, *y = j < b->count ? &b->children[j] : NULL;
		int order = !x ? 1 : !y ? -1 : name_order(x, y);
		i += order <= 0;
		j += order >= 0;
		compare_children(l, order <= 0 ? x : NULL, order >= 0 ? y : NULL);
	}
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), item_order);
}

/* ---- renames ---- */

static void movers_add(struct movers *m, const char *path, const struct entry *e)
{
	struct entry plain = *e;

	/* An empty file is no content to go by. */
	if (!entry_is_file(e) || !e->size)
		return;
	if (m->n == m->room) {
		m->room = m->room ? m->room * 2 : 32;
		m->v = mem_grow(m->v, m->room, sizeof(*m->v));
	}
	plain.mode = OBJECT_FILE_MODE;
	struct mover *v = &m->v[m->n++];
	*v = (struct mover){ .path = mem_strdup(path) };
	entry_id(&plain, &v->content);
}

static int by_content(const void *a, const void *b)
{
	const struct mover *x = a, *y = b;
	int order = hash_cmp(&x->content, &y->content);

	return order ? order : strcmp(x->path, y->path);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct mover *)a)->path, ((const struct mover *)b)->path);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* All with one content: those that keep their name first, then in order. */
static void pair_up(struct mover *gone, size_t n, struct mover *came, size_t m)
{
	/* Many copies of one file: in order only, so that the work stays small. */
	for (size_t i = 0; i < n && n * m <= 4096; i++)
		for (size_t j = 0; j < m && !gone[i].pair; j++)
			if (!came[j].pair && strcmp(base_name(gone[i].path), base_name(came[j].path)) == 0) {
				gone[i].pair = came[j].path;
				came[j].pair = gone[i].path;
			}
	for (size_t i = 0, j = 0; i < n; i++) {
		while (j < m && came[j].pair)
			j++;
		if (gone[i].pair || j == m)
			continue;
		gone[i].pair = came[j].path;
		came[j].pair = gone[i].path;
	}
}

static size_t same_content(const struct movers *m, size_t at)
{
	size_t n = 1;

	while (at + n < m->n && hash_eq(&m->v[at + n].content, &m->v[at].content))
		n++;
	return n;
}

static void sort_movers(struct movers *m, int (*order)(const void *, const void *))
{
	if (m->n)
		qsort(m->v, m->n, sizeof(*m->v), order);
}

static void pair_all(struct walk *w)
{
	struct movers *g = &w->gone, *c = &w->came;

	sort_movers(g, by_content);
	sort_movers(c, by_content);
	for (size_t i = 0, j = 0; i < g->n && j < c->n;) {
		int order = hash_cmp(&g->v[i].content, &c->v[j].content);
		size_t n = order <= 0 ? same_content(g, i) : 0, m = order >= 0 ? same_content(c, j) : 0;
		if (order == 0)
			pair_up(&g->v[i], n, &c->v[j], m);
		i += n;
		j += m;
	}
	sort_movers(g, by_path);
	sort_movers(c, by_path);
}

static int path_of(const void *path, const void *mover)
{
	return strcmp(path, ((const struct mover *)mover)->path);
}

static const char *pair_of(const struct movers *m, const char *path)
{
	const struct mover *v = m->n ? bsearch(path, m->v, m->n, sizeof(*m->v), path_of) : NULL;

	return v ? v->pair : NULL;
}

static void movers_free(struct movers *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->v[i].path);
	free(m->v);
}

/* ---- telling ---- */

static bool same_but_mode(const struct entry *a, const struct entry *b)
{
	struct entry x = *a;

	if (!entry_is_file(a) || !entry_is_file(b))
		return false;
	x.mode = b->mode;
	return entry_eq(&x, b);
}

static int tell_renamed(struct walk *w, const char *from, const struct entry *new, struct err *err)
{
	struct tree_at at;

	if (tree_find(w->s, w->root_a, from, &at, err) != 0)
		return -1;
	struct diff_item item = { .kind = DIFF_RENAMED, .path = w->path.p, .old_path = from, .old = &at.file, .new = new };
	int rc = w->each(w->arg, &item, err);
	tree_at_free(&at);
	return rc;
}

static int tell_file(struct walk *w, const struct entry *old, const struct entry *new, struct err *err)
{
	struct diff_item item = { .path = w->path.p, .old = old, .new = new };
	const char *pair;

	if (w->collecting) {
		if (!old)
			movers_add(&w->came, w->path.p, new);
		if (!new)
			movers_add(&w->gone, w->path.p, old);
		return 0;
	}
	if (!new &&pair_of(&w->gone, w->path.p))
		return 0;
	pair = old ? NULL : pair_of(&w->came, w->path.p);
	if (pair)
		return tell_renamed(w, pair, new, err);
	item.kind = !old ? DIFF_ADDED : !new ? DIFF_REMOVED : same_but_mode(old, new) ? DIFF_MODE : DIFF_CHANGED;
	return w->each(w->arg, &item, err);
}

static int tell_folder(struct walk *w, const struct item *it, struct err *err)
{
	struct diff_item item = { .path = w->path.p, .old = mode_of(it->a), .new = mode_of(it->b) };

	if (w->collecting)
		return 0;
	item.kind = !dir_of(it->a) ? DIFF_ADDED : !dir_of(it->b) ? DIFF_REMOVED : DIFF_MODE;
	return w->each(w->arg, &item, err);
}

static int walk_dirs(struct walk *w, const struct hash *a, const struct hash *b, struct err *err);

static int walk_item(struct walk *w, const struct item *it, struct err *err)
{
	const struct child *c = it->a ? it->a : it->b;
	int rc;

	buf_add(&w->path, c->name, c->name_len);
	if (it->part == PART_INSIDE)
		buf_ch(&w->path, '/');
	if (buf_failed(&w->path))
		return err_set(err, ERR_TOO_LARGE, "a path in the tree is too long");
	if (it->part == PART_FILE)
		return tell_file(w, file_of(it->a), file_of(it->b), err);
	if (it->part == PART_SELF)
		return tell_folder(w, it, err);
	if (w->depth == TREE_DEPTH_MAX)
		return err_set(err, ERR_TOO_LARGE, "folders more than %u deep cannot be compared", TREE_DEPTH_MAX);
	w->depth++;
	rc = walk_dirs(w, dir_of(it->a), dir_of(it->b), err);
	w->depth--;
	return rc;
}

static int load(struct store *s, const struct hash *id, struct tree_node *out, struct err *err)
{
	*out = (struct tree_node){ .bytes = BUF_INIT };
	return id ? tree_load(s, id, out, err) : 0;
}

static int walk_dirs(struct walk *w, const struct hash *a, const struct hash *b, struct err *err)
{
	struct tree_node ta, tb;
	struct items l = { 0 };
	size_t len = w->path.len;
	int rc = -1;

	if (load(w->s, a, &ta, err) != 0)
		return -1;
	if (load(w->s, b, &tb, err) == 0) {
		rc = 0;
		compare_nodes(&l, &ta.node, &tb.node);
		for (size_t i = 0; i < l.n && rc == 0; i++) {
			rc = walk_item(w, &l.v[i], err);
			w->path.len = len;
		}
		tree_unload(&tb);
	}
	tree_unload(&ta);
	free(l.v);
	return rc;
}

/* NOLINTNEXTLINE(readability-function-size): two trees, and whom to tell */
int diff_trees(struct store *s, const struct hash *a, const struct hash *b, bool renames, diff_fn *each, void *arg, struct err *err)
{
	struct walk w = { .s = s, .root_a = a, .each = each, .arg = arg, .path = BUF_INIT };
	int rc = 0;

	if (hash_eq(a, b))
		return 0;
	if (renames) {
		w.collecting = true;
		rc = walk_dirs(&w, a, b, err);
		w.collecting = false;
		pair_all(&w);
	}
	if (rc == 0)
		rc = walk_dirs(&w, a, b, err);
	movers_free(&w.gone);
	movers_free(&w.came);
	buf_free(&w.path);
	return rc;
}
