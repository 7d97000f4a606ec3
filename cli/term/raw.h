/*
 * raw: the terminal in raw mode, and back on every way out of the process.
 *
 * The saved settings live in the process (mutable, the one exception here): exit handlers and handlers of deadly signals
 * have to find them. SIGKILL is the only end that leaves the terminal raw.
 */
#ifndef SBX_CLI_RAW_H
#define SBX_CLI_RAW_H

#include "shared/base/err.h"

/* Put the terminal fd into raw mode. */
int raw_enter(int fd, struct err *err);
/* Raw mode again after the process was stopped and continued; nothing when it is not in use. */
void raw_again(void);
/* Back to what it was; nothing when it is not in use. */
void raw_leave(void);

/* Size of the terminal of fd. 0, or -1 when it has none. */
int term_size(int fd, unsigned *cols, unsigned *rows);

#endif
