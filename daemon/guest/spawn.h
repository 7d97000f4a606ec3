/*
 * spawn: start one child: a command, or a function of ours (file operations). Either is in a session of its own.
 *
 * A command's child runs in our memory (CLONE_VM) until its exec: to copy the page tables and then the touched pages
 * costs a fifth of a whole `true` under emulation. Unlike vfork it does not stop us: an exec or a folder on a file
 * system that hangs must not stop PID 1.
 */
#ifndef SBX_GUEST_SPAWN_H
#define SBX_GUEST_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/guest/user.h"

#define SPAWN_OP_STARTED 'S'
#define SPAWN_STACK 16384

enum spawn_stage { SPAWN_SETUP = 1, SPAWN_USER, SPAWN_CWD, SPAWN_EXEC };

/* What a child that could not start its command writes to the status pipe. */
struct spawn_failure {
	int32_t stage, sys;
};

struct spawn_io {
	bool reset_nice;
	bool tty;
	int fds[3]; /* the child's stdin, stdout, stderr */
	int status; /* write end of the status pipe, close-on-exec */
};

/* All of it must stay as it is until the status pipe says that the child has left our memory. */
struct spawn_command {
	struct spawn_io io;
	struct user user;
	const char *cwd;
	bool cwd_asked; /* else '/' stands in for a missing cwd */
	char **argv, **env;
	char **paths;	    /* candidates, tried in order */
	char **script_argv; /* { "/bin/sh", path, argv[1].. } for a file without '#!' */
	char stack[SPAWN_STACK] __attribute__((aligned(16)));
};

/* Pid of the child, or -1 with errno. */
pid_t spawn_command(struct spawn_command *c);
/* As fork: fn runs in a copy of us, with all other descriptors closed; its result is the exit code. It changes the
 * user and the folder itself. */
pid_t spawn_function(const struct spawn_io *io, int (*fn)(void *arg, int status_fd), void *arg);

#endif
