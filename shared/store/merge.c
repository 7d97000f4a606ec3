#include "shared/store/merge.h"

#include <string.h>

#include "shared/base/mem.h"

/* The three texts as lines, and what each side did to the base. */
struct three {
	const struct text_merge *m;
	struct lines base, ours, theirs;
	struct diff_runs to_ours, to_theirs;
	struct buf *out;
	unsigned conflicts;
};

/* Changes of both sides that touch each other in the base: one region. */
struct region {
	size_t base, base_n, ours, ours_n, theirs, theirs_n;
	size_t ours_first, ours_runs, theirs_first, theirs_runs; /* in to_ours, to_theirs */
};

static void three_free(struct three *t)
{
	lines_free(&t->base);
	lines_free(&t->ours);
	lines_free(&t->theirs);
	diff_runs_free(&t->to_ours);
	diff_runs_free(&t->to_theirs);
}

static bool lines_same(const struct lines *a, size_t i, size_t n, const struct lines *b, size_t j, size_t m)
{
	if (n != m)
		return false;
	for (size_t k = 0; k < n; k++) {
		struct text x = a->v[i + k], y = b->v[j + k];
		if (x.n != y.n || memcmp(x.p, y.p, x.n) != 0)
			return false;
	}
	return true;
}

static void put_lines(struct three *t, const struct lines *l, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_add(t->out, l->v[from + i].p, l->v[from + i].n);
}

/* ---- markers ---- */

/* Do lines end in CRLF, judged at line i? 1, 0, -1: cannot be said. The last line may have no end: the one before it tells. */
static int ends_crlf(const struct lines *l, size_t i)
{
	if (!l->n)
		return -1;
	if (i + 1 >= l->n && l->v[i].p[l->v[i].n - 1] != '\n') {
		if (!i)
			return -1;
		i--;
	}
	return l->v[i].n > 1 && l->v[i].p[l->v[i].n - 2] == '\r';
}

/* Markers end as the lines around them do, when all three texts agree; as git's. */
static bool wants_cr(const struct three *t, const struct region *r)
{
	int cr = t->m->style == MERGE_NATIVE ? ends_crlf(&t->ours, r->ours ? r->ours - 1 : 0) : 0;

	if (cr)
		cr = ends_crlf(&t->theirs, r->theirs ? r->theirs - 1 : 0);
	if (cr)
		cr = ends_crlf(&t->base, 0);
	return cr > 0;
}

static void put_marker(struct three *t, char sign, const char *name, bool cr)
{
	for (int i = 0; i < 7; i++)
		buf_ch(t->out, sign);
	if (name) {
		buf_ch(t->out, ' ');
		buf_str(t->out, name);
	}
	buf_str(t->out, cr ? "\r\n" : "\n");
}

/* The lines of one side in a conflict. mcp-v8 glues the next marker to a line without end. */
static void put_part(struct three *t, const struct lines *l, size_t from, size_t n, bool cr)
{
	put_lines(t, l, from, n);
	if (n && t->m->style == MERGE_NATIVE && l->v[from + n - 1].p[l->v[from + n - 1].n - 1] != '\n')
		buf_str(t->out, cr ? "\r\n" : "\n");
}

static void put_conflict(struct three *t, const struct region *r)
{
	bool cr = wants_cr(t, r);
	const struct text_merge *m = t->m;

	put_marker(t, '<', m->ours_name ? m->ours_name : "ours", cr);
	put_part(t, &t->ours, r->ours, r->ours_n, cr);
	put_marker(t, '|', m->base_name ? m->base_name : m->style == MERGE_MCP ? "original" : "base", cr);
	put_part(t, &t->base, r->base, r->base_n, cr);
	put_marker(t, '=', NULL, cr);
	put_part(t, &t->theirs, r->theirs, r->theirs_n, cr);
	put_marker(t, '>', m->theirs_name ? m->theirs_name : "theirs", cr);
	t->conflicts++;
}

/* ---- regions ---- */

enum verdict { TAKE_OURS, TAKE_THEIRS, CONFLICT };

static enum verdict judge(const struct three *t, const struct region *r)
{
	bool same = lines_same(&t->ours, r->ours, r->ours_n, &t->theirs, r->theirs, r->theirs_n);

	if (!r->theirs_runs)
		return TAKE_OURS;
	if (!r->ours_runs)
		return TAKE_THEIRS;
	if (t->m->style == MERGE_MCP) {
		if (same || lines_same(&t->base, r->base, r->base_n, &t->theirs, r->theirs, r->theirs_n))
			return TAKE_OURS;
		if (lines_same(&t->base, r->base, r->base_n, &t->ours, r->ours, r->ours_n))
			return TAKE_THEIRS;
		return CONFLICT;
	}
	/* As git's --diff3: only one change that both made, in the same place, is no conflict. */
	if (same && r->ours_runs == 1 && r->theirs_runs == 1) {
		const struct diff_run *o = &t->to_ours.v[r->ours_first], *h = &t->to_theirs.v[r->theirs_first];
		if (o->a == h->a && o->a_n == h->a_n)
			return TAKE_OURS;
	}
	return t->m->prefer == PREFER_OURS ? TAKE_OURS : t->m->prefer == PREFER_THEIRS ? TAKE_THEIRS : CONFLICT;
}

static void put_region(struct three *t, const struct region *r)
{
	switch (judge(t, r)) {
	case TAKE_OURS:
		put_lines(t, &t->ours, r->ours, r->ours_n);
		break;
	case TAKE_THEIRS:
		put_lines(t, &t->theirs, r->theirs, r->theirs_n);
		break;
	case CONFLICT:
		put_conflict(t, r);
		break;
	}
}

/* Take the next run of a side into the region when it begins at or before its end. */
static bool region_grow(const struct diff_runs *runs, size_t *next, size_t *count, size_t *end)
{
	if (*next == runs->n || runs->v[*next].a > *end)
		return false;
	const struct diff_run *r = &runs->v[*next];
	if (r->a + r->a_n > *end)
		*end = r->a + r->a_n;
	++*count;
	++*next;
	return true;
}

/* Where line `at` of the base, which the side did not change, is in the side: `next` is the first run after it. */
static size_t side_of(const struct diff_runs *runs, size_t next, size_t at)
{
	if (!next)
		return at;
	const struct diff_run *before = &runs->v[next - 1];
	return at - (before->a + before->a_n) + before->b + before->b_n;
}

static void merge_regions(struct three *t)
{
	size_t i = 0, j = 0, done = 0; /* lines of ours that are out */
	const struct diff_runs *o = &t->to_ours, *h = &t->to_theirs;

	while (i < o->n || j < h->n) {
		struct region r = { .ours_first = i, .theirs_first = j };
		size_t end;
		r.base = j == h->n || (i < o->n && o->v[i].a <= h->v[j].a) ? o->v[i].a : h->v[j].a;
		r.ours = side_of(o, i, r.base);
		r.theirs = side_of(h, j, r.base);
		end = r.base;
		while (region_grow(o, &i, &r.ours_runs, &end) || region_grow(h, &j, &r.theirs_runs, &end)) {
		}
		r.base_n = end - r.base;
		r.ours_n = side_of(o, i, end) - r.ours;
		r.theirs_n = side_of(h, j, end) - r.theirs;
		put_lines(t, &t->ours, done, r.ours - done);
		put_region(t, &r);
		done = r.ours + r.ours_n;
	}
	put_lines(t, &t->ours, done, t->ours.n - done);
}

int merge_text(const struct text_merge *m, struct buf *out, unsigned *conflicts, struct err *err)
{
	struct three t = { .m = m, .out = out };
	enum diff_style style = m->style == MERGE_MCP ? DIFF_MCP : DIFF_NATIVE;
	int rc = -1;

	*conflicts = 0;
	if (lines_split(m->base, &t.base, err) == 0 && lines_split(m->ours, &t.ours, err) == 0 &&
		lines_split(m->theirs, &t.theirs, err) == 0 && diff_lines(&t.base, &t.ours, style, &t.to_ours, err) == 0 &&
		diff_lines(&t.base, &t.theirs, style, &t.to_theirs, err) == 0) {
		merge_regions(&t);
		*conflicts = t.conflicts;
		rc = buf_failed(out) ? err_set(err, ERR_TOO_LARGE, "the merged text is too large") : 0;
	}
	three_free(&t);
	return rc;
}
