/* link: shared/store/chunk.c shared/store/hash*.c | -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "shared/base/mem.h"
#include "shared/store/chunk.h"
#include "shared/store/hash.h"
#include "tests/unit/store_data.h"

/* The rule as the digest states it, byte by byte, with a table made by OpenSSL's MD5. */
static size_t cut_by_rule(const uint64_t gear[256], const uint8_t *p, size_t n)
{
	const uint64_t before = UINT64_C(0xd91767537000), after = UINT64_C(0xd91707537000);
	if (n <= 262144)
		return n;
	n = n < 4194304 ? n : 4194304;
	size_t centre = n < 1048576 ? n : 1048576;
	uint64_t h = 0;
	for (size_t i = 131072; i < n / 2; i++) {
		uint64_t mask = i < centre / 2 ? before : after;
		h = (h << 2) + (gear[p[2 * i]] << 1);
		if ((h & (mask << 1)) == 0)
			return 2 * i;
		h += gear[p[2 * i + 1]];
		if ((h & mask) == 0)
			return 2 * i + 1;
	}
	return n;
}

static void make_gear(uint64_t gear[256])
{
	for (unsigned i = 0; i < 256; i++) {
		uint8_t in[64], out[EVP_MAX_MD_SIZE];
		unsigned len = 0;
		memset(in, (int)i, sizeof(in));
		assert_int_equal(EVP_Digest(in, sizeof(in), out, &len, EVP_md5(), NULL), 1);
		gear[i] = 0;
		for (unsigned k = 0; k < 8; k++)
			gear[i] = gear[i] << 8 | out[k];
	}
	assert_true(gear[0] == UINT64_C(0x3b5d3c7d207e37dc));
}

static void published_lengths(void **state)
{
	(void)state;
	static const size_t want[] = { 1134662, 340100, 1281389, 389577 };
	size_t n = 3 << 20, at = 0;
	auto_free uint8_t *p = mem_zalloc(n);
	fill_xorshift(p, n, 0x1235);
	assert_memory_equal(p, "\x7c\x5d\x51\xfe\xe7\xa0\x82\x2e", 8);
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_int_equal(chunk_cut(p + at, n - at), want[i]);
		at += want[i];
	}
	assert_int_equal(at, n);
}

static void cuts_by_the_rule(void **state)
{
	(void)state;
	uint64_t gear[256], seed = 77;
	size_t n = 5 << 20;
	auto_free uint8_t *p = mem_zalloc(n);
	make_gear(gear);
	for (unsigned round = 0; round < 60; round++) {
		/* From noise to long runs of few values. */
		fill_xorshift(p, n, ++seed * 7919);
		if (round % 3 == 1) {
			for (size_t i = 0; i < n; i++)
				p[i] &= 3;
		} else if (round % 3 == 2) {
			memset(p + n / 8, (int)round, n / 2);
		}
		size_t len = round < 20 ? n : (size_t)p[0] << 14 | (size_t)p[1] << 8 | p[2];
		assert_int_equal(chunk_cut(p, len), cut_by_rule(gear, p, len));
	}
	for (unsigned value = 0; value < 256; value++) {
		memset(p, (int)value, n);
		assert_int_equal(chunk_cut(p, n), cut_by_rule(gear, p, n));
	}
}

static void short_data_is_one_chunk(void **state)
{
	(void)state;
	auto_free uint8_t *p = mem_zalloc(CHUNK_MIN + 3);
	assert_int_equal(chunk_cut(p, 0), 0);
	assert_int_equal(chunk_cut(p, 1), 1);
	assert_int_equal(chunk_cut(p, CHUNK_MIN), CHUNK_MIN);
	assert_true(chunk_cut(p, CHUNK_MIN + 3) <= CHUNK_MIN + 3);
}

/* What stands behind the longest chunk has no say. */
static void needs_no_more_than_the_longest(void **state)
{
	(void)state;
	size_t n = CHUNK_MAX * 2;
	auto_free uint8_t *p = mem_zalloc(n);
	fill_xorshift(p, n, 5);
	for (size_t at = 0; at + CHUNK_MAX < n; at += 100003)
		assert_int_equal(chunk_cut(p + at, n - at), chunk_cut(p + at, CHUNK_MAX));
}

/* Asked after every piece, the answer is the same and comes as soon as it can. */
static void scans_piece_by_piece(void **state)
{
	(void)state;
	uint64_t seed = 31;
	size_t n = 12 << 20;
	auto_free uint8_t *p = mem_zalloc(n);
	fill_xorshift(p, n, 6);
	memset(p + n / 2, 0, n / 3);
	for (size_t at = 0; at < n;) {
		struct chunk_scan scan = { 0 };
		size_t want = chunk_cut(p + at, n - at), have = 0, cut = 0;
		while (!cut && have < n - at) {
			have += xorshift(&seed) % 70000 + 1;
			have = have < n - at ? have : n - at;
			cut = chunk_scan(&scan, p + at, have);
			assert_true(cut == 0 ? have < want + 2 : cut == want && have >= want);
		}
		assert_true(cut == want || (cut == 0 && want == n - at));
		at += want;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_lengths),
		cmocka_unit_test(cuts_by_the_rule),
		cmocka_unit_test(short_data_is_one_chunk),
		cmocka_unit_test(needs_no_more_than_the_longest),
		cmocka_unit_test(scans_piece_by_piece),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
