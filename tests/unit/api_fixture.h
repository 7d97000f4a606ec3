/* A command of a contract that is text, and what its words on the command line come to; link cli/opt.c and
 * cli/api/{flags,value,body}.c beside what contract_of.h needs. */
#ifndef SBX_UNIT_API_FIXTURE_H
#define SBX_UNIT_API_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>

#include "cli/api/body.h"
#include "shared/base/mem.h"
#include "tests/unit/contract_of.h"

/* One operation "p" whose body is the component Body. */
#define DOC_POST(params)                                                                                                           \
	DOC_HEAD "paths:\n  /p:\n    post:\n      operationId: p\n      security: []\n      parameters: [" params "]\n"            \
		 "      requestBody: {required: true, content: {application/json: {schema: {$ref: "                                \
		 "'#/components/schemas/Body'}}}}\n"                                                                               \
		 "      responses: {}\ncomponents:\n  schemas:\n"

struct typed {
	struct api_flags f;
	struct opt_list nulls;
	struct opt_parse p;
	struct err err;
	struct buf out;
	char text[4096];
	char *argv[64];
	int rc; /* of the parsing, then of the body */
};

static const struct opt typed_table[] = { { .kind = OPT_LIST, .name = "null", .arg = "X", .help = "", .off = 0 },
	{ .kind = OPT_END } };

/* Words are separated by '|'. */
static inline void type_words(struct typed *t, const struct contract *c, const char *words)
{
	*t = (struct typed){ .err = ERR_INIT, .out = BUF_INIT };
	api_flags_init(&t->f, c, &c->ops[0]);
	t->p = (struct opt_parse){ .sets = { { t->f.table, t->f.values }, { typed_table, &t->nulls } }, .command_after = -1 };
	(void)snprintf(t->text, sizeof(t->text), "%s", words);
	int argc = 0;
	for (char *rest = t->text, *word; *words && argc < 64 && (word = strsep(&rest, "|"));)
		t->argv[argc++] = word;
	t->rc = opt_parse(&t->p, argc, t->argv, &t->err);
}

/* The body that the words make over input (JSON text, or NULL). */
static inline void type_body(struct typed *t, const struct contract *c, const char *words, const char *input)
{
	type_words(t, c, words);
	auto_js *v = input ? js_parse(input, strlen(input), JS_LIMITS_DEFAULT, &t->err) : NULL;
	if (t->rc == 0 && input && !v)
		t->rc = -1;
	if (t->rc == 0)
		t->rc = body_json(&t->f, v, &t->nulls, &t->out, &t->err);
}

static inline void typed_free(struct typed *t)
{
	opt_parse_free(&t->p);
	api_flags_free(&t->f);
	buf_free(&t->out);
}

#endif
