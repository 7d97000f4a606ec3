/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "shared/store/merge.h"
#include "tests/unit/store_data.h"
#include "tests/unit/tree_kit.h"

#define NO_BASE NULL

static void merge_ids(struct store *s, const struct tree_merge *m, struct merge_result *out)
{
	struct err err = ERR_INIT;

	assert_int_equal(store_begin(s, true, &err), 0);
	if (merge_trees(s, m, out, &err) != 0)
		fail_msg("%s", err.msg);
	assert_int_equal(store_end(s, &err), 0);
}

/* The tree in one line, then the conflicts: "path:kind". mcp-v8 has no tree when there are conflicts: "-". */
static void merge_say(struct store *s, const struct tree_merge *m, struct buf *out)
{
	struct merge_result r;

	merge_ids(s, m, &r);
	assert_int_equal(r.clean, r.count == 0);
	buf_clear(out);
	if (r.clean || m->style == MERGE_NATIVE)
		kit_say(s, &r.tree, out);
	else
		buf_str(out, "-");
	for (size_t i = 0; i < r.count; i++)
		buf_fmt(out, "%s%s:%s", i ? " " : " # ", r.conflicts[i].path, conflict_kind_name(r.conflicts[i].kind));
	merge_result_free(&r);
}

struct row {
	const char *base, *ours, *theirs, *want;
	enum merge_prefer prefer;
};

static void check(struct store *s, const struct row *rows, size_t n, enum merge_style style, bool renames)
{
	auto_buf got = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		struct hash base = rows[i].base ? kit_tree(s, rows[i].base) : object_empty;
		struct tree_merge m = { .ours = kit_tree(s, rows[i].ours),
			.theirs = kit_tree(s, rows[i].theirs),
			.style = style,
			.base = rows[i].base ? &base : NULL,
			.prefer = rows[i].prefer,
			.renames = renames };
		merge_say(s, &m, &got);
		if (strcmp(got.p, rows[i].want) != 0)
			fail_msg("row %zu: %s | %s | %s\nwant %s\ngot  %s", i, rows[i].base ? rows[i].base : "(none)", rows[i].ours,
				rows[i].theirs, rows[i].want, got.p);
	}
}

static void t_mcp(void **state)
{
	static const struct row rows[] = {
		{ "a=base", "a=base", "a=new", "a=new", 0 },
		{ "a=base", "a=new", "a=base", "a=new", 0 },
		{ "a=base b=1", "a=new b=1", "a=base b=2", "a=new b=2", 0 },
		{ "a=1~2~3~", "a=A~2~3~", "a=1~2~C~", "a=A~2~C~", 0 },
		{ "a=1~", "a=2~", "a=3~", "- # a:text", 0 },
		{ "a=1~", "", "a=3~", "- # a:modify/delete", 0 },
		{ "a=1~", "a=3~", "", "- # a:modify/delete", 0 },
		{ "a=1", "", "", "", 0 },
		{ NO_BASE, "a=1", "b=2", "a=1 b=2", 0 },
		{ NO_BASE, "a=1", "a=2", "- # a:text", 0 },
		{ NO_BASE, "a=1", "a=1", "a=1", 0 },
		{ NO_BASE, "a=", "a=2~", "a=2~", 0 },
		/* A file and a folder of one name live side by side. */
		{ NO_BASE, "a=1", "a/b=2", "a=1 a/b=2", 0 },
		/* Conflicts: depth first, names in byte order, a file before the folder of its name. */
		{ "z=1 a=1 d/x=1 d=1 d.x=1", "z=2 a=2 d/x=2 d=2 d.x=2", "z=3 a=3 d/x=3 d=3 d.x=3",
			"- # a:text d:text d/x:text d.x:text z:text", 0 },
		/* prefer takes whole files, before the lines are looked at, and may choose a deletion. */
		{ "a=1~2~3~", "a=A~2~3~", "a=1~2~C~", "a=A~2~3~", PREFER_OURS },
		{ "a=1~2~3~", "a=A~2~3~", "a=1~2~C~", "a=1~2~C~", PREFER_THEIRS },
		{ "a=1", "", "a=2", "", PREFER_OURS },
		{ "a=1", "", "a=2", "a=2", PREFER_THEIRS },
		/* Links are texts of their targets; what comes out is a file. */
		{ "l->t", "l->u", "l->v", "- # l:text", 0 },
		{ "l->t", "l->u", "l=t", "l=t", PREFER_THEIRS },
		{ "d/x=1 d/y=2", "d/x=1", "d/y=2", "", 0 },
	};
	check(*state, rows, ARRAY_LEN(rows), MERGE_MCP, false);
}

static void t_native(void **state)
{
	static const struct row rows[] = {
		{ "a=1~2~3~", "a=A~2~3~", "a=1~2~C~", "a=A~2~C~", 0 },
		{ "a=1~2~3~", "a=A~2~3~", "a=1~2~C~", "a=A~2~C~", PREFER_OURS },
		{ "a=1~2~3~4~5~", "a=A~2~X~4~5~", "a=1~2~Y~4~E~", "a=A~2~Y~4~E~", PREFER_THEIRS },
		{ "a=1~ b=1", "a=2~ b=1", "a=3~ b=2", "a=<<<<<<<_ours~2~|||||||_base~1~=======~3~>>>>>>>_theirs~ b=2 # a:text", 0 },
		{ "a=1", "", "a=2", " # a:modify/delete", 0 },
		{ "a=1", "a=2", "", "a=2 # a:modify/delete", 0 },
		{ "a=1", "a=2", "", "", PREFER_THEIRS },
		{ "a=1", "", "a=2", "", PREFER_OURS },
		/* Links are not merged. */
		{ "l->t", "l->u", "l->v", "l->u # l:binary", 0 },
		{ "l->t", "l->u", "l->v", "l->v", PREFER_THEIRS },
		{ "l->t", "l->u", "l->t", "l->u", 0 },
		{ "l=t", "l->u", "l=v", "l->u # l:binary", 0 },
		/* Modes apart from content. */
		{ "a=1~2~3~", "a=1~2~3~!", "a=1~2~C~", "a=1~2~C~!", 0 },
		{ "a=1~2~3~", "a=A~2~3~!", "a=1~2~C~", "a=A~2~C~!", 0 },
		{ "a=1!", "a=1", "a=2!", "a=2", 0 },
		{ "a=1", "a|0600=1", "a|0640=1", "a|0600=1 # a:mode", 0 },
		{ "a=1", "a|0600=1", "a|0640=1", "a|0640=1", PREFER_THEIRS },
		{ "a=1", "a|0600=1", "a=1!", "a|0711=1", 0 },
		{ NO_BASE, "a=1", "a=1!", "a=1 # a:mode", 0 },
		/* File and folder of one name. */
		{ NO_BASE, "a=1", "a/b=2", "a=1 # a:file/directory", 0 },
		{ NO_BASE, "a/b=2", "a=1", "a/b=2 # a:file/directory", 0 },
		{ NO_BASE, "a=1", "a/b=2", "a/b=2", PREFER_THEIRS },
		{ "a=1", "a/b=2", "a=1", "a/b=2", 0 },
		{ "a=1", "a/b=2", "a=3", "a/b=2 # a:modify/delete", 0 },
		{ "a=1", "a/b=2", "a=3", "a=3", PREFER_THEIRS },
		{ "a/x=1", "a=1", "a/x=1 a/y=2", "a=1 # a:file/directory", 0 },
		{ "a/x=1", "a=1", "a/x=2", "a=1 # a/x:modify/delete", 0 },
		/* It was so on one side already: it stays. */
		{ "a=1 a/x=1", "a=2 a/x=1", "a=1 a/x=2", "a=2 a/x=2", 0 },
		/* Folders: empty ones, their modes. */
		{ "d/x=1 d/y=2", "d/x=1", "d/y=2", "", 0 },
		{ "d/x=1", "d/", "d/x=1", "d/", 0 },
		{ "d/x=1 d/y=1", "d/", "d/x=1", "d/", 0 },
		{ "d/x=1 d/y=1", "d/ d/x=1", "d/ d/y=1", "", 0 },
		{ NO_BASE, "d/", "d/", "d/", 0 },
		{ "d/x=1", "d/|0700 d/x=1", "d/x=2", "d/|0700 d/x=2", 0 },
		{ "d/x=1", "d/|0700 d/x=1", "d/|0750 d/x=2", "d/|0700 d/x=2 # d:mode", 0 },
		{ "d/x=1", "d/|0700 d/x=1", "d/|0750 d/x=2", "d/|0750 d/x=2", PREFER_THEIRS },
	};
	check(*state, rows, ARRAY_LEN(rows), MERGE_NATIVE, false);
}

static void t_moves(void **state)
{
	static const struct row rows[] = {
		{ "a=1~2~3~", "b=1~2~3~", "a=1~2~C~", "b=1~2~C~", 0 },
		{ "a=1~2~3~", "a=1~2~C~", "d/b=1~2~3~", "d/b=1~2~C~", 0 },
		{ "a=1~2~3~ x=1", "b=1~2~3~ x=2", "a=1~2~3~! x=1", "b=1~2~3~! x=2", 0 },
		/* Moved to two places: both. Changed while moved: no longer the same file. */
		{ "a=1", "b=1", "c=1", "b=1 c=1", 0 },
		{ "a=1~", "b=2~", "a=3~", "b=2~ # a:modify/delete", 0 },
		/* Where it went there is something else already. */
		{ "a=1~", "b=1~", "a=2~ b=3~", "b=<<<<<<<_ours~1~|||||||_base~=======~3~>>>>>>>_theirs~ # a:modify/delete b:text",
			0 },
	};
	check(*state, rows, ARRAY_LEN(rows), MERGE_NATIVE, true);
}

static struct entry bytes_of(const char *p, size_t n)
{
	return (struct entry){ .mode = OBJECT_FILE_MODE, .size = n, .data = (const uint8_t *)p };
}

static struct hash one_file(struct store *s, const char *p, size_t n)
{
	struct entry e = bytes_of(p, n);
	struct tree_edit edit = { .path = "f", .file = &e };
	struct err err = ERR_INIT;
	struct tree_file *f = n > OBJECT_INLINE_MAX ? tree_file_new(s, OBJECT_FILE_MODE) : NULL;
	struct hash out;

	assert_int_equal(store_begin(s, true, &err), 0);
	if (f) {
		assert_int_equal(tree_file_add(f, p, n, &err), 0);
		assert_int_equal(tree_file_end(f, &e, &err), 0);
	}
	assert_int_equal(tree_apply(s, &object_empty, &edit, 1, &out, &err), 0);
	assert_int_equal(store_end(s, &err), 0);
	tree_file_free(f);
	return out;
}

static void check_kind(struct store *s, const char *a, size_t an, const char *b, size_t bn, enum conflict_kind want)
{
	struct hash base = one_file(s, "base", 4);
	struct tree_merge m = { .base = &base, .ours = one_file(s, a, an), .theirs = one_file(s, b, bn) };

	for (m.style = MERGE_MCP; m.style <= MERGE_NATIVE; m.style++) {
		struct merge_result r;
		merge_ids(s, &m, &r);
		assert_int_equal(r.count, 1);
		assert_string_equal(r.conflicts[0].path, "f");
		assert_int_equal(r.conflicts[0].kind, want);
		assert_int_equal(r.conflicts[0].markers != NULL, want == CONFLICT_TEXT);
		merge_result_free(&r);
	}
}

static void t_kinds(void **state)
{
	struct store *s = *state;
	static const char sqlite1[] = "SQLite format 3\0one", sqlite2[] = "SQLite format 3\0two";

	check_kind(s, "t1", 2, "t2", 2, CONFLICT_TEXT);
	check_kind(s, "a\0b", 3, "a\0c", 3, CONFLICT_BINARY);
	check_kind(s, "text", 4, "a\0c", 3, CONFLICT_BINARY);
	check_kind(s, "\xff\xfe", 2, "text", 4, CONFLICT_BINARY);
	check_kind(s, sqlite1, sizeof(sqlite1), sqlite2, sizeof(sqlite2), CONFLICT_SQLITE);
	check_kind(s, sqlite1, sizeof(sqlite1), "text", 4, CONFLICT_BINARY);
}

/* What a conflict tells on mcp-v8's wire. */
static void t_told(void **state)
{
	struct store *s = *state;
	struct hash base = kit_tree(s, "data/out.txt=alpha~beta~gamma~ m=base");
	struct tree_merge m = { .base = &base,
		.ours = kit_tree(s, "data/out.txt=alpha~OURS~gamma~"),
		.theirs = kit_tree(s, "data/out.txt=alpha~THEIRS~gamma~ m=x"),
		.style = MERGE_MCP };
	struct merge_result r;
	char hex[HASH_HEX + 1];

	merge_ids(s, &m, &r);
	assert_int_equal(r.count, 2);
	assert_string_equal(r.conflicts[0].path, "data/out.txt");
	assert_string_equal(r.conflicts[0].markers,
		"alpha\n<<<<<<< ours\nOURS\n||||||| original\nbeta\n=======\nTHEIRS\n>>>>>>> theirs\ngamma\n");
	assert_string_equal(
		r.conflicts[0].diff_ours, "--- original\n+++ modified\n@@ -1,3 +1,3 @@\n alpha\n-beta\n+OURS\n gamma\n");
	assert_string_equal(
		r.conflicts[0].diff_theirs, "--- original\n+++ modified\n@@ -1,3 +1,3 @@\n alpha\n-beta\n+THEIRS\n gamma\n");
	assert_int_equal(r.conflicts[0].diff_ours_len, strlen(r.conflicts[0].diff_ours));
	assert_true(r.conflicts[1].has_base && !r.conflicts[1].has_ours && r.conflicts[1].has_theirs);
	assert_string_equal(hash_hex(&r.conflicts[1].base, hex), ENTRY_BASE);
	assert_null(r.conflicts[1].markers);
	merge_result_free(&r);
}

/* Equal ids need not exist; others must. */
static void t_missing(void **state)
{
	struct store *s = *state;
	struct hash a = { { 1 } }, b = { { 2 } }, c = { { 3 } };
	struct tree_merge m = { .ours = a, .theirs = a, .base = &c };
	struct merge_result r;
	struct err err = ERR_INIT;

	merge_ids(s, &m, &r);
	assert_true(r.clean && hash_eq(&r.tree, &a));
	m = (struct tree_merge){ .ours = a, .theirs = b, .base = &a };
	merge_ids(s, &m, &r);
	assert_true(r.clean && hash_eq(&r.tree, &b));
	m.base = &c;
	assert_int_equal(merge_trees(s, &m, &r, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

/* Files too large for a node: cut into chunks, merged all the same; and what comes out is stored as push would. */
static void t_large_text(void **state)
{
	struct store *s = *state;
	auto_buf base = BUF_INIT, ours = BUF_INIT, theirs = BUF_INIT, both = BUF_INIT;

	for (unsigned i = 0; i < 40000; i++) {
		buf_fmt(&base, "line %u\n", i);
		buf_fmt(&ours, "%s %u\n", i == 10 ? "our" : "line", i);
		buf_fmt(&theirs, "%s %u\n", i == 39990 ? "their" : "line", i);
		buf_fmt(&both, "%s %u\n", i == 10 ? "our" : i == 39990 ? "their" : "line", i);
	}
	struct hash b = one_file(s, base.p, base.len), want = one_file(s, both.p, both.len);
	struct tree_merge m = { .base = &b, .ours = one_file(s, ours.p, ours.len), .theirs = one_file(s, theirs.p, theirs.len) };
	for (m.style = MERGE_MCP; m.style <= MERGE_NATIVE; m.style++) {
		struct merge_result r;
		merge_ids(s, &m, &r);
		assert_true(r.clean && hash_eq(&r.tree, &want));
		merge_result_free(&r);
	}
}

/* Many folders at once (threads): the same as one after the other, conflicts in order. */
static void t_many_folders(void **state)
{
	struct store *s = *state;
	enum { N = 40 };
	auto_buf b = BUF_INIT, o = BUF_INIT, t = BUF_INIT, want = BUF_INIT, got = BUF_INIT, conflicts = BUF_INIT;

	for (unsigned i = 10; i < 10 + N; i++) {
		buf_fmt(&b, "d%u/x/f=1~2~3~ ", i);
		buf_fmt(&o, "d%u/x/f=A~2~3~ ", i);
		buf_fmt(&t, i % 4 ? "d%u/x/f=1~2~C~ " : "d%u/x/f=B~2~3~ ", i);
		buf_fmt(&want, i % 4 ? "%sd%u/x/f=A~2~C~" : "%sd%u/x/f=<<<<<<<_ours~A~|||||||_base~1~=======~B~>>>>>>>_theirs~2~3~",
			i > 10 ? " " : "", i);
		if (i % 4 == 0)
			buf_fmt(&conflicts, " d%u/x/f:text", i);
	}
	buf_fmt(&want, " #%s", conflicts.p);
	struct hash base = kit_tree(s, b.p);
	struct tree_merge m = { .base = &base, .ours = kit_tree(s, o.p), .theirs = kit_tree(s, t.p), .style = MERGE_NATIVE };
	merge_say(s, &m, &got);
	assert_string_equal(got.p, want.p);
	/* One that fails stops all. */
	struct hash gone = { { 9 } };
	struct tree_edit edit = { .path = "d20/x", .dir = true, .tree = gone };
	struct err err = ERR_INIT;
	struct merge_result r;
	assert_int_equal(store_begin(s, true, &err), 0);
	assert_int_equal(tree_apply(s, &m.theirs, &edit, 1, &m.theirs, &err), 0);
	assert_int_equal(merge_trees(s, &m, &r, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	store_abort(s);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, store_dir_setup, store_dir_teardown)
	const struct CMUnitTest tests[] = { T(t_mcp), T(t_native), T(t_moves), T(t_kinds), T(t_told), T(t_missing), T(t_large_text),
		T(t_many_folders) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
