/*
 * account: who the person is to the daemon, and the token of his login, which is kept in a context of the configuration.
 */
#ifndef SBX_CLI_ACCOUNT_H
#define SBX_CLI_ACCOUNT_H

#include "cli/cli.h"
#include "cli/endpoint/client.h"

/* The context that the command goes to, which keeps the token. USAGE when an address was given instead. */
const char *account_context(struct cli *cli, struct err *err);
/* Keep the token of a Login (the contract's) there, and say who has come in. The operator of the local daemon needs none on its
 * socket: then what was kept goes. */
int account_keep(const struct cli *cli, const char *context, const js *login, struct err *err);
/* Forget it. 1, 0 when there was none, -1. */
int account_forget(const char *context, struct err *err);

/* The team that is named, or the one that one works in: as the API takes it. NULL with err; free it. */
char *account_team(struct client *c, const char *name, struct err *err);

#endif
