/* snapshot create, ls, inspect and rm: the state of sandboxes, kept under names. */
#include "cli/cli.h"
#include "cli/listing.h"
#include "cli/render/text.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- create ---- */

struct create_options {
	bool replace;
};

static const struct opt create_options[] = {
	{ .kind = OPT_BOOL,
		.name = "replace",
		.help = "take the place of a snapshot of that name",
		.off = offsetof(struct create_options, replace) },
	{ .kind = OPT_END },
};

static int create(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct create_options *o = opts;
	auto_buf body = BUF_INIT;
	struct client c;
	struct jw w;
	if (cli_client(cli, &c, err))
		return -1;
	c.timeout_ms = 0; /* as long as its memory takes to store */
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "name", args->v[1]);
	jw_kbool(&w, "replace", o->replace);
	jw_obj_end(&w);
	struct call call = { .op = SBX_OP_CREATE_SNAPSHOT, .path = { args->v[0] }, .json = &body };
	auto_js *v = client_json(&c, &call, err);
	client_close(&c);
	if (!v)
		return -1;
	cli_document(cli, v);
	if (cli->format == FORMAT_TABLE)
		buf_fmt(&cli->out, "%s\n", js_str(js_get(v, "name"), ""));
	return 0;
}

const struct command cmd_snapshot_create = {
	.group = "snapshot",
	.name = "create",
	.summary = "Keep the state of a running or paused sandbox under a name, and print that",
	.usage = "[--replace] SANDBOX NAME",
	.about = "Memory, processes and files. A running sandbox is stopped for some ten milliseconds and goes on. It is in the "
		 "store,\n"
		 "where only what differs from its image and from other snapshots takes room.",
	.example = "  sbx snapshot create demo warm && sbx create --snapshot warm --name demo2\n"
		   "  sbx snapshot create demo warm --replace",
	.options = create_options,
	.options_size = sizeof(struct create_options),
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX_ALIVE,
	.run = create,
};

/* ---- ls ---- */

static void row(struct table *t, const js *snapshot)
{
	auto_buf memory = BUF_INIT, disk = BUF_INIT, age = BUF_INIT;
	text_size(&memory, (int64_t)js_num(js_get(snapshot, "memoryMb"), 0) << 20);
	if (js_type(js_get(snapshot, "diskMb")) == JS_NUMBER)
		text_size(&disk, (int64_t)js_num(js_get(snapshot, "diskMb"), 0) << 20);
	text_age(&age, js_str(js_get(snapshot, "createdAt"), ""), clock_wall_ms());
	auto_free char *vcpus = mem_printf("%.0f", js_num(js_get(snapshot, "vcpus"), 0));
	auto_free char *tree = mem_printf("%.12s", js_str(js_get(snapshot, "tree"), ""));
	const char *const cells[] = { js_str(js_get(snapshot, "name"), ""), js_str(js_get(snapshot, "image"), ""), vcpus, memory.p,
		disk.p, js_str(js_get(snapshot, "parent"), ""), tree, age.p };
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		table_cell(t, cells[i]);
}

struct ls_options {
	bool all;
};

static const struct opt ls_options[] = {
	{ .kind = OPT_BOOL,
		.letter = 'a',
		.name = "all",
		.help = "those that builds of images keep, too",
		.off = offsetof(struct ls_options, all) },
	{ .kind = OPT_END },
};

static int ls(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "NAME", "IMAGE", "VCPUS", "MEMORY", "DISK", "SANDBOX", "TREE", "AGE" };
	static const struct listing snapshots = { "snapshots", headers, ARRAY_LEN(headers), row };
	const struct ls_options *o = opts;
	const struct call call = { .op = SBX_OP_LIST_SNAPSHOTS, .query = { { "all", o->all ? "true" : NULL } } };
	(void)args;
	return listing_call(cli, &snapshots, &call, "snapshots", err);
}

const struct command cmd_snapshot_ls = {
	.group = "snapshot",
	.name = "ls",
	.alias = "list",
	.summary = "List snapshots",
	.usage = "[--all]",
	.options = ls_options,
	.options_size = sizeof(struct ls_options),
	.example = "  sbx snapshot ls",
	.command_after = NO_COMMAND,
	.run = ls,
};

/* ---- inspect ---- */

static int inspect(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	return listing_show(cli, SBX_OP_GET_SNAPSHOT, args->v[0], err);
}

const struct command cmd_snapshot_inspect = {
	.group = "snapshot",
	.name = "inspect",
	.summary = "Show all about a snapshot",
	.usage = "SNAPSHOT",
	.about = "Its tree is one of the store: 'sbx fs ls TREE' lists what it is made of.",
	.example = "  sbx snapshot inspect warm",
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_SNAPSHOT,
	.run = inspect,
};

/* ---- rm ---- */

static int rm(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	return listing_remove(cli, SBX_OP_DELETE_SNAPSHOT, NULL, args, err);
}

const struct command cmd_snapshot_rm = {
	.group = "snapshot",
	.name = "rm",
	.alias = "delete",
	.summary = "Forget snapshots",
	.usage = "SNAPSHOT...",
	.about = "Sandboxes that were created from one go on. Its room in the store comes back with 'sbx fs gc'.",
	.example = "  sbx snapshot rm warm && sbx fs gc",
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_SNAPSHOT,
	.run = rm,
};
