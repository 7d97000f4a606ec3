/*
 * dialects: every API on the port, with a handler for each of its operations or none yet.
 *
 * A handler is named PREFIX_<operationId> (wrenn_, voidrun_, freestyle_, mcp_v8_, molecule_) and declared here, so that one of a
 * wrong name does not compile (-Wmissing-prototypes). Those of the five are weak: what nobody has written is NULL, and 501 on the
 * wire. The native API (sbx/handlers.h) has all of its own, or does not link.
 */
#ifndef SBX_API_DIALECTS_H
#define SBX_API_DIALECTS_H

#include "daemon/http/http.h"
#include "freestyle_contract.h"
#include "mcp-v8_contract.h"
#include "molecule_contract.h"
#include "voidrun_contract.h"
#include "wrenn_contract.h"

enum { DIALECT_SBX, DIALECT_WRENN, DIALECT_VOIDRUN, DIALECT_FREESTYLE, DIALECT_MCP_V8, DIALECT_MOLECULE, DIALECT_COUNT };
extern const struct http_dialect api_dialects[DIALECT_COUNT];

#define X(id, op) __attribute__((weak)) http_handler wrenn_##id;
WRENN_OPERATIONS(X)
#undef X
#define X(id, op) __attribute__((weak)) http_handler voidrun_##id;
VOIDRUN_OPERATIONS(X)
#undef X
#define X(id, op) __attribute__((weak)) http_handler freestyle_##id;
FREESTYLE_OPERATIONS(X)
#undef X
#define X(id, op) __attribute__((weak)) http_handler mcp_v8_##id;
MCP_V8_OPERATIONS(X)
#undef X
#define X(id, op) __attribute__((weak)) http_handler molecule_##id;
MOLECULE_OPERATIONS(X)
#undef X

/* One line an operation: "dialect id METHOD /path handler|none". For make conformance. */
void api_list_operations(struct buf *out);

#endif
