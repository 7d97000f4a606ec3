/*
 * start: bring up the local daemon, detached from this process and its terminal.
 */
#ifndef SBX_CLI_START_H
#define SBX_CLI_START_H

#include "shared/base/err.h"

/* The lock that the one who starts the daemon of this home holds; makes the home. A descriptor to close, or -1. */
int start_lock(const char *home, struct err *err);

/* Run sbxd (beside our executable, else from PATH) for this home and wait until it listens, at most 10 s.
 * UNAVAILABLE with the log's path in the hint when it does not come up. Its output goes to HOME/log/sbxd.log. */
int start_daemon(const char *home, struct err *err);

#endif
