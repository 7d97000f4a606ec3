/*
 * describe: the help of generated commands, as text for the terminal and (man.h) the same parts for manual pages.
 */
#ifndef SBX_CLI_API_DESCRIBE_H
#define SBX_CLI_API_DESCRIBE_H

#include "cli/api/flags.h"

void describe_contract(struct buf *out, const struct contract *c);
void describe_noun(struct buf *out, const struct contract *c, const char *noun);
void describe_operation(struct buf *out, const struct api_flags *f);

/* Parts. */
/* "ID PATH": the positional parameters. */
void describe_ids(struct buf *out, const struct contract *c, const struct ct_op *op);
/* What a flag's value is: "STRING", "INT", "K=V", "FILE", "EXTERNAL:INTERNAL"; "" for a switch. */
void describe_value(struct buf *out, const struct contract *c, const struct api_flag *flag);
/* Its text with what is required, allowed and assumed: "Memory in MiB. (required) (64 to 4096) (default 512)". */
void describe_flag(struct buf *out, const struct contract *c, const struct api_flag *flag);
/* A JSON text (of an enum, a default) as a person would type it. */
void describe_plain(struct buf *out, const char *json);
/* A command line that would work, without the program's name. */
void describe_example(struct buf *out, const struct api_flags *f);
/* What a noun is about: the description of the tag of its operations; "". */
const char *describe_about(const struct contract *c, const char *noun);

#endif
