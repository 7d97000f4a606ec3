#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/listing.h"
#include "cli/pages.h"
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
		.help = "list the sessions of the sandbox, or of all",
		.off = offsetof(struct options, list) },
	SESSION_OPTION_ENV(struct options),
	SESSION_OPTIONS_PLACE(struct options),
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
	table_cell(t, js_str(js_get(s, "sandbox"), ""));
	table_cell(t, js_str(js_get(s, "session"), ""));
	table_cell(t, state.p);
	table_cell(t, clients.p);
	table_cell(t, size.p);
	table_cell(t, command.p);
}

struct names {
	char **v;
	size_t n;
};

static int take_name(void *arg, const js *sandbox)
{
	struct names *names = arg;
	names->v = mem_grow(names->v, names->n + 1, sizeof(*names->v));
	names->v[names->n++] = mem_strdup(js_str(js_get(sandbox, "name"), js_str(js_get(sandbox, "id"), "")));
	return 0;
}

/* The sessions of one sandbox, each with its name, as items of an open array. */
static int add_sessions(struct client *c, const char *sandbox, struct jw *w, struct err *err)
{
	struct call call = { .op = SBX_OP_LIST_SESSIONS, .path = { sandbox } };
	auto_js *v = client_json(c, &call, err);
	if (!v)
		return -1;
	js_each (s, js_get(v, "sessions")) {
		jw_obj(w);
		jw_kstr(w, "sandbox", sandbox);
		js_each (member, s) {
			jw_key(w, js_key(member));
			jw_js(w, member);
		}
		jw_obj_end(w);
	}
	return 0;
}

/* Of one sandbox; or of all that run, where one that does not answer is told and does not hide the others. */
static int collect_sessions(struct cli *cli, struct client *c, const char *sandbox, struct jw *w, struct err *err)
{
	if (sandbox)
		return add_sessions(c, sandbox, w, err);
	struct names names = { 0 };
	const struct list_filter running = { .state = "running" };
	int rc = pages_each(c, &running, take_name, &names, err);
	for (size_t i = 0; i < names.n; i++) {
		struct err one = ERR_INIT;
		if (rc == 0 && add_sessions(c, names.v[i], w, &one))
			cli_error(cli, &one);
		free(names.v[i]);
	}
	free(names.v);
	return rc;
}

static int list_sessions(struct cli *cli, struct client *c, const char *sandbox, struct err *err)
{
	static const char *const headers[] = { "SANDBOX", "SESSION", "STATE", "CLIENTS", "SIZE", "COMMAND" };
	static const struct listing listing = { "sessions", headers, ARRAY_LEN(headers), session_row };
	auto_buf text = BUF_INIT;
	struct jw w;
	jw_init(&w, &text);
	jw_arr(&w);
	if (collect_sessions(cli, c, sandbox, &w, err))
		return -1;
	jw_arr_end(&w);
	auto_js *sessions = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	if (!sessions)
		return -1;
	listing_print(cli, &listing, sessions);
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
	if (!o->list && args->n == 0)
		return err_set(err, ERR_USAGE, "the sandbox is missing");
	if (o->session && !*o->session)
		return err_set(err, ERR_USAGE, "the session's name is empty");
	struct session_config config = {
		.op = SBX_OP_CONNECT_PTY,
		.sandbox = args->n ? args->v[0] : NULL,
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
	int rc = o->list ? list_sessions(cli, &c, config.sandbox, err) : open_terminal(cli, &c, &config, err);
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
	.example = "  sbx pty demo\n  sbx pty demo --session work -- top\n  sbx pty --list",
	.options = options,
	.options_size = sizeof(struct options),
	.min_args = 0, /* --list needs none */
	.max_args = NO_LIMIT,
	.command_after = 1,
	.args = ARG_SANDBOX,
	.run = run,
};
