/* link: */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/buf.h"

static void empty_is_a_string(void **state)
{
	(void)state;
	auto_buf b = BUF_INIT;
	assert_string_equal(b.p, "");
	buf_clear(&b);
	buf_drop(&b, 5);
	buf_add(&b, "x", 0);
	assert_int_equal(b.len, 0);
	assert_int_equal(b.cap, 0);
	size_t len = 9;
	char *s = buf_take(&b, &len);
	assert_string_equal(s, "");
	assert_int_equal(len, 0);
	free(s);
}

static void appends(void **state)
{
	(void)state;
	auto_buf b = BUF_INIT;
	buf_str(&b, "ab");
	buf_ch(&b, '-');
	buf_fmt(&b, "%d/%s", 42, "x");
	buf_hex(&b, "\x00\xff\x1e", 3);
	assert_string_equal(b.p, "ab-42/x00ff1e");
	assert_int_equal(b.len, strlen(b.p));
	buf_drop(&b, 3);
	assert_string_equal(b.p, "42/x00ff1e");
	buf_drop(&b, 100);
	assert_string_equal(b.p, "");
	buf_add(&b, "a\0b", 3);
	assert_memory_equal(b.p, "a\0b", 4);
}

static void grows(void **state)
{
	(void)state;
	auto_buf b = BUF_INIT;
	for (int i = 0; i < 100000; i++)
		buf_ch(&b, (char)('a' + i % 26));
	assert_int_equal(b.len, 100000);
	assert_int_equal(b.p[99999], 'a' + 99999 % 26);
	assert_int_equal(b.p[100000], 0);
	/* longer than the formatter's inline buffer */
	buf_clear(&b);
	buf_fmt(&b, "%1000s|", "x");
	assert_int_equal(b.len, 1001);
	char *s = buf_take(&b, NULL);
	assert_int_equal(s[1000], '|');
	free(s);
	assert_string_equal(b.p, "");
}

static void fails_past_the_limit(void **state)
{
	(void)state;
	auto_buf b = BUF_INIT;
	buf_str(&b, "x");
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_true(buf_failed(&b));
	buf_str(&b, "ignored");
	assert_int_equal(b.len, 1);
	buf_clear(&b);
	assert_false(buf_failed(&b));
	assert_null(buf_reserve(&b, BUF_MAX));
	assert_null(buf_take(&b, NULL));
	assert_false(buf_failed(&b));
}

static void quotes(void **state)
{
	(void)state;
	auto_buf b = BUF_INIT;
	buf_shell(&b, "it's $x");
	assert_string_equal(b.p, "'it'\\''s $x'");
	buf_clear(&b);
	buf_shell(&b, "");
	assert_string_equal(b.p, "''");
	buf_clear(&b);
	buf_url(&b, "a/b c~\xc3\xa9?");
	assert_string_equal(b.p, "a%2Fb%20c~%C3%A9%3F");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_is_a_string),
		cmocka_unit_test(appends),
		cmocka_unit_test(grows),
		cmocka_unit_test(fails_past_the_limit),
		cmocka_unit_test(quotes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
