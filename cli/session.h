/*
 * session: one command or terminal in a sandbox, joined to our standard streams over a WebSocket. Used by exec, run, pty.
 *
 * One poll loop serves the connection, standard input, signals and slow outputs, so that none of them holds up another.
 * Signals that arrive (INT, TERM, HUP, QUIT) go to the command; a third one within two seconds ends us with 130.
 */
#ifndef SBX_CLI_SESSION_H
#define SBX_CLI_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/endpoint/client.h"
#include "cli/opt.h"
#include "cli/term/escape.h"

struct session_config {
	enum sbx_op op; /* SBX_OP_STREAM_EXEC or SBX_OP_CONNECT_PTY */
	const char *sandbox;
	char *const *command;
	size_t command_count;
	const struct opt_list *env;
	const char *cwd, *user, *session; /* NULL = not given */
	struct opt_num timeout;		  /* seconds */
	bool use_stdin;
	bool tty;
	bool to_stderr;	      /* its standard output too: ours has other data */
	struct escape escape; /* of a pty */
};

/* Rows that the commands share, for a struct of type T with the members that each names. */
#define SESSION_OPTIONS_INPUT(T) /* bool use_stdin, tty */                                                                         \
	{ .kind = OPT_BOOL, .letter = 'i', .name = "stdin", .help = "pass standard input", .off = offsetof(T, use_stdin) },        \
	{                                                                                                                          \
		.kind = OPT_BOOL, .letter = 't', .name = "tty", .help = "give the command a terminal", .off = offsetof(T, tty)     \
	}
#define SESSION_OPTION_ENV(T) /* struct opt_list env */                                                                            \
	{                                                                                                                          \
		.kind = OPT_ENV, .letter = 'e', .name = "env", .arg = "K=V",                                                       \
		.help = "environment, repeatable; K alone takes our value", .off = offsetof(T, env)                                \
	}
#define SESSION_OPTIONS_PLACE(T) /* const char *cwd, *user */                                                                      \
	{ .kind = OPT_STR, .letter = 'w', .name = "workdir", .arg = "DIR", .help = "folder to run in", .off = offsetof(T, cwd) },  \
	{                                                                                                                          \
		.kind = OPT_STR, .letter = 'u', .name = "user", .arg = "USER", .help = "name, number or name:group",               \
		.off = offsetof(T, user)                                                                                           \
	}

enum session_end { SESSION_EXIT, SESSION_DETACHED, SESSION_INTERRUPTED };

struct session_result {
	enum session_end end;
	int code; /* exit code to return */
	bool timed_out;
	bool started;
	char name[80]; /* of the terminal session, as the daemon told */
};

/* Run to the end of the command or of our patience. 0 with *out, -1 with err (also when an output of ours fails: err->sys). */
int session_run(struct client *c, const struct session_config *config, struct session_result *out, struct err *err);

struct cli;
/* The exit code of a session that ended; a timeout is said on standard error. */
int session_code(struct cli *cli, const struct session_result *result, const struct session_config *config);

/* Members "env" of a request: later values win; a name alone takes its value from our environment. */
int session_env(struct jw *w, const struct opt_list *env, const char *term, struct err *err);

#endif
