#include "daemon/core/change_tree.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/tree.h"
#include "shared/wire/changes.h"

/* Edits are applied when they are so many, or hold so much. */
#define EDITS_MAX 4096u
#define HELD_MAX ((size_t)8 << 20)

struct edit {
	char *path;
	void *data; /* what the entry points to */
	struct entry entry;
	bool remove, empty; /* what was there goes first; the folder begins empty */
	bool has_entry;
};

struct edits {
	struct edit *v;
	size_t n, cap, held;
};

struct change_tree {
	struct change_counts result; /* its tree: so far */
	struct changes_rx rx;
	struct edits edits, dirs; /* dirs: all folders that there must be in the end, though they may become empty */
	struct tree_file *file;
	uint64_t bytes; /* of the file that is open */
};

static void edits_clear(struct edits *e)
{
	for (size_t i = 0; i < e->n; i++) {
		free(e->v[i].path);
		free(e->v[i].data);
	}
	e->n = e->held = 0;
}

static struct edit *edits_add(struct edits *e, const char *path)
{
	if (e->n == e->cap) {
		e->cap = e->cap ? 2 * e->cap : 64;
		e->v = mem_grow(e->v, e->cap, sizeof(*e->v));
	}
	e->held += sizeof(struct edit) + strlen(path);
	e->v[e->n] = (struct edit){ .path = mem_strdup(path) };
	return &e->v[e->n++];
}

static void take_entry(struct edits *e, struct edit *edit, const struct entry *from)
{
	size_t n = from->chunked ? (size_t)from->chunks * HASH_LEN : (size_t)from->size;
	edit->entry = *from;
	edit->has_entry = true;
	edit->data = mem_zalloc(n + 1);
	if (n > 0)
		memcpy(edit->data, from->data, n);
	edit->entry.data = edit->data;
	if (from->link)
		edit->entry.link = edit->data;
	e->held += n;
}

static int apply(struct change_tree *c, struct edits *e, struct store *s, struct err *err)
{
	struct hash now = c->result.tree;
	if (e->n == 0)
		return 0;
	auto_free struct tree_edit *list = mem_array(e->n, sizeof(*list));
	for (size_t i = 0; i < e->n; i++) {
		const struct edit *x = &e->v[i];
		list[i] = (struct tree_edit){ .path = x->path,
			.remove = x->remove,
			.dir = x->remove || x->empty,
			.file = x->has_entry ? &x->entry : NULL,
			.tree = object_empty };
	}
	int r = tree_apply(s, &now, list, e->n, &c->result.tree, err);
	edits_clear(e);
	return r;
}

/* ---- the records ---- */

static void on_dir(struct change_tree *c, const struct change *r)
{
	const struct entry mode = { .mode = S_IFDIR | r->mode, .data = (const uint8_t *)"" };
	struct edit *e = edits_add(&c->edits, r->path);
	e->empty = r->opaque;
	take_entry(&c->edits, e, &mode);
	take_entry(&c->dirs, edits_add(&c->dirs, r->path), &mode);
}

static void on_plain(struct change_tree *c, const struct change *r, uint32_t mode, const char *text, bool link)
{
	const struct entry entry = { .mode = mode,
		.size = strlen(text),
		.data = (const uint8_t *)text,
		.link = link ? text : NULL,
		.link_len = link ? strlen(text) : 0 };
	struct edit *e = edits_add(&c->edits, r->path);
	e->remove = true;
	take_entry(&c->edits, e, &entry);
	c->result.files++;
}

/* "MAJOR:MINOR" */
static bool read_device(const char *text, int64_t *major, int64_t *minor)
{
	const char *colon = strchr(text, ':');
	auto_free char *first = mem_strndup(text, colon ? (size_t)(colon - text) : 0);
	return colon && parse_int(first, "", 0, UINT32_MAX, major, NULL) == 0 &&
		parse_int(colon + 1, "", 0, UINT32_MAX, minor, NULL) == 0;
}

/* The numbers of a device are written anew: the store has one form for them. */
static int on_special(struct change_tree *c, const struct change *r, struct err *err)
{
	int64_t major = 0, minor = 0;
	if (S_ISFIFO(r->mode) || S_ISSOCK(r->mode)) {
		on_plain(c, r, r->mode, "", false);
		return 0;
	}
	if (!read_device(r->more, &major, &minor))
		return err_set(err, ERR_PROTOCOL, "the sandbox sent a device without numbers: '%.300s'", r->path);
	auto_free char *text = mem_printf("%lld:%lld", (long long)major, (long long)minor);
	on_plain(c, r, r->mode, text, false);
	return 0;
}

static void on_gone(struct change_tree *c, const struct change *r)
{
	edits_add(&c->edits, r->path)->remove = true;
	c->result.removed++;
}

static void file_begin(struct change_tree *c, struct store *s, uint32_t mode)
{
	tree_file_free(c->file);
	c->file = tree_file_new(s, mode);
	c->bytes = 0;
}

static int on_done(struct change_tree *c, struct err *err)
{
	struct entry entry;
	if (tree_file_end(c->file, &entry, err) != 0)
		return -1;
	struct edit *e = edits_add(&c->edits, c->rx.path);
	e->remove = true;
	take_entry(&c->edits, e, &entry);
	tree_file_free(c->file);
	c->file = NULL;
	c->result.files++;
	c->result.bytes += c->bytes;
	return 0;
}

static int on_change(struct change_tree *c, struct store *s, const struct change *r, struct err *err)
{
	switch (r->kind) {
	case CHANGE_DIR:
		on_dir(c, r);
		return 0;
	case CHANGE_FILE:
	case CHANGE_AGAIN:
		file_begin(c, s, r->mode);
		return 0;
	case CHANGE_LINK:
		on_plain(c, r, OBJECT_LINK_MODE, r->more, true);
		return 0;
	case CHANGE_SPECIAL:
		return on_special(c, r, err);
	case CHANGE_GONE:
		on_gone(c, r);
		return 0;
	case CHANGE_DATA:
		c->bytes += r->n;
		return tree_file_add(c->file, r->data, r->n, err);
	case CHANGE_HOLE:
		c->bytes += r->hole;
		return tree_file_zeros(c->file, r->hole, err);
	case CHANGE_DONE:
		return on_done(c, err);
	default:
		return 0;
	}
}

int change_tree_add(struct change_tree *c, struct store *s, const void *data, size_t n, struct err *err)
{
	struct change r;
	int got;
	changes_rx_add(&c->rx, data, n);
	while ((got = changes_rx_next(&c->rx, &r, err)) > 0) {
		if (on_change(c, s, &r, err) != 0)
			return -1;
		if ((c->edits.n >= EDITS_MAX || c->edits.held >= HELD_MAX) && apply(c, &c->edits, s, err) != 0)
			return -1;
	}
	return got;
}

int change_tree_end(struct change_tree *c, struct store *s, struct err *err)
{
	if (changes_rx_end(&c->rx, err) != 0 || apply(c, &c->edits, s, err) != 0)
		return -1;
	/* a folder that lost all that was in it is still there */
	return c->result.removed ? apply(c, &c->dirs, s, err) : 0;
}

struct change_tree *change_tree_new(const struct hash *base)
{
	struct change_tree *c = mem_zalloc(sizeof(*c));
	c->result.tree = *base;
	changes_rx_init(&c->rx);
	return c;
}

void change_tree_free(struct change_tree *c)
{
	if (!c)
		return;
	tree_file_free(c->file);
	struct edits *const lists[] = { &c->edits, &c->dirs };
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		edits_clear(lists[i]);
		free(lists[i]->v);
	}
	changes_rx_free(&c->rx);
	free(c);
}

const struct change_counts *change_tree_result(const struct change_tree *c)
{
	return &c->result;
}
