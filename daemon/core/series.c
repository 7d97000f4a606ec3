#include "daemon/core/series.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "shared/base/mem.h"

enum { RING_START = 64 };

static const struct {
	size_t max;
	int64_t ms;
} tiers[SERIES_TIERS] = {
	[SERIES_FINE] = { SERIES_FINE_MAX, SERIES_FINE_MS },
	[SERIES_MIDDLE] = { SERIES_MIDDLE_MAX, SERIES_MIDDLE_MS },
	[SERIES_COARSE] = { SERIES_COARSE_MAX, SERIES_COARSE_MS },
};

/* ---- rings ---- */

static const struct point *ring_at(const struct series_ring *r, size_t i)
{
	return &r->p[(r->first + i) % r->cap];
}

/* A ring that can still grow has not gone round yet, so that its points lie in order. */
static void ring_add(struct series_ring *r, size_t max, const struct point *p)
{
	if (r->count == r->cap && r->cap < max) {
		size_t cap = r->cap ? 2 * r->cap : RING_START;
		r->cap = cap < max ? cap : max;
		r->p = mem_grow(r->p, r->cap, sizeof(*r->p));
	}
	if (r->count < r->cap) {
		r->p[r->count++] = *p;
		return;
	}
	r->p[r->first] = *p;
	r->first = (r->first + 1) % r->cap;
}

/* ---- means ---- */

static void slot_add(struct series_slot *slot, const struct point *p)
{
	slot->n++;
	slot->last_ms = p->wall_ms;
	for (size_t i = 0; i < FIGURES; i++) {
		if (isnan(p->v[i]))
			continue;
		slot->sum[i] += p->v[i];
		slot->known[i]++;
	}
}

static struct point slot_mean(const struct series_slot *slot)
{
	struct point p = { .wall_ms = slot->last_ms };
	for (size_t i = 0; i < FIGURES; i++)
		p.v[i] = slot->known[i] ? (float)(slot->sum[i] / slot->known[i]) : NAN;
	return p;
}

/* A point for the mean of a tier; when it belongs to another slot than those before, their mean is a point and goes on upwards. */
static void feed(struct series *s, enum series_tier tier, const struct point *p)
{
	struct point next = *p;
	for (; tier < SERIES_TIERS; tier++) {
		struct series_slot *slot = &s->slots[tier];
		struct series_slot full = *slot;
		int64_t number = next.wall_ms / tiers[tier].ms;
		bool over = slot->n && slot->number != number;
		if (over)
			*slot = (struct series_slot){ 0 };
		slot->number = number;
		slot_add(slot, &next);
		if (!over)
			return;
		next = slot_mean(&full);
		ring_add(&s->rings[tier], tiers[tier].max, &next);
	}
}

/* ---- the series ---- */

void series_init(struct series *s)
{
	*s = (struct series){ 0 };
}

void series_free(struct series *s)
{
	for (size_t i = 0; i < SERIES_TIERS; i++)
		free(s->rings[i].p);
	series_init(s);
}

void series_add(struct series *s, const struct point *p)
{
	ring_add(&s->rings[SERIES_FINE], SERIES_FINE_MAX, p);
	feed(s, SERIES_MIDDLE, p);
}

static void each_mean(const struct series_slot *slot, int64_t since_ms, series_cb *cb, void *arg)
{
	struct point p = slot_mean(slot);
	if (slot->n && slot->last_ms >= since_ms)
		cb(arg, &p);
}

/* The slots of a tier that are not over: a coarse one lacks what the middle tier has not handed on, which may be in the next. */
static void each_unfinished(const struct series *s, enum series_tier tier, int64_t since_ms, series_cb *cb, void *arg)
{
	struct series_slot slot = s->slots[tier], more = { 0 };
	const struct series_slot *below = &s->slots[SERIES_MIDDLE];
	if (tier == SERIES_COARSE && below->n) {
		struct point p = slot_mean(below);
		bool next = slot.n && slot.number != p.wall_ms / SERIES_COARSE_MS;
		slot_add(next ? &more : &slot, &p);
	}
	each_mean(&slot, since_ms, cb, arg);
	each_mean(&more, since_ms, cb, arg);
}

void series_each(const struct series *s, enum series_tier tier, int64_t since_ms, series_cb *cb, void *arg)
{
	const struct series_ring *r = &s->rings[tier];
	for (size_t i = 0; i < r->count; i++) {
		const struct point *p = ring_at(r, i);
		if (p->wall_ms >= since_ms)
			cb(arg, p);
	}
	each_unfinished(s, tier, since_ms, cb, arg);
}

int series_mean(const struct series *s, int64_t since_ms, struct point *out)
{
	const struct series_ring *r = &s->rings[SERIES_FINE];
	struct series_slot slot = { 0 };
	size_t first = r->count;
	while (first > 0 && ring_at(r, first - 1)->wall_ms >= since_ms)
		first--;
	for (size_t i = first; i < r->count; i++)
		slot_add(&slot, ring_at(r, i));
	if (!slot.n)
		return -1;
	*out = slot_mean(&slot);
	return 0;
}
