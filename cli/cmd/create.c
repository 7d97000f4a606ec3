#include "cli/create.h"

#include <stdio.h>
#include "shared/base/mem.h"

struct options {
	struct create_options create;
	bool trace;
};

static const struct opt options[] = {
	CREATE_OPTIONS(struct options, create),
	{ .kind = OPT_BOOL,
		.name = "trace",
		.help = "say on standard error where the time went",
		.off = offsetof(struct options, trace) },
	{ .kind = OPT_TIME,
		.name = "idle",
		.arg = "TIME",
		.help = "pause it when it is not used for so long, as 90, 10m or 2h; its next use resumes it",
		.off = offsetof(struct options, create.idle),
		.max = 31536000 },
	{ .kind = OPT_END },
};

/* Each phase with its own time and when it was over. */
static void print_trace(const js *sandbox)
{
	double before = 0;
	js_each (it, js_get(sandbox, "createPhases")) {
		double ms = js_num(js_get(it, "ms"), 0);
		fprintf(stderr, "%-10s %8.1f ms  (%.1f)\n", js_str(js_get(it, "name"), ""), ms - before, ms);
		before = ms;
	}
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	(void)args;
	struct client c;
	auto_fd int sig_fd = cli_signal_fd(err);
	if (sig_fd < 0 || cli_client(cli, &c, err))
		return -1;
	int interrupted;
	auto_js *sandbox = create_sandbox(cli, &c, &o->create, sig_fd, &interrupted, err);
	if (!sandbox) {
		client_close(&c);
		return interrupted ? interrupted : -1;
	}
	if (o->trace)
		print_trace(sandbox);
	if (cli->format == FORMAT_TABLE)
		buf_fmt(&cli->out, "%s\n", js_str(js_get(sandbox, "id"), ""));
	cli_document(cli, sandbox);
	/* a sandbox whose id nobody got would only be left behind */
	int rc = cli_flush(cli, err);
	if (rc)
		create_undo(cli, &c, sandbox);
	client_close(&c);
	return rc;
}

const struct command cmd_create = {
	.name = "create",
	.summary = "Create a sandbox and print its id",
	.usage = "[options]",
	.about = "All or nothing: what fails or is interrupted leaves nothing behind. The first create of an image builds it.",
	.example = "  sbx create --name demo\n  id=$(sbx create --memory 512 --env LANG=C.UTF-8 --timeout 3600)\n"
		   "  sbx create --name box --idle 10m\n"
		   "  sbx create --name work --fs main; sbx fs push work:/work main",
	.options = options,
	.options_size = sizeof(struct options),
	.command_after = NO_COMMAND,
	.run = run,
};
