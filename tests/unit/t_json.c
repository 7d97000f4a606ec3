/* link: */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/json.h"
#include "shared/base/mem.h"

/* A document and what it is when written again; NULL: refused. */
static const struct {
	const char *in, *out;
} documents[] = {
	{ "null", "null" },
	{ " \t\r\n true ", "true" },
	{ "false", "false" },
	{ "0", "0" },
	{ "-0", "-0" },
	{ "-12", "-12" },
	{ "1.5e3", "1500" },
	{ "1E+2", "100" },
	{ "0.1", "0.1" },
	{ "1e-7", "1e-07" },
	{ "9007199254740991", "9007199254740991" },
	{ "\"\"", "\"\"" },
	{ "[]", "[]" },
	{ "{}", "{}" },
	{ "[ ]", "[]" },
	{ "{ }", "{}" },
	{ "[1,[2,[]],{}]", "[1,[2,[]],{}]" },
	{ "{\"a\":{\"b\":[null,true]},\"\":1}", "{\"a\":{\"b\":[null,true]},\"\":1}" },
	{ "{ \"a\" : 1 , \"A\" : 2 }", "{\"a\":1,\"A\":2}" },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
	{ "\"\\u0041\\u00e9\\u20AC\\u0001\"", "\"A\xc3\xa9\xe2\x82\xac\\u0001\"" },
	{ "\"\\ud83d\\uDE00\"", "\"\xf0\x9f\x98\x80\"" },
	{ "\"\xf0\x9f\x98\x80 \xef\xbf\xbf \x7f\"", "\"\xf0\x9f\x98\x80 \xef\xbf\xbf \x7f\"" },
	{ "[{\"a\":1},{\"a\":1}]", "[{\"a\":1},{\"a\":1}]" },
	/* grammar */
	{ "", NULL },
	{ " ", NULL },
	{ "\xef\xbb\xbf{}", NULL },
	{ "tru", NULL },
	{ "True", NULL },
	{ "nullx", NULL },
	{ "{} {}", NULL },
	{ "[]]", NULL },
	{ "[1,]", NULL },
	{ "[,1]", NULL },
	{ "[1 2]", NULL },
	{ "[1}", NULL },
	{ "{\"a\":1]", NULL },
	{ "{\"a\"}", NULL },
	{ "{\"a\":}", NULL },
	{ "{\"a\":1,}", NULL },
	{ "{a:1}", NULL },
	{ "{'a':1}", NULL },
	{ "{1:1}", NULL },
	{ "[", NULL },
	{ "{", NULL },
	{ "{\"a\"", NULL },
	{ "[1", NULL },
	{ "// c\n1", NULL },
	{ "\v1", NULL },
	/* numbers */
	{ "01", NULL },
	{ "-", NULL },
	{ "+1", NULL },
	{ ".5", NULL },
	{ "1.", NULL },
	{ "1e", NULL },
	{ "1e+", NULL },
	{ "0x10", NULL },
	{ "NaN", NULL },
	{ "Infinity", NULL },
	{ "1e999", NULL },
	{ "-1e999", NULL },
	{ "1234567890123456789012345678901234567890123456789012345678901234", NULL },
	/* strings */
	{ "\"", NULL },
	{ "\"a", NULL },
	{ "\"\n\"", NULL },
	{ "\"\\x41\"", NULL },
	{ "\"\\", NULL },
	{ "\"\\u12\"", NULL },
	{ "\"\\u12g4\"", NULL },
	{ "\"\\u0000\"", NULL },
	{ "{\"a\\u0000b\":1}", NULL },
	{ "\"\\ud83d\"", NULL },
	{ "\"\\ude00\"", NULL },
	{ "\"\\ud83d\\u0041\"", NULL },
	{ "\"\\ud83d\\n12345\"", NULL },
	{ "\"\\ud83dxxxxxx\"", NULL },
	{ "\"\x80\"", NULL },
	{ "\"\xc0\xaf\"", NULL },
	{ "\"\xc3\"", NULL },
	{ "\"\xe0\x80\x80\"", NULL },
	{ "\"\xed\xa0\x80\"", NULL },
	{ "\"\xf4\x90\x80\x80\"", NULL },
	{ "\"\xf5\x80\x80\x80\"", NULL },
	{ "\"\xff\"", NULL },
	{ "\"\xe2\x82", NULL },
	/* duplicate names, also by way of an escape */
	{ "{\"a\":1,\"a\":2}", NULL },
	{ "{\"a\":1,\"\\u0061\":2}", NULL },
	{ "[0,{\"b\":{\"\":1,\"\":1}}]", NULL },
};

/* The document in memory of exactly its size, so that ASan sees a read past the end. */
static js *parse(const char *text, size_t n, struct err *err)
{
	auto_free char *copy = mem_try(n);
	assert_non_null(copy);
	memcpy(copy, text, n);
	return js_parse(copy, n, JS_LIMITS_DEFAULT, err);
}

static void write_again(const js *v, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_js(&w, v);
	assert_false(buf_failed(out));
}

static void accepts_and_refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
		struct err err = ERR_INIT;
		auto_js *v = parse(documents[i].in, strlen(documents[i].in), &err);
		if (!v != !documents[i].out)
			fail_msg("'%s': %s", documents[i].in, v ? "accepted" : err.msg);
		if (v) {
			auto_buf out = BUF_INIT;
			write_again(v, &out);
			assert_string_equal(out.p, documents[i].out);
		} else {
			assert_int_equal(err.code, ERR_INVALID);
		}
	}
	struct err err = ERR_INIT;
	assert_null(parse("\"a\0b\"", 5, &err));
	assert_null(parse("1\0", 2, &err));
}

static void says_where(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	assert_null(parse("{\n \"a\": x}", 10, &err));
	assert_string_equal(err.msg, "invalid json at line 2, byte 8: value expected");
	assert_null(parse("[1,", 3, &err));
	assert_string_equal(err.msg, "invalid json at line 1, byte 3: it ends too early");
	assert_null(parse("{\"k\":1,\"k\":1}", 13, &err));
	assert_string_equal(err.msg, "invalid json: duplicate member 'k'");
}

static void limits(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct js_limits lim = { .bytes = 100, .depth = 3, .members = 4 };
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{ "[[[1]]]", true },
		{ "[[[[]]]]", false },
		{ "[1,2,3,4]", true },
		{ "[1,2,3,4,5]", false },
		{ "{\"a\":[1,2],\"b\":1}", true },
		{ "{\"a\":[1,2],\"b\":[1]}", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_js *v = js_parse(rows[i].text, strlen(rows[i].text), lim, &err);
		assert_int_equal(v != NULL, rows[i].ok);
		if (!v)
			assert_int_equal(err.code, ERR_TOO_LARGE);
	}
	char big[102];
	memset(big, ' ', sizeof(big));
	big[0] = '1';
	auto_js *fits = js_parse(big, 100, lim, &err);
	assert_non_null(fits);
	assert_null(js_parse(big, 101, lim, &err));
	assert_int_equal(err.code, ERR_TOO_LARGE);
	/* a limit beyond what cJSON takes is cut to that */
	auto_buf deep = BUF_INIT;
	for (int i = 0; i < 200000; i++)
		buf_ch(&deep, '[');
	lim = (struct js_limits){ .bytes = SIZE_MAX, .depth = UINT32_MAX, .members = UINT32_MAX };
	assert_null(js_parse(deep.p, deep.len, lim, &err));
	assert_int_equal(err.code, ERR_TOO_LARGE);
	buf_clear(&deep);
	for (int i = 0; i < 1000; i++)
		buf_ch(&deep, '[');
	for (int i = 0; i < 1000; i++)
		buf_ch(&deep, ']');
	auto_js *v = js_parse(deep.p, deep.len, lim, &err);
	assert_non_null(v);
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_js(&w, v);
	assert_true(buf_failed(&out));
}

/* Names are compared in less than quadratic time: 100000 of them would take minutes. */
static void duplicates_in_big_objects(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	auto_buf b = BUF_INIT;
	buf_ch(&b, '{');
	for (int i = 0; i < 99998; i++)
		buf_fmt(&b, "\"k%d\":1,", i);
	size_t at = b.len;
	buf_str(&b, "\"last\":1}");
	auto_js *v = js_parse(b.p, b.len, JS_LIMITS_DEFAULT, &err);
	assert_non_null(v);
	assert_int_equal(js_count(v), 99999);
	buf_drop(&b, 0);
	b.len = at;
	buf_str(&b, "\"k5\":1}");
	assert_null(js_parse(b.p, b.len, JS_LIMITS_DEFAULT, &err));
	assert_string_equal(err.msg, "invalid json: duplicate member 'k5'");
}

static void accessors(void **state)
{
	static const char text[] = "{\"s\":\"x\",\"n\":1.5,\"i\":-3,\"b\":true,\"z\":null,\"a\":[1,2,3],\"o\":{}}";
	(void)state;
	struct err err = ERR_INIT;
	auto_js *v = parse(text, strlen(text), &err);
	assert_non_null(v);
	assert_string_equal(js_str(js_get(v, "s"), "-"), "x");
	assert_string_equal(js_str(js_get(v, "S"), "-"), "-");
	assert_string_equal(js_str(js_get(v, "n"), "-"), "-");
	assert_true(js_num(js_get(v, "n"), 0) == 1.5);
	assert_true(js_num(js_get(v, "s"), 7) == 7);
	assert_true(js_bool(js_get(v, "b"), false));
	assert_true(js_bool(js_get(v, "z"), true));
	int64_t i = 0;
	assert_int_equal(js_int(js_get(v, "i"), &i), 0);
	assert_int_equal(i, -3);
	assert_int_equal(js_int(js_get(v, "n"), &i), -1);
	assert_int_equal(js_int(NULL, &i), -1);
	double sum = 0;
	js_each(it, js_get(v, "a")) sum += js_num(it, 0);
	assert_true(sum == 6);
	assert_int_equal(js_count(v), 7);
	assert_string_equal(js_key(js_first(v)), "s");
	assert_null(js_key(v));
	assert_null(js_get(js_get(v, "a"), "x"));
	assert_null(js_get(NULL, "x"));
	assert_null(js_first(NULL));
	assert_null(js_next(NULL));
	static const char *const types[] = { "string", "number", "number", "boolean", "null", "array", "object" };
	size_t at = 0;
	js_each(it, v) assert_string_equal(js_type_name(js_type(it)), types[at++]);
	assert_int_equal(js_type(NULL), JS_NULL);
	js_free(NULL);
}

static void big_integers(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} rows[] = {
		{ "9007199254740991", 0 },
		{ "-9007199254740991", 0 },
		{ "9007199254740992", -1 },
		{ "9007199254740993", -1 },
		{ "18446744073709551615", -1 },
		{ "1e300", -1 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = ERR_INIT;
		auto_js *v = parse(rows[i].text, strlen(rows[i].text), &err);
		int64_t n = 0;
		assert_int_equal(js_int(v, &n), rows[i].rc);
		char text[32];
		snprintf(text, sizeof(text), "%lld", (long long)n);
		if (!rows[i].rc)
			assert_string_equal(text, rows[i].text);
	}
}

static void writes(void **state)
{
	(void)state;
	auto_buf b = BUF_INIT;
	struct jw w;
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "s\"\n", "a\x01\x7f\xc3\xa9");
	jw_kstr(&w, "none", NULL);
	jw_kint(&w, "min", INT64_MIN);
	jw_kbool(&w, "b", false);
	jw_key(&w, "a");
	jw_arr(&w);
	jw_num(&w, 0.1);
	jw_num(&w, 1e300);
	jw_num(&w, NAN);
	jw_num(&w, -INFINITY);
	jw_null(&w);
	jw_raw(&w, "[1]", 3);
	jw_obj(&w);
	jw_obj_end(&w);
	jw_arr_end(&w);
	jw_key(&w, "bad");
	jw_strn(&w, "x\xff\xed\xa0\x80\0\xe2\x82", 8);
	jw_obj_end(&w);
	assert_false(buf_failed(&b));
	assert_string_equal(b.p,
		"{\"s\\\"\\n\":\"a\\u0001\x7f\xc3\xa9\",\"none\":null,\"min\":-9223372036854775808,\"b\":false,"
		"\"a\":[0.1,1e+300,null,null,null,[1],{}],"
		"\"bad\":\"x\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\u0000\xef\xbf\xbd\xef\xbf\xbd\"}");
	jw_obj_end(&w);
	assert_true(buf_failed(&b));
}

static void numbers_read_back(void **state)
{
	static const double values[] = { 0, -0.0, 0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, 123456789.125, 9007199254740993.0,
		-2.5 };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		struct err err = ERR_INIT;
		auto_buf b = BUF_INIT;
		struct jw w;
		jw_init(&w, &b);
		jw_num(&w, values[i]);
		auto_js *v = parse(b.p, b.len, &err);
		assert_non_null(v);
		double back = js_num(v, NAN);
		assert_memory_equal(&back, &values[i], sizeof(back));
	}
}

static void utf8(void **state)
{
	static const struct {
		const char *s;
		size_t n, want;
	} rows[] = {
		{ "a", 1, 1 },
		{ "", 0, 0 },
		{ "\0", 1, 1 },
		{ "\x7f", 1, 1 },
		{ "\x80", 1, 0 },
		{ "\xc1\xbf", 2, 0 },
		{ "\xc2\x80", 2, 2 },
		{ "\xc2", 1, 0 },
		{ "\xdf\xbf", 2, 2 },
		{ "\xe0\x9f\xbf", 3, 0 },
		{ "\xe0\xa0\x80", 3, 3 },
		{ "\xed\x9f\xbf", 3, 3 },
		{ "\xed\xa0\x80", 3, 0 },
		{ "\xef\xbf\xbf", 3, 3 },
		{ "\xef\xbf", 2, 0 },
		{ "\xf0\x8f\xbf\xbf", 4, 0 },
		{ "\xf0\x90\x80\x80", 4, 4 },
		{ "\xf4\x8f\xbf\xbf", 4, 4 },
		{ "\xf4\x90\x80\x80", 4, 0 },
		{ "\xf8", 1, 0 },
		{ "\xe2\x82"
		  "a",
			3, 0 },
		{ "\xf0\x9f\x98", 3, 0 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(utf8_len(rows[i].s, rows[i].n), rows[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_and_refuses),
		cmocka_unit_test(says_where),
		cmocka_unit_test(limits),
		cmocka_unit_test(duplicates_in_big_objects),
		cmocka_unit_test(accessors),
		cmocka_unit_test(big_integers),
		cmocka_unit_test(writes),
		cmocka_unit_test(numbers_read_back),
		cmocka_unit_test(utf8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
