/* link: cli/endpoint/wsframe.c cli/endpoint/sha1.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/endpoint/sha1.h"
#include "cli/endpoint/wsframe.h"
#include "shared/base/mem.h"

static void test_sha1(void **state)
{
	(void)state;
	static const struct {
		const char *text, *hex;
	} cases[] = {
		{ "", "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
		{ "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
		{ "0123456789012345678901234567890123456789012345678901234567890123", "cf0800f7644ace3cb4c3fa33388d3ba0ea3c8b6e" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t digest[SHA1_LEN];
		auto_buf hex = BUF_INIT;
		sha1(cases[i].text, strlen(cases[i].text), digest);
		buf_hex(&hex, digest, sizeof(digest));
		assert_string_equal(hex.p, cases[i].hex);
	}
}

static void test_accept(void **state)
{
	(void)state;
	char out[WS_ACCEPT_LEN];
	ws_accept("dGhlIHNhbXBsZSBub25jZQ==", out); /* RFC 6455, 1.3 */
	assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/* All messages in text, as "T:hello B:.. " when fed at once. */
static int read_all(const char *bytes, size_t n, struct buf *out)
{
	struct ws_reader r = { .part = BUF_INIT };
	struct err err = ERR_INIT;
	uint8_t *copy = malloc(n + 1);
	assert_non_null(copy);
	memcpy(copy, bytes, n);
	struct ws_input in = { .in = copy, .n = n };
	struct ws_msg m;
	int rc;
	buf_clear(out);
	while ((rc = ws_read(&r, &in, &m, &err)) == 1) {
		buf_fmt(out, "%d:", (int)m.op);
		buf_add(out, m.data, m.len);
		buf_ch(out, ' ');
		in.in += in.used;
		in.n -= in.used;
	}
	ws_reader_free(&r);
	free(copy);
	return rc;
}

static void test_messages(void **state)
{
	(void)state;
	auto_buf out = BUF_INIT;
	static const char one[] = "\x81\x05Hello";
	assert_int_equal(read_all(one, 7, &out), 0);
	assert_string_equal(out.p, "1:Hello ");
	static const char split[] = "\x01\x03Hel\x89\x02hi\x80\x02lo\x82\x01x\x01\x00\x80\x00";
	assert_int_equal(read_all(split, sizeof(split) - 1, &out), 0);
	assert_string_equal(out.p, "9:hi 1:Hello 2:x 1: ");
	for (size_t n = 0; n < 7; n++) {
		assert_int_equal(read_all(one, n, &out), 0);
		assert_int_equal(out.len, 0);
	}
}

static void test_lengths(void **state)
{
	(void)state;
	static const size_t sizes[] = { 0, 1, 125, 126, 127, 65535, 65536, 300000 };
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		auto_buf frame = BUF_INIT, out = BUF_INIT;
		size_t n = sizes[i];
		buf_ch(&frame, (char)0x82);
		if (n < 126) {
			buf_ch(&frame, (char)n);
		} else {
			int bytes = n < 65536 ? 2 : 8;
			buf_ch(&frame, (char)(bytes == 2 ? 126 : 127));
			for (int b = bytes - 1; b >= 0; b--)
				buf_ch(&frame, (char)((uint64_t)n >> (8 * b)));
		}
		for (size_t k = 0; k < n; k++)
			buf_ch(&frame, 'x');
		assert_int_equal(read_all(frame.p, frame.len, &out), 0);
		assert_int_equal(out.len, n + 3);
	}
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t n;
	} cases[] = {
		{ "\xc1\x00", 2 },		      /* reserved bit */
		{ "\x81\x80", 2 },		      /* masked */
		{ "\x83\x00", 2 },		      /* unknown data kind */
		{ "\x8b\x00", 2 },		      /* unknown control kind */
		{ "\x80\x00", 2 },		      /* continuation of nothing */
		{ "\x09\x00", 2 },		      /* fragmented ping */
		{ "\x89\x7e", 2 },		      /* long ping */
		{ "\x01\x01x\x81\x01y", 6 },	      /* a new message within a fragmented one */
		{ "\x82\x7f\x80\0\0\0\0\0\0\0", 10 }, /* 2^63 bytes */
		{ "\x82\x7f\0\0\0\0\x01\0\0\0", 10 }, /* 16 MiB */
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf out = BUF_INIT;
		assert_int_equal(read_all(cases[i].bytes, cases[i].n, &out), -1);
	}
}

/* What we write, unmasked again. */
static void test_write(void **state)
{
	(void)state;
	static const size_t sizes[] = { 0, 1, 7, 8, 9, 124, 125, 126, 1000, 65534, 65535, 65536, 100001 };
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		auto_buf frame = BUF_INIT, data = BUF_INIT;
		for (size_t k = 0; k < sizes[i]; k++)
			buf_ch(&data, (char)(k * 7));
		ws_write(&frame, WS_BINARY, (struct ws_piece){ "\001", 1 }, (struct ws_piece){ data.p, data.len });
		const uint8_t *p = (const uint8_t *)frame.p;
		size_t len = sizes[i] + 1, head = len < 126 ? 2 : len < 65536 ? 4 : 10;
		assert_int_equal(p[0], 0x82);
		assert_int_equal(p[1], 0x80 | (len < 126 ? len : len < 65536 ? 126 : 127));
		uint64_t said = head == 2 ? (p[1] & 127U) : 0;
		for (size_t k = 2; k < head; k++)
			said = said << 8 | p[k];
		assert_int_equal(said, len);
		assert_int_equal(frame.len, head + 4 + len);
		const uint8_t *key = p + head, *body = key + 4;
		assert_int_equal(body[0] ^ key[0], 1);
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal((uint8_t)(body[k + 1] ^ key[(k + 1) & 3]), (uint8_t)(k * 7));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha1),

		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_write),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
