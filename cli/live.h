/*
 * live: names for completion that a daemon knows.
 */
#ifndef SBX_CLI_LIVE_H
#define SBX_CLI_LIVE_H

#include "cli/cli.h"

/* A complete_live. A person waits for it, so it takes 300 ms at most whatever the endpoint does, starts no daemon, and what cannot
 * be had is left out without a word. */
void live_names(struct cli *cli, enum arg_kind kind, const char *typed, struct buf *out);

#endif
