#include "cli/cli.h"
#include "shared/base/mem.h"

struct options {
	const char *listen, *proxy, *suffix;
};

static const struct opt options[] = {
	{ .kind = OPT_STR,
		.name = "listen",
		.arg = "HOST:PORT",
		.help = "listen on TCP too, for holders of a key; port 0 takes a free one",
		.off = offsetof(struct options, listen) },
	{ .kind = OPT_STR,
		.name = "proxy",
		.arg = "HOST:PORT",
		.help = "serve HTTP to sandboxes by host name: 3000-demo.localhost is port 3000 of demo",
		.off = offsetof(struct options, proxy) },
	{ .kind = OPT_STR,
		.name = "suffix",
		.arg = "NAME",
		.help = "what follows in these host names (default localhost)",
		.off = offsetof(struct options, suffix) },
	{ .kind = OPT_END },
};

static js *add_listener(struct client *c, const struct options *o, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "address", o->proxy ? o->proxy : o->listen);
	if (o->proxy)
		jw_kstr(&w, "kind", "proxy");
	if (o->suffix)
		jw_kstr(&w, "suffix", o->suffix);
	jw_obj_end(&w);
	struct call call = { .op = SBX_OP_ADD_LISTENER, .json = &body };
	return client_json(c, &call, err);
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	(void)args;
	struct client c;
	if ((o->listen && o->proxy) || (o->suffix && !o->proxy))
		return err_set(err, ERR_USAGE,
			o->suffix && !o->proxy ? "--suffix belongs to --proxy" : "--listen and --proxy exclude each other");
	bool add = o->listen || o->proxy;
	if (cli_client(cli, &c, err))
		return -1;
	struct call call = { .op = SBX_OP_GET_SYSTEM };
	auto_js *v = add ? add_listener(&c, o, err) : client_json(&c, &call, err);
	client_close(&c);
	if (!v)
		return -1;
	cli_document(cli, v);
	if (cli->format != FORMAT_TABLE)
		return 0;
	if (add)
		buf_fmt(&cli->out, "%s\n", js_str(js_get(v, "address"), ""));
	else
		cli_warn(cli, "the daemon runs as process %.0f at %s", js_num(js_get(v, "pid"), 0), cli->endpoint.shown);
	return 0;
}

const struct command cmd_up = {
	.name = "up",
	.summary = "Start the daemon, or let it listen on one more address",
	.usage = "[--listen HOST:PORT | --proxy HOST:PORT [--suffix NAME]]",
	.about =
		"Commands start the daemon by themselves when they need it. With --listen or --proxy the bound address is printed.",
	.example = "  sbx up\n  sbx up --listen 127.0.0.1:0\n  sbx up --proxy 127.0.0.1:7280",
	.options = options,
	.options_size = sizeof(struct options),
	.command_after = NO_COMMAND,
	.run = run,
};
