/*
 * describe: the help of generated commands, as text for the terminal, and its parts for the manual (cli/man).
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
/* The i-th of them, its name appended; NULL past the last. */
const struct ct_param *describe_id(struct buf *name, const struct contract *c, const struct ct_op *op, size_t i);
/* The environment variables of a contract, or of one operation: "WRENN_BASE_URL, WRENN_API_KEY". */
void describe_env(struct buf *out, const struct contract *c, const struct ct_op *op);
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
