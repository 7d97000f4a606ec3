/* login, logout and whoami: who the commands act for. */
#include <string.h>

#include "cli/account.h"
#include "cli/cli.h"
#include "cli/render/value.h"
#include "cli/secret.h"
#include "cli/term/ask.h"
#include "shared/base/mem.h"

/* ---- login ---- */

struct login_options {
	bool local, password_stdin, signup, print;
	const char *email, *name, *team;
};

static const struct opt login_options[] = {
	{ .kind = OPT_BOOL,
		.name = "local",
		.help = "as the operator of the local daemon: no account, no password",
		.off = offsetof(struct login_options, local) },
	{ .kind = OPT_STR,
		.name = "email",
		.arg = "E",
		.help = "address of the account",
		.off = offsetof(struct login_options, email) },
	{ .kind = OPT_BOOL,
		.name = "password-stdin",
		.help = "read the password from standard input",
		.off = offsetof(struct login_options, password_stdin) },
	{ .kind = OPT_BOOL, .name = "signup", .help = "open the account first", .off = offsetof(struct login_options, signup) },
	{ .kind = OPT_STR,
		.name = "name",
		.arg = "NAME",
		.help = "with --signup: what others call you",
		.off = offsetof(struct login_options, name) },
	{ .kind = OPT_STR,
		.name = "team",
		.arg = "TEAM",
		.help = "team to work in, by id, slug or name (default your first)",
		.off = offsetof(struct login_options, team) },
	{ .kind = OPT_BOOL,
		.name = "print-token",
		.help = "print the token, and keep nothing",
		.off = offsetof(struct login_options, print) },
	{ .kind = OPT_END },
};

static int check_login(const struct login_options *o, struct err *err)
{
	if (o->local && (o->email || o->password_stdin || o->signup || o->name))
		return err_set(
			err, ERR_USAGE, "--local needs no account: it excludes --email, --password-stdin, --signup and --name");
	if (o->name && !o->signup)
		return err_set(err, ERR_USAGE, "--name belongs to --signup");
	if (o->signup && o->team)
		return err_set(err, ERR_USAGE, "who signs up comes into his own team: leave out --team");
	return 0;
}

/* What was given, or the answer of the person at the terminal. */
static int ask_for(const char *given, const char *question, const char *option, struct buf *out, struct err *err)
{
	if (given)
		buf_str(out, given);
	else if (!ask_possible())
		return err_set(err, ERR_USAGE, "%s is missing, and standard input is no terminal to ask on", option);
	else if (ask_line(question, out, err))
		return -1;
	return 0;
}

static int ask_password(const struct login_options *o, struct buf *out, struct err *err)
{
	auto_buf again = BUF_INIT;
	if (o->password_stdin)
		return secret_read("-", out, err);
	if (!ask_possible()) {
		err_set(err, ERR_USAGE, "standard input is no terminal to ask for the password on");
		return err_hint(err, "give it with: --password-stdin");
	}
	if (ask_secret("Password: ", out, err))
		return -1;
	if (!o->signup)
		return 0;
	if (ask_secret("Once more: ", &again, err))
		return -1;
	return strcmp(out->p, again.p) ? err_set(err, ERR_STATE, "these are two different passwords") : 0;
}

static int write_entry(const struct login_options *o, struct buf *body, struct err *err)
{
	auto_buf email = BUF_INIT, name = BUF_INIT, password = BUF_INIT;
	struct jw w;
	if (ask_for(o->email, "E-mail: ", "--email", &email, err) ||
		(o->signup && ask_for(o->name, "Name: ", "--name", &name, err)) || ask_password(o, &password, err))
		return -1;
	jw_init(&w, body);
	jw_obj(&w);
	jw_kstr(&w, "email", email.p);
	jw_kstr(&w, "password", password.p);
	if (o->signup)
		jw_kstr(&w, "name", name.p);
	if (o->team)
		jw_kstr(&w, "team", o->team);
	jw_obj_end(&w);
	return 0;
}

/* As cli/where.h has it for keys; a password is worth more than they, so there is a word about it. */
static int check_clear(struct cli *cli, const struct endpoint *ep, struct err *err)
{
	struct choice choice = cli_choice(cli);
	if (!endpoint_in_clear(ep))
		return 0;
	if (where_pick(&choice, cli->config).s.from != FROM_ENV) {
		cli_warn(cli, "the password goes to '%s' in clear text", ep->shown);
		return 0;
	}
	err_set(err, ERR_FORBIDDEN, "the password would go to '%s' in clear text", ep->shown);
	return err_hint(err, "use https:// or ssh://; if you accept it, name the address with --host or in a context");
}

static js *call_json(const struct endpoint *ep, const struct call *call, struct err *err)
{
	struct client c;
	client_init(&c, ep);
	c.key_hint = call->op == SBX_OP_LOGIN ? "try again; who has no account yet opens one with: sbx login --signup" : NULL;
	js *v = client_json(&c, call, err);
	client_close(&c);
	return v;
}

/* What is kept from before must not be shown: it may be over. */
static js *enter(struct cli *cli, const struct login_options *o, struct err *err)
{
	auto_buf body = BUF_INIT;
	if (cli_endpoint(cli, err))
		return NULL;
	struct endpoint ep = cli->endpoint;
	ep.api_key = NULL;
	if (check_clear(cli, &ep, err) || write_entry(o, &body, err))
		return NULL;
	const struct call call = { .op = o->signup ? SBX_OP_SIGNUP : SBX_OP_LOGIN, .json = &body };
	return call_json(&ep, &call, err);
}

static js *switch_team(struct endpoint *ep, const char *token, const char *team, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "team", team);
	jw_obj_end(&w);
	ep->api_key = token;
	const struct call call = { .op = SBX_OP_SWITCH_TEAM, .json = &body };
	return call_json(ep, &call, err);
}

static js *enter_local(const struct login_options *o, struct err *err)
{
	struct endpoint ep;
	const struct call call = { .op = SBX_OP_ISSUE_LOCAL_TOKEN };
	js *login = endpoint_local(&ep, err) ? NULL : call_json(&ep, &call, err);
	if (login && o->team) {
		auto_js *first = login;
		login = switch_team(&ep, js_str(js_get(first, "token"), ""), o->team, err);
	}
	endpoint_free(&ep);
	return login;
}

/* The local daemon's token opens nothing elsewhere: see that the context leads to that daemon. */
static int check_same_daemon(struct cli *cli, const char *context, const char *token, struct err *err)
{
	const struct call call = { .op = SBX_OP_GET_ACCOUNT };
	if (strcmp(context, CONFIG_DEFAULT_CONTEXT) == 0)
		return 0;
	if (cli_endpoint(cli, err))
		return -1;
	struct endpoint ep = cli->endpoint;
	ep.api_key = token;
	auto_js *account = call_json(&ep, &call, err);
	if (account)
		return 0;
	if (err->code != ERR_UNAUTHORIZED)
		return -1;
	err_set(err, ERR_STATE, "the context '%s' does not lead to the local daemon", context);
	return err_hint(err, "log in there with: sbx --context %s login", context);
}

static int login(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct login_options *o = opts;
	const char *context = NULL;
	(void)args;
	if (check_login(o, err) || (!o->print && !(context = account_context(cli, err))))
		return -1;
	auto_js *v = o->local ? enter_local(o, err) : enter(cli, o, err);
	if (!v)
		return -1;
	const char *token = js_str(js_get(v, "token"), "");
	if (o->print) {
		cli_document(cli, v);
		if (cli->format == FORMAT_TABLE)
			buf_fmt(&cli->out, "%s\n", token);
		return 0;
	}
	if (o->local && check_same_daemon(cli, context, token, err))
		return -1;
	return account_keep(cli, context, v, err);
}

const struct command cmd_login = {
	.name = "login",
	.summary = "Log in, and keep that in the current context",
	.usage = "[--local | --email E [--password-stdin] [--signup --name NAME]] [--team TEAM] [--print-token]",
	.about = "What is missing is asked for; the password is never an argument, which others could see. The token that the "
		 "daemon "
		 "gives\n"
		 "is good for six hours. It is written to the configuration file, which only you can read, and later commands show "
		 "it;\n"
		 "with --print-token it is printed instead, for programs that speak HTTP. Who uses the socket of a daemon of his "
		 "own is\n"
		 "its operator and needs no login; --local gives other programs what he may.",
	.example = "  sbx login --email ann@example.org\n"
		   "  pass show sbx | sbx --context lab login --email ann@example.org --password-stdin --team Lab\n"
		   "  sbx login --signup --email ann@example.org --name Ann\n"
		   "  curl -H \"Authorization: Bearer $(sbx login --local --print-token)\" http://127.0.0.1:8080/sbx/v1/account",
	.options = login_options,
	.options_size = sizeof(struct login_options),
	.command_after = NO_COMMAND,
	.run = login,
};

/* ---- logout ---- */

static int logout(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	(void)args;
	const char *context = account_context(cli, err);
	int had = context ? account_forget(context, err) : -1;
	if (had < 0)
		return -1;
	if (!had)
		cli_warn(cli, "the context '%s' holds no login", context);
	return 0;
}

const struct command cmd_logout = {
	.name = "logout",
	.summary = "Forget the login of the current context",
	.usage = "",
	.about = "Its API key, if it has one, counts again; on the socket of your own daemon you are its operator again.",
	.example = "  sbx logout\n  sbx --context lab logout",
	.command_after = NO_COMMAND,
	.run = logout,
};

/* ---- whoami ---- */

static void put(struct jw *w, const char *key, const js *v)
{
	if (!v)
		return;
	jw_key(w, key);
	jw_js(w, v);
}

/* The lines that a person sees. */
static js *in_short(const struct cli *cli, const js *account)
{
	const js *user = js_get(account, "user"), *key = js_get(account, "key"), *team = js_get(account, "team");
	auto_buf text = BUF_INIT;
	struct jw w;
	jw_init(&w, &text);
	jw_obj(&w);
	put(&w, "name", js_get(user, "name"));
	put(&w, "email", js_get(user, "email"));
	put(&w, "key", js_get(key, "name"));
	put(&w, "id", js_get(js_type(key) == JS_OBJECT ? key : user, "id"));
	put(&w, "team", js_get(team, "name"));
	put(&w, "teamId", js_get(team, "id"));
	put(&w, "role", js_get(account, "role"));
	put(&w, "operator", js_get(account, "operator"));
	jw_kstr(&w, "endpoint", cli->endpoint.shown);
	jw_obj_end(&w);
	return js_parse(text.p, text.len, JS_LIMITS_DEFAULT, NULL);
}

static int whoami(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct call call = { .op = SBX_OP_GET_ACCOUNT };
	(void)opts;
	(void)args;
	if (cli_endpoint(cli, err))
		return -1;
	auto_js *account = call_json(&cli->endpoint, &call, err);
	if (!account)
		return -1;
	cli_document(cli, account);
	if (cli->format == FORMAT_TABLE) {
		auto_js *lines = in_short(cli, account);
		render_block(&cli->out, lines);
	}
	return 0;
}

const struct command cmd_whoami = {
	.name = "whoami",
	.summary = "Show who you are to the daemon, and for which team",
	.usage = "",
	.example = "  sbx whoami\n  sbx whoami -o json | jq -r .team.id",
	.command_after = NO_COMMAND,
	.run = whoami,
};
