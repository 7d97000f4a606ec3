/*
 * ask: questions that a person answers on the terminal, passwords without showing them.
 *
 * A password is read in raw mode, so that nothing that ends the command leaves the terminal without its echo (raw.h).
 */
#ifndef SBX_CLI_ASK_H
#define SBX_CLI_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

/* Are standard input and error a terminal? */
bool ask_possible(void);
/* A line, trimmed. -1 with err: the end of the input, or (err->sys EINTR) Ctrl-C. */
int ask_line(const char *question, struct buf *out, struct err *err);
int ask_secret(const char *question, struct buf *out, struct err *err);

#endif
