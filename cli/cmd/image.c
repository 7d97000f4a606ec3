#include "cli/build/build.h"
#include "cli/cli.h"
#include "cli/listing.h"
#include "cli/ndjson.h"
#include "cli/render/text.h"
#include "cli/term/status.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- image ls ---- */

static void row(struct table *t, const js *image)
{
	auto_buf size = BUF_INIT, age = BUF_INIT;
	const char *created = js_str(js_get(image, "createdAt"), NULL);
	if (js_type(js_get(image, "sizeBytes")) == JS_NUMBER)
		text_size(&size, (int64_t)js_num(js_get(image, "sizeBytes"), 0));
	if (created)
		text_age(&age, created, clock_wall_ms());
	const char *const cells[] = { js_str(js_get(image, "name"), ""), js_str(js_get(image, "state"), ""), size.p,
		js_str(js_get(image, "kernel"), ""), js_str(js_get(image, "key"), ""), age.p };
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		table_cell(t, cells[i]);
}

static int ls(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "NAME", "STATE", "SIZE", "KERNEL", "KEY", "AGE" };
	static const struct listing images = { "images", headers, ARRAY_LEN(headers), row };
	(void)opts;
	(void)args;
	const struct call call = { .op = SBX_OP_LIST_IMAGES };
	return listing_call(cli, &images, &call, "images", err);
}

const struct command cmd_image_ls = {
	.group = "image",
	.name = "ls",
	.alias = "list",
	.summary = "List images",
	.usage = "",
	.example = "  sbx image ls",
	.command_after = NO_COMMAND,
	.run = ls,
};

/* ---- image inspect ---- */

static int inspect(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	return listing_show(cli, SBX_OP_GET_IMAGE, args->v[0], err);
}

const struct command cmd_image_inspect = {
	.group = "image",
	.name = "inspect",
	.summary = "Show all about an image",
	.usage = "IMAGE",
	.example = "  sbx image inspect base",
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_IMAGE,
	.run = inspect,
};

/* ---- image build ---- */

struct build_options {
	struct opt_num vcpus, memory;
	const char *tag, *file;
	struct opt_list args;
	bool no_cache;
};

static const struct opt build_options[] = {
	{ .kind = OPT_INT,
		.name = "vcpus",
		.arg = "N",
		.help = "virtual CPUs of the template to prepare (default 1)",
		.off = offsetof(struct build_options, vcpus),
		.min = 1,
		.max = 16 },
	{ .kind = OPT_INT,
		.name = "memory",
		.arg = "MIB",
		.help = "its memory in MiB (default: of the image)",
		.off = offsetof(struct build_options, memory),
		.min = 128,
		.max = 16384 },
	{ .kind = OPT_STR,
		.letter = 't',
		.name = "tag",
		.arg = "NAME[:VERSION]",
		.help = "with a Dockerfile: what to call the image (default: as the folder)",
		.off = offsetof(struct build_options, tag) },
	{ .kind = OPT_STR,
		.letter = 'f',
		.name = "file",
		.arg = "FILE",
		.help = "the Dockerfile (default: DIR/Dockerfile)",
		.off = offsetof(struct build_options, file) },
	{ .kind = OPT_ENV,
		.name = "build-arg",
		.arg = "K=V",
		.help = "value of an ARG, repeatable; K alone takes our value",
		.off = offsetof(struct build_options, args) },
	{ .kind = OPT_BOOL, .name = "no-cache", .help = "do all steps again", .off = offsetof(struct build_options, no_cache) },
	{ .kind = OPT_END },
};

struct build {
	struct cli *cli;
	struct status status;
	int64_t start_ms;
	bool done;
};

static void finished(struct build *b, const js *image)
{
	if (b->cli->format == FORMAT_TABLE)
		buf_fmt(&b->cli->out, "%s\n", js_str(js_get(image, "key"), js_str(js_get(image, "name"), "")));
	cli_document(b->cli, image);
}

static int on_event(void *arg, const js *event, struct err *err)
{
	struct build *b = arg;
	if (js_get(event, "error"))
		return client_api_error(js_get(event, "error"), 500, err);
	if (js_bool(js_get(event, "done"), false)) {
		b->done = true;
		finished(b, js_get(event, "image"));
		return 0;
	}
	double s = (double)(clock_mono_ms() - b->start_ms) / 1000;
	status_set(&b->status, "%4.1f s  %s: %s", s, js_str(js_get(event, "phase"), ""), js_str(js_get(event, "message"), ""));
	return 0;
}

static int request_body(const struct build_options *o, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	if (o->vcpus.set)
		jw_kint(&w, "vcpus", (int64_t)o->vcpus.v);
	if (o->memory.set)
		jw_kint(&w, "memoryMb", (int64_t)o->memory.v);
	jw_obj_end(&w);
	return 0;
}

static int build_recipe(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct client c;
	auto_buf body = BUF_INIT;
	if (request_body(opts, &body) || cli_client(cli, &c, err))
		return -1;
	c.timeout_ms = 0; /* it takes as long as it takes, and says so */
	struct build b = { .cli = cli, .start_ms = clock_mono_ms() };
	status_init(&b.status);
	struct call call = { .op = SBX_OP_BUILD_IMAGE, .path = { args->v[0] }, .json = &body };
	int rc = ndjson_call(&c, &call, on_event, &b, err);
	status_clear(&b.status);
	client_close(&c);
	if (rc == 0 && !b.done)
		return err_set(err, ERR_PROTOCOL, "the daemon did not say how the build ended");
	return rc;
}

static int build(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct build_options *o = opts;
	if (build_is_context(args->v[0])) {
		const struct build_spec spec = { .tag = o->tag,
			.file = o->file,
			.from = args->v[0],
			.args = &o->args,
			.no_cache = o->no_cache,
			.memory_mb = o->memory.set ? (int64_t)o->memory.v : 0,
			.vcpus = o->vcpus.set ? (int64_t)o->vcpus.v : 0 };
		return build_run(cli, &spec, err);
	}
	if (o->tag || o->file || o->args.n || o->no_cache) {
		err_set(err, ERR_USAGE, "'%s' is no folder with a Dockerfile, which these options are for", args->v[0]);
		return err_hint(err, "to build from here: sbx image build -t NAME .");
	}
	return build_recipe(cli, opts, args, err);
}

const struct command cmd_image_build = {
	.group = "image",
	.name = "build",
	.summary = "Build an image and its template",
	.usage = "[options] IMAGE|DIR|DOCKERFILE",
	.about = "IMAGE is one of ours: its key is printed, a hash of all it is made of; one that is current is not built again.\n"
		 "DIR is a folder with a Dockerfile (a word with a slash, or one that is there): its steps are done in a sandbox, "
		 "each\n"
		 "is kept and not done again while nothing before it has changed, and the name of the image is printed.",
	.example = "  sbx image build base\n"
		   "  sbx image build -t app:1 . && sbx run --image app:1 -- ls\n"
		   "  sbx image build -t app --build-arg VERSION=2 -f docker/Dockerfile src/",
	.options = build_options,
	.options_size = sizeof(struct build_options),
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_IMAGE,
	.run = build,
};
