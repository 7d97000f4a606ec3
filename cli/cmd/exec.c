#include <unistd.h>

#include "cli/cli.h"
#include "cli/session.h"

struct options {
	bool use_stdin, tty;
	struct opt_list env;
	const char *cwd, *user;
	struct opt_num timeout;
};

static const struct opt options[] = {
	SESSION_OPTIONS_INPUT(struct options),
	SESSION_OPTION_ENV(struct options),
	SESSION_OPTIONS_PLACE(struct options),
	{ .kind = OPT_NUM,
		.name = "timeout",
		.arg = "S",
		.help = "kill it after so many seconds, with exit code 124",
		.off = offsetof(struct options, timeout),
		.max = 2592000 },
	{ .kind = OPT_END },
};

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	if (o->tty && o->use_stdin && !isatty(STDIN_FILENO)) {
		err_set(err, ERR_INVALID, "standard input is no terminal");
		return err_hint(err, "leave out -t to pass data, or -i to pass nothing");
	}
	struct session_config config = {
		.op = SBX_OP_STREAM_EXEC,
		.sandbox = args->v[0],
		.command = args->v + 1,
		.command_count = args->n - 1,
		.env = &o->env,
		.cwd = o->cwd,
		.user = o->user,
		.timeout = o->timeout,
		.use_stdin = o->use_stdin,
		.tty = o->tty,
		.escape = { .ch = ESCAPE_NONE },
	};
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	struct session_result result;
	int rc = session_run(&c, &config, &result, err);
	client_close(&c);
	return rc ? -1 : session_code(cli, &result, &config);
}

const struct command cmd_exec = {
	.name = "exec",
	.summary = "Run a command in a sandbox",
	.usage = "[options] SANDBOX [--] COMMAND [ARG...]",
	.about = "Both outputs come separately and the exit code is the command's own (128+n after signal n, 124 after the "
		 "timeout,\n"
		 "127 or 126 when the command is missing or cannot be run). Ctrl-C goes to the command; three within two seconds "
		 "end us.",
	.example =
		"  sbx exec demo -- ls -l /\n  tar c src | sbx exec -i demo -- tar x -C /tmp\n  sbx exec -it demo -- vi /etc/hosts",
	.options = options,
	.options_size = sizeof(struct options),
	.min_args = 2,
	.max_args = NO_LIMIT,
	.command_after = 1,
	.args = ARG_SANDBOX,
	.run = run,
};
