/*
 * value: what a person types, as the JSON that a schema wants.
 */
#ifndef SBX_CLI_API_VALUE_H
#define SBX_CLI_API_VALUE_H

#include "shared/contract/contract.h"

/* Append one value. Text that is not what the schema wants becomes a string: the check of the whole request then says what it
 * should have been. An object is JSON, the schema's short form ("443:3000"), or a bare word that names one of its alternatives.
 * -1 with USAGE when a short form is wrong. */
int value_json(const struct contract *c, uint32_t schema, const char *text, struct buf *out, struct err *err);

#endif
