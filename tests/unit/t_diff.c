/* link: shared/store/diff.c shared/store/diff_git.c shared/store/diff_mcp.c | */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "shared/base/util.h"
#include "shared/store/diff.h"
#include "tests/unit/oracle.h"

static struct text text(const char *s)
{
	return (struct text){ s, strlen(s) };
}

static void check_diff(const char *old, const char *new, const struct diff_options *o, const char *want)
{
	struct err err = ERR_INIT;
	auto_buf out = BUF_INIT;

	if (diff_text(text(old), text(new), o, &out, &err) != 0)
		fail_msg("%s", err.msg);
	assert_string_equal(out.p, want);
}

static void t_text_is(void **state)
{
	(void)state;
	assert_true(text_is("", 0));
	assert_true(text_is("plain ascii, long enough", 24));
	static const char many[] = "h\xc3\xa9llo w\xc3\xb6rld \xe2\x82\xac \xf0\x9f\x98\x80";
	assert_true(text_is(many, sizeof(many) - 1));
	assert_false(text_is(many, sizeof(many) - 2));
	assert_false(text_is("a\0b", 3));
	assert_false(text_is("0123456789\0", 11));
	assert_false(text_is("latin \xe9 1 and more", 16));
	assert_false(text_is("cut \xe2\x82", 6));
}

static void t_unified(void **state)
{
	(void)state;
	struct diff_options native = { .context = 3 }, bare = { .context = 0 },
			    names = { "a/x y", "b/q\"\n\x01", 1, false, DIFF_NATIVE };

	check_diff("same\n", "same\n", NULL, "");
	check_diff("", "", NULL, "");
	check_diff("alpha\nbeta\ngamma\n", "alpha\nOURS\ngamma\n", NULL,
		"--- original\n+++ modified\n@@ -1,3 +1,3 @@\n alpha\n-beta\n+OURS\n gamma\n");
	check_diff("", "x\n", NULL, "--- original\n+++ modified\n@@ -0,0 +1 @@\n+x\n");
	check_diff("x\n", "", NULL, "--- original\n+++ modified\n@@ -1 +0,0 @@\n-x\n");
	check_diff("a", "b", NULL,
		"--- original\n+++ modified\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n");
	check_diff("a\n\nb\n", "a\n\nc\n", NULL, "--- original\n+++ modified\n@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n");
	check_diff("a\n\nb\n", "a\n\nc\n", &native, "--- original\n+++ modified\n@@ -1,3 +1,3 @@\n a\n \n-b\n+c\n");
	check_diff("1\n2\n3\n", "1\nx\n2\n3\n", &bare, "--- original\n+++ modified\n@@ -1,0 +2 @@\n+x\n");
	check_diff("1\n2\n3\n", "1\n2\n4\n", &names, "--- a/x y\t\n+++ \"b/q\\\"\\n\\001\"\n@@ -2,2 +2,2 @@\n 2\n-3\n+4\n");
	/* Six lines between two changes: one hunk for git, two for mcp-v8. */
	check_diff("x\n1\n2\n3\n4\n5\n6\ny\n", "X\n1\n2\n3\n4\n5\n6\nY\n", &native,
		"--- original\n+++ modified\n@@ -1,8 +1,8 @@\n-x\n+X\n 1\n 2\n 3\n 4\n 5\n 6\n-y\n+Y\n");
	check_diff("x\n1\n2\n3\n4\n5\n6\ny\n", "X\n1\n2\n3\n4\n5\n6\nY\n", NULL,
		"--- original\n+++ modified\n@@ -1,4 +1,4 @@\n-x\n+X\n 1\n 2\n 3\n@@ -5,4 +5,4 @@\n 4\n 5\n 6\n-y\n+Y\n");
}

static void t_count(void **state)
{
	(void)state;
	uint64_t added, removed;

	assert_int_equal(diff_count(text("1\n2\n3\n"), text("1\n3\n4\n5"), &added, &removed, NULL), 0);
	assert_int_equal(added, 2);
	assert_int_equal(removed, 1);
	assert_int_equal(diff_count(text(""), text(""), &added, &removed, NULL), 0);
	assert_int_equal(added + removed, 0);
}

/* git apply makes the new text of the old one by our diffs, with any number of lines of context (but none: then it is wrong about
 * its own diffs, too, where a last line without end goes). */
static void t_git_applies(void **state)
{
	const char *dir = *state;
	struct rule_triple t = { BUF_INIT, BUF_INIT, BUF_INIT };
	auto_buf patch = BUF_INIT, got = BUF_INIT;
	enum { N = 150 };

	for (unsigned i = 0; i < N; i++) {
		auto_free char *name = mem_printf("f%u", i), *old = mem_printf("a/f%u", i), *new = mem_printf("b/f%u", i);
		struct diff_options o = { old, new, 1 + i % 4, i % 3 == 0, i % 2 ? DIFF_NATIVE : DIFF_MCP };
		rule_triple(i + 1, i % 7 ? "\n" : "\r\n", &t);
		oracle_write(dir, name, t.base.p, t.base.len);
		/* (An empty file that comes or goes needs git's own headers.) */
		if (t.base.len && t.ours.len)
			assert_int_equal(diff_text((struct text){ t.base.p, t.base.len }, (struct text){ t.ours.p, t.ours.len }, &o,
						 &patch, NULL),
				0);
	}
	oracle_write(dir, "patch", patch.p, patch.len);
	assert_int_equal(oracle_run(dir, "git apply --whitespace=nowarn patch", NULL, NULL), 0);
	for (unsigned i = 0; i < N; i++) {
		auto_free char *name = mem_printf("f%u", i);
		rule_triple(i + 1, i % 7 ? "\n" : "\r\n", &t);
		oracle_read(dir, name, &got);
		if (t.base.len && t.ours.len && (got.len != t.ours.len || memcmp(got.p, t.ours.p, got.len) != 0))
			fail_msg("text %u:\n%s\nbecame\n%s", i, t.ours.p, got.p);
	}
	rule_triple_free(&t);
}

static void add_noise(struct buf *b, size_t bytes, unsigned alphabet, uint64_t *x)
{
	while (b->len < bytes)
		buf_fmt(b, "%x\n", rule_below(x, alphabet));
}

/* Texts that would take a plain search hours: unlike ones, and ones of few different lines. */
static void t_hostile_sizes(void **state)
{
	(void)state;
	static const unsigned alphabets[] = { UINT32_MAX, 16, 2 };
	uint64_t x = 7, added, removed;

	for (size_t i = 0; i < ARRAY_LEN(alphabets); i++) {
		auto_buf a = BUF_INIT, b = BUF_INIT, out = BUF_INIT;
		int64_t begin = clock_mono_ms();
		size_t bytes = getenv("SBX_LONG") ? 10000000 : 300000;
		add_noise(&a, bytes, alphabets[i], &x);
		add_noise(&b, bytes, alphabets[i], &x);
		assert_int_equal(diff_count((struct text){ a.p, a.len }, (struct text){ b.p, b.len }, &added, &removed, NULL), 0);
		assert_int_equal(diff_text((struct text){ a.p, a.len }, (struct text){ b.p, b.len }, NULL, &out, NULL), 0);
		assert_true(clock_mono_ms() - begin < 60000);
	}
}

static void t_too_many_lines(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	size_t n = DIFF_LINES_MAX + 1;
	auto_free char *p = mem_zalloc(n);
	struct lines l;

	memset(p, '\n', n);
	assert_int_equal(lines_split((struct text){ p, n }, &l, &err), -1);
	assert_int_equal(err.code, ERR_TOO_LARGE);
	lines_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_text_is),
		cmocka_unit_test(t_unified),
		cmocka_unit_test(t_count),
		cmocka_unit_test_setup_teardown(t_git_applies, oracle_dir, oracle_dir_end),
		cmocka_unit_test(t_hostile_sizes),
		cmocka_unit_test(t_too_many_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
