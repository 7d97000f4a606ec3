/* host: the records of machines that carry sandboxes for a daemon. */
#include "cli/cli.h"
#include "cli/listing.h"
#include "cli/render/text.h"
#include "cli/render/value.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- ls, inspect ---- */

static void row(struct table *t, const js *host)
{
	auto_buf seen = BUF_INIT, age = BUF_INIT, tags = BUF_INIT, count = BUF_INIT;
	const char *last = js_str(js_get(host, "lastSeenAt"), NULL);
	int64_t now = clock_wall_ms();
	text_age(&age, js_str(js_get(host, "createdAt"), ""), now);
	if (last)
		text_age(&seen, last, now);
	js_each (tag, js_get(host, "tags"))
		buf_fmt(&tags, "%s%s", tags.len ? "," : "", js_str(tag, ""));
	buf_fmt(&count, "%.0f", js_num(js_get(host, "sandboxes"), 0));
	const char *const cells[] = { js_str(js_get(host, "id"), ""), js_str(js_get(host, "type"), ""),
		js_str(js_get(host, "status"), ""), js_str(js_get(host, "address"), ""), js_str(js_get(host, "provider"), ""),
		js_str(js_get(host, "zone"), ""), count.p, tags.p, last ? seen.p : "never", age.p };
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		table_cell(t, cells[i]);
}

static int ls(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "ID", "TYPE", "STATUS", "ADDRESS", "PROVIDER", "ZONE", "SANDBOXES", "TAGS", "SEEN",
		"AGE" };
	static const struct listing hosts = { "hosts", headers, ARRAY_LEN(headers), row };
	const struct call call = { .op = SBX_OP_LIST_HOSTS };
	(void)opts;
	(void)args;
	return listing_call(cli, &hosts, &call, "hosts", err);
}

const struct command cmd_host_ls = {
	.group = "host",
	.name = "ls",
	.alias = "list",
	.summary = "List the hosts that you may see",
	.usage = "",
	.about = "The operator of the daemon sees all; others see those of their team.",
	.example = "  sbx host ls",
	.command_after = NO_COMMAND,
	.run = ls,
};

static int inspect(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	return listing_show(cli, SBX_OP_GET_HOST, args->v[0], err);
}

const struct command cmd_host_inspect = {
	.group = "host",
	.name = "inspect",
	.summary = "Show all about a host",
	.usage = "HOST",
	.example = "  sbx host inspect k3j8s0qx1a",
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_HOST,
	.run = inspect,
};

/* ---- add, token ---- */

/* The token alone on standard output. */
static int print_token(struct cli *cli, const struct call *call, struct err *err)
{
	auto_js *v = cli_ask(cli, call, err);
	if (!v)
		return -1;
	cli_document(cli, v);
	if (cli->format != FORMAT_TABLE)
		return 0;
	buf_fmt(&cli->out, "%s\n", js_str(js_get(v, "token"), ""));
	cli_warn(cli, "the token registers host %s once, until %s", js_str(js_get(js_get(v, "host"), "id"), ""),
		js_str(js_get(v, "expiresAt"), ""));
	return 0;
}

struct add_options {
	const char *type, *team, *provider, *zone;
};

static const char *const types[] = { "regular", "byoc", NULL };

static const struct opt add_options[] = {
	{ .kind = OPT_ENUM,
		.name = "type",
		.arg = "TYPE",
		.help = "regular: for all teams; byoc: a team's own (default regular for the operator, byoc for others)",
		.off = offsetof(struct add_options, type),
		.choices = types },
	{ .kind = OPT_STR,
		.name = "team",
		.arg = "TEAM",
		.help = "whose it is (default the team you work in)",
		.off = offsetof(struct add_options, team) },
	{ .kind = OPT_STR,
		.name = "provider",
		.arg = "NAME",
		.help = "who runs the machine",
		.off = offsetof(struct add_options, provider) },
	{ .kind = OPT_STR, .name = "zone", .arg = "NAME", .help = "where it stands", .off = offsetof(struct add_options, zone) },
	{ .kind = OPT_END },
};

static int add(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct add_options *o = opts;
	const struct kv members[] = { { "type", o->type }, { "team", o->team }, { "provider", o->provider }, { "zone", o->zone } };
	auto_buf body = BUF_INIT;
	struct jw w;
	(void)args;
	jw_init(&w, &body);
	jw_obj(&w);
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (members[i].value)
			jw_kstr(&w, members[i].key, members[i].value);
	jw_obj_end(&w);
	const struct call call = { .op = SBX_OP_CREATE_HOST, .json = &body };
	return print_token(cli, &call, err);
}

const struct command cmd_host_add = {
	.group = "host",
	.name = "add",
	.summary = "Announce a host, and print the token that it registers with",
	.usage = "[--type TYPE] [--team TEAM] [--provider NAME] [--zone NAME]",
	.about = "On the machine that is to carry sandboxes, this then starts it: sbxd --role host --control URL --token TOKEN",
	.example = "  token=$(sbx host add --provider hetzner --zone fsn1)",
	.options = add_options,
	.options_size = sizeof(struct add_options),
	.command_after = NO_COMMAND,
	.run = add,
};

static int token(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct call call = { .op = SBX_OP_CREATE_HOST_TOKEN, .path = { args->v[0] } };
	(void)opts;
	return print_token(cli, &call, err);
}

const struct command cmd_host_token = {
	.group = "host",
	.name = "token",
	.summary = "Print another token for a host that has not registered yet, or is not heard of",
	.usage = "HOST",
	.example = "  sbx host token k3j8s0qx1a",
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_HOST,
	.run = token,
};

/* ---- rm ---- */

struct rm_options {
	bool force, yes;
};

static const struct opt rm_options[] = {
	{ .kind = OPT_BOOL,
		.letter = 'f',
		.name = "force",
		.help = "end the sandboxes on it, too",
		.off = offsetof(struct rm_options, force) },
	{ .kind = OPT_BOOL,
		.letter = 'y',
		.name = "yes",
		.help = "do not ask about them",
		.off = offsetof(struct rm_options, yes) },
	{ .kind = OPT_END },
};

/* 1 yes, 0 no, -1. Nobody is asked where nothing ends. */
static int confirm(struct client *c, const char *host, struct err *err)
{
	const struct call call = { .op = SBX_OP_PREVIEW_HOST_DELETE, .path = { host } };
	auto_js *v = client_json(c, &call, err);
	size_t n = js_count(js_get(v, "sandboxes"));
	if (!v || n == 0)
		return v ? 1 : -1;
	auto_free char *question = mem_printf("remove host '%s' and end the %zu sandbox%s on it", host, n, n == 1 ? "" : "es");
	return cli_confirm(question, "try: sbx host rm --force --yes HOST", err);
}

static int rm_one(struct client *c, const struct rm_options *o, const char *host, struct err *err)
{
	int yes = o->force && !o->yes ? confirm(c, host, err) : 1;
	const struct call call = { .op = SBX_OP_DELETE_HOST, .path = { host }, .query = { { "force", o->force ? "true" : NULL } } };
	return yes < 0 ? -1 : yes ? client_call(c, &call, NULL, err) : 1;
}

static int rm(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct client c;
	int rc = 0;
	if (cli_client(cli, &c, err))
		return -1;
	for (size_t i = 0; i < args->n; i++) {
		struct err one = ERR_INIT;
		int failed = rm_one(&c, opts, args->v[i], &one);
		if (failed < 0)
			cli_error(cli, &one);
		rc = failed ? 1 : rc;
	}
	client_close(&c);
	return rc;
}

const struct command cmd_host_rm = {
	.group = "host",
	.name = "rm",
	.alias = "delete",
	.summary = "Remove hosts",
	.usage = "[--force [--yes]] HOST...",
	.about = "A host with sandboxes on it is refused; --force ends them, and asks first.",
	.example = "  sbx host rm k3j8s0qx1a\n  sbx host rm --force --yes k3j8s0qx1a",
	.options = rm_options,
	.options_size = sizeof(struct rm_options),
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_HOST,
	.run = rm,
};

/* ---- tag ---- */

static int print_tags(struct cli *cli, const struct call *call, struct err *err)
{
	auto_js *v = cli_ask(cli, call, err);
	if (!v)
		return -1;
	cli_document(cli, js_get(v, "tags"));
	if (cli->format != FORMAT_TABLE)
		return 0;
	js_each (tag, js_get(v, "tags")) {
		text_safe(&cli->out, js_str(tag, ""));
		buf_ch(&cli->out, '\n');
	}
	return 0;
}

static int tag_ls(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct call call = { .op = SBX_OP_LIST_HOST_TAGS, .path = { args->v[0] } };
	(void)opts;
	return print_tags(cli, &call, err);
}

static int tag_add(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	(void)opts;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "tag", args->v[1]);
	jw_obj_end(&w);
	const struct call call = { .op = SBX_OP_ADD_HOST_TAG, .path = { args->v[0] }, .json = &body };
	return print_tags(cli, &call, err);
}

static int tag_rm(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct args tags = { args->v + 1, args->n - 1, 0 };
	(void)opts;
	return listing_remove(cli, SBX_OP_REMOVE_HOST_TAG, args->v[0], &tags, err);
}

static const struct verb tag_verbs[] = {
	{ .name = "ls", .alias = "list", .usage = "HOST", .min = 1, .max = 1, .args = ARG_HOST, .run = tag_ls },
	{ .name = "add", .usage = "HOST TAG", .min = 2, .max = 2, .args = ARG_HOST, .run = tag_add },
	{ .name = "rm", .alias = "delete", .usage = "HOST TAG...", .min = 2, .max = NO_LIMIT - 1, .args = ARG_HOST, .run = tag_rm },
	{ .name = NULL },
};

const struct command cmd_host_tag = {
	.group = "host",
	.name = "tag",
	.summary = "List, add and remove the tags of a host",
	.usage = "ls HOST | add HOST TAG | rm HOST TAG...",
	.example = "  sbx host tag add k3j8s0qx1a gpu\n  sbx host tag ls k3j8s0qx1a",
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.verbs = tag_verbs,
};
