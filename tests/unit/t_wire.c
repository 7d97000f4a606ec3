/* link: shared/wire/wire.c shared/wire/record.c | */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/wire/wire.h"

static void feed(struct wire_rx *rx, const void *p, size_t n)
{
	char *at = wire_rx_space(rx, n);

	assert_non_null(at);
	memcpy(at, p, n);
	wire_rx_fed(rx, n);
}

static void put_hello(struct buf *out, uint8_t mark)
{
	uint8_t nonce[WIRE_NONCE];
	struct buf rec = BUF_INIT;

	memset(nonce, mark, sizeof(nonce));
	wire_rec_u64(&rec, WT_VERSION, WIRE_VERSION);
	wire_rec_bytes(&rec, WT_NONCE, nonce, sizeof(nonce));
	wire_put(out, WIRE_HELLO, 0, 0, rec.p, rec.len);
	buf_free(&rec);
}

static void put_pad(struct buf *out)
{
	char *p = buf_reserve(out, WIRE_SYNC_PAD);

	memset(p, 0, WIRE_SYNC_PAD);
	buf_commit(out, WIRE_SYNC_PAD);
}

/* A frame of every kind, with its content checked by check_all. */
static void put_all(struct buf *out)
{
	put_hello(out, 7);
	wire_put(out, WIRE_DATA, WIRE_STDERR, 0xdeadbeef, "data", 4);
	wire_put(out, WIRE_EOF, WIRE_STDIN, 1, NULL, 0);
	wire_put_credit(out, 2, WIRE_STDOUT, 0x01020304);
	wire_put_signal(out, 3, 15);
	wire_put_resize(out, 4, 300, 24);
	wire_put_header(out, WIRE_DATA, WIRE_STDOUT, 5, 3);
	buf_str(out, "own");
	wire_put_trailer(out);
}

static void expect(struct wire_rx *rx, enum wire_type type, uint8_t channel, uint32_t stream, const void *payload, size_t n)
{
	struct wire_frame f;

	assert_int_equal(wire_rx_next(rx, &f), 1);
	assert_int_equal(f.type, type);
	assert_int_equal(f.channel, channel);
	assert_int_equal(f.stream, stream);
	assert_int_equal(f.length, n);
	if (n)
		assert_memory_equal(f.payload, payload, n);
}

static void expect_hello(struct wire_rx *rx, uint8_t mark)
{
	struct wire_frame f;
	struct wire_field nonce;

	assert_int_equal(wire_rx_next(rx, &f), 1);
	assert_int_equal(f.type, WIRE_HELLO);
	assert_true(wire_rec_find(f.payload, f.length, WT_NONCE, &nonce));
	assert_int_equal(nonce.n, WIRE_NONCE);
	assert_int_equal(nonce.p[3], mark);
	assert_false(rx->lost);
}

static void expect_none(struct wire_rx *rx)
{
	struct wire_frame f;

	assert_int_equal(wire_rx_next(rx, &f), 0);
}

static void expect_all(struct wire_rx *rx)
{
	expect_hello(rx, 7);
	expect(rx, WIRE_DATA, WIRE_STDERR, 0xdeadbeef, "data", 4);
	expect(rx, WIRE_EOF, WIRE_STDIN, 1, NULL, 0);
	expect(rx, WIRE_CREDIT, WIRE_STDOUT, 2, "\x04\x03\x02\x01", 4);
	expect(rx, WIRE_SIGNAL, 0, 3, "\x0f", 1);
	expect(rx, WIRE_RESIZE, 0, 4, "\x2c\x01\x18\x00", 4);
	expect(rx, WIRE_DATA, WIRE_STDOUT, 5, "own", 3);
	expect_none(rx);
	assert_false(rx->lost);
}

static void test_bytes(void **state)
{
	static const uint8_t want[] = { 0xB5, 4, 1, 0, 2, 1, 0, 0, 2, 0, 0, 0, 'h', 'i', 0x5A };
	struct buf b = BUF_INIT;

	(void)state;
	wire_put(&b, WIRE_DATA, WIRE_STDOUT, 0x102, "hi", 2);
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(b.p, want, sizeof(want));
	assert_int_equal(wire_get_u32(want + 4), 0x102);
	buf_free(&b);
}

static void test_round_trip(void **state)
{
	struct wire_rx rx;
	struct buf b = BUF_INIT;

	(void)state;
	put_all(&b);
	wire_rx_init(&rx);
	feed(&rx, b.p, b.len);
	expect_all(&rx);
	wire_rx_free(&rx);
	buf_free(&b);
}

/* Cut at every byte: nothing is given out early, nothing is lost. */
static void test_every_split(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	put_all(&b);
	for (size_t cut = 0; cut <= b.len; cut++) {
		struct wire_rx rx;
		struct wire_frame f;
		unsigned n = 0;

		wire_rx_init(&rx);
		feed(&rx, b.p, cut);
		while (wire_rx_next(&rx, &f))
			n++;
		feed(&rx, b.p + cut, b.len - cut);
		while (wire_rx_next(&rx, &f))
			n++;
		assert_int_equal(n, 7);
		assert_false(rx.lost);
		wire_rx_free(&rx);
	}
	buf_free(&b);
}

static void test_byte_by_byte(void **state)
{
	struct wire_rx rx;
	struct wire_frame f;
	struct buf b = BUF_INIT;
	unsigned n = 0;

	(void)state;
	put_all(&b);
	wire_rx_init(&rx);
	for (size_t i = 0; i < b.len; i++) {
		feed(&rx, b.p + i, 1);
		n += (unsigned)wire_rx_next(&rx, &f);
	}
	assert_int_equal(n, 7);
	wire_rx_free(&rx);
	buf_free(&b);
}

static void test_largest(void **state)
{
	char *data = mem_zalloc(WIRE_PAYLOAD_MAX + 1);
	struct wire_rx rx;
	struct buf b = BUF_INIT;

	(void)state;
	wire_put(&b, WIRE_DATA, WIRE_STDIN, 9, data, WIRE_PAYLOAD_MAX);
	assert_int_equal(b.len, WIRE_SYNC_PAD);
	wire_rx_init(&rx);
	feed(&rx, b.p, b.len);
	expect(&rx, WIRE_DATA, WIRE_STDIN, 9, data, WIRE_PAYLOAD_MAX);
	wire_rx_free(&rx);
	assert_false(buf_failed(&b));
	wire_put(&b, WIRE_DATA, WIRE_STDIN, 9, data, WIRE_PAYLOAD_MAX + 1);
	assert_true(buf_failed(&b));
	buf_free(&b);
	wire_put_header(&b, WIRE_DATA, WIRE_STDIN, 9, WIRE_PAYLOAD_MAX + 1);
	assert_true(buf_failed(&b));
	buf_free(&b);
	free(data);
}

/* A host died after `cut` bytes of a frame; the next one sends pad and HELLO. */
static void resync_after(const struct buf *frame, size_t cut, size_t step)
{
	struct wire_rx rx;
	struct wire_frame f;
	struct buf b = BUF_INIT;
	unsigned n = 0;

	buf_add(&b, frame->p, cut);
	put_pad(&b);
	put_hello(&b, 9);
	wire_put(&b, WIRE_EOF, 0, 77, NULL, 0);
	wire_rx_init(&rx);
	for (size_t at = 0; at < b.len; at += step) {
		feed(&rx, b.p + at, at + step < b.len ? step : b.len - at);
		while (wire_rx_next(&rx, &f)) {
			assert_int_equal(f.type, n ? WIRE_EOF : WIRE_HELLO);
			n++;
		}
	}
	assert_int_equal(n, 2);
	assert_false(rx.lost);
	wire_rx_free(&rx);
	buf_free(&b);
}

static void test_half_frame_pad_hello(void **state)
{
	struct buf frame = BUF_INIT, inner = BUF_INIT;
	char *data = mem_zalloc(WIRE_PAYLOAD_MAX);

	(void)state;
	wire_put(&frame, WIRE_CREDIT, 1, 6, "abcd", 4);
	for (size_t cut = 0; cut < frame.len; cut++)
		resync_after(&frame, cut, 1000);
	buf_clear(&frame);
	put_hello(&frame, 1);
	for (size_t cut = 0; cut < frame.len; cut++)
		resync_after(&frame, cut, 40000);
	/* the payload of the half frame pretends to be a HELLO: it must not be believed */
	put_hello(&inner, 2);
	memcpy(data, inner.p, inner.len);
	memset(data + inner.len, 0xB5, 20000);
	buf_clear(&frame);
	wire_put(&frame, WIRE_DATA, 0, 6, data, WIRE_PAYLOAD_MAX);
	for (size_t cut = 1; cut < frame.len; cut += 997)
		resync_after(&frame, cut, 16384);
	resync_after(&frame, frame.len - 1, 16384);
	buf_free(&frame);
	buf_free(&inner);
	free(data);
}

static void test_garbage(void **state)
{
	struct wire_rx rx;
	char junk[5000];

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		struct buf b = BUF_INIT;

		rand_bytes(junk, sizeof(junk));
		junk[0] = 0x11;
		buf_add(&b, junk, sizeof(junk));
		put_hello(&b, 3);
		wire_rx_init(&rx);
		feed(&rx, b.p, b.len);
		expect_hello(&rx, 3);
		expect_none(&rx);
		wire_rx_free(&rx);
		buf_free(&b);
	}
}

static void test_bad_headers(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} bad[] = { { 0, 0xB4 }, { 1, 0 }, { 1, WIRE_TYPE_END }, { 2, 3 }, { 3, 1 }, { 10, 1 }, { 11, 0xff }, { 14, 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct wire_rx rx;
		struct buf b = BUF_INIT;

		wire_put(&b, WIRE_DATA, 1, 1, "ab", 2);
		b.p[bad[i].at] = (char)bad[i].value;
		if (bad[i].at == 10)
			b.p[8] = 1; /* 65537 */
		wire_put(&b, WIRE_EOF, 1, 1, NULL, 0);
		put_hello(&b, 5);
		wire_rx_init(&rx);
		feed(&rx, b.p, b.len);
		expect_hello(&rx, 5);
		wire_rx_free(&rx);
		buf_free(&b);
	}
}

static void test_lose(void **state)
{
	struct wire_rx rx;
	struct buf b = BUF_INIT;

	(void)state;
	wire_put(&b, WIRE_EOF, 1, 1, NULL, 0);
	wire_rx_init(&rx);
	wire_rx_lose(&rx);
	feed(&rx, b.p, b.len);
	expect_none(&rx);
	buf_clear(&b);
	put_hello(&b, 4);
	feed(&rx, b.p, b.len - 1);
	expect_none(&rx);
	feed(&rx, b.p + b.len - 1, 1);
	expect_hello(&rx, 4);
	/* a HELLO without nonce is none while lost */
	wire_rx_lose(&rx);
	buf_clear(&b);
	wire_put(&b, WIRE_HELLO, 0, 0, "", 0);
	put_hello(&b, 6);
	feed(&rx, b.p, b.len);
	expect_hello(&rx, 6);
	wire_rx_free(&rx);
	buf_free(&b);
}

/* The buffer does not grow with the amount that goes through it. */
static void test_bounded_memory(void **state)
{
	struct wire_rx rx;
	struct wire_frame f;
	struct buf b = BUF_INIT;
	char *data = mem_zalloc(WIRE_CHUNK);
	size_t at = 0, frames = 0, total = 0;

	(void)state;
	wire_put(&b, WIRE_DATA, 1, 1, data, WIRE_CHUNK);
	wire_rx_init(&rx);
	while (frames < 2000) {
		size_t n = 1 + (total * 7919) % 20000;
		char *p = wire_rx_space(&rx, n);

		for (size_t i = 0; i < n;) {
			size_t one = b.len - at < n - i ? b.len - at : n - i;

			memcpy(p + i, b.p + at, one);
			i += one;
			at = (at + one) % b.len;
		}
		wire_rx_fed(&rx, n);
		total += n;
		while (wire_rx_next(&rx, &f)) {
			assert_int_equal(f.length, WIRE_CHUNK);
			frames++;
		}
	}
	assert_false(rx.lost);
	assert_true(rx.in.cap <= 256 * 1024);
	wire_rx_free(&rx);
	buf_free(&b);
	free(data);
}

static void test_records(void **state)
{
	char *big = mem_zalloc(70000);
	struct buf b = BUF_INIT;
	struct wire_field f;
	size_t at = 0;
	const uint8_t *r;
	auto_free char *s = NULL, *nul = NULL;

	(void)state;
	wire_rec_u64(&b, WT_OP, WIRE_OP_EXEC);
	wire_rec_str(&b, WT_ARG, "ls");
	wire_rec_str(&b, WT_ARG, "");
	wire_rec_str(&b, WT_CWD, NULL);
	wire_rec_bytes(&b, WT_ENV, big, 70000);
	wire_rec_bytes(&b, WT_NAME, "a\0b", 3);
	wire_rec_u64(&b, WT_OFFSET, UINT64_MAX - 1);
	r = (const uint8_t *)b.p;
	assert_true(wire_rec_valid(r, b.len));
	assert_int_equal(wire_rec_next(r, b.len, &at, &f), 1);
	assert_int_equal(f.tag, WT_OP);
	assert_int_equal(wire_rec_next(r, b.len, &at, &f), 1);
	assert_memory_equal(f.p, "ls", f.n);
	assert_int_equal(wire_rec_next(r, b.len, &at, &f), 1);
	assert_int_equal(f.n, 0);
	assert_int_equal(wire_rec_next(r, b.len, &at, &f), 1);
	assert_int_equal(f.tag, WT_ENV);
	assert_int_equal(f.n, 70000);
	assert_int_equal(wire_rec_next(r, b.len, &at, &f), 1);
	assert_int_equal(wire_rec_next(r, b.len, &at, &f), 1);
	assert_int_equal(wire_rec_next(r, b.len, &at, &f), 0);
	assert_int_equal(wire_rec_get_u64(r, b.len, WT_OP, 0), WIRE_OP_EXEC);
	assert_true(wire_rec_get_u64(r, b.len, WT_OFFSET, 0) == UINT64_MAX - 1);
	assert_int_equal(wire_rec_get_u64(r, b.len, WT_COLS, 80), 80);
	assert_int_equal(wire_rec_get_u64(r, b.len, WT_ARG, 5), 5);
	s = wire_rec_get_str(r, b.len, WT_ARG);
	assert_string_equal(s, "ls");
	nul = wire_rec_get_str(r, b.len, WT_NAME);
	assert_null(nul);
	assert_null(wire_rec_get_str(r, b.len, WT_CWD));
	buf_free(&b);
	free(big);
}

static void test_malformed_records(void **state)
{
	struct buf b = BUF_INIT;
	struct wire_field f;
	size_t whole, at;

	(void)state;
	assert_true(wire_rec_valid((const uint8_t *)"", 0));
	wire_rec_u64(&b, WT_OP, 1);
	whole = b.len;
	wire_rec_str(&b, WT_ARG, "abc");
	for (size_t n = 0; n <= b.len; n++) {
		char *exact = malloc(n ? n : 1); /* so that a read beyond is seen */

		memcpy(exact, b.p, n);
		assert_int_equal(wire_rec_valid((const uint8_t *)exact, n), n == 0 || n == whole || n == b.len);
		free(exact);
	}
	assert_false(wire_rec_valid((const uint8_t *)"\x81\xff\xff\xff\xff", 5));
	assert_false(wire_rec_valid((const uint8_t *)"\x81\x00\x00", 3));
	at = 6;
	assert_int_equal(wire_rec_next((const uint8_t *)"\x01\x00\x00", 3, &at, &f), -1);
	/* an unknown tag is skipped */
	buf_clear(&b);
	buf_add(&b, "\x7f\x01\x00x", 4);
	wire_rec_u64(&b, WT_OP, 2);
	assert_true(wire_rec_valid((const uint8_t *)b.p, b.len));
	assert_int_equal(wire_rec_get_u64((const uint8_t *)b.p, b.len, WT_OP, 0), 2);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_half_frame_pad_hello),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_bad_headers),
		cmocka_unit_test(test_lose),
		cmocka_unit_test(test_bounded_memory),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_malformed_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
