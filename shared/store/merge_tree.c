/* Three trees, node by node: only where all three differ is anything read. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/store/merge_internal.h"
#include "shared/store/tree_internal.h"

const char *conflict_kind_name(enum conflict_kind kind)
{
	switch (kind) {
	case CONFLICT_TEXT:
		return "text";
	case CONFLICT_BINARY:
		return "binary";
	case CONFLICT_SQLITE:
		return "sqlite";
	case CONFLICT_MODIFY_DELETE:
		return "modify/delete";
	case CONFLICT_FILE_DIR:
		return "file/directory";
	case CONFLICT_MODE:
		return "mode";
	}
	return "unknown";
}

void merge_result_free(struct merge_result *r)
{
	for (size_t i = 0; i < r->count; i++) {
		free(r->conflicts[i].path);
		free(r->conflicts[i].markers);
		free(r->conflicts[i].diff_ours);
		free(r->conflicts[i].diff_theirs);
	}
	free(r->conflicts);
	*r = (struct merge_result){ 0 };
}

/* The same name in three nodes. */
struct three_children {
	const struct child *base, *ours, *theirs;
};

/* A node that is being put together. */
struct building {
	struct tree_node base, ours, theirs; /* what it is made of */
	struct child *v;
	uint32_t n, room;
};

static bool same_id(const struct hash *a, const struct hash *b)
{
	return a && b ? hash_eq(a, b) : a == b;
}

static const struct hash *dir_of(const struct child *c)
{
	return c && c->has_dir ? &c->dir : NULL;
}

static const struct entry *file_of(const struct child *c)
{
	return c && c->has_file && !entry_is_dir_mode(&c->file) ? &c->file : NULL;
}

static uint32_t mode_of(const struct child *c)
{
	return c->has_file && entry_is_dir_mode(&c->file) ? c->file.mode & ~(uint32_t)S_IFMT : OBJECT_DIR_MODE;
}

/* ---- one name ---- */

/* The folder's permission bits: a file part of their own when they are not the usual ones. */
static void merge_dir_mode(struct merging *g, const struct three_children *c, size_t at, struct child *out)
{
	const struct child *base = dir_of(c->base) ? c->base : NULL;
	uint32_t mode;
	bool clash = false;

	if (!dir_of(c->ours) || !dir_of(c->theirs))
		mode = mode_of(dir_of(c->ours) ? c->ours : c->theirs);
	else
		mode = merge_mode(base ? (int64_t)mode_of(base) : -1, mode_of(c->ours), mode_of(c->theirs), &clash);
	if (clash && g->m->prefer == PREFER_THEIRS) {
		mode = mode_of(c->theirs);
	} else if (clash && g->m->prefer == PREFER_NONE) {
		/* mcp-v8 has no folder modes, and no kind for this. */
		struct conflict *x = merge_conflict(g, at, g->m->style == MERGE_NATIVE ? CONFLICT_MODE : CONFLICT_BINARY);
		x->has_base = base != NULL;
		x->has_ours = x->has_theirs = true;
		if (base)
			x->base = base->dir;
		x->ours = c->ours->dir;
		x->theirs = c->theirs->dir;
	}
	if (out->has_file || mode == OBJECT_DIR_MODE)
		return;
	out->has_file = true;
	out->file = (struct entry){ .mode = S_IFDIR | mode, .data = (const uint8_t *)"" };
}

static void clash_id(const struct child *c, bool *has, struct hash *out)
{
	*has = file_of(c) || dir_of(c);
	if (file_of(c))
		entry_id(file_of(c), out);
	else if (dir_of(c))
		*out = *dir_of(c);
}

/* A file and a folder want the same name, from different sides: the preferred side's thing stays, or ours with a conflict. */
static void settle_file_dir(struct merging *g, const struct three_children *c, size_t at, struct child *out)
{
	const struct child *side = g->m->prefer == PREFER_THEIRS ? c->theirs : c->ours;

	if ((file_of(c->ours) && dir_of(c->ours)) || (file_of(c->theirs) && dir_of(c->theirs)))
		return;
	if (g->m->prefer == PREFER_NONE) {
		struct conflict *x = merge_conflict(g, at, CONFLICT_FILE_DIR);
		clash_id(c->base, &x->has_base, &x->base);
		clash_id(c->ours, &x->has_ours, &x->ours);
		clash_id(c->theirs, &x->has_theirs, &x->theirs);
	}
	if (file_of(side))
		out->has_dir = false;
	else
		out->has_file = false;
}

static int merge_name(struct merging *g, const struct three_children *c, struct child *out, struct err *err)
{
	struct three_entries e = { file_of(c->base), file_of(c->ours), file_of(c->theirs) };
	struct three_dirs d = { dir_of(c->base), dir_of(c->ours), dir_of(c->theirs) };
	size_t at;
	int rc;

	if ((e.base || e.ours || e.theirs) && merge_entry(g, &e, &out->file, &out->has_file, err) != 0)
		return -1;
	if (!d.base && !d.ours && !d.theirs)
		return 0;
	if (g->depth == TREE_DEPTH_MAX)
		return err_set(err, ERR_TOO_LARGE, "folders more than %u deep cannot be merged", TREE_DEPTH_MAX);
	at = g->out->count;
	g->depth++;
	size_t len = g->path.len;
	buf_ch(&g->path, '/');
	const struct hash *take;
	if (g->jobs && !merge_dirs_decided(&d, &take))
		rc = merge_jobs_take(g->jobs, g, &d, &out->dir, &out->has_dir, err);
	else
		rc = merge_dirs(g, &d, &out->dir, &out->has_dir, err);
	g->path.len = len;
	g->path.p[len] = '\0';
	g->depth--;
	if (rc != 0)
		return -1;
	if (out->has_dir && out->has_file && g->m->style == MERGE_NATIVE)
		settle_file_dir(g, c, at, out);
	if (out->has_dir)
		merge_dir_mode(g, c, at, out);
	return 0;
}

/* ---- one node ---- */

static struct child *building_next(struct building *b, const struct child *name)
{
	if (b->n == b->room) {
		b->room = b->room ? b->room * 2 : 64;
		b->v = mem_grow(b->v, b->room, sizeof(*b->v));
	}
	b->v[b->n] = (struct child){ .name = name->name, .name_len = name->name_len };
	return &b->v[b->n];
}

static int name_order(const struct child *a, const struct child *b)
{
	size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
	int order = memcmp(a->name, b->name, n);

	return order ? order : (int)a->name_len - (int)b->name_len;
}

static const struct child *first_name(const struct child *a, const struct child *b)
{
	return !a ? b : !b ? a : name_order(a, b) <= 0 ? a : b;
}

struct cursor {
	const struct node *node;
	uint32_t at;
};

static const struct child *peek(const struct cursor *c)
{
	return c->at < c->node->count ? &c->node->children[c->at] : NULL;
}

static const struct child *take_name(struct cursor *c, const struct child *name)
{
	const struct child *x = peek(c);

	if (!x || name_order(x, name) != 0)
		return NULL;
	c->at++;
	return x;
}

/* The names of three nodes, in order. */
struct cursors {
	struct cursor base, ours, theirs;
};

static struct cursors cursors_of(const struct building *b)
{
	return (struct cursors){ { &b->base.node, 0 }, { &b->ours.node, 0 }, { &b->theirs.node, 0 } };
}

static const struct child *next_name(struct cursors *n, struct three_children *c)
{
	const struct child *name = first_name(peek(&n->base), first_name(peek(&n->ours), peek(&n->theirs)));

	if (name)
		*c = (struct three_children){ take_name(&n->base, name), take_name(&n->ours, name), take_name(&n->theirs, name) };
	return name;
}

/* The folders below that must be read: together, when they are several. */
static void begin_jobs(struct merging *g, const struct building *b)
{
	struct cursors n = cursors_of(b);
	struct three_children c;
	const struct hash *take;

	g->jobs = g->alone ? NULL : merge_jobs_new();
	for (const struct child *name; g->jobs && (name = next_name(&n, &c));) {
		struct three_dirs d = { dir_of(c.base), dir_of(c.ours), dir_of(c.theirs) };
		if (!merge_dirs_decided(&d, &take))
			merge_jobs_add(g->jobs, g, name->name, name->name_len, &d);
	}
	if (g->jobs)
		merge_jobs_run(g->jobs);
}

static int merge_names(struct merging *g, struct building *b, struct err *err)
{
	struct cursors n = cursors_of(b);
	struct three_children c;
	size_t len = g->path.len;
	int rc = 0;

	for (const struct child *name; rc == 0 && (name = next_name(&n, &c));) {
		struct child *out = building_next(b, name);
		/* Most names are the same everywhere. */
		if (c.ours && c.theirs && child_eq(c.ours, c.theirs)) {
			*out = *c.ours;
			b->n++;
			continue;
		}
		buf_add(&g->path, name->name, name->name_len);
		rc = buf_failed(&g->path) ? err_set(err, ERR_TOO_LARGE, "a path in the tree is too long")
					  : merge_name(g, &c, out, err);
		g->path.len = len;
		g->path.p[len] = '\0';
		b->n += out->has_file || out->has_dir;
	}
	return rc;
}

/* The merged node is often just one of the two: then it is there already. */
static bool is_node(const struct building *b, const struct node *n)
{
	if (b->n != n->count)
		return false;
	for (uint32_t i = 0; i < b->n; i++)
		if (!child_eq(&b->v[i], &n->children[i]))
			return false;
	return true;
}

/* Did the folder come out of it, when nothing is in it? Only one that was kept empty on purpose. */
static bool stays_empty(const struct merging *g, const struct three_dirs *d)
{
	bool kept = d->ours && d->theirs ? true : d->ours ? !d->base : d->theirs ? !d->base : false;

	return g->m->style == MERGE_NATIVE && kept &&
		((d->ours && hash_eq(d->ours, &object_empty)) || (d->theirs && hash_eq(d->theirs, &object_empty)));
}

static int write_node(
	struct merging *g, const struct three_dirs *d, const struct building *b, struct hash *out, bool *has, struct err *err)
{
	auto_buf bytes = BUF_INIT;

	*has = b->n > 0 || stays_empty(g, d);
	*out = object_empty;
	if (b->n == 0)
		return 0;
	if (d->ours && is_node(b, &b->ours.node)) {
		*out = *d->ours;
		return 0;
	}
	if (d->theirs && is_node(b, &b->theirs.node)) {
		*out = *d->theirs;
		return 0;
	}
	/* mcp-v8 has no tree when there are conflicts. */
	if (g->m->style == MERGE_MCP && g->out->count)
		return 0;
	if (node_encode(b->v, b->n, &bytes, err) != 0)
		return -1;
	return store_put(g->s, OBJECT_TREE, bytes.p, bytes.len, NULL, out, err);
}

static int load(struct store *s, const struct hash *id, struct tree_node *out, struct err *err)
{
	*out = (struct tree_node){ .bytes = BUF_INIT };
	return id ? tree_load(s, id, out, err) : 0;
}

static int load_all(struct merging *g, const struct three_dirs *d, struct building *b, struct err *err)
{
	if (load(g->s, d->base, &b->base, err) == 0) {
		if (load(g->s, d->ours, &b->ours, err) == 0) {
			if (load(g->s, d->theirs, &b->theirs, err) == 0)
				return 0;
			tree_unload(&b->ours);
		}
		tree_unload(&b->base);
	}
	return -1;
}

static int merge_loaded(struct merging *g, const struct three_dirs *d, struct hash *out, bool *has, struct err *err)
{
	struct building b = { 0 };
	struct made *outer = g->made;
	struct merge_jobs *outer_jobs = g->jobs;
	int rc;

	if (load_all(g, d, &b, err) != 0)
		return -1;
	g->made = NULL;
	begin_jobs(g, &b);
	rc = merge_names(g, &b, err);
	merge_jobs_free(g->jobs);
	g->jobs = outer_jobs;
	if (rc == 0)
		rc = write_node(g, d, &b, out, has, err);
	made_free(g->made);
	g->made = outer;
	tree_unload(&b.base);
	tree_unload(&b.ours);
	tree_unload(&b.theirs);
	free(b.v);
	return rc;
}

bool merge_dirs_decided(const struct three_dirs *d, const struct hash **take)
{
	*take = d->ours;
	if (same_id(d->ours, d->theirs) || same_id(d->base, d->theirs))
		return true;
	*take = d->theirs;
	return same_id(d->base, d->ours);
}

int merge_dirs(struct merging *g, const struct three_dirs *d, struct hash *out, bool *has, struct err *err)
{
	const struct hash *take;

	if (!merge_dirs_decided(d, &take))
		return merge_loaded(g, d, out, has, err);
	*has = take != NULL;
	if (take)
		*out = *take;
	return 0;
}

static int merge_once(struct store *s, const struct tree_merge *m, struct merge_result *out, struct err *err)
{
	struct merging g = { .s = s, .m = m, .out = out, .path = BUF_INIT };
	struct three_dirs roots = { m->base, &m->ours, &m->theirs };
	bool has = false;

	*out = (struct merge_result){ .tree = object_empty };
	int rc = merge_dirs(&g, &roots, &out->tree, &has, err);
	buf_free(&g.path);
	if (rc != 0) {
		merge_result_free(out);
		return -1;
	}
	out->clean = out->count == 0;
	return 0;
}

/* Finding moves reads both sides once more, twice what the merge itself does. A move matters only where one side moved a file that
 * the other changed, which is a conflict as long as nobody follows: so they are looked for when there is one (or when `prefer`
 * hides it). */
int merge_trees(struct store *s, const struct tree_merge *m, struct merge_result *out, struct err *err)
{
	bool renames = m->renames && m->style == MERGE_NATIVE && m->base;
	struct tree_merge moved = *m;
	struct hash base;

	if (!renames || m->prefer == PREFER_NONE) {
		if (merge_once(s, m, out, err) != 0)
			return -1;
		if (out->clean || !renames)
			return 0;
		merge_result_free(out);
	}
	return merge_follow_moves(s, &moved, &base, err) != 0 ? -1 : merge_once(s, &moved, out, err);
}
