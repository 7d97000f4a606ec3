/*
 * commands: the table of the hand-written commands: what is run, described, completed and put into the manual.
 */
#ifndef SBX_CLI_COMMANDS_H
#define SBX_CLI_COMMANDS_H

#include "cli/cli.h"

/* In the order of the help. */
extern const struct command *const commands[];
extern const size_t command_count;

/* What may stand before the command only, beside global_options; fills struct globals. */
extern const struct opt front_options[];

bool command_is_group(const char *word);
bool command_in_group(const struct command *c, const char *group);
/* By name or alias; group is NULL for a command that stands alone. NULL when there is none. */
const struct command *command_find(const char *group, const char *name);
/* Is it listed, and the first of its group or of none? */
bool command_is_first(size_t i);

#endif
