/* A contract built in memory from the text of a document, for tests; link the shared/gen sources but main.c and emit.c. */
#ifndef SBX_UNIT_CONTRACT_OF_H
#define SBX_UNIT_CONTRACT_OF_H

#include <string.h>

#include "shared/gen/model.h"

#define DOC_HEAD "openapi: 3.1.0\ninfo: {title: T, version: '1'}\n"
#define DOC_PATHS "paths: {/p: {get: {security: [], operationId: p, responses: {}}}}\n"

struct built {
	struct yt_doc *doc;
	struct model *model;
	struct contract c;
};

/* 0, or -1 with err. */
static inline int built_init(struct built *b, const char *text, struct err *err)
{
	*b = (struct built){ 0 };
	b->doc = yt_parse(text, strlen(text), "t.yaml", YT_LIMITS_DEFAULT, err);
	b->model = b->doc ? model_build(b->doc, "t", true, err) : NULL;
	if (b->model)
		b->c = model_contract(b->model);
	return b->model ? 0 : -1;
}

static inline void built_free(struct built *b)
{
	model_free(b->model);
	yt_free(b->doc);
}

/* Index of the component schema of this name. */
static inline uint32_t component(const struct contract *c, const char *name)
{
	for (uint32_t i = 0; i < c->schema_count; i++) {
		if (strcmp(ct_s(c, c->schemas[i].name), name) == 0)
			return i;
	}
	return CT_NONE;
}

#endif
