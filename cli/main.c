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
#include "cli/endpoint/carrier.h"
#include "cli/help.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

static const struct command *const commands[] = {
	&cmd_create,
	&cmd_run,
	&cmd_exec,
	&cmd_pty,
	&cmd_ls,
	&cmd_inspect,
	&cmd_cp,
	&cmd_rm,
	&cmd_logs,
	&cmd_image_ls,
	&cmd_image_build,
	&cmd_image_inspect,
	&cmd_key_create,
	&cmd_key_ls,
	&cmd_key_rm,
	&cmd_context_add,
	&cmd_context_use,
	&cmd_context_ls,
	&cmd_context_inspect,
	&cmd_context_rm,
	&cmd_config_view,
	&cmd_config_path,
	&cmd_dial_stdio,
	&cmd_api,
	&cmd_fs_push,
	&cmd_fs_checkout,
	&cmd_fs_status,
	&cmd_fs_ls,
	&cmd_fs_cat,
	&cmd_fs_stat,
	&cmd_fs_show,
	&cmd_fs_diff,
	&cmd_fs_merge,
	&cmd_fs_reset,
	&cmd_fs_log,
	&cmd_fs_label_list,
	&cmd_fs_label_set,
	&cmd_fs_label_rm,
	&cmd_fs_label_mv,
	&cmd_fs_export,
	&cmd_fs_import,
	&cmd_fs_clone,
	&cmd_fs_fetch,
	&cmd_fs_fsck,
	&cmd_fs_gc,
	&cmd_fs_stats,
	&cmd_up,
	&cmd_down,
	&cmd_doctor,
	&cmd_version,
};

enum { EXIT_USAGE = 2, NAMES = ARRAY_LEN(commands) * 2 + 8 };

static bool same(const char *a, const char *b)
{
	return a && strcmp(a, b) == 0;
}

/* The group that the first words name, and how many they are: one ("image") or two ("fs label"). NULL when they name none. */
static const char *find_group(int argc, char **argv, int *words)
{
	const char *found = NULL;
	for (size_t i = 0; argc > 0 && i < ARRAY_LEN(commands); i++) {
		const char *group = commands[i]->group;
		size_t n = strlen(argv[0]);
		if (!group || strncmp(group, argv[0], n) != 0)
			continue;
		if (!found && group[n] == '\0') {
			found = group;
			*words = 1;
		} else if (argc > 1 && group[n] == ' ' && strcmp(group + n + 1, argv[1]) == 0) {
			*words = 2;
			return group;
		}
	}
	return found;
}

static const struct command *find_command(const char *group, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const struct command *c = commands[i];
		bool in_group = group ? same(c->group, group) : !c->group;
		if (in_group && (same(c->name, name) || same(c->alias, name)))
			return c;
	}
	return NULL;
}

/* What of this command could have been meant by a word behind the group, or NULL. */
static const char *could_be(const struct command *c, const char *group)
{
	if (!group)
		return c->group ? c->group : c->name;
	size_t n = strlen(group);
	if (!c->group || strncmp(c->group, group, n) != 0)
		return NULL;
	return c->group[n] == '\0' ? c->name : c->group[n] == ' ' ? c->group + n + 1 : NULL;
}

static int unknown_command(const char *group, const char *word, struct err *err)
{
	const char *names[NAMES];
	size_t n = 0;
	for (; !group && api_at(n); n++)
		names[n] = api_at(n)->name;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const struct command *c = commands[i];
		const char *name = c->hidden ? NULL : could_be(c, group);
		if (!name)
			continue;
		names[n++] = name;
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
		help_all(&cli->out, commands, ARRAY_LEN(commands));
		return 0;
	}
	const struct contract *contract = api_find(argv[0]);
	if (contract) { /* "help" is what api_run reads in front */
		static char word[] = "help";
		argv[0] = word;
		return api_run(cli, contract, argc, argv, err);
	}
	int words = 0;
	const char *group = find_group(argc, argv, &words);
	if (group && argc == words) {
		help_group(&cli->out, commands, ARRAY_LEN(commands), group);
		return 0;
	}
	const char *word = argv[words];
	const struct command *c = find_command(group, word);
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
		rc = check_args(c, args.n, err) || cli_set_format(cli, err) ? -1 : c->run(cli, options, &args, err);
	}
	opt_parse_free(&p);
	return rc;
}

/* The help on standard error, as nobody asked for it. */
static int no_command(void)
{
	auto_buf text = BUF_INIT;
	help_all(&text, commands, ARRAY_LEN(commands));
	(void)fs_write_all(STDERR_FILENO, text.p, text.len, NULL); /* the exit code says it too */
	return EXIT_USAGE;
}

static bool is_help(const char *word)
{
	return same(word, "--help") || same(word, "-h");
}

/* The words after the global flags: [GROUP] VERB ... */
static int dispatch(struct cli *cli, int argc, char **argv, struct err *err)
{
	if (same(argv[0], "help"))
		return show_help(cli, argc - 1, argv + 1, err);
	const struct contract *contract = api_find(argv[0]);
	if (contract)
		return api_run(cli, contract, argc - 1, argv + 1, err);
	int words = 0;
	const char *group = find_group(argc, argv, &words);
	if (group && (argc == words || is_help(argv[words]) || same(argv[words], "help")))
		return show_help(cli, words, argv, err);
	cli->command = find_command(group, argv[words]);
	if (!cli->command)
		return unknown_command(group, argv[words], err);
	words++;
	return run_command(cli, argc - words, argv + words, err);
}

static const struct opt front_options[] = {
	{ .kind = OPT_BOOL, .name = "version", .help = "show the version", .off = offsetof(struct globals, version) },
	{ .kind = OPT_END },
};

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
