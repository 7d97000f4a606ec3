/*
 * emit: the model as C text. Deterministic: the same document gives the same bytes.
 */
#ifndef SBX_GEN_EMIT_H
#define SBX_GEN_EMIT_H

#include "shared/gen/model.h"

/* The header: enum <name>_op, <NAME>_OPERATIONS(X), extern const struct contract contract_<name>. INVALID when two operationIds
 * become the same C name. */
int emit_header(const struct model *m, struct buf *out, struct err *err);
/* The source; header is the name in its #include line. */
void emit_source(const struct model *m, const char *header, struct buf *out);

#endif
