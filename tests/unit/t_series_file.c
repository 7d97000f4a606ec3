/* link: daemon/core/series.c daemon/core/series_file.c shared/store/crc.c */
/* A series goes on from its file as if nothing had been; whatever else comes as a file is refused, and leaves nothing. */
#include <endian.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/core/series_file.h"
#include "shared/base/mem.h"
#include "shared/store/crc.h"

#define START 1700000000000

static struct point point_at(unsigned i)
{
	struct point p = { .wall_ms = START + (int64_t)i * SERIES_FINE_MS };
	for (size_t f = 0; f < FIGURES; f++)
		p.v[f] = (float)((i * 7919u + f * 104729u) % 100000u) / 7;
	p.v[FIGURE_RECEIVED] = NAN;
	if (i % 3 == 0)
		p.v[FIGURE_SENT] = NAN;
	return p;
}

static void fill(struct series *s, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct point p = point_at(i);
		series_add(s, &p);
	}
}

static void append(void *arg, const struct point *p)
{
	buf_add(arg, p, sizeof(*p));
}

static void assert_same(const struct series *a, const struct series *b)
{
	for (enum series_tier tier = SERIES_FINE; tier < SERIES_TIERS; tier++) {
		auto_buf x = BUF_INIT, y = BUF_INIT;
		series_each(a, tier, 0, append, &x);
		series_each(b, tier, 0, append, &y);
		assert_int_equal(x.len, y.len);
		assert_memory_equal(x.p, y.p, x.len);
	}
}

static void assert_refused(const void *data, size_t n)
{
	struct series s;
	struct err err = ERR_INIT;
	void *copy = mem_zalloc(n + 1); /* of its size, so that a sanitizer sees what is read beyond */
	memcpy(copy, data, n);
	copy = mem_grow(copy, n ? n : 1, 1);
	assert_int_equal(series_read(copy, n, &s, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	for (size_t i = 0; i < SERIES_TIERS; i++) {
		assert_null(s.rings[i].p);
		assert_int_equal(s.rings[i].count, 0);
		assert_int_equal(s.slots[i].n, 0);
	}
	free(copy);
}

/* Of nothing, of few points, of rings that have and have not gone round; and it goes on as the first does. */
static void test_round_trip(void **state)
{
	static const unsigned counts[] = { 0, 1, 59, 64, 1199, 1200, 1201, 5000, 200000 };
	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		struct series a, b;
		auto_buf file = BUF_INIT, again = BUF_INIT;
		series_init(&a);
		fill(&a, 0, counts[i]);
		series_write(&a, &file);
		assert_false(buf_failed(&file));
		assert_in_range(file.len, 1, SERIES_FILE_MAX);
		assert_int_equal(series_read(file.p, file.len, &b, NULL), 0);
		assert_same(&a, &b);
		series_write(&b, &again);
		assert_int_equal(again.len, file.len);
		assert_memory_equal(again.p, file.p, file.len);
		fill(&a, counts[i], counts[i] + 3000);
		fill(&b, counts[i], counts[i] + 3000);
		assert_same(&a, &b);
		series_free(&a);
		series_free(&b);
	}
}

static void write_some(struct buf *out, unsigned n)
{
	struct series s;
	series_init(&s);
	fill(&s, 0, n);
	series_write(&s, out);
	series_free(&s);
}

static void test_after_other_bytes(void **state)
{
	auto_buf file = BUF_INIT;
	struct series s;
	(void)state;
	buf_str(&file, "before");
	write_some(&file, 100);
	assert_int_equal(series_read(file.p + 6, file.len - 6, &s, NULL), 0);
	assert_int_equal(s.rings[SERIES_FINE].count, 100);
	series_free(&s);
}

static void test_truncated(void **state)
{
	auto_buf file = BUF_INIT;
	(void)state;
	write_some(&file, 130);
	for (size_t n = 0; n < file.len; n++)
		assert_refused(file.p, n);
	buf_ch(&file, '\0');
	assert_refused(file.p, file.len);
}

static void test_flipped(void **state)
{
	auto_buf file = BUF_INIT;
	(void)state;
	write_some(&file, 130);
	for (size_t i = 0; i < file.len; i++) {
		file.p[i] ^= (char)(1 << i % 8);
		assert_refused(file.p, file.len);
		file.p[i] ^= (char)(1 << i % 8);
	}
}

static void test_foreign(void **state)
{
	auto_buf huge = BUF_INIT;
	(void)state;
	assert_refused("", 0);
	assert_refused("SBXSERI1", 8);
	assert_refused("SBXSERI2----", 12);
	assert_refused("SQLite format 3\0and more", 24);
	write_some(&huge, 200000);
	while (huge.len <= SERIES_FILE_MAX)
		buf_ch(&huge, '\0');
	assert_refused(huge.p, huge.len);
}

/* At `at` those n bytes, and the sum that makes it whole. */
static void assert_patch_refused(size_t at, const void *bytes, size_t n)
{
	auto_buf file = BUF_INIT;
	write_some(&file, 100);
	size_t end = file.len - 4;
	assert_true(at + n <= end);
	memcpy(file.p + at, bytes, n);
	uint32_t crc = htole32(crc32c(0, file.p, end));
	memcpy(file.p + end, &crc, 4);
	assert_refused(file.p, file.len);
}

/* Whole by its sum, and nothing that could be in a series: what a tool of somebody else's might write. */
static void test_impossible(void **state)
{
	enum { POINT = 8 + 4 * FIGURES, SLOT = 12 + 12 * FIGURES, RINGS = 12, FIRST = RINGS + 4 };
	auto_buf file = BUF_INIT;
	(void)state;
	write_some(&file, 100); /* all of them in the slots of the first half minute or the second */
	const size_t slots = file.len - 4 - 2 * SLOT;
	static const uint32_t counts[] = { 0, 99, 101, 1201, UINT32_MAX };
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		assert_patch_refused(RINGS, &counts[i], 4);
	const uint32_t figures = FIGURES + 1, infinite = 0x7f800000, large = 0x7f000000, many = UINT32_MAX;
	const uint64_t negative = UINT64_MAX, nan = 0x7ff8000000000000, infinity = 0x7ff0000000000000;
	assert_patch_refused(8, &figures, 4);
	assert_patch_refused(FIRST, &negative, 8);
	assert_patch_refused(FIRST + 8, &infinite, 4);
	assert_patch_refused(FIRST + POINT + 12, &large, 4);
	assert_patch_refused(slots, &many, 4);
	assert_patch_refused(slots + 4, &negative, 8);
	assert_patch_refused(slots + 12, &nan, 8);
	assert_patch_refused(slots + 12, &infinity, 8);
	assert_patch_refused(slots + 20, &many, 4);
	assert_patch_refused(slots + SLOT, &many, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_after_other_bytes),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_impossible),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
