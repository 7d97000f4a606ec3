/* link: cli/render/yaml.c cli/render/json.c cli/render/block.c cli/render/text.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/render/value.h"
#include "shared/base/mem.h"

static void check(void (*render)(struct buf *out, const js *v), const char *json, const char *want)
{
	struct err err = ERR_INIT;
	auto_js *v = js_parse(json, strlen(json), JS_LIMITS_DEFAULT, &err);
	assert_non_null(v);
	auto_buf out = BUF_INIT;
	render(&out, v);
	assert_string_equal(out.p, want);
}

static void test_yaml(void **state)
{
	(void)state;
	check(render_yaml, "{\"a\":1,\"b\":\"text\",\"c\":null,\"d\":true,\"e\":[],\"f\":{},\"g\":1.5}",
		"a: 1\nb: text\nc: null\nd: true\ne: []\nf: {}\ng: 1.5\n");
	check(render_yaml, "{\"list\":[1,{\"x\":1,\"y\":[2]},[3,4]],\"map\":{\"k\":{\"z\":0}}}",
		"list:\n  - 1\n  - x: 1\n    \"y\":\n      - 2\n  - - 3\n    - 4\nmap:\n  k:\n    z: 0\n");
	check(render_yaml, "[]", "[]\n");
	check(render_yaml, "{}", "{}\n");
	check(render_yaml, "[{\"id\":\"a\"},{\"id\":\"b\"}]", "- id: a\n- id: b\n");
}

/* What YAML would read as something else than this text is quoted. */
static void test_yaml_quotes(void **state)
{
	(void)state;
	static const char *const quoted[] = { "", "yes", "No", "null", "~", "true", "1", "1.5", "0x1f", "1e3", "-", "- a", "a: b",
		"a:", "a #b", "#x", "*a", "&a", "!t", "%d", "@x", "`x", "{a", "[a", "a,b", " a", "a ", "2026-11-22", "12:30:00",
		".inf", "=", "<<", "'q'", "y", "a|b" };
	for (size_t i = 0; i < ARRAY_LEN(quoted); i++) {
		auto_buf json = BUF_INIT, want = BUF_INIT;
		buf_fmt(&json, "[\"%s\"]", quoted[i]);
		buf_fmt(&want, "- \"%s\"\n", quoted[i]);
		check(render_yaml, json.p, want.p);
	}
	check(render_yaml, "\"a\\u2028b\\u2029c\\u0085\"", "\"a\\u2028b\\u2029c\\u0085\"\n");
	static const char *const plain[] = { "text", "two words", "unix:/tmp/sbxd.sock", "/path/to-it", "a.b_c+d@e", "v1.2" };
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		auto_buf json = BUF_INIT, want = BUF_INIT;
		buf_fmt(&json, "[\"%s\"]", plain[i]);
		buf_fmt(&want, "- %s\n", plain[i]);
		check(render_yaml, json.p, want.p);
	}
	check(render_yaml, "[\"a\\nb\\u001b\"]", "- \"a\\nb\\u001b\"\n");
	check(render_yaml, "[\"\\u009b\\u007f\"]", "- \"\\u009b\\u007f\"\n");
	check(render_yaml, "{\"a: b\":1}", "\"a: b\": 1\n");
}

static void test_json(void **state)
{
	(void)state;
	check(render_json, "{\"b\":1,\"a\":[1,{\"x\":\"\\u001b\"}],\"e\":{},\"l\":[]}",
		"{\n  \"b\": 1,\n  \"a\": [\n    1,\n    {\n      \"x\": \"\\u001b\"\n    }\n  ],\n  \"e\": {},\n  \"l\": []\n}\n");
	check(render_json, "\"x\"", "\"x\"\n");
}

static void test_block(void **state)
{
	(void)state;
	check(render_block,
		"{\"id\":\"a\",\"name\":null,\"memoryMb\":256,\"env\":{\"A\":\"1\",\"B\":\"x\\u001b\"},\"labels\":{},\"l\":[1,2]}",
		"ID:        a\nMemoryMb:  256\nEnv:       A=1, B=x\\x1b\nL:         1 2\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yaml),
		cmocka_unit_test(test_yaml_quotes),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_block),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
