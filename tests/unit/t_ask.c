/* link: tests/unit/http_?*.c daemon/http/?*.c daemon/net/ask.c shared/net/?*.c shared/contract/?*.c | -luv -lmicrohttpd -lwslay -lcrypto -lpthread */
/* ask: calls to our own server, and to peers that answer what they like. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/net/ask.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/http1.h"
#include "tests/unit/http_fixture.h"

/* One call: a loop, the peer's end of the pair, and what came of it. */
struct call {
	uv_loop_t loop;
	int peer;
	bool inside, answered;
	int status, fd;
	char type[256];
	struct buf body, early;
	struct err err;
	struct ask *ask;
};

static void on_answer(void *arg, struct ask_answer *answer)
{
	struct call *c = arg;
	assert_false(c->inside || c->answered);
	c->answered = true;
	c->status = answer->status;
	c->fd = answer->fd;
	assert_true((answer->status == 0) == (answer->err != NULL));
	if (answer->err)
		c->err = *answer->err;
	str_copy(c->type, sizeof(c->type), answer->type);
	assert_int_equal(answer->body[answer->n], '\0');
	buf_add(&c->body, answer->body, answer->n);
	c->early = *answer->early;
	buf_init(answer->early);
	ask_cancel(c->ask); /* does nothing here */
}

static void begin(struct call *c, const struct ask_spec *spec)
{
	int pair[2];
	struct err err = ERR_INIT;
	*c = (struct call){ .fd = -1, .body = BUF_INIT, .early = BUF_INIT, .inside = true };
	assert_int_equal(uv_loop_init(&c->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	c->peer = pair[1];
	c->ask = ask_start(&c->loop, pair[0], spec, on_answer, c, &err);
	c->inside = false;
	if (!c->ask)
		print_error("%s\n", err.msg);
	assert_non_null(c->ask);
}

/* Having read what it was asked: who has not resets the connection. */
static void close_peer(struct call *c)
{
	char block[4096];
	while (c->peer >= 0 && recv(c->peer, block, sizeof(block), 0) > 0)
		;
	if (c->peer >= 0)
		close(c->peer);
	c->peer = -1;
}

/* Until the call is over: then nothing of it is left in the loop. */
static void finish(struct call *c)
{
	uv_run(&c->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&c->loop), 0);
	assert_true(c->answered);
}

static void end(struct call *c)
{
	close_peer(c);
	if (c->fd >= 0)
		close(c->fd);
	buf_free(&c->body);
	buf_free(&c->early);
}

static void say(struct call *c, const char *text, size_t n)
{
	for (size_t at = 0; at < n && !c->answered;) {
		ssize_t k = send(c->peer, text + at, n - at, MSG_NOSIGNAL);
		if (k < 0 && errno == EPIPE)
			break;
		assert_true(k > 0 || errno == EAGAIN);
		at += k > 0 ? (size_t)k : 0;
		uv_run(&c->loop, UV_RUN_NOWAIT);
	}
}

/* Have the peer say this, in pieces of `step` bytes, and close. */
static void hear(struct call *c, const struct ask_spec *spec, const char *text, size_t n, size_t step)
{
	begin(c, spec);
	for (size_t at = 0; at < n && !c->answered; at += step)
		say(c, text + at, step < n - at ? step : n - at);
	close_peer(c);
	finish(c);
}

static const struct ask_spec get = { .method = "GET", .path = "/x" };

/* ---- peers that answer what they like ---- */

static void t_bodies(void **state)
{
	(void)state;
	static const struct {
		const char *text, *type, *body;
		int status;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: Text/Plain; charset=UTF-8\r\n\r\nhello",
			"Text/Plain; charset=UTF-8", "hello", 200 },
		{ "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n", "", "abcde",
			404 },
		{ "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", "", "to the end", 200 },
		{ "HTTP/1.1 204 No Content\r\n\r\n", "", "", 204 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", "", 200 },
		{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\nHTTP/1.1 201 C\r\nContent-Length: 1\r\n\r\nx", "",
			"x", 201 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokand more", "", "ok", 200 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i].text);
		for (size_t step = 1; step <= n; step += step < 5 ? 1 : n) {
			struct call c;
			hear(&c, &get, cases[i].text, n, step);
			assert_int_equal(c.status, cases[i].status);
			assert_string_equal(c.body.p, cases[i].body);
			assert_string_equal(c.type, cases[i].type);
			assert_int_equal(c.fd, -1);
			end(&c);
		}
	}
}

/* An answer is complete without the end of the connection. */
static void t_does_not_wait(void **state)
{
	(void)state;
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	struct call c;
	char got[8];
	begin(&c, &get);
	say(&c, text, sizeof(text) - 1);
	finish(&c);
	assert_int_equal(c.status, 200);
	while (recv(c.peer, got, sizeof(got), 0) > 0)
		;
	assert_int_equal(recv(c.peer, got, sizeof(got), 0), 0); /* closed */
	end(&c);
}

static void t_broken(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum err_code code;
		const char *why;
	} cases[] = {
		{ "", ERR_UNAVAILABLE, "without an answer" },
		{ "HTTP/1.1 100 Continue\r\n\r\n", ERR_UNAVAILABLE, "without an answer" },
		{ "HTTP/1.1 200 OK\r\nContent-Le", ERR_PROTOCOL, "in the middle" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ERR_PROTOCOL, "in the middle" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", ERR_PROTOCOL, "in the middle" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", ERR_PROTOCOL, "in the middle" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", ERR_PROTOCOL, "in the middle" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello", ERR_PROTOCOL, "chunk" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_PROTOCOL, "both" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", ERR_PROTOCOL, "two" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", ERR_PROTOCOL, "content-length" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", ERR_PROTOCOL, "larger than 100" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0fffffff\r\nx", ERR_PROTOCOL, "in the middle" },
		{ "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", ERR_PROTOCOL, "not asked for" },
		{ "SSH-2.0-OpenSSH_9\r\n\r\n", ERR_PROTOCOL, "HTTP/1.1" },
	};
	struct ask_spec spec = get;
	spec.answer_max = 100;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i].text);
		for (size_t step = 1; step <= n + 1; step += n ? n : 1) {
			struct call c;
			hear(&c, &spec, cases[i].text, n, step);
			assert_int_equal(c.status, 0);
			assert_int_equal(c.err.code, cases[i].code);
			if (!strstr(c.err.msg, cases[i].why))
				print_error("no '%s' in: %s\n", cases[i].why, c.err.msg);
			assert_non_null(strstr(c.err.msg, cases[i].why));
			assert_int_equal(c.body.len, 0);
			assert_string_equal(c.type, "");
			end(&c);
		}
	}
}

/* A body that ends with the connection is not complete when that was reset. */
static void t_reset(void **state)
{
	(void)state;
	struct call c;
	begin(&c, &get);
	uv_run(&c.loop, UV_RUN_NOWAIT);
	say(&c, "HTTP/1.1 200 OK\r\n\r\nhello", 24);
	close(c.peer);
	c.peer = -1;
	finish(&c);
	assert_int_equal(c.err.code, ERR_PROTOCOL);
	end(&c);
	begin(&c, &get);
	uv_run(&c.loop, UV_RUN_NOWAIT);
	close(c.peer);
	c.peer = -1;
	finish(&c);
	assert_int_equal(c.err.code, ERR_UNAVAILABLE);
	end(&c);
}

/* No end of a head, of heads, of a body: each is refused at its limit, though the connection stays. */
static void t_endless(void **state)
{
	(void)state;
	static const char *const starts[] = { "HTTP/1.1 200 OK\r\nX: ", "", "HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" };
	static const char *const then[] = { "aaaaaaaaaaaaaaa", "HTTP/1.1 100 Continue\r\n\r\n", "bbbbbbbbbbbbb", "4\r\nbody\r\n" };
	static const char *const why[] = { "headers are too long", "headers are too long", "larger than", "larger than" };
	struct ask_spec spec = get;
	spec.answer_max = 50000;
	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		struct call c;
		begin(&c, &spec);
		say(&c, starts[i], strlen(starts[i]));
		size_t said = 0;
		for (; !c.answered && said < (size_t)1 << 20; said += strlen(then[i]))
			say(&c, then[i], strlen(then[i]));
		assert_true(c.answered);
		assert_in_range(said, 49000, 200000);
		finish(&c);
		assert_int_equal(c.err.code, ERR_PROTOCOL);
		assert_non_null(strstr(c.err.msg, why[i]));
		end(&c);
	}
}

/* Exactly the limit is fine; so is a body whose length is known before memory for it is needed. */
static void t_limits(void **state)
{
	(void)state;
	struct ask_spec spec = get;
	struct call c;
	auto_buf text = BUF_INIT;
	spec.answer_max = 5;
	hear(&c, &spec, "HTTP/1.1 200 OK\r\n\r\nhello", 24, 24);
	assert_int_equal(c.status, 200);
	end(&c);
	hear(&c, &spec, "HTTP/1.1 200 OK\r\n\r\nhello!", 25, 25);
	assert_int_equal(c.err.code, ERR_PROTOCOL);
	end(&c);
	buf_str(&text, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ");
	while (text.len < HTTP1_HEAD_MAX - 4)
		buf_ch(&text, 'x');
	buf_str(&text, "\r\n\r\n");
	hear(&c, &spec, text.p, text.len, text.len);
	assert_int_equal(c.status, 200);
	end(&c);
	hear(&c, &get, "HTTP/1.1 200 OK\r\nContent-Length: 16777217\r\n\r\n", 45, 45);
	assert_non_null(strstr(c.err.msg, "larger than 16777216"));
	end(&c);
}

static void t_timeout(void **state)
{
	(void)state;
	static const char *const texts[] = { "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell" };
	struct ask_spec spec = get;
	spec.limit_ms = 60;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct call c;
		begin(&c, &spec);
		int64_t start = clock_mono_ms();
		say(&c, texts[i], strlen(texts[i]));
		finish(&c);
		assert_int_equal(c.err.code, ERR_TIMEOUT);
		assert_in_range(clock_mono_ms() - start, 50, 3000);
		end(&c);
	}
}

static void t_cancel(void **state)
{
	(void)state;
	struct call c;
	char got[256];
	begin(&c, &get);
	uv_run(&c.loop, UV_RUN_NOWAIT);
	say(&c, "HTTP/1.1 200 OK\r\n", 17);
	ask_cancel(c.ask);
	ask_cancel(NULL);
	uv_run(&c.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&c.loop), 0);
	assert_false(c.answered);
	assert_true(recv(c.peer, got, sizeof(got), 0) > 0);
	assert_int_equal(recv(c.peer, got, sizeof(got), 0), 0);
	end(&c);
}

/* ---- the request ---- */

static void t_request(void **state)
{
	(void)state;
	static const char *const headers[] = { "X-Sbx-Team: 7", "Accept: */*", NULL };
	static const struct {
		struct ask_spec spec;
		const char *text;
	} cases[] = {
		{ { .method = "GET", .path = "/a?b=%20c", .headers = headers },
			"GET /a?b=%20c HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Sbx-Team: 7\r\nAccept: */*\r\n\r\n" },
		{ { .method = "POST", .path = "/", .type = "a/b", .body = "12\0x", .n = 2 },
			"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: a/b\r\nContent-Length: "
			"2\r\n\r\n12" },
		{ { .method = "PUT", .path = "/" },
			"PUT / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" },
		{ { .method = "GET", .path = "/", .upgrade = "sbx-raw" },
			"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: sbx-raw\r\n\r\n" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct call c;
		char got[512];
		begin(&c, &cases[i].spec);
		uv_run(&c.loop, UV_RUN_NOWAIT);
		ssize_t n = recv(c.peer, got, sizeof(got), 0);
		assert_int_equal(n, strlen(cases[i].text));
		assert_memory_equal(got, cases[i].text, (size_t)n);
		close_peer(&c);
		finish(&c);
		end(&c);
	}
}

static void t_bad_request(void **state)
{
	(void)state;
	static const char *const headers[][2] = { { "X: a\r\nY: b" }, { "no colon" }, { "content-length: 3" }, { "Host: a" },
		{ "Connection: close" }, { "transfer-encoding: chunked" }, { ": a" }, { "X : a" } };
	static const struct ask_spec specs[] = {
		{ .method = "GE T", .path = "/" },
		{ .method = "", .path = "/" },
		{ .method = "GET", .path = "" },
		{ .method = "GET", .path = "x" },
		{ .method = "GET", .path = "/ HTTP/1.1\r\nX: y" },
		{ .method = "GET", .path = "/\xc3\xbc" },
		{ .method = "GET", .path = "/", .type = "a\r\nb: c" },
		{ .method = "GET", .path = "/", .upgrade = "a\nb" },
	};
	uv_loop_t loop;
	assert_int_equal(uv_loop_init(&loop), 0);
	for (size_t i = 0; i < ARRAY_LEN(specs) + ARRAY_LEN(headers); i++) {
		struct ask_spec spec = i < ARRAY_LEN(specs) ? specs[i] : get;
		struct err err = ERR_INIT;
		int pair[2];
		char byte;
		if (i >= ARRAY_LEN(specs))
			spec.headers = headers[i - ARRAY_LEN(specs)];
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
		assert_null(ask_start(&loop, pair[0], &spec, on_answer, NULL, &err));
		assert_int_equal(err.code, ERR_INVALID);
		assert_int_equal(recv(pair[1], &byte, 1, 0), 0); /* taken, and closed */
		close(pair[1]);
	}
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* A peer that has heard enough says so and closes: the answer counts, not what writing to it then gives. */
static void t_early_answer(void **state)
{
	(void)state;
	static const char text[] = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
	auto_free char *body = mem_array(4 << 20, 1);
	const struct ask_spec spec = { .method = "PUT", .path = "/", .body = body, .n = 4 << 20 };
	for (int step = 0; step < 2; step++) {
		struct call c;
		char got[64];
		begin(&c, &spec);
		uv_run(&c.loop, UV_RUN_NOWAIT);
		assert_int_equal(recv(c.peer, got, sizeof(got), 0), sizeof(got));
		assert_int_equal(send(c.peer, text, sizeof(text) - 1, 0), sizeof(text) - 1);
		if (step) {
			close(c.peer);
			c.peer = -1;
		}
		finish(&c);
		assert_int_equal(c.status, 413);
		assert_string_equal(c.body.p, "no");
		end(&c);
	}
}

static void t_upgrade(void **state)
{
	(void)state;
	static const char text[] = "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: SBX-raw\r\n\r\nearly";
	struct ask_spec spec = get;
	spec.upgrade = "sbx-raw";
	char got[256];
	for (size_t step = sizeof(text) - 6; step < sizeof(text); step += 5) {
		struct call c;
		begin(&c, &spec);
		uv_run(&c.loop, UV_RUN_NOWAIT);
		say(&c, text, step);
		finish(&c);
		assert_int_equal(c.status, 101);
		assert_true(c.fd >= 0);
		assert_int_equal(c.early.len, step == sizeof(text) - 1 ? 5 : 0);
		assert_memory_equal(c.early.p, "early", c.early.len);
		assert_true(recv(c.peer, got, sizeof(got), 0) > 0);
		assert_int_equal(send(c.fd, "both", 4, 0), 4);
		assert_int_equal(recv(c.peer, got, sizeof(got), 0), 4);
		assert_int_equal(recv(c.fd, got, 1, 0), -1);
		assert_int_equal(errno, EAGAIN);
		end(&c);
	}
	/* refused, and another protocol than was asked for */
	struct call c;
	hear(&c, &spec, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", 40, 40);
	assert_int_equal(c.status, 403);
	end(&c);
	hear(&c, &spec, "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n", 39, 39);
	assert_int_equal(c.err.code, ERR_PROTOCOL);
	end(&c);
}

/* ---- our own server ---- */

static void ask_server(struct call *c, struct fx *f, const struct ask_spec *spec)
{
	static const struct identity peer = { .kind = IDENTITY_LOCAL, .role = ROLE_OWNER, .admin = true };
	begin(c, spec);
	assert_int_equal(fx_adopt(f, c->peer, &peer), 0);
	c->peer = -1;
	finish(c);
}

static void t_server(void **state)
{
	struct fx *f = fx_start(30000, 90000, 2000);
	struct call c;
	struct ask_spec spec = { .method = "GET", .path = "/t/v1/stream?n=5000000" };
	(void)state;
	ask_server(&c, f, &spec);
	assert_int_equal(c.status, 200);
	assert_int_equal(c.body.len, 5000000);
	assert_string_equal(c.type, "application/octet-stream");
	for (size_t i = 0; i < c.body.len; i++)
		assert_int_equal((unsigned char)c.body.p[i], i % 256);
	end(&c);
	spec.path = "/t/v1/stream?n=300000&mode=abort";
	ask_server(&c, f, &spec);
	assert_int_equal(c.err.code, ERR_PROTOCOL);
	end(&c);
	spec.path = "/t/v1/nowhere";
	ask_server(&c, f, &spec);
	assert_int_equal(c.status, 404);
	assert_non_null(strstr(c.body.p, "test_error"));
	end(&c);
	spec = (struct ask_spec){ .method = "HEAD", .path = "/t/v1/ping" };
	ask_server(&c, f, &spec);
	assert_int_equal(c.status, 200);
	assert_int_equal(c.body.len, 0);
	end(&c);
	spec = (struct ask_spec){
		.method = "POST", .path = "/t/v1/echo", .type = "application/json", .body = "{\"name\":\"n\"}", .n = 12
	};
	ask_server(&c, f, &spec);
	assert_int_equal(c.status, 201);
	assert_string_equal(c.body.p, "{\"name\":\"n\"}");
	end(&c);
	auto_free char *up = mem_array(8 << 20, 1);
	spec = (struct ask_spec){
		.method = "PUT", .path = "/t/v1/upload", .type = "application/octet-stream", .body = up, .n = 8 << 20
	};
	ask_server(&c, f, &spec);
	assert_string_equal(c.body.p, "8388608");
	end(&c);
	spec.path = "/t/v1/upload?refuse=1";
	ask_server(&c, f, &spec);
	assert_int_equal(c.status, 507);
	end(&c);
	fx_stop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_bodies),
		cmocka_unit_test(t_does_not_wait),
		cmocka_unit_test(t_broken),
		cmocka_unit_test(t_reset),
		cmocka_unit_test(t_endless),
		cmocka_unit_test(t_limits),
		cmocka_unit_test(t_timeout),
		cmocka_unit_test(t_cancel),
		cmocka_unit_test(t_request),
		cmocka_unit_test(t_bad_request),
		cmocka_unit_test(t_early_answer),
		cmocka_unit_test(t_upgrade),
		cmocka_unit_test(t_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
