#include <string.h>

#include "cli/cli.h"
#include "cli/create.h"
#include "cli/listing.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* Where `port url` starts a proxy when there is none, so that addresses stay the same; taken: any free port. */
#define PROXY_ADDRESS "127.0.0.1:7280"

/* ---- port add ---- */

struct add_options {
	const char *bind;
};

static const struct opt add_options[] = {
	{ .kind = OPT_STR,
		.name = "bind",
		.arg = "ADDRESS",
		.help = "IP address of this machine to listen on (default 127.0.0.1); another lets other machines in",
		.off = offsetof(struct add_options, bind) },
	{ .kind = OPT_END },
};

static js *add_one(struct client *c, const char *sandbox, const char *text, const char *bind, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	if (create_port(&w, text, bind, err))
		return NULL;
	struct call call = { .op = SBX_OP_ADD_PORT, .path = { sandbox }, .json = &body };
	return client_json(c, &call, err);
}

static int add(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct add_options *o = opts;
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	auto_js *port = add_one(&c, args->v[0], args->v[1], o->bind, err);
	client_close(&c);
	if (!port)
		return -1;
	cli_document(cli, port);
	if (cli->format == FORMAT_TABLE)
		buf_fmt(&cli->out, "%s\n", js_str(js_get(port, "address"), ""));
	return 0;
}

const struct command cmd_port_add = {
	.group = "port",
	.name = "add",
	.summary = "Let a port of this machine lead into a sandbox, and print its address",
	.usage = "[--bind ADDRESS] SANDBOX HOST[:GUEST]",
	.about = "TCP. It needs no network in the sandbox, and comes back with the daemon. HOST 0 takes any free port.",
	.example = "  sbx port add demo 8080:3000\n  sbx port add demo 5432\n  curl http://$(sbx port add demo 0:80)/",
	.options = add_options,
	.options_size = sizeof(struct add_options),
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX,
	.run = add,
};

/* ---- port ls ---- */

static void row(struct table *t, const js *port)
{
	auto_free char *guest = mem_printf("%.0f", js_num(js_get(port, "guestPort"), 0));
	auto_free char *connections = mem_printf("%.0f", js_num(js_get(port, "connections"), 0));
	const char *const cells[] = { js_str(js_get(port, "address"), ""), guest, js_str(js_get(port, "state"), ""), connections,
		js_str(js_get(port, "reason"), "") };
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		table_cell(t, cells[i]);
}

static int ls(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "ADDRESS", "GUEST PORT", "STATE", "CONNECTIONS", "REASON" };
	static const struct listing ports = { "ports", headers, ARRAY_LEN(headers), row };
	(void)opts;
	struct call call = { .op = SBX_OP_LIST_PORTS, .path = { args->v[0] } };
	auto_js *v = cli_ask(cli, &call, err);
	if (!v)
		return -1;
	listing_print(cli, &ports, js_get(v, "ports"));
	return 0;
}

const struct command cmd_port_ls = {
	.group = "port",
	.name = "ls",
	.alias = "list",
	.summary = "List the ports of this machine that lead into a sandbox",
	.usage = "SANDBOX",
	.example = "  sbx port ls demo",
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX,
	.run = ls,
};

/* ---- port rm ---- */

static int rm(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	const struct args ports = { .v = args->v + 1, .n = args->n - 1 };
	return listing_remove(cli, SBX_OP_REMOVE_PORT, args->v[0], &ports, err);
}

const struct command cmd_port_rm = {
	.group = "port",
	.name = "rm",
	.alias = "delete",
	.summary = "Close ports and cut their connections",
	.usage = "SANDBOX PORT...",
	.example = "  sbx port rm demo 8080",
	.min_args = 2,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX,
	.run = rm,
};

/* ---- port url ---- */

static js *start_proxy(struct client *c, const char *address, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "address", address);
	jw_kstr(&w, "kind", "proxy");
	jw_obj_end(&w);
	struct call call = { .op = SBX_OP_ADD_LISTENER, .json = &body };
	return client_json(c, &call, err);
}

static const js *find_proxy(const js *system)
{
	js_each (l, js_get(system, "listeners"))
		if (str_same(js_str(js_get(l, "kind"), NULL), "proxy"))
			return l;
	return NULL;
}

static int put_url(struct cli *cli, const js *proxy, const js *sandbox, int64_t port)
{
	const char *address = js_str(js_get(proxy, "address"), ""), *colon = strrchr(address, ':');
	const char *name = js_str(js_get(sandbox, "name"), js_str(js_get(sandbox, "id"), ""));
	auto_free char *url = mem_printf(
		"http://%lld-%s.%s%s/", (long long)port, name, js_str(js_get(proxy, "suffix"), "localhost"), colon ? colon : "");
	auto_buf text = BUF_INIT;
	struct jw w;
	jw_init(&w, &text);
	jw_obj(&w);
	jw_kstr(&w, "url", url);
	jw_obj_end(&w);
	auto_js *doc = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, NULL);
	cli_document(cli, doc);
	if (cli->format == FORMAT_TABLE)
		buf_fmt(&cli->out, "%s\n", url);
	return 0;
}

static int show_url(struct cli *cli, struct client *c, const char *name, int64_t port, struct err *err)
{
	struct call get = { .op = SBX_OP_GET_SANDBOX, .path = { name } }, look = { .op = SBX_OP_GET_SYSTEM };
	auto_js *sandbox = client_json(c, &get, err);
	auto_js *system = sandbox ? client_json(c, &look, err) : NULL;
	if (!system)
		return -1;
	if (find_proxy(system))
		return put_url(cli, find_proxy(system), sandbox, port);
	struct err taken = ERR_INIT;
	auto_js *usual = start_proxy(c, PROXY_ADDRESS, &taken);
	if (usual)
		return put_url(cli, usual, sandbox, port);
	auto_js *other = start_proxy(c, "127.0.0.1:0", err);
	return other ? put_url(cli, other, sandbox, port) : -1;
}

static int url(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	struct client c;
	int64_t port = 0;
	if (parse_int(args->v[1], "port", 1, 65535, &port, err)) {
		if (err)
			err->code = ERR_USAGE;
		return -1;
	}
	if (cli_client(cli, &c, err))
		return -1;
	int rc = show_url(cli, &c, args->v[0], port, err);
	client_close(&c);
	return rc;
}

const struct command cmd_port_url = {
	.group = "port",
	.name = "url",
	.summary = "Print the address by which browsers reach an HTTP server in a sandbox",
	.usage = "SANDBOX PORT",
	.about = "It goes through the daemon's proxy, which is started on " PROXY_ADDRESS " if none runs (see sbx up --proxy).",
	.example = "  sbx port url demo 3000\n  curl $(sbx port url demo 3000)",
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX,
	.run = url,
};
