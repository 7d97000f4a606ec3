/* audit: who did what in a team. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/listing.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define PAGE_MAX 1000
#define LIMIT_DEFAULT 100

struct options {
	struct opt_list types, actions;
	struct opt_num since, limit;
};

static const struct opt options[] = {
	{ .kind = OPT_LIST,
		.name = "type",
		.arg = "T",
		.help = "only this kind of thing, repeatable: sandbox, snapshot, team, member, api_key, host or channel",
		.off = offsetof(struct options, types) },
	{ .kind = OPT_LIST,
		.name = "action",
		.arg = "A",
		.help = "only this action, repeatable, such as create or destroy",
		.off = offsetof(struct options, actions) },
	OPTION_SINCE(struct options),
	{ .kind = OPT_INT,
		.name = "limit",
		.arg = "N",
		.help = "at most so many (default 100)",
		.off = offsetof(struct options, limit),
		.min = 1,
		.max = 1000000 },
	{ .kind = OPT_END },
};

static void row(struct table *t, const js *note)
{
	const js *actor = js_get(note, "actor");
	const char *const cells[] = { js_str(js_get(note, "createdAt"), ""),
		js_str(js_get(actor, "name"), js_str(js_get(actor, "kind"), "")), js_str(js_get(note, "type"), ""),
		js_str(js_get(note, "action"), ""), js_str(js_get(note, "resource"), ""), js_str(js_get(note, "status"), "") };
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		table_cell(t, cells[i]);
}

/* "a,b"; NULL for none. */
static char *joined(const struct opt_list *list)
{
	auto_buf all = BUF_INIT;
	for (size_t i = 0; i < list->n; i++)
		buf_fmt(&all, "%s%s", i ? "," : "", list->v[i]);
	return list->n ? buf_take(&all, NULL) : NULL;
}

/* The notes of all pages, up to the limit, as one array. */
static int collect(struct client *c, const struct kv *filters, size_t limit, struct buf *out, struct err *err)
{
	auto_free char *cursor = NULL;
	struct jw w;
	jw_init(&w, out);
	jw_arr(&w);
	do {
		char page[24];
		(void)snprintf(page, sizeof(page), "%zu", limit < PAGE_MAX ? limit : PAGE_MAX);
		struct call call = { .op = SBX_OP_LIST_AUDIT,
			.query = { filters[0], filters[1], filters[2], { "limit", page }, { "cursor", cursor } } };
		auto_js *v = client_json(c, &call, err);
		if (!v)
			return -1;
		js_each (note, js_get(v, "notes")) {
			jw_js(&w, note);
			limit -= limit > 0;
		}
		const char *next = js_str(js_get(v, "nextCursor"), NULL);
		/* a cursor that does not move would go round for ever */
		if (next && str_same(next, cursor))
			return err_set(err, ERR_PROTOCOL, "the list of the daemon does not end");
		mem_cleanup_free(&cursor);
		cursor = next ? mem_strdup(next) : NULL;
	} while (cursor && limit > 0);
	jw_arr_end(&w);
	return 0;
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "TIME", "ACTOR", "TYPE", "ACTION", "RESOURCE", "STATUS" };
	static const struct listing notes = { "notes", headers, ARRAY_LEN(headers), row };
	const struct options *o = opts;
	auto_free char *types = joined(&o->types), *actions = joined(&o->actions);
	char since[CLOCK_RFC3339_LEN];
	struct client c;
	auto_buf text = BUF_INIT;
	(void)args;
	if (cli_client(cli, &c, err))
		return -1;
	if (o->since.set)
		clock_rfc3339(clock_wall_ms() - (int64_t)o->since.v * 1000, since);
	const struct kv filters[] = { { "type", types }, { "action", actions }, { "since", o->since.set ? since : NULL } };
	int rc = collect(&c, filters, o->limit.set ? (size_t)o->limit.v : LIMIT_DEFAULT, &text, err);
	client_close(&c);
	struct js_limits limits = { .bytes = BUF_MAX, .depth = 8, .members = UINT32_MAX };
	auto_js *all = rc ? NULL : js_parse(text.p, text.len, limits, err);
	if (!all)
		return -1;
	listing_print(cli, &notes, all);
	return 0;
}

const struct command cmd_audit = {
	.name = "audit",
	.summary = "Show who did what in your team, newest first",
	.usage = "[--type T] [--action A] [--since TIME] [--limit N]",
	.about = "The owner and admins of the team see all; members do not see what is about members and hosts.",
	.example = "  sbx audit --since 1d\n  sbx audit --type member --type api_key -o json",
	.options = options,
	.options_size = sizeof(struct options),
	.command_after = NO_COMMAND,
	.run = run,
};
