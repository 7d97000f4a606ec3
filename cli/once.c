#include "cli/once.h"

#include <string.h>
#include <unistd.h>

#include "cli/push.h"
#include "shared/base/mem.h"

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

static int check(const struct once *o, struct err *err)
{
	if ((o->push || o->push_to) && !o->create->fs) {
		err_set(err, ERR_USAGE, "nothing is mounted that could be pushed");
		return err_hint(err, "mount a tree with --fs LABEL");
	}
	if (o->session.tty && o->session.use_stdin && !isatty(STDIN_FILENO)) {
		err_set(err, ERR_INVALID, "standard input is no terminal");
		return err_hint(err, "leave out -t to pass data, or -i to pass nothing");
	}
	return 0;
}

static int push(struct cli *cli, struct client *c, const struct once *o, const js *sandbox, int sig_fd, struct err *err)
{
	struct push_request q = { .sandbox = js_str(js_get(sandbox, "id"), ""),
		.path = js_str(js_get(js_get(sandbox, "fs"), "path"), ""),
		.label = o->push_to };
	c->cancel_fd = sig_fd;
	auto_js *answer = push_folder(c, &q, err);
	c->cancel_fd = -1;
	if (!answer)
		return err_prefix(err, "the command went well, but what it changed was not pushed");
	push_summary(cli, answer);
	return 0;
}

static int run_in(struct cli *cli, struct client *c, const struct once *o, const js *sandbox, int sig_fd, struct err *err)
{
	struct session_config config = o->session;
	struct session_result result;
	config.sandbox = js_str(js_get(sandbox, "id"), "");
	config.op = SBX_OP_STREAM_EXEC;
	config.escape.ch = ESCAPE_NONE;
	if (session_run(c, &config, &result, err))
		return -1;
	int code = session_code(cli, &result, &config);
	if (code == 0 && (o->push || o->push_to) && push(cli, c, o, sandbox, sig_fd, err))
		return -1;
	return code;
}

int once_run(struct cli *cli, const struct once *o, struct err *err)
{
	if (check(o, err))
		return -1;
	struct client c;
	/* from here on signals are ours: none may end us before the sandbox is removed */
	auto_fd int sig_fd = cli_signal_fd(err);
	if (sig_fd < 0 || cli_client(cli, &c, err))
		return -1;
	int interrupted;
	auto_js *sandbox = create_sandbox(cli, &c, o->create, sig_fd, &interrupted, err);
	if (!sandbox) {
		client_close(&c);
		return interrupted ? interrupted : -1;
	}
	int rc = run_in(cli, &c, o, sandbox, sig_fd, err);
	remove_sandbox(cli, &c, js_str(js_get(sandbox, "id"), ""));
	client_close(&c);
	return rc;
}
