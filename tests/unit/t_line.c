/* link: cli/term/line.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/term/line.h"
#include "shared/base/mem.h"

static void test_typing(void **state)
{
	static const struct {
		const char *typed, *line;
		enum line_state state;
	} table[] = {
		{ "secret\r", "secret", LINE_DONE },
		{ "secret\n", "secret", LINE_DONE },
		{ "secret", "secret", LINE_MORE },
		{ "\r", "", LINE_DONE },
		{ "ab\x7f\x08\x08x\r", "x", LINE_DONE },
		{ "a\xc3\xa4\x7f\x7f\xe2\x82\xac\r", "\xe2\x82\xac", LINE_DONE },
		{ "a\xe2\x82\xac\x7f\r", "a", LINE_DONE },
		{ "wrong\x15right\r", "right", LINE_DONE },
		{ "a b  \r", "a b  ", LINE_DONE },
		{ "a\x1b\x01\tb\r", "ab", LINE_DONE },
		{ "\x04", "", LINE_END },
		{ "a\x04"
		  "b\r",
			"ab", LINE_DONE },
		{ "ab\x03", "ab", LINE_GIVEN_UP },
		{ "one\rtwo\r", "one", LINE_DONE },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		auto_buf whole = BUF_INIT, slow = BUF_INIT;
		enum line_state s = LINE_MORE;
		assert_int_equal(line_feed(&whole, table[i].typed, strlen(table[i].typed)), table[i].state);
		assert_string_equal(whole.p, table[i].line);
		for (const char *c = table[i].typed; *c && s == LINE_MORE; c++)
			s = line_feed(&slow, c, 1);
		assert_int_equal(s, table[i].state);
		assert_string_equal(slow.p, table[i].line);
	}
}

static void test_flood(void **state)
{
	(void)state;
	auto_buf line = BUF_INIT;
	for (int i = 0; i < 10000; i++)
		assert_int_equal(line_feed(&line, "aaaa", 4), LINE_MORE);
	assert_true(line.len < 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_typing),
		cmocka_unit_test(test_flood),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
