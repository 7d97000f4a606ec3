#include "cli/cli.h"
#include "shared/base/mem.h"

struct options {
	struct opt_num count;
	struct opt_list names;
};

static const struct opt options[] = {
	{ .kind = OPT_INT,
		.letter = 'n',
		.name = "count",
		.arg = "N",
		.help = "number of children (default: as many as there are names, at least 1)",
		.off = offsetof(struct options, count),
		.min = 1,
		.max = 100 },
	{ .kind = OPT_LIST,
		.name = "name",
		.arg = "NAME",
		.help = "name of a child, repeatable",
		.off = offsetof(struct options, names) },
	{ .kind = OPT_END },
};

static void request_body(const struct options *o, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_kint(&w, "count", o->count.set ? (int64_t)o->count.v : o->names.n ? (int64_t)o->names.n : 1);
	jw_key(&w, "names");
	jw_arr(&w);
	for (size_t i = 0; i < o->names.n; i++)
		jw_str(&w, o->names.v[i]);
	jw_arr_end(&w);
	jw_obj_end(&w);
}

/* Children whose ids nobody got would only be left behind. */
static void undo(struct cli *cli, struct client *c, const js *children)
{
	js_each (child, children) {
		struct err err = ERR_INIT;
		struct call call = { .op = SBX_OP_DELETE_SANDBOX, .path = { js_str(js_get(child, "id"), "") } };
		if (client_call(c, &call, NULL, &err))
			cli_error(cli, &err);
	}
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	auto_buf body = BUF_INIT;
	struct client c;
	if (o->count.set && (double)o->names.n > o->count.v)
		return err_set(err, ERR_USAGE, "there are more names than children");
	if (cli_client(cli, &c, err))
		return -1;
	c.timeout_ms = 0; /* the daemon has limits of its own */
	request_body(o, &body);
	struct call call = { .op = SBX_OP_FORK_SANDBOX, .path = { args->v[0] }, .json = &body };
	auto_js *result = client_json(&c, &call, err);
	int rc = -1;
	if (result) {
		const js *children = js_get(result, "sandboxes");
		if (cli->format == FORMAT_TABLE)
			js_each (child, children)
				buf_fmt(&cli->out, "%s\n", js_str(js_get(child, "id"), ""));
		cli_document(cli, children);
		rc = cli_flush(cli, err);
		if (rc)
			undo(cli, &c, children);
	}
	client_close(&c);
	return rc;
}

const struct command cmd_fork = {
	.name = "fork",
	.summary = "Make children that go on from this instant of a sandbox, and print their ids",
	.usage = "SANDBOX [-n N] [--name NAME]...",
	.about = "All or none. Each child has the memory, processes and files of its parent, and an id, a host name, an address "
		 "and random\n"
		 "numbers of its own. The parent may run, which it goes on doing, or be paused.",
	.example = "  sbx fork demo --name demo2\n  for id in $(sbx fork demo -n 10); do sbx exec $id -- ./test.sh; done",
	.options = options,
	.options_size = sizeof(struct options),
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX_ALIVE,
	.run = run,
};
