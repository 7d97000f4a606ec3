/*
 * api: the commands that are made from the contracts: sbx CONTRACT NOUN VERB [ids] [options], for every operation.
 */
#ifndef SBX_CLI_API_API_H
#define SBX_CLI_API_API_H

#include "cli/cli.h"
#include "shared/contract/contract.h"

/* The five, in the order of the help; NULL past the end. */
const struct contract *api_at(size_t i);
/* By name ("mcp-v8"), or NULL. */
const struct contract *api_find(const char *name);
/* argv is what follows the contract's name. The exit code, or -1 with err. */
int api_run(struct cli *cli, const struct contract *c, int argc, char **argv, struct err *err);

/* Operation of a noun and a verb, CT_NONE when there is none. */
uint32_t api_operation(const struct contract *c, const char *noun, const char *verb);
bool api_has_noun(const struct contract *c, const char *noun);
/* Index of the i-th noun's first operation, in the order of the contract; CT_NONE past the end. */
uint32_t api_noun(const struct contract *c, size_t i);

#endif
