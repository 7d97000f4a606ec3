/* link: daemon/net/join.c shared/net/tcp.c | -luv -lpthread */
/* join: what it carries between two sockets, how it ends, and what it costs while nothing moves. */
#include <arpa/inet.h>
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

#include "daemon/net/join.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/tcp.h"

struct world {
	uv_loop_t loop;
	uv_timer_t watchdog;
	int64_t deadline_ms;
	int a, b; /* the outer ends: of the sides a and b */
	struct join *join;
	bool ended;
};

static void on_end(void *arg)
{
	struct world *w = arg;
	assert_false(w->ended);
	w->ended = true;
	w->join = NULL;
}

static void on_tick(uv_timer_t *timer)
{
	const struct world *w = timer->data;
	if (clock_mono_ms() > w->deadline_ms)
		fail_msg("this takes too long");
}

static void unix_pair(int ends[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
}

static void tcp_pair(int ends[2])
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int port = 0, listener = tcp_listen("127.0.0.1:0", TCP_LOOPBACK, &port, NULL);
	assert_true(listener >= 0);
	to.sin_port = htons((uint16_t)port);
	ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ends[0], (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(fcntl(listener, F_SETFL, 0), 0);
	ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(ends[1] >= 0);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	close(listener);
}

static struct world *begin(void (*pair)(int ends[2]), const void *early, size_t n)
{
	struct world *w = mem_zalloc(sizeof(*w));
	struct err err = ERR_INIT;
	int left[2], right[2];
	assert_int_equal(uv_loop_init(&w->loop), 0);
	uv_timer_init(&w->loop, &w->watchdog);
	w->watchdog.data = w;
	uv_timer_start(&w->watchdog, on_tick, 10, 10);
	w->deadline_ms = clock_mono_ms() + 20000;
	pair(left);
	pair(right);
	w->a = left[0];
	w->b = right[0];
	w->join = join_start(&w->loop, left[1], right[1], early, n, on_end, w, &err);
	assert_non_null(w->join);
	return w;
}

static void until_ended(struct world *w)
{
	while (!w->ended)
		uv_run(&w->loop, UV_RUN_ONCE);
}

static void run_for(struct world *w, int64_t ms)
{
	for (int64_t end = clock_mono_ms() + ms; clock_mono_ms() < end;)
		uv_run(&w->loop, UV_RUN_ONCE);
}

/* Everything has to be gone from the loop by itself. */
static void end(struct world *w)
{
	if (w->a >= 0)
		close(w->a);
	if (w->b >= 0)
		close(w->b);
	if (w->join)
		join_cut(w->join);
	uv_close((uv_handle_t *)&w->watchdog, NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	free(w);
}

static void shut(int *fd)
{
	close(*fd);
	*fd = -1;
}

static void say(struct world *w, int fd, const void *data, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t k = send(fd, (const char *)data + at, n - at, MSG_NOSIGNAL);
		assert_true(k > 0 || errno == EAGAIN);
		at += k > 0 ? (size_t)k : 0;
		uv_run(&w->loop, UV_RUN_NOWAIT);
	}
}

/* Up to n bytes, or to the end. */
static size_t hear(struct world *w, int fd, void *out, size_t n)
{
	size_t at = 0;
	while (at < n) {
		ssize_t k = recv(fd, (char *)out + at, n - at, 0);
		if (k == 0 || (k < 0 && errno != EAGAIN))
			break;
		at += k > 0 ? (size_t)k : 0;
		if (k < 0)
			uv_run(&w->loop, UV_RUN_ONCE);
	}
	return at;
}

/* Fill what there is between two ends until nothing is taken any more. */
static size_t fill(struct world *w, int fd)
{
	static const char block[32 << 10];
	size_t sent = 0;
	for (int idle = 0; idle < 10;) {
		ssize_t n = send(fd, block, sizeof(block), MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		idle = n > 0 ? 0 : idle + 1;
		assert_true(sent < (size_t)64 << 20);
		run_for(w, n > 0 ? 0 : 2);
	}
	return sent;
}

/* ---- streams ---- */

enum { STREAM = 96 << 20, PIECE = 100 << 10 };

struct streamer {
	pthread_t thread;
	int fd;
	uint32_t seed;
	size_t n;
	bool wrong;
};

static void make_piece(uint32_t *out, uint32_t *seed)
{
	for (size_t i = 0; i < PIECE / 4; i++)
		out[i] = *seed = *seed * 1664525 + 1013904223;
}

static void *pour(void *arg)
{
	struct streamer *s = arg;
	auto_free uint32_t *piece = mem_array(PIECE, 1);
	for (; s->n < STREAM; s->n += PIECE) {
		make_piece(piece, &s->seed);
		if (fs_write_all(s->fd, piece, PIECE, NULL) != 0)
			break;
	}
	shutdown(s->fd, SHUT_WR);
	return NULL;
}

static void *drink(void *arg)
{
	struct streamer *s = arg;
	auto_free uint32_t *piece = mem_array(PIECE, 1);
	auto_free char *got = mem_array(PIECE, 1);
	for (;;) {
		ssize_t n = recv(s->fd, got, PIECE, MSG_WAITALL);
		if (n <= 0)
			return NULL;
		make_piece(piece, &s->seed);
		s->wrong |= memcmp(got, piece, (size_t)n) != 0;
		s->n += (size_t)n;
	}
}

static void stream(void (*pair)(int ends[2]))
{
	struct world *w = begin(pair, NULL, 0);
	assert_int_equal(fcntl(w->a, F_SETFL, 0), 0);
	assert_int_equal(fcntl(w->b, F_SETFL, 0), 0);
	struct streamer s[4] = { { .fd = w->a, .seed = 1 }, { .fd = w->b, .seed = 1 }, { .fd = w->b, .seed = 2 },
		{ .fd = w->a, .seed = 2 } };
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&s[i].thread, NULL, i % 2 ? drink : pour, &s[i]), 0);
	until_ended(w);
	for (size_t i = 0; i < 4; i++)
		pthread_join(s[i].thread, NULL);
	for (size_t i = 1; i < 4; i += 2) {
		assert_int_equal(s[i].n, s[i - 1].n);
		assert_true(s[i].n >= STREAM);
		assert_false(s[i].wrong);
	}
	end(w);
}

static void t_streams(void **state)
{
	(void)state;
	stream(unix_pair);
	stream(tcp_pair);
}

static void t_early(void **state)
{
	(void)state;
	auto_free char *early = mem_array(1 << 20, 1), *got = mem_array(1 << 20, 1);
	memset(early, 'e', 1 << 20);
	struct world *w = begin(unix_pair, early, 1 << 20);
	memset(early, 'x', 1 << 20); /* it has a copy */
	assert_int_equal(send(w->a, "then", 4, 0), 4);
	assert_int_equal(hear(w, w->b, got, 1 << 20), 1 << 20);
	for (size_t i = 0; i < 1 << 20; i++)
		assert_int_equal(got[i], 'e');
	assert_int_equal(hear(w, w->b, got, 4), 4);
	assert_memory_equal(got, "then", 4);
	end(w);
}

static void t_half_close(void **state)
{
	(void)state;
	void (*const pairs[])(int ends[2]) = { unix_pair, tcp_pair };
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		char got[32];
		struct world *w = begin(pairs[i], NULL, 0);
		say(w, w->a, "question", 8);
		shutdown(w->a, SHUT_WR);
		assert_int_equal(hear(w, w->b, got, sizeof(got)), 8);
		run_for(w, 20);
		assert_false(w->ended);
		say(w, w->b, "answer", 6);
		assert_int_equal(hear(w, w->a, got, 6), 6);
		assert_false(w->ended);
		shutdown(w->b, SHUT_WR);
		assert_int_equal(hear(w, w->a, got, 1), 0);
		until_ended(w);
		end(w);
	}
}

/* Who closes altogether has ended it; what he wrote arrives, though it had to wait. */
static void t_close(void **state)
{
	(void)state;
	void (*const pairs[])(int ends[2]) = { unix_pair, tcp_pair };
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		auto_free char *got = mem_array(64 << 10, 1);
		struct world *w = begin(pairs[i], NULL, 0);
		size_t sent = fill(w, w->a), heard = 0;
		shut(&w->a);
		run_for(w, 20);
		assert_false(w->ended);
		for (size_t n; (n = hear(w, w->b, got, 64 << 10)) > 0;)
			heard += n;
		assert_int_equal(heard, sent);
		shut(&w->b);
		until_ended(w);
		end(w);
	}
}

/* One who leaves while nothing moves is noticed at once, whether he had ended his half before or not. The other, if he says
 * nothing and keeps his end, is waited for a moment only. */
static void t_leaves(void **state)
{
	(void)state;
	char byte;
	struct world *w = begin(unix_pair, NULL, 0);
	int64_t start = clock_mono_ms();
	shut(&w->a);
	assert_int_equal(hear(w, w->b, &byte, 1), 0);
	shut(&w->b);
	until_ended(w);
	assert_in_range(clock_mono_ms() - start, 0, 1500);
	end(w);
	w = begin(unix_pair, NULL, 0);
	shutdown(w->a, SHUT_WR);
	assert_int_equal(hear(w, w->b, &byte, 1), 0);
	run_for(w, 20);
	assert_false(w->ended);
	start = clock_mono_ms();
	shut(&w->a);
	until_ended(w);
	assert_in_range(clock_mono_ms() - start, 1500, 6000);
	end(w);
}

/* One whose peer has left may go on sending for a moment, and keeps what he was sent. */
static void t_goes_on_sending(void **state)
{
	(void)state;
	struct world *w = begin(tcp_pair, NULL, 0);
	char got[32];
	static const char block[32 << 10];
	say(w, w->a, "last words", 10);
	shut(&w->a);
	int64_t start = clock_mono_ms();
	while (!w->ended) {
		(void)send(w->b, block, sizeof(block), MSG_NOSIGNAL);
		uv_run(&w->loop, UV_RUN_NOWAIT);
		if (clock_mono_ms() - start > 500)
			break;
	}
	assert_false(w->ended);
	assert_int_equal(hear(w, w->b, got, sizeof(got)), 10);
	shutdown(w->b, SHUT_WR);
	until_ended(w);
	assert_in_range(clock_mono_ms() - start, 500, 1900);
	end(w);
}

/* A reset of one side while bytes wait in both directions. */
static void t_reset(void **state)
{
	(void)state;
	struct world *w = begin(tcp_pair, NULL, 0);
	fill(w, w->a);
	fill(w, w->b);
	const struct linger now = { .l_onoff = 1 };
	assert_int_equal(setsockopt(w->a, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	shut(&w->a);
	run_for(w, 20);
	shut(&w->b);
	until_ended(w);
	end(w);
}

static double cpu_seconds(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* What one side does not take holds up the other, and not the other direction; waiting costs nothing. */
static void t_back_pressure(void **state)
{
	(void)state;
	struct world *w = begin(unix_pair, NULL, 0);
	char got[8];
	auto_free char *all = mem_array(64 << 10, 1);
	size_t sent = fill(w, w->a), heard = 0;
	assert_true(sent < (size_t)2 << 20); /* two sockets' buffers and a block */
	double before = cpu_seconds();
	run_for(w, 300);
	assert_true(cpu_seconds() - before < 0.15);
	say(w, w->b, "hello", 5);
	assert_int_equal(hear(w, w->a, got, 5), 5);
	/* both ways at once, and one has ended */
	size_t back = fill(w, w->b);
	shutdown(w->a, SHUT_WR);
	before = cpu_seconds();
	run_for(w, 300);
	assert_true(cpu_seconds() - before < 0.15);
	for (size_t n; (n = hear(w, w->b, all, 64 << 10)) > 0;)
		heard += n;
	assert_int_equal(heard, sent);
	shutdown(w->b, SHUT_WR);
	heard = 0;
	for (size_t n; (n = hear(w, w->a, all, 64 << 10)) > 0;)
		heard += n;
	assert_int_equal(heard, back);
	until_ended(w);
	end(w);
}

static void t_cut(void **state)
{
	(void)state;
	struct world *w = begin(unix_pair, "early", 5);
	char got[8];
	fill(w, w->b);
	join_cut(w->join);
	join_cut(NULL);
	w->join = NULL;
	run_for(w, 20);
	assert_false(w->ended);
	assert_int_equal(hear(w, w->b, got, sizeof(got)), 5);
	end(w);
}

static void t_refused(void **state)
{
	(void)state;
	uv_loop_t loop;
	struct err err = ERR_INIT;
	int pair[2];
	char byte;
	char name[] = "/tmp/sbx-join-XXXXXX";
	int file = mkostemp(name, O_CLOEXEC);
	assert_true(file >= 0);
	unlink(name);
	unix_pair(pair);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_null(join_start(&loop, pair[0], file, "x", 1, on_end, NULL, &err));
	assert_non_null(strstr(err.msg, "cannot watch"));
	assert_int_equal(recv(pair[1], &byte, 1, 0), 0); /* both taken, and closed */
	assert_int_equal(fcntl(file, F_GETFD), -1);
	close(pair[1]);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_streams),
		cmocka_unit_test(t_early),
		cmocka_unit_test(t_half_close),
		cmocka_unit_test(t_close),
		cmocka_unit_test(t_leaves),
		cmocka_unit_test(t_goes_on_sending),
		cmocka_unit_test(t_reset),
		cmocka_unit_test(t_back_pressure),
		cmocka_unit_test(t_cut),
		cmocka_unit_test(t_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
