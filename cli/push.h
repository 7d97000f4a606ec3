/*
 * push: a folder of a sandbox into the store of its daemon, for `sbx fs push`, `run` and `exec`.
 */
#ifndef SBX_CLI_PUSH_H
#define SBX_CLI_PUSH_H

#include "cli/cli.h"

struct push_request {
	const char *sandbox, *path; /* absolute */
	const char *label;	    /* NULL: the one that was mounted or last pushed to */
	const char *message;	    /* NULL */
	const char *expected;	    /* id; NULL */
	bool force, merge, detach;
};

/* "SANDBOX:/PATH" taken apart: *sandbox is allocated, *path points into text. false: it is none. */
bool push_source(const char *text, char **sandbox, const char **path);
/* The answer (PushSandboxFsResult); NULL with err. Free with js_free. */
js *push_folder(struct client *c, const struct push_request *q, struct err *err);
/* How it went, for whoever waits at a terminal. */
void push_summary(const struct cli *cli, const js *answer);

/* Rows of run and exec, for a struct of type T with bool push; const char *push_to. */
#define PUSH_OPTIONS(T)                                                                                                            \
	{ .kind = OPT_BOOL,                                                                                                        \
		.name = "push",                                                                                                    \
		.help = "when it went well, push what was changed in the mounted tree, to its label",                              \
		.off = offsetof(T, push) },                                                                                        \
	{                                                                                                                          \
		.kind = OPT_STR, .name = "push-to", .arg = "LABEL", .help = "likewise, to another label",                          \
		.off = offsetof(T, push_to)                                                                                        \
	}

#endif
