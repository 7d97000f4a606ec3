/* link: shared/net/http1.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "shared/net/http1.h"

static void test_head(void **state)
{
	(void)state;
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\ncontent-length:  12 \r\n"
				   "X-Other: a: b\r\n\r\nbody";
	struct http1_head h;
	struct err err = ERR_INIT;
	size_t size = strlen(text) - 4;
	for (size_t n = 0; n < size; n++)
		assert_int_equal(http1_head(text, n, &h, &err), 0);
	assert_int_equal(http1_head(text, strlen(text), &h, &err), size);
	assert_int_equal(h.status, 200);
	assert_int_equal(h.length, 12);
	assert_string_equal(h.type, "application/json");
	assert_string_equal(h.media, "application/json; charset=utf-8");
	assert_string_equal(h.upgrade, "");
	assert_false(h.chunked || h.close);
}

static void test_head_kinds(void **state)
{
	(void)state;
	struct http1_head h;
	struct err err = ERR_INIT;
	static const char upgrade[] = "HTTP/1.1 101 Switching\r\nUpgrade: WebSocket\r\n"
				      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
	assert_true(http1_head(upgrade, strlen(upgrade), &h, &err) > 0);
	assert_string_equal(h.upgrade, "WebSocket");
	assert_string_equal(h.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	static const char closing[] = "HTTP/1.1 204\r\nConnection: Close\r\n\r\n";
	assert_true(http1_head(closing, strlen(closing), &h, &err) > 0);
	assert_true(h.close);
	static const char old[] = "HTTP/1.0 200 OK\r\n\r\n";
	assert_true(http1_head(old, strlen(old), &h, &err) > 0);
	assert_true(h.close);
	assert_int_equal(h.length, -1);
}

static void test_bad_heads(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"HTTP/2 200 OK\r\n\r\n",
		"HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1 999 OK\r\n\r\n",
		"HTTP/1.1 2000\r\n\r\n",
		"garbage\r\n\r\n",
		"\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA : x\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: \001\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: x\ny\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct http1_head h;
		struct err err = ERR_INIT;
		assert_int_equal(http1_head(bad[i], strlen(bad[i]), &h, &err), -1);
		assert_int_equal(err.code, ERR_PROTOCOL);
	}
}

static void test_endless_head(void **state)
{
	(void)state;
	auto_buf text = BUF_INIT;
	buf_str(&text, "HTTP/1.1 200 OK\r\nX: ");
	while (text.len < HTTP1_HEAD_MAX)
		buf_ch(&text, 'x');
	struct http1_head h;
	struct err err = ERR_INIT;
	assert_int_equal(http1_head(text.p, text.len - 1, &h, &err), 0);
	assert_int_equal(http1_head(text.p, text.len, &h, &err), -1);
}

/* The body of a chunked answer that arrives in pieces of `step` bytes; NULL when it is refused. */
static int body(const struct http1_head *head, const char *in, size_t step, struct buf *out, bool *done)
{
	struct http1_body b;
	struct err err = ERR_INIT;
	http1_body_init(&b, head);
	buf_clear(out);
	for (size_t at = 0, len = strlen(in); at < len && b.state != HTTP1_DONE;) {
		struct http1_piece piece;
		size_t n = len - at < step ? len - at : step;
		if (http1_body(&b, in + at, n, &piece, &err))
			return -1;
		assert_true(piece.used <= n && (piece.used > 0 || b.state == HTTP1_DONE));
		buf_add(out, piece.data, piece.len);
		at += piece.used;
	}
	*done = b.state == HTTP1_DONE;
	return http1_body_eof(&b, &err);
}

static void test_chunked(void **state)
{
	(void)state;
	struct http1_head head = { .status = 200, .chunked = true, .length = -1 };
	auto_buf out = BUF_INIT;
	bool done;
	for (size_t step = 1; step < 60; step++) {
		assert_int_equal(
			body(&head, "5\r\nhello\r\nA;x=y\r\n, world!!!\r\n0\r\nTrail: er\r\n\r\nNEXT", step, &out, &done), 0);
		assert_true(done);
		assert_string_equal(out.p, "hello, world!!!");
		assert_int_equal(body(&head, "0\r\n\r\n", step, &out, &done), 0);
		assert_true(done);
	}
}

static void test_bad_chunks(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"\r\n",
		"x\r\n",
		"-1\r\n",
		"5\nhello\r\n",
		"5\r\nhelloX\r\n",
		"5\r\nhello\rX",
		"5\r\nhello\n",
		"1000000000000000\r\n",
		"5\r\nhel",
		"5\r\nhello\r\n",
		"0\r\n",
		"0\r\n\r",
		"0\r\nTrail\n\r\n",
		"0\r\n\n",
		"5 \n",
		"",
	};
	struct http1_head head = { .status = 200, .chunked = true, .length = -1 };
	auto_buf out = BUF_INIT;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		bool done;
		assert_int_equal(body(&head, bad[i], 3, &out, &done), -1);
	}
}

static void test_lengths(void **state)
{
	(void)state;
	auto_buf out = BUF_INIT;
	bool done;
	struct http1_head five = { .status = 200, .length = 5 }, none = { .status = 204, .length = -1 },
			  close = { .status = 200, .length = -1 };
	assert_int_equal(body(&five, "helloNEXT", 2, &out, &done), 0);
	assert_string_equal(out.p, "hello");
	assert_int_equal(body(&five, "hell", 2, &out, &done), -1);
	assert_int_equal(body(&none, "NEXT", 2, &out, &done), 0);
	assert_string_equal(out.p, "");
	assert_int_equal(body(&close, "till the end", 5, &out, &done), 0);
	assert_false(done);
	assert_string_equal(out.p, "till the end");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_head_kinds),
		cmocka_unit_test(test_bad_heads),
		cmocka_unit_test(test_endless_head),
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_bad_chunks),
		cmocka_unit_test(test_lengths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
