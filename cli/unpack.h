/*
 * unpack: a tar stream from a guest, which may be hostile, into a folder of this machine.
 *
 * Every entry must lie below the expected top name; absolute paths and ".." are refused. No symlink is ever followed: each
 * folder on the way is opened by name from its parent's descriptor with O_NOFOLLOW. Files are written beside their place and
 * renamed. Owners, setuid and setgid bits, extended attributes are not taken over; devices and fifos are left out with
 * a warning.
 */
#ifndef SBX_CLI_UNPACK_H
#define SBX_CLI_UNPACK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/base/err.h"

struct unpack_ops {
	/* the next bytes of the stream in memory of the reader: > 0, 0 at its end, -1 with err */
	ssize_t (*read)(void *arg, const void **data, struct err *err);
	void (*skipped)(void *arg, const char *path, const char *why);
	void *arg;
};

struct unpack_target {
	int dir_fd;	  /* the folder to unpack into */
	const char *top;  /* name of the top entry in the archive: one component */
	const char *name; /* its name in the folder; NULL = its contents go into the folder itself */
};

/* 0, or -1 with err; what came before an error stays. */
int unpack_tree(const struct unpack_target *target, const struct unpack_ops *ops, struct err *err);

#endif
