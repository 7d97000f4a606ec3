/* Where two labels parted. A history is a line of moves; a reset or a forced push breaks it. */
#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/store/ref.h"

/* A tree that was had: when last, and how many moves before the one that is merged. */
struct had {
	struct hash id;
	int64_t at;
	size_t rank;
};
struct past {
	struct had *v;
	size_t n, room;
};

static void past_add(struct past *p, const struct hash *id, int64_t at, size_t rank)
{
	if (p->n == p->room) {
		p->room = p->room ? p->room * 2 : 64;
		p->v = mem_grow(p->v, p->room, sizeof(*p->v));
	}
	p->v[p->n++] = (struct had){ *id, at, rank };
}

/* The newest entry among the first n that moved to id; n when there is none. */
static size_t find_to(const struct label_log *log, size_t n, const struct hash *id)
{
	for (size_t i = n; i-- > 0;)
		if (hash_eq(&log->v[i].to, id))
			return i;
	return n;
}

/* Entry i, and those that it builds on. */
static void add_line(const struct label_log *log, size_t i, struct past *p)
{
	for (size_t rank = 0;; rank++) {
		const struct label_entry *e = &log->v[i];
		const struct hash *before = e->has_from ? &e->from : NULL;
		past_add(p, &e->to, e->at, rank);
		if (e->has_other)
			past_add(p, &e->other, e->at, rank);
		/* A reset goes on where the label had that tree before. */
		if (e->op == LABEL_RESET || e->op == LABEL_FORCE)
			before = &e->to;
		else if (before)
			past_add(p, before, e->at, rank + 1);
		if (!before)
			return;
		size_t j = find_to(log, i, before);
		if (j == i)
			return;
		i = j;
	}
}

static void add_all(const struct label_log *log, size_t newest, struct past *p)
{
	for (size_t i = newest + 1; i-- > 0;) {
		const struct label_entry *e = &log->v[i];
		past_add(p, &e->to, e->at, newest - i);
		if (e->has_from)
			past_add(p, &e->from, e->at, newest - i + 1);
		if (e->has_other)
			past_add(p, &e->other, e->at, newest - i);
	}
}

static int past_of(struct store *s, const struct ref *r, bool all, struct past *out, struct err *err)
{
	struct label_log log;

	/* An id has no past; the tree itself is as new as can be. */
	past_add(out, &r->tree, INT64_MAX, 0);
	if (!r->label)
		return 0;
	if (label_log(s, r->label, SIZE_MAX, &log, err) != 0)
		return -1;
	size_t i = find_to(&log, log.n, &r->tree);
	if (i < log.n && !all)
		add_line(&log, i, out);
	else if (log.n)
		add_all(&log, i < log.n ? i : log.n - 1, out);
	label_log_free(&log);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct had *x = a, *y = b;
	int order = hash_cmp(&x->id, &y->id);

	if (order)
		return order;
	/* The newest of each first. */
	if (x->at != y->at)
		return x->at > y->at ? -1 : 1;
	return (x->rank > y->rank) - (x->rank < y->rank);
}

/* The tree that both had, as late as possible: the side that left it first says how late. */
static bool newest_common(struct past *ours, struct past *theirs, struct hash *out)
{
	int64_t best_at = 0;
	size_t best_rank = 0;
	bool found = false;

	qsort(ours->v, ours->n, sizeof(*ours->v), by_id);
	qsort(theirs->v, theirs->n, sizeof(*theirs->v), by_id);
	for (size_t i = 0, j = 0; i < ours->n && j < theirs->n;) {
		const struct had *x = &ours->v[i], *y = &theirs->v[j];
		int order = hash_cmp(&x->id, &y->id);
		int64_t at = x->at < y->at ? x->at : y->at;
		size_t rank = x->rank + y->rank;
		if (order == 0 && (!found || at > best_at || (at == best_at && rank < best_rank))) {
			found = true;
			best_at = at;
			best_rank = rank;
			*out = x->id;
		}
		while (order <= 0 && i < ours->n && hash_eq(&ours->v[i].id, &x->id))
			i++;
		while (order >= 0 && j < theirs->n && hash_eq(&theirs->v[j].id, &y->id))
			j++;
	}
	return found;
}

int ref_base(struct store *s, const struct ref *ours, const struct ref *theirs, struct hash *out, struct err *err)
{
	bool found = false;

	for (int all = 0; all < 2 && !found; all++) {
		struct past a = { 0 }, b = { 0 };
		int rc = past_of(s, ours, all, &a, err);
		if (rc == 0)
			rc = past_of(s, theirs, all, &b, err);
		found = rc == 0 && newest_common(&a, &b, out);
		free(a.v);
		free(b.v);
		if (rc != 0)
			return -1;
	}
	return found;
}
