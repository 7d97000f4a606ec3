/* link: shared/gen/[d-ln-z]*.c shared/yaml/yaml_tree.c shared/gen/model*.c shared/contract/[a-z]*.c | -lyaml */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shared/base/mem.h"
#include "tests/unit/contract_of.h"

static const char doc[] = DOC_HEAD
	"paths:\n"
	"  /p:\n    get:\n      operationId: p\n      security: []\n      parameters:\n"
	"        - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100}}\n"
	"        - {name: all, in: query, schema: {type: boolean}}\n"
	"        - {name: state, in: query, schema: {type: string, enum: [running, stopped]}}\n"
	"        - {name: tag, in: query, schema: {type: array, items: {type: integer}}}\n"
	"        - {name: tags, in: query, explode: false, schema: {type: array, maxItems: 3, items: {type: integer}}}\n"
	"        - {name: ratio, in: query, schema: {type: number}}\n"
	"        - {name: X-Filter, in: header, schema: {type: object, properties: {a: {type: integer}}}}\n"
	"        - {name: either, in: query, schema: {oneOf: [{type: integer, minimum: 5}, {type: string, maxLength: 2}]}}\n"
	"components:\n  schemas:\n"
	"    Create:\n"
	"      type: object\n"
	"      required: [name]\n"
	"      properties:\n"
	"        name: {type: string, minLength: 1, maxLength: 5, pattern: '^[a-zé-]+$'}\n"
	"        memoryMb: {type: integer, minimum: 64, maximum: 4096}\n"
	"        count: {type: integer}\n"
	"        small: {type: integer, format: int32}\n"
	"        ratio: {type: number, exclusiveMinimum: 0, exclusiveMaximum: 1}\n"
	"        state: {type: string, enum: [running, stopped]}\n"
	"        kind: {const: fixed}\n"
	"        net: {type: boolean, nullable: true}\n"
	"        command: {type: array, minItems: 1, items: {type: string}}\n"
	"        env: {type: object, additionalProperties: {type: string}, maxProperties: 2}\n"
	"        labels: {type: array, uniqueItems: true, items: {}}\n"
	"        any: {}\n"
	"        free: {type: object}\n"
	"        none: {type: object, additionalProperties: false}\n"
	"        open: {type: object, properties: {a: {type: integer}}, additionalProperties: true}\n"
	"        id: {type: [string, integer], maxLength: 3, minimum: 10}\n"
	"        when: {type: string, format: date-time}\n"
	"        sub: {type: object, properties: {deep: {type: array, items: {type: object, properties: {x: {type: integer}}}}}}\n"
	"    Shape:\n"
	"      oneOf:\n"
	"        - {type: object, required: [type, r], properties: {type: {type: string, enum: [circle]}, r: {type: number}}}\n"
	"        - {type: object, required: [type, w], properties: {type: {type: string, enum: [box]}, w: {type: number}}}\n"
	"        - {type: string}\n"
	"    Either:\n"
	"      type: object\n"
	"      properties: {a: {type: string}, b: {type: string}, c: {type: string}}\n"
	"      anyOf: [{required: [a]}, {required: [b]}]\n"
	"    Some: {anyOf: [{type: object, properties: {a: {type: string}}}, {type: object, properties: {b: {type: string}}}]}\n"
	"    Tree: {type: object, properties: {v: {type: integer}, kids: {type: array, items: {$ref: "
	"'#/components/schemas/Tree'}}}}\n"
	"    Bomb:\n"
	"      oneOf:\n"
	"        - {type: object, required: [z], properties: {z: {type: string}, k: {$ref: '#/components/schemas/Bomb'}}}\n"
	"        - {type: object, required: [y], properties: {y: {type: string}, k: {$ref: '#/components/schemas/Bomb'}}}\n";

static int setup(void **state)
{
	struct built *b = mem_zalloc(sizeof *b);
	struct err err = ERR_INIT;

	*state = b;
	if (built_init(b, doc, &err) != 0)
		(void)fprintf(stderr, "%s\n", err.msg);
	return b->model ? 0 : -1;
}

static int teardown(void **state)
{
	built_free(*state);
	free(*state);
	return 0;
}

struct row {
	const char *schema, *json, *message, *hint; /* message NULL: valid */
};

static void check_row(const struct contract *c, const struct row *r)
{
	struct err err = ERR_INIT;
	auto_js *v = js_parse(r->json, strlen(r->json), JS_LIMITS_DEFAULT, &err);

	assert_non_null(v);
	int rc = ct_validate(c, component(c, r->schema), v, &err);
	if (!r->message && rc != 0)
		fail_msg("%s: %s", r->json, err.msg);
	if (!r->message)
		return;
	if (rc == 0)
		fail_msg("%s went through, not '%s'", r->json, r->message);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.msg, r->message);
	if (r->hint)
		assert_string_equal(err.hint, r->hint);
	assert_int_equal(ct_validate(c, component(c, r->schema), v, NULL), -1);
}

static void t_bodies(void **state)
{
	static const struct row rows[] = {
		{ "Create", "{\"name\":\"a\"}", NULL, NULL },
		{ "Create", "{}", "'name' is required", NULL },
		{ "Create", "[]", "the body must be an object", NULL },
		{ "Create", "null", "the body must be an object", NULL },
		{ "Create", "{\"name\":\"\"}", "'name' must not be empty", NULL },
		{ "Create", "{\"name\":\"abcdef\"}", "'name' must have at most 5 characters", NULL },
		{ "Create", "{\"name\":\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\"}", NULL, NULL },
		{ "Create", "{\"name\":\"A\"}", "'name' must match ^[a-z\xc3\xa9-]+$", NULL },
		{ "Create", "{\"name\":null}", "'name' must be a string", NULL },
		{ "Create", "{\"name\":\"a\",\"memoryMb\":\"1\"}", "'memoryMb' must be an integer", NULL },
		{ "Create", "{\"name\":\"a\",\"memoryMb\":64.5}", "'memoryMb' must be an integer", NULL },
		{ "Create", "{\"name\":\"a\",\"memoryMb\":64.0}", NULL, NULL },
		{ "Create", "{\"name\":\"a\",\"memoryMb\":63}", "'memoryMb' must be at least 64", NULL },
		{ "Create", "{\"name\":\"a\",\"memoryMb\":4097}", "'memoryMb' must be at most 4096", NULL },
		{ "Create", "{\"name\":\"a\",\"small\":2147483648}", "'small' must be at most 2147483647", NULL },
		{ "Create", "{\"name\":\"a\",\"small\":-2147483648}", NULL, NULL },
		{ "Create", "{\"name\":\"a\",\"count\":9007199254740992}", NULL, NULL },
		{ "Create", "{\"name\":\"a\",\"count\":1e300}", "'count' is too large", NULL },
		{ "Create", "{\"name\":\"a\",\"ratio\":0}", "'ratio' must be more than 0", NULL },
		{ "Create", "{\"name\":\"a\",\"ratio\":1}", "'ratio' must be less than 1", NULL },
		{ "Create", "{\"name\":\"a\",\"ratio\":0.5}", NULL, NULL },
		{ "Create", "{\"name\":\"a\",\"state\":\"x\"}", "'state' must be one of running, stopped", NULL },
		{ "Create", "{\"name\":\"a\",\"state\":\"stopped\"}", NULL, NULL },
		{ "Create", "{\"name\":\"a\",\"kind\":\"x\"}", "'kind' must be \"fixed\"", NULL },
		{ "Create", "{\"name\":\"a\",\"net\":null}", NULL, NULL },
		{ "Create", "{\"name\":\"a\",\"net\":1}", "'net' must be a boolean", NULL },
		{ "Create", "{\"name\":\"a\",\"when\":\"yesterday\"}", "'when' must be a time like 2026-01-31T12:00:00Z", NULL },
	};
	const struct built *b = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&b->c, &rows[i]);
}

static void t_collections(void **state)
{
	static const struct row rows[] = {
		{ "Create", "{\"name\":\"a\",\"command\":[]}", "'command' must not be empty", NULL },
		{ "Create", "{\"name\":\"a\",\"command\":\"ls\"}", "'command' must be an array", NULL },
		{ "Create", "{\"name\":\"a\",\"command\":[\"a\",\"b\",3]}", "'command[2]' must be a string", NULL },
		{ "Create", "{\"name\":\"a\",\"env\":{\"FOO\":1}}", "'env.FOO' must be a string", NULL },
		{ "Create", "{\"name\":\"a\",\"env\":{\"A\":\"1\",\"B\":\"2\",\"C\":\"\"}}", "'env' must have at most 2 members",
			NULL },
		{ "Create", "{\"name\":\"a\",\"labels\":[1,\"1\",[1],{\"a\":1},true,null]}", NULL, NULL },
		{ "Create", "{\"name\":\"a\",\"labels\":[1,2,1.0]}", "'labels' must not have the same item twice", NULL },
		{ "Create", "{\"name\":\"a\",\"labels\":[]}", NULL, NULL },
		{ "Create", "{\"name\":\"a\",\"any\":[{\"x\":null}]}", NULL, NULL },
		{ "Create", "{\"name\":\"a\",\"free\":{\"x\":{\"y\":1}}}", NULL, NULL },
		{ "Create", "{\"name\":\"a\",\"none\":{\"x\":1}}", "'none.x' is not a known field", NULL },
		{ "Create", "{\"name\":\"a\",\"open\":{\"x\":1,\"a\":2}}", NULL, NULL },
		{ "Create", "{\"name\":\"a\",\"open\":{\"a\":\"\"}}", "'open.a' must be an integer", NULL },
		{ "Create", "{\"name\":\"a\",\"sub\":{\"deep\":[{},{\"x\":\"\"}]}}", "'sub.deep[1].x' must be an integer", NULL },
		{ "Create", "{\"name\":\"a\",\"sub\":{\"deep\":[{\"y\":1}]}}", "'sub.deep[0].y' is not a known field", NULL },
		{ "Create", "{\"name\":\"a\",\"memory\":1}", "'memory' is not a known field", "did you mean 'memoryMb'?" },
		{ "Create", "{\"name\":\"a\",\"MEMORYMB\":1}", "'MEMORYMB' is not a known field", "did you mean 'memoryMb'?" },
		{ "Create", "{\"nam\":\"a\"}", "'nam' is not a known field", "did you mean 'name'?" },
		{ "Create", "{\"\\u0007\\n\":1}", "'\?\?' is not a known field", NULL },
		{ "Tree", "{\"zzzzzzz\":1}", "'zzzzzzz' is not a known field", "known fields: v, kids" },
		{ "Tree", "{\"kids\":[{\"kids\":[{\"v\":1},{\"v\":\"\"}]}]}", "'kids[0].kids[1].v' must be an integer", NULL },
	};
	const struct built *b = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&b->c, &rows[i]);
}

static void t_choices(void **state)
{
	static const struct row rows[] = {
		{ "Create", "{\"name\":\"a\",\"id\":\"abc\"}", NULL, NULL },
		{ "Create", "{\"name\":\"a\",\"id\":12}", NULL, NULL },
		{ "Create", "{\"name\":\"a\",\"id\":\"abcd\"}", "'id' must have at most 3 characters", NULL },
		{ "Create", "{\"name\":\"a\",\"id\":9}", "'id' must be at least 10", NULL },
		{ "Create", "{\"name\":\"a\",\"id\":true}", "'id' must be an integer or a string", NULL },
		{ "Shape", "{\"type\":\"circle\",\"r\":1}", NULL, NULL },
		{ "Shape", "{\"type\":\"box\",\"w\":1}", NULL, NULL },
		{ "Shape", "\"blob\"", NULL, NULL },
		{ "Shape", "{\"type\":\"box\"}", "'w' is required", NULL },
		{ "Shape", "{\"type\":\"box\",\"w\":\"1\"}", "'w' must be a number", NULL },
		{ "Shape", "{\"type\":\"box\",\"w\":1,\"r\":1}", "'r' is not a known field", NULL },
		{ "Shape", "{\"type\":\"star\"}", "the body has none of its 3 possible forms", NULL },
		{ "Shape", "{\"w\":1}", "the body has none of its 3 possible forms", "the first: 'w' is not a known field" },
		{ "Shape", "[]", "the body must be an object or a string", NULL },
		{ "Either", "{\"a\":\"1\"}", NULL, NULL },
		{ "Either", "{\"b\":\"1\",\"c\":\"2\"}", NULL, NULL },
		{ "Either", "{\"a\":1}", "'a' must be a string", NULL },
		{ "Either", "{\"c\":\"1\"}", "the body has none of its 2 possible forms", "the first: 'a' is required" },
		{ "Either", "{\"a\":\"1\",\"d\":\"2\"}", "the body has none of its 2 possible forms",
			"the first: 'd' is not a known field" },
		{ "Some", "{\"a\":\"1\",\"b\":\"2\"}", NULL, NULL },
	};
	const struct built *b = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&b->c, &rows[i]);
}

/* Two alternatives that both go down at every level: without a bound 2^60 visits. */
static void t_bomb(void **state)
{
	const struct built *b = *state;
	auto_buf json = BUF_INIT;
	struct err err = ERR_INIT;

	for (int i = 0; i < 60; i++)
		buf_str(&json, "{\"k\":");
	buf_str(&json, "1");
	for (int i = 0; i < 60; i++)
		buf_str(&json, "}");
	auto_js *v = js_parse(json.p, json.len, JS_LIMITS_DEFAULT, &err);
	assert_non_null(v);
	assert_int_equal(ct_validate(&b->c, component(&b->c, "Bomb"), v, &err), -1);
}

static void t_unknown_ok(void **state)
{
	(void)state;
	struct built b;
	struct err err = ERR_INIT;
	auto_js *v = js_parse("{\"a\":1,\"x\":2}", 13, JS_LIMITS_DEFAULT, &err);
	auto_js *bad = js_parse("{\"a\":\"\",\"x\":2}", 14, JS_LIMITS_DEFAULT, &err);

	assert_int_equal(built_init(&b,
				 "x-sbx-unknown-fields: ignore\n" DOC_HEAD DOC_PATHS
				 "components: {schemas: {A: {type: object, properties: {a: {type: integer}}},\n"
				 "  B: {type: object, properties: {a: {type: integer}}, additionalProperties: false}}}\n",
				 &err),
		0);
	assert_int_equal(ct_validate(&b.c, component(&b.c, "A"), v, &err), 0);
	assert_int_equal(ct_validate(&b.c, component(&b.c, "A"), bad, &err), -1);
	assert_int_equal(ct_validate(&b.c, component(&b.c, "B"), v, &err), -1);
	assert_string_equal(err.msg, "'x' is not a known field");
	assert_int_equal(ct_validate(&b.c, CT_NONE, v, &err), 0);
	built_free(&b);
}

static void t_text(void **state)
{
	static const struct row rows[] = {
		{ "limit", "10", NULL, NULL },
		{ "limit", "0", "'limit' must be at least 1", NULL },
		{ "limit", "", "'limit' must be an integer", NULL },
		{ "limit", "ten", "'limit' must be an integer", NULL },
		{ "limit", "1.5", "'limit' must be an integer", NULL },
		{ "limit", "010", "'limit' must be an integer", NULL },
		{ "limit", "0x10", "'limit' must be an integer", NULL },
		{ "limit", "nan", "'limit' must be an integer", NULL },
		{ "limit", " 1", "'limit' must be an integer", NULL },
		{ "limit", "-", "'limit' must be an integer", NULL },
		{ "limit", "1,2", "'limit' must be an integer", NULL },
		{ "all", "true", NULL, NULL },
		{ "all", "yes", "'all' must be a boolean", NULL },
		{ "state", "running", NULL, NULL },
		{ "state", "true", "'state' must be one of running, stopped", NULL },
		{ "tag", "5", NULL, NULL },
		{ "tag", "x", "'tag' must be an integer", NULL },
		{ "tags", "1,2,3", NULL, NULL },
		{ "tags", "", NULL, NULL },
		{ "tags", "1,,3", "'tags[1]' must be an integer", NULL },
		{ "tags", "1,", "'tags[1]' must be an integer", NULL },
		{ "tags", "1,2,3,4", "'tags' must have at most 3 items", NULL },
		{ "ratio", "1e3", NULL, NULL },
		{ "ratio", "inf", "'ratio' must be a number", NULL },
		{ "ratio", "1e", "'ratio' must be a number", NULL },
		{ "X-Filter", "{\"a\":1}", NULL, NULL },
		{ "X-Filter", "{\"a\":\"\"}", "'X-Filter.a' must be an integer", NULL },
		{ "X-Filter", "{a}", "'X-Filter' must be an object", NULL },
		{ "either", "7", NULL, NULL },
		{ "either", "4", NULL, NULL }, /* as a string */
		{ "either", "ab", NULL, NULL },
		{ "either", "abc", "'either' must have at most 2 characters", NULL },
		{ "state", "\xff", "'state' must be UTF-8", NULL },
	};
	const struct built *b = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		struct err err = ERR_INIT;
		const struct ct_op *op = &b->c.ops[0];
		const struct ct_param *p = ct_find_param(&b->c, op, CT_IN_QUERY, r->schema);
		p = p ? p : ct_find_param(&b->c, op, CT_IN_HEADER, "x-filter");
		assert_non_null(p);
		int rc = ct_validate_text(&b->c, p, r->json, &err);
		if ((rc == 0) != !r->message)
			fail_msg("%s=%s: '%s'", r->schema, r->json, err.msg);
		if (r->message)
			assert_string_equal(err.msg, r->message);
	}
}

static void t_formats(void **state)
{
	static const struct {
		const char *format, *text;
		bool ok;
	} rows[] = {
		{ "date-time", "2026-02-28T23:59:60.123Z", true },
		{ "date-time", "2024-02-29t00:00:00+05:30", true },
		{ "date-time", "2026-02-29T00:00:00Z", false },
		{ "date-time", "2026-01-01T00:00:00", false },
		{ "date-time", "2026-01-01T24:00:00Z", false },
		{ "date-time", "2026-01-01T00:00:00.Z", false },
		{ "date", "2026-12-31", true },
		{ "date", "2026-13-01", false },
		{ "date", "2026-1-1", false },
		{ "uuid", "123e4567-e89b-12d3-a456-426614174000", true },
		{ "uuid", "123e4567e89b12d3a456426614174000", false },
		{ "uuid", "123e4567-e89b-12d3-a456-42661417400", false },
		{ "uuid", "", false },
		{ "email", "a.b+c@x.example", true },
		{ "email", "a@", false },
		{ "email", "@b", false },
		{ "email", "a@b@c", false },
		{ "email", "a b@c", false },
		{ "uri", "https://x.test/a?b#c", true },
		{ "uri", "/relative", false },
		{ "uri", "x:", false },
		{ "uri", "http://a b", false },
		{ "byte", "aGk=", true },
		{ "byte", "", true },
		{ "byte", "aGk", false },
		{ "byte", "a===", false },
		{ "byte", "=aaa", false },
		{ "hostname", "a-1.example", true },
		{ "hostname", "-a", false },
		{ "hostname", "a-.b", false },
		{ "hostname", "a..b", false },
		{ "hostname", "a.", false },
		{ "ipv4", "10.0.0.1", true },
		{ "ipv4", "10.0.0.256", false },
		{ "ipv4", "010.0.0.1", false },
		{ "who-knows", "anything", true },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct built b;
		struct err err = ERR_INIT;
		auto_free char *text =
			mem_printf(DOC_HEAD DOC_PATHS "components: {schemas: {A: {type: string, format: %s}}}\n", rows[i].format);
		auto_free char *json = mem_printf("\"%s\"", rows[i].text);
		assert_int_equal(built_init(&b, text, &err), 0);
		auto_js *v = js_parse(json, strlen(json), JS_LIMITS_DEFAULT, &err);
		if ((ct_validate(&b.c, component(&b.c, "A"), v, &err) == 0) != rows[i].ok)
			fail_msg("%s '%s'", rows[i].format, rows[i].text);
		built_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_bodies),
		cmocka_unit_test(t_collections),
		cmocka_unit_test(t_choices),
		cmocka_unit_test(t_bomb),
		cmocka_unit_test(t_unknown_ok),
		cmocka_unit_test(t_text),
		cmocka_unit_test(t_formats),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
