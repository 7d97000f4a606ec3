/*
 * execution: something that runs in a sandbox for a client: a command, a terminal session, a file operation.
 *
 * All are streams to the guest agent. on_end is the last callback; the owner then releases with execution_close. Closing
 * earlier kills the command (or leaves the session). An execution whose sandbox does not answer within 10 s ends with TIMEOUT.
 */
#ifndef SBX_CORE_EXECUTION_H
#define SBX_CORE_EXECUTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/sandbox.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"

struct execution;

enum exec_channel { EXEC_STDIN, EXEC_STDOUT, EXEC_STDERR };
/* ONLY: also to one that has ended but was not seen to; RUNNING: not. */
enum exec_attach { EXEC_ATTACH_CREATE, EXEC_ATTACH_AUTO, EXEC_ATTACH_ONLY, EXEC_ATTACH_RUNNING };

struct exec_start {
	int64_t pid;
	const char *session; /* "" when there is none */
	bool created;
	uint64_t replay; /* bytes of scrollback that come first */
};

struct exec_end {
	bool failed; /* it never ran, or the operation did not succeed: err says why */
	struct err err;
	int64_t pid; /* of a command that was not found (126, 127; no on_start then), else 0 */
	int code;    /* 0..255 */
	int signal;
	bool timed_out;
	int64_t user_us, system_us, max_rss_kb;
	int64_t duration_us;
};

struct exec_ops {
	void (*on_start)(void *arg, const struct exec_start *start);			 /* may be NULL */
	void (*on_data)(void *arg, enum exec_channel ch, const uint8_t *data, size_t n); /* give back: execution_consumed */
	void (*on_eof)(void *arg, enum exec_channel ch);				 /* may be NULL */
	void (*on_writable)(void *arg);							 /* may be NULL */
	void (*on_end)(void *arg, const struct exec_end *end);
};

struct exec_spec {
	char *const *command, *const *env; /* NULL-terminated; command may be empty only when a session is joined */
	const char *cwd, *user;		   /* NULL: the agent's defaults */
	bool tty;
	bool no_input; /* stdin is /dev/null; not with tty */
	unsigned cols, rows;
	int64_t timeout_ms;  /* 0 = none */
	const char *session; /* NULL: dies with this client; "": a new one gets a name */
	bool pipes;	     /* the session has no terminal: stdin is empty, stdout and stderr are apart */
	bool no_replay;	     /* of one that is joined: only what comes from now on */
	enum exec_attach attach;
};

enum file_op {
	FILE_READ,
	FILE_WRITE,
	FILE_LIST,
	FILE_STAT,
	FILE_MKDIR,
	FILE_REMOVE,
	FILE_TAR,
	FILE_UNTAR,
	FILE_WATCH,
	FILE_CHANGES,
	FILE_OPS
};

struct file_spec {
	enum file_op op;
	const char *path, *user, *name;
	int64_t offset, length; /* length -1 = to the end */
	int mode;		/* -1 = default */
	unsigned depth;
	bool parents, recursive, owners;
	bool late;    /* FILE_WRITE: path is only where the data waits; the file's comes behind it, see execution_late_path */
	bool resolve; /* FILE_LIST, FILE_STAT: links also tell where they lead in the end */
};

/* NULL with err: STATE when the sandbox does not run, TOO_LARGE, LIMIT. */
struct execution *execution_command(
	struct sandbox *sb, const struct exec_spec *spec, const struct exec_ops *ops, void *arg, struct err *err);
struct execution *execution_file(
	struct sandbox *sb, const struct file_spec *spec, const struct exec_ops *ops, void *arg, struct err *err);
/* What has to be written behind the data of a late FILE_WRITE, before execution_eof. */
void execution_late_path(struct buf *out, const char *path);
/* JSON text by the agent on stdout: one array of sessions; what the guest says of itself. Untrusted. */
struct execution *execution_sessions(struct sandbox *sb, const struct exec_ops *ops, void *arg, struct err *err);
struct execution *execution_info(struct sandbox *sb, const struct exec_ops *ops, void *arg, struct err *err);
struct execution *execution_kill_session(
	struct sandbox *sb, const char *session, int signo, const struct exec_ops *ops, void *arg, struct err *err);

/* A TCP connection to a port inside: stdin and stdout are its directions, execution_eof and on_eof their ends. on_start: it stands.
 * Reset or refused: the end has failed, with err.sys. */
struct execution *execution_dial(struct sandbox *sb, uint16_t port, const struct exec_ops *ops, void *arg, struct err *err);

/* Returns how many bytes were taken; after fewer than n, on_writable tells when to go on. */
size_t execution_write(struct execution *x, const void *data, size_t n);
void execution_eof(struct execution *x);
void execution_consumed(struct execution *x, enum exec_channel ch, size_t n);
void execution_signal(struct execution *x, int signo);
void execution_resize(struct execution *x, unsigned cols, unsigned rows);
/* NULL is fine. No callback follows. */
void execution_close(struct execution *x);

#endif
