/*
 * verbs: commands whose first argument says what to do.
 */
#ifndef SBX_CLI_VERBS_H
#define SBX_CLI_VERBS_H

#include "cli/cli.h"

/* Run the verb that args begin with. USAGE when there is none such, and for arguments and options that it does not have. */
int verbs_run(struct cli *cli, const void *options, const struct args *args, struct err *err);
/* By name or alias; NULL. */
const struct verb *verbs_find(const struct command *c, const char *word);

#endif
