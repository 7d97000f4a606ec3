/*
 * spawn: start one child: a command (exec) or a function of ours (file operations).
 */
#ifndef SBX_GUEST_SPAWN_H
#define SBX_GUEST_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/guest/user.h"

#define SPAWN_OP_STARTED 'S'

enum spawn_stage { SPAWN_SETUP = 1, SPAWN_USER, SPAWN_CWD, SPAWN_EXEC };

/* What a child that could not start its command writes to the status pipe. */
struct spawn_failure {
	int32_t stage, sys;
};

struct spawn {
	const struct user *user;
	bool reset_nice;
	bool tty;
	int fds[3]; /* the child's stdin, stdout, stderr */
	int status; /* write end of the status pipe, close-on-exec */
	const char *cwd;
	bool cwd_asked; /* else '/' stands in for a missing cwd */
	/* a command: candidates are tried in order */
	char **argv, **env;
	char **paths;
	char **script_argv; /* { "/bin/sh", path, argv[1].. } for a file without '#!' */
	/* or a function, which changes user and folder itself; its result is the exit code */
	int (*fn)(void *arg, int status_fd);
	void *arg;
};

/* Pid of the child, or -1 with errno. The child is in a session of its own. */
pid_t spawn_child(const struct spawn *s);
/* "change to the working directory", for messages. */
const char *spawn_stage_name(enum spawn_stage stage);

#endif
