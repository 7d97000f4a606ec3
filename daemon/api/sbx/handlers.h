/* One declared handler an operation of the contract: a missing one is a link error. */
#ifndef SBX_API_SBX_HANDLERS_H
#define SBX_API_SBX_HANDLERS_H

#include "daemon/http/http.h"
#include "sbx_contract.h"

#define X(id, op) http_handler sbx_##id;
SBX_OPERATIONS(X)
#undef X

#endif
