/* link: */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

static void clocks(void **state)
{
	(void)state;
	char text[CLOCK_RFC3339_LEN];
	assert_string_equal(clock_rfc3339(0, text), "1970-01-01T00:00:00.000Z");
	assert_string_equal(clock_rfc3339(1795322220123, text), "2026-11-22T04:37:00.123Z");
	assert_string_equal(clock_rfc3339(-5, text), "1970-01-01T00:00:00.000Z");
	assert_string_equal(clock_rfc3339(INT64_MAX, text), "9999-12-31T23:59:59.999Z");
	int64_t a = clock_mono_us();
	assert_true(clock_mono_us() >= a);
	assert_true(clock_mono_ms() >= a / 1000);
	assert_true(clock_wall_ms() > 1577836800000);
}

static void test_time_back(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2026-11-22T04:37:00.123Z", 1795322220123 },
		{ "2026-11-22t04:37:00.1239999z", 1795322220123 },
		{ "2026-11-22 04:37:00Z", 1795322220000 },
		{ "2026-11-22T05:37:00.1+01:00", 1795322220100 },
		{ "2026-11-21T22:07:00-06:30", 1795322220000 },
		{ "1969-12-31T23:59:59Z", -1000 },
	};
	static const char *const bad[] = { "", "yesterday", "2026-11-22", "2026-11-22T04:37:00", "2026-11-22T04:37:00.Z",
		"2026-13-22T04:37:00Z", "2026-00-22T04:37:00Z", "2026-11-32T04:37:00Z", "2026-11-22T24:37:00Z", "2026-11-22T04:60:00Z",
		"2026-11-22T04:37:61Z", "2026-11-22T04:37:00Zx", "2026-11-22T04:37:00+1:00", "2026-11-22T04:37:00+24:00",
		"2026-11-22T04:37:00+01:00 ", "-026-11-22T04:37:00Z", "2026-11-22T04:37" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		int64_t ms = 1;
		assert_int_equal(clock_parse(good[i].text, &ms), 0);
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t ms;
		if (clock_parse(bad[i], &ms) == 0)
			fail_msg("taken: '%s'", bad[i]);
	}
}

static void random_ids(void **state)
{
	(void)state;
	char a[21], b[21];
	unsigned seen[256] = { 0 };
	for (int i = 0; i < 500; i++) {
		rand_id(a, 20);
		rand_id(b, 20);
		assert_int_equal(strlen(a), 20);
		assert_string_not_equal(a, b);
		assert_true(islower((unsigned char)a[0]));
		assert_true(name_valid(a));
		for (int j = 1; j < 20; j++)
			seen[(unsigned char)a[j]]++;
	}
	/* 9500 draws of 36: about 264 each; half or double that would be no chance */
	for (const char *c = "abcdefghijklmnopqrstuvwxyz0123456789"; *c; c++)
		assert_in_range(seen[(unsigned char)*c], 132, 528);
	rand_id(a, 0);
	assert_string_equal(a, "");
}

static void random_hex(void **state)
{
	(void)state;
	unsigned seen[256] = { 0 };
	char text[65];
	for (int i = 0; i < 150; i++) {
		memset(text, 'x', sizeof(text));
		rand_hex(text, 63);
		assert_int_equal(strlen(text), 63);
		assert_int_equal(text[64], 'x');
		for (int j = 0; j < 63; j++)
			seen[(unsigned char)text[j]]++;
	}
	/* 9450 draws of 16: about 590 each */
	unsigned all = 0;
	for (const char *c = "0123456789abcdef"; *c; c++) {
		assert_in_range(seen[(unsigned char)*c], 295, 1180);
		all += seen[(unsigned char)*c];
	}
	assert_int_equal(all, 9450);
	rand_hex(text, 0);
	assert_string_equal(text, "");
}

static void trimming(void **state)
{
	static const char *const rows[][2] = { { "", "" }, { " ", "" }, { " \t\r\n\v\f", "" }, { "a", "a" }, { "  a", "a" }, { "\v\fa\f\v", "a" }, { "a\n\n", "a" },
		{ " a b\tc ", "a b\tc" }, { "\xc2\xa0x", "\xc2\xa0x" }, { "\x1fx", "\x1fx" } };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *s = str_trimmed(rows[i][0]);
		assert_string_equal(s, rows[i][1]);
		free(s);
	}
}

static void copying(void **state)
{
	char out[5] = "xxxx";
	(void)state;
	str_copy(out, sizeof(out), "");
	assert_string_equal(out, "");
	str_copy(out, sizeof(out), "abcd");
	assert_string_equal(out, "abcd");
	str_copy(out, sizeof(out), "abcde");
	assert_string_equal(out, "abcd");
	str_copy(out, 1, "abcde");
	assert_string_equal(out, "");
	assert_int_equal(out[1], 'b');
}

static void names(void **state)
{
	static const char *const good[] = { "a", "0", "demo", "a-b", "web-01",
		"a23456789012345678901234567890123456789012345678901234567890123" };
	static const char *const bad[] = { "", "-a", "a-", "A", "a_b", "a.b", "a/b", "..", "a b", "\xc3\xa9",
		"a234567890123456789012345678901234567890123456789012345678901234" };
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(name_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(name_valid(bad[i]));
}

static void integers(void **state)
{
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "1x", "0x1", "9", "101", "9223372036854775808",
		"99999999999999999999999" };
	(void)state;
	struct err err = ERR_INIT;
	int64_t v = 0;
	assert_int_equal(parse_int("42", "port", 10, 100, &v, &err), 0);
	assert_int_equal(v, 42);
	assert_int_equal(parse_int("9223372036854775807", "port", 0, INT64_MAX, &v, &err), 0);
	assert_true(v == INT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_int(bad[i], "port", 10, 100, &v, &err), -1);
	assert_int_equal(parse_int("9223372036854775808", "port", 0, INT64_MAX, &v, &err), -1);
	parse_int("x", "port", 1, 2, &v, &err);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.msg, "port 'x' is not a number from 1 to 2");
}

static void urls(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "", "" },
		{ "a+b", "a+b" },
		{ "a%20b", "a b" },
		{ "%2f%2F", "//" },
		{ "%41%62", "Ab" },
		{ "%c3%A9", "\xc3\xa9" },
		{ "%25%32", "%2" },
		{ "%", NULL },
		{ "%4", NULL },
		{ "a%zz", NULL },
		{ "a%00b", NULL },
		{ "%%41", NULL },
		{ "%4\xff", NULL },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *s = strdup(rows[i].in);
		assert_non_null(s);
		bool ok = url_decode(s);
		assert_int_equal(ok, rows[i].out != NULL);
		if (rows[i].out)
			assert_string_equal(s, rows[i].out);
		free(s);
	}
}

static void strings(void **state)
{
	(void)state;
	assert_true(str_starts("sandbox", "sand"));
	assert_true(str_starts("x", ""));
	assert_false(str_starts("sa", "sand"));
	assert_true(str_ends("a.tar.gz", ".gz"));
	assert_false(str_ends("gz", ".gz"));
	assert_true(mem_equal_ct("abc", "abd", 2));
	assert_false(mem_equal_ct("abc", "abd", 3));
	assert_int_equal(str_distance("create", "create"), 0);
	assert_int_equal(str_distance("crate", "create"), 1);
	assert_int_equal(str_distance("kitten", "sitting"), 3);
	assert_int_equal(str_distance("", "abc"), 3);
	char big[80];
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_true(str_distance(big, "a") > 100);
}

/* Standard error goes to a pipe for one line. */
static void log_escapes(void **state)
{
	(void)state;
	int ends[2], saved = dup(STDERR_FILENO);
	char text[512] = "";
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	dup2(ends[1], STDERR_FILENO);
	log_debug("vm", "hidden");
	log_warn("vm", "a\nb\x1b[31m \xc3\xa9 \xc2\x9b \xff %d", 7);
	dup2(saved, STDERR_FILENO);
	ssize_t n = read(ends[0], text, sizeof(text) - 1);
	assert_true(n > 26);
	assert_string_equal(text + 24, " warn  vm: a\\x0ab\\x1b[31m \xc3\xa9 \\xc2\\x9b \\xff 7\n");
	close(saved);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time_back),
		cmocka_unit_test(clocks),
		cmocka_unit_test(random_ids),
		cmocka_unit_test(random_hex),
		cmocka_unit_test(trimming),
		cmocka_unit_test(copying),
		cmocka_unit_test(names),
		cmocka_unit_test(integers),
		cmocka_unit_test(urls),
		cmocka_unit_test(strings),
		cmocka_unit_test(log_escapes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
