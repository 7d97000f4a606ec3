#include "cli/cli.h"
#include "cli/pages.h"
#include "cli/render/table.h"
#include "cli/render/text.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

struct options {
	struct list_filter filter;
	bool quiet;
};

static const char *const states[] = { "creating", "running", "pausing", "paused", "resuming", "stopping", "stopped", "starting",
	"deleting", "pooled", NULL };

static const struct opt options[] = {
	{ .kind = OPT_ENUM,
		.name = "state",
		.arg = "STATE",
		.help = "only those in this state: running, paused, stopped and so on",
		.off = offsetof(struct options, filter.state),
		.choices = states },
	{ .kind = OPT_STR,
		.name = "name",
		.arg = "TEXT",
		.help = "only names that begin so",
		.off = offsetof(struct options, filter.name) },
	{ .kind = OPT_STR,
		.name = "label",
		.arg = "K[=V]",
		.help = "only those with this label",
		.off = offsetof(struct options, filter.label) },
	{ .kind = OPT_STR,
		.name = "image",
		.arg = "IMAGE",
		.help = "only those made from it",
		.off = offsetof(struct options, filter.image) },
	{ .kind = OPT_BOOL,
		.name = "pool",
		.help = "also those that wait for a create to take them",
		.off = offsetof(struct options, filter.pool) },
	{ .kind = OPT_BOOL, .letter = 'q', .name = "quiet", .help = "ids only", .off = offsetof(struct options, quiet) },
	{ .kind = OPT_END },
};

struct listing {
	struct cli *cli;
	bool quiet;
	struct table table;
	struct buf all; /* the array, for json and yaml */
	struct jw w;
	int64_t now;
};

static int add_row(struct listing *l, const js *s)
{
	auto_buf memory = BUF_INIT, age = BUF_INIT, cpus = BUF_INIT;
	text_size(&memory, (int64_t)js_num(js_get(s, "memoryMb"), 0) << 20);
	text_age(&age, js_str(js_get(s, "createdAt"), ""), l->now);
	buf_fmt(&cpus, "%.0f", js_num(js_get(s, "vcpus"), 0));
	const char *const cells[] = { js_str(js_get(s, "id"), ""), js_str(js_get(s, "name"), ""), js_str(js_get(s, "state"), ""),
		js_str(js_get(s, "image"), ""), cpus.p, memory.p, age.p };
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		table_cell(&l->table, cells[i]);
	return 0;
}

static int each(void *arg, const js *sandbox)
{
	struct listing *l = arg;
	if (l->quiet)
		buf_fmt(&l->cli->out, "%s\n", js_str(js_get(sandbox, "id"), ""));
	else if (l->cli->format == FORMAT_TABLE)
		return add_row(l, sandbox);
	else
		jw_js(&l->w, sandbox);
	return 0;
}

static int show(struct listing *l, struct err *err)
{
	if (l->quiet)
		return 0;
	if (l->cli->format == FORMAT_TABLE) {
		if (l->table.count > l->table.columns)
			table_print(&l->table, &l->cli->out);
		else
			cli_warn(l->cli, "no sandboxes found");
		return 0;
	}
	jw_arr_end(&l->w);
	auto_js *doc =
		js_parse(l->all.p, l->all.len, (struct js_limits){ .bytes = BUF_MAX, .depth = 64, .members = 100000000 }, err);
	if (!doc)
		return -1;
	cli_document(l->cli, doc);
	return 0;
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "ID", "NAME", "STATE", "IMAGE", "CPUS", "MEMORY", "AGE" };
	const struct options *o = opts;
	(void)args;
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	struct listing l = { .cli = cli, .quiet = o->quiet, .all = BUF_INIT, .now = clock_wall_ms() };
	table_init(&l.table, headers, ARRAY_LEN(headers));
	jw_init(&l.w, &l.all);
	jw_arr(&l.w);
	int rc = pages_each(&c, &o->filter, each, &l, err);
	if (rc == 0)
		rc = show(&l, err);
	table_free(&l.table);
	buf_free(&l.all);
	client_close(&c);
	return rc;
}

const struct command cmd_ls = {
	.name = "ls",
	.alias = "list",
	.summary = "List sandboxes",
	.usage = "[options]",
	.example = "  sbx ls\n  sbx ls --label team=red -o json\n  sbx rm $(sbx ls -q --name test-)",
	.options = options,
	.options_size = sizeof(struct options),
	.command_after = NO_COMMAND,
	.run = run,
};
