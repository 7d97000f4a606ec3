/* link: cli/opt.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/opt.h"
#include "shared/base/mem.h"

struct values {
	bool all, force;
	const char *name, *state, *net;
	struct opt_num size, seconds, idle;
	struct opt_list env, labels;
};

static const char *const nets[] = { "full", "none", "allow:", NULL };
static const char *const states[] = { "on", "off", NULL };
static const struct opt table[] = {
	{ .kind = OPT_BOOL, .letter = 'a', .name = "all", .off = offsetof(struct values, all) },
	{ .kind = OPT_BOOL, .letter = 'f', .name = "force", .off = offsetof(struct values, force) },
	{ .kind = OPT_STR, .letter = 'n', .name = "name", .arg = "N", .off = offsetof(struct values, name) },
	{ .kind = OPT_ENUM, .name = "state", .arg = "S", .off = offsetof(struct values, state), .choices = states },
	{ .kind = OPT_INT, .letter = 's', .name = "size", .arg = "N", .off = offsetof(struct values, size), .min = 1, .max = 16 },
	{ .kind = OPT_NUM, .name = "seconds", .arg = "S", .off = offsetof(struct values, seconds), .max = 100 },
	{ .kind = OPT_TIME, .name = "idle", .arg = "T", .off = offsetof(struct values, idle), .max = 172800 },
	{ .kind = OPT_ENV, .letter = 'e', .name = "env", .arg = "K=V", .off = offsetof(struct values, env) },
	{ .kind = OPT_PAIRS, .name = "label", .arg = "K=V", .off = offsetof(struct values, labels) },
	{ .kind = OPT_MAYBE, .letter = 'w', .name = "net", .arg = "NET", .off = offsetof(struct values, net), .choices = nets },
	{ .kind = OPT_END },
};

struct run {
	struct values v;
	struct opt_parse p;
	struct err err;
	char text[512];
	char *argv[32];
	int rc;
};

/* Words are separated by one space; a word "_" is the empty one. */
static void parse(struct run *r, const char *words, int command_after)
{
	*r = (struct run){ .err = ERR_INIT };
	r->p = (struct opt_parse){ .sets = { { table, &r->v } }, .command_after = command_after };
	(void)snprintf(r->text, sizeof(r->text), "%s", words);
	int argc = 0;
	for (char *rest = r->text, *word; *words && (word = strsep(&rest, " "));)
		r->argv[argc++] = strcmp(word, "_") == 0 ? word + 1 : word;
	r->rc = opt_parse(&r->p, argc, r->argv, &r->err);
}

/* A value that may be left out: the next word is taken only when it can be nothing else. */
static void test_maybe(void **state)
{
	(void)state;
	static const struct {
		const char *words, *net; /* NULL: refused */
		size_t args;
	} rows[] = {
		{ "x", "-", 1 },
		{ "--net", "full", 0 },
		{ "--net x", "full", 1 },
		{ "--net --all", "full", 0 },
		{ "--net none x", "none", 1 },
		{ "--net=none x", "none", 1 },
		{ "--net allow:a,b x", "allow:a,b", 1 },
		{ "--net=allow:", "allow:", 0 },
		{ "-w none", "none", 0 },
		{ "-wallow:a", "allow:a", 0 },
		{ "-aw x", "full", 1 },
		{ "--net fuller", "full", 1 },
		{ "--net=fuller", NULL, 0 },
		{ "--net=allo", NULL, 0 },
		{ "--net=", NULL, 0 },
		{ "--net -- none", "full", 1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct run r;
		parse(&r, rows[i].words, -1);
		if (r.rc != (rows[i].net ? 0 : -1))
			fail_msg("'%s': %d", rows[i].words, r.rc);
		if (!rows[i].net)
			assert_int_equal(r.err.code, ERR_USAGE);
		else if (strcmp(rows[i].net, "-") == 0)
			assert_null(r.v.net);
		else
			assert_string_equal(r.v.net, rows[i].net);
		if (rows[i].net)
			assert_int_equal(r.p.count, rows[i].args);
		opt_parse_free(&r.p);
	}
}

static void test_values(void **state)
{
	(void)state;
	struct run r;
	parse(&r, "--all x --name bob --size=7 -e A=1 -eB --env=C=x=y --seconds 1.5 --state off --label k=v y", -1);
	assert_int_equal(r.rc, 0);
	assert_true(r.v.all);
	assert_false(r.v.force);
	assert_string_equal(r.v.name, "bob");
	assert_true(r.v.size.set && r.v.size.v > 6.9 && r.v.size.v < 7.1);
	assert_true(r.v.seconds.v > 1.4 && r.v.seconds.v < 1.6);
	assert_string_equal(r.v.state, "off");
	assert_int_equal(r.v.env.n, 3);
	assert_string_equal(r.v.env.v[0], "A=1");
	assert_string_equal(r.v.env.v[1], "B");
	assert_string_equal(r.v.env.v[2], "C=x=y");
	assert_string_equal(r.v.labels.v[0], "k=v");
	assert_int_equal(r.p.count, 2);
	assert_string_equal(r.p.args[0], "x");
	assert_string_equal(r.p.args[1], "y");
	opt_parse_free(&r.p);
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		double seconds; /* < 0: refused */
	} cases[] = { { "0", 0 }, { "90", 90 }, { "90s", 90 }, { "10m", 600 }, { "2h", 7200 }, { "2d", 172800 }, { "3d", -1 },
		{ "172801", -1 }, { "", -1 }, { "m", -1 }, { "-1", -1 }, { "1.5h", -1 }, { "1hm", -1 }, { "1x", -1 }, { "0x10", -1 },
		{ " 1", -1 }, { "99999999999999999999d", -1 } };
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct values v = { 0 };
		char text[64];
		struct err err = ERR_INIT;
		(void)snprintf(text, sizeof(text), "--idle=%s", cases[i].text);
		struct opt_parse p = { .sets = { { table, &v } }, .command_after = -1 };
		char *argv[] = { text };
		int rc = opt_parse(&p, 1, argv, &err);
		opt_parse_free(&p);
		if (cases[i].seconds < 0) {
			assert_int_equal(rc, -1);
			assert_int_equal(err.code, ERR_USAGE);
			assert_false(v.idle.set);
		} else {
			assert_int_equal(rc, 0);
			assert_true(v.idle.set);
			assert_int_equal((int)v.idle.v, (int)cases[i].seconds);
		}
	}
}

static void test_bundles(void **state)
{
	(void)state;
	struct run r;
	parse(&r, "-afnbob -s3 -n=eq", -1);
	assert_int_equal(r.rc, 0);
	assert_true(r.v.all && r.v.force);
	assert_string_equal(r.v.name, "eq");
	assert_true(r.v.size.set);
	opt_parse_free(&r.p);
	parse(&r, "-fan -a", -1);
	assert_int_equal(r.rc, 0);
	assert_string_equal(r.v.name, "-a");
	opt_parse_free(&r.p);
}

static void test_double_dash(void **state)
{
	(void)state;
	struct run r;
	parse(&r, "-a -- -f --all -", -1);
	assert_int_equal(r.rc, 0);
	assert_false(r.v.force);
	assert_int_equal(r.p.count, 3);
	assert_string_equal(r.p.args[2], "-");
	opt_parse_free(&r.p);
}

/* exec's shape: options before and after SANDBOX are ours, the command's are not */
static void test_remote_command(void **state)
{
	(void)state;
	struct run r;
	parse(&r, "-a demo -f ls -l --name x", 1);
	assert_int_equal(r.rc, 0);
	assert_true(r.v.all && r.v.force);
	assert_null(r.v.name);
	assert_int_equal(r.p.count, 5);
	assert_string_equal(r.p.args[2], "-l");
	opt_parse_free(&r.p);
	parse(&r, "demo -- -f --", 1);
	assert_int_equal(r.rc, 0);
	assert_false(r.v.force);
	assert_int_equal(r.p.count, 3);
	assert_string_equal(r.p.args[1], "-f");
	assert_string_equal(r.p.args[2], "--");
	opt_parse_free(&r.p);
	parse(&r, "-a cmd -f", 0);
	assert_int_equal(r.rc, 0);
	assert_false(r.v.force);
	assert_int_equal(r.p.count, 2);
	opt_parse_free(&r.p);
}

static void test_stop_first(void **state)
{
	(void)state;
	struct run r = { .err = ERR_INIT };
	char a[] = "-a", b[] = "ls", c[] = "--unknown";
	char *argv[] = { a, b, c };
	r.p = (struct opt_parse){ .sets = { { table, &r.v } }, .command_after = -1, .stop_first = true };
	assert_int_equal(opt_parse(&r.p, 3, argv, &r.err), 0);
	assert_int_equal(r.p.used, 1);
	assert_int_equal(r.p.count, 0);
	opt_parse_free(&r.p);
}

static void test_errors(void **state)
{
	(void)state;
	static const struct {
		const char *words, *message, *hint;
	} cases[] = {
		{ "--nmae x", "unknown option '--nmae'", "did you mean '--name'?" },
		{ "--qqqqqq", "unknown option '--qqqqqq'", "" },
		{ "-z", "unknown option '-z'", "" },
		{ "-az", "unknown option '-z'", "" },
		{ "--name", "option '--name' needs a value", "" },
		{ "-n", "option '-n' needs a value", "" },
		{ "--all=yes", "option '--all' takes no value", "" },
		{ "--size 0", "option '--size' must be between 1 and 16, not '0'", "" },
		{ "--size 17", "option '--size' must be between 1 and 16, not '17'", "" },
		{ "--size 1.5", "option '--size' takes a whole number, not '1.5'", "" },
		{ "--size -3", "option '--size' takes a whole number, not '-3'", "" },
		{ "--size _", "option '--size' takes a whole number, not ''", "" },
		{ "--size 0x1", "option '--size' takes a whole number, not '0x1'", "" },
		{ "--seconds 1.2.3", "option '--seconds' takes a number, not '1.2.3'", "" },
		{ "--seconds nan", "option '--seconds' takes a number, not 'nan'", "" },
		{ "--state maybe", "option '--state' takes one of on, off, not 'maybe'", "" },
		{ "--label k", "option '--label' takes KEY=VALUE, not 'k'", "" },
		{ "--label =v", "option '--label' takes KEY=VALUE, not '=v'", "" },
		{ "-e _", "option '-e' takes KEY=VALUE, not ''", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct run r;
		parse(&r, cases[i].words, -1);
		assert_int_equal(r.rc, -1);
		assert_int_equal(r.err.code, ERR_USAGE);
		assert_string_equal(r.err.msg, cases[i].message);
		assert_string_equal(r.err.hint, cases[i].hint);
		opt_parse_free(&r.p);
	}
}

static void test_long_names(void **state)
{
	(void)state;
	char word[300];
	memset(word, 'x', sizeof(word));
	memcpy(word, "--", 2);
	word[sizeof(word) - 1] = '\0';
	struct run r = { .err = ERR_INIT };
	char *argv[] = { word };
	r.p = (struct opt_parse){ .sets = { { table, &r.v } }, .command_after = -1 };
	assert_int_equal(opt_parse(&r.p, 1, argv, &r.err), -1);
	assert_int_equal(r.err.code, ERR_USAGE);
	opt_parse_free(&r.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_maybe),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_bundles),
		cmocka_unit_test(test_double_dash),
		cmocka_unit_test(test_remote_command),
		cmocka_unit_test(test_stop_first),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_long_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
