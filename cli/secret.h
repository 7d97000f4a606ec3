/*
 * secret: passwords and tokens, which are never on a command line, where others could see them.
 */
#ifndef SBX_CLI_SECRET_H
#define SBX_CLI_SECRET_H

#include "shared/base/buf.h"
#include "shared/base/err.h"

/* The first line of a file, "-" is standard input: a password. USAGE when there is none. */
int secret_read(const char *file, struct buf *out, struct err *err);

#endif
