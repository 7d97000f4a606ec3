/* link: cli/usage.c cli/render/table.c cli/render/text.c */
/* Tables of what sandboxes use: order, width, what is unknown, the course of figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/render/text.h"
#include "cli/usage.h"
#include "shared/base/mem.h"

#define ROW(name, state, cpu, memory, disk)                                                                                        \
	"{\"id\":\"x\",\"name\":" name ",\"state\":\"" state "\",\"cpuPercent\":" cpu ",\"privateMemoryKb\":" memory               \
	",\"residentMemoryKb\":1048576,\"diskKb\":" disk                                                                           \
	",\"readBytesPerSecond\":0,\"writtenBytesPerSecond\":1536,\"receivedBytesPerSecond\":null,\"sentBytesPerSecond\":null}"

static js *parse(const char *text)
{
	js *v = js_parse(text, strlen(text), JS_LIMITS_DEFAULT, NULL);
	assert_non_null(v);
	return v;
}

/* First words of the lines after the header. */
static char *names(const js *rows, enum usage_order order)
{
	auto_buf text = BUF_INIT, list = BUF_INIT;
	usage_table(&text, rows, order, 200);
	const char *line = strchr(text.p, '\n') + 1;
	for (const char *nl; (nl = strchr(line, '\n')); line = nl + 1)
		buf_fmt(&list, "%.*s ", (int)strcspn(line, " "), line);
	return mem_strdup(list.p);
}

static void test_order(void **state)
{
	(void)state;
	auto_js *rows = parse("[" ROW("\"b\"", "running", "1.5", "300", "20") "," ROW("\"a\"", "running", "1.5", "100",
		"30") "," ROW("null", "running", "99", "200", "10") "," ROW("\"c\"", "stopped", "null", "null", "null") "]");
	static const char *const want[USAGE_ORDERS] = {
		[USAGE_CPU] = "x a b c ", [USAGE_MEMORY] = "b x a c ", [USAGE_DISK] = "a b x c ", [USAGE_NAME] = "a b c x "
	};
	for (enum usage_order order = USAGE_CPU; order < USAGE_ORDERS; order++) {
		auto_free char *got = names(rows, order);
		assert_string_equal(got, want[order]);
		assert_non_null(usage_orders[order]);
	}
	assert_null(usage_orders[USAGE_ORDERS]);
	assert_true(usage_complete(rows)); /* the stopped one has no figures and never will */
}

static void test_values(void **state)
{
	(void)state;
	auto_js *rows =
		parse("[" ROW("\"a\"", "running", "150.25", "2048", "null") "," ROW("\"new\"", "running", "null", "null", "4") "]");
	auto_buf text = BUF_INIT;
	usage_table(&text, rows, USAGE_CPU, 200);
	assert_string_equal(text.p,
		"NAME  CPU     MEMORY  RESIDENT  DISK   READ   WRITTEN    NET IN  NET OUT\n"
		"a     150.2%  2 MiB   1 GiB     -      0 B/s  1.5 KiB/s  -       -\n"
		"new   -       -       1 GiB     4 KiB  0 B/s  1.5 KiB/s  -       -\n");
	assert_false(usage_complete(rows));
}

/* No line is wider than was asked for, down to what one column needs. */
static void test_width(void **state)
{
	(void)state;
	auto_js *rows = parse("[" ROW("\"a-rather-long-name-that-is-cut-somewhere\"", "running", "5", "2048", "1") "]");
	for (size_t width = 200; width > 0; width--) {
		auto_buf text = BUF_INIT;
		usage_table(&text, rows, USAGE_NAME, width);
		auto_free char *header = mem_strndup(text.p, strcspn(text.p, "\n"));
		auto_free char *line = mem_strdup(strchr(text.p, '\n') + 1);
		line[strcspn(line, "\n")] = '\0';
		assert_true(width < 30 || (text_width(line) <= width && text_width(header) <= width));
		assert_non_null(strstr(header, "CPU"));
	}
}

static void test_history(void **state)
{
	(void)state;
	auto_buf points = BUF_INIT, plain = BUF_INIT, fine = BUF_INIT;
	buf_ch(&points, '[');
	for (int i = 0; i < 1200; i++)
		buf_fmt(&points, "%s{\"cpuPercent\":%d,\"diskKb\":7,\"sentBytesPerSecond\":%s}", i ? "," : "", i < 600 ? 0 : 100,
			i == 599 ? "2048" : "null");
	buf_ch(&points, ']');
	auto_js *list = parse(points.p);
	usage_history(&plain, list, 80, false);
	assert_non_null(strstr(plain.p, "COURSE\nCPU       0.0%     50.0%    100.0%   100.0%   ___________###########\n"));
	assert_non_null(strstr(plain.p, "\nDISK      7 KiB    7 KiB    7 KiB    7 KiB    ______________________\n"));
	assert_non_null(strstr(plain.p, "\nNET OUT   2 KiB/s  2 KiB/s  2 KiB/s  2 KiB/s  _\n"));
	assert_non_null(strstr(plain.p, "\nMEMORY    -        -        -        -        \n"));
	usage_history(&fine, list, 80, true);
	assert_non_null(strstr(fine.p, "\u2581\u2588"));
	auto_js *none = parse("[]");
	usage_history(&fine, none, 1, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_width),
		cmocka_unit_test(test_history),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
