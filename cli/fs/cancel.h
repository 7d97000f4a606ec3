/*
 * cancel: Ctrl-C while something is written: a flag that work.h and loops look at, so that nothing half-made is left.
 *
 * Between begin and end the signals that end a command are taken by a thread, which sets the flag; a second one ends the process at
 * once. Threads that are started meanwhile have the signals blocked.
 */
#ifndef SBX_CLI_FS_CANCEL_H
#define SBX_CLI_FS_CANCEL_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "shared/base/err.h"

struct cancel {
	volatile bool flag;
	volatile int code; /* 128 + the signal */
	pthread_t thread;
	bool running;
	int fd, stop_fd;
	int fired_fd; /* readable when the flag is set */
	sigset_t before;
};

int cancel_begin(struct cancel *c, struct err *err);
void cancel_end(struct cancel *c);
/* -1 with err->sys EINTR when the flag is set, else 0. */
int cancel_check(const struct cancel *c, struct err *err);

#endif
