/* image commit: an image of a stopped sandbox's disk. */
#include "cli/cli.h"
#include "shared/base/mem.h"

struct options {
	const char *workdir, *user;
	bool systemd;
};

static const struct opt options[] = {
	{ .kind = OPT_STR,
		.letter = 'w',
		.name = "workdir",
		.arg = "DIR",
		.help = "folder that commands of its sandboxes run in",
		.off = offsetof(struct options, workdir) },
	{ .kind = OPT_STR,
		.letter = 'u',
		.name = "user",
		.arg = "USER",
		.help = "who they run as",
		.off = offsetof(struct options, user) },
	{ .kind = OPT_BOOL,
		.name = "systemd",
		.help = "systemd is its init: give it the memory and the time for that",
		.off = offsetof(struct options, systemd) },
	{ .kind = OPT_END },
};

static void request_body(const struct options *o, const char *name, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "name", name);
	jw_key(&w, "config");
	jw_obj(&w);
	if (o->user)
		jw_kstr(&w, "user", o->user);
	if (o->workdir)
		jw_kstr(&w, "workdir", o->workdir);
	jw_obj_end(&w);
	jw_kbool(&w, "systemd", o->systemd);
	jw_obj_end(&w);
}

static int commit(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct client c;
	auto_buf body = BUF_INIT;
	request_body(opts, args->v[1], &body);
	if (cli_client(cli, &c, err))
		return -1;
	c.timeout_ms = 0; /* a large disk takes its time */
	struct call call = { .op = SBX_OP_COMMIT_IMAGE, .path = { args->v[0] }, .json = &body };
	auto_js *v = client_json(&c, &call, err);
	client_close(&c);
	if (!v)
		return -1;
	if (cli->format == FORMAT_TABLE)
		buf_fmt(&cli->out, "%s\n", js_str(js_get(v, "name"), ""));
	cli_document(cli, v);
	return 0;
}

const struct command cmd_image_commit = {
	.group = "image",
	.name = "commit",
	.summary = "Make an image of a stopped sandbox's disk",
	.usage = "[options] SANDBOX NAME[:VERSION]",
	.about = "The sandbox stays, and is as it was. The name is printed. The same disk and options are the same image.",
	.example = "  sbx stop demo && sbx image commit demo mine && sbx run --image mine -- ls",
	.options = options,
	.options_size = sizeof(struct options),
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX_STOPPED,
	.run = commit,
};
