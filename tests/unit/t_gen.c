/* link: shared/gen/[d-ln-z]*.c shared/yaml/yaml_tree.c shared/gen/model*.c | -lyaml */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shared/gen/emit.h"
#include "shared/gen/names.h"
#include "shared/base/mem.h"
#include "tests/unit/contract_of.h"

#define SCHEMAS(text) DOC_HEAD DOC_PATHS "components:\n  schemas:\n" text

static void build(struct built *b, const char *text)
{
	struct err err = ERR_INIT;

	if (built_init(b, text, &err) != 0)
		fail_msg("%s", err.msg);
}

static void refused(const char *text, const char *message)
{
	struct err err = ERR_INIT;
	struct built b;

	assert_int_equal(built_init(&b, text, &err), -1);
	assert_string_equal(err.msg, message);
	built_free(&b);
}

static const struct ct_schema *schema(const struct built *b, const char *name)
{
	uint32_t i = component(&b->c, name);

	assert_int_not_equal(i, CT_NONE);
	return &b->c.schemas[i];
}

static const struct ct_schema *field(const struct built *b, const char *name, const char *member, bool *required)
{
	const struct ct_schema *s = schema(b, name);

	for (uint32_t i = 0; i < s->field_count; i++) {
		const struct ct_field *f = &b->c.fields[s->fields + i];
		if (strcmp(ct_s(&b->c, f->name), member) != 0)
			continue;
		if (required)
			*required = f->required;
		return &b->c.schemas[f->schema];
	}
	fail_msg("no field '%s'", member);
	return NULL;
}

static void t_values(void **state)
{
	(void)state;
	struct built b;
	build(&b,
		SCHEMAS("    A:\n"
			"      type: object\n"
			"      required: [i]\n"
			"      additionalProperties: false\n"
			"      properties:\n"
			"        i: {type: integer, format: int32, minimum: 1, exclusiveMaximum: 10, default: 5, description: \"an "
			"int\\n\"}\n"
			"        n: {type: [string, 'null'], pattern: '^\\d+$', minLength: 2, maxLength: 9}\n"
			"        o: {type: number, nullable: true, minimum: 0, exclusiveMinimum: true}\n"
			"        e: {type: string, enum: [on, 'b'], default: on, deprecated: true}\n"
			"        l: {type: array, minItems: 1, uniqueItems: true, items: {type: string}}\n"
			"        m: {type: object, additionalProperties: {type: integer}}\n"
			"        f: {additionalProperties: true}\n"
			"        c: {const: 7}\n"
			"        p: {type: string, format: password}\n"
			"        s: {type: string, x-sbx-secret: true}\n"
			"        t: {type: [string, integer]}\n"
			"        k: {type: object, additionalProperties: {type: integer}, propertyNames: {enum: [x, y]}}\n"));
	bool required;
	assert_true(schema(&b, "A")->flags & CT_CLOSED);
	const struct ct_schema *i = field(&b, "A", "i", &required);
	assert_true(required);
	assert_int_equal(i->type, CT_INTEGER);
	assert_int_equal(i->format, CT_FMT_INT32);
	assert_int_equal(i->flags, CT_HAS_MIN | CT_HAS_MAX | CT_EXCL_MAX | CT_HAS_DEFAULT);
	assert_true(i->min == 1 && i->max == 10);
	assert_string_equal(ct_s(&b.c, i->def), "5");
	assert_string_equal(ct_s(&b.c, i->description), "an int");
	const struct ct_schema *n = field(&b, "A", "n", &required);
	assert_false(required);
	assert_int_equal(n->type, CT_STRING);
	assert_int_equal(n->flags, CT_NULLABLE);
	assert_string_equal(ct_s(&b.c, n->pattern), "^[0-9]+$");
	assert_int_equal(n->min_len, 2);
	assert_int_equal(n->max_len, 9);
	assert_int_equal(field(&b, "A", "o", NULL)->flags, CT_NULLABLE | CT_HAS_MIN | CT_EXCL_MIN);
	const struct ct_schema *e = field(&b, "A", "e", NULL);
	assert_int_equal(e->enum_count, 2);
	assert_string_equal(ct_s(&b.c, b.c.enum_pool[e->enums]), "\"on\"");
	assert_int_equal(e->flags, CT_HAS_DEFAULT | CT_DEPRECATED);
	const struct ct_schema *l = field(&b, "A", "l", NULL);
	assert_int_equal(l->flags, CT_UNIQUE);
	assert_int_equal(b.c.schemas[l->items].type, CT_STRING);
	const struct ct_schema *m = field(&b, "A", "m", NULL);
	assert_int_equal(m->flags, CT_MAP);
	assert_int_equal(b.c.schemas[m->items].type, CT_INTEGER);
	const struct ct_schema *f = field(&b, "A", "f", NULL);
	assert_int_equal(f->type, CT_OBJECT);
	assert_int_equal(f->flags, CT_MAP);
	assert_int_equal(f->items, CT_NONE);
	assert_string_equal(ct_s(&b.c, field(&b, "A", "c", NULL)->constant), "7");
	assert_int_equal(field(&b, "A", "p", NULL)->flags, CT_SECRET);
	assert_int_equal(field(&b, "A", "s", NULL)->flags, CT_SECRET);
	const struct ct_schema *t = field(&b, "A", "t", NULL);
	assert_int_equal(t->type, CT_ANY);
	assert_int_equal(t->one_of_count, 2);
	assert_true(t->any_of);
	const struct ct_schema *k = field(&b, "A", "k", NULL); /* only these names: no map any more */
	assert_int_equal(k->flags, CT_CLOSED);
	assert_int_equal(k->items, CT_NONE);
	assert_int_equal(k->field_count, 2);
	assert_string_equal(ct_s(&b.c, b.c.fields[k->fields + 1].name), "y");
	assert_int_equal(b.c.schemas[b.c.fields[k->fields + 1].schema].type, CT_INTEGER);
	built_free(&b);
}

static void t_merge(void **state)
{
	(void)state;
	struct built b;
	bool required;
	build(&b,
		SCHEMAS("    Base: {type: object, required: [id], properties: {id: {type: string}, n: {type: integer, minimum: "
			"1}}}\n"
			"    More:\n"
			"      allOf:\n"
			"        - $ref: '#/components/schemas/Base'\n"
			"        - {type: object, required: [x], properties: {x: {type: boolean}, n: {type: string}}}\n"
			"      required: [n]\n"
			"      description: more\n"
			"    Maybe: {oneOf: [{$ref: '#/components/schemas/Base'}, {type: 'null'}]}\n"
			"    Holder:\n"
			"      type: object\n"
			"      properties:\n"
			"        plain: {$ref: '#/components/schemas/Base'}\n"
			"        said: {$ref: '#/components/schemas/Base', description: said}\n"
			"        null30: {nullable: true, allOf: [{$ref: '#/components/schemas/Base'}]}\n"
			"    Enum: {oneOf: [{type: string, enum: [a]}, {type: string, enum: [b, c]}]}\n"
			"    Narrow: {allOf: [{type: integer, minimum: 1, maximum: 9}, {type: number, minimum: 3}, {enum: [4, "
			"5]}], enum: [5, 6]}\n"));
	assert_int_equal(schema(&b, "More")->field_count, 3);
	assert_string_equal(ct_s(&b.c, schema(&b, "More")->description), "more");
	field(&b, "More", "id", &required);
	assert_true(required);
	assert_int_equal(field(&b, "More", "n", &required)->type, CT_STRING);
	assert_true(required);
	field(&b, "More", "x", &required);
	assert_true(required);
	assert_int_equal(schema(&b, "Maybe")->type, CT_OBJECT);
	assert_int_equal(schema(&b, "Maybe")->flags, CT_NULLABLE);
	assert_int_equal(schema(&b, "Maybe")->one_of_count, 0);
	assert_ptr_equal(field(&b, "Holder", "plain", NULL), schema(&b, "Base"));
	const struct ct_schema *said = field(&b, "Holder", "said", NULL);
	assert_ptr_not_equal(said, schema(&b, "Base"));
	assert_string_equal(ct_s(&b.c, said->description), "said");
	assert_string_equal(ct_s(&b.c, said->name), "Base");
	assert_int_equal(said->field_count, 2);
	assert_int_equal(field(&b, "Holder", "null30", NULL)->flags, CT_NULLABLE);
	assert_int_equal(schema(&b, "Enum")->enum_count, 3);
	assert_int_equal(schema(&b, "Enum")->type, CT_STRING);
	const struct ct_schema *narrow = schema(&b, "Narrow");
	assert_int_equal(narrow->type, CT_INTEGER);
	assert_true(narrow->min == 3 && narrow->max == 9);
	assert_int_equal(narrow->enum_count, 1);
	assert_string_equal(ct_s(&b.c, b.c.enum_pool[narrow->enums]), "5");
	built_free(&b);
}

static void t_recursive(void **state)
{
	(void)state;
	struct built b;
	build(&b,
		SCHEMAS("    Tree:\n"
			"      type: object\n"
			"      properties:\n"
			"        kids: {type: array, items: {$ref: '#/components/schemas/Tree'}}\n"
			"        up: {oneOf: [{$ref: '#/components/schemas/Tree'}, {type: 'null'}], description: parent}\n"
			"        map: {type: object, additionalProperties: {$ref: '#/components/schemas/Tree'}}\n"
			"    Alias: {$ref: '#/components/schemas/Tree'}\n"));
	uint32_t tree = component(&b.c, "Tree");
	assert_int_equal(field(&b, "Tree", "kids", NULL)->items, tree);
	const struct ct_schema *up = field(&b, "Tree", "up", NULL);
	assert_int_equal(up->type, CT_OBJECT);
	assert_true(up->flags & CT_NULLABLE);
	assert_int_equal(up->field_count, 3);
	assert_ptr_equal(&b.c.schemas[b.c.fields[up->fields + 1].schema], up);
	assert_int_equal(schema(&b, "Alias")->field_count, 3);
	built_free(&b);
	refused(SCHEMAS("    A: {$ref: '#/components/schemas/B'}\n    B: {$ref: '#/components/schemas/A'}\n"),
		"t.yaml:7: $ref: '#/components/schemas/A' refers to itself");
	refused(SCHEMAS("    A: {allOf: [{$ref: '#/components/schemas/A'}]}\n"),
		"t.yaml:6: allOf: the schema refers to itself by $ref or allOf");
}

static void t_dedup(void **state)
{
	(void)state;
	struct built b;
	build(&b,
		SCHEMAS("    A: {type: object, properties: {a: {type: string}, b: {type: string}, c: {type: string, maxLength: "
			"1}}}\n"
			"    B: {type: object, properties: {a: {type: string}}}\n"));
	assert_ptr_equal(field(&b, "A", "a", NULL), field(&b, "A", "b", NULL));
	assert_ptr_equal(field(&b, "A", "a", NULL), field(&b, "B", "a", NULL));
	assert_ptr_not_equal(field(&b, "A", "a", NULL), field(&b, "A", "c", NULL));
	assert_int_equal(b.c.schema_count, 4);
	built_free(&b);
}

static void t_schema_errors(void **state)
{
	(void)state;
	refused(SCHEMAS("    A: {type: strin}\n"), "t.yaml:6: type: 'strin' is not a type");
	refused(SCHEMAS("    A: {not: {type: string}}\n"), "t.yaml:6: not: not a key of a schema, or not supported");
	refused(SCHEMAS("    A: {type: string, x-sbx-sekret: true}\n"),
		"t.yaml:6: x-sbx-sekret: not an extension of a schema that sbxgen knows");
	refused(SCHEMAS("    A: {$ref: '#/components/schemas/No'}\n"), "t.yaml:6: $ref: '#/components/schemas/No' is not defined");
	refused(SCHEMAS("    A: {$ref: 'other.yaml#/A'}\n"), "t.yaml:6: $ref: must begin with '#/components/schemas/'");
	refused(SCHEMAS("    A:\n      type: object\n      properties: {a: {type: string}}\n      required:\n        - b\n"),
		"t.yaml:10: required: 'b' is not among the properties");
	refused(SCHEMAS("    A: {type: string, default: 1.10}\n"),
		"t.yaml:6: default: a number does not fit the type of the schema: put it in quotes");
	refused(SCHEMAS("    A: {type: boolean, default: yes}\n"),
		"t.yaml:6: default: a string does not fit the type of the schema");
	refused(SCHEMAS("    A: {type: string, pattern: 'a(?=b)'}\n"),
		"t.yaml:6: pattern: the pattern looks around or names a group, POSIX cannot");
	refused(SCHEMAS("    A: {type: string, minLength: -1}\n"), "t.yaml:6: minLength: must be a whole number from 0");
	refused(SCHEMAS("    A: {type: integer, minimum: 1e999}\n"), "t.yaml:6: minimum: is too large");
	refused(SCHEMAS("    A: {allOf: [{type: string}, {type: integer}]}\n"),
		"t.yaml:6: type: contradicts the type of another part of the schema");
	refused(SCHEMAS("    A: {type: object, propertyNames: {enum: [a]}}\n"),
		"t.yaml:6: propertyNames: a list of names needs additionalProperties with a schema");
	refused(SCHEMAS("    A: {type: object, propertyNames: {minLength: 1}}\n"),
		"t.yaml:6: minLength: not a key of propertyNames, or not supported");
	refused(SCHEMAS("    A: [1]\n"), "t.yaml:6: A: a schema must be a mapping");
	refused(SCHEMAS("    A: {type: string, enum: []}\n"), "t.yaml:6: enum: must be a list of values");
}

#define OPS_DOC                                                                                                                    \
	DOC_HEAD "servers: [{url: 'https://x.test/api/'}]\n"                                                                       \
		 "security: [{key: []}, {tok: [], org: []}]\n"                                                                     \
		 "paths:\n"                                                                                                        \
		 "  /boxes:\n"                                                                                                     \
		 "    get: {operationId: listBoxes, tags: [Boxes], responses: {'200': {description: d}}}\n"                        \
		 "    post:\n"                                                                                                     \
		 "      operationId: createVMs\n"                                                                                  \
		 "      x-sbx-command: box make\n"                                                                                 \
		 "      security: []\n"                                                                                            \
		 "      requestBody:\n"                                                                                            \
		 "        required: true\n"                                                                                        \
		 "        content: {text/plain: {}, application/json: {schema: {type: object}}}\n"                                 \
		 "      responses: {'4XX': {$ref: '#/components/responses/E'}, default: {description: d}}\n"                       \
		 "  /boxes/{id}/files/{path}:\n"                                                                                   \
		 "    parameters:\n"                                                                                               \
		 "      - {name: id, in: path, required: true, schema: {type: string}}\n"                                          \
		 "      - {name: path, in: path, required: true, x-sbx-rest: true, schema: {type: string}}\n"                      \
		 "      - {name: q, in: query, schema: {type: string}}\n"                                                          \
		 "    put:\n"                                                                                                      \
		 "      operationId: putFile\n"                                                                                    \
		 "      tags: [Boxes]\n"                                                                                           \
		 "      x-sbx-local: true\n"                                                                                       \
		 "      parameters: [{name: q, in: query, required: true, schema: {type: integer}}]\n"                             \
		 "      requestBody: {content: {application/x-tar: {}}}\n"                                                         \
		 "    get: {operationId: pty-attach, tags: [Boxes], responses: {'101': {description: ws}}}\n"                      \
		 "components:\n"                                                                                                   \
		 "  responses: {E: {description: e, content: {application/json: {schema: {type: string}}}}}\n"                     \
		 "  securitySchemes:\n"                                                                                            \
		 "    key: {type: apiKey, in: header, name: X-Key}\n"                                                              \
		 "    tok: {type: http, scheme: bearer}\n"                                                                         \
		 "    org: {type: apiKey, in: cookie, name: org}\n"

static void t_ops(void **state)
{
	(void)state;
	struct built b;
	build(&b, OPS_DOC);
	assert_int_equal(b.c.op_count, 4);
	assert_string_equal(b.c.base_path, "/api");
	const struct ct_op *list = &b.c.ops[0], *create = &b.c.ops[1], *put = &b.c.ops[2], *pty = &b.c.ops[3];
	assert_string_equal(ct_s(&b.c, list->path), "/api/boxes");
	assert_string_equal(ct_s(&b.c, list->noun), "box");
	assert_string_equal(ct_s(&b.c, list->verb), "list");
	assert_int_equal(list->flags, 0);
	assert_int_equal(list->security_count, 3);
	assert_int_equal(b.c.index_pool[list->security], 0);
	assert_int_equal(b.c.index_pool[list->security + 1], 1 | CT_SCHEME_AND);
	assert_int_equal(b.c.index_pool[list->security + 2], 2);
	assert_int_equal(b.c.schemes[1].kind, CT_SCHEME_BEARER);
	assert_int_equal(b.c.schemes[2].in, CT_IN_COOKIE);
	assert_string_equal(ct_s(&b.c, create->method), "POST");
	assert_string_equal(ct_s(&b.c, create->verb), "make");
	assert_int_equal(create->flags, CT_OP_PUBLIC | CT_OP_BODY_REQUIRED);
	assert_int_equal(ct_body(&b.c, create)->kind, CT_BODY_JSON);
	assert_string_equal(ct_s(&b.c, ct_body(&b.c, create)->media), "application/json");
	assert_int_equal(create->response_count, 2);
	assert_int_equal(b.c.responses[create->responses].status, 4);
	assert_int_equal(b.c.responses[create->responses + 1].status, 0);
	assert_int_equal(ct_body(&b.c, put)->kind, CT_BODY_STREAM);
	assert_int_equal(ct_body(&b.c, put)->schema, CT_NONE);
	assert_true(put->flags & CT_OP_LOCAL);
	assert_int_equal(put->param_count, 3);
	assert_true(b.c.params[put->params + 1].rest);
	assert_true(b.c.params[put->params + 2].required);
	assert_int_equal(b.c.schemas[b.c.params[put->params + 2].schema].type, CT_INTEGER);
	assert_int_equal(b.c.schemas[b.c.params[pty->params + 2].schema].type, CT_STRING);
	assert_int_equal(pty->flags, CT_OP_WEBSOCKET);
	built_free(&b);
}

#define PATHS(text) DOC_HEAD "paths:\n" text

static bool is_teams(const struct contract *c, uint32_t op)
{
	return (c->ops[op].flags & CT_OP_TEAMS) != 0;
}

/* Whose operations are everybody's: none, unless the document or the operation says so. */
static void t_teams(void **state)
{
	static const char ops[] = "paths:\n  /a: {get: {security: [], operationId: a}}\n  /b: {get: {security: [], operationId: b, "
				  "x-sbx-teams: true}}\n"
				  "  /c: {get: {security: [], operationId: c, x-sbx-teams: false}}\n";
	static const struct {
		const char *root;
		bool a;
	} rows[] = { { "", false }, { "x-sbx-teams: false\n", false }, { "x-sbx-teams: true\n", true } };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct built b;
		auto_free char *doc = mem_printf(DOC_HEAD "%s%s", rows[i].root, ops);
		build(&b, doc);
		assert_int_equal(is_teams(&b.c, 0), rows[i].a);
		assert_int_equal(b.c.ops[0].flags & ~CT_OP_TEAMS, CT_OP_PUBLIC); /* and nothing else */
		assert_true(is_teams(&b.c, 1));
		assert_false(is_teams(&b.c, 2));
		built_free(&b);
	}
	refused(DOC_HEAD "x-sbx-teams: all\n" DOC_PATHS, "t.yaml:3: x-sbx-teams: must be true or false");
	refused(DOC_HEAD "x-sbx-teams: 'true'\n" DOC_PATHS, "t.yaml:3: x-sbx-teams: must be true or false");
	refused(PATHS("  /a: {get: {security: [], operationId: x, x-sbx-teams: 1}}\n"),
		"t.yaml:4: x-sbx-teams: must be true or false");
}

/* What a dialect does with content types and members that it does not know. */
static void t_ignore(void **state)
{
	static const struct {
		const char *root;
		bool media, fields;
	} rows[] = { { "", false, false }, { "x-sbx-content-types: ignore\n", true, false },
		{ "x-sbx-content-types: refuse\n", false, false }, { "x-sbx-unknown-fields: ignore\n", false, true },
		{ "x-sbx-unknown-fields: ignore\nx-sbx-content-types: ignore\n", true, true } };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct built b;
		auto_free char *doc = mem_printf(DOC_HEAD "%s" DOC_PATHS, rows[i].root);
		build(&b, doc);
		assert_int_equal(b.c.any_media, rows[i].media);
		assert_int_equal(b.c.unknown_fields_ok, rows[i].fields);
		built_free(&b);
	}
	refused(DOC_HEAD "x-sbx-content-types: any\n" DOC_PATHS, "t.yaml:3: x-sbx-content-types: must be 'ignore' or 'refuse'");
	refused(DOC_HEAD "x-sbx-content-types: true\n" DOC_PATHS, "t.yaml:3: x-sbx-content-types: must be 'ignore' or 'refuse'");
	refused(DOC_HEAD "x-sbx-content-types: [ignore]\n" DOC_PATHS,
		"t.yaml:3: x-sbx-content-types: must be 'ignore' or 'refuse'");
}

static void t_op_errors(void **state)
{
	(void)state;
	refused(PATHS("  /a: {get: {}}\n"), "t.yaml:4: get: an operation needs an operationId");
	refused(PATHS("  /a: {get: {security: [], operationId: x}, put: {security: [], operationId: x}}\n"),
		"t.yaml:4: put: operationId 'x' is taken");
	refused(PATHS("  /a: {gett: {security: [], operationId: x}}\n"), "t.yaml:4: gett: not a method");
	refused(PATHS("  /a: {get: {operationID: x}}\n"), "t.yaml:4: operationID: not a key of an operation, or not supported");
	refused(PATHS("  /a/{b}: {get: {security: [], operationId: x}}\n"), "t.yaml:4: /a/{b}: path parameter 'b' is not declared");
	refused(PATHS("  /a/x{b}: {get: {security: [], operationId: x}}\n"),
		"t.yaml:4: /a/x{b}: a parameter must be a whole segment");
	refused(PATHS("  /a//b: {get: {security: [], operationId: x}}\n"), "t.yaml:4: /a//b: an empty segment in the path");
	refused(PATHS("  a: {get: {security: [], operationId: x}}\n"), "t.yaml:4: a: a path must begin with '/' and be plain");
	refused(PATHS("  /a: {get: {operationId: x, security: [{k: []}]}}\n"), "t.yaml:4: k: no such security scheme");
	refused(PATHS("  /a: {get: {security: [], operationId: x, responses: {'999': {}}}}\n"), "t.yaml:4: 999: not a status");
	refused(PATHS("  /a: {get: {security: [], operationId: x, responses: {'200': {$ref: '#/components/responses/E'}}}}\n"),
		"t.yaml:4: $ref: '#/components/responses/E' is not defined");
	refused(PATHS("  /a: {get: {security: [], operationId: x, x-sbx-body-limit: 0}}\n"),
		"t.yaml:4: x-sbx-body-limit: must be a number of bytes");
	refused(PATHS("  /a: {get: {security: [], operationId: x, x-sbx-body-limit: 2M}}\n"),
		"t.yaml:4: x-sbx-body-limit: must be a number of bytes");
	refused(PATHS("  /a: {get: {security: [], operationId: x, x-sbx-command: create}}\n"),
		"t.yaml:4: x-sbx-command: must be a noun and a verb in lower case: 'sandbox create'");
	refused(PATHS("  /a: {get: {security: [], operationId: x, x-sbx-command: a b}}\n  /b: {get: {security: [], operationId: y, "
		      "x-sbx-command: a b}}\n"),
		"t.yaml:5: x-sbx-command: 'a b' is the command of 'x' already");
	refused("openapi: 2.0\npaths: {}\n", "t.yaml:1: openapi: must be 3.0.x or 3.1.x");
	refused(DOC_HEAD, "t.yaml:1: the document has no paths");
}

static void t_names(void **state)
{
	(void)state;
	static const char *const upper[][2] = { { "getVersion", "GET_VERSION" }, { "listVMs", "LIST_VMS" },
		{ "connectPTYSession", "CONNECT_PTY_SESSION" }, { "get-vm", "GET_VM" }, { "list_all", "LIST_ALL" },
		{ "2fa", "_2FA" }, { "x256Color", "X256_COLOR" } };
	static const char *const singular[][2] = { { "boxes", "box" }, { "sandboxes", "sandbox" }, { "api-keys", "api-key" },
		{ "status", "status" }, { "entries", "entry" }, { "access", "access" }, { "processes", "process" },
		{ "images", "image" }, { "fs", "fs" } };
	for (size_t i = 0; i < sizeof upper / sizeof upper[0]; i++) {
		auto_buf b = BUF_INIT;
		name_snake_upper(upper[i][0], &b);
		assert_string_equal(b.p, upper[i][1]);
	}
	for (size_t i = 0; i < sizeof singular / sizeof singular[0]; i++) {
		auto_buf b = BUF_INIT;
		buf_str(&b, singular[i][0]);
		name_singular(&b);
		assert_string_equal(b.p, singular[i][1]);
	}
	auto_buf b = BUF_INIT;
	name_kebab("File System", &b);
	assert_string_equal(b.p, "file-system");
}

static void t_patterns(void **state)
{
	(void)state;
	static const char *const rows[][2] = { { "^\\d{3}\\.\\w+$", "^[0-9]{3}\\.[A-Za-z0-9_]+$" }, { "[\\w.-]", "[A-Za-z0-9_.-]" },
		{ "[\\]a]", "[]a]" }, { "[\\^]", "\\^" }, { "[a^]", "[a^]" }, { "[^\\s-]", "[^ \t\r\n\f\v-]" },
		{ "(?:a|b)", "(a|b)" }, { "\\S", "[^ \t\r\n\f\v]" }, { "[-a-z]", "[a-z-]" }, { "[\\^-]", "[-^]" },
		{ "a\\/b", "a/b" } };
	static const char *const bad[] = { "a+?", "\\bx", "(?<n>x)", "[a", "(", "\\p{L}", "\\" };
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		auto_buf b = BUF_INIT;
		assert_int_equal(pattern_translate(rows[i][0], &b, NULL), 0);
		assert_string_equal(b.p, rows[i][1]);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		auto_buf b = BUF_INIT;
		if (pattern_translate(bad[i], &b, NULL) == 0)
			fail_msg("'%s' went through as '%s'", bad[i], b.p);
	}
}

static void t_emit(void **state)
{
	(void)state;
	struct built b, again;
	build(&b, OPS_DOC);
	build(&again, OPS_DOC);
	auto_buf h = BUF_INIT;
	auto_buf c = BUF_INIT;
	auto_buf c2 = BUF_INIT;
	struct err err = ERR_INIT;
	assert_int_equal(emit_header(b.model, &h, &err), 0);
	emit_source(b.model, "t_contract.h", &c);
	emit_source(again.model, "t_contract.h", &c2);
	assert_string_equal(c.p, c2.p);
	assert_non_null(strstr(h.p, "\tT_OP_LIST_BOXES, /* GET /api/boxes */\n"));
	assert_non_null(strstr(h.p, "\tT_OP_COUNT\n"));
	assert_non_null(strstr(h.p, "#define T_OPERATIONS(X) \\\n\tX(listBoxes, LIST_BOXES) \\\n"));
	assert_non_null(strstr(h.p, "X(pty_attach, PTY_ATTACH)"));
	assert_non_null(strstr(h.p, "extern const struct contract contract_t;"));
	assert_non_null(strstr(c.p, "#include \"t_contract.h\""));
	built_free(&b);
	built_free(&again);
}

static void t_tolerant(void **state)
{
	(void)state;
	static const char text[] =
		PATHS("  /a: {get: {security: [], operationId: x, responses: {'200': {$ref: '#/components/responses/E'}},\n"
		      "    parameters: [{name: q, in: query, schema: {type: integer, default: many}}]}}\n");
	struct err err = ERR_INIT;
	struct yt_doc *doc = yt_parse(text, strlen(text), "t.yaml", YT_LIMITS_DEFAULT, &err);
	struct model *m = model_build(doc, "t", false, &err);
	assert_non_null(m);
	assert_string_equal(m->warnings.p,
		"t.yaml:5: default: a string does not fit the type of the schema\n"
		"t.yaml:4: $ref: '#/components/responses/E' is not defined\n");
	assert_int_equal(m->responses.n, 1);
	assert_int_equal(m->responses.p[0].status, 200);
	model_free(m);
	yt_free(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_values),
		cmocka_unit_test(t_merge),
		cmocka_unit_test(t_recursive),
		cmocka_unit_test(t_dedup),
		cmocka_unit_test(t_schema_errors),
		cmocka_unit_test(t_ops),
		cmocka_unit_test(t_op_errors),
		cmocka_unit_test(t_teams),
		cmocka_unit_test(t_ignore),
		cmocka_unit_test(t_names),
		cmocka_unit_test(t_patterns),
		cmocka_unit_test(t_emit),
		cmocka_unit_test(t_tolerant),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
