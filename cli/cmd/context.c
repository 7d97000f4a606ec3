#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/render/table.h"
#include "shared/base/mem.h"

static void add(struct jw *w, const char *name, const char *endpoint, bool current)
{
	jw_obj(w);
	jw_kstr(w, "name", name);
	jw_kbool(w, "current", current);
	jw_kstr(w, "endpoint", endpoint);
	jw_obj_end(w);
}

/* The local daemon without the flags and variables that may hide it. */
static int local_endpoint(struct endpoint *out, struct err *err)
{
	const char *set = getenv("SBX_HOST");
	auto_free char *host = set ? mem_strdup(set) : NULL;
	unsetenv("SBX_HOST");
	int rc = endpoint_resolve(NULL, NULL, out, err);
	if (host)
		setenv("SBX_HOST", host, 1);
	return rc;
}

static int collect(struct cli *cli, struct buf *out, struct err *err)
{
	struct endpoint local;
	if (cli_endpoint(cli, err) || local_endpoint(&local, err))
		return -1;
	bool other = !cli->endpoint.managed;
	struct jw w;
	jw_init(&w, out);
	jw_arr(&w);
	add(&w, "default", local.shown, !other);
	if (other)
		add(&w, cli->globals.host ? "--host" : "SBX_HOST", cli->endpoint.shown, true);
	jw_arr_end(&w);
	endpoint_free(&local);
	return 0;
}

static int ls(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "NAME", "CURRENT", "ENDPOINT" };
	(void)opts;
	(void)args;
	auto_buf text = BUF_INIT;
	if (collect(cli, &text, err))
		return -1;
	auto_js *doc = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	if (!doc)
		return -1;
	cli_document(cli, doc);
	if (cli->format != FORMAT_TABLE)
		return 0;
	struct table t;
	table_init(&t, headers, ARRAY_LEN(headers));
	js_each (c, doc) {
		table_cell(&t, js_str(js_get(c, "name"), ""));
		table_cell(&t, js_bool(js_get(c, "current"), false) ? "*" : "");
		table_cell(&t, js_str(js_get(c, "endpoint"), ""));
	}
	table_print(&t, &cli->out);
	table_free(&t);
	return 0;
}

const struct command cmd_context_ls = {
	.group = "context",
	.name = "ls",
	.alias = "list",
	.summary = "List the endpoints that commands can go to",
	.usage = "",
	.example = "  sbx context ls\n  SBX_HOST=http://127.0.0.1:8080 sbx context ls",
	.command_after = NO_COMMAND,
	.run = ls,
};
