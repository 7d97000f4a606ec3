/*
 * op: one file operation, inside its own child process. The child may block, crash or run out of memory: the agent
 * only reads its output and its result.
 */
#ifndef SBX_GUEST_OP_H
#define SBX_GUEST_OP_H

#include <sys/stat.h>

#include "daemon/guest/agent.h"

struct op {
	struct rec r;
	int kind; /* enum wire_op */
	struct user user;
	char *path;    /* never NULL, not empty */
	int status_fd; /* -1 until in the child */
	bool started, failed;
	int sys;
	char msg[512];
};

/* The file is there and the operation goes on: the host may say so (STARTED). */
void op_started(struct op *o);
/* Note what went wrong, the first time; -1. op_fail: "<strerror>: '<path>'", op_error: the text as it is. */
int op_fail(struct op *o, int sys, const char *path);
int op_error(struct op *o, int sys, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Make the folders above (or, whole: including) path with mode 0755. 0 or -1 with the error noted. */
int op_parents(struct op *o, const char *path, bool whole);
/* Absolute, without slashes at its end. Caller frees. */
char *op_absolute(const char *path);
/* All bytes to fd. */
int op_write_all(int fd, const char *p, size_t n);

/* 0 or -1 with the error noted; relative paths start at the current folder. */
int op_read(struct op *o);
int op_write(struct op *o);
int op_mkdir(struct op *o);
int op_remove(struct op *o);
int op_list(struct op *o);
int op_stat(struct op *o);
int op_tar(struct op *o);
int op_untar(struct op *o);
int op_watch(struct op *o);
int op_mount(struct op *o);
int op_changes(struct op *o);

#endif
