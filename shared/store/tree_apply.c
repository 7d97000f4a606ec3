/* tree: a new tree from an old one. The edits are sorted by path, part by part, so that those of one folder stand together, and one
 * pass over a folder's children and its edits gives the new children. Folders without an edit are not even read. */
#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/store/tree_internal.h"

struct item {
	const char *path; /* normal: parts with one slash between them */
	char *owned;	  /* when it had to be made */
	const struct tree_edit *edit;
};

struct apply {
	struct store *s;
	struct item *items;
	size_t count;
	bool empties; /* a folder that is empty was made */
};

static bool is_normal(const char *path)
{
	for (const char *p = path; *p; p++) {
		size_t n = strcspn(p, "/");
		if (n == 0 || n > OBJECT_NAME_MAX || (p[0] == '.' && (n == 1 || (n == 2 && p[1] == '.'))))
			return false;
		p += n;
		if (!*p)
			return true;
	}
	return *path == '\0';
}

static int normalise(struct item *item, const char *path, struct err *err)
{
	item->path = path;
	if (is_normal(path))
		return 0;
	const char *left = path;
	struct part part;
	int r;
	auto_buf b = BUF_INIT;
	while ((r = tree_part(&left, &part, err)) > 0) {
		if (b.len)
			buf_ch(&b, '/');
		buf_add(&b, part.p, part.n);
	}
	if (r < 0)
		return err_prefix(err, "'%.200s'", path);
	item->path = item->owned = buf_take(&b, NULL);
	return item->path ? 0 : err_set(err, ERR_INTERNAL, "no memory for a path");
}

/* Part by part: a slash is before every byte of a name. Edits of one path stay in their order. */
static int item_order(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	const unsigned char *p = (const unsigned char *)x->path, *q = (const unsigned char *)y->path;
	while (*p && *p == *q) {
		p++;
		q++;
	}
	if (*p == *q)
		return x->edit < y->edit ? -1 : x->edit > y->edit;
	if (!*p || !*q)
		return *p ? 1 : -1;
	unsigned left = *p == '/' ? 0 : *p, right = *q == '/' ? 0 : *q;
	return left < right ? -1 : 1;
}

/* An edit of the child itself. *keep: it says that there is a folder, even an empty one. */
static void edit_child(struct child *c, const struct tree_edit *e, bool *keep)
{
	if (e->remove) {
		c->has_file = false;
		if (e->dir) {
			c->has_dir = false;
			*keep = false;
		}
	} else if (e->dir) {
		c->has_dir = true;
		c->dir = e->tree;
		*keep = hash_eq(&e->tree, &object_empty);
	}
	if (!e->file)
		return;
	c->has_file = true;
	c->file = *e->file;
	if (!entry_is_dir_mode(e->file))
		return;
	c->has_file = (e->file->mode & 07777) != OBJECT_DIR_MODE;
	if (!c->has_dir) {
		c->has_dir = true;
		c->dir = object_empty;
		*keep = true;
	}
}

/* The edits at and below one place; the paths of all are equal up to `skip`, where the part that tells them apart begins. */
struct group {
	const struct item *items;
	size_t n, skip;
	unsigned depth;
};

static int apply_dir(struct apply *a, const struct hash *old, const struct group *g, struct hash *out, struct err *err);

/* A child after the edits of it (their paths end at g->skip) and below it. */
static int apply_child(struct apply *a, struct child *c, const struct group *g, struct err *err)
{
	bool keep = c->has_dir && hash_eq(&c->dir, &object_empty);
	size_t i = 0;
	for (; i < g->n && g->items[i].path[g->skip] == '\0'; i++)
		edit_child(c, g->items[i].edit, &keep);
	if (i < g->n) {
		struct group below = { g->items + i, g->n - i, g->skip + 1, g->depth + 1 };
		struct hash dir;
		if (apply_dir(a, c->has_dir ? &c->dir : NULL, &below, &dir, err) != 0)
			return -1;
		c->has_dir = keep || !hash_eq(&dir, &object_empty);
		c->dir = dir;
	}
	if (!c->has_dir && c->has_file && entry_is_dir_mode(&c->file))
		c->has_file = false;
	a->empties |= c->has_dir && hash_eq(&c->dir, &object_empty);
	return 0;
}

/* The edits from items[at] on whose next part is the same. */
static struct group next_group(const struct group *g, size_t at, struct part *name)
{
	name->p = g->items[at].path + g->skip;
	name->n = strcspn(name->p, "/");
	struct group out = { g->items + at, 1, g->skip + name->n, g->depth };
	for (; at + out.n < g->n; out.n++) {
		const char *other = g->items[at + out.n].path + g->skip;
		if (strncmp(other, name->p, name->n) != 0 || (other[name->n] && other[name->n] != '/'))
			break;
	}
	return out;
}

static int order(const struct child *c, const struct part *name)
{
	int r = memcmp(c->name, name->p, c->name_len < name->n ? c->name_len : name->n);
	return r ? r : (c->name_len > name->n) - (c->name_len < name->n);
}

/* Merge the old children and the edits, both in order, into children (room for all of both). */
static int apply_children(struct apply *a, const struct node *old, const struct group *g, struct node *out, struct err *err)
{
	uint32_t i = 0;
	bool changed = false;
	for (size_t at = 0; at < g->n;) {
		struct part name;
		struct group of_child = next_group(g, at, &name);
		at += of_child.n;
		for (; i < old->count && order(&old->children[i], &name) < 0; i++)
			out->children[out->count++] = old->children[i];
		const struct child *was = i < old->count && order(&old->children[i], &name) == 0 ? &old->children[i++] : NULL;
		struct child c = { .name = name.p, .name_len = (uint16_t)name.n };
		if (was)
			c = *was;
		if (apply_child(a, &c, &of_child, err) != 0)
			return -1;
		if (c.has_file || c.has_dir)
			out->children[out->count++] = c;
		changed |= was ? !child_eq(was, &c) : c.has_file || c.has_dir;
	}
	for (; i < old->count; i++)
		out->children[out->count++] = old->children[i];
	return changed;
}

static int put_node(struct apply *a, const struct node *node, struct hash *out, struct err *err)
{
	auto_buf b = BUF_INIT;
	if (node_encode(node->children, node->count, &b, err) != 0)
		return -1;
	hash_of(b.p, b.len, out);
	return store_put(a->s, OBJECT_TREE, b.p, b.len, out, NULL, err);
}

/* A folder after the edits below it; old may be NULL. object_empty, which is not written, when nothing is left in it. */
static int apply_dir(struct apply *a, const struct hash *old, const struct group *g, struct hash *out, struct err *err)
{
	struct tree_node t;
	if (g->depth > TREE_DEPTH_MAX)
		return err_set(err, ERR_INVALID, "a path goes through more than %u folders", TREE_DEPTH_MAX);
	if (tree_load(a->s, old ? old : &object_empty, &t, err) != 0)
		return -1;
	struct node node = { 0 };
	int r = g->n > UINT32_MAX - t.node.count ? -1 : 0;
	if (r != 0) {
		err_set(err, ERR_TOO_LARGE, "too many edits");
	} else {
		node.children = mem_array(t.node.count + g->n, sizeof(*node.children));
		r = apply_children(a, &t.node, g, &node, err);
	}
	if (r == 0)
		*out = old ? *old : object_empty;
	else if (r > 0 && node.count == 0)
		*out = object_empty;
	else if (r > 0)
		r = put_node(a, &node, out, err);
	node_free(&node);
	tree_unload(&t);
	return r < 0 ? -1 : 0;
}

/* Edits of the root itself come first. */
static int apply_root(struct apply *a, struct hash *root, size_t *used, struct err *err)
{
	size_t i = 0;
	for (; i < a->count && a->items[i].path[0] == '\0'; i++) {
		const struct tree_edit *e = a->items[i].edit;
		if (e->file)
			return err_set(err, ERR_INVALID, "the top of a tree is a folder and has no file or mode of its own");
		if (e->dir)
			*root = e->remove ? object_empty : e->tree;
	}
	*used = i;
	return 0;
}

static int apply_all(struct apply *a, const struct hash *root, struct hash *out, struct err *err)
{
	struct hash now = *root;
	size_t used = 0;
	if (apply_root(a, &now, &used, err) != 0)
		return -1;
	if (used < a->count) {
		struct group all = { a->items + used, a->count - used, 0, 0 };
		struct hash before = now;
		if (apply_dir(a, &before, &all, &now, err) != 0)
			return -1;
	}
	if (a->empties || hash_eq(&now, &object_empty)) {
		const struct node nothing = { 0 };
		struct hash id;
		if (put_node(a, &nothing, &id, err) != 0)
			return -1;
	}
	*out = now;
	return 0;
}

int tree_apply(struct store *s, const struct hash *root, const struct tree_edit *edits, size_t n, struct hash *out, struct err *err)
{
	struct apply a = { .s = s, .items = mem_array(n, sizeof(*a.items)), .count = n };
	int r = 0;
	bool sorted = true;
	for (size_t i = 0; r == 0 && i < n; i++) {
		a.items[i].edit = &edits[i];
		r = normalise(&a.items[i], edits[i].path, err);
		sorted = sorted && (i == 0 || r != 0 || item_order(&a.items[i - 1], &a.items[i]) < 0);
	}
	if (r == 0 && !sorted)
		qsort(a.items, n, sizeof(*a.items), item_order);
	if (r == 0)
		r = apply_all(&a, root, out, err);
	for (size_t i = 0; i < n; i++)
		free(a.items[i].owned);
	free(a.items);
	return r;
}
