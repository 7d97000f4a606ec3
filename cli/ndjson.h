/*
 * ndjson: answers of one JSON object a line, handled as the lines come.
 */
#ifndef SBX_CLI_NDJSON_H
#define SBX_CLI_NDJSON_H

#include "cli/endpoint/client.h"

/* Make the call and give every line to each, until it returns non-zero (which is returned). -1 with err. */
int ndjson_call(struct client *c, const struct call *call, int (*each)(void *arg, const js *line, struct err *err), void *arg,
	struct err *err);
/* The answer to a call that has been sent. */
int ndjson_answer(struct client *c, int (*each)(void *arg, const js *line, struct err *err), void *arg, struct err *err);

#endif
