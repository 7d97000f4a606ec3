/* link: tests/unit/tls_fixture.c daemon/net/?*.c shared/net/ca.c shared/net/http1.c shared/net/tcp.c | -luv -lssl -lcrypto -lpthread */
/* tls_pipe: what it carries, between two of them, and what it makes of peers that mean no good. */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#include <openssl/ssl.h>
#undef ERR_STATE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "tests/unit/oracle.h"
#include "tests/unit/tls_fixture.h"

static double cpu_seconds(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- streams ---- */

enum { STREAM = 64 << 20, BLOCK = 48 << 10 };

/* A thread that writes or reads a stream at a blocking descriptor, and its hash. */
struct streamer {
	pthread_t thread;
	int fd;
	uint64_t seed;
	size_t n;
	unsigned char sum[EVP_MAX_MD_SIZE];
};

static void *pour(void *arg)
{
	struct streamer *s = arg;
	auto_free uint64_t *block = mem_array(BLOCK, 1);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_DigestInit_ex(md, EVP_sha256(), NULL);
	for (size_t left = STREAM; left > 0;) {
		size_t n = left < BLOCK ? left : BLOCK;
		for (size_t i = 0; i < BLOCK / 8; i++)
			block[i] = rule_next(&s->seed);
		EVP_DigestUpdate(md, block, n);
		if (fs_write_all(s->fd, block, n, NULL) != 0)
			break;
		s->n += n;
		left -= n;
	}
	EVP_DigestFinal_ex(md, s->sum, NULL);
	EVP_MD_CTX_free(md);
	shutdown(s->fd, SHUT_WR);
	return NULL;
}

static void *drink(void *arg)
{
	struct streamer *s = arg;
	auto_free char *block = mem_array(BLOCK, 1);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_DigestInit_ex(md, EVP_sha256(), NULL);
	for (ssize_t n; (n = read(s->fd, block, BLOCK)) > 0; s->n += (size_t)n)
		EVP_DigestUpdate(md, block, (size_t)n);
	EVP_DigestFinal_ex(md, s->sum, NULL);
	EVP_MD_CTX_free(md);
	return NULL;
}

static void make_blocking(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
}

static void t_both_ways(void **state)
{
	struct tls_world *w = *state;
	char hex[CA_HEX + 1];
	tls_join(w);
	assert_string_equal(w->c.peer.cn, TLS_HOST);
	assert_string_equal(w->s.peer.cn, CA_CONTROL_NAME);
	assert_int_equal(ca_fingerprint(w->host.cert.p, hex, NULL), 0);
	assert_string_equal(w->c.peer.fingerprint, hex);
	make_blocking(w->c.plain);
	make_blocking(w->s.plain);
	struct streamer s[4] = { { .fd = w->c.plain, .seed = 1 }, { .fd = w->s.plain }, { .fd = w->s.plain, .seed = 2 },
		{ .fd = w->c.plain } };
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&s[i].thread, NULL, i % 2 ? drink : pour, &s[i]), 0);
	tls_ended(w, &w->c);
	tls_ended(w, &w->s);
	for (size_t i = 0; i < 4; i++)
		pthread_join(s[i].thread, NULL);
	for (size_t i = 0; i < 4; i += 2) {
		assert_int_equal(s[i].n, STREAM);
		assert_int_equal(s[i + 1].n, STREAM);
		assert_memory_equal(s[i].sum, s[i + 1].sum, 32);
	}
	assert_memory_not_equal(s[0].sum, s[2].sum, 32);
}

static void t_half_close(void **state)
{
	struct tls_world *w = *state;
	char got[16];
	auto_free char *answer = mem_array(1 << 20, 1), *heard = mem_array(1 << 20, 1);
	memset(answer, 'a', 1 << 20);
	/* said before there is anybody: it waits */
	tls_start(w, &w->c, NULL, TLS_HOST);
	tls_say(w, w->c.plain, "question", 8);
	shutdown(w->c.plain, SHUT_WR);
	tls_until(w, &w->s.ready);
	assert_int_equal(tls_hear(w, w->s.plain, got, sizeof(got)), 8);
	assert_memory_equal(got, "question", 8);
	/* that end is closed; the other is not */
	tls_for(w, 50);
	assert_false(w->c.ended || w->s.ended);
	tls_say(w, w->s.plain, answer, 1000);
	assert_int_equal(tls_hear(w, w->c.plain, heard, 1000), 1000);
	tls_for(w, 20);
	for (size_t at = 1000; at < 1 << 20;) {
		ssize_t n = send(w->s.plain, answer + at, (1 << 20) - at, MSG_DONTWAIT);
		at += n > 0 ? (size_t)n : 0;
		if (at < 1 << 20)
			assert_true(tls_hear(w, w->c.plain, heard, 1000) == 1000);
	}
	shutdown(w->s.plain, SHUT_WR);
	while (tls_hear(w, w->c.plain, heard, 1 << 20) > 0)
		;
	tls_ended(w, &w->c);
	tls_ended(w, &w->s);
}

/* Who closes altogether has ended it: what he wrote still arrives. */
static void t_close(void **state)
{
	struct tls_world *w = *state;
	auto_free char *answer = mem_array(150000, 1), *heard = mem_array(200000, 1);
	tls_join(w);
	tls_say(w, w->c.plain, "question", 8); /* never read: a Unix socket then tells the other end ECONNRESET */
	tls_for(w, 20);
	memset(answer, 'b', 150000);
	tls_say(w, w->s.plain, answer, 150000);
	close(w->s.plain);
	w->s.plain = -1;
	assert_int_equal(tls_hear(w, w->c.plain, heard, 200000), 150000);
	assert_memory_equal(heard, answer, 150000);
	close(w->c.plain);
	w->c.plain = -1;
	tls_ended(w, &w->c);
	tls_ended(w, &w->s);
}

/* A peer that goes on sending to somebody who has gone is heard out for a moment only. */
static void t_nobody_reads_any_more(void **state)
{
	struct tls_world *w = *state;
	char block[4096] = { 0 };
	tls_join(w);
	close(w->s.plain);
	w->s.plain = -1;
	int64_t start = clock_mono_ms();
	while (!w->s.ended && clock_mono_ms() < start + 10000) {
		(void)send(w->c.plain, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
		uv_run(&w->loop, UV_RUN_NOWAIT);
	}
	assert_true(w->s.ended);
	assert_false(w->s.broken);
	assert_in_range(clock_mono_ms() - start, 1000, 5000);
	tls_until(w, &w->c.ended);
}

/* A peer that reads nothing cannot keep a pipe whose user has left. */
static void t_never_reads(void **state)
{
	struct tls_world *w = *state;
	auto_free char *block = mem_array(64 << 10, 1);
	w->limit_ms = 200;
	tls_join(w);
	/* the other side stops: its user takes nothing, so neither does it */
	for (int idle = 0; idle < 10;) {
		idle = send(w->s.plain, block, 64 << 10, MSG_DONTWAIT) > 0 ? 0 : idle + 1;
		tls_for(w, 2);
	}
	close(w->s.plain);
	w->s.plain = -1;
	int64_t start = clock_mono_ms();
	tls_broken(w, &w->s, ERR_TIMEOUT, "does not read");
	assert_in_range(clock_mono_ms() - start, 1000, 5000);
}

/* One who has ended his half and then leaves is noticed, though nothing moves. */
static void t_leaves_after_half(void **state)
{
	struct tls_world *w = *state;
	char byte;
	tls_join(w);
	shutdown(w->c.plain, SHUT_WR);
	assert_int_equal(tls_hear(w, w->s.plain, &byte, 1), 0);
	tls_for(w, 50);
	assert_false(w->c.ended);
	close(w->c.plain);
	w->c.plain = -1;
	tls_ended(w, &w->c);
	/* who still has something to say to him learns it then */
	tls_say(w, w->s.plain, "answer", 6);
	tls_broken(w, &w->s, ERR_UNAVAILABLE, "broke");
}

static void t_back_pressure(void **state)
{
	struct tls_world *w = *state;
	auto_free char *block = mem_array(64 << 10, 1);
	tls_join(w);
	size_t sent = 0;
	for (int idle = 0; idle < 10;) {
		ssize_t n = send(w->c.plain, block, 64 << 10, MSG_DONTWAIT);
		sent += n > 0 ? (size_t)n : 0;
		idle = n > 0 ? 0 : idle + 1;
		assert_true(sent < (size_t)32 << 20);
		tls_for(w, 5);
	}
	/* nothing moves, and nothing spins */
	double before = cpu_seconds();
	tls_for(w, 300);
	assert_true(cpu_seconds() - before < 0.15);
	/* the other direction is not held up by it */
	char got[8];
	tls_say(w, w->s.plain, "hello", 5);
	assert_int_equal(tls_hear(w, w->c.plain, got, 5), 5);
	shutdown(w->c.plain, SHUT_WR);
	size_t heard = 0;
	for (size_t n; (n = tls_hear(w, w->s.plain, block, 64 << 10)) > 0;)
		heard += n;
	assert_int_equal(heard, sent);
}

/* ---- hostile peers ---- */

/* Bytes that are no TLS: an error, and the connection closed. Returns how much the server said. */
static size_t throw_at(struct tls_world *w, const void *data, size_t n, const char *want)
{
	char said[256];
	int fd = tls_raw(w);
	w->s.ended = w->s.ready = false;
	(void)send(fd, data, n, MSG_NOSIGNAL);
	size_t heard = tls_hear(w, fd, said, sizeof(said));
	close(fd);
	tls_broken(w, &w->s, ERR_PROTOCOL, want);
	assert_false(w->s.ready);
	close(w->s.plain);
	w->s = (struct tls_end){ .plain = -1 };
	return heard;
}

static void t_garbage(void **state)
{
	struct tls_world *w = *state;
	static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static const unsigned char huge[] = { 22, 3, 1, 0xff, 0xff, 1, 0, 0xff, 0xfc };
	static const unsigned char huge_hello[] = { 22, 3, 1, 0x40, 0x00, 1, 0xff, 0xff, 0xff };
	static const unsigned char early[] = { 23, 3, 3, 0, 4, 1, 2, 3, 4 };
	unsigned char random[4096];
	throw_at(w, http, sizeof(http) - 1, "http request");
	assert_true(throw_at(w, huge, sizeof(huge), "TLS 1.3") > 0);
	throw_at(w, early, sizeof(early), "TLS 1.3");
	auto_free unsigned char *flood = mem_array(1 << 17, 1);
	memcpy(flood, huge_hello, sizeof(huge_hello));
	throw_at(w, flood, 1 << 17, "TLS 1.3");
	for (int i = 0; i < 50; i++) {
		rand_bytes(random, sizeof(random));
		random[0] = 'x'; /* else a record might be announced that never comes: see t_stalled */
		throw_at(w, random, sizeof(random), "TLS 1.3");
	}
}

static void t_stalled(void **state)
{
	struct tls_world *w = *state;
	static const unsigned char begun[] = { 22, 3, 1, 2, 0, 1, 0, 1 };
	w->limit_ms = 100;
	for (size_t n = 0; n <= sizeof(begun); n += sizeof(begun) / 2) {
		int fd = tls_raw(w);
		int64_t start = clock_mono_ms();
		assert_int_equal(send(fd, begun, n, 0), n);
		tls_broken(w, &w->s, ERR_TIMEOUT, "took too long");
		assert_in_range(clock_mono_ms() - start, 90, 1500);
		close(fd);
		close(w->s.plain);
		w->s = (struct tls_end){ .plain = -1 };
	}
}

static void t_gone_in_handshake(void **state)
{
	struct tls_world *w = *state;
	int fd = tls_raw(w);
	assert_int_equal(send(fd, "\x16\x03\x01", 3, 0), 3);
	close(fd);
	tls_broken(w, &w->s, ERR_UNAVAILABLE, "closed the connection during the TLS handshake");
}

/* A client of OpenSSL's, driven by hand beside the loop. */
struct by_hand {
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
};

static void hand_open(struct tls_world *w, struct by_hand *h, int version)
{
	h->fd = tls_raw(w);
	assert_int_equal(fcntl(h->fd, F_SETFL, O_NONBLOCK), 0);
	h->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(h->ctx, version);
	SSL_CTX_set_mode(h->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
	h->ssl = SSL_new(h->ctx);
	SSL_set_fd(h->ssl, h->fd);
}

static void hand_close(struct by_hand *h)
{
	SSL_free(h->ssl);
	SSL_CTX_free(h->ctx);
	if (h->fd >= 0)
		close(h->fd);
}

static int hand_join(struct tls_world *w, struct by_hand *h)
{
	int rc;
	while ((rc = SSL_connect(h->ssl)) != 1 && SSL_get_error(h->ssl, rc) == SSL_ERROR_WANT_READ)
		tls_for(w, 1);
	return rc;
}

/* Who comes without a certificate, for tests of what happens after that. */
static void let_anybody_in(struct tls_world *w)
{
	tls_serve_as(w, NULL, &w->host);
	w->client_name = NULL;
}

static void t_old_version(void **state)
{
	struct tls_world *w = *state;
	struct by_hand h;
	hand_open(w, &h, TLS1_2_VERSION);
	assert_int_not_equal(hand_join(w, &h), 1);
	tls_broken(w, &w->s, ERR_PROTOCOL, "unsupported protocol");
	hand_close(&h);
}

static void t_truncated(void **state)
{
	struct tls_world *w = *state;
	struct by_hand h;
	char got[16];
	let_anybody_in(w);
	hand_open(w, &h, TLS1_3_VERSION);
	assert_int_equal(hand_join(w, &h), 1);
	assert_int_equal(SSL_write(h.ssl, "half", 4), 4);
	close(h.fd);
	h.fd = -1;
	assert_int_equal(tls_hear(w, w->s.plain, got, sizeof(got)), 4);
	tls_broken(w, &w->s, ERR_UNAVAILABLE, "without ending it");
	hand_close(&h);
}

/* A byte on the way is another one. */
static void t_damaged(void **state)
{
	struct tls_world *w = *state;
	struct by_hand h;
	char got[16];
	let_anybody_in(w);
	hand_open(w, &h, TLS1_3_VERSION);
	assert_int_equal(hand_join(w, &h), 1);
	tls_until(w, &w->s.ready);
	assert_int_equal(SSL_write(h.ssl, "good", 4), 4);
	assert_int_equal(send(h.fd, "\x17\x03\x03\x00\x14--------------------", 25, 0), 25);
	assert_int_equal(tls_hear(w, w->s.plain, got, sizeof(got)), 4);
	close(h.fd);
	h.fd = -1;
	tls_broken(w, &w->s, ERR_PROTOCOL, "bad record mac");
	hand_close(&h);
}

/* A few are fine, and answered. A flood of them would cost us a thousand times what their bytes do. */
static void t_key_updates(void **state)
{
	struct tls_world *w = *state;
	struct by_hand h;
	char got[4];
	let_anybody_in(w);
	hand_open(w, &h, TLS1_3_VERSION);
	assert_int_equal(hand_join(w, &h), 1);
	tls_until(w, &w->s.ready);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(SSL_key_update(h.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_write(h.ssl, "ping", 4), 4);
		assert_int_equal(tls_hear(w, w->s.plain, got, 4), 4);
		tls_say(w, w->s.plain, "pong", 4);
		tls_for(w, 5);
		assert_int_equal(SSL_read(h.ssl, got, 4), 4);
	}
	double before = cpu_seconds();
	for (int i = 0; i < 2000; i++) {
		if (SSL_key_update(h.ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 || SSL_do_handshake(h.ssl) != 1)
			break;
	}
	double hers = cpu_seconds() - before;
	tls_until(w, &w->s.ended);
	tls_broken(w, &w->s, ERR_PROTOCOL, "renews its keys all the time");
	assert_true(cpu_seconds() - before < hers + 0.1);
	hand_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TLS_TEST(t_both_ways),
		TLS_TEST(t_half_close),
		TLS_TEST(t_close),
		TLS_TEST(t_nobody_reads_any_more),
		TLS_TEST(t_never_reads),
		TLS_TEST(t_leaves_after_half),
		TLS_TEST(t_back_pressure),
		TLS_TEST(t_garbage),
		TLS_TEST(t_stalled),
		TLS_TEST(t_gone_in_handshake),
		TLS_TEST(t_old_version),
		TLS_TEST(t_truncated),
		TLS_TEST(t_damaged),
		TLS_TEST(t_key_updates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
