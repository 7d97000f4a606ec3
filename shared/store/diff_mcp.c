/*
 * The edit script that mcp-v8 makes (reference/mcp-v8.md 2.10): Myers' middle snake in linear space, the search from diagonal d
 * down to -d on both sides, the box split at the snake's beginning; then every deletion and after that every insertion slides up
 * and down again, merging with its like, and deletions come before insertions. The original searches without limit; here work
 * beyond WORK_MAX steps goes to script_git for the boxes that are left, so that only texts with tens of thousands of changed lines
 * can differ.
 */
#include "shared/store/diff_internal.h"

#include <stdlib.h>

#include "shared/base/mem.h"

#define WORK_MAX ((int64_t)150000000)

enum op_kind { OP_EQUAL, OP_DELETE, OP_INSERT };

/* n lines from a of the old and from b of the new text (an OP_DELETE has no b, an OP_INSERT no a). In a list, by index; 0 is its
 * end. */
struct op {
	enum op_kind kind;
	uint32_t a, b, n, prev, next;
};

struct script {
	struct seq a, b;
	size_t classes;
	int32_t *fwd, *bwd;
	int64_t work;
	struct op *ops; /* [0] is the list's head */
	size_t n, cap;
	bool failed; /* no memory */
};

/* A new op after `prev`. */
static uint32_t op_insert(struct script *s, uint32_t prev, struct op op)
{
	if (s->n == s->cap) {
		size_t cap = s->cap * 2;
		struct op *v = realloc(s->ops, cap * sizeof(*v));
		if (!v) {
			s->failed = true;
			return prev;
		}
		s->ops = v;
		s->cap = cap;
	}
	uint32_t i = (uint32_t)s->n++;
	op.prev = prev;
	op.next = s->ops[prev].next;
	s->ops[i] = op;
	s->ops[op.next].prev = i;
	s->ops[prev].next = i;
	return i;
}

static void op_remove(struct script *s, uint32_t i)
{
	s->ops[s->ops[i].prev].next = s->ops[i].next;
	s->ops[s->ops[i].next].prev = s->ops[i].prev;
}

static void op_append(struct script *s, enum op_kind kind, size_t a, size_t b, size_t n)
{
	if (n)
		(void)op_insert(
			s, s->ops[0].prev, (struct op){ .kind = kind, .a = (uint32_t)a, .b = (uint32_t)b, .n = (uint32_t)n });
}

/* ---- the search ---- */

static int32_t snake_from(const struct seq *a, const struct seq *b, int32_t x, int32_t y)
{
	int32_t n = 0;

	while ((size_t)x + (size_t)n < a->n && (size_t)y + (size_t)n < b->n && a->id[x + n] == b->id[y + n])
		n++;
	return n;
}

/* Equal lines before the x-th and y-th from the end. */
static int32_t snake_to(const struct seq *a, const struct seq *b, int32_t x, int32_t y)
{
	int32_t n = 0, an = (int32_t)a->n, bn = (int32_t)b->n;

	while (x + n < an && y + n < bn && a->id[an - 1 - x - n] == b->id[bn - 1 - y - n])
		n++;
	return n;
}

static int32_t furthest(const int32_t *v, int32_t d, int32_t k)
{
	return k == -d || (k != d && v[k - 1] < v[k + 1]) ? v[k + 1] : v[k - 1] + 1;
}

/* Where to split; false when the work is used up. Coordinates of the backward search count from the end. */
static bool middle(struct script *s, struct seq a, struct seq b, size_t *split_a, size_t *split_b)
{
	int32_t n = (int32_t)a.n, m = (int32_t)b.n, delta = n - m, most = (n + m + 1) / 2 + 1;
	int32_t *f = s->fwd, *g = s->bwd;
	bool odd = delta & 1;

	f[1] = g[1] = 0;
	for (int32_t d = 0; d < most; d++) {
		s->work += 2 * (int64_t)d + 2;
		if (s->work > WORK_MAX)
			return false;
		for (int32_t k = d; k >= -d; k -= 2) {
			int32_t x = furthest(f, d, k), y = x - k;
			int32_t same = snake_from(&a, &b, x, y);
			f[k] = x + same;
			s->work += same;
			if (odd && abs(k - delta) < d && f[k] + g[delta - k] >= n) {
				*split_a = (size_t)x;
				*split_b = (size_t)y;
				return true;
			}
		}
		for (int32_t k = d; k >= -d; k -= 2) {
			int32_t x = furthest(g, d, k);
			int32_t same = snake_to(&a, &b, x, x - k);
			x += same;
			g[k] = x;
			s->work += same;
			if (!odd && abs(k - delta) <= d && g[k] + f[delta - k] >= n) {
				*split_a = (size_t)(n - x);
				*split_b = (size_t)(m - (x - k));
				return true;
			}
		}
	}
	return false;
}

/* A box that would cost too much: another script for it. */
static void take_shorter_way(struct script *s, struct seq a, struct seq b)
{
	struct diff_runs runs = { 0 };
	size_t a0 = (size_t)(a.id - s->a.id), b0 = (size_t)(b.id - s->b.id), i = 0, j = 0;

	if (script_git(a, b, s->classes, &runs, NULL) != 0)
		s->failed = true;
	for (size_t k = 0; k < runs.n; k++) {
		const struct diff_run *r = &runs.v[k];
		op_append(s, OP_EQUAL, a0 + i, b0 + j, r->a - i);
		op_append(s, OP_DELETE, a0 + r->a, 0, r->a_n);
		op_append(s, OP_INSERT, 0, b0 + r->b, r->b_n);
		i = r->a + r->a_n;
		j = r->b + r->b_n;
	}
	op_append(s, OP_EQUAL, a0 + i, b0 + j, a.n - i);
	diff_runs_free(&runs);
}

static struct seq seq_part(struct seq s, size_t from, size_t to)
{
	return (struct seq){ s.id + from, to - from };
}

/* Each level halves the number of edits: the recursion is as deep as that number has bits. */
static void conquer(struct script *s, struct seq a, struct seq b)
{
	size_t pre = (size_t)snake_from(&a, &b, 0, 0), at_a, at_b;
	size_t a0 = (size_t)(a.id - s->a.id), b0 = (size_t)(b.id - s->b.id);

	op_append(s, OP_EQUAL, a0, b0, pre);
	a = seq_part(a, pre, a.n);
	b = seq_part(b, pre, b.n);
	size_t post = (size_t)snake_to(&a, &b, 0, 0);
	a.n -= post;
	b.n -= post;
	if (!a.n || !b.n) {
		op_append(s, OP_INSERT, 0, b0 + pre, b.n);
		op_append(s, OP_DELETE, a0 + pre, 0, a.n);
	} else if (middle(s, a, b, &at_a, &at_b) && at_a <= a.n && at_b <= b.n) {
		conquer(s, seq_part(a, 0, at_a), seq_part(b, 0, at_b));
		conquer(s, seq_part(a, at_a, a.n), seq_part(b, at_b, b.n));
	} else {
		take_shorter_way(s, a, b);
	}
	op_append(s, OP_EQUAL, a0 + pre + a.n, b0 + pre + b.n, post);
}

/* ---- sliding ---- */

/* The lines that change in op, and the same of the other text in its equal neighbour. */
static const uint32_t *op_lines(const struct script *s, const struct op *op)
{
	return op->kind == OP_INSERT ? s->b.id + op->b : s->a.id + op->a;
}

static const uint32_t *op_opposite(const struct script *s, const struct op *op, const struct op *equal)
{
	return op->kind == OP_INSERT ? s->a.id + equal->a : s->b.id + equal->b;
}

static void op_move(struct op *op, int32_t by)
{
	if (op->kind == OP_INSERT)
		op->b += (uint32_t)by;
	else
		op->a += (uint32_t)by;
}

/* Move op i up by n lines of the equal lines before it, which go behind it. */
static void move_up(struct script *s, uint32_t i, uint32_t n)
{
	uint32_t before = s->ops[i].prev, after = s->ops[i].next;
	struct op *e = &s->ops[before];
	uint32_t a = e->a + e->n - n, b = e->b + e->n - n;

	if (s->ops[i].kind == OP_INSERT)
		b = s->ops[i].b + s->ops[i].n - n;
	else
		a = s->ops[i].a + s->ops[i].n - n;
	e->n -= n;
	op_move(&s->ops[i], -(int32_t)n);
	if (after && s->ops[after].kind == OP_EQUAL) {
		s->ops[after].a -= n;
		s->ops[after].b -= n;
		s->ops[after].n += n;
	} else {
		(void)op_insert(s, i, (struct op){ .kind = OP_EQUAL, .a = a, .b = b, .n = n });
	}
	if (s->ops[before].n == 0)
		op_remove(s, before);
}

static void move_down(struct script *s, uint32_t i, uint32_t n)
{
	uint32_t before = s->ops[i].prev, after = s->ops[i].next;
	struct op *e = &s->ops[after];
	uint32_t a = e->a, b = e->b;

	if (s->ops[i].kind == OP_INSERT)
		b = s->ops[i].b;
	else
		a = s->ops[i].a;
	e->a += n;
	e->b += n;
	e->n -= n;
	op_move(&s->ops[i], (int32_t)n);
	if (before && s->ops[before].kind == OP_EQUAL)
		s->ops[before].n += n;
	else
		(void)op_insert(s, before, (struct op){ .kind = OP_EQUAL, .a = a, .b = b, .n = n });
	if (s->ops[after].n == 0)
		op_remove(s, after);
}

/* Put op i before its neighbour `first`. */
static void swap_with_previous(struct script *s, uint32_t i)
{
	uint32_t p = s->ops[i].prev, pp = s->ops[p].prev, n = s->ops[i].next;

	s->ops[pp].next = i;
	s->ops[i].prev = pp;
	s->ops[i].next = p;
	s->ops[p].prev = i;
	s->ops[p].next = n;
	s->ops[n].prev = p;
}

/* As far up as it goes. Returns the op, which is another when it was merged. */
static uint32_t slide_up(struct script *s, uint32_t i)
{
	for (uint32_t p; (p = s->ops[i].prev) && !s->failed;) {
		struct op *op = &s->ops[i], *prev = &s->ops[p];
		if (prev->kind == op->kind) {
			prev->n += op->n;
			op_remove(s, i);
			i = p;
		} else if (prev->kind == OP_EQUAL) {
			const uint32_t *mine = op_lines(s, op) + op->n, *other = op_opposite(s, op, prev) + prev->n;
			uint32_t n = 0;
			while (n < op->n && n < prev->n && mine[-1 - (int64_t)n] == other[-1 - (int64_t)n])
				n++;
			if (!n)
				break;
			move_up(s, i, n);
		} else {
			swap_with_previous(s, i);
		}
	}
	return i;
}

static uint32_t slide_down(struct script *s, uint32_t i)
{
	for (uint32_t q; (q = s->ops[i].next) && !s->failed;) {
		struct op *op = &s->ops[i], *next = &s->ops[q];
		if (next->kind == op->kind) {
			op->n += next->n;
			op_remove(s, q);
		} else if (next->kind == OP_EQUAL) {
			const uint32_t *mine = op_lines(s, op), *other = op_opposite(s, op, next);
			uint32_t n = 0;
			while (n < op->n && n < next->n && mine[n] == other[n])
				n++;
			if (!n)
				break;
			move_down(s, i, n);
		} else {
			swap_with_previous(s, q);
		}
	}
	return i;
}

static void slide_kind(struct script *s, enum op_kind kind)
{
	for (uint32_t i = s->ops[0].next; i && !s->failed; i = s->ops[i].next)
		if (s->ops[i].kind == kind)
			i = slide_down(s, slide_up(s, i));
}

static bool collect(const struct script *s, struct diff_runs *out)
{
	struct diff_run r = { 0 };
	size_t cap = 0;

	for (uint32_t i = s->ops[0].next; i; i = s->ops[i].next) {
		const struct op *op = &s->ops[i];
		if (op->kind == OP_DELETE) {
			r.a_n += op->n;
		} else if (op->kind == OP_INSERT) {
			r.b_n += op->n;
		} else {
			if ((r.a_n || r.b_n) && !runs_add(out, &cap, r))
				return false;
			r = (struct diff_run){ r.a + r.a_n + op->n, 0, r.b + r.b_n + op->n, 0 };
		}
	}
	return !(r.a_n || r.b_n) || runs_add(out, &cap, r);
}

int script_mcp(struct seq a, struct seq b, size_t classes, struct diff_runs *out, struct err *err)
{
	size_t most = (a.n + b.n + 1) / 2 + 2;
	auto_free int32_t *far = diff_zeros(4 * most + 4, sizeof(*far));
	struct script s = { .a = a, .b = b, .classes = classes, .cap = 64, .n = 1 };

	s.ops = mem_try(s.cap * sizeof(*s.ops));
	if (!far || !s.ops) {
		free(s.ops);
		return diff_no_memory(err);
	}
	s.ops[0] = (struct op){ 0 };
	s.fwd = far + most;
	s.bwd = far + 3 * most + 1;
	conquer(&s, a, b);
	if (!s.failed) {
		slide_kind(&s, OP_DELETE);
		slide_kind(&s, OP_INSERT);
	}
	bool ok = !s.failed && collect(&s, out);
	free(s.ops);
	return ok ? 0 : diff_no_memory(err);
}
