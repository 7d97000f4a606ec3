#include "cli/cli.h"
#include "cli/ndjson.h"
#include "cli/render/text.h"
#include "cli/render/value.h"
#include "shared/base/util.h"

struct options {
	bool recursive;
	const char *user;
};

static const struct opt options[] = {
	{ .kind = OPT_BOOL,
		.letter = 'r',
		.name = "recursive",
		.help = "what is in the folders below as well",
		.off = offsetof(struct options, recursive) },
	{ .kind = OPT_STR,
		.letter = 'u',
		.name = "user",
		.arg = "USER",
		.help = "look as this user of the guest",
		.off = offsetof(struct options, user) },
	{ .kind = OPT_END },
};

static void put_line(struct cli *cli, const js *change)
{
	const char *event = js_str(js_get(change, "event"), ""), *from = js_str(js_get(change, "from"), NULL);
	text_safe(&cli->out, event);
	buf_ch(&cli->out, ' ');
	if (from) {
		text_safe(&cli->out, from);
		buf_str(&cli->out, " -> ");
	}
	text_safe(&cli->out, js_str(js_get(change, "path"), ""));
	buf_ch(&cli->out, '\n');
}

/* For people, `ready` and `overflow` are no changes: they go to standard error. */
static int each(void *arg, const js *change, struct err *err)
{
	struct cli *cli = arg;
	const char *event = js_str(js_get(change, "event"), ""), *path = js_str(js_get(change, "path"), "");
	if (cli->format == FORMAT_JSON) {
		struct jw w;
		jw_init(&w, &cli->out);
		jw_js(&w, change);
		buf_ch(&cli->out, '\n');
	} else if (cli->format == FORMAT_YAML) {
		buf_str(&cli->out, "---\n");
		render_yaml(&cli->out, change);
	} else if (str_same(event, "ready")) {
		cli_warn(cli, "watching '%s'", path);
	} else if (str_same(event, "overflow")) {
		cli_warn(cli, "changes in '%s' may have been missed: %s", path, js_str(js_get(change, "reason"), ""));
	} else {
		put_line(cli, change);
	}
	return cli_flush(cli, err);
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	c.timeout_ms = 0;
	struct call call = {
		.op = SBX_OP_WATCH_FILES,
		.path = { args->v[0] },
		.query = { { "path", args->v[1] }, { "recursive", o->recursive ? "true" : NULL }, { "user", o->user } },
	};
	int rc = ndjson_call(&c, &call, each, cli, err);
	client_close(&c);
	return rc;
}

const struct command cmd_watch = {
	.name = "watch",
	.summary = "Tell changes of files in a sandbox as they happen",
	.usage = "[options] SANDBOX PATH",
	.about = "One line a change: create, modify, attrib (mode, owner, times), move or delete, and the path. It ends when PATH "
		 "itself\n"
		 "is removed or moved. With -o json there is one object a line, the first of which says that the watch has begun.",
	.example = "  sbx watch demo /etc\n  sbx watch -r demo src -o json | jq -r 'select(.event == \"modify\") | .path'",
	.options = options,
	.options_size = sizeof(struct options),
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX,
	.run = run,
};
