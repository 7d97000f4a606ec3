/*
 * outfile: a file that a command makes: there whole, or not at all; or standard output.
 */
#ifndef SBX_CLI_OUTFILE_H
#define SBX_CLI_OUTFILE_H

#include "shared/base/err.h"

struct outfile {
	const char *name; /* as it was given, borrowed */
	int fd;		  /* to write to */
	char *temp;	  /* renamed to it at the end */
};

/* "-" is standard output, USAGE when that is a terminal. What is no regular file (a pipe, a device) is written to as it is. */
int outfile_open(struct outfile *o, const char *name, struct err *err);
/* After outfile_open only. rc: how the writing went. When that is not 0, or the end of it fails, nothing is left. Returns rc, or
 * -1.
 */
int outfile_close(struct outfile *o, int rc, struct err *err);

#endif
