#include "cli/cli.h"

#include "shared/base/version.h"

struct options {
	bool daemon;
};

static const struct opt options[] = {
	{ .kind = OPT_BOOL,
		.name = "daemon",
		.help = "show the version of the running daemon too",
		.off = offsetof(struct options, daemon) },
	{ .kind = OPT_END },
};

/* The daemon's answer, appended as member "daemon". It is not started for this. */
static int add_daemon(struct cli *cli, struct jw *w, struct err *err)
{
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	c.no_start = true;
	struct call call = { .op = SBX_OP_GET_VERSION };
	auto_js *v = client_json(&c, &call, err);
	client_close(&c);
	if (!v)
		return -1;
	jw_kstr(w, "daemon", js_str(js_get(v, "version"), ""));
	jw_kstr(w, "api", js_str(js_get(v, "api"), ""));
	return 0;
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	(void)args;
	if (cli->format == FORMAT_TABLE && !o->daemon) {
		buf_fmt(&cli->out, "sbx %s\n", sbx_version);
		return 0;
	}
	auto_buf text = BUF_INIT;
	struct jw w;
	jw_init(&w, &text);
	jw_obj(&w);
	jw_kstr(&w, "version", sbx_version);
	if (o->daemon && add_daemon(cli, &w, err))
		return -1;
	jw_obj_end(&w);
	auto_js *doc = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	if (!doc)
		return -1;
	cli_document(cli, doc);
	if (cli->format == FORMAT_TABLE) {
		buf_fmt(&cli->out, "sbx %s\n", sbx_version);
		buf_fmt(&cli->out, "sbxd %s\n", js_str(js_get(doc, "daemon"), ""));
	}
	return 0;
}

const struct command cmd_version = {
	.name = "version",
	.summary = "Show the version of this command and, on request, of the daemon",
	.usage = "[--daemon]",
	.example = "  sbx version\n  sbx version --daemon -o json",
	.options = options,
	.options_size = sizeof(struct options),
	.command_after = NO_COMMAND,
	.config_optional = true,
	.run = run,
};
