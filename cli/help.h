/*
 * help: texts made from the command table.
 */
#ifndef SBX_CLI_HELP_H
#define SBX_CLI_HELP_H

#include <stddef.h>

#include "cli/cli.h"

extern const struct opt global_options[];

void help_all(struct buf *out, const struct command *const *table, size_t n);
void help_group(struct buf *out, const struct command *const *table, size_t n, const char *group);
/* The rows of a table of options. */
void help_options(struct buf *out, const struct opt *table);
void help_command(struct buf *out, const struct command *c);
/* "usage: sbx exec [options] ..." into a hint */
void help_usage(const struct command *c, struct err *err);

#endif
