/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "shared/store/diff.h"
#include "tests/unit/tree_kit.h"

static int say(void *arg, const struct diff_item *i, struct err *err)
{
	static const char sign[] = "+-*mR";
	struct buf *b = arg;

	(void)err;
	buf_fmt(b, "%s%c%s", b->len ? " " : "", sign[i->kind], i->path);
	if (i->kind == DIFF_RENAMED)
		buf_fmt(b, "<%s", i->old_path);
	if (i->old || i->new)
		buf_fmt(b, ":%o,%o", i->old ? i->old->mode & 07777 : 0, i->new ? i->new->mode & 07777 : 0);
	return 0;
}

static void check(struct store *s, const char *a, const char *b, bool renames, const char *want)
{
	struct hash ta = kit_tree(s, a), tb = kit_tree(s, b);
	struct err err = ERR_INIT;
	auto_buf out = BUF_INIT;

	if (diff_trees(s, &ta, &tb, renames, say, &out, &err) != 0)
		fail_msg("%s", err.msg);
	assert_string_equal(out.p, want);
}

static void t_kinds(void **state)
{
	struct store *s = *state;

	check(s, "a=1 b=2", "a=1 b=2", false, "");
	check(s, "", "a=1", false, "+a:0,644");
	check(s, "a=1", "", false, "-a:644,0");
	check(s, "a=1 d/x=1", "a=2 d/x=1!", false, "*a:644,644 md/x:644,755");
	check(s, "a=1", "a->1", false, "*a:644,777");
	check(s, "a=1 b=1", "a/x=1 b=1", false, "-a:644,0 +a/x:0,644");
	/* Folders that are empty, come, go, change their mode. */
	check(s, "a=1", "a=1 d/", false, "+d");
	check(s, "d/", "", false, "-d");
	check(s, "d/x=1", "d/", false, "-d/x:644,0");
	check(s, "d/", "d/x=1", false, "+d/x:0,644");
	check(s, "d/x=1", "d/x=1 d/|0700", false, "md:0,700");
	check(s, "d/|0700", "", false, "-d:700,0");
	check(s, "", "d/|0700 d/x=1", false, "+d:0,700 +d/x:0,644");
}

static void t_order(void **state)
{
	struct store *s = *state;

	/* Paths in byte order: "a.c" and "a-b" come before what is in folder "a". */
	check(s, "", "a/x=1 a-b=1 a.c=1 a0=1 a=1 ab/y=1", false, "+a:0,644 +a-b:0,644 +a.c:0,644 +a/x:0,644 +a0:0,644 +ab/y:0,644");
}

static void t_renames(void **state)
{
	struct store *s = *state;

	check(s, "a=one", "b=one", false, "-a:644,0 +b:0,644");
	check(s, "a=one", "b=one", true, "Rb<a:644,644");
	check(s, "a=one", "b=one!", true, "Rb<a:644,755");
	check(s, "a=", "b=", true, "-a:644,0 +b:0,644");
	check(s, "a=one", "a=one b=one", true, "+b:0,644");
	check(s, "x/f=same y/g=same", "z/g=same q=same", true, "Rq<x/f:644,644 Rz/g<y/g:644,644");
	check(s, "a=one b=one", "c=one", true, "-b:644,0 Rc<a:644,644");
	check(s, "d/a=1 d/b=2 d/c=3", "e/a=1 e/b=2 e/c=4", true, "-d/c:644,0 Re/a<d/a:644,644 Re/b<d/b:644,644 +e/c:0,644");
}

static int stop(void *arg, const struct diff_item *i, struct err *err)
{
	int *left = arg;

	(void)i;
	(void)err;
	return --*left == 0 ? 77 : 0;
}

static void t_stops(void **state)
{
	struct store *s = *state;
	struct hash a = kit_tree(s, ""), b = kit_tree(s, "a=1 b=2 c/d=3 e=4");
	int left = 3;

	assert_int_equal(diff_trees(s, &a, &b, false, stop, &left, NULL), 77);
	assert_int_equal(left, 0);
}

static void t_missing(void **state)
{
	struct store *s = *state;
	struct hash a = kit_tree(s, "a=1"), b = { { 1, 2, 3 } };
	struct err err = ERR_INIT;
	int left = 100;

	assert_int_equal(diff_trees(s, &a, &b, false, stop, &left, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	/* The same id is the same, there or not. */
	assert_int_equal(diff_trees(s, &b, &b, false, stop, &left, &err), 0);
}

/* A folder in a folder in a folder..., 1,000 deep, is fine; 5,000 are refused, not crashed on. */
static void t_deep(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	struct entry e = { .mode = OBJECT_FILE_MODE, .size = 1, .data = (const uint8_t *)"x" };
	struct hash id = object_empty, thousand = object_empty;
	int left = 100;

	assert_int_equal(store_begin(s, true, &err), 0);
	for (unsigned i = 0; i < 5000; i++) {
		struct child c = { .name = "d", .name_len = 1, .has_dir = i > 0, .dir = id, .has_file = i == 0, .file = e };
		auto_buf b = BUF_INIT;
		assert_int_equal(node_encode(&c, 1, &b, &err), 0);
		assert_int_equal(store_put(s, OBJECT_TREE, b.p, b.len, NULL, &id, &err), 0);
		if (i == 1000)
			thousand = id;
	}
	assert_int_equal(store_end(s, &err), 0);
	assert_int_equal(diff_trees(s, &object_empty, &thousand, false, stop, &left, &err), 0);
	assert_int_equal(left, 99);
	assert_int_equal(diff_trees(s, &object_empty, &id, false, stop, &left, &err), -1);
	assert_int_equal(err.code, ERR_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(t_kinds, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(t_order, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(t_renames, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(t_stops, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(t_missing, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(t_deep, store_dir_setup, store_dir_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
