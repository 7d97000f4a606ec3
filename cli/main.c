/*
 * sbx: the command. Finds the row of the table that is meant, parses its options, runs it and reports.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api/api.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/complete.h"
#include "cli/endpoint/carrier.h"
#include "cli/help.h"
#include "cli/verbs.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { EXIT_USAGE = 2, NAMES = 256 };

static int unknown_command(const char *group, const char *word, struct err *err)
{
	const char *names[NAMES] = { NULL };
	size_t n = 0;
	for (; !group && api_at(n); n++)
		names[n] = api_at(n)->name;
	for (size_t i = 0; i < command_count && n + 2 <= NAMES; i++) {
		const struct command *c = commands[i];
		if (c->hidden || (group && !str_same(c->group, group)))
			continue;
		names[n++] = !group && c->group ? c->group : c->name;
		if (c->alias && (group || !c->group))
			names[n++] = c->alias;
	}
	const char *near = opt_nearest(word, names, n);
	const char *sep = group ? " " : "";
	err_set(err, ERR_USAGE, "unknown command '%s%s%s'", group ? group : "", sep, word);
	if (near)
		return err_hint(err, "did you mean 'sbx %s%s%s'?", group ? group : "", sep, near);
	return err_hint(err, "'sbx %s%s--help' lists the commands", group ? group : "", sep);
}

/* Help that was asked for. */
static int show_help(struct cli *cli, int argc, char **argv, struct err *err)
{
	if (argc == 0) {
		help_all(&cli->out, commands, command_count);
		return 0;
	}
	const struct contract *contract = api_find(argv[0]);
	if (contract) { /* "help" is what api_run reads in front */
		static char word[] = "help";
		argv[0] = word;
		return api_run(cli, contract, argc, argv, err);
	}
	const char *group = command_is_group(argv[0]) ? argv[0] : NULL;
	if (group && argc == 1) {
		help_group(&cli->out, commands, command_count, group);
		return 0;
	}
	const char *word = group ? argv[1] : argv[0];
	const struct command *c = command_find(group, word);
	if (!c)
		return unknown_command(group, word, err);
	help_command(&cli->out, c);
	return 0;
}

static int check_args(const struct command *c, size_t n, struct err *err)
{
	if (n >= c->min_args && n <= c->max_args)
		return 0;
	err_set(err, ERR_USAGE, n < c->min_args ? "arguments are missing" : "too many arguments");
	help_usage(c, err);
	return -1;
}

/* Parse what follows the verb and run it. */
static int run_command(struct cli *cli, int argc, char **argv, struct err *err)
{
	const struct command *c = cli->command;
	cli->words[0] = c->group ? c->group : c->name;
	cli->words[1] = c->group ? c->name : NULL;
	auto_free void *options = mem_zalloc(c->options_size ? c->options_size : 1);
	struct opt_parse p = {
		.sets = { { c->options, options }, { global_options, &cli->globals } },
		.command_after = c->command_after,
	};
	int rc = opt_parse(&p, argc, argv, err);
	if (rc && err->code == ERR_USAGE && !*err->hint)
		help_usage(c, err);
	if (rc == 0 && cli->globals.help) {
		help_command(&cli->out, c);
	} else if (rc == 0) {
		struct args args = { p.args, p.count, p.plain };
		rc = check_args(c, args.n, err) || cli_set_format(cli, err) ? -1
			: c->verbs						    ? verbs_run(cli, options, &args, err)
										    : c->run(cli, options, &args, err);
	}
	opt_parse_free(&p);
	return rc;
}

/* The help on standard error, as nobody asked for it. */
static int no_command(void)
{
	auto_buf text = BUF_INIT;
	help_all(&text, commands, command_count);
	(void)fs_write_all(STDERR_FILENO, text.p, text.len, NULL); /* the exit code says it too */
	return EXIT_USAGE;
}

static bool is_help(const char *word)
{
	return str_same(word, "--help") || str_same(word, "-h");
}

/* The words after the global flags: [GROUP] VERB ... */
static int dispatch(struct cli *cli, int argc, char **argv, struct err *err)
{
	if (str_same(argv[0], "__complete"))
		return complete_run(cli, argc - 1, argv + 1);
	if (str_same(argv[0], "help"))
		return show_help(cli, argc - 1, argv + 1, err);
	const struct contract *contract = api_find(argv[0]);
	if (contract)
		return api_run(cli, contract, argc - 1, argv + 1, err);
	const char *group = command_is_group(argv[0]) ? argv[0] : NULL;
	if (group && argc == 1)
		return show_help(cli, 1, argv, err);
	if (group && (is_help(argv[1]) || str_same(argv[1], "help")))
		return show_help(cli, 1, argv, err);
	const char *word = group ? argv[1] : argv[0];
	cli->command = command_find(group, word);
	if (!cli->command)
		return unknown_command(group, word, err);
	int words = group ? 2 : 1;
	return run_command(cli, argc - words, argv + words, err);
}

static int run(struct cli *cli, int argc, char **argv, struct err *err)
{
	struct opt_parse front = {
		.sets = { { front_options, &cli->globals }, { global_options, &cli->globals } },
		.command_after = NO_COMMAND,
		.stop_first = true,
	};
	int rc = opt_parse(&front, argc, argv, err);
	opt_parse_free(&front);
	if (rc)
		return *err->hint ? -1 : err_hint(err, "'sbx --help' lists the commands");
	argc -= (int)front.used;
	argv += front.used;
	if (cli->globals.version) {
		cli->command = &cmd_version;
		return run_command(cli, 0, argv, err);
	}
	if (cli->globals.help)
		return show_help(cli, argc, argv, err);
	return argc == 0 ? no_command() : dispatch(cli, argc, argv, err);
}

/* Descriptors 0 to 2 that are closed would be taken by our files, and output would go there. Reading-only, so that
 * writing to a closed output still is an error. */
static int hold_standard_streams(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY | O_CLOEXEC) != fd)
			return -1;
	return 0;
}

int main(int argc, char **argv)
{
	if (hold_standard_streams() || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return 1;
	struct cli cli = { .out = BUF_INIT, .secret = BUF_INIT };
	struct err err = ERR_INIT;
	int rc = run(&cli, argc > 0 ? argc - 1 : 0, argv + (argc > 0), &err);
	struct err flush = ERR_INIT;
	if (cli_flush(&cli, &flush) && rc >= 0) {
		err = flush;
		rc = -1;
	}
	if (rc < 0) {
		/* a reader that has seen enough is no news */
		if (err.sys != EPIPE)
			cli_error(&cli, &err);
		rc = err.sys == EINTR ? 128 + SIGINT : err.code == ERR_USAGE ? EXIT_USAGE : 1;
	}
	carrier_wait_all();
	endpoint_free(&cli.endpoint);
	config_free(cli.config);
	buf_free(&cli.secret);
	buf_free(&cli.out);
	return rc;
}
