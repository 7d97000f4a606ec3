#include "cli/cli.h"
#include "shared/base/mem.h"

struct options {
	const char *listen;
};

static const struct opt options[] = {
	{ .kind = OPT_STR,
		.name = "listen",
		.arg = "HOST:PORT",
		.help = "listen on TCP too, for holders of a key; port 0 takes a free one",
		.off = offsetof(struct options, listen) },
	{ .kind = OPT_END },
};

static js *add_listener(struct client *c, const char *address, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "address", address);
	jw_obj_end(&w);
	struct call call = { .op = SBX_OP_ADD_LISTENER, .json = &body };
	return client_json(c, &call, err);
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	(void)args;
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	struct call call = { .op = SBX_OP_GET_SYSTEM };
	auto_js *v = o->listen ? add_listener(&c, o->listen, err) : client_json(&c, &call, err);
	client_close(&c);
	if (!v)
		return -1;
	cli_document(cli, v);
	if (cli->format != FORMAT_TABLE)
		return 0;
	if (o->listen)
		buf_fmt(&cli->out, "%s\n", js_str(js_get(v, "address"), ""));
	else
		cli_warn(cli, "the daemon runs as process %.0f at %s", js_num(js_get(v, "pid"), 0), cli->endpoint.shown);
	return 0;
}

const struct command cmd_up = {
	.name = "up",
	.summary = "Start the daemon, or let it listen on one more address",
	.usage = "[--listen HOST:PORT]",
	.about = "Commands start the daemon by themselves when they need it. With --listen the bound address is printed.",
	.example = "  sbx up\n  sbx up --listen 127.0.0.1:0",
	.options = options,
	.options_size = sizeof(struct options),
	.command_after = NO_COMMAND,
	.run = run,
};
