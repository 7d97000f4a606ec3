/*
 * transfer: the streams of `sbx cp` between this machine and sandboxes, with progress on a terminal.
 */
#ifndef SBX_CLI_TRANSFER_H
#define SBX_CLI_TRANSFER_H

#include "cli/cli.h"
#include "cli/pack.h"
#include "cli/term/status.h"
#include "cli/unpack.h"

struct transfer {
	struct cli *cli;
	struct client *c;
	struct status status;
	const char *shown; /* in the progress line */
	int64_t bytes;
	bool incomplete; /* something was left out: told already */
};

void transfer_init(struct transfer *t, struct cli *cli, struct client *c, const char *shown);

/* A tree of ours into the folder path of a sandbox. */
int transfer_upload(struct transfer *t, const char *sandbox, const char *path, const struct pack_source *source, struct err *err);
/* A tree of a sandbox to ours; target->top is the name it is to have in the archive. */
int transfer_download(
	struct transfer *t, const char *sandbox, const char *path, const struct unpack_target *target, struct err *err);
/* The bytes of one file: from fd, or to it. */
int transfer_write_file(struct transfer *t, const char *sandbox, const char *path, int fd, struct err *err);
int transfer_read_file(struct transfer *t, const char *sandbox, const char *path, int fd, struct err *err);
/* A tree from one sandbox (t->c) to another (to): into its folder to_path, as to_name. */
struct transfer_end {
	const char *sandbox, *path;
};
int transfer_between(struct transfer *t, struct transfer_end from, struct client *to, struct transfer_end into, const char *to_name,
	struct err *err);

#endif
