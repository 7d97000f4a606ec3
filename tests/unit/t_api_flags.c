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

/* The flags of a body, as one text: "name!" when required, "name*" when repeatable, "name@" for a file of a secret. */
static void expect_flags(const char *doc, const char *want)
{
	struct built b;
	struct err err = ERR_INIT;
	if (built_init(&b, doc, &err))
		fail_msg("%s", err.msg);
	struct api_flags f;
	auto_buf text = BUF_INIT;
	api_flags_init(&f, &b.c, &b.c.ops[0]);
	for (size_t i = 0; i < f.n; i++)
		buf_fmt(&text, "%s%s%s%s%s", i ? " " : "", f.v[i].name, f.v[i].required ? "!" : "", api_flag_repeats(&b.c, &f.v[i]) ? "*" : "",
			f.v[i].from_file ? "@" : "");
	assert_string_equal(text.p, want);
	api_flags_free(&f);
	built_free(&b);
}

static void test_names(void **state)
{
	(void)state;
	expect_flags(DOC_POST("") "    Body: {type: object, required: [b], properties: {aName: {type: string}, b: {type: integer},"
				  " XMLFiles: {type: array, items: {type: string}}, env_vars: {type: object, additionalProperties: {type: string}}}}\n",
		"b! a-name xml-file* env-var*");
}

static void test_nesting(void **state)
{
	(void)state;
	expect_flags(DOC_POST("") "    Body: {type: object, required: [a], properties: {c: {type: string}, a: {type: object, required: [x],"
				  " properties: {x: {type: string}, y: {type: object, required: [z], properties: {z: {type: integer}}}}}}}\n",
		"a.x! c a.y.z");
}

static void test_depth(void **state)
{
	(void)state;
	/* what lies deeper than four is one value */
	expect_flags(DOC_POST("") "    Body: {type: object, properties: {a: {type: object, properties: {b: {type: object, properties: {c: {type: object,"
				  " properties: {d: {type: object, properties: {e: {type: string}}}}}}}}}}}\n",
		"a.b.c.d");
}

static void test_recursion(void **state)
{
	(void)state;
	expect_flags(DOC_POST("") "    Body: {type: object, properties: {v: {type: string}, left: {$ref: '#/components/schemas/Body'},"
				  " kids: {type: array, items: {$ref: '#/components/schemas/Body'}}}}\n",
		"v left kid*");
	expect_flags(DOC_POST("") "    Body: {type: object, properties: {a: {$ref: '#/components/schemas/A'}}}\n"
				  "    A: {type: object, properties: {n: {type: string}, b: {$ref: '#/components/schemas/B'}}}\n"
				  "    B: {type: object, properties: {m: {type: string}, a: {$ref: '#/components/schemas/A'}}}\n",
		"a.n a.b.m a.b.a");
}

static void test_alternatives(void **state)
{
	(void)state;
	/* the members of all of them, none required, and one flag for a plain word */
	expect_flags(DOC_POST("") "    Body: {type: object, required: [keep], properties: {keep: {oneOf: ["
				  "{type: object, required: [type], properties: {type: {const: sticky}, priority: {type: integer}}},"
				  "{type: object, required: [type, days], properties: {type: {const: timed}, days: {type: integer}}}]}}}\n",
		"keep! keep.type keep.priority keep.days");
	expect_flags(DOC_POST("") "    Body: {oneOf: [{type: object, required: [a], properties: {a: {type: string}}},"
				  "{type: object, required: [b], properties: {b: {type: string}}}]}\n",
		"a b");
	expect_flags(DOC_POST("") "    Body: {type: object, properties: {commands: {oneOf: [{type: string}, {type: array, items: {type: string}}]}}}\n",
		"command*");
}

static void test_required(void **state)
{
	(void)state;
	/* a default needs no value; what is inside of something optional is needed only with it; what only is read is none */
	expect_flags(DOC_POST("") "    Body: {type: object, required: [a, b, id], properties: {a: {type: integer, default: 3}, b: {type: string},"
				  " id: {type: string, readOnly: true}, o: {type: object, required: [c], properties: {c: {type: string}}}}}\n",
		"b! a o.c");
}

static void test_secrets(void **state)
{
	(void)state;
	expect_flags(DOC_POST("") "    Body: {type: object, required: [password], properties: {user: {type: string}, password: {type: string, format: password},"
				  " keys: {type: array, items: {type: string}, x-sbx-secret: true}, o: {type: object, properties: {token: {type: string, x-sbx-secret: true}}}}}\n",
		"password! password-file@ user key* o.token o.token-file@");
}

static void test_collisions(void **state)
{
	(void)state;
	/* an array and a plain member of the same name in the singular; the options of every command; a parameter beside the body */
	expect_flags(DOC_POST("") "    Body: {type: object, properties: {tag: {type: string}, tags: {type: array, items: {type: string}}}}\n", "tag tags*");
	expect_flags(DOC_POST("") "    Body: {type: object, properties: {input: {type: string}, output: {type: string}, host: {type: string}, nulls: {type: array,"
				  " items: {type: string}}}}\n",
		"input-value output-value host-value null-value*");
	expect_flags(DOC_POST("{name: force, in: query, schema: {type: boolean}}, {name: X-T-Org, in: header, required: true, schema: {type: string}}")
			"    Body: {type: object, properties: {force: {type: boolean}}}\n",
		"org! force");
}

static void test_finding(void **state)
{
	(void)state;
	static const char doc[] = DOC_POST("") "    Body: {type: object, properties: {ab: {type: string}, abc: {type: string},"
					      " env: {type: object, additionalProperties: {type: object}}, keep: {oneOf: [{type: string},"
					      " {type: object, properties: {days: {type: integer}}}]}, o: {type: object,"
					      " properties: {vmIds: {type: array, items: {type: object, properties: {x: {type: integer}}}}}}}}\n";
	struct built b;
	struct api_flags f;
	assert_int_equal(built_init(&b, doc, NULL), 0);
	api_flags_init(&f, &b.c, &b.c.ops[0]);
	assert_string_equal(api_flag_find(&f, "ab")->name, "ab");
	assert_string_equal(api_flag_find(&f, "--abc")->name, "abc");
	assert_null(api_flag_find(&f, "abcd"));
	assert_null(api_flag_find(&f, ""));
	assert_string_equal(api_flag_at(&f, "abc")->name, "abc");
	assert_string_equal(api_flag_at(&f, "o.vmIds[3].x")->name, "o.vm-id");
	assert_string_equal(api_flag_at(&f, "o.vmIds[0]")->name, "o.vm-id");
	assert_null(api_flag_at(&f, "o"));
	assert_null(api_flag_at(&f, "o.vmIdsX"));
	assert_null(api_flag_at(&f, "ab.c"));
	assert_string_equal(api_flag_at(&f, "env./etc/x")->name, "env");
	assert_string_equal(api_flag_at(&f, "keep")->name, "keep");
	assert_string_equal(api_flag_at(&f, "keep.days")->name, "keep.days");
	assert_string_equal(api_flag_at(&f, "keep.other")->name, "keep");
	api_flags_free(&f);
	built_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_nesting),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_recursion),
		cmocka_unit_test(test_alternatives),
		cmocka_unit_test(test_required),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_collisions),
		cmocka_unit_test(test_finding),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
