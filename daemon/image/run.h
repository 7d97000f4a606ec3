/*
 * run: helper programs of the image builder. argv vectors only, no shell; blocking, with a deadline.
 */
#ifndef SBX_IMAGE_RUN_H
#define SBX_IMAGE_RUN_H

#include <stddef.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

struct run {
	const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH, and in the sbin folders */
	const char *dir;	 /* working folder, NULL: ours */
	const char *input;	 /* path for its stdin, NULL: /dev/null */
	int timeout_ms;		 /* the process group is killed after it */
	size_t max_output;	 /* more than this on stdout is an error */
};

/* Run to the end; stdout is appended to out (NULL: dropped). -1 with err when it could not start, took too long, wrote
 * too much or did not exit 0; the message then carries the last line that it wrote to stderr. Messages are in English. */
int run_capture(const struct run *run, struct buf *out, struct err *err);

#endif
