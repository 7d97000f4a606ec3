/* link: shared/store/[chlost]*.c | -lzstd -lpthread */
/* Content in and out of a store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/store/chunk.h"
#include "shared/store/tree.h"
#include "tests/unit/store_data.h"
#include "tests/unit/store_dir.h"

#define BIG ((size_t)3 << 20)

static void check_id(struct hash h, const char *hex)
{
	char text[HASH_HEX + 1];
	assert_string_equal(hash_hex(&h, text), hex);
}

/* Give n bytes in pieces of at most step (0: as they are); nothing that was given is looked at again. */
static void feed(struct tree_file *f, const uint8_t *p, size_t n, size_t step)
{
	struct err err = ERR_INIT;
	for (size_t at = 0; at < n;) {
		size_t take = step && step < n - at ? step : n - at;
		if (tree_file_add(f, p + at, take, &err) != 0)
			fail_msg("%s", err.msg);
		at += take;
	}
}

static struct hash tree_with(struct store *s, const char *name, const struct entry *e)
{
	struct err err = ERR_INIT;
	struct hash out;
	struct tree_edit edit = { .path = name, .file = e };
	assert_int_equal(tree_apply(s, &object_empty, &edit, 1, &out, &err), 0);
	return out;
}

static struct hash one_file(struct store *s, const char *name, const uint8_t *p, size_t n, size_t step)
{
	struct err err = ERR_INIT;
	struct entry e;
	struct tree_file *f = tree_file_new(s, OBJECT_FILE_MODE);
	feed(f, p, n, step);
	assert_int_equal(tree_file_end(f, &e, &err), 0);
	assert_int_equal(e.size, n);
	struct hash h = tree_with(s, name, &e);
	tree_file_free(f);
	return h;
}

static void published_ids(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	auto_free uint8_t *p = mem_zalloc(BIG);
	assert_int_equal(store_begin(s, true, &err), 0);
	check_id(one_file(s, "f", p, 0, 0), EMPTY_FILE);
	check_id(one_file(s, "z", p, 65536, 0), ZEROS_INLINE);
	check_id(one_file(s, "z", p, 65537, 0), ZEROS_CHUNKED);
	check_id(one_file(s, "z", p, 65537, 999), ZEROS_CHUNKED);
	fill_xorshift(p, BIG, 0x1235);
	check_id(one_file(s, "big.bin", p, BIG, 0), BIG_BIN);
	check_id(one_file(s, "big.bin", p, BIG, 4097), BIG_BIN);
	assert_int_equal(store_end(s, &err), 0);
}

static void links(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	struct entry e;
	assert_int_equal(store_begin(s, true, &err), 0);
	struct tree_file *f = tree_file_new(s, OBJECT_LINK_MODE);
	feed(f, (const uint8_t *)"/t", 2, 1);
	assert_int_equal(tree_file_end(f, &e, &err), 0);
	check_id(tree_with(s, "link", &e), LINK_T);
	assert_int_equal(tree_file_zeros(f, 70000, &err), 0);
	assert_int_equal(tree_file_end(f, &e, &err), -1);
	assert_int_equal(err.code, ERR_TOO_LARGE);
	tree_file_free(f);
	assert_int_equal(store_end(s, &err), 0);
}

/* 20 MB in pieces of any size are cut as the whole is by chunk_cut. */
static void pieces_do_not_matter(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	static const size_t steps[] = { 0, 65536, 1 << 20, CHUNK_MAX - 1, CHUNK_MAX, CHUNK_MAX + 1, 2 * CHUNK_MAX, 9999999 };
	size_t n = 20 << 20;
	auto_free uint8_t *p = mem_zalloc(n);
	fill_xorshift(p, n, 42);
	memset(p + n / 3, 0, n / 3);
	assert_int_equal(store_begin(s, true, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct entry e;
		struct tree_file *f = tree_file_new(s, OBJECT_FILE_MODE);
		feed(f, p, n, steps[i]);
		assert_int_equal(tree_file_end(f, &e, &err), 0);
		size_t at = 0;
		for (uint32_t k = 0; k < e.chunks; k++) {
			struct hash id;
			size_t cut = chunk_cut(p + at, n - at);
			hash_of(p + at, cut, &id);
			assert_memory_equal(e.data + (size_t)k * HASH_LEN, id.b, HASH_LEN);
			at += cut;
		}
		assert_int_equal(at, n);
		tree_file_free(f);
	}
	assert_int_equal(store_end(s, &err), 0);
}

/* Holes are what their zeros would be. */
static void zeros_are_zeros(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	uint64_t seed = 5;
	size_t max = 40 << 20;
	auto_free uint8_t *p = mem_zalloc(max);
	assert_int_equal(store_begin(s, true, &err), 0);
	for (unsigned round = 0; round < 12; round++) {
		struct tree_file *f = tree_file_new(s, OBJECT_FILE_MODE), *g = tree_file_new(s, OBJECT_FILE_MODE);
		struct entry e, want;
		size_t n = 0;
		while (n < max / 2) {
			size_t hole = round ? xorshift(&seed) % (round % 3 ? 14000000 : 300000) : CHUNK_MAX * 2;
			memset(p + n, 0, hole);
			assert_int_equal(tree_file_zeros(f, hole, &err), 0);
			n += hole;
			size_t data = round ? xorshift(&seed) % (round % 2 ? 5000000 : 300) : 0;
			fill_xorshift(p + n, data, seed | 1);
			feed(f, p + n, data, round % 4 ? 1 << 20 : 0);
			n += data;
		}
		assert_int_equal(tree_file_end(f, &e, &err), 0);
		feed(g, p, n, 0);
		assert_int_equal(tree_file_end(g, &want, &err), 0);
		assert_true(entry_eq(&e, &want));
		tree_file_free(f);
		tree_file_free(g);
	}
	assert_int_equal(store_end(s, &err), 0);
}

static int collect(void *arg, const void *data, size_t n, struct err *err)
{
	(void)err;
	buf_add(arg, data, n);
	return 0;
}

static int refuse(void *arg, const void *data, size_t n, struct err *err)
{
	(void)arg;
	(void)data;
	(void)n;
	(void)err;
	return 5;
}

static void reads_ranges(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	uint64_t seed = 8;
	auto_free uint8_t *p = mem_zalloc(BIG);
	fill_xorshift(p, BIG, 0x1235);
	for (unsigned round = 0; round < 2; round++) {
		size_t n = round ? BIG : 1000;
		struct entry e;
		struct tree_file *f = tree_file_new(s, OBJECT_FILE_MODE);
		assert_int_equal(store_begin(s, true, &err), 0);
		feed(f, p, n, 0);
		assert_int_equal(tree_file_end(f, &e, &err), 0);
		assert_int_equal(store_end(s, &err), 0);
		for (unsigned i = 0; i < 60; i++) {
			auto_buf b = BUF_INIT;
			uint64_t from = i == 0 ? 0 : i == 1 ? n : i == 2 ? n - 1 : xorshift(&seed) % n;
			uint64_t length = i == 0 ? UINT64_MAX : xorshift(&seed) % n;
			size_t want = from + length < n && length < n ? length : n - from;
			assert_int_equal(tree_read(s, &e, from, length, collect, &b, &err), 0);
			assert_int_equal(b.len, want);
			assert_memory_equal(b.p, p + from, want);
		}
		assert_int_equal(tree_read(s, &e, 0, 1, refuse, NULL, &err), 5);
		auto_buf b = BUF_INIT;
		buf_str(&b, "in front");
		assert_int_equal(tree_read_all(s, &e, n, &b, &err), 0);
		assert_int_equal(b.len, n + 8);
		assert_memory_equal(b.p + 8, p, n);
		assert_int_equal(tree_read_all(s, &e, n - 1, &b, &err), -1);
		assert_int_equal(err.code, ERR_TOO_LARGE);
		tree_file_free(f);
	}
}

/* Entries that say another size than their chunks have. */
static void wrong_sizes(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	auto_free uint8_t *p = mem_zalloc(70000);
	struct hash ids[2];
	assert_int_equal(store_begin(s, true, &err), 0);
	assert_int_equal(store_put(s, OBJECT_CHUNK, p, 70000, NULL, &ids[0], &err), 0);
	assert_int_equal(store_end(s, &err), 0);
	ids[1] = ids[0];
	static const uint64_t sizes[] = { 65537, 69999, 70001, 139999, 140001, UINT64_MAX };
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		for (uint32_t chunks = 1; chunks <= 2; chunks++) {
			struct entry e = { .mode = 0644, .size = sizes[i], .chunked = true, .chunks = chunks, .data = ids[0].b };
			auto_buf b = BUF_INIT;
			assert_int_equal(tree_read_all(s, &e, SIZE_MAX, &b, &err), -1);
			assert_int_equal(err.code, ERR_IO);
			assert_int_equal(tree_read(s, &e, 0, UINT64_MAX, collect, &b, &err), -1);
			assert_int_equal(err.code, ERR_IO);
		}
	}
	struct entry more = { .mode = 0644, .size = 70000, .chunked = true, .chunks = 2, .data = ids[0].b };
	auto_buf b = BUF_INIT;
	assert_int_equal(tree_read(s, &more, 0, UINT64_MAX, collect, &b, &err), -1);
	ids[0] = (struct hash){ { 1 } };
	assert_int_equal(tree_read(s, &more, 0, 1, collect, &b, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(tree_read(s, &more, 5, 1, collect, &b, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

#define WITH_STORE(f) cmocka_unit_test_setup_teardown(f, store_dir_setup, store_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(published_ids),
		WITH_STORE(links),
		WITH_STORE(pieces_do_not_matter),
		WITH_STORE(zeros_are_zeros),
		WITH_STORE(reads_ranges),
		WITH_STORE(wrong_sizes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
