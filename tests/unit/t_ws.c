/* link: tests/unit/http_?*.c daemon/http/?*.c shared/net/?*.c shared/contract/?*.c | -luv -lmicrohttpd -lwslay -lcrypto -lpthread */
#include "tests/unit/http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/http/internal.h"
#include "shared/base/mem.h"

enum { CONT, TEXT, BINARY, CLOSE = 8, PING, PONG };

/* Read past the server's pings. */
static int next(int fd, struct buf *b)
{
	int op;
	do {
		op = fx_ws_read(fd, b);
	} while (op == PING);
	return op;
}

static void expect(int fd, int op, const void *data, size_t n)
{
	auto_buf b = BUF_INIT;
	assert_int_equal(next(fd, &b), op);
	assert_int_equal(b.len, n);
	if (n > 0)
		assert_memory_equal(b.p, data, n);
}

/* The close handshake from our side; the server then ends the connection. */
static void leave(struct fx *f, int fd)
{
	int before = atomic_load(&f->ws_closed);
	fx_ws_send(fd, true, CLOSE, "\x03\xe8", 2);
	fx_ws_expect_close(fd, 1000);
	assert_true(fx_eof(fd));
	assert_true(fx_wait(&f->ws_closed, before + 1));
	close(fd);
}

static void t_echo(void **state)
{
	struct fx *f = *state;
	static const size_t sizes[] = { 0, 1, 125, 126, 4095, 4096, 65535, 65536, (size_t)1 << 20 };
	int before = atomic_load(&f->done_true);
	int fd = fx_ws(f, "ws", NULL, 0);
	assert_true(fx_wait(&f->done_true, before + 1));
	auto_free uint8_t *data = mem_array((size_t)1 << 20, 1);
	size_t sum = 0;
	for (size_t i = 0; i < (size_t)1 << 20; i++)
		data[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		fx_ws_send(fd, true, BINARY, data, sizes[i]);
		expect(fd, BINARY, data, sizes[i]);
		sum += sizes[i];
	}
	fx_ws_send(fd, true, TEXT, "gr\xc3\xbc\xc3\x9f", 6);
	expect(fd, TEXT, "gr\xc3\xbc\xc3\x9f", 6);
	leave(f, fd);
	assert_int_equal(atomic_load(&f->ws_sent), sum + 6);
}

static void t_fragments(void **state)
{
	struct fx *f = *state;
	int fd = fx_ws(f, "ws", NULL, 0);
	fx_ws_send(fd, false, TEXT, "one \xc3", 5);
	fx_ws_send(fd, true, PING, "hey", 3);
	expect(fd, PONG, "hey", 3);
	fx_ws_send(fd, false, CONT, "\xbc", 1);
	fx_ws_send(fd, true, CONT, " two", 4);
	expect(fd, TEXT, "one \xc3\xbc two", 10);
	/* a byte at a time */
	uint8_t frame[64];
	size_t n = fx_frame(frame, true, BINARY, "slow", 4);
	for (size_t i = 0; i < n; i++) {
		fx_send(fd, frame + i, 1);
		usleep(500);
	}
	expect(fd, BINARY, "slow", 4);
	leave(f, fd);
}

static void t_early_data(void **state)
{
	struct fx *f = *state;
	uint8_t frames[256];
	size_t n = fx_frame(frames, true, TEXT, "first", 5);
	n += fx_frame(frames + n, true, TEXT, "second", 6);
	int fd = fx_ws(f, "ws", frames, n - 2);
	fx_send(fd, frames + n - 2, 2);
	expect(fd, TEXT, "first", 5);
	expect(fd, TEXT, "second", 6);
	leave(f, fd);
}

/* What the peer does wrong, and the code it is told. */
static void t_violations(void **state)
{
	struct fx *f = *state;
	static const struct {
		const char *bytes;
		size_t n;
		int code;
	} cases[] = {
		{ "\x81\x02hi", 4, 1002 },			       /* not masked */
		{ "\xc1\x80\0\0\0\0", 6, 1002 },		       /* reserved bit */
		{ "\x83\x80\0\0\0\0", 6, 1002 },		       /* unknown opcode */
		{ "\x80\x80\0\0\0\0", 6, 1002 },		       /* continues nothing */
		{ "\x09\x80\0\0\0\0", 6, 1002 },		       /* fragmented ping */
		{ "\x81\x82\0\0\0\0\xc3\x28", 8, 1007 },	       /* text that is not UTF-8 */
		{ "\x81\x81\0\0\0\0\xc3", 7, 1007 },		       /* cut in a character */
		{ "\x82\xff\0\0\0\0\0\x10\0\x01\0\0\0\0x", 15, 1009 }, /* 1 MiB + 1 */
		{ "\x88\x82\0\0\0\0\x03\xed", 8, 1002 },	       /* close with 1005 */
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int before = atomic_load(&f->ws_closed);
		int fd = fx_ws(f, "ws", NULL, 0);
		fx_send(fd, cases[i].bytes, cases[i].n);
		fx_ws_expect_close(fd, cases[i].code);
		assert_true(fx_eof(fd));
		close(fd);
		assert_true(fx_wait(&f->ws_closed, before + 1));
	}
}

static void t_oversize_in_fragments(void **state)
{
	struct fx *f = *state;
	int before = atomic_load(&f->ws_closed);
	int fd = fx_ws(f, "ws", NULL, 0);
	size_t n = 700000;
	auto_free uint8_t *data = mem_array(n, 1);
	fx_ws_send(fd, false, BINARY, data, n);
	fx_ws_send(fd, true, CONT, data, n);
	fx_ws_expect_close(fd, 1009);
	close(fd);
	assert_true(fx_wait(&f->ws_closed, before + 1));
}

static void t_server_closes(void **state)
{
	struct fx *f = *state;
	int before = atomic_load(&f->ws_closed);
	uint8_t frames[256];
	size_t n = fx_frame(frames, true, TEXT, "bye", 3);
	n += fx_frame(frames + n, true, TEXT, "more", 4); /* in one read: must not reach the handler */
	int fd = fx_ws(f, "ws", NULL, 0);
	fx_send(fd, frames, n);
	fx_ws_expect_close(fd, 4000);
	fx_ws_send(fd, true, TEXT, "even later", 10);
	fx_ws_send(fd, true, CLOSE, "\x0f\xa0", 2);
	assert_true(fx_eof(fd));
	assert_true(fx_wait(&f->ws_closed, before + 1));
	close(fd);
	/* a peer that does not answer the close is not waited for long */
	fd = fx_ws(f, "ws", NULL, 0);
	fx_ws_send(fd, true, TEXT, "bye", 3);
	fx_ws_expect_close(fd, 4000);
	assert_true(fx_eof(fd));
	assert_true(fx_wait(&f->ws_closed, before + 2));
	close(fd);
	assert_int_equal(atomic_load(&f->after_close), 0);
}

static void t_peer_vanishes(void **state)
{
	struct fx *f = *state;
	int before = atomic_load(&f->ws_closed);
	int fd = fx_ws(f, "ws", NULL, 0);
	close(fd);
	assert_true(fx_wait(&f->ws_closed, before + 1));
	/* before the 101 could be read, with a flood behind it */
	fd = fx_ws(f, "flood?n=50000000", NULL, 0);
	close(fd);
	assert_true(fx_wait(&f->ws_closed, before + 2));
}

static void t_refused_handshakes(void **state)
{
	struct fx *f = *state;
	static const char *const bad[] = {
		"",
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
		"Connection: close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
		"dGhlIHNhbXBsZSBub25jZQ==\r\n",
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: "
		"dGhlIHNhbXBsZSBub25jZQ==\r\n",
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n",
		"Connection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
		"dGhlIHNhbXBsZSBub25jZQ==\r\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct fx_reply r;
		auto_buf b = BUF_INIT;
		int fd = fx_unix(f);
		buf_fmt(&b, "GET /t/v1/ws HTTP/1.1\r\nHost: x\r\n%s\r\n", bad[i]);
		fx_ask(fd, b.p, &r);
		assert_int_equal(r.status, 400);
		assert_string_equal(fx_header(&r, "Sec-WebSocket-Version"), "13");
		buf_free(&r.body);
		close(fd);
	}
}

static void t_flood(void **state)
{
	struct fx *f = *state;
	size_t n = 30000000, got = 0;
	struct rusage before, after;
	int fd = fx_ws(f, "flood?n=30000000", NULL, 0);
	getrusage(RUSAGE_SELF, &before);
	usleep(60000); /* nobody reads: the queue has to stay short */
	auto_buf b = BUF_INIT;
	int op;
	while ((op = next(fd, &b)) == BINARY) {
		assert_int_equal(b.p[0], 1);
		got += b.len - 1;
	}
	assert_int_equal(op, CLOSE);
	assert_int_equal(got, n);
	fx_ws_send(fd, true, CLOSE, "\x03\xe8", 2);
	assert_true(fx_eof(fd));
	close(fd);
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_maxrss - before.ru_maxrss < 16 * 1024);
	assert_true(atomic_load(&f->max_queued) <= HTTP_HIGH + 33000);
}

/* Many small pings from a peer that reads nothing: bounded, and all are answered when it reads. */
static void t_ping_flood(void **state)
{
	struct fx *f = *state;
	int fd = fx_ws(f, "ws", NULL, 0);
	uint8_t frames[6 * 1000];
	size_t n = 0;
	for (int i = 0; i < 1000; i++)
		n += fx_frame(frames + n, true, PING, "", 0);
	for (int i = 0; i < 20; i++)
		fx_send(fd, frames, n);
	auto_buf b = BUF_INIT;
	for (int i = 0; i < 20000; i++)
		assert_int_equal(next(fd, &b), PONG);
	leave(f, fd);
}

static void t_silence(void **state)
{
	struct fx *f = *state;
	auto_buf b = BUF_INIT;
	int before = atomic_load(&f->ws_closed);
	int fd = fx_ws(f, "ws", NULL, 0);
	/* answering keeps it alive for longer than the limit */
	for (int i = 0; i < 8; i++) {
		assert_int_equal(fx_ws_read(fd, &b), PING);
		fx_ws_send(fd, true, PONG, b.p, b.len);
	}
	assert_int_equal(atomic_load(&f->ws_closed), before);
	while (fx_ws_read(fd, &b) == PING)
		;
	assert_true(fx_wait(&f->ws_closed, before + 1));
	close(fd);
	/* who does not read is slow, not dead */
	fd = fx_ws(f, "flood?n=10000000", NULL, 0);
	usleep(400000);
	assert_int_equal(atomic_load(&f->ws_closed), before + 1);
	close(fd);
	assert_true(fx_wait(&f->ws_closed, before + 2));
}

static void t_alarm(void **state)
{
	struct fx *f = *state;
	int fd = fx_ws(f, "ws", NULL, 0);
	fx_ws_send(fd, true, TEXT, "ring", 4);
	expect(fd, TEXT, "now", 3);
	fx_ws_send(fd, true, TEXT, "ring", 4);
	fx_ws_send(fd, true, TEXT, "first", 5);
	expect(fd, TEXT, "first", 5);
	expect(fd, TEXT, "now", 3);
	leave(f, fd);
}

/* What comes while nobody listens waits in the socket; its sender is not taken for dead, however long that is. */
static void t_hold(void **state)
{
	struct fx *f = *state;
	int fd = fx_ws(f, "ws", NULL, 0);
	fx_ws_send(fd, true, TEXT, "wait", 4);
	usleep(20000);
	fx_ws_send(fd, true, TEXT, "later", 5);
	expect(fd, TEXT, "now", 3);
	expect(fd, TEXT, "later", 5);
	leave(f, fd);
}

static int setup(void **state)
{
	*state = fx_start(40, 150, 60);
	return 0;
}

static int teardown(void **state)
{
	fx_stop(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_echo),
		cmocka_unit_test(t_fragments),
		cmocka_unit_test(t_early_data),
		cmocka_unit_test(t_violations),
		cmocka_unit_test(t_oversize_in_fragments),
		cmocka_unit_test(t_server_closes),
		cmocka_unit_test(t_peer_vanishes),
		cmocka_unit_test(t_refused_handshakes),
		cmocka_unit_test(t_flood),
		cmocka_unit_test(t_ping_flood),
		cmocka_unit_test(t_silence),
		cmocka_unit_test(t_alarm),
		cmocka_unit_test(t_hold),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
