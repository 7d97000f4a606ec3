/*
 * builder: the sandbox that a Dockerfile's steps happen in, over the API: made, worked in, kept as snapshots, made an image,
 * removed.
 *
 * Signals are held back by the caller (cli_signal_fd) and cancel calls: err->sys is EINTR then. builder_remove in any case.
 */
#ifndef SBX_CLI_BUILD_BUILDER_H
#define SBX_CLI_BUILD_BUILDER_H

#include "cli/build/config.h"
#include "cli/build/context.h"
#include "cli/cli.h"

#define BUILDER_SNAPSHOT "build." /* before the key of a step */
#define BUILDER_KEY 16

struct builder {
	struct cli *cli;
	struct client *c;
	char *sandbox; /* id, or NULL */
};

/* What it begins with: a snapshot, or else an image; memory_mb and vcpus 0: as that has it. */
struct builder_start {
	const char *image, *snapshot;
	int64_t memory_mb, vcpus;
};
int builder_make(struct builder *b, const struct builder_start *start, struct err *err);
/* A failure is said. */
void builder_remove(struct builder *b);

/* Run a command with our standard error as its outputs. Its exit code, or -1 with err. */
int builder_run(struct builder *b, const struct image_config *config, const struct strings *command, struct err *err);
/* Is this so: an exit code of 0 of the command in a shell? -1 with err. */
int builder_test(struct builder *b, const char *command, struct err *err);
/* "USER[:GROUP]", names or numbers. Without a group it is the user's number. */
int builder_owner(struct builder *b, const char *text, struct context_owner *out, struct err *err);
/* Where a copy goes. 1: it is a folder there, 0: it is not, or there is none. */
int builder_is_folder(struct builder *b, const char *path, struct err *err);
int builder_mkdir(struct builder *b, const char *path, struct err *err);

/* A tar stream into a folder, which is made: begin, feed (a context_write) and end. */
int builder_unpack_begin(struct builder *b, const char *folder, struct err *err);
int builder_unpack_feed(void *arg, const void *data, size_t n, struct err *err);
int builder_unpack_end(struct builder *b, int rc, struct err *err);

int builder_snapshot(struct builder *b, const char *key, struct err *err);
/* Shut it down and make it an image. The image, NULL with err. */
js *builder_commit(struct builder *b, const struct image_config *config, const char *name, const char *source, struct err *err);

#endif
