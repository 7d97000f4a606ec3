/* link: shared/store/ignore.c shared/store/ignore_glob.c | */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "shared/base/util.h"
#include "shared/store/ignore.h"
#include "tests/unit/oracle.h"

static bool match(const char *text, const char *path, bool is_dir)
{
	struct ignore *g = ignore_new();
	bool yes;

	ignore_add_file(g, "", text, strlen(text));
	yes = ignore_match(g, path, is_dir);
	ignore_free(g);
	return yes;
}

static void t_rules(void **state)
{
	(void)state;
	static const struct {
		const char *text, *path;
		bool is_dir, want;
	} rows[] = {
		{ "*.o", "a.o", false, true },
		{ "*.o", "d/e/a.o", false, true },
		{ "*.o", "a.oo", false, false },
		{ "build/", "build", true, true },
		{ "build/", "build", false, false },
		{ "build/", "x/build/y", false, true },
		{ "/build", "build", false, true },
		{ "/build", "x/build", false, false },
		{ "a/b", "a/b", false, true },
		{ "a/b", "x/a/b", false, false },
		{ "a/*/c", "a/b/c", false, true },
		{ "a/*/c", "a/b/b/c", false, false },
		{ "a/**/c", "a/c", false, true },
		{ "a/**/c", "a/b/b/c", false, true },
		{ "**/c", "c", false, true },
		{ "**/c/d", "a/c/d", false, true },
		{ "a/**", "a", true, false },
		{ "a/**", "a/x", false, true },
		{ "a?c", "abc", false, true },
		{ "/x/a?c", "x/a/c", false, false },
		{ "[a-c]x", "bx", false, true },
		{ "[!a-c]x", "bx", false, false },
		{ "[^a-c]x", "dx", false, true },
		{ "[]]", "]", false, true },
		{ "[[:digit:]]", "7", false, true },
		{ "[[:nope:]]", "7", false, false },
		{ "[a", "[a", false, false },
		{ "\\*", "*", false, true },
		{ "\\*", "a", false, false },
		{ "x\\", "x\\", false, false },
		{ "#x", "#x", false, false },
		{ "\\#x", "#x", false, true },
		{ "*.o\n!a.o", "a.o", false, false },
		{ "!a.o\n*.o", "a.o", false, true },
		{ "d/\n!d/a", "d/a", false, true },
		{ "d/*\n!d/a", "d/a", false, false },
		{ "\\!x", "!x", false, true },
		{ "x  ", "x", false, true },
		{ "x\\ ", "x ", false, true },
		{ "x\r\ny\r\n", "x", false, true },
		{ "\xef\xbb\xbfx", "x", false, true },
		{ "/", "x", true, false },
		{ "", "x", false, false },
		{ "x", "x/", false, true },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (match(rows[i].text, rows[i].path, rows[i].is_dir) != rows[i].want)
			fail_msg("'%s' and '%s': not %d", rows[i].text, rows[i].path, rows[i].want);
}

static void t_folders(void **state)
{
	(void)state;
	struct ignore *g = ignore_new();
	struct err err = ERR_INIT;

	ignore_add_file(g, "", "*.log\n", 6);
	ignore_add_file(g, "sub", "!keep.log\n/only\n", 16);
	assert_true(ignore_match(g, "keep.log", false));
	assert_false(ignore_match(g, "sub/keep.log", false));
	assert_false(ignore_match(g, "sub/deep/keep.log", false));
	assert_true(ignore_match(g, "sub/x.log", false));
	assert_true(ignore_match(g, "sub/only", false));
	assert_false(ignore_match(g, "sub/deep/only", false));
	assert_false(ignore_match(g, "only", false));
	/* What was given one by one is stronger than files. */
	assert_int_equal(ignore_add(g, "", "keep.*", &err), 0);
	assert_true(ignore_match(g, "sub/keep.log", false));
	assert_int_equal(ignore_add(g, "", "[a", &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(ignore_add(g, "", "", &err), -1);
	ignore_pop(g, "sub");
	assert_false(ignore_match(g, "sub/only", false));
	assert_true(ignore_match(g, "x.log", false));
	ignore_pop(g, "");
	assert_false(ignore_match(g, "x.log", false));
	ignore_free(g);
}

/* No pattern takes long, whatever it looks like. */
static void t_hostile(void **state)
{
	(void)state;
	char pattern[1000], path[1000];
	int64_t begin = clock_mono_ms();

	for (size_t i = 0; i + 2 < sizeof(pattern); i += 2)
		memcpy(pattern + i, i % 10 ? "*a" : "**", 3);
	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	path[sizeof(path) - 2] = 'b';
	assert_false(match(pattern, path, false));
	for (size_t i = 0; i + 5 < sizeof(pattern); i += 5)
		memcpy(pattern + i, "**/a/", 6);
	memcpy(pattern + 990, "**/x", 5);
	for (size_t i = 1; i < sizeof(path) - 2; i += 2)
		path[i] = '/';
	assert_false(match(pattern, path, false));
	assert_true(clock_mono_ms() - begin < 20000);
}

/* ---- git check-ignore ---- */

static void add_piece(struct buf *b, uint64_t *x)
{
	static const char *const pieces[] = { "*", "*", "?", "**", "\\a", "\\*", "[ab]", "[!a]", "[^b]", "[a-c]", "[]a]", "[a-]",
		"[[:alpha:]]", "[[:upper:]x]", "[b-a]", "[[:foo:]]", "[a", "[[:]", "[a-\\c]", "[!a-b/]", " " };

	if (rule_below(x, 2))
		buf_ch(b, "abcxA.-1"[rule_below(x, 8)]);
	else
		buf_str(b, pieces[rule_below(x, ARRAY_LEN(pieces))]);
}

static void add_pattern(struct buf *b, uint64_t *x)
{
	if (rule_below(x, 4) == 0)
		buf_ch(b, '!');
	if (rule_below(x, 5) == 0)
		buf_ch(b, '/');
	for (unsigned parts = 1 + rule_below(x, 3); parts > 0; parts--) {
		if (rule_below(x, 5) == 0)
			buf_str(b, "**");
		else
			for (unsigned n = 1 + rule_below(x, 4); n > 0; n--)
				add_piece(b, x);
		if (parts > 1)
			buf_ch(b, '/');
	}
	if (rule_below(x, 4) == 0)
		buf_ch(b, '/');
	buf_str(b, rule_below(x, 12) ? "\n" : "  \r\n");
}

struct place {
	char *path;
	bool is_dir;
};

/* A random tree with ignore files in it; their paths, and the patterns as we have them. */
static unsigned make_places(const char *dir, struct place *places, unsigned max, struct ignore *g, uint64_t *x)
{
	unsigned n = 1;
	auto_buf text = BUF_INIT;

	places[0] = (struct place){ mem_strdup(""), true };
	for (unsigned tries = 0; tries < 40 && n < max; tries++) {
		unsigned in = rule_below(x, n), len = 1 + rule_below(x, 3);
		char name[4] = "";
		for (unsigned i = 0; i < len; i++)
			name[i] = "abcxA.-1"[rule_below(x, 8)];
		if (!places[in].is_dir || name[0] == '.')
			continue;
		auto_free char *path = mem_printf("%s%s%s", places[in].path, in ? "/" : "", name);
		auto_free char *full = fs_join(dir, path);
		bool is_dir = rule_below(x, 2);
		if (fs_exists(full))
			continue;
		if (is_dir)
			assert_int_equal(fs_mkdirs(full, 0755, NULL), 0);
		else
			oracle_write(dir, path, "", 0);
		places[n++] = (struct place){ mem_steal(&path), is_dir };
	}
	for (unsigned i = 0; i < n; i++) {
		if (!places[i].is_dir || (i && rule_below(x, 3)))
			continue;
		buf_clear(&text);
		for (unsigned k = 1 + rule_below(x, 4); k > 0; k--)
			add_pattern(&text, x);
		auto_free char *file = mem_printf("%s/.gitignore", i ? places[i].path : ".");
		oracle_write(dir, file, text.p, text.len);
		ignore_add_file(g, places[i].path, text.p, text.len);
	}
	return n;
}

static bool has_line(const struct buf *b, const char *line)
{
	size_t n = strlen(line);

	for (const char *p = b->p; (p = strstr(p, line)); p++)
		if ((p == b->p || p[-1] == '\n') && p[n] == '\n')
			return true;
	return false;
}

static void t_git(void **state)
{
	const char *dir = *state;
	auto_buf in = BUF_INIT, out = BUF_INIT;
	uint64_t x = 99;
	unsigned ignored = 0, all = 0;

	for (unsigned round = 0; round < 60; round++) {
		auto_free char *name = mem_printf("r%u", round);
		auto_free char *sub = fs_join(dir, name);
		struct place places[24];
		struct ignore *g = ignore_new();
		assert_int_equal(fs_mkdirs(sub, 0755, NULL), 0);
		assert_int_equal(oracle_run(sub, "git init -q", NULL, NULL), 0);
		unsigned n = make_places(sub, places, ARRAY_LEN(places), g, &x);
		buf_clear(&in);
		for (unsigned i = 1; i < n; i++)
			buf_fmt(&in, "%s\n", places[i].path);
		oracle_write(sub, ".git/in", in.p, in.len);
		(void)oracle_run(sub, "git check-ignore --stdin --no-index", ".git/in", ".git/out");
		oracle_read(sub, ".git/out", &out);
		for (unsigned i = 1; i < n; i++) {
			bool want = has_line(&out, places[i].path);
			if (ignore_match(g, places[i].path, places[i].is_dir) != want)
				fail_msg("round %u: '%s' is %signored by git", round, places[i].path, want ? "" : "not ");
			ignored += want;
			all++;
		}
		for (unsigned i = 0; i < n; i++)
			free(places[i].path);
		ignore_free(g);
	}
	assert_true(ignored > all / 10 && ignored < all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_rules),
		cmocka_unit_test(t_folders),
		cmocka_unit_test(t_hostile),
		cmocka_unit_test_setup_teardown(t_git, oracle_dir, oracle_dir_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
