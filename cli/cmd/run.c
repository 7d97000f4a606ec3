#include "cli/once.h"
#include "cli/push.h"

struct options {
	struct create_options create;
	bool use_stdin, tty;
	const char *cwd, *user;
	struct opt_num exec_timeout;
	bool push;
	const char *push_to;
};

static const struct opt options[] = {
	CREATE_OPTIONS(struct options, create),
	SESSION_OPTIONS_INPUT(struct options),
	SESSION_OPTIONS_PLACE(struct options),
	PUSH_OPTIONS(struct options),
	{ .kind = OPT_NUM,
		.name = "exec-timeout",
		.arg = "S",
		.help = "kill the command after so many seconds, with exit code 124",
		.off = offsetof(struct options, exec_timeout),
		.max = 2592000 },
	{ .kind = OPT_END },
};

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	const struct once once = { .create = &o->create,
		.session = { .command = args->v,
			.command_count = args->n,
			.cwd = o->cwd,
			.user = o->user,
			.timeout = o->exec_timeout,
			.use_stdin = o->use_stdin,
			.tty = o->tty },
		.push = o->push,
		.push_to = o->push_to };
	return once_run(cli, &once, err);
}

const struct command cmd_run = {
	.name = "run",
	.summary = "Create a sandbox, run a command in it and remove it",
	.usage = "[options] [--] COMMAND [ARG...]",
	.about = "The sandbox is removed whatever happens, also when this is interrupted. The exit code is the command's own.",
	.example = "  sbx run -- uname -a\n  echo hello | sbx run -i -- tr a-z A-Z\n"
		   "  sbx run --fs main:/src --push --memory 1024 -w /src -- make",
	.options = options,
	.options_size = sizeof(struct options),
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = 0,
	.run = run,
};
