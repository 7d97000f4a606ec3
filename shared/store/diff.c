#include "shared/store/diff_internal.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

int diff_no_memory(struct err *err)
{
	return err_set(err, ERR_TOO_LARGE, "no memory to compare the texts");
}

void *diff_zeros(size_t n, size_t size)
{
	return calloc(n, size);
}

bool text_is(const void *data, size_t n)
{
	const char *p = data, *end = p + n;

	while (p < end) {
		uint64_t w;
		while (end - p >= 8) {
			memcpy(&w, p, 8);
			/* A byte with its high bit set, or one that is zero. */
			if (((w - 0x0101010101010101u) & ~w & 0x8080808080808080u) | (w & 0x8080808080808080u))
				break;
			p += 8;
		}
		if (p == end)
			break;
		size_t len = *p ? utf8_len(p, (size_t)(end - p)) : 0;
		if (!len)
			return false;
		p += len;
	}
	return true;
}

/* ---- lines ---- */

int lines_split(struct text t, struct lines *out, struct err *err)
{
	size_t n = 0;
	const char *end = t.p + t.n;

	*out = (struct lines){ 0 };
	for (const char *p = t.p; p < end; n++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		p = nl ? nl + 1 : end;
	}
	if (n > DIFF_LINES_MAX)
		return err_set(
			err, ERR_TOO_LARGE, "a text of %zu lines is too long to compare (the most is %zu)", n, DIFF_LINES_MAX);
	out->v = mem_try((n ? n : 1) * sizeof(*out->v));
	if (!out->v)
		return diff_no_memory(err);
	for (const char *p = t.p; p < end;) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = nl ? (size_t)(nl + 1 - p) : (size_t)(end - p);
		out->v[out->n++] = (struct text){ p, len };
		p += len;
	}
	return 0;
}

void lines_free(struct lines *l)
{
	free(l->v);
	*l = (struct lines){ 0 };
}

/* A keyed hash, so that nobody can prepare a text whose lines all collide. Its value shows nowhere. */
static uint64_t line_hash(struct text t, uint64_t key)
{
	uint64_t h = key ^ (t.n * 0x9e3779b97f4a7c15u), w;
	size_t n = t.n;
	const char *p = t.p;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&w, p, 8);
		__uint128_t m = (__uint128_t)(h ^ w) * (key | 1);
		h = (uint64_t)m ^ (uint64_t)(m >> 64) ^ w;
	}
	w = 0;
	memcpy(&w, p, n);
	__uint128_t m = (__uint128_t)(h ^ w ^ 0xd6e8feb86659fd93u) * (key | 1);
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Open addressing from a line to its number. */
struct numbers {
	struct slot {
		uint32_t hash, id; /* id + 1; 0 is free */
	} * slots;
	size_t mask;
	struct text *first; /* of each number: a line that has it */
	uint32_t count;
	uint64_t key;
};

static void numbers_give(struct numbers *m, const struct lines *l, uint32_t *ids)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct text *t = &l->v[i];
		uint64_t h = line_hash(*t, m->key);
		size_t at = h & m->mask;
		for (; m->slots[at].id; at = (at + 1) & m->mask) {
			if (m->slots[at].hash != (uint32_t)(h >> 32))
				continue;
			const struct text *f = &m->first[m->slots[at].id - 1];
			if (f->n == t->n && memcmp(f->p, t->p, t->n) == 0)
				break;
		}
		if (!m->slots[at].id) {
			m->first[m->count] = *t;
			m->slots[at] = (struct slot){ (uint32_t)(h >> 32), ++m->count };
		}
		ids[i] = m->slots[at].id - 1;
	}
}

/* Numbers of the lines of a, then of b, in one array. */
static uint32_t *number_lines(const struct lines *a, const struct lines *b, size_t *classes)
{
	size_t n = a->n + b->n, size = 16;
	struct numbers m = { 0 };
	uint32_t *ids = mem_try((n ? n : 1) * sizeof(*ids));

	while (size < n * 2)
		size *= 2;
	m.slots = diff_zeros(size, sizeof(*m.slots));
	m.first = mem_try((n ? n : 1) * sizeof(*m.first));
	m.mask = size - 1;
	rand_bytes(&m.key, sizeof(m.key));
	if (ids && m.slots && m.first) {
		numbers_give(&m, a, ids);
		numbers_give(&m, b, ids + a->n);
		*classes = m.count;
	} else {
		free(ids);
		ids = NULL;
	}
	free(m.slots);
	free(m.first);
	return ids;
}

bool runs_add(struct diff_runs *r, size_t *cap, struct diff_run run)
{
	if (r->n == *cap) {
		size_t want = *cap ? *cap * 2 : 16;
		struct diff_run *v = realloc(r->v, want * sizeof(*v));
		if (!v)
			return false;
		r->v = v;
		*cap = want;
	}
	r->v[r->n++] = run;
	return true;
}

int diff_lines(const struct lines *a, const struct lines *b, enum diff_style style, struct diff_runs *out, struct err *err)
{
	size_t classes = 0;

	*out = (struct diff_runs){ 0 };
	auto_free uint32_t *ids = number_lines(a, b, &classes);
	if (!ids)
		return diff_no_memory(err);
	struct seq sa = { ids, a->n }, sb = { ids + a->n, b->n };
	int rc = style == DIFF_MCP ? script_mcp(sa, sb, classes, out, err) : script_git(sa, sb, classes, out, err);
	if (rc != 0)
		diff_runs_free(out);
	return rc;
}

void diff_runs_free(struct diff_runs *r)
{
	free(r->v);
	*r = (struct diff_runs){ 0 };
}

/* Both texts as lines and what differs. */
struct compared {
	struct lines a, b;
	struct diff_runs runs;
};

static void compared_free(struct compared *c)
{
	lines_free(&c->a);
	lines_free(&c->b);
	diff_runs_free(&c->runs);
}

static int compare(struct text old, struct text new, enum diff_style style, struct compared *c, struct err *err)
{
	*c = (struct compared){ 0 };
	if (lines_split(old, &c->a, err) != 0 || lines_split(new, &c->b, err) != 0 ||
		diff_lines(&c->a, &c->b, style, &c->runs, err) != 0) {
		compared_free(c);
		return -1;
	}
	return 0;
}

int diff_count(struct text old, struct text new, uint64_t *added, uint64_t *removed, struct err *err)
{
	struct compared c;

	*added = *removed = 0;
	if (compare(old, new, DIFF_NATIVE, &c, err) != 0)
		return -1;
	for (size_t i = 0; i < c.runs.n; i++) {
		*added += c.runs.v[i].b_n;
		*removed += c.runs.v[i].a_n;
	}
	compared_free(&c);
	return 0;
}

/* ---- unified diff ---- */

static void put_name(struct buf *out, const char *mark, const char *name)
{
	bool quote = false, blank = false;

	for (const char *p = name; *p; p++) {
		quote |= (unsigned char)*p < 0x20 || *p == 0x7f || *p == '"' || *p == '\\';
		blank |= *p == ' ';
	}
	buf_str(out, mark);
	if (!quote) {
		buf_str(out, name);
		/* patch(1) would end the name at the blank. */
		buf_str(out, blank ? "\t\n" : "\n");
		return;
	}
	buf_ch(out, '"');
	for (const char *p = name; *p; p++) {
		if (*p == '\n')
			buf_str(out, "\\n");
		else if (*p == '\t')
			buf_str(out, "\\t");
		else if (*p == '"' || *p == '\\')
			buf_fmt(out, "\\%c", *p);
		else if ((unsigned char)*p < 0x20 || *p == 0x7f)
			buf_fmt(out, "\\%03o", (unsigned)*p);
		else
			buf_ch(out, *p);
	}
	buf_str(out, "\"\n");
}

static void put_range(struct buf *out, char sign, size_t start, size_t n)
{
	buf_fmt(out, "%c%zu", sign, n ? start + 1 : start);
	if (n != 1)
		buf_fmt(out, ",%zu", n);
}

static void put_line(struct buf *out, char sign, struct text t, bool bare)
{
	if (!(bare && sign == ' ' && t.n == 1 && *t.p == '\n'))
		buf_ch(out, sign);
	buf_add(out, t.p, t.n);
	if (t.p[t.n - 1] != '\n')
		buf_str(out, "\n\\ No newline at end of file\n");
}

static void put_lines(struct buf *out, char sign, const struct lines *l, size_t from, size_t n, bool bare)
{
	for (size_t i = 0; i < n; i++)
		put_line(out, sign, l->v[from + i], bare);
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Equal lines after run i: up to the next run, or to the end. */
static size_t gap_after(const struct compared *c, size_t i)
{
	const struct diff_run *r = &c->runs.v[i];

	return (i + 1 < c->runs.n ? c->runs.v[i + 1].a : c->a.n) - (r->a + r->a_n);
}

/* Do run i and the next share a hunk? mcp-v8 wants one line less between them than others do, but not before lines that are
 * appended at the end. */
static bool same_hunk(const struct compared *c, size_t i, const struct diff_options *o)
{
	size_t gap, both = 2 * (size_t)o->context;

	if (i + 1 == c->runs.n)
		return false;
	gap = gap_after(c, i);
	if (o->style == DIFF_NATIVE || c->runs.v[i + 1].a == c->a.n)
		return gap <= both;
	return gap < both;
}

static void put_hunk(const struct compared *c, size_t first, size_t last, const struct diff_options *o, struct buf *out)
{
	const struct diff_run *f = &c->runs.v[first], *l = &c->runs.v[last];
	size_t pre = min_size(o->context, first ? gap_after(c, first - 1) : f->a);
	size_t post = min_size(o->context, c->a.n - (l->a + l->a_n));

	buf_str(out, "@@ ");
	put_range(out, '-', f->a - pre, l->a + l->a_n + post - (f->a - pre));
	buf_ch(out, ' ');
	put_range(out, '+', f->b - pre, l->b + l->b_n + post - (f->b - pre));
	buf_str(out, " @@\n");
	put_lines(out, ' ', &c->b, f->b - pre, pre, o->blank_context_bare);
	for (size_t i = first; i <= last; i++) {
		const struct diff_run *r = &c->runs.v[i];
		put_lines(out, '-', &c->a, r->a, r->a_n, false);
		put_lines(out, '+', &c->b, r->b, r->b_n, false);
		put_lines(out, ' ', &c->b, r->b + r->b_n, i == last ? post : gap_after(c, i), o->blank_context_bare);
	}
}

int diff_text(struct text old, struct text new, const struct diff_options *o, struct buf *out, struct err *err)
{
	static const struct diff_options mcp = { .context = 3, .blank_context_bare = true, .style = DIFF_MCP };
	struct compared c;

	if (old.n == new.n && (!old.n || memcmp(old.p, new.p, old.n) == 0))
		return 0;
	if (!o)
		o = &mcp;
	if (compare(old, new, o->style, &c, err) != 0)
		return -1;
	put_name(out, "--- ", o->old_name ? o->old_name : "original");
	put_name(out, "+++ ", o->new_name ? o->new_name : "modified");
	for (size_t i = 0, last; i < c.runs.n; i = last + 1) {
		for (last = i; same_hunk(&c, last, o);)
			last++;
		put_hunk(&c, i, last, o, out);
	}
	compared_free(&c);
	return buf_failed(out) ? diff_no_memory(err) : 0;
}
