/* link: shared/contract/[a-z]*.c build/gen/sbx_contract.c */
/* "METHOD /path\nJSON": the router, every parameter and schema of our own contract. */
#include <stdlib.h>
#include <string.h>

#include "sbx_contract.h"
#include "shared/base/buf.h"

static void route(const struct contract *c, const char *method, const char *path)
{
	struct err err = ERR_INIT;
	struct ct_match m, again;
	const char *values[CT_PARAMS_MAX];
	auto_buf made = BUF_INIT;

	if (ct_match(c, method, path, &m, &err) != 0)
		return;
	for (unsigned i = 0; i < m.count; i++)
		values[i] = m.values[i];
	/* What was matched can be written again and is matched again, with the same values. */
	if (ct_path(c, m.op, values, m.count, &made, &err) != 0 || ct_match(c, method, made.p, &again, &err) != 0)
		__builtin_trap();
	if (again.op != m.op || again.count != m.count)
		__builtin_trap();
	for (unsigned i = 0; i < m.count; i++) {
		if (strcmp(again.values[i], m.values[i]) != 0)
			__builtin_trap();
	}
	ct_match_free(&again);
	ct_match_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct contract *c = &contract_sbx;
	auto_buf text = BUF_INIT;
	struct err err = ERR_INIT;

	if (n > 1 << 14)
		return 0;
	buf_add(&text, data, n);
	char *path = strchr(text.p, ' ');
	char *body = path ? strchr(path, '\n') : NULL;
	if (!body)
		return 0;
	*path++ = '\0';
	*body++ = '\0';
	route(c, text.p, path);
	for (uint32_t o = 0; o < c->op_count; o++) {
		for (uint32_t i = 0; i < c->ops[o].param_count; i++)
			(void)ct_validate_text(c, &c->params[c->ops[o].params + i], body, &err);
	}
	auto_js *v = js_parse(body, strlen(body), JS_LIMITS_DEFAULT, &err);
	for (uint32_t s = 0; v && s < c->schema_count; s++)
		(void)ct_validate(c, s, v, &err);
	return 0;
}
