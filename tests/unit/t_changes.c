/* link: shared/wire/changes.c daemon/core/change_tree.c shared/store/[a-z]*.c | -lzstd -lpthread */
/* The stream of changes: what is refused, and the trees that come of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "daemon/core/change_tree.h"
#include "shared/wire/changes.h"
#include "tests/unit/store_data.h"
#include "tests/unit/tree_kit.h"

/* ---- a stream, written record by record ---- */

static void dir(struct buf *b, const char *path, unsigned mode, bool opaque)
{
	changes_put_path(b, CHANGE_DIR, opaque ? CHANGE_OPAQUE : 0, mode, path, NULL);
}

static void file(struct buf *b, const char *path, unsigned mode, const char *text)
{
	changes_put_path(b, CHANGE_FILE, 0, mode, path, NULL);
	changes_put(b, CHANGE_DATA, 0, 0, text, strlen(text));
	changes_put(b, CHANGE_DONE, 0, 0, "", 0);
}

static void gone(struct buf *b, const char *path)
{
	changes_put_path(b, CHANGE_GONE, 0, 0, path, NULL);
}

/* Read it in pieces of `step` bytes over base: the tree; or false, and why. */
static bool read_stream(
	struct store *s, struct hash base, const struct buf *b, size_t step, struct change_counts *out, struct err *err)
{
	struct change_tree *c = change_tree_new(&base);
	int r = 0;
	assert_int_equal(store_begin(s, true, err), 0);
	for (size_t at = 0; r == 0 && at < b->len; at += step)
		r = change_tree_add(c, s, b->p + at, b->len - at < step ? b->len - at : step, err);
	if (r == 0)
		r = change_tree_end(c, s, err);
	*out = *change_tree_result(c);
	change_tree_free(c);
	if (r == 0)
		assert_int_equal(store_end(s, err), 0);
	else
		store_abort(s);
	return r == 0;
}

static void assert_makes(struct store *s, const char *before, struct buf *b, uint64_t entries, const char *after)
{
	struct err err = ERR_INIT;
	static const size_t steps[] = { 1 << 20, 1, 7 };
	struct hash base = kit_tree(s, before), wanted = kit_tree(s, after);
	changes_put_number(b, CHANGE_END, entries);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct change_counts out;
		if (!read_stream(s, base, b, steps[i], &out, &err))
			fail_msg("%s", err.msg);
		if (!hash_eq(&out.tree, &wanted))
			fail_msg("not the tree '%s'", after);
	}
	buf_clear(b);
}

static void edits(void **state)
{
	auto_buf b = BUF_INIT;
	file(&b, "new", 0644, "x");
	assert_makes(*state, "a=1", &b, 1, "a=1 new=x");
	gone(&b, "a");
	assert_makes(*state, "a=1 b=2", &b, 1, "b=2");
	dir(&b, "d", 0755, false);
	file(&b, "d/e", 0755, "x");
	gone(&b, "d/f");
	assert_makes(*state, "d/f=1 d/g=2", &b, 3, "d/e=x! d/g=2");
	dir(&b, "d", 0700, false);
	assert_makes(*state, "d/f=1", &b, 1, "d/f=1 d/|0700");
	dir(&b, "d", 0755, false);
	assert_makes(*state, "d/f=1 d/|0700", &b, 1, "d/f=1");
	changes_put_path(&b, CHANGE_LINK, 0, 0777, "l", "to/where");
	assert_makes(*state, "l=file", &b, 1, "l->to/where");
}

/* A folder stays though all that was in it goes, whatever the order; one that is gone does not come back. */
static void folders(void **state)
{
	auto_buf b = BUF_INIT;
	dir(&b, "d", 0755, false);
	gone(&b, "d/f");
	assert_makes(*state, "d/f=1 x=2", &b, 2, "d/ x=2");
	dir(&b, "d", 0750, false);
	dir(&b, "d/e", 0755, false);
	gone(&b, "d/e/f");
	assert_makes(*state, "d/e/f=1", &b, 3, "d/|0750 d/e/");
	gone(&b, "d");
	assert_makes(*state, "d/e/f=1 x=2", &b, 1, "x=2");
	dir(&b, "d", 0755, true);
	assert_makes(*state, "d/e/f=1 x=2", &b, 1, "d/ x=2");
	dir(&b, "d", 0755, true);
	file(&b, "d/n", 0644, "n");
	assert_makes(*state, "d/e/f=1 x=2", &b, 2, "d/n=n x=2");
}

/* What was a file is a folder, and the other way round. */
static void kinds(void **state)
{
	auto_buf b = BUF_INIT;
	file(&b, "d", 0644, "now");
	assert_makes(*state, "d/e/f=1 d/|0700", &b, 1, "d=now");
	dir(&b, "f", 0755, true);
	file(&b, "f/g", 0644, "g");
	assert_makes(*state, "f=1", &b, 2, "f/g=g");
	dir(&b, "f", 0711, true);
	assert_makes(*state, "f=1", &b, 1, "f/|0711");
}

/* A file that changes while it is read is as it was in the end. */
static void again(void **state)
{
	auto_buf b = BUF_INIT;
	changes_put_path(&b, CHANGE_FILE, 0, 0644, "f", NULL);
	changes_put(&b, CHANGE_DATA, 0, 0, "half of", 7);
	changes_put(&b, CHANGE_AGAIN, 0, 0755, "", 0);
	changes_put(&b, CHANGE_DATA, 0, 0, "all", 3);
	changes_put(&b, CHANGE_DONE, 0, 0, "", 0);
	assert_makes(*state, "x=1", &b, 1, "f=all! x=1");
}

/* Content of any size is that of a plain push of the file. */
static void contents(void **state)
{
	static const size_t sizes[] = { 0, 1, 65535, 65536, 65537, 300000, 3000000 };
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct err err = ERR_INIT;
		auto_buf b = BUF_INIT;
		auto_free uint8_t *data = mem_zalloc(sizes[i] + 1);
		struct change_counts out;
		fill_xorshift(data, sizes[i], i + 1);
		if (sizes[i] > 100000)
			memset(data + 50000, 0, sizes[i] / 2);
		changes_put_path(&b, CHANGE_FILE, 0, 0644, "f", NULL);
		for (size_t at = 0; at < sizes[i]; at += CHANGES_PAYLOAD) {
			size_t n = sizes[i] - at < CHANGES_PAYLOAD ? sizes[i] - at : CHANGES_PAYLOAD;
			static const uint8_t zeros[CHANGES_PAYLOAD];
			if (memcmp(data + at, zeros, n) == 0)
				changes_put_number(&b, CHANGE_HOLE, n);
			else
				changes_put(&b, CHANGE_DATA, 0, 0, data + at, n);
		}
		changes_put(&b, CHANGE_DONE, 0, 0, "", 0);
		changes_put_number(&b, CHANGE_END, 1);
		assert_true(read_stream(*state, object_empty, &b, 10000, &out, &err));
		assert_int_equal(out.files, 1);
		assert_int_equal(out.bytes, sizes[i]);
		struct entry e;
		struct hash wanted;
		struct tree_file *f = tree_file_new(*state, 0644);
		assert_int_equal(store_begin(*state, true, &err), 0);
		assert_int_equal(tree_file_add(f, data, sizes[i], &err), 0);
		assert_int_equal(tree_file_end(f, &e, &err), 0);
		struct tree_edit edit = { .path = "f", .file = &e };
		assert_int_equal(tree_apply(*state, &object_empty, &edit, 1, &wanted, &err), 0);
		assert_int_equal(store_end(*state, &err), 0);
		tree_file_free(f);
		assert_true(hash_eq(&wanted, &out.tree));
	}
}

/* More than fits into one batch of edits, in an order in which folders empty between batches. */
static void many(void **state)
{
	struct err err = ERR_INIT;
	auto_buf first = BUF_INIT, second = BUF_INIT;
	struct change_counts a, b;
	uint64_t n = 0;
	for (unsigned d = 0; d < 20; d++) {
		char path[64];
		(void)snprintf(path, sizeof(path), "d%02u", d);
		dir(&first, path, 0755, false);
		dir(&second, path, 0755, false);
		for (unsigned i = 0; i < 1000; i++) {
			(void)snprintf(path, sizeof(path), "d%02u/f%03u", d, i);
			file(&first, path, 0644, path);
			gone(&second, path);
			n++;
		}
	}
	changes_put_number(&first, CHANGE_END, n + 20);
	changes_put_number(&second, CHANGE_END, n + 20);
	assert_true(read_stream(*state, object_empty, &first, 65536, &a, &err));
	assert_int_equal(a.files, n);
	assert_true(read_stream(*state, a.tree, &second, 65536, &b, &err));
	assert_int_equal(b.removed, n);
	struct hash wanted = kit_tree(
		*state, "d00/ d01/ d02/ d03/ d04/ d05/ d06/ d07/ d08/ d09/ d10/ d11/ d12/ d13/ d14/ d15/ d16/ d17/ d18/ d19/");
	assert_true(hash_eq(&wanted, &b.tree));
}

static void special(void **state)
{
	struct err err = ERR_INIT;
	auto_buf b = BUF_INIT;
	struct change_counts out;
	struct tree_at at = { 0 };
	changes_put_path(&b, CHANGE_SPECIAL, 0, S_IFCHR | 0660, "dev", "007:0070");
	changes_put_path(&b, CHANGE_SPECIAL, 0, S_IFIFO | 0600, "pipe", "");
	changes_put_path(&b, CHANGE_SPECIAL, 0, S_IFSOCK | 0755, "sock", "");
	changes_put_number(&b, CHANGE_END, 3);
	assert_true(read_stream(*state, object_empty, &b, 5, &out, &err));
	assert_int_equal(tree_find(*state, &out.tree, "dev", &at, &err), 0);
	assert_int_equal(at.file.mode, S_IFCHR | 0660);
	assert_int_equal(at.file.size, 4);
	assert_memory_equal(at.file.data, "7:70", 4);
	tree_at_free(&at);
	assert_int_equal(tree_find(*state, &out.tree, "sock", &at, &err), 0);
	assert_int_equal(at.file.mode, S_IFSOCK | 0755);
	tree_at_free(&at);
}

/* ---- a hostile guest ---- */

static void assert_refused(struct store *s, struct buf *b, uint64_t entries, enum err_code code)
{
	struct err err = ERR_INIT;
	struct change_counts out;
	changes_put_number(b, CHANGE_END, entries);
	if (read_stream(s, object_empty, b, 100000, &out, &err))
		fail_msg("it was taken");
	assert_int_equal(err.code, code);
	buf_clear(b);
}

static void bad_paths(void **state)
{
	static const char *const paths[] = { "", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", ".", "./a", "a/.", "a//b",
		"a/" };
	auto_buf b = BUF_INIT;
	auto_buf longer = BUF_INIT;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		file(&b, paths[i], 0644, "x");
		assert_refused(*state, &b, 1, ERR_PROTOCOL);
		gone(&b, paths[i]);
		assert_refused(*state, &b, 1, ERR_PROTOCOL);
		changes_put_path(&b, CHANGE_LINK, 0, 0777, paths[i], "x");
		assert_refused(*state, &b, 1, ERR_PROTOCOL);
	}
	for (size_t i = 0; i < 256; i++)
		buf_ch(&longer, 'n');
	file(&b, longer.p, 0644, "x");
	assert_refused(*state, &b, 1, ERR_PROTOCOL);
	buf_clear(&longer);
	while (longer.len < CHANGES_PATH_MAX)
		buf_str(&longer, "a/");
	buf_str(&longer, "a");
	file(&b, longer.p, 0644, "x");
	assert_refused(*state, &b, 1, ERR_PROTOCOL);
	changes_put(&b, CHANGE_GONE, 0, 0, "a\0b", 3);
	assert_refused(*state, &b, 1, ERR_PROTOCOL);
	changes_put(&b, CHANGE_LINK, 0, 0777, "a\0b\0c", 5);
	assert_refused(*state, &b, 1, ERR_PROTOCOL);
}

static void bad_records(void **state)
{
	static const struct {
		enum change_kind kind;
		unsigned flags, mode;
		const char *payload;
		size_t n;
	} rows[] = {
		{ 0, 0, 0, "", 0 },
		{ CHANGE_KINDS, 0, 0, "", 0 },
		{ 255, 0, 0, "a", 1 },
		{ CHANGE_FILE, CHANGE_OPAQUE, 0644, "a", 1 },
		{ CHANGE_DIR, 2, 0755, "a", 1 },
		{ CHANGE_DIR, 0, S_IFDIR | 0755, "a", 1 },
		{ CHANGE_FILE, 0, 010000, "a", 1 },
		{ CHANGE_LINK, 0, 0777, "a", 1 },
		{ CHANGE_LINK, 0, 0777, "a\0", 2 },
		{ CHANGE_SPECIAL, 0, S_IFREG | 0644, "a\0", 2 },
		{ CHANGE_SPECIAL, 0, S_IFDIR | 0644, "a\0", 2 },
		{ CHANGE_SPECIAL, 0, S_IFCHR | 0644, "a\0", 2 },
		{ CHANGE_SPECIAL, 0, S_IFCHR | 0644, "a\0x:y", 5 },
		{ CHANGE_SPECIAL, 0, S_IFBLK | 0644, "a\0-1:2", 6 },
		{ CHANGE_SPECIAL, 0, S_IFBLK | 0644, "a\0001:2:3", 7 },
		{ CHANGE_DATA, 0, 0, "x", 1 },
		{ CHANGE_HOLE, 0, 0, "12345678", 8 },
		{ CHANGE_DONE, 0, 0, "", 0 },
		{ CHANGE_AGAIN, 0, 0644, "", 0 },
	};
	auto_buf b = BUF_INIT;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		changes_put(&b, rows[i].kind, rows[i].flags, rows[i].mode, rows[i].payload, rows[i].n);
		assert_refused(*state, &b, 1, ERR_PROTOCOL);
	}
}

static void bad_sequences(void **state)
{
	auto_buf b = BUF_INIT;
	struct err err = ERR_INIT;
	struct change_counts out;
	changes_put_path(&b, CHANGE_FILE, 0, 0644, "a", NULL);
	assert_refused(*state, &b, 1, ERR_PROTOCOL); /* it does not end */
	changes_put_path(&b, CHANGE_FILE, 0, 0644, "a", NULL);
	gone(&b, "b");
	assert_refused(*state, &b, 2, ERR_PROTOCOL);
	file(&b, "a", 0644, "x");
	assert_refused(*state, &b, 2, ERR_PROTOCOL); /* it counts otherwise */
	changes_put_number(&b, CHANGE_END, 0);
	file(&b, "a", 0644, "x");
	assert_refused(*state, &b, 1, ERR_PROTOCOL);
	file(&b, "a", 0644, "x");
	assert_false(read_stream(*state, object_empty, &b, 3, &out, &err)); /* cut */
	assert_int_equal(err.code, ERR_PROTOCOL);
}

static void too_much(void **state)
{
	auto_buf b = BUF_INIT;
	changes_put_path(&b, CHANGE_FILE, 0, 0644, "a", NULL);
	changes_put_number(&b, CHANGE_HOLE, CHANGES_FILE_MAX + 1);
	assert_refused(*state, &b, 1, ERR_TOO_LARGE);
	changes_put_path(&b, CHANGE_FILE, 0, 0644, "a", NULL);
	changes_put_number(&b, CHANGE_HOLE, UINT64_MAX);
	assert_refused(*state, &b, 1, ERR_TOO_LARGE);
	changes_put_path(&b, CHANGE_FILE, 0, 0644, "a", NULL);
	changes_put(&b, CHANGE_DATA, 0, 0, "x", 1);
	changes_put_number(&b, CHANGE_HOLE, CHANGES_FILE_MAX);
	assert_refused(*state, &b, 1, ERR_TOO_LARGE);
	static const char huge[] = { CHANGE_FILE, 0, 0, 0, 1, 0, 1, 0 };
	buf_add(&b, huge, sizeof(huge));
	assert_refused(*state, &b, 1, ERR_PROTOCOL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(edits, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(folders, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(kinds, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(again, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(contents, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(many, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(special, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(bad_paths, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(bad_records, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(bad_sequences, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(too_much, store_dir_setup, store_dir_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
