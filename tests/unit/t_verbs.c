/* link: cli/verbs.c cli/opt.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/verbs.h"
#include "shared/base/mem.h"

/* ---- a command ---- */

struct options {
	bool force;
	const char *name;
	struct opt_num limit;
	struct opt_list more;
};

static const struct opt options[] = {
	{ .kind = OPT_BOOL, .name = "force", .help = "", .off = offsetof(struct options, force) },
	{ .kind = OPT_STR, .name = "name", .arg = "N", .help = "", .off = offsetof(struct options, name) },
	{ .kind = OPT_INT, .name = "limit", .arg = "N", .help = "", .off = offsetof(struct options, limit), .max = 9 },
	{ .kind = OPT_LIST, .name = "more", .arg = "N", .help = "", .off = offsetof(struct options, more) },
	{ .kind = OPT_END },
};

static char said[256];

static int say(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	(void)err;
	size_t n = (size_t)snprintf(said, sizeof(said), "%s%s", cli->words[2], o->force ? "!" : "");
	for (size_t i = 0; i < args->n; i++)
		n += (size_t)snprintf(said + n, sizeof(said) - n, " %s", args->v[i]);
	return 7;
}

static const struct verb verbs[] = {
	{ .name = "ls", .alias = "list", .usage = "", .run = say },
	{ .name = "set", .usage = "A B [--force]", .min = 2, .max = 2, .takes = "limit force", .run = say },
	{ .name = "rm", .usage = "A...", .min = 1, .max = NO_LIMIT, .takes = "forced more name", .run = say },
	{ .name = NULL },
};

static const struct command command = { .group = "g", .name = "c", .options = options, .verbs = verbs };

/* What the verb said, or the error's text and hint. */
static void expect(const char *line, const char *want)
{
	struct cli cli = { .command = &command };
	struct options o = { 0 };
	struct err err = ERR_INIT;
	auto_free char *text = mem_strdup(line);
	char *argv[16], *rest = text, *word;
	int argc = 0;
	while ((word = strsep(&rest, " ")))
		argv[argc++] = word;
	struct opt_parse p = { .sets = { { options, &o } }, .command_after = -1 };
	assert_int_equal(opt_parse(&p, argc, argv, &err), 0);
	const struct args args = { p.args, p.count, p.plain };
	int rc = verbs_run(&cli, &o, &args, &err);
	opt_parse_free(&p);
	if (rc == 7) {
		assert_string_equal(said, want);
		return;
	}
	assert_int_equal(rc, -1);
	assert_int_equal(err.code, ERR_USAGE);
	auto_free char *got = mem_printf("%s; %s", err.msg, err.hint);
	assert_string_equal(got, want);
}

static void test_run(void **state)
{
	(void)state;
	expect("ls", "ls");
	expect("list", "ls");
	expect("set a b", "set a b");
	expect("--force set a b", "set! a b");
	expect("set a --force b --limit 3", "set! a b");
	expect("rm a b c --more x --more y", "rm a b c");
	expect("rm -- --a", "rm --a");
}

static void test_refused(void **state)
{
	(void)state;
	expect("sett a b", "unknown command 'g c sett'; did you mean 'sbx g c set'?");
	expect("nosuchverb", "unknown command 'g c nosuchverb'; it is one of ls, set, rm");
	expect("ls a", "too many arguments; usage: sbx g c ls");
	expect("set a", "arguments are missing; usage: sbx g c set A B [--force]");
	expect("rm", "arguments are missing; usage: sbx g c rm A...");
	expect("ls --force", "'ls' has no option '--force'; usage: sbx g c ls");
	expect("ls --limit 0", "'ls' has no option '--limit'; usage: sbx g c ls");
	expect("set a b --name x", "'set' has no option '--name'; usage: sbx g c set A B [--force]");
	/* not the beginning of one that it has */
	expect("rm a --force", "'rm' has no option '--force'; usage: sbx g c rm A...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
