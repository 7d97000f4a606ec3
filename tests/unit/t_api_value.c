/* link: shared/gen/[d-ln-z]*.c shared/yaml/yaml_tree.c shared/gen/model*.c shared/contract/[a-z]*.c cli/opt.c cli/api/flags.c cli/api/value.c cli/api/body.c | -lyaml */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/api_fixture.h"

#include "cli/api/value.h"

static const char doc[] = DOC_HEAD DOC_PATHS
	"components:\n  schemas:\n"
	"    Text: {type: string}\n"
	"    Int: {type: integer, minimum: 5}\n"
	"    Num: {type: number}\n"
	"    Bool: {type: boolean}\n"
	"    Object: {type: object, properties: {a: {type: string}}}\n"
	"    List: {type: array, items: {type: integer}}\n"
	"    Any: {}\n"
	"    Null: {type: [string, 'null']}\n"
	"    Port: {type: object, x-sbx-short: 'port:targetPort', required: [port, targetPort], properties: {port: {type: integer}, targetPort: {type: integer}}}\n"
	"    Group: {type: object, x-sbx-short: 'name:gid', required: [name], properties: {name: {type: string}, gid: {type: integer}}}\n"
	"    Last: {type: object, x-sbx-short: 'id:rest', required: [id], properties: {id: {type: string}, rest: {type: string}}}\n"
	"    Keep:\n"
	"      oneOf:\n"
	"        - {type: object, required: [type], properties: {type: {const: sticky}, priority: {type: integer}}}\n"
	"        - {type: object, required: [type], properties: {type: {type: string, enum: [always]}}}\n"
	"        - {type: object, required: [type, days], properties: {type: {const: timed}, days: {type: integer}}}\n"
	"    Either: {oneOf: [{type: integer}, {type: string, maxLength: 4}]}\n"
	"    Choice: {oneOf: [{type: boolean}, {type: object, properties: {a: {type: string}}}]}\n";

static const struct row {
	const char *schema, *text, *json, *error; /* json NULL: error */
} rows[] = {
	{ "Text", "x", "\"x\"", NULL },
	{ "Text", "", "\"\"", NULL },
	{ "Text", "12", "\"12\"", NULL },
	{ "Text", "true", "\"true\"", NULL },
	{ "Text", "{\"a\": 1}", "\"{\\\"a\\\": 1}\"", NULL },
	{ "Text", "q\"\\\n\x01", "\"q\\\"\\\\\\n\\u0001\"", NULL },
	{ "Null", "null", "\"null\"", NULL }, /* --null says it */
	{ "Int", "7", "7", NULL },
	{ "Int", "-7", "-7", NULL },
	{ "Int", "3", "3", NULL },
	{ "Int", "9007199254740993", "9007199254740993", NULL },
	/* what is no number stays text: the check of the request says what it should have been */
	{ "Int", "", "\"\"", NULL },
	{ "Int", " 7", "\" 7\"", NULL },
	{ "Int", "7 ", "\"7 \"", NULL },
	{ "Int", "0x10", "\"0x10\"", NULL },
	{ "Int", "07", "\"07\"", NULL },
	{ "Int", "1e", "\"1e\"", NULL },
	{ "Num", "1e3", "1e3", NULL },
	{ "Num", ".5", "\".5\"", NULL },
	{ "Num", "5.", "\"5.\"", NULL },
	{ "Num", "nan", "\"nan\"", NULL },
	{ "Num", "inf", "\"inf\"", NULL },
	{ "Num", "-", "\"-\"", NULL },
	{ "Bool", "true", "true", NULL },
	{ "Bool", "yes", "\"yes\"", NULL },
	{ "Object", "{\"a\": \"x\"}", "{\"a\": \"x\"}", NULL },
	{ "Object", "{\"a\": ", "\"{\\\"a\\\": \"", NULL },
	{ "Object", "x", "\"x\"", NULL },
	{ "List", "[1, 2]", "[1, 2]", NULL },
	{ "Any", "7", "7", NULL },
	{ "Any", "x y", "\"x y\"", NULL },
	{ "Any", "[null]", "[null]", NULL },
	{ "Port", "443:3000", "{\"port\":443,\"targetPort\":3000}", NULL },
	{ "Port", "{\"port\": 1, \"targetPort\": 2}", "{\"port\": 1, \"targetPort\": 2}", NULL },
	{ "Port", "443", NULL, "'443' is not of the form port:targetPort" },
	{ "Port", "", NULL, "'' is not of the form port:targetPort" },
	{ "Port", ":1", NULL, "':1' is not of the form port:targetPort" },
	{ "Port", "a:b", "{\"port\":\"a\",\"targetPort\":\"b\"}", NULL },
	{ "Group", "adm:7", "{\"name\":\"adm\",\"gid\":7}", NULL },
	{ "Group", "adm", "{\"name\":\"adm\"}", NULL },
	{ "Group", "adm:", "{\"name\":\"adm\"}", NULL },
	{ "Last", "a:b:c", "{\"id\":\"a\",\"rest\":\"b:c\"}", NULL },
	{ "Keep", "sticky", "{\"type\":\"sticky\"}", NULL },
	{ "Keep", "always", "{\"type\":\"always\"}", NULL },
	{ "Keep", "timed", "\"timed\"", NULL }, /* that needs days */
	{ "Keep", "{\"type\": \"timed\", \"days\": 2}", "{\"type\": \"timed\", \"days\": 2}", NULL },
	{ "Either", "12", "12", NULL },
	{ "Either", "abcd", "\"abcd\"", NULL },
	{ "Either", "abcde", "\"abcde\"", NULL },
	{ "Choice", "false", "false", NULL },
	{ "Choice", "{\"a\": \"b\"}", "{\"a\": \"b\"}", NULL },
};

static void test_rows(void **state)
{
	(void)state;
	struct built b;
	struct err err = ERR_INIT;
	if (built_init(&b, doc, &err))
		fail_msg("%s", err.msg);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		auto_buf out = BUF_INIT;
		err_clear(&err);
		int rc = value_json(&b.c, component(&b.c, r->schema), r->text, &out, &err);
		if (rc != (r->json ? 0 : -1) || strcmp(r->json ? out.p : err.msg, r->json ? r->json : r->error) != 0)
			fail_msg("%s '%s': %d, '%s', '%s'", r->schema, r->text, rc, out.p, err.msg);
		if (!r->json)
			assert_int_equal(err.code, ERR_USAGE);
	}
	built_free(&b);
}

static void test_no_schema(void **state)
{
	(void)state;
	struct built b;
	auto_buf out = BUF_INIT;
	assert_int_equal(built_init(&b, doc, NULL), 0);
	assert_int_equal(value_json(&b.c, CT_NONE, "x", &out, NULL), 0);
	assert_int_equal(value_json(&b.c, CT_NONE, "1", &out, NULL), 0);
	assert_string_equal(out.p, "\"x\"1");
	assert_int_equal(value_json(&b.c, component(&b.c, "Port"), "1", &out, NULL), -1);
	built_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_no_schema),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
