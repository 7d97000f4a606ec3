/* link: cli/render/table.c cli/render/text.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/render/table.h"
#include "cli/render/text.h"
#include "shared/base/mem.h"

static void test_columns(void **state)
{
	(void)state;
	static const char *const headers[] = { "ID", "NAME", "STATE" };
	static const char *const cells[] = { "a1", "a much longer name", "running", "b2", NULL, "x", "c3",
		"\xe6\x97\xa5\xe6\x9c\xac", "y" };
	struct table t;
	table_init(&t, headers, 3);
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		table_cell(&t, cells[i]);
	auto_buf out = BUF_INIT;
	table_print(&t, &out);
	assert_string_equal(out.p,
		"ID  NAME                STATE\n"
		"a1  a much longer name  running\n"
		"b2                      x\n"
		"c3  \xe6\x97\xa5\xe6\x9c\xac                y\n");
	table_free(&t);
}

static void test_safe(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain \xc3\xa4", "plain \xc3\xa4" },
		{ "\033[31mred\007", "\\x1b[31mred\\x07" },
		{ "a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f" },
		{ "bad \xff\xc3(", "bad \\xff\\xc3(" },
		{ "c1 \xc2\x9b", "c1 \\u{9b}" },
		{ "bidi \xe2\x80\xae", "bidi \\u{202e}" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf out = BUF_INIT;
		text_safe(&out, cases[i].in);
		assert_string_equal(out.p, cases[i].out);
	}
}

static void test_width(void **state)
{
	(void)state;
	assert_int_equal(text_width(""), 0);
	assert_int_equal(text_width("abc"), 3);
	assert_int_equal(text_width("\xc3\xa4"), 1);
	assert_int_equal(text_width("a\xcc\x88"), 1);	     /* combining */
	assert_int_equal(text_width("\xf0\x9f\x98\x80"), 2); /* emoji */
}

static void age(const char *then, int64_t now, const char *want)
{
	auto_buf out = BUF_INIT;
	text_age(&out, then, now);
	assert_string_equal(out.p, want);
}

static void test_times(void **state)
{
	(void)state;
	age("1970-01-01T00:00:10Z", 22000, "12s");
	age("1970-01-01T00:00:10Z", 9000, "0s");
	age("1970-01-01T00:00:00Z", 3599000, "59m");
	age("1970-01-01T00:00:00Z", 86399000, "23h");
	age("1970-01-01T00:00:00Z", 86400000 * 3LL, "3d");
	age("junk\033", 0, "junk\\x1b");
}

static void test_sizes(void **state)
{
	(void)state;
	static const struct {
		int64_t n;
		const char *want;
	} cases[] = { { 0, "0 B" }, { 1023, "1023 B" }, { 256LL << 20, "256 MiB" }, { 3LL << 29, "1.5 GiB" },
		{ 1LL << 62, "4194304 TiB" } };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf out = BUF_INIT;
		text_size(&out, cases[i].n);
		assert_string_equal(out.p, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_safe),
		cmocka_unit_test(test_width),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_sizes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
