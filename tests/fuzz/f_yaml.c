/* link: shared/gen/[d-ln-z]*.c shared/yaml/yaml_tree.c shared/gen/model*.c | -lyaml */
/* Any bytes as a document: the tree, and what the model makes of it. Also after a head that gets past the first checks. */
#include <stdlib.h>
#include <string.h>

#include "shared/gen/emit.h"

static void one(const char *text, size_t n)
{
	struct yt_limits limits = { .bytes = 1 << 16, .nodes = 5000, .depth = 48 };
	struct err err = ERR_INIT;
	struct yt_doc *doc = yt_parse(text, n, "fuzz", limits, &err);

	if (!doc)
		return;
	auto_buf json = BUF_INIT;
	yt_json(yt_root(doc), &json);
	struct model *m = model_build(doc, "fuzz", false, &err);
	auto_buf out = BUF_INIT;
	if (m && emit_header(m, &out, &err) == 0)
		emit_source(m, "fuzz.h", &out);
	model_free(m);
	yt_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char head[] =
		"openapi: 3.1.0\npaths: {/a/{b}: {get: {operationId: x, parameters: [{name: b, in: path, required: true,\n"
		" schema: {$ref: '#/components/schemas/A'}}]}}}\ncomponents: {schemas: {B: {type: string}, A: ";
	auto_buf text = BUF_INIT;

	if (n > 1 << 14)
		return 0;
	one((const char *)data, n);
	buf_str(&text, head);
	buf_add(&text, data, n);
	buf_str(&text, "}}\n");
	one(text.p, text.len);
	return 0;
}
