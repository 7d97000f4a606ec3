/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "shared/store/merge.h"
#include "tests/unit/oracle.h"

static struct text text(const struct buf *b)
{
	return (struct text){ b->p, b->len };
}

static unsigned merge(
	const char *base, const char *ours, const char *theirs, enum merge_style style, enum merge_prefer prefer, struct buf *out)
{
	struct err err = ERR_INIT;
	unsigned conflicts = 0;
	struct text_merge m = { .base = { base, strlen(base) },
		.ours = { ours, strlen(ours) },
		.theirs = { theirs, strlen(theirs) },
		.style = style,
		.prefer = prefer };

	buf_clear(out);
	if (merge_text(&m, out, &conflicts, &err) != 0)
		fail_msg("%s", err.msg);
	return conflicts;
}

/* reference/mcp-v8.md 2.10, and cases from its engine's own tests (issue 28 of it among them). */
static void t_mcp_vectors(void **state)
{
	(void)state;
	static const struct {
		const char *base, *ours, *theirs;
		unsigned conflicts;
		const char *want;
	} rows[] = {
		{ "1\n2\n3\n", "A\n2\n3\n", "1\n2\nC\n", 0, "A\n2\nC\n" },
		{ "1\n2\n3\n", "A\n2\n3\n", "1\nB\n3\n", 1,
			"<<<<<<< ours\nA\n2\n||||||| original\n1\n2\n=======\n1\nB\n>>>>>>> theirs\n3\n" },
		{ "1\n", "1\no\n", "1\nt\n", 1, "1\n<<<<<<< ours\no\n||||||| original\n=======\nt\n>>>>>>> theirs\n" },
		{ "1\n2\n", "0\n1\n2\n", "1\n2\n3\n", 0, "0\n1\n2\n3\n" },
		{ "a0", "a1", "a2", 1, "<<<<<<< ours\na1||||||| original\na0=======\na2>>>>>>> theirs\n" },
		{ "", "h\na\n", "h\nb\n", 1, "<<<<<<< ours\nh\na\n||||||| original\n=======\nh\nb\n>>>>>>> theirs\n" },
		{ "", "", "x\n", 0, "x\n" },
		{ "1\n2\n3\n4\n", "1\n4\n", "1\n3\n4\n", 1,
			"1\n<<<<<<< ours\n||||||| original\n2\n3\n=======\n3\n>>>>>>> theirs\n4\n" },
		{ "1\n2\n3\n", "1\n3\n", "1\nX\n3\n", 1, "1\n<<<<<<< ours\n||||||| original\n2\n=======\nX\n>>>>>>> theirs\n3\n" },
		{ "{\na\n}\n", "{\n}\n", "{\na\nb\n}\n", 1,
			"{\n<<<<<<< ours\n||||||| original\na\n=======\na\nb\n>>>>>>> theirs\n}\n" },
		{ "", "", "", 0, "" },
		{ "a\n", "b\n", "b\n", 0, "b\n" },
	};
	auto_buf out = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(
			merge(rows[i].base, rows[i].ours, rows[i].theirs, MERGE_MCP, PREFER_NONE, &out), rows[i].conflicts);
		assert_string_equal(out.p, rows[i].want);
	}
}

static void fnv(uint64_t *h, const struct buf *b)
{
	for (size_t i = 0; i <= b->len; i++)
		*h = (*h ^ (uint8_t)b->p[i]) * 0x100000001b3u;
}

/* 2,000 merges and diffs as the model in text_model.py makes them. */
static void t_mcp_model(void **state)
{
	(void)state;
	uint64_t h = 0xcbf29ce484222325u;
	unsigned with_conflicts = 0;
	struct rule_triple t = { BUF_INIT, BUF_INIT, BUF_INIT };
	auto_buf out = BUF_INIT;

	for (uint64_t seed = 1; seed <= 2000; seed++) {
		rule_triple(seed, "\n", &t);
		with_conflicts += merge(t.base.p, t.ours.p, t.theirs.p, MERGE_MCP, PREFER_NONE, &out) > 0;
		fnv(&h, &out);
		buf_clear(&out);
		assert_int_equal(diff_text(text(&t.base), text(&t.ours), NULL, &out, NULL), 0);
		fnv(&h, &out);
	}
	assert_int_equal(with_conflicts, 756);
	assert_true(h == 0x19c04afc55e0f29eu);
	rule_triple_free(&t);
}

static void check_git(const char *dir, const char *base, const char *ours, const char *theirs, enum merge_prefer prefer)
{
	static const char *const flag[] = { "", " --ours", " --theirs" };
	auto_free char *words = mem_printf("git merge-file -p --diff3 -L ours -L base -L theirs%s o b t", flag[prefer]);
	auto_buf got = BUF_INIT, want = BUF_INIT;
	unsigned conflicts = merge(base, ours, theirs, MERGE_NATIVE, prefer, &got);

	oracle_write(dir, "b", base, strlen(base));
	oracle_write(dir, "o", ours, strlen(ours));
	oracle_write(dir, "t", theirs, strlen(theirs));
	int rc = oracle_run(dir, words, NULL, "out");
	oracle_read(dir, "out", &want);
	if (got.len != want.len || memcmp(got.p, want.p, got.len) != 0 || rc != (int)(conflicts < 127 ? conflicts : 127))
		fail_msg("base\n%s\nours\n%s\ntheirs\n%s\ngit (%d)\n%s\nsbx (%u)\n%s", base, ours, theirs, rc, want.p, conflicts,
			got.p);
}

static void t_git_edges(void **state)
{
	static const char *const rows[][3] = {
		{ "", "", "" },
		{ "", "a\n", "a\n" },
		{ "", "a\n", "b\n" },
		{ "a\n", "", "a\n" },
		{ "a\n", "", "b\n" },
		{ "a", "b", "c" },
		{ "a", "a\n", "a" },
		{ "a\n", "a", "a\nb\n" },
		{ "a", "a\nb", "a\nc" },
		{ "1\n2\n3\n", "A\n2\n3\n", "1\nB\n3\n" },
		{ "1\n2\n3\n4\n", "A\n2\n3\n4\n", "1\n2\nC\n4\n" },
		{ "1\n2\n3\n", "1\nx\n2\n3\n", "1\nx\n2\n3\n" },
		{ "1\n2\n3\n", "x\n2\n3\n", "x\n2\n4\n" },
		{ "1\r\n2\r\n3\r\n", "1\r\no\r\n3\r\n", "1\r\nt\r\n3\r\n" },
		{ "1\r\n2\r\n3\r\n", "1\r\no\n3\r\n", "1\r\nt\r\n3\r\n" },
		{ "1\r\n2", "1\r\no", "1\r\nt" },
		{ "1\n2\r\n", "o\r\n", "t\r\n" },
		{ "2", "o", "t\r\n" },
		{ "{\na\n}\n", "{\n}\n", "{\na\nb\n}\n" },
		{ "1\n2\n3\n4\n", "1\n4\n", "1\n3\n4\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (int prefer = PREFER_NONE; prefer <= PREFER_THEIRS; prefer++)
			check_git(*state, rows[i][0], rows[i][1], rows[i][2], (enum merge_prefer)prefer);
}

static void t_git_random(void **state)
{
	struct rule_triple t = { BUF_INIT, BUF_INIT, BUF_INIT };

	for (uint64_t seed = 1; seed <= 400; seed++) {
		rule_triple(seed + 10000, seed % 10 ? "\n" : "\r\n", &t);
		check_git(*state, t.base.p, t.ours.p, t.theirs.p,
			seed % 5 < 3		? PREFER_NONE
				: seed % 5 == 3 ? PREFER_OURS
						: PREFER_THEIRS);
	}
	rule_triple_free(&t);
}

static void add_numbers(struct buf *b, unsigned n, unsigned changed, const char *mark, uint64_t *x)
{
	for (unsigned i = 0; i < n; i++) {
		if (rule_below(x, changed) == 0)
			buf_fmt(b, "%s %u\n", mark, i);
		buf_fmt(b, "%u\n", (i * 7919u) % 997u % 40u);
	}
}

/* Long texts with many changes: where the search gives up early. */
static void t_git_long(void **state)
{
	uint64_t x = 3;

	for (unsigned round = 0; round < 3; round++) {
		auto_buf base = BUF_INIT, ours = BUF_INIT, theirs = BUF_INIT;
		add_numbers(&base, 6000, 2, "base", &x);
		add_numbers(&ours, 6000, 2, "ours", &x);
		add_numbers(&theirs, 6000, 2000, "theirs", &x);
		check_git(*state, base.p, ours.p, theirs.p, PREFER_NONE);
	}
}

static void t_native_names(void **state)
{
	(void)state;
	unsigned conflicts;
	auto_buf out = BUF_INIT;
	struct text_merge m = { .base = { "a", 1 },
		.ours = { "b", 1 },
		.theirs = { "c", 1 },
		.style = MERGE_NATIVE,
		.ours_name = "mine",
		.base_name = "v1",
		.theirs_name = "yours" };

	assert_int_equal(merge_text(&m, &out, &conflicts, NULL), 0);
	assert_int_equal(conflicts, 1);
	assert_string_equal(out.p, "<<<<<<< mine\nb\n||||||| v1\na\n=======\nc\n>>>>>>> yours\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_mcp_vectors),
		cmocka_unit_test(t_mcp_model),
		cmocka_unit_test_setup_teardown(t_git_edges, oracle_dir, oracle_dir_end),
		cmocka_unit_test_setup_teardown(t_git_random, oracle_dir, oracle_dir_end),
		cmocka_unit_test_setup_teardown(t_git_long, oracle_dir, oracle_dir_end),
		cmocka_unit_test(t_native_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
