#include "cli/cli.h"
#include "cli/listing.h"
#include "cli/render/text.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- key create ---- */

struct create_options {
	const char *name;
};

static const struct opt create_options[] = {
	{ .kind = OPT_STR,
		.name = "name",
		.arg = "NAME",
		.help = "name to know it by",
		.off = offsetof(struct create_options, name) },
	{ .kind = OPT_END },
};

static int create(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct create_options *o = opts;
	(void)args;
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	if (o->name)
		jw_kstr(&w, "name", o->name);
	jw_obj_end(&w);
	struct call call = { .op = SBX_OP_CREATE_KEY, .json = &body };
	auto_js *key = client_json(&c, &call, err);
	if (!key) {
		client_close(&c);
		return -1;
	}
	if (cli->format == FORMAT_TABLE)
		buf_fmt(&cli->out, "%s\n", js_str(js_get(key, "key"), ""));
	cli_document(cli, key);
	/* the secret is shown once: a key that nobody got to see goes again */
	int rc = cli_flush(cli, err);
	struct call revoke = { .op = SBX_OP_DELETE_KEY, .path = { js_str(js_get(key, "id"), "") } };
	struct err undo = ERR_INIT;
	if (rc && client_call(&c, &revoke, NULL, &undo))
		cli_error(cli, &undo);
	client_close(&c);
	return rc;
}

const struct command cmd_key_create = {
	.group = "key",
	.name = "create",
	.summary = "Make an API key and print its secret, once",
	.usage = "[--name NAME]",
	.example = "  SBX_API_KEY=$(sbx key create --name ci)",
	.options = create_options,
	.options_size = sizeof(struct create_options),
	.command_after = NO_COMMAND,
	.run = create,
};

/* ---- key ls ---- */

static void row(struct table *t, const js *key)
{
	auto_buf age = BUF_INIT, used = BUF_INIT;
	int64_t now = clock_wall_ms();
	const char *last = js_str(js_get(key, "lastUsedAt"), NULL);
	text_age(&age, js_str(js_get(key, "createdAt"), ""), now);
	if (last)
		text_age(&used, last, now);
	const char *const cells[] = { js_str(js_get(key, "id"), ""), js_str(js_get(key, "name"), ""),
		js_str(js_get(key, "prefix"), ""), age.p, last ? used.p : "never" };
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		table_cell(t, cells[i]);
}

static int ls(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "ID", "NAME", "PREFIX", "AGE", "LAST USED" };
	static const struct listing keys = { "keys", headers, ARRAY_LEN(headers), row };
	(void)opts;
	(void)args;
	const struct call call = { .op = SBX_OP_LIST_KEYS };
	return listing_call(cli, &keys, &call, "keys", err);
}

const struct command cmd_key_ls = {
	.group = "key",
	.name = "ls",
	.alias = "list",
	.summary = "List API keys",
	.usage = "",
	.example = "  sbx key ls",
	.command_after = NO_COMMAND,
	.run = ls,
};

/* ---- key rm ---- */

static int rm(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	return listing_remove(cli, SBX_OP_DELETE_KEY, NULL, args, err);
}

const struct command cmd_key_rm = {
	.group = "key",
	.name = "rm",
	.alias = "delete",
	.summary = "Revoke API keys at once",
	.usage = "KEY...",
	.example = "  sbx key rm ci",
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_KEY,
	.run = rm,
};
