/* link: shared/yaml/yaml_tree.c | -lyaml */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/yaml/yaml_tree.h"

static struct yt_doc *parse(const char *text, struct err *err)
{
	return yt_parse(text, strlen(text), "f.yaml", YT_LIMITS_DEFAULT, err);
}

static void refused(const char *text, const char *message)
{
	struct err err = ERR_INIT;
	struct yt_doc *doc = parse(text, &err);

	assert_null(doc);
	assert_string_equal(err.msg, message);
}

static void t_tree(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct yt_doc *doc = parse("a: 1\nb:\n  - x\n  - {y: 'z', w: [true, null]}\nc: |\n  two\n  lines\n", &err);
	assert_non_null(doc);
	struct yt_node *root = yt_root(doc);
	assert_int_equal(root->kind, YT_MAP);
	assert_int_equal(root->count, 3);
	assert_string_equal(yt_scalar(yt_get(root, "a")), "1");
	struct yt_node *b = yt_get(root, "b");
	assert_int_equal(b->kind, YT_SEQ);
	assert_int_equal(b->line, 2);
	assert_int_equal(b->first->line, 3);
	assert_null(b->first->key);
	struct yt_node *y = yt_get(b->first->next, "y");
	assert_int_equal(y->line, 4);
	assert_string_equal(yt_str(y), "z");
	assert_string_equal(yt_str(yt_get(root, "c")), "two\nlines\n");
	assert_null(yt_get(root, "nope"));
	assert_null(yt_get(NULL, "nope"));
	auto_buf json = BUF_INIT;
	yt_json(root, &json);
	assert_string_equal(json.p, "{\"a\":1,\"b\":[\"x\",{\"y\":\"z\",\"w\":[true,null]}],\"c\":\"two\\nlines\\n\"}");
	(void)yt_error(doc, b->first->next->first, &err, "is %s", "bad");
	assert_string_equal(err.msg, "f.yaml:4: y: is bad");
	(void)yt_error(doc, b->first, &err, "is bad");
	assert_string_equal(err.msg, "f.yaml:3: b: is bad");
	yt_free(doc);
}

static void t_scalars(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum yt_kind kind;
	} rows[] = {
		{ "true", YT_BOOL },
		{ "false", YT_BOOL },
		{ "yes", YT_STRING },
		{ "No", YT_STRING },
		{ "on", YT_STRING },
		{ "True", YT_STRING },
		{ "'true'", YT_STRING },
		{ "null", YT_NULL },
		{ "~", YT_NULL },
		{ "", YT_NULL },
		{ "\"\"", YT_STRING },
		{ "Null", YT_STRING },
		{ "0", YT_NUMBER },
		{ "-1.5e+3", YT_NUMBER },
		{ "007", YT_STRING },
		{ "0x1f", YT_STRING },
		{ "1.", YT_STRING },
		{ ".5", YT_STRING },
		{ "+1", YT_STRING },
		{ "1_000", YT_STRING },
		{ ".inf", YT_STRING },
		{ "1e", YT_STRING },
		{ "'1'", YT_STRING },
		{ "12:30", YT_STRING },
		{ "2026-01-31", YT_STRING },
		{ "-", YT_SEQ },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = ERR_INIT;
		auto_free char *text = mem_printf("v:\n  %s\n", rows[i].text);
		struct yt_doc *doc = parse(text, &err);
		assert_non_null(doc);
		if (yt_get(yt_root(doc), "v")->kind != rows[i].kind)
			fail_msg("'%s' is %s", rows[i].text, yt_kind_name(yt_get(yt_root(doc), "v")->kind));
		yt_free(doc);
	}
}

static void t_refused(void **state)
{
	(void)state;
	refused("a: 1\nb: 2\na: 3\n", "f.yaml:3: a: duplicate key, first on line 1");
	refused("x: {k: 1, k: 2}\n", "f.yaml:1: k: duplicate key, first on line 1");
	refused("a: &x 1\n", "f.yaml:1: a: anchors are not supported");
	refused("a: 1\nb: *x\n", "f.yaml:2: b: aliases are not supported");
	refused("a: !!str 1\n", "f.yaml:1: a: tags are not supported");
	refused("a: ! x\n", "f.yaml:1: a: tags are not supported");
	refused("a: {<<: {b: 1}}\n", "f.yaml:1: a: merge keys are not supported");
	refused("a: 1\n---\nb: 2\n", "f.yaml:2: more than one document");
	refused("? [a]\n: 1\n", "f.yaml:1: a key must be a scalar");
	refused("", "f.yaml:1: the document is empty");
	refused("a: 1\nb: 2\nc: \xff\n", "f.yaml:3: invalid leading UTF-8 octet");
	refused("a: \"x\\0y\"\n", "f.yaml:1: a: a NUL in the text");
	struct err err = ERR_INIT;
	assert_null(parse("a: [1\nb: }", &err));
	assert_memory_equal(err.msg, "f.yaml:2: ", 10);
}

static void t_limits(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct yt_limits small = { .bytes = 100, .nodes = 5, .depth = 3 };
	auto_buf deep = BUF_INIT;

	assert_null(yt_parse("[[[[1]]]]", 9, "f", small, &err));
	assert_string_equal(err.msg, "f:1: nested too deeply");
	assert_null(yt_parse("[1,2,3,4,5]", 11, "f", small, &err));
	assert_string_equal(err.msg, "f:1: too many nodes");
	for (int i = 0; i < 200; i++)
		buf_ch(&deep, '[');
	assert_null(yt_parse(deep.p, deep.len, "f", small, &err));
	assert_int_equal(err.code, ERR_TOO_LARGE);
	struct yt_doc *doc = yt_parse("[[[1]]]", 7, "f", small, &err);
	assert_non_null(doc);
	yt_free(doc);
}

static void t_json_is_yaml(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	static const char text[] = "{\n\t\"a\": [1, \"yes\", true, null, \"\\u00e9\\n\"],\n\t\"b\": {}\n}\n";
	struct yt_doc *doc = parse(text, &err);
	assert_non_null(doc);
	auto_buf json = BUF_INIT;
	yt_json(yt_root(doc), &json);
	assert_string_equal(json.p, "{\"a\":[1,\"yes\",true,null,\"\xc3\xa9\\n\"],\"b\":{}}");
	yt_free(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_tree),
		cmocka_unit_test(t_scalars),
		cmocka_unit_test(t_refused),
		cmocka_unit_test(t_limits),
		cmocka_unit_test(t_json_is_yaml),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
