/* link: daemon/core/series.c */
/* The rings and their means, with a clock of our own, against a slow model: all points ever added, looked at anew each time. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/core/series.h"
#include "shared/base/mem.h"

#define START 1700000000000 /* in the middle of a slot of five minutes */

struct list {
	struct point *p;
	size_t n, cap;
};

static void append(void *arg, const struct point *p)
{
	struct list *l = arg;
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 1024;
		l->p = mem_grow(l->p, l->cap, sizeof(*l->p));
	}
	l->p[l->n++] = *p;
}

static void list_free(struct list *l)
{
	free(l->p);
	*l = (struct list){ 0 };
}

static struct list read_tier(const struct series *s, enum series_tier tier, int64_t since)
{
	struct list l = { 0 };
	series_each(s, tier, since, append, &l);
	return l;
}

/* A point whose figures tell where it comes from; the network's is unknown in every third. */
static struct point point_at(int64_t wall_ms, unsigned i)
{
	struct point p = { .wall_ms = wall_ms };
	for (size_t f = 0; f < FIGURES; f++)
		p.v[f] = (float)((i * 7919u + f * 104729u) % 1000u);
	if (i % 3 == 0)
		p.v[FIGURE_SENT] = NAN;
	p.v[FIGURE_RECEIVED] = NAN;
	return p;
}

/* The model: means of the runs of points that are in the same slot. */
static struct list means(const struct list *in, int64_t slot_ms)
{
	struct list out = { 0 };
	for (size_t i = 0, end; i < in->n; i = end) {
		for (end = i; end < in->n && in->p[end].wall_ms / slot_ms == in->p[i].wall_ms / slot_ms;)
			end++;
		struct point p = { .wall_ms = in->p[end - 1].wall_ms };
		for (size_t f = 0; f < FIGURES; f++) {
			double sum = 0;
			unsigned n = 0;
			for (size_t k = i; k < end; k++) {
				if (!isnan(in->p[k].v[f])) {
					sum += in->p[k].v[f];
					n++;
				}
			}
			p.v[f] = n ? (float)(sum / n) : NAN;
		}
		append(&out, &p);
	}
	return out;
}

/* got is the end of want, and as long as the ring, or all of it, and some points that are not over. */
static void same_end(const struct list *got, const struct list *want, size_t max, size_t unfinished)
{
	assert_true(got->n <= max + unfinished);
	assert_true(got->n <= want->n);
	assert_true(got->n == want->n || got->n >= max);
	for (size_t i = 0; i < got->n; i++) {
		const struct point *g = &got->p[i], *w = &want->p[want->n - got->n + i];
		assert_true(g->wall_ms == w->wall_ms);
		for (size_t f = 0; f < FIGURES; f++) {
			assert_int_equal(isnan(g->v[f]), isnan(w->v[f]));
			if (!isnan(g->v[f]))
				assert_true(fabs((double)g->v[f] - (double)w->v[f]) < 0.01);
		}
	}
}

static void compare(const struct series *s, const struct list *all)
{
	struct list middle = means(all, SERIES_MIDDLE_MS), coarse = means(&middle, SERIES_COARSE_MS);
	struct list got = read_tier(s, SERIES_FINE, 0);
	same_end(&got, all, SERIES_FINE_MAX, 0);
	list_free(&got);
	got = read_tier(s, SERIES_MIDDLE, 0);
	same_end(&got, &middle, SERIES_MIDDLE_MAX, 1);
	list_free(&got);
	got = read_tier(s, SERIES_COARSE, 0);
	same_end(&got, &coarse, SERIES_COARSE_MAX, 2);
	list_free(&got);
	list_free(&middle);
	list_free(&coarse);
}

static void run(unsigned points, int64_t (*step)(unsigned i), unsigned compare_every)
{
	struct series s;
	struct list all = { 0 };
	int64_t now = START;
	series_init(&s);
	for (unsigned i = 0; i < points; i++) {
		struct point p = point_at(now, i);
		series_add(&s, &p);
		append(&all, &p);
		if (i % compare_every == 0 || i + 1 == points)
			compare(&s, &all);
		now += step(i);
	}
	list_free(&all);
	series_free(&s);
}

static int64_t every_half_second(unsigned i)
{
	(void)i;
	return SERIES_FINE_MS;
}

/* Late ticks, pauses of all lengths, and clocks that are set back. */
static int64_t unsteady(unsigned i)
{
	unsigned r = i * 2654435761u >> 20;
	if (r % 97 == 0)
		return 1000 * (int64_t)(r % 4001);
	if (r % 101 == 0)
		return -45000;
	return SERIES_FINE_MS + r % 37;
}

static void test_day(void **state)
{
	(void)state;
	run(30u * 3600 * 2, every_half_second, 40009);
}

static void test_small_steps(void **state)
{
	(void)state;
	run(3000, every_half_second, 1);
}

static void test_unsteady(void **state)
{
	(void)state;
	run(40000, unsteady, 997);
}

static void test_empty(void **state)
{
	(void)state;
	struct series s;
	struct point p;
	series_init(&s);
	for (enum series_tier tier = SERIES_FINE; tier < SERIES_TIERS; tier++) {
		struct list got = read_tier(&s, tier, 0);
		assert_int_equal(got.n, 0);
	}
	assert_int_equal(series_mean(&s, 0, &p), -1);
	series_free(&s);
}

/* Ranges are by time, so that a pause does not bring old points back. */
static void test_since(void **state)
{
	(void)state;
	struct series s;
	struct point p, mean;
	series_init(&s);
	for (unsigned i = 0; i < 100; i++) {
		p = point_at(START + (int64_t)i * SERIES_FINE_MS, i);
		series_add(&s, &p);
	}
	struct list got = read_tier(&s, SERIES_FINE, START + 90 * SERIES_FINE_MS);
	assert_int_equal(got.n, 10);
	assert_true(got.p[0].wall_ms == START + 90 * SERIES_FINE_MS);
	assert_int_equal(series_mean(&s, START + 90 * SERIES_FINE_MS, &mean), 0);
	struct list one = means(&got, INT64_MAX);
	assert_int_equal(one.n, 1);
	same_end(&(struct list){ .p = &mean, .n = 1 }, &one, 1, 0);
	assert_int_equal(series_mean(&s, START + 100 * SERIES_FINE_MS, &mean), -1);
	list_free(&one);
	list_free(&got);
	got = read_tier(&s, SERIES_MIDDLE, START + 100 * SERIES_FINE_MS);
	assert_int_equal(got.n, 0);
	list_free(&got);
	series_free(&s);
}

/* What is kept is what the header promises, and no more than there is. */
static void test_memory(void **state)
{
	(void)state;
	struct series s;
	series_init(&s);
	for (unsigned i = 0; i < 30u * 3600 * 2; i++) {
		struct point p = point_at(START + (int64_t)i * SERIES_FINE_MS, i);
		series_add(&s, &p);
		if (i == 0)
			assert_true(s.rings[SERIES_FINE].cap * sizeof(p) < 4096);
	}
	size_t bytes = 0;
	for (size_t i = 0; i < SERIES_TIERS; i++)
		bytes += s.rings[i].cap * sizeof(struct point);
	assert_int_equal(bytes, SERIES_BYTES_MAX);
	series_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_small_steps),
		cmocka_unit_test(test_day),
		cmocka_unit_test(test_unsteady),
		cmocka_unit_test(test_since),
		cmocka_unit_test(test_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
