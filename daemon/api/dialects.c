#include "daemon/api/dialects.h"

#include "daemon/api/sbx/handlers.h"
#include "daemon/api/wrenn/wrenn.h"

/* clang-format off */
#define X(id, op) sbx_##id,
static http_handler *const sbx_handlers[] = { SBX_OPERATIONS(X) };
#undef X
#define X(id, op) wrenn_##id,
static http_handler *const wrenn_handlers[] = { WRENN_OPERATIONS(X) };
#undef X
#define X(id, op) voidrun_##id,
static http_handler *const voidrun_handlers[] = { VOIDRUN_OPERATIONS(X) };
#undef X
#define X(id, op) freestyle_##id,
static http_handler *const freestyle_handlers[] = { FREESTYLE_OPERATIONS(X) };
#undef X
#define X(id, op) mcp_v8_##id,
static http_handler *const mcp_v8_handlers[] = { MCP_V8_OPERATIONS(X) };
#undef X
#define X(id, op) molecule_##id,
static http_handler *const molecule_handlers[] = { MOLECULE_OPERATIONS(X) };
#undef X
/* clang-format on */

const struct http_dialect api_dialects[DIALECT_COUNT] = {
	[DIALECT_SBX] = { .contract = &contract_sbx, .handlers = sbx_handlers },
	[DIALECT_WRENN] = { .contract = &contract_wrenn, .handlers = wrenn_handlers, .admit = wrenn_admit },
	[DIALECT_VOIDRUN] = { .contract = &contract_voidrun, .handlers = voidrun_handlers },
	[DIALECT_FREESTYLE] = { .contract = &contract_freestyle, .handlers = freestyle_handlers },
	[DIALECT_MCP_V8] = { .contract = &contract_mcp_v8, .handlers = mcp_v8_handlers },
	[DIALECT_MOLECULE] = { .contract = &contract_molecule, .handlers = molecule_handlers },
};

void api_list_operations(struct buf *out)
{
	for (size_t d = 0; d < DIALECT_COUNT; d++) {
		const struct contract *c = api_dialects[d].contract;
		for (uint32_t i = 0; i < c->op_count; i++) {
			const struct ct_op *op = &c->ops[i];
			buf_fmt(out, "%s %s %s %s %s\n", c->name, ct_s(c, op->id), ct_s(c, op->method), ct_s(c, op->path),
				api_dialects[d].handlers[i] ? "handler" : "none");
		}
	}
}
