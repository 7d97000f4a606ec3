#include "cli/cli.h"
#include "shared/base/mem.h"

/* ---- what pause, resume, start and stop do alike ---- */

/* The others are tried all the same when one cannot be: each failure is told. rc 0, or 1 when one failed. */
static int each(struct cli *cli, struct client *c, enum sbx_op op, const struct buf *body, const struct args *args, struct jw *done)
{
	int rc = 0;
	for (size_t i = 0; i < args->n; i++) {
		struct err err = ERR_INIT;
		struct call call = { .op = op, .path = { args->v[i] }, .json = body };
		auto_js *sandbox = client_json(c, &call, &err);
		if (sandbox) {
			jw_js(done, sandbox);
			continue;
		}
		cli_error(cli, &err);
		rc = 1;
		if (err.code == ERR_UNAVAILABLE && c->fd < 0)
			break; /* no daemon: the rest would say the same */
	}
	return rc;
}

/* With -o json or yaml: what they are now, one object for one argument, an array for several. */
static int show(struct cli *cli, const struct buf *text, bool many, struct err *err)
{
	auto_js *list = js_parse(text->p, text->len, JS_LIMITS_DEFAULT, err);
	if (!list)
		return -1;
	if (many)
		cli_document(cli, list);
	else if (js_first(list))
		cli_document(cli, js_first(list));
	return 0;
}

static int change(struct cli *cli, enum sbx_op op, const struct buf *body, const struct args *args, struct err *err)
{
	struct client c;
	auto_buf text = BUF_INIT;
	struct jw w;
	if (cli_client(cli, &c, err))
		return -1;
	c.timeout_ms = 0; /* the daemon has limits of its own, and booting takes long in emulation */
	jw_init(&w, &text);
	jw_arr(&w);
	int rc = each(cli, &c, op, body, args, &w);
	jw_arr_end(&w);
	client_close(&c);
	return show(cli, &text, args->n > 1, err) ? -1 : rc;
}

/* ---- pause and resume ---- */

static int pause_each(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	return change(cli, SBX_OP_PAUSE_SANDBOX, NULL, args, err);
}

const struct command cmd_pause = {
	.name = "pause",
	.summary = "Freeze sandboxes: no process, memory and disk are kept",
	.usage = "SANDBOX...",
	.about = "Commands that are connected are cut off; in the sandbox they stay as they are and go on with it. All are tried "
		 "when\n"
		 "one cannot be paused; the exit code is then 1.",
	.example = "  sbx pause demo\n  sbx pause $(sbx ls -q --state running)",
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX_RUNNING,
	.run = pause_each,
};

static int resume_each(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	return change(cli, SBX_OP_RESUME_SANDBOX, NULL, args, err);
}

const struct command cmd_resume = {
	.name = "resume",
	.summary = "Let paused sandboxes go on where they were",
	.usage = "SANDBOX...",
	.about = "All are tried when one cannot be resumed; the exit code is then 1. One that was paused for idleness (sbx create "
		 "--idle)\n"
		 "is resumed by its next use.",
	.example = "  sbx resume demo\n  sbx resume $(sbx ls -q --state paused)",
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX_PAUSED,
	.run = resume_each,
};

/* ---- stop and start ---- */

struct stop_options {
	bool force;
};

static const struct opt stop_options[] = {
	{ .kind = OPT_BOOL,
		.letter = 'f',
		.name = "force",
		.help = "at once, without a word to the guest",
		.off = offsetof(struct stop_options, force) },
	{ .kind = OPT_END },
};

static int stop_each(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct stop_options *o = opts;
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kbool(&w, "force", o->force);
	jw_obj_end(&w);
	return change(cli, SBX_OP_STOP_SANDBOX, &body, args, err);
}

const struct command cmd_stop = {
	.name = "stop",
	.summary = "Shut sandboxes down: the disk is kept, memory is not",
	.usage = "[--force] SANDBOX...",
	.about = "The guest has ten seconds to end its processes and write its files; after that, or with --force, it is ended. "
		 "What a\n"
		 "paused one had in memory is dropped. All are tried when one cannot be stopped; the exit code is then 1.",
	.example = "  sbx stop demo\n  sbx stop --force stuck",
	.options = stop_options,
	.options_size = sizeof(struct stop_options),
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX_ALIVE,
	.run = stop_each,
};

static int start_each(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	return change(cli, SBX_OP_START_SANDBOX, NULL, args, err);
}

const struct command cmd_start = {
	.name = "start",
	.summary = "Boot stopped sandboxes from their disks",
	.usage = "SANDBOX...",
	.about = "All are tried when one cannot be started; the exit code is then 1.",
	.example = "  sbx start demo\n  sbx resize demo --memory 1024 && sbx stop demo && sbx start demo",
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX_STOPPED,
	.run = start_each,
};

/* ---- resize ---- */

struct resize_options {
	struct opt_num vcpus, memory, disk;
};

static const struct opt resize_options[] = {
	{ .kind = OPT_INT,
		.name = "vcpus",
		.arg = "N",
		.help = "virtual CPUs",
		.off = offsetof(struct resize_options, vcpus),
		.min = 1,
		.max = 16 },
	{ .kind = OPT_INT,
		.name = "memory",
		.arg = "MIB",
		.help = "memory in MiB",
		.off = offsetof(struct resize_options, memory),
		.min = 128,
		.max = 16384 },
	{ .kind = OPT_INT,
		.name = "disk",
		.arg = "MIB",
		.help = "size of the disk in MiB; it only grows",
		.off = offsetof(struct resize_options, disk),
		.min = 64,
		.max = 1048576 },
	{ .kind = OPT_END },
};

static int resize(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct resize_options *o = opts;
	auto_buf body = BUF_INIT;
	struct jw w;
	if (!o->vcpus.set && !o->memory.set && !o->disk.set) {
		err_set(err, ERR_USAGE, "none of --vcpus, --memory and --disk is given");
		return err_hint(err, "usage: sbx resize SANDBOX [--vcpus N] [--memory MIB] [--disk MIB]");
	}
	jw_init(&w, &body);
	jw_obj(&w);
	if (o->vcpus.set)
		jw_kint(&w, "vcpus", (int64_t)o->vcpus.v);
	if (o->memory.set)
		jw_kint(&w, "memoryMb", (int64_t)o->memory.v);
	if (o->disk.set)
		jw_kint(&w, "diskMb", (int64_t)o->disk.v);
	jw_obj_end(&w);
	return change(cli, SBX_OP_UPDATE_SANDBOX, &body, args, err);
}

const struct command cmd_resize = {
	.name = "resize",
	.summary = "Change the shape of a sandbox, from its next start on",
	.usage = "SANDBOX [--vcpus N] [--memory MIB] [--disk MIB]",
	.about = "What runs goes on as it is until it is stopped and started.",
	.example = "  sbx resize demo --vcpus 2 --memory 1024",
	.options = resize_options,
	.options_size = sizeof(struct resize_options),
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX,
	.run = resize,
};
