#include <string.h>

#include "cli/cli.h"
#include "cli/render/table.h"
#include "cli/session.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

struct options {
	const char *session, *escape, *cwd, *user;
	struct opt_list env;
	bool list;
};

static const struct opt options[] = {
	{ .kind = OPT_STR,
		.letter = 's',
		.name = "session",
		.arg = "NAME",
		.help = "come back to this session, or make it",
		.off = offsetof(struct options, session) },
	{ .kind = OPT_STR,
		.name = "escape",
		.arg = "CHAR",
		.help = "escape character, ^X or none (default ~)",
		.off = offsetof(struct options, escape) },
	{ .kind = OPT_BOOL,
		.letter = 'l',
		.name = "list",
		.help = "list the sessions of the sandbox",
		.off = offsetof(struct options, list) },
	{ .kind = OPT_ENV,
		.letter = 'e',
		.name = "env",
		.arg = "K=V",
		.help = "environment, repeatable; K alone takes our value",
		.off = offsetof(struct options, env) },
	{ .kind = OPT_STR,
		.letter = 'w',
		.name = "workdir",
		.arg = "DIR",
		.help = "folder to run in",
		.off = offsetof(struct options, cwd) },
	{ .kind = OPT_STR,
		.letter = 'u',
		.name = "user",
		.arg = "USER",
		.help = "name, number or name:group",
		.off = offsetof(struct options, user) },
	{ .kind = OPT_END },
};

static void session_row(struct table *t, const js *s)
{
	auto_buf command = BUF_INIT, clients = BUF_INIT, size = BUF_INIT, state = BUF_INIT;
	js_each (word, js_get(s, "command"))
		buf_fmt(&command, "%s%s", word == js_first(js_get(s, "command")) ? "" : " ", js_str(word, ""));
	buf_fmt(&clients, "%.0f", js_num(js_get(s, "clients"), 0));
	buf_fmt(&size, "%.0fx%.0f", js_num(js_get(s, "cols"), 0), js_num(js_get(s, "rows"), 0));
	if (js_bool(js_get(s, "running"), false))
		buf_str(&state, "running");
	else
		buf_fmt(&state, "exited %.0f", js_num(js_get(s, "exitCode"), 0));
	table_cell(t, js_str(js_get(s, "session"), ""));
	table_cell(t, state.p);
	table_cell(t, clients.p);
	table_cell(t, size.p);
	table_cell(t, command.p);
}

static int list_sessions(struct cli *cli, struct client *c, const char *sandbox, struct err *err)
{
	static const char *const headers[] = { "SESSION", "STATE", "CLIENTS", "SIZE", "COMMAND" };
	struct call call = { .op = SBX_OP_LIST_SESSIONS, .path = { sandbox } };
	auto_js *v = client_json(c, &call, err);
	if (!v)
		return -1;
	const js *sessions = js_get(v, "sessions");
	cli_document(cli, sessions);
	if (cli->format != FORMAT_TABLE)
		return 0;
	if (!js_first(sessions)) {
		cli_warn(cli, "no sessions found");
		return 0;
	}
	struct table t;
	table_init(&t, headers, ARRAY_LEN(headers));
	js_each (s, sessions)
		session_row(&t, s);
	table_print(&t, &cli->out);
	table_free(&t);
	return 0;
}

static void tell_detached(struct cli *cli, const struct session_config *config, const struct session_result *result)
{
	const char *name = *result->name ? result->name : config->session;
	if (name)
		cli_warn(cli, "detached from session '%s'; 'sbx pty %s --session %s' comes back", name, config->sandbox, name);
	else
		cli_warn(cli, "detached; 'sbx pty --list %s' shows the sessions", config->sandbox);
}

static int open_terminal(struct cli *cli, struct client *c, struct session_config *config, struct err *err)
{
	struct session_result result;
	if (session_run(c, config, &result, err))
		return -1;
	if (result.end == SESSION_DETACHED)
		tell_detached(cli, config, &result);
	return session_code(cli, &result, config);
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static char shell[] = "/bin/sh", login[] = "-l";
	char *const default_command[] = { shell, login };
	const struct options *o = opts;
	bool own = args->n > 1;
	if (o->session && !*o->session)
		return err_set(err, ERR_USAGE, "the session's name is empty");
	struct session_config config = {
		.op = SBX_OP_CONNECT_PTY,
		.sandbox = args->v[0],
		.command = own ? args->v + 1 : default_command,
		.command_count = own ? args->n - 1 : ARRAY_LEN(default_command),
		.env = &o->env,
		.cwd = o->cwd,
		.user = o->user,
		.session = o->session,
		.use_stdin = true,
		.tty = true,
	};
	if (escape_parse(o->escape ? o->escape : "~", &config.escape, err))
		return -1;
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	int rc = o->list ? list_sessions(cli, &c, args->v[0], err) : open_terminal(cli, &c, &config, err);
	client_close(&c);
	return rc;
}

const struct command cmd_pty = {
	.name = "pty",
	.summary = "Open a terminal in a sandbox, or come back to one",
	.usage = "[options] SANDBOX [--] [COMMAND [ARG...]]",
	.about = "Runs a login shell unless a command is given. Typed after a newline, ~. detaches (the session goes on), ~~ sends "
		 "one ~,\n"
		 "~? shows help. Coming back replays what was missed.",
	.example = "  sbx pty demo\n  sbx pty demo --session work -- top\n  sbx pty --list demo",
	.options = options,
	.options_size = sizeof(struct options),
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = 1,
	.run = run,
};
