/*
 * channel: a WebSocket operation: messages out from --send and standard input, messages in printed as they come.
 */
#ifndef SBX_CLI_API_CHANNEL_H
#define SBX_CLI_API_CHANNEL_H

#include "cli/api/call.h"

/* Until the server closes, or a signal comes. Text messages are lines (JSON ones in the format that was asked for), binary ones are
 * passed as they are. 0, or -1 with err. */
int channel_run(struct cli *cli, struct client *c, const struct request *rq, const struct call_options *o, struct err *err);

#endif
