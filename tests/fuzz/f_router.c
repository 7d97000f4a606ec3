/* link: shared/contract/[a-z]*.c build/gen/sbx_contract.c build/gen/wrenn_contract.c build/gen/voidrun_contract.c build/gen/freestyle_contract.c build/gen/mcp-v8_contract.c build/gen/molecule_contract.c */
/* "METHOD /path\nJSON": the router of all contracts, every parameter and every schema of them. */
#include <stdlib.h>
#include <string.h>

#include "freestyle_contract.h"
#include "mcp-v8_contract.h"
#include "molecule_contract.h"
#include "sbx_contract.h"
#include "voidrun_contract.h"
#include "wrenn_contract.h"
#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "shared/contract/router.h"

static const struct contract *const all[] = { &contract_sbx, &contract_wrenn, &contract_voidrun, &contract_freestyle, &contract_mcp_v8,
	&contract_molecule };

static void route(const struct router *r, const char *method, const char *path)
{
	struct err err = ERR_INIT;
	struct ct_match m, again;
	auto_buf made = BUF_INIT;

	if (router_match(r, method, path, &m, &err) != 0) {
		ct_match_free(&m);
		return;
	}
	/* What was matched can be written again and is matched again, with the same values. */
	if (ct_path(all[m.contract], m.op, m.values, m.count, &made, &err) != 0 || router_match(r, method, made.p, &again, &err) != 0)
		__builtin_trap();
	if (again.contract != m.contract || again.op != m.op || again.count != m.count)
		__builtin_trap();
	for (unsigned i = 0; i < m.count; i++) {
		if (strcmp(again.values[i], m.values[i]) != 0)
			__builtin_trap();
	}
	ct_match_free(&again);
	ct_match_free(&m);
}

static void check_all(const struct contract *c, const char *text, const js *v)
{
	struct err err = ERR_INIT;

	for (uint32_t o = 0; o < c->op_count; o++) {
		for (uint32_t i = 0; i < c->ops[o].param_count; i++)
			(void)ct_validate_text(c, &c->params[c->ops[o].params + i], text, &err);
	}
	for (uint32_t s = 0; v && s < c->schema_count; s++)
		(void)ct_validate(c, s, v, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct router *r;
	auto_buf text = BUF_INIT;
	struct err err = ERR_INIT;

	if (!r)
		r = router_new(all, ARRAY_LEN(all), NULL);
	if (n > 1 << 14)
		return 0;
	buf_add(&text, data, n);
	char *path = strchr(text.p, ' ');
	char *body = path ? strchr(path, '\n') : NULL;
	if (!body)
		return 0;
	*path++ = '\0';
	*body++ = '\0';
	route(r, text.p, path);
	auto_js *v = js_parse(body, strlen(body), JS_LIMITS_DEFAULT, &err);
	check_all(all[n % ARRAY_LEN(all)], body, v);
	return 0;
}
