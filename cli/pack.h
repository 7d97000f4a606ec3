/*
 * pack: a file or tree of this machine as a tar stream (pax, raw names), made while it is sent. Symlinks stay links, hard
 * links within the tree stay links; sockets, devices and fifos are left out with a warning, and so is what cannot be read.
 */
#ifndef SBX_CLI_PACK_H
#define SBX_CLI_PACK_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/err.h"

struct pack_ops {
	/* 0; non-zero ends the packing and is returned by pack_tree (-1 with err) */
	int (*write)(void *arg, const void *data, size_t n, struct err *err);
	/* something was left out; path is raw */
	void (*skipped)(void *arg, const char *path, const char *why);
	void *arg;
};

/* Pack the entry `name` of the folder dir_fd (AT_FDCWD for a path) under the name `top` ("." packs a folder's contents).
 * follow: a symlink at the top is followed. 0, what write returned, or -1. */
struct pack_source {
	int dir_fd;
	const char *name;
	const char *top;
	bool follow;
};
int pack_tree(const struct pack_source *source, const struct pack_ops *ops, struct err *err);

#endif
