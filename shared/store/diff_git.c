/*
 * The edit script that git's diff (without options) makes, step by step the same, so that merges come out the same: equal ends are
 * put aside, lines that cannot match are taken out, Myers' search in linear space from both corners with git's two ways to give up
 * early, then changes slide down, or to where the other side changed, too. Unlike git it gives up sooner once it has done WORK_MAX
 * steps in all (texts of a million lines with few different ones would take it minutes). Source: E. Myers, "An O(ND) Difference
 * Algorithm" (1986), and the behaviour of git 2.39, which tests/unit/t_merge.c compares with.
 */
#include "shared/store/diff_internal.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"

enum {
	SNAKE_LONG = 20,   /* equal lines in a row that count as a good sign */
	COST_MIN = 256,	   /* edits before the search may give up */
	GOOD_FACTOR = 4,   /* progress per edit that makes a diagonal worth taking */
	COMMON_MAX = 1024, /* a line that is there so often on the other side says little */
	LOOK_AROUND = 100, /* lines looked at on either side of such a line */
	POOR_SHARE = 4,
	COST_TIRED = 16, /* edits per search after WORK_MAX */
};
#define WORK_MAX ((int64_t)500000000)

struct side {
	struct seq all;
	bool *changed; /* [-1] and [n] may be read: false */
	int32_t *at;   /* kept lines: where they are in `all` */
	uint32_t *id;  /* and their numbers */
	int32_t kept;
};

struct box {
	int32_t a0, a1, b0, b1;
	bool exact; /* do not give up */
};

struct search {
	const struct side *a, *b;
	int32_t *fwd, *bwd; /* by diagonal (a - b): how far the paths from the two corners have come */
	int32_t cost_max;
	int64_t work;
};

/* About the square root, as a power of two. */
static int32_t rough_root(size_t n)
{
	int32_t r = 1;

	for (; n > 0; n >>= 2)
		r <<= 1;
	return r;
}

/* ---- which lines take part ---- */

enum { NEVER, RARE, OFTEN };

/* Is a line that is common on the other side surrounded by lines that are not there at all? Then it is no anchor. */
static bool drop_common(const uint8_t *how, int32_t i, int32_t first, int32_t last)
{
	int32_t never = 0, often = 0, before;

	if (i - first > LOOK_AROUND)
		first = i - LOOK_AROUND;
	if (last - i > LOOK_AROUND)
		last = i + LOOK_AROUND;
	for (int32_t k = i - 1; k >= first && how[k] != RARE; k--) {
		never += how[k] == NEVER;
		often += how[k] == OFTEN;
	}
	if (!never)
		return false;
	before = never;
	for (int32_t k = i + 1; k <= last && how[k] != RARE; k++) {
		never += how[k] == NEVER;
		often += how[k] == OFTEN;
	}
	if (never == before)
		return false;
	/* The line itself counts once in each direction. */
	often += 2;
	return often * POOR_SHARE < often + never;
}

static void keep_useful(struct side *s, const uint32_t *count_other, uint8_t *how, int32_t first, int32_t last)
{
	int32_t limit = rough_root(s->all.n);

	if (limit > COMMON_MAX)
		limit = COMMON_MAX;
	for (int32_t i = first; i <= last; i++) {
		uint32_t n = count_other[s->all.id[i]];
		how[i] = n == 0 ? NEVER : n >= (uint32_t)limit ? OFTEN : RARE;
	}
	for (int32_t i = first; i <= last; i++) {
		if (how[i] == RARE || (how[i] == OFTEN && !drop_common(how, i, first, last))) {
			s->at[s->kept] = i;
			s->id[s->kept++] = s->all.id[i];
		} else {
			s->changed[i] = true;
		}
	}
}

static int select_lines(struct side *a, struct side *b, size_t classes, struct err *err)
{
	size_t n = a->all.n > b->all.n ? a->all.n : b->all.n;
	auto_free uint32_t *count = diff_zeros(classes * 2 + 1, sizeof(*count));
	auto_free uint8_t *how = mem_try(n + 1);
	int32_t an = (int32_t)a->all.n, bn = (int32_t)b->all.n, first = 0, same = 0;

	if (!count || !how)
		return diff_no_memory(err);
	for (int32_t i = 0; i < an; i++)
		count[a->all.id[i]]++;
	for (int32_t i = 0; i < bn; i++)
		count[classes + b->all.id[i]]++;
	while (first < an && first < bn && a->all.id[first] == b->all.id[first])
		first++;
	while (same < an - first && same < bn - first && a->all.id[an - 1 - same] == b->all.id[bn - 1 - same])
		same++;
	keep_useful(a, count + classes, how, first, an - 1 - same);
	keep_useful(b, count, how, first, bn - 1 - same);
	return 0;
}

/* ---- the search ---- */

struct split {
	int32_t a, b;
	bool low_exact, high_exact;
};

/* One front of paths: its diagonals. */
struct front {
	int32_t mid, min, max;
};
/* That from the top left and that from the bottom right. */
struct fronts {
	struct front f, g;
	bool odd;   /* an odd number of edits: they meet in a step forward */
	bool snake; /* a long run of equal lines was met in this round */
};

static void widen(struct front *f, int32_t *far, int32_t lowest, int32_t highest, int32_t none)
{
	/* Beyond the box's own diagonals there is nothing: there the front shrinks, to keep its parity. */
	if (f->min > lowest)
		far[--f->min - 1] = none;
	else
		++f->min;
	if (f->max < highest)
		far[++f->max + 1] = none;
	else
		--f->max;
}

/* One more edit from the top left. True when a path met one from the other corner. */
static bool step_forward(const struct search *s, const struct box *x, struct fronts *w, struct split *out)
{
	const struct front *f = &w->f, *g = &w->g;
	const uint32_t *a = s->a->id, *b = s->b->id;

	for (int32_t d = f->max; d >= f->min; d -= 2) {
		int32_t i = s->fwd[d - 1] >= s->fwd[d + 1] ? s->fwd[d - 1] + 1 : s->fwd[d + 1];
		int32_t from = i, j = i - d;
		while (i < x->a1 && j < x->b1 && a[i] == b[j]) {
			i++;
			j++;
		}
		w->snake |= i - from > SNAKE_LONG;
		s->fwd[d] = i;
		if (w->odd && g->min <= d && d <= g->max && s->bwd[d] <= i) {
			*out = (struct split){ i, j, true, true };
			return true;
		}
	}
	return false;
}

static bool step_backward(const struct search *s, const struct box *x, struct fronts *w, struct split *out)
{
	const struct front *f = &w->f, *g = &w->g;
	const uint32_t *a = s->a->id, *b = s->b->id;

	for (int32_t d = g->max; d >= g->min; d -= 2) {
		int32_t i = s->bwd[d - 1] < s->bwd[d + 1] ? s->bwd[d - 1] : s->bwd[d + 1] - 1;
		int32_t from = i, j = i - d;
		while (i > x->a0 && j > x->b0 && a[i - 1] == b[j - 1]) {
			i--;
			j--;
		}
		w->snake |= from - i > SNAKE_LONG;
		s->bwd[d] = i;
		if (!w->odd && f->min <= d && d <= f->max && i <= s->fwd[d]) {
			*out = (struct split){ i, j, true, true };
			return true;
		}
	}
	return false;
}

static bool snake_before(const struct search *s, int32_t i, int32_t j)
{
	for (int32_t k = 1; k <= SNAKE_LONG; k++)
		if (s->a->id[i - k] != s->b->id[j - k])
			return false;
	return true;
}

static bool snake_after(const struct search *s, int32_t i, int32_t j)
{
	for (int32_t k = 0; k < SNAKE_LONG; k++)
		if (s->a->id[i + k] != s->b->id[j + k])
			return false;
	return true;
}

/* Give up for a diagonal that came far for its cost and has just passed many equal lines. */
static bool take_promising(
	const struct search *s, const struct box *x, const struct front *f, const struct front *g, int32_t cost, struct split *out)
{
	int64_t best = 0, enough = (int64_t)GOOD_FACTOR * cost;

	for (int32_t d = f->max; d >= f->min; d -= 2) {
		int32_t i = s->fwd[d], j = i - d;
		int64_t v = (int64_t)(i - x->a0) + (j - x->b0) - abs(d - f->mid);
		if (v > enough && v > best && x->a0 + SNAKE_LONG <= i && i < x->a1 && x->b0 + SNAKE_LONG <= j && j < x->b1 &&
			snake_before(s, i, j)) {
			best = v;
			*out = (struct split){ i, j, true, false };
		}
	}
	if (best > 0)
		return true;
	for (int32_t d = g->max; d >= g->min; d -= 2) {
		int32_t i = s->bwd[d], j = i - d;
		int64_t v = (int64_t)(x->a1 - i) + (x->b1 - j) - abs(d - g->mid);
		if (v > enough && v > best && x->a0 < i && i <= x->a1 - SNAKE_LONG && x->b0 < j && j <= x->b1 - SNAKE_LONG &&
			snake_after(s, i, j)) {
			best = v;
			*out = (struct split){ i, j, false, true };
		}
	}
	return best > 0;
}

/* It cost too much: take the path that came furthest. */
static void take_furthest(
	const struct search *s, const struct box *x, const struct front *f, const struct front *g, struct split *out)
{
	int64_t far = -1, near = INT64_MAX;
	int32_t far_i = -1, near_i = 0;

	for (int32_t d = f->max; d >= f->min; d -= 2) {
		int32_t i = s->fwd[d] < x->a1 ? s->fwd[d] : x->a1, j = i - d;
		if (x->b1 < j) {
			i = x->b1 + d;
			j = x->b1;
		}
		if (far < (int64_t)i + j) {
			far = (int64_t)i + j;
			far_i = i;
		}
	}
	for (int32_t d = g->max; d >= g->min; d -= 2) {
		int32_t i = s->bwd[d] > x->a0 ? s->bwd[d] : x->a0, j = i - d;
		if (j < x->b0) {
			i = x->b0 + d;
			j = x->b0;
		}
		if ((int64_t)i + j < near) {
			near = (int64_t)i + j;
			near_i = i;
		}
	}
	if ((int64_t)x->a1 + x->b1 - near < far - ((int64_t)x->a0 + x->b0))
		*out = (struct split){ far_i, (int32_t)(far - far_i), true, false };
	else
		*out = (struct split){ near_i, (int32_t)(near - near_i), false, true };
}

static void find_split(struct search *s, const struct box *x, struct split *out)
{
	int32_t lowest = x->a0 - x->b1, highest = x->a1 - x->b0;
	struct fronts w = { .f.mid = x->a0 - x->b0, .g.mid = x->a1 - x->b1 };

	w.odd = (w.f.mid - w.g.mid) & 1;
	w.f.min = w.f.max = w.f.mid;
	w.g.min = w.g.max = w.g.mid;
	s->fwd[w.f.mid] = x->a0;
	s->bwd[w.g.mid] = x->a1;
	for (int32_t cost = 1;; cost++) {
		bool tired = s->work > WORK_MAX;
		w.snake = false;
		s->work += w.f.max - w.f.min + 4;
		widen(&w.f, s->fwd, lowest, highest, -1);
		if (step_forward(s, x, &w, out))
			return;
		widen(&w.g, s->bwd, lowest, highest, INT32_MAX);
		if (step_backward(s, x, &w, out))
			return;
		if (x->exact && !tired)
			continue;
		if (w.snake && cost > COST_MIN && take_promising(s, x, &w.f, &w.g, cost, out))
			return;
		if (cost >= (tired ? COST_TIRED : s->cost_max)) {
			take_furthest(s, x, &w.f, &w.g, out);
			return;
		}
	}
}

struct boxes {
	struct box *v;
	size_t n, cap;
};

static bool boxes_push(struct boxes *w, struct box x)
{
	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 64;
		struct box *v = realloc(w->v, cap * sizeof(*v));
		if (!v)
			return false;
		w->v = v;
		w->cap = cap;
	}
	w->v[w->n++] = x;
	return true;
}

/* Divide until one side of a box is empty; the other is changed then. The boxes do not depend on each other: a stack of our own,
 * since a hostile text can make the division deep. */
static bool search_all(struct search *s, const struct side *a, const struct side *b)
{
	struct boxes left = { 0 };
	bool ok = boxes_push(&left, (struct box){ 0, a->kept, 0, b->kept, false });

	while (ok && left.n) {
		struct box x = left.v[--left.n];
		struct split at;
		while (x.a0 < x.a1 && x.b0 < x.b1 && a->id[x.a0] == b->id[x.b0]) {
			x.a0++;
			x.b0++;
		}
		while (x.a0 < x.a1 && x.b0 < x.b1 && a->id[x.a1 - 1] == b->id[x.b1 - 1]) {
			x.a1--;
			x.b1--;
		}
		if (x.a0 == x.a1) {
			for (int32_t j = x.b0; j < x.b1; j++)
				b->changed[b->at[j]] = true;
		} else if (x.b0 == x.b1) {
			for (int32_t i = x.a0; i < x.a1; i++)
				a->changed[a->at[i]] = true;
		} else {
			find_split(s, &x, &at);
			ok = boxes_push(&left, (struct box){ at.a, x.a1, at.b, x.b1, at.high_exact }) &&
				boxes_push(&left, (struct box){ x.a0, at.a, x.b0, at.b, at.low_exact });
		}
	}
	free(left.v);
	return ok;
}

static int search_run(struct side *a, struct side *b, struct err *err)
{
	size_t diagonals = (size_t)a->kept + (size_t)b->kept + 3;
	auto_free int32_t *far = mem_try((2 * diagonals + 2) * sizeof(*far));

	if (!far)
		return diff_no_memory(err);
	struct search s = {
		.a = a, .b = b, .fwd = far + b->kept + 1, .bwd = far + diagonals + b->kept + 1, .cost_max = rough_root(diagonals)
	};
	if (s.cost_max < COST_MIN)
		s.cost_max = COST_MIN;
	return search_all(&s, a, b) ? 0 : diff_no_memory(err);
}

/* ---- sliding ---- */

/* A run of changed lines [start, end) of a side, or the empty place between two lines that are not. */
struct group {
	int32_t start, end;
};

static void group_first(const struct side *s, struct group *g)
{
	g->start = g->end = 0;
	while (s->changed[g->end])
		g->end++;
}

static bool group_next(const struct side *s, struct group *g)
{
	if (g->end == (int32_t)s->all.n)
		return false;
	g->start = ++g->end;
	while (s->changed[g->end])
		g->end++;
	return true;
}

static void group_previous(const struct side *s, struct group *g)
{
	if (g->start == 0)
		return;
	g->end = --g->start;
	while (s->changed[g->start - 1])
		g->start--;
}

/* The group moves by one line when the line that it leaves equals the one that it takes; it swallows a group that it meets. */
static bool slide_up(struct side *s, struct group *g)
{
	if (g->start == 0 || s->all.id[g->start - 1] != s->all.id[g->end - 1])
		return false;
	s->changed[--g->start] = true;
	s->changed[--g->end] = false;
	while (s->changed[g->start - 1])
		g->start--;
	return true;
}

static bool slide_down(struct side *s, struct group *g)
{
	if (g->end == (int32_t)s->all.n || s->all.id[g->start] != s->all.id[g->end])
		return false;
	s->changed[g->start++] = false;
	s->changed[g->end++] = true;
	while (s->changed[g->end])
		g->end++;
	return true;
}

/* Slide a group as far down as it goes, or back up to the last place where the other side has a change beside it. */
static void slide_group(struct side *s, const struct side *other, struct group *g, struct group *o)
{
	int32_t size, highest;
	bool beside;

	do {
		size = g->end - g->start;
		while (slide_up(s, g))
			group_previous(other, o);
		highest = g->end;
		beside = o->end > o->start;
		while (slide_down(s, g)) {
			(void)group_next(other, o);
			beside |= o->end > o->start;
		}
	} while (size != g->end - g->start);
	if (g->end == highest || !beside)
		return;
	while (o->end == o->start && slide_up(s, g))
		group_previous(other, o);
}

static void slide_all(struct side *s, const struct side *other)
{
	struct group g, o;

	group_first(s, &g);
	group_first(other, &o);
	do {
		if (g.end != g.start)
			slide_group(s, other, &g, &o);
	} while (group_next(s, &g) && group_next(other, &o));
}

static int collect(const struct side *a, const struct side *b, struct diff_runs *out, struct err *err)
{
	size_t i = 0, j = 0, cap = 0;

	while (i < a->all.n || j < b->all.n) {
		struct diff_run r = { i, 0, j, 0 };
		while (a->changed[i])
			i++;
		while (b->changed[j])
			j++;
		r.a_n = i - r.a;
		r.b_n = j - r.b;
		if ((r.a_n || r.b_n) && !runs_add(out, &cap, r))
			return diff_no_memory(err);
		i++;
		j++;
	}
	return 0;
}

int script_git(struct seq a, struct seq b, size_t classes, struct diff_runs *out, struct err *err)
{
	auto_free bool *changed = diff_zeros(a.n + b.n + 6, sizeof(*changed));
	auto_free int32_t *at = mem_try((a.n + b.n + 1) * sizeof(*at));
	auto_free uint32_t *id = mem_try((a.n + b.n + 1) * sizeof(*id));

	if (!changed || !at || !id)
		return diff_no_memory(err);
	struct side sa = { .all = a, .changed = changed + 1, .at = at, .id = id };
	struct side sb = { .all = b, .changed = changed + a.n + 4, .at = at + a.n, .id = id + a.n };
	if (select_lines(&sa, &sb, classes, err) != 0 || search_run(&sa, &sb, err) != 0)
		return -1;
	slide_all(&sa, &sb);
	slide_all(&sb, &sa);
	return collect(&sa, &sb, out, err);
}
