#include "cli/listing.h"

#include "cli/render/value.h"

void listing_print(struct cli *cli, const struct listing *l, const js *items)
{
	cli_document(cli, items);
	if (cli->format != FORMAT_TABLE)
		return;
	if (!js_first(items)) {
		cli_warn(cli, "no %s found", l->what);
		return;
	}
	struct table t;
	table_init(&t, l->headers, l->columns);
	js_each (item, items)
		l->row(&t, item);
	table_print(&t, &cli->out);
	table_free(&t);
}

int listing_call(struct cli *cli, const struct listing *l, const struct call *call, const char *member, struct err *err)
{
	auto_js *v = cli_ask(cli, call, err);
	if (!v)
		return -1;
	listing_print(cli, l, js_get(v, member));
	return 0;
}

int listing_show(struct cli *cli, enum sbx_op op, const char *id, struct err *err)
{
	struct call call = { .op = op, .path = { id } };
	auto_js *v = cli_ask(cli, &call, err);
	if (!v)
		return -1;
	cli_document(cli, v);
	if (cli->format == FORMAT_TABLE)
		render_block(&cli->out, v);
	return 0;
}

int listing_remove(struct cli *cli, enum sbx_op op, const char *within, const struct args *names, struct err *err)
{
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	int rc = 0;
	for (size_t i = 0; i < names->n; i++) {
		struct err one = ERR_INIT;
		const char *name = names->v[i];
		struct call call = { .op = op, .path = { within ? within : name, within ? name : NULL } };
		if (client_call(&c, &call, NULL, &one) == 0)
			continue;
		cli_error(cli, &one);
		rc = 1;
		if (one.code == ERR_UNAVAILABLE && c.fd < 0)
			break; /* no daemon: the rest would say the same */
	}
	client_close(&c);
	return rc;
}
