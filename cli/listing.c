#include "cli/listing.h"

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
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	auto_js *v = client_json(&c, call, err);
	client_close(&c);
	if (!v)
		return -1;
	listing_print(cli, l, js_get(v, member));
	return 0;
}
