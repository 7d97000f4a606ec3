/* link: cli/term/escape.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/term/escape.h"

/* Feed text in pieces of `step` bytes; events become '<' (detach) and '?' in the output, after what had passed. */
static void feed(struct escape *e, const char *text, size_t step, char *out)
{
	uint8_t passed[64];
	size_t n = 0;
	for (size_t at = 0, len = strlen(text); at < len; at += step) {
		struct escape_io io = { .in = (const uint8_t *)text + at, .n = len - at < step ? len - at : step, .out = passed };
		while (io.n) {
			size_t got = escape_feed(e, &io);
			assert_true(got <= io.n + 1);
			memcpy(out + n, passed, got);
			n += got;
			if (io.event != ESCAPE_NOTHING)
				out[n++] = io.event == ESCAPE_DETACH ? '<' : '?';
			assert_true(io.used > 0);
			io.in += io.used;
			io.n -= io.used;
		}
	}
	out[n] = '\0';
}

static void check(int ch, const char *in, const char *want)
{
	for (size_t step = 1; step <= 5; step++) {
		struct escape e = { .ch = ch };
		char out[128];
		feed(&e, in, step, out);
		assert_string_equal(out, want);
	}
}

static void test_sequences(void **state)
{
	(void)state;
	check('~', "~.", "<");
	check('~', "ls\r~.", "ls\r<");
	check('~', "ls\n~.", "ls\n<");
	check('~', "ls ~.", "ls ~.");
	check('~', "\r~~x", "\r~x");
	check('~', "\r~~.", "\r~.");
	check('~', "\r~x", "\r~x");
	check('~', "\r~?~.", "\r?<");
	check('~', "\r~\r~.", "\r~\r<");
	check('~', "~/bin", "~/bin");
	check('~', "a~b~.c", "a~b~.c");
	check('~', "\r~.rest", "\r<rest");
}

static void test_reports(void **state)
{
	(void)state;
	check('~', "ls\r\033[12;40R~.", "ls\r\033[12;40R<");
	check('~', "\033[?1;2c~.", "\033[?1;2c<");
	check('~', "\033[1;1R\033[0n~.", "\033[1;1R\033[0n<");
	check('~', "\033[A~.", "\033[A~.");
	check('~', "\033~.", "\033~.");
	check('~', "x\033[1;1R~.", "x\033[1;1R~.");
	check('~', "\033[1\r~.", "\033[1\r<");
}

static void test_other_characters(void **state)
{
	(void)state;
	check('%', "\r~.%.", "\r~.%.");
	check('%', "\r%.", "\r<");
	check(1, "\r\001.", "\r<");
	check(ESCAPE_NONE, "\r~.~?", "\r~.~?");
}

static void test_parse(void **state)
{
	(void)state;
	struct escape e;
	struct err err = ERR_INIT;
	assert_int_equal(escape_parse("~", &e, &err), 0);
	assert_int_equal(e.ch, '~');
	assert_int_equal(escape_parse("none", &e, &err), 0);
	assert_int_equal(e.ch, ESCAPE_NONE);
	assert_int_equal(escape_parse("^]", &e, &err), 0);
	assert_int_equal(e.ch, 0x1d);
	assert_int_equal(escape_parse("^a", &e, &err), 0);
	assert_int_equal(e.ch, 1);
	assert_int_equal(escape_parse("^", &e, &err), 0);
	assert_int_equal(e.ch, '^');
	static const char *const bad[] = { "", "ab", "^1", "\r", "\xc3\xa4", "^ab" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(escape_parse(bad[i], &e, &err), -1);
		assert_int_equal(err.code, ERR_USAGE);
	}
}

static void test_csi(void **state)
{
	(void)state;
	static const char text[] = "ls\033[6n\033[31mred\033[m\033\033[0c\033[1\033[5n x[6n\033]6n";
	for (size_t step = 1; step < sizeof(text); step++) {
		struct csi csi = { CSI_NONE };
		unsigned n = 0;
		for (size_t at = 0; at < strlen(text); at += step) {
			size_t len = strlen(text) - at < step ? strlen(text) - at : step;
			n += csi_count(&csi, (const uint8_t *)text + at, len, CSI_QUESTIONS);
		}
		assert_int_equal(n, 3);
	}
}

static void test_show(void **state)
{
	(void)state;
	char out[8];
	escape_show(&(struct escape){ .ch = '~' }, out);
	assert_string_equal(out, "~");
	escape_show(&(struct escape){ .ch = 0x1d }, out);
	assert_string_equal(out, "^]");
	escape_show(&(struct escape){ .ch = ESCAPE_NONE }, out);
	assert_string_equal(out, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequences),
		cmocka_unit_test(test_reports),
		cmocka_unit_test(test_other_characters),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_csi),
		cmocka_unit_test(test_show),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
