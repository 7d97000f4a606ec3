/* One file three ways. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/store/merge_internal.h"

#define EXECUTE 0111u

static bool same(const struct entry *a, const struct entry *b)
{
	return a && b ? entry_eq(a, b) : a == b;
}

static bool same_content(const struct entry *a, const struct entry *b)
{
	struct entry x = *a;

	x.mode = b->mode;
	return entry_eq(&x, b);
}

uint32_t merge_mode(int64_t base, uint32_t ours, uint32_t theirs, bool *clash)
{
	uint32_t b = (uint32_t)base, rest;

	*clash = false;
	if (ours == theirs)
		return ours;
	if (base < 0) {
		*clash = true;
		return ours;
	}
	/* A bit that the sides disagree about was changed by exactly one of them. */
	uint32_t execute = ((ours & theirs) | (~b & (ours | theirs))) & EXECUTE;
	b &= ~EXECUTE;
	ours &= ~EXECUTE;
	theirs &= ~EXECUTE;
	rest = ours == b ? theirs : ours;
	*clash = ours != b && theirs != b && ours != theirs;
	return rest | execute;
}

/* ---- conflicts ---- */

struct conflict *merge_conflict(struct merging *g, size_t at, enum conflict_kind kind)
{
	struct merge_result *r = g->out;

	if (r->count == g->room) {
		g->room = g->room ? g->room * 2 : 16;
		r->conflicts = mem_grow(r->conflicts, g->room, sizeof(*r->conflicts));
	}
	struct conflict *c = &r->conflicts[at];
	memmove(c + 1, c, (r->count - at) * sizeof(*c));
	r->count++;
	*c = (struct conflict){ .path = mem_strdup(g->path.p), .kind = kind };
	return c;
}

void merge_conflict_ids(struct conflict *c, const struct three_entries *e)
{
	c->has_base = e->base != NULL;
	c->has_ours = e->ours != NULL;
	c->has_theirs = e->theirs != NULL;
	if (e->base)
		entry_id(e->base, &c->base);
	if (e->ours)
		entry_id(e->ours, &c->ours);
	if (e->theirs)
		entry_id(e->theirs, &c->theirs);
}

static struct conflict *clash(struct merging *g, const struct three_entries *e, enum conflict_kind kind)
{
	struct conflict *c = merge_conflict(g, g->out->count, kind);

	merge_conflict_ids(c, e);
	return c;
}

/* ---- content ---- */

enum content_kind { CONTENT_TEXT, CONTENT_SQLITE, CONTENT_BINARY };

static int keep_bytes(void *arg, const void *data, size_t n, struct err *err)
{
	(void)err;
	buf_add(arg, data, n);
	return 0;
}

/* Reads it whole when it may be text. */
static int sniff(struct store *s, const struct entry *e, struct buf *bytes, enum content_kind *kind, struct err *err)
{
	static const char magic[16] = "SQLite format 3"; /* with its NUL */
	int rc;

	if (e->size <= MERGE_TEXT_MAX)
		rc = tree_read_all(s, e, MERGE_TEXT_MAX, bytes, err);
	else
		rc = tree_read(s, e, 0, sizeof(magic), keep_bytes, bytes, err);
	if (rc != 0)
		return -1;
	if (bytes->len >= sizeof(magic) && memcmp(bytes->p, magic, sizeof(magic)) == 0)
		*kind = CONTENT_SQLITE;
	else
		*kind = e->size <= MERGE_TEXT_MAX && text_is(bytes->p, bytes->len) ? CONTENT_TEXT : CONTENT_BINARY;
	return 0;
}

void made_free(struct made *list)
{
	while (list) {
		struct made *next = list->next;
		buf_free(&list->bytes);
		tree_file_free(list->file);
		free(list);
		list = next;
	}
}

/* A regular file of these bytes, which move into g->made. */
static int make_file(struct merging *g, struct buf *bytes, uint32_t mode, struct entry *out, struct err *err)
{
	struct made *m = mem_zalloc(sizeof(*m));

	m->bytes = *bytes;
	buf_init(bytes);
	m->next = g->made;
	g->made = m;
	*out = (struct entry){ .mode = mode, .size = m->bytes.len, .data = (const uint8_t *)m->bytes.p };
	if (m->bytes.len <= OBJECT_INLINE_MAX)
		return 0;
	m->file = tree_file_new(g->s, mode);
	return tree_file_add(m->file, m->bytes.p, m->bytes.len, err) == 0 ? tree_file_end(m->file, out, err) : -1;
}

static struct text text_of(const struct buf *b)
{
	return (struct text){ b->p, b->len };
}

static int give_text(struct buf *b, char **out, size_t *len, struct err *err)
{
	*out = buf_take(b, len);
	return *out ? 0 : err_set(err, ERR_TOO_LARGE, "a conflict is too large to be told");
}

static int add_diff(
	enum merge_style style, struct text base, const struct buf *side, const char *name, struct buf *out, struct err *err)
{
	struct diff_options native = { .old_name = "base", .new_name = name, .context = 3 };

	return diff_text(base, text_of(side), style == MERGE_MCP ? NULL : &native, out, err);
}

struct contents {
	struct buf base, ours, theirs;
};

static int text_conflict(
	struct merging *g, const struct three_entries *e, const struct contents *t, const struct buf *merged, struct err *err)
{
	struct conflict *c = clash(g, e, CONFLICT_TEXT);
	enum merge_style style = g->m->style;
	auto_buf markers = BUF_INIT, ours = BUF_INIT, theirs = BUF_INIT;

	buf_add(&markers, merged->p, merged->len);
	if (add_diff(style, text_of(&t->base), &t->ours, "ours", &ours, err) != 0 ||
		add_diff(style, text_of(&t->base), &t->theirs, "theirs", &theirs, err) != 0 ||
		give_text(&markers, &c->markers, &c->markers_len, err) != 0 ||
		give_text(&ours, &c->diff_ours, &c->diff_ours_len, err) != 0)
		return -1;
	return give_text(&theirs, &c->diff_theirs, &c->diff_theirs_len, err);
}

/* Both sides are texts: merge lines. The result has markers where they could not be merged (then a conflict is noted). */
static int merge_lines(struct merging *g, const struct three_entries *e, const struct contents *t, uint32_t mode, struct entry *out,
	struct err *err)
{
	struct text_merge m = {
		.base = text_of(&t->base), .ours = text_of(&t->ours), .theirs = text_of(&t->theirs), .style = g->m->style
	};
	auto_buf merged = BUF_INIT;
	unsigned left = 0;

	m.prefer = g->m->style == MERGE_NATIVE ? g->m->prefer : PREFER_NONE;
	if (merge_text(&m, &merged, &left, err) != 0 || (left && text_conflict(g, e, t, &merged, err) != 0))
		return -1;
	return make_file(g, &merged, mode, out, err);
}

static int read_base(struct store *s, const struct entry *e, struct buf *out, struct err *err)
{
	/* What is no text has no lines in common with a text. */
	if (!e || e->size > MERGE_TEXT_MAX || entry_is_special(e))
		return 0;
	if (tree_read_all(s, e, MERGE_TEXT_MAX, out, err) != 0)
		return -1;
	if (!text_is(out->p, out->len))
		buf_clear(out);
	return 0;
}

/* Nothing more can be merged: prefer says which side, or it is a conflict and ours stays. */
static int take_side(struct merging *g, const struct three_entries *e, enum conflict_kind kind, struct entry *out, bool *has)
{
	const struct entry *side = g->m->prefer == PREFER_THEIRS ? e->theirs : e->ours;

	if (g->m->prefer == PREFER_NONE)
		(void)clash(g, e, kind);
	*has = side != NULL;
	if (side)
		*out = *side;
	return 0;
}

static int merge_contents(
	struct merging *g, const struct three_entries *e, uint32_t mode, struct entry *out, bool *has, struct err *err)
{
	struct contents t = { BUF_INIT, BUF_INIT, BUF_INIT };
	enum content_kind ours = CONTENT_BINARY, theirs = CONTENT_BINARY;
	int rc = -1;

	if (sniff(g->s, e->ours, &t.ours, &ours, err) == 0 && sniff(g->s, e->theirs, &t.theirs, &theirs, err) == 0) {
		if (ours != theirs || ours == CONTENT_BINARY)
			rc = take_side(g, e, CONFLICT_BINARY, out, has);
		else if (ours == CONTENT_SQLITE)
			rc = take_side(g, e, CONFLICT_SQLITE, out, has);
		else if (read_base(g->s, e->base, &t.base, err) == 0) {
			rc = merge_lines(g, e, &t, mode, out, err);
			*has = rc == 0;
		}
		if (*has && g->m->style == MERGE_NATIVE)
			out->mode = mode;
	}
	buf_free(&t.base);
	buf_free(&t.ours);
	buf_free(&t.theirs);
	return rc;
}

/* Regular files on both sides: content and mode apart from each other. */
static int merge_files(struct merging *g, const struct three_entries *e, struct entry *out, bool *has, struct err *err)
{
	const struct entry *base = e->base && entry_is_file(e->base) ? e->base : NULL;
	bool mode_clash;
	uint32_t mode = merge_mode(base ? (int64_t)base->mode : -1, e->ours->mode, e->theirs->mode, &mode_clash);
	const struct entry *whole = NULL;

	if (mode_clash && g->m->prefer == PREFER_NONE)
		(void)clash(g, e, CONFLICT_MODE);
	else if (mode_clash && g->m->prefer == PREFER_THEIRS)
		mode = e->theirs->mode;
	if (same_content(e->ours, e->theirs) || (base && same_content(base, e->theirs)))
		whole = e->ours;
	else if (base && same_content(base, e->ours))
		whole = e->theirs;
	if (!whole)
		return merge_contents(g, e, mode, out, has, err);
	*out = *whole;
	out->mode = mode;
	*has = true;
	return 0;
}

static int merge_mcp(struct merging *g, const struct three_entries *e, struct entry *out, bool *has, struct err *err)
{
	if (g->m->prefer != PREFER_NONE)
		return take_side(g, e, CONFLICT_BINARY, out, has);
	if (!e->ours || !e->theirs)
		return take_side(g, e, CONFLICT_MODIFY_DELETE, out, has);
	/* It knows neither devices nor fifos. */
	if (entry_is_special(e->ours) || entry_is_special(e->theirs))
		return take_side(g, e, CONFLICT_BINARY, out, has);
	return merge_contents(g, e, OBJECT_FILE_MODE, out, has, err);
}

int merge_entry(struct merging *g, const struct three_entries *e, struct entry *out, bool *has, struct err *err)
{
	const struct entry *take = e->ours;
	bool decided = same(e->ours, e->theirs) || same(e->base, e->theirs);

	*has = false;
	if (!decided && same(e->base, e->ours)) {
		take = e->theirs;
		decided = true;
	}
	if (decided) {
		*has = take != NULL;
		if (take)
			*out = *take;
		return 0;
	}
	if (g->m->style == MERGE_MCP)
		return merge_mcp(g, e, out, has, err);
	if (!e->ours || !e->theirs)
		return take_side(g, e, CONFLICT_MODIFY_DELETE, out, has);
	if (!entry_is_file(e->ours) || !entry_is_file(e->theirs))
		return take_side(g, e, CONFLICT_BINARY, out, has);
	return merge_files(g, e, out, has, err);
}
