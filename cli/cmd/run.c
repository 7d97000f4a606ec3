#include <unistd.h>

#include "cli/create.h"
#include "cli/session.h"
#include "shared/base/mem.h"

struct options {
	struct create_options create;
	bool use_stdin, tty;
	const char *cwd, *user;
	struct opt_num exec_timeout;
};

static const struct opt options[] = {
	CREATE_OPTIONS(struct options, create),
	SESSION_OPTIONS_INPUT(struct options),
	SESSION_OPTIONS_PLACE(struct options),
	{ .kind = OPT_NUM,
		.name = "exec-timeout",
		.arg = "S",
		.help = "kill the command after so many seconds, with exit code 124",
		.off = offsetof(struct options, exec_timeout),
		.max = 2592000 },
	{ .kind = OPT_END },
};

/* The sandbox goes whatever became of the command; failing to remove it is said but does not change the command's code. */
static void remove_sandbox(struct cli *cli, struct client *c, const char *id)
{
	struct err err = ERR_INIT;
	struct call call = { .op = SBX_OP_DELETE_SANDBOX, .path = { id } };
	if (client_call(c, &call, NULL, &err) && err.code != ERR_NOT_FOUND) {
		err_prefix(&err, "cannot remove the sandbox '%s'", id);
		err_hint(&err, "try: sbx rm %s", id);
		cli_error(cli, &err);
	}
}

static int run_in(struct cli *cli, struct client *c, const struct options *o, struct session_config *config, struct err *err)
{
	config->op = SBX_OP_STREAM_EXEC;
	config->cwd = o->cwd;
	config->user = o->user;
	config->timeout = o->exec_timeout;
	config->use_stdin = o->use_stdin;
	config->tty = o->tty;
	config->escape.ch = ESCAPE_NONE;
	struct session_result result;
	int rc = session_run(c, config, &result, err);
	return rc ? -1 : session_code(cli, &result, config);
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	if (o->tty && o->use_stdin && !isatty(STDIN_FILENO)) {
		err_set(err, ERR_INVALID, "standard input is no terminal");
		return err_hint(err, "leave out -t to pass data, or -i to pass nothing");
	}
	struct client c;
	/* from here on signals are ours: none may end us before the sandbox is removed */
	auto_fd int sig_fd = cli_signal_fd(err);
	if (sig_fd < 0 || cli_client(cli, &c, err))
		return -1;
	int interrupted;
	auto_js *sandbox = create_sandbox(cli, &c, &o->create, sig_fd, &interrupted, err);
	if (!sandbox) {
		client_close(&c);
		return interrupted ? interrupted : -1;
	}
	const char *id = js_str(js_get(sandbox, "id"), "");
	struct session_config config = { .sandbox = id, .command = args->v, .command_count = args->n };
	int rc = run_in(cli, &c, o, &config, err);
	remove_sandbox(cli, &c, id);
	client_close(&c);
	return rc;
}

const struct command cmd_run = {
	.name = "run",
	.summary = "Create a sandbox, run a command in it and remove it",
	.usage = "[options] [--] COMMAND [ARG...]",
	.about = "The sandbox is removed whatever happens, also when this is interrupted. The exit code is the command's own.",
	.example = "  sbx run -- uname -a\n  echo hello | sbx run -i -- tr a-z A-Z",
	.options = options,
	.options_size = sizeof(struct options),
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = 0,
	.run = run,
};
