#include "cli/cli.h"
#include "cli/render/value.h"

/* One object, or an array of several, in the order of the arguments. */
static int collect(struct client *c, const struct args *args, struct buf *out, struct err *err)
{
	struct jw w;
	jw_init(&w, out);
	if (args->n > 1)
		jw_arr(&w);
	for (size_t i = 0; i < args->n; i++) {
		struct call call = { .op = SBX_OP_GET_SANDBOX, .path = { args->v[i] } };
		auto_js *v = client_json(c, &call, err);
		if (!v)
			return -1;
		jw_js(&w, v);
	}
	if (args->n > 1)
		jw_arr_end(&w);
	return 0;
}

static void show(struct cli *cli, const js *doc)
{
	cli_document(cli, doc);
	if (cli->format != FORMAT_TABLE)
		return;
	if (js_type(doc) != JS_ARRAY) {
		render_block(&cli->out, doc);
		return;
	}
	js_each (item, doc) {
		if (item != js_first(doc))
			buf_ch(&cli->out, '\n');
		render_block(&cli->out, item);
	}
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	auto_buf text = BUF_INIT;
	int rc = collect(&c, args, &text, err);
	client_close(&c);
	if (rc)
		return -1;
	auto_js *doc = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	if (!doc)
		return -1;
	show(cli, doc);
	return 0;
}

const struct command cmd_inspect = {
	.name = "inspect",
	.summary = "Show all about sandboxes",
	.usage = "SANDBOX...",
	.about = "With -o json or yaml: one object for one sandbox, an array for several.",
	.example = "  sbx inspect demo\n  sbx inspect demo -o json | jq .pid",
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX,
	.run = run,
};
