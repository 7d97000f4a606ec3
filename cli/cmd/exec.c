#include <unistd.h>

#include "cli/once.h"
#include "cli/push.h"

struct options {
	bool use_stdin, tty;
	struct opt_list env;
	const char *cwd, *user;
	struct opt_num timeout;
	struct create_options create; /* --fs, --image: a sandbox of its own */
	bool push;
	const char *push_to;
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
	CREATE_OPTION_FS(struct options, create.fs),
	{ .kind = OPT_STR,
		.name = "image",
		.arg = "IMAGE",
		.help = "with --fs: image to start from (default base)",
		.off = offsetof(struct options, create.image) },
	PUSH_OPTIONS(struct options),
	{ .kind = OPT_END },
};

/* No sandbox is named: one is made for the command. */
static int run_fresh(struct cli *cli, const struct options *o, const struct args *args, struct err *err)
{
	const struct once once = { .create = &o->create,
		.session = { .command = args->v,
			.command_count = args->n,
			.env = &o->env,
			.cwd = o->cwd,
			.user = o->user,
			.timeout = o->timeout,
			.use_stdin = o->use_stdin,
			.tty = o->tty },
		.push = o->push,
		.push_to = o->push_to };
	return once_run(cli, &once, err);
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	if (o->create.fs)
		return run_fresh(cli, o, args, err);
	if (o->push || o->push_to || o->create.image) {
		err_set(err, ERR_USAGE, "--push, --push-to and --image need a sandbox of their own");
		return err_hint(err, "add --fs LABEL and leave out SANDBOX; or push by itself: sbx fs push SANDBOX:/PATH");
	}
	if (args->n < 2)
		return err_set(err, ERR_USAGE, "%s", "a sandbox and a command are needed");
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
	.usage = "[options] SANDBOX [--] COMMAND [ARG...] | --fs REF[:/PATH] [options] [--] COMMAND [ARG...]",
	.about = "Both outputs come separately and the exit code is the command's own (128+n after signal n, 124 after the "
		 "timeout,\n"
		 "127 or 126 when the command is missing or cannot be run). Ctrl-C goes to the command; three within two seconds "
		 "end us.\n\n"
		 "With --fs no sandbox is named: a new one is made for the command, has that tree of the store mounted, and is "
		 "removed "
		 "at\n"
		 "the end. With --push what the command changed there is pushed if it ended with 0; others who pushed meanwhile "
		 "win, "
		 "and then\n"
		 "the exit code is 1.",
	.example = "  sbx exec demo -- ls -l /\n  tar c src | sbx exec -i demo -- tar x -C /tmp\n  sbx exec -it demo -- vi "
		   "/etc/hosts\n"
		   "  sbx exec --fs main:/src --push-to built -w /src -- make",
	.options = options,
	.options_size = sizeof(struct options),
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = 1,
	.args = ARG_SANDBOX,
	.run = run,
};
