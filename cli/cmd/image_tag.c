/* image tag and rm: the names of imported images. */
#include "cli/cli.h"
#include "cli/listing.h"
#include "shared/base/mem.h"

static int tag(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "tag", args->v[1]);
	jw_obj_end(&w);
	struct call call = { .op = SBX_OP_TAG_IMAGE, .path = { args->v[0] }, .json = &body };
	auto_js *v = cli_ask(cli, &call, err);
	if (!v)
		return -1;
	cli_document(cli, v);
	return 0;
}

const struct command cmd_image_tag = {
	.group = "image",
	.name = "tag",
	.summary = "Give an imported image another name",
	.usage = "IMAGE NAME[:VERSION]",
	.about = "IMAGE is a name, or the digest that 'sbx image inspect' shows, or its first digits. A name that another image "
		 "had\n"
		 "moves; without a version it is NAME:latest.",
	.example = "  sbx image tag app:3 app",
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_IMAGE,
	.run = tag,
};

static int rm(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	return listing_remove(cli, SBX_OP_DELETE_IMAGE, NULL, args, err);
}

const struct command cmd_image_rm = {
	.group = "image",
	.name = "rm",
	.alias = "remove",
	.summary = "Remove names of imported images, and those without another",
	.usage = "IMAGE...",
	.about = "By digest an image goes with all its names. One that sandboxes use stays.",
	.example = "  sbx image rm app:2",
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_IMAGE,
	.run = rm,
};
