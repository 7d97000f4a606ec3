/* link: daemon/proxy/head.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/proxy/head.h"
#include "shared/base/mem.h"

/* In memory of exactly n bytes, so that ASan sees a read past the end. */
static enum head_result parse_n(const char *text, size_t n, const char *suffix, struct head_target *t)
{
	char *copy = malloc(n ? n : 1);
	assert_non_null(copy);
	memcpy(copy, text, n);
	enum head_result r = head_parse(copy, n, suffix, t);
	free(copy);
	return r;
}

static enum head_result host(const char *value, const char *suffix, struct head_target *t)
{
	auto_free char *text = mem_printf("GET / HTTP/1.1\r\nAccept: */*\r\nHOST:%s\r\nX: y\r\n\r\n", value);
	return parse_n(text, strlen(text), suffix, t);
}

static void names(void **state)
{
	(void)state;
	static const struct {
		const char *host, *suffix, *sandbox; /* sandbox NULL: foreign */
		uint16_t port;
	} rows[] = {
		{ " 3000-demo.localhost", "localhost", "demo", 3000 },
		{ "3000-demo.localhost:7280", "localhost", "demo", 3000 },
		{ "\t65535-A-b-1.LocalHost \t", "localhost", "a-b-1", 65535 },
		{ " 80-1.x.example.com:", "x.example.com", "1", 80 },
		{ " 1-a.localhost:99999", "localhost", "a", 1 },
		{ " localhost", "localhost", NULL, 0 },
		{ " 127.0.0.1:7280", "localhost", NULL, 0 },
		{ " demo.localhost", "localhost", NULL, 0 },
		{ " 3000-demo.localhost.", "localhost", NULL, 0 },
		{ " 3000-demo.evil.com", "localhost", NULL, 0 },
		{ " 3000-demolocalhost", "localhost", NULL, 0 },
		{ " 3000-demo.x.localhost", "localhost", NULL, 0 },
		{ " 3000-demo.localhost.evil.com", "localhost", NULL, 0 },
		{ " 0-demo.localhost", "localhost", NULL, 0 },
		{ " 080-demo.localhost", "localhost", NULL, 0 },
		{ " 65536-demo.localhost", "localhost", NULL, 0 },
		{ " +80-demo.localhost", "localhost", NULL, 0 },
		{ " 80--demo.localhost", "localhost", NULL, 0 },
		{ " 80-demo-.localhost", "localhost", NULL, 0 },
		{ " 80-.localhost", "localhost", NULL, 0 },
		{ " 80-de_mo.localhost", "localhost", NULL, 0 },
		{ " 80-demo.localhost:80x", "localhost", NULL, 0 },
		{ " 80-demo.localhost:123456", "localhost", NULL, 0 },
		{ " 80-a.localhost, 80-b.localhost", "localhost", NULL, 0 },
		{ "", "localhost", NULL, 0 },
		{ " [::1]:80", "localhost", NULL, 0 },
		{ " 80-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.localhost", "localhost", NULL,
			0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct head_target t = { 0 };
		enum head_result r = host(rows[i].host, rows[i].suffix, &t);
		if (r != (rows[i].sandbox ? HEAD_OK : HEAD_FOREIGN))
			fail_msg("'%s': %d", rows[i].host, r);
		if (!rows[i].sandbox)
			continue;
		assert_string_equal(t.sandbox, rows[i].sandbox);
		assert_int_equal(t.port, rows[i].port);
	}
}

static void requests(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum head_result want;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nHost: 80-a.localhost\r\n\r\n", HEAD_OK },
		{ "POST /x?y HTTP/1.0\r\nhost: 80-a.localhost\r\n\r\nbody\r\n\r\n", HEAD_OK },
		{ "OPTIONS * HTTP/1.1\r\nA:\r\nHost: 80-a.localhost\r\n\r\n", HEAD_OK },
		{ "GET / HTTP/1.1\r\nHost: 80-a.localhost\r\n", HEAD_MORE },
		{ "", HEAD_MORE },
		{ "GET / HTTP/1.1\r\n\r\n", HEAD_BAD },
		{ "GET / HTTP/1.1\nHost: 80-a.localhost\n\r\n\r\n", HEAD_BAD },
		{ "GET / HTTP/2.0\r\nHost: 80-a.localhost\r\n\r\n", HEAD_BAD },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HEAD_BAD },
		{ "GET /\r\nHost: 80-a.localhost\r\n\r\n", HEAD_BAD },
		{ "GET  / HTTP/1.1\r\nHost: 80-a.localhost\r\n\r\n", HEAD_BAD },
		{ "GET / a HTTP/1.1\r\nHost: 80-a.localhost\r\n\r\n", HEAD_BAD },
		{ "G@T / HTTP/1.1\r\nHost: 80-a.localhost\r\n\r\n", HEAD_BAD },
		{ "\r\n\r\nGET / HTTP/1.1\r\nHost: 80-a.localhost\r\n\r\n", HEAD_BAD },
		{ "GET / HTTP/1.1\r\nHost: 80-a.localhost\r\nHost: 80-b.localhost\r\n\r\n", HEAD_BAD },
		{ "GET / HTTP/1.1\r\nHost: 80-a.localhost\r\n folded: 1\r\n\r\n", HEAD_BAD },
		{ "GET / HTTP/1.1\r\nHost : 80-a.localhost\r\n\r\n", HEAD_BAD },
		{ "GET / HTTP/1.1\r\nnot a header\r\nHost: 80-a.localhost\r\n\r\n", HEAD_BAD },
		{ "GET / HTTP/1.1\r\nA: b\rHost: 80-a.localhost\r\n\r\n", HEAD_BAD },
		{ "GET / HTTP/1.1\r\nA: b\nHost: 80-a.localhost\r\n\r\n", HEAD_BAD },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct head_target t;
		enum head_result r = parse_n(rows[i].text, strlen(rows[i].text), "localhost", &t);
		if (r != rows[i].want)
			fail_msg("%d, not %d: %s", r, rows[i].want, rows[i].text);
	}
	static const char nul[] = "GET / HTTP/1.1\r\nHost: 80-a.localhost\0.evil\r\n\r\n";
	struct head_target t;
	assert_int_equal(parse_n(nul, sizeof(nul) - 1, "localhost", &t), HEAD_BAD);
}

static void lengths(void **state)
{
	(void)state;
	static const char head[] = "GET / HTTP/1.1\r\nHost: 80-a.localhost\r\nX: ", tail[] = "\r\n\r\n";
	enum { FILL = HEAD_MAX - (sizeof(head) - 1) - (sizeof(tail) - 1) };
	struct head_target t;
	char *text = malloc(HEAD_MAX + 1);
	assert_non_null(text);
	memcpy(text, head, sizeof(head) - 1);
	for (size_t more = 0; more < 2; more++) {
		memset(text + sizeof(head) - 1, 'x', FILL + more);
		memcpy(text + sizeof(head) - 1 + FILL + more, tail, sizeof(tail) - 1);
		assert_int_equal(parse_n(text, HEAD_MAX + more, "localhost", &t), more ? HEAD_LARGE : HEAD_OK);
	}
	assert_int_equal(parse_n(text, HEAD_MAX - 1, "localhost", &t), HEAD_MORE);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(names), cmocka_unit_test(requests), cmocka_unit_test(lengths) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
