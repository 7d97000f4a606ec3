/* link: tests/unit/http_?*.c daemon/http/?*.c daemon/net/ask.c daemon/net/join.c shared/net/?*.c shared/contract/?*.c | -luv -lmicrohttpd -lwslay -lcrypto -lpthread */
/* http_take: connections that the server gives away, alone and at the end of a chain of ask and join. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/http/internal.h"
#include "daemon/net/ask.h"
#include "daemon/net/join.h"
#include "shared/base/mem.h"
#include "tests/unit/http_fixture.h"

#define ASKS "Host: localhost\r\nX-API-Key: " FX_KEY "\r\nConnection: keep-alive, Upgrade\r\nUpgrade: other, SBX-raw\r\n\r\n"

static const struct identity control = { .kind = IDENTITY_CONTROL, .team = TEAM_LOCAL, .role = ROLE_OWNER, .admin = true };

/* One end of a pair that the server has adopted the other end of; blocking. */
static int guest(struct fx *f)
{
	int pair[2];
	const struct timeval limit = { .tv_sec = 5 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(fx_adopt(f, pair[1], &control), 0);
	return pair[0];
}

static int (*const ways_in[])(struct fx *f) = { fx_unix, fx_tcp, guest };

/* Wait for the server to have given one away; its end. */
static int given(struct fx *f, int count)
{
	assert_true(fx_wait(&f->taken, count));
	int fd = atomic_load(&f->taken_fd);
	if (fd >= 0) {
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0); /* the tests' reading waits */
	}
	return fd;
}

static void t_gives(void **state)
{
	struct fx *f = *state;
	static const char *const modes[] = { "", "?mode=later" };
	for (size_t i = 0; i < 2 * ARRAY_LEN(ways_in); i++) {
		struct fx_reply r;
		char got[32];
		int before = atomic_load(&f->taken), done = atomic_load(&f->done_true);
		int fd = ways_in[i / 2](f);
		auto_buf text = BUF_INIT;
		buf_fmt(&text, "GET /t/v1/take%s HTTP/1.1\r\n" ASKS "early", modes[i % 2]);
		fx_ask(fd, text.p, &r);
		assert_int_equal(r.status, 101);
		assert_string_equal(fx_header(&r, "Upgrade"), "sbx-raw");
		assert_string_equal(fx_header(&r, "Connection"), "Upgrade");
		int mine = given(f, before + 1);
		assert_true(mine >= 0);
		assert_int_equal(atomic_load(&f->done_true), done + 1);
		assert_int_equal(atomic_load(&f->early_len), 5);
		assert_memory_equal(f->early, "early", 5);
		fx_puts(fd, "question");
		assert_int_equal(recv(mine, got, 8, MSG_WAITALL), 8);
		fx_puts(mine, "answer");
		assert_int_equal(recv(fd, got, 6, MSG_WAITALL), 6);
		/* nobody else has it */
		close(mine);
		assert_true(fx_eof(fd));
		close(fd);
	}
}

static void t_refuses(void **state)
{
	struct fx *f = *state;
	static const char *const bad[] = {
		"GET /t/v1/take HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /t/v1/take HTTP/1.1\r\nHost: x\r\nUpgrade: sbx-raw\r\n\r\n",
		"GET /t/v1/take HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"GET /t/v1/take HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUpgrade: sbx-raw\r\n\r\n",
		"GET /t/v1/take HTTP/1.0\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: sbx-raw\r\n\r\n",
		"POST /t/v1/takeup HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: sbx-raw\r\nContent-Length: 3\r\n\r\nabc",
		"POST /t/v1/takeup HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: sbx-raw\r\nTransfer-Encoding: "
		"chunked\r\n\r\n"
		"0\r\n\r\n",
	};
	int before = atomic_load(&f->taken);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct fx_reply r;
		int fd = fx_unix(f);
		fx_ask(fd, bad[i], &r);
		assert_int_equal(r.status, 400);
		assert_non_null(strstr(r.body.p, "sbx-raw"));
		buf_free(&r.body);
		close(fd);
	}
	/* without a body it may, and with one that has come */
	static const char *const good[] = {
		"POST /t/v1/takeup HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: sbx-raw\r\n\r\n",
		"GET /t/v1/take HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: sbx-raw\r\nContent-Length: "
		"3\r\n\r\nabcearly",
	};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct fx_reply r;
		int fd = fx_unix(f);
		fx_ask(fd, good[i], &r);
		assert_int_equal(r.status, 101);
		close(given(f, before + 1 + (int)i));
		close(fd);
	}
	assert_int_equal(atomic_load(&f->early_len), 5);
}

static void t_client_gone(void **state)
{
	struct fx *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(ways_in); i++) {
		int before = atomic_load(&f->taken), done = atomic_load(&f->done_false);
		int fd = ways_in[i](f);
		fx_puts(fd, "GET /t/v1/take?mode=gone HTTP/1.1\r\n" ASKS);
		assert_int_equal(given(f, before + 1), -1);
		close(fd);
		fd = ways_in[i](f);
		fx_puts(fd, "GET /t/v1/take?mode=dead HTTP/1.1\r\n" ASKS);
		assert_int_equal(given(f, before + 2), -1);
		assert_true(fx_wait(&f->done_false, done + 2));
		close(fd);
	}
}

/* As many as one likes: they are not the server's any more. */
static void t_does_not_count(void **state)
{
	struct fx *f = *state;
	struct fx_reply r;
	int fds[8], mine[8], before = atomic_load(&f->taken);
	f->server->max_connections = 3;
	for (int i = 0; i < 8; i++) {
		fds[i] = fx_unix(f);
		fx_ask(fds[i], "GET /t/v1/take HTTP/1.1\r\n" ASKS, &r);
		assert_int_equal(r.status, 101);
		mine[i] = given(f, before + 1 + i);
	}
	int fd = fx_unix(f);
	fx_ask(fd, "GET /t/v1/public HTTP/1.1\r\nHost: localhost\r\n\r\n", &r);
	assert_int_equal(r.status, 200);
	buf_free(&r.body);
	close(fd);
	for (int i = 0; i < 8; i++) {
		close(fds[i]);
		close(mine[i]);
	}
}

/* The server's end before the 101, and after it. */
static void t_server_closes(void **state)
{
	(void)state;
	struct fx *f = fx_start(30000, 90000, 2000);
	struct fx_reply r;
	char got[8];
	int kept = fx_unix(f), fd = fx_unix(f);
	fx_ask(kept, "GET /t/v1/take HTTP/1.1\r\n" ASKS, &r);
	int mine = given(f, 1);
	fx_puts(fd, "GET /t/v1/take?mode=close HTTP/1.1\r\n" ASKS);
	assert_int_equal(given(f, 2), -1);
	assert_true(fx_wait(&f->closed, 1));
	(void)fx_eof(fd);
	close(fd);
	fx_stop(f);
	fx_puts(kept, "still");
	assert_int_equal(recv(mine, got, 5, MSG_WAITALL), 5);
	close(kept);
	close(mine);
}

/* ---- through a control plane ---- */

/* What it does: asks the host, and joins what the host gives with its own client. */
struct middle {
	uv_loop_t loop;
	int client; /* its end of the client's connection */
	bool ended;
};

static void on_join_end(void *arg)
{
	struct middle *m = arg;
	m->ended = true;
}

static void on_answer(void *arg, struct ask_answer *a)
{
	struct middle *m = arg;
	assert_int_equal(a->status, 101);
	assert_non_null(join_start(&m->loop, a->fd, m->client, a->early->p, a->early->len, on_join_end, m, NULL));
}

static void t_chain(void **state)
{
	struct fx *f = *state;
	struct middle m = { .ended = false };
	static const char *const headers[] = { "X-Sbx-Team: 5", NULL };
	const struct ask_spec spec = { .method = "GET", .path = "/t/v1/take", .headers = headers, .upgrade = "sbx-raw" };
	int up[2], down[2], before = atomic_load(&f->taken);
	char got[8];
	assert_int_equal(uv_loop_init(&m.loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, up), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, down), 0);
	m.client = down[1];
	assert_int_equal(fx_adopt(f, up[1], &control), 0);
	assert_non_null(ask_start(&m.loop, up[0], &spec, on_answer, &m, NULL));
	fx_puts(down[0], "hello"); /* before there is anybody */
	shutdown(down[0], SHUT_WR);
	while (atomic_load(&f->taken) == before)
		uv_run(&m.loop, UV_RUN_NOWAIT);
	int host = given(f, before + 1);
	fx_puts(host, "world");
	close(host);
	uv_run(&m.loop, UV_RUN_DEFAULT);
	assert_true(m.ended);
	assert_int_equal(uv_loop_close(&m.loop), 0);
	assert_int_equal(recv(down[0], got, sizeof(got), 0), 5);
	assert_memory_equal(got, "world", 5);
	assert_int_equal(recv(down[0], got, sizeof(got), 0), 0);
	close(down[0]);
}

static int setup(void **state)
{
	*state = fx_start(30000, 90000, 2000);
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
		cmocka_unit_test_setup_teardown(t_gives, setup, teardown),
		cmocka_unit_test_setup_teardown(t_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(t_client_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(t_does_not_count, setup, teardown),
		cmocka_unit_test_setup_teardown(t_chain, setup, teardown),
		cmocka_unit_test(t_server_closes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
