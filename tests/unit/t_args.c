/* link: daemon/args.c daemon/oauth/config.c daemon/notify/url.c | */
/* args: the command line of sbxd. */
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/args.h"
#include "shared/base/mem.h"

enum { MOST = 16 };

/* A command line that may be written to, as a process's. */
struct line {
	char *argv[MOST];
	int argc;
	struct daemon_args args;
	struct err err;
};

/* words: separated by blanks. */
static enum daemon_mode parse(struct line *l, const char *words)
{
	auto_free char *text = mem_printf("sbxd --home /h --cache /c %s", words);
	char *rest = text;
	*l = (struct line){ .err = ERR_INIT };
	for (char *word; (word = strsep(&rest, " "));)
		if (*word)
			l->argv[l->argc++] = mem_strdup(word);
	assert_true(l->argc < MOST);
	optind = 0;
	return daemon_args_parse(&l->args, l->argc, l->argv, &l->err);
}

static void done(struct line *l)
{
	daemon_args_free(&l->args);
	for (int i = 0; i < l->argc; i++)
		free(l->argv[i]);
}

static void assert_wrong(const char *words, const char *message)
{
	struct line l;
	assert_int_equal(parse(&l, words), DAEMON_USAGE);
	if (!strstr(l.err.msg, message))
		print_error("%s: %s\n", words, l.err.msg);
	assert_non_null(strstr(l.err.msg, message));
	done(&l);
}

static int teardown(void **state)
{
	(void)state;
	unsetenv("SBX_CONTROL");
	unsetenv("SBX_HOST_TOKEN");
	return 0;
}

static void test_no_host(void **state)
{
	struct line l;
	(void)state;
	assert_int_equal(parse(&l, ""), DAEMON_SERVE);
	assert_false(l.args.host);
	assert_null(l.args.control);
	assert_null(l.args.token);
	assert_null(l.args.address);
	assert_true(l.args.beat_ms == 0 && l.args.host_lost_ms == 0);
	done(&l);
	assert_int_equal(parse(&l, "--role control --host-lost 5"), DAEMON_SERVE);
	assert_false(l.args.host);
	assert_true(l.args.host_lost_ms == 5000);
	done(&l);
}

static void test_a_host(void **state)
{
	struct line l;
	(void)state;
	assert_int_equal(parse(&l, "--role host --control https://c.example --token abc --address 10.0.0.7:7000 --heartbeat 7"),
		DAEMON_SERVE);
	assert_true(l.args.host);
	assert_string_equal(l.args.control, "https://c.example");
	assert_string_equal(l.args.token, "abc");
	assert_string_equal(l.args.address, "10.0.0.7:7000");
	assert_true(l.args.beat_ms == 7000);
	done(&l);
	assert_int_equal(parse(&l, "--role host"), DAEMON_SERVE); /* what it was told once it knows */
	assert_null(l.args.control);
	assert_null(l.args.token);
	done(&l);
}

static void assert_token_gone(const struct line *l)
{
	for (int i = 0; i < l->argc; i++)
		assert_null(strstr(l->argv[i], "s3cret"));
	assert_null(getenv("SBX_HOST_TOKEN"));
}

static void test_a_token_leaves_the_command_line(void **state)
{
	static const char *const lines[] = { "--role host --token s3cret", "--role host --token=s3cret", "--role host --tok s3cret",
		"--token other --role host --token s3cret" };
	struct line l;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		assert_int_equal(parse(&l, lines[i]), DAEMON_SERVE);
		assert_string_equal(l.args.token, "s3cret");
		assert_token_gone(&l);
		done(&l);
	}
	assert_int_equal(parse(&l, "--token s3cret --nonsense"), DAEMON_USAGE);
	assert_token_gone(&l);
	assert_null(strstr(l.err.msg, "s3cret"));
	done(&l);
}

static void test_a_token_leaves_the_environment(void **state)
{
	struct line l;
	(void)state;
	setenv("SBX_HOST_TOKEN", "s3cret", 1);
	setenv("SBX_CONTROL", "https://c.example", 1);
	assert_int_equal(parse(&l, "--role host"), DAEMON_SERVE);
	assert_string_equal(l.args.token, "s3cret");
	assert_string_equal(l.args.control, "https://c.example");
	assert_token_gone(&l);
	done(&l);
	setenv("SBX_HOST_TOKEN", "s3cret", 1);
	assert_int_equal(parse(&l, ""), DAEMON_SERVE); /* no host: it means nothing, and yet is nobody's */
	assert_null(l.args.token);
	assert_null(l.args.control);
	assert_token_gone(&l);
	done(&l);
}

static void test_the_command_line_comes_first(void **state)
{
	struct line l;
	(void)state;
	setenv("SBX_HOST_TOKEN", "theirs", 1);
	setenv("SBX_CONTROL", "https://theirs.example", 1);
	assert_int_equal(parse(&l, "--role host --control https://ours.example --token ours"), DAEMON_SERVE);
	assert_string_equal(l.args.token, "ours");
	assert_string_equal(l.args.control, "https://ours.example");
	done(&l);
}

static void test_an_empty_variable_is_none(void **state)
{
	struct line l;
	(void)state;
	setenv("SBX_HOST_TOKEN", "", 1);
	setenv("SBX_CONTROL", "", 1);
	assert_int_equal(parse(&l, "--role host"), DAEMON_SERVE);
	assert_null(l.args.token);
	assert_null(l.args.control);
	done(&l);
}

static void test_wrong(void **state)
{
	(void)state;
	assert_wrong("--role guest", "'--role guest' is none");
	assert_wrong("--role", "wrong option");
	assert_wrong("--control https://c.example", "are for a host");
	assert_wrong("--token abc", "are for a host");
	assert_wrong("--address 10.0.0.7:7000", "are for a host");
	assert_wrong("--heartbeat 5", "are for a host");
	assert_wrong("--role host --role control --token abc", "are for a host");
	assert_wrong("--role host --heartbeat 0", "--heartbeat");
	assert_wrong("--role host --heartbeat 86401", "--heartbeat");
	assert_wrong("--role host --heartbeat 1s", "--heartbeat");
	assert_wrong("--host-lost 0", "--host-lost");
	assert_wrong("--host-lost -1", "--host-lost");
	assert_wrong("--role host abc", "'abc' is not expected");
}

static void test_builders_need_no_control_plane(void **state)
{
	struct line l;
	(void)state;
	assert_int_equal(parse(&l, "--build base --vcpus 1 --memory 256"), DAEMON_BUILD);
	assert_string_equal(l.args.image, "base");
	done(&l);
}

static void test_help_has_every_option(void **state)
{
	static const char *const names[] = { "--role host", "--control URL", "--token TOKEN", "--address IP:PORT",
		"--heartbeat SECONDS", "--host-lost SECONDS", "SBX_CONTROL", "SBX_HOST_TOKEN" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_non_null(strstr(daemon_usage, names[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_no_host, teardown),
		cmocka_unit_test_teardown(test_a_host, teardown),
		cmocka_unit_test_teardown(test_a_token_leaves_the_command_line, teardown),
		cmocka_unit_test_teardown(test_a_token_leaves_the_environment, teardown),
		cmocka_unit_test_teardown(test_the_command_line_comes_first, teardown),
		cmocka_unit_test_teardown(test_an_empty_variable_is_none, teardown),
		cmocka_unit_test_teardown(test_wrong, teardown),
		cmocka_unit_test_teardown(test_builders_need_no_control_plane, teardown),
		cmocka_unit_test_teardown(test_help_has_every_option, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
