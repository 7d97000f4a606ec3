#include <stdio.h>

#include "cli/cli.h"
#include "cli/ndjson.h"
#include "cli/render/text.h"
#include "cli/render/value.h"

struct options {
	bool follow;
	struct opt_num tail, since;
};

static const struct opt options[] = {
	{ .kind = OPT_BOOL,
		.letter = 'f',
		.name = "follow",
		.help = "go on with new events as they come",
		.off = offsetof(struct options, follow) },
	{ .kind = OPT_INT,
		.name = "tail",
		.arg = "N",
		.help = "only the last so many",
		.off = offsetof(struct options, tail),
		.max = 100000 },
	OPTION_SINCE(struct options),
	{ .kind = OPT_END },
};

/* JSON is one object a line here, as it may never end; YAML one document an event. */
static int each(void *arg, const js *event, struct err *err)
{
	struct cli *cli = arg;
	if (cli->format == FORMAT_JSON) {
		struct jw w;
		jw_init(&w, &cli->out);
		jw_js(&w, event);
		buf_ch(&cli->out, '\n');
	} else if (cli->format == FORMAT_YAML) {
		buf_str(&cli->out, "---\n");
		render_yaml(&cli->out, event);
	} else {
		text_safe(&cli->out, js_str(js_get(event, "time"), ""));
		buf_ch(&cli->out, ' ');
		text_safe(&cli->out, js_str(js_get(event, "event"), ""));
		const char *message = js_str(js_get(event, "message"), "");
		if (*message)
			buf_ch(&cli->out, ' ');
		text_safe(&cli->out, message);
		buf_ch(&cli->out, '\n');
	}
	return cli_flush(cli, err);
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	if (o->follow)
		c.timeout_ms = 0;
	char tail[24], since[24];
	(void)snprintf(tail, sizeof(tail), "%.0f", o->tail.v);
	(void)snprintf(since, sizeof(since), "%.0f", o->since.v);
	struct call call = {
		.op = SBX_OP_GET_SANDBOX_LOGS,
		.path = { args->v[0] },
		.query = { { "follow", o->follow ? "true" : NULL }, { "tail", o->tail.set ? tail : NULL },
			{ "sinceSeconds", o->since.set ? since : NULL } },
	};
	int rc = ndjson_call(&c, &call, each, cli, err);
	client_close(&c);
	return rc;
}

const struct command cmd_logs = {
	.name = "logs",
	.summary = "Show what happened to a sandbox",
	.usage = "[options] SANDBOX",
	.example = "  sbx logs demo\n  sbx logs -f --tail 10 demo\n  sbx logs -o json demo | jq -r .event",
	.options = options,
	.options_size = sizeof(struct options),
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX,
	.run = run,
};
