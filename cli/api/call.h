/*
 * call: one operation, from its words on the command line to what it printed.
 */
#ifndef SBX_CLI_API_CALL_H
#define SBX_CLI_API_CALL_H

#include "cli/api/flags.h"
#include "cli/cli.h"

/* The options that every generated command has. */
struct call_options {
	const char *input, *output_file, *base_url;
	struct opt_list nulls, sends;
	bool stdin_too, verbose;
};
extern const struct opt call_table[];
/* Those that only WebSockets have. */
extern const struct opt call_ws_table[];

/* ids are the values of the path parameters. The exit code, or -1 with err. */
int call_run(struct cli *cli, const struct api_flags *f, const struct call_options *o, const struct args *ids, struct err *err);

#endif
