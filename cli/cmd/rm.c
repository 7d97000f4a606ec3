#include <stdlib.h>

#include "cli/cli.h"
#include "cli/pages.h"
#include "shared/base/mem.h"

struct options {
	bool force, all, yes;
};

static const struct opt options[] = {
	{ .kind = OPT_BOOL,
		.letter = 'f',
		.name = "force",
		.help = "no error for one that does not exist",
		.off = offsetof(struct options, force) },
	{ .kind = OPT_BOOL, .name = "all", .help = "every sandbox", .off = offsetof(struct options, all) },
	{ .kind = OPT_BOOL, .letter = 'y', .name = "yes", .help = "do not ask about --all", .off = offsetof(struct options, yes) },
	{ .kind = OPT_END },
};

/* The others are removed all the same when one cannot be: each failure is told, and counted. */
static size_t remove_each(struct cli *cli, struct client *c, char *const *names, size_t n, bool force)
{
	size_t failed = 0;
	for (size_t i = 0; i < n; i++) {
		struct err err = ERR_INIT;
		struct call call = { .op = SBX_OP_DELETE_SANDBOX, .path = { names[i] } };
		if (client_call(c, &call, NULL, &err) == 0 || (force && err.code == ERR_NOT_FOUND))
			continue;
		cli_error(cli, &err);
		failed++;
		if (err.code == ERR_UNAVAILABLE && c->fd < 0)
			return failed + n - i - 1; /* no daemon: the rest would say the same */
	}
	return failed;
}

struct ids {
	char **v;
	size_t n;
};

static int add_id(void *arg, const js *sandbox)
{
	struct ids *ids = arg;
	ids->v = mem_grow(ids->v, ids->n + 1, sizeof(*ids->v));
	ids->v[ids->n++] = mem_strdup(js_str(js_get(sandbox, "id"), ""));
	return 0;
}

static int remove_all(struct cli *cli, struct client *c, const struct options *o, struct err *err)
{
	struct ids ids = { 0 };
	int rc = pages_each(c, &(struct list_filter){ 0 }, add_id, &ids, err);
	if (rc == 0 && ids.n && !o->yes) {
		auto_free char *question = mem_printf("remove %zu sandbox%s", ids.n, ids.n == 1 ? "" : "es");
		int yes = cli_confirm(question, "try: sbx rm --all --yes", err);
		rc = yes < 0 ? -1 : !yes;
	}
	if (rc == 0)
		rc = remove_each(cli, c, ids.v, ids.n, true) > 0;
	for (size_t i = 0; i < ids.n; i++)
		free(ids.v[i]);
	free(ids.v);
	return rc;
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	if (o->all == (args->n > 0)) {
		err_set(err, ERR_USAGE, o->all ? "--all takes no names" : "arguments are missing");
		return err_hint(err, "usage: sbx rm [options] SANDBOX...");
	}
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	int rc = o->all ? remove_all(cli, &c, o, err) : remove_each(cli, &c, args->v, args->n, o->force) > 0;
	client_close(&c);
	return rc;
}

const struct command cmd_rm = {
	.name = "rm",
	.alias = "delete",
	.summary = "Remove sandboxes with all they hold",
	.usage = "[options] SANDBOX...",
	.example = "  sbx rm demo\n  sbx rm -f demo other\n  sbx rm --all --yes",
	.options = options,
	.options_size = sizeof(struct options),
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX,
	.run = run,
};
