/*
 * ndjson: answers of one JSON object a line, handled as the lines come.
 */
#ifndef SBX_CLI_NDJSON_H
#define SBX_CLI_NDJSON_H

#include "cli/endpoint/client.h"

/* Make the call and give every line to each, until it returns non-zero (which is returned). -1 with err. */
int ndjson_call(struct client *c, const struct call *call, int (*each)(void *arg, const js *line, struct err *err), void *arg,
	struct err *err);

struct ndjson_ops {
	int (*each)(void *arg, const js *line, struct err *err);
	/* Come back when c->fd can be read; what else happens meanwhile is the caller's. Non-zero ends the call, too. May be NULL.
	 */
	int (*wait)(void *arg, struct client *c, struct err *err);
};
int ndjson_call_waiting(struct client *c, const struct call *call, const struct ndjson_ops *ops, void *arg, struct err *err);

#endif
