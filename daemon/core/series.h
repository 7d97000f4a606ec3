/*
 * series: what a sandbox used, as points in time, at three resolutions of which the finer ones reach less far back.
 *
 * Fine points are kept as they come. A middle one is the mean of the fine ones of half a minute, a coarse one that of the middle
 * ones of five minutes, each with the time of its last; minutes begin where the clock's do, and those in which nothing came have no
 * point. Memory grows with what is there, to SERIES_BYTES_MAX. Pure arithmetic: the clock is the caller's.
 */
#ifndef SBX_CORE_SERIES_H
#define SBX_CORE_SERIES_H

#include <stddef.h>
#include <stdint.h>

enum series_tier { SERIES_FINE, SERIES_MIDDLE, SERIES_COARSE, SERIES_TIERS };

/* What a point says. Not a number (NAN): unknown. Memory and disk in KiB, the flows in bytes a second. */
enum figure {
	FIGURE_CPU,	 /* per cent of one core of the host, so 200 is two whole ones */
	FIGURE_PRIVATE,	 /* memory that is this VM's alone */
	FIGURE_RESIDENT, /* that, and what it shares with others */
	FIGURE_DISK,	 /* its own layer, as allocated */
	FIGURE_READ,	 /* from storage; what the host's page cache had is not in it */
	FIGURE_WRITTEN,
	FIGURE_RECEIVED, /* by the guest, over its network */
	FIGURE_SENT,
	FIGURES
};

struct point {
	int64_t wall_ms;
	float v[FIGURES];
};

enum { SERIES_FINE_MS = 500, SERIES_MIDDLE_MS = 30000, SERIES_COARSE_MS = 300000 };
enum { SERIES_FINE_MAX = 1200, SERIES_MIDDLE_MAX = 240, SERIES_COARSE_MAX = 288 }; /* ten minutes, two hours, a day */
#define SERIES_BYTES_MAX ((SERIES_FINE_MAX + SERIES_MIDDLE_MAX + SERIES_COARSE_MAX) * sizeof(struct point))

struct series_ring {
	struct point *p;
	size_t cap, first, count;
};

/* Points whose mean is still to be taken. */
struct series_slot {
	int64_t number; /* of the slot, counted from 1970 */
	unsigned n;
	int64_t last_ms;
	double sum[FIGURES];
	unsigned known[FIGURES];
};

struct series {
	struct series_ring rings[SERIES_TIERS];
	struct series_slot slots[SERIES_TIERS]; /* what becomes the next point of a tier; the finest has none */
};

void series_init(struct series *s);
void series_free(struct series *s);
void series_add(struct series *s, const struct point *p);

typedef void series_cb(void *arg, const struct point *p);
/* Every point of a tier from since_ms on, oldest first; the means of what is not over
 * come last. */
void series_each(const struct series *s, enum series_tier tier, int64_t since_ms, series_cb *cb, void *arg);
/* The mean of the fine points from since_ms on: 0, or -1 when there are none. */
int series_mean(const struct series *s, int64_t since_ms, struct point *out);

#endif
