/*
 * once: a sandbox for one command, for `run` and `exec --fs`: create, run, push what was changed if that is wanted, remove.
 */
#ifndef SBX_CLI_ONCE_H
#define SBX_CLI_ONCE_H

#include "cli/create.h"
#include "cli/session.h"

struct once {
	const struct create_options *create;
	struct session_config session; /* without its sandbox */
	bool push;		       /* to the label of the mounted tree... */
	const char *push_to;	       /* ...or to this one */
};
/* The exit code of the command, or -1. */
int once_run(struct cli *cli, const struct once *o, struct err *err);

#endif
