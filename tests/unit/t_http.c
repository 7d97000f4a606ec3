/* link: tests/unit/http_?*.c daemon/http/?*.c shared/net/?*.c shared/contract/?*.c | -luv -lmicrohttpd -lwslay -lcrypto -lpthread */
#include "tests/unit/http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/http/internal.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

#define END "Host: localhost\r\n\r\n"

static struct fx *fixture(void **state)
{
	return *state;
}

/* Ask on a new Unix (or TCP) connection and check the status and, for errors, that the body has the dialect's shape. */
static void check(int fd, const char *request, int status, const char *want)
{
	struct fx_reply r;
	fx_ask(fd, request, &r);
	if (r.status != status)
		print_error("%.60s -> %d %s\n", request, r.status, r.body.p);
	assert_int_equal(r.status, status);
	assert_false(r.broken);
	if (status >= 400)
		assert_non_null(strstr(r.body.p, "\"test_error\":\""));
	if (want && !strstr(r.body.p, want))
		print_error("%.60s -> %s\n", request, r.body.p);
	if (want)
		assert_non_null(strstr(r.body.p, want));
	buf_free(&r.body);
	close(fd);
}

static void t_keep_alive_and_pipeline(void **state)
{
	struct fx *f = fixture(state);
	int fd = fx_unix(f);
	struct fx_reply r;
	for (int i = 0; i < 3; i++) {
		fx_ask(fd, "GET /t/v1/ping HTTP/1.1\r\n" END, &r);
		assert_int_equal(r.status, 200);
		assert_string_equal(fx_header(&r, "X-Test"), "yes");
		assert_string_equal(fx_header(&r, "Content-Type"), "application/json");
		buf_free(&r.body);
	}
	/* the second is kept for a while: the third must wait for it */
	fx_puts(fd, "GET /t/v1/ping HTTP/1.1\r\n" END "GET /t/v1/later HTTP/1.1\r\n" END "GET /t/v1/items/x%2Fy HTTP/1.1\r\n" END);
	static const int want[] = { 200, 204, 200 };
	for (int i = 0; i < 3; i++) {
		fx_read(fd, &r, false);
		assert_int_equal(r.status, want[i]);
		if (i == 2)
			assert_string_equal(r.body.p, "x/y");
		buf_free(&r.body);
	}
	close(fd);
}

static void t_keys(void **state)
{
	struct fx *f = fixture(state);
	struct fx_reply r;
	int fd = fx_tcp(f);
	fx_ask(fd, "GET /t/v1/ping HTTP/1.1\r\n" END, &r);
	assert_int_equal(r.status, 401);
	assert_string_equal(fx_header(&r, "WWW-Authenticate"), "Bearer");
	buf_free(&r.body);
	close(fd);
	check(fx_tcp(f), "GET /t/v1/ping HTTP/1.1\r\nX-API-Key: " FX_KEY "\r\n" END, 200, "\"account\":7");
	check(fx_tcp(f), "GET /t/v1/ping HTTP/1.1\r\nAuthorization: bearer " FX_KEY "\r\n" END, 200, "\"account\":7");
	check(fx_tcp(f), "GET /t/v1/ping HTTP/1.1\r\nAuthorization: Basic " FX_KEY "\r\n" END, 401, NULL);
	check(fx_tcp(f), "GET /t/v1/ping HTTP/1.1\r\nX-API-Key: wrong\r\n" END, 401, NULL);
	check(fx_tcp(f), "GET /t/v1/ping?apiKey=" FX_KEY " HTTP/1.1\r\n" END, 401, NULL);
	check(fx_tcp(f), "GET /t/v1/public HTTP/1.1\r\n" END, 200, NULL);
	check(fx_tcp(f), "GET /t/v1/local HTTP/1.1\r\nX-API-Key: " FX_KEY "\r\n" END, 403, "forbidden");
	check(fx_unix(f), "GET /t/v1/local HTTP/1.1\r\n" END, 200, "\"account\":0");
	check(fx_unix(f), "GET /t/v1/ping?apiKey=x&token=y HTTP/1.1\r\n" END, 200, NULL);
}

/* One end of a pair that the server has adopted the other end of. */
static int guest(void **state, const struct identity *who)
{
	int pair[2];
	const struct timeval limit = { .tv_sec = 5 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(fx_adopt(fixture(state), pair[1], who), 0);
	return pair[0];
}

static void t_adopted(void **state)
{
	static const struct identity control = {
		.kind = IDENTITY_LOCAL, .role = ROLE_OWNER, .admin = true, .name = "control plane"
	};
	static const struct identity team = { .kind = IDENTITY_KEY, .team = 9 };
	const char *elsewhere = "GET /t/v1/ping HTTP/1.1\r\nHost: node-1.example:8443\r\n\r\n";
	struct fx_reply r;
	int fd = guest(state, &control);
	for (int i = 0; i < 2; i++) {
		fx_ask(fd, "GET /t/v1/operator HTTP/1.1\r\n" END, &r);
		assert_int_equal(r.status, 200);
		assert_non_null(strstr(r.body.p, "\"account\":0"));
		buf_free(&r.body);
	}
	fx_ask(fd, "GET /t/v1/stream?n=3000000 HTTP/1.1\r\n" END, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.body.len, 3000000);
	buf_free(&r.body);
	close(fd);
	/* nothing makes it local; what it brings counts more than what it is */
	check(guest(state, &control), "GET /t/v1/local HTTP/1.1\r\n" END, 403, "Unix socket");
	check(guest(state, &control), "GET /t/v1/ping HTTP/1.1\r\nX-API-Key: " FX_KEY "\r\n" END, 200, "\"account\":7");
	check(guest(state, &control), "GET /t/v1/operator HTTP/1.1\r\nX-API-Key: " FX_KEY "\r\n" END, 403, "operator");
	check(guest(state, &control), "GET /t/v1/ping HTTP/1.1\r\nX-API-Key: wrong\r\n" END, 401, NULL);
	check(guest(state, &control), elsewhere, 200, NULL);
	check(guest(state, &control), "GET /t/v1/ping HTTP/1.1\r\nOrigin: http://evil.example\r\n" END, 403, NULL);
	/* somebody who may do less */
	check(guest(state, &team), "GET /t/v1/ping HTTP/1.1\r\n" END, 200, "\"account\":9");
	check(guest(state, &team), "GET /t/v1/operator HTTP/1.1\r\n" END, 403, "operator");
	/* nobody in particular */
	check(guest(state, NULL), "GET /t/v1/ping HTTP/1.1\r\n" END, 401, NULL);
	check(guest(state, NULL), "GET /t/v1/ping HTTP/1.1\r\nX-API-Key: " FX_KEY "\r\n" END, 200, "\"account\":7");
	check(guest(state, NULL), elsewhere, 403, "Host");
	/* and he leaves nothing to the next, of either kind */
	close(guest(state, &control));
	check(fx_tcp(fixture(state)), "GET /t/v1/ping HTTP/1.1\r\n" END, 401, NULL);
	check(fx_unix(fixture(state)), "GET /t/v1/local HTTP/1.1\r\n" END, 200, NULL);
	/* one who has gone already */
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	close(pair[0]);
	assert_int_equal(fx_adopt(fixture(state), pair[1], &control), 0);
}

/* The control plane says for which team it asks; nobody else can, and nothing that is the operator's is kept from it. */
static void t_control(void **state)
{
	static const struct identity control = { .kind = IDENTITY_CONTROL, .team = 3, .role = ROLE_OWNER, .admin = true };
	static const struct identity others[] = { { .kind = IDENTITY_LOCAL }, { .kind = IDENTITY_KEY, .team = 9 } };
	static const char *const bad[] = { "", "x", "-1", "+1", "0x1", "1 2", "1.0", "1099511627776", "1\r\nX-Sbx-Team: 1" };
	struct fx *f = fixture(state);
	struct fx_reply r;
	int fd = guest(state, &control); /* each request on it for itself */
	static const char *const requests[][2] = {
		{ "GET /t/v1/ping HTTP/1.1\r\nX-Sbx-Team: 5\r\n" END, "\"account\":1099511627781," },
		{ "GET /t/v1/ping HTTP/1.1\r\n" END, "\"account\":0," },
		{ "GET /t/v1/operator HTTP/1.1\r\nx-sbx-team: 1099511627775\r\n" END, "\"account\":2199023255551," },
		{ "GET /t/v1/operator HTTP/1.1\r\n" END, "\"account\":0," },
		{ "GET /t/v1/operator HTTP/1.1\r\nX-Sbx-Team: 0\r\n" END, "\"account\":1099511627776," },
		{ "GET /t/v1/public HTTP/1.1\r\nX-Sbx-Team: 5\r\n" END, "\"account\":0," },
	};
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		fx_ask(fd, requests[i][0], &r);
		assert_int_equal(r.status, 200);
		assert_non_null(strstr(r.body.p, requests[i][1]));
		buf_free(&r.body);
	}
	close(fd);
	check(guest(state, &control), "GET /t/v1/local HTTP/1.1\r\nX-Sbx-Team: 0\r\n" END, 403, "Unix socket");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_free char *text = mem_printf("GET /t/v1/ping HTTP/1.1\r\nX-Sbx-Team: %s\r\n" END, bad[i]);
		check(guest(state, &control), text, 400, "X-Sbx-Team");
	}
	/* a credential is its own team's */
	check(guest(state, &control), "GET /t/v1/ping HTTP/1.1\r\nX-Sbx-Team: 5\r\nX-API-Key: " FX_KEY "\r\n" END, 200,
		"\"account\":7,");
	check(guest(state, &control), "GET /t/v1/operator HTTP/1.1\r\nX-Sbx-Team: 0\r\nX-API-Key: " FX_KEY "\r\n" END, 403,
		"operator");
	/* on other connections it is nothing, whatever it says */
	check(guest(state, &others[0]), "GET /t/v1/operator HTTP/1.1\r\nX-Sbx-Team: 5\r\n" END, 200, "\"account\":0,");
	check(guest(state, &others[1]), "GET /t/v1/ping HTTP/1.1\r\nX-Sbx-Team: x\r\n" END, 200, "\"account\":9,");
	check(guest(state, &others[1]), "GET /t/v1/operator HTTP/1.1\r\nX-Sbx-Team: 0\r\n" END, 403, "operator");
	check(guest(state, NULL), "GET /t/v1/ping HTTP/1.1\r\nX-Sbx-Team: 5\r\n" END, 401, NULL);
	check(fx_unix(f), "GET /t/v1/ping HTTP/1.1\r\nX-Sbx-Team: 5\r\n" END, 200, "\"account\":0,");
	check(fx_tcp(f), "GET /t/v1/ping HTTP/1.1\r\nX-Sbx-Team: 5\r\nX-API-Key: " FX_KEY "\r\n" END, 200, "\"account\":7,");
	/* what it may do, and what it sees: a team that it asks for is a team */
	struct identity who = control;
	assert_true(identity_is_operator(&who));
	assert_int_equal(identity_scope(&who), 3);
	who.team = TEAM_LOCAL;
	assert_true(identity_is_operator(&who));
	assert_int_equal(identity_scope(&who), TEAM_ANY);
}

static void t_websocket_key_in_query(void **state)
{
	struct fx_reply r;
	int fd = fx_tcp(fixture(state));
	fx_puts(fd, "GET /t/v1/ws?apiKey=" FX_KEY " HTTP/1.1\r\nHost: [::1]:80\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
	fx_puts(fd, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	fx_read(fd, &r, true);
	assert_int_equal(r.status, 101);
	close(fd);
}

static void t_routes(void **state)
{
	struct fx *f = fixture(state);
	struct fx_reply r;
	check(fx_unix(f), "GET /nowhere HTTP/1.1\r\n" END, 404, "not_found");
	check(fx_unix(f), "GET /t/v1/pong HTTP/1.1\r\n" END, 404, NULL);
	check(fx_unix(f), "GET /t/v1/undone HTTP/1.1\r\n" END, 501, "not_implemented");
	check(fx_unix(f), "GET /t/v1/items/%zz HTTP/1.1\r\n" END, 400, NULL);
	check(fx_unix(f), "GET /t/v1/items/%ff HTTP/1.1\r\n" END, 400, "UTF-8");
	int fd = fx_unix(f);
	fx_ask(fd, "DELETE /t/v1/ping HTTP/1.1\r\n" END, &r);
	assert_int_equal(r.status, 405);
	assert_string_equal(fx_header(&r, "Allow"), "GET, HEAD");
	buf_free(&r.body);
	fx_ask(fd, "HEAD /t/v1/ping HTTP/1.1\r\n" END, &r);
	assert_int_equal(r.status, 200);
	assert_non_null(fx_header(&r, "Content-Length"));
	/* the connection goes on, so no body came */
	fx_ask(fd, "HEAD /t/v1/stream?mode=length HTTP/1.1\r\n" END, &r);
	assert_int_equal(r.status, 200);
	assert_string_equal(fx_header(&r, "Content-Length"), "1000");
	fx_ask(fd, "GET /t/v1/ping HTTP/1.1\r\n" END, &r);
	assert_int_equal(r.status, 200);
	buf_free(&r.body);
	fx_ask(fd, "HEAD /t/v1/stream HTTP/1.1\r\n" END, &r);
	assert_int_equal(r.status, 200);
	close(fd);
}

static void t_query(void **state)
{
	struct fx *f = fixture(state);
	check(fx_unix(f), "GET /t/v1/ping?what=1 HTTP/1.1\r\n" END, 400, "'what'");
	check(fx_unix(f), "GET /t/v1/need HTTP/1.1\r\n" END, 400, "'need' is required");
	check(fx_unix(f), "GET /t/v1/need?need=x HTTP/1.1\r\n" END, 400, "'need'");
	check(fx_unix(f), "GET /t/v1/need?need=1&need=2 HTTP/1.1\r\n" END, 400, "twice");
	check(fx_unix(f), "GET /t/v1/need?need=1 HTTP/1.1\r\n" END, 200, "\"limit\":\"20\"");
	check(fx_unix(f), "GET /t/v1/need?need=1&limit=3&list=a&list=b%20c+d HTTP/1.1\r\n" END, 200,
		"\"limit\":\"3\",\"list\":\"a,b c d\"");
	check(fx_unix(f), "GET /t/v1/ints?ints=1&ints=2,3 HTTP/1.1\r\n" END, 200, NULL);
	check(fx_unix(f), "GET /t/v1/ints?ints=1&ints=x HTTP/1.1\r\n" END, 400, "'ints' must be an integer");
	check(fx_unix(f), "GET /t/v1/need?need=1&list=%f HTTP/1.1\r\n" END, 400, "percent");
	check(fx_unix(f), "GET /t/v1/need?need=1&list=%c3%28 HTTP/1.1\r\n" END, 400, "UTF-8");
	check(fx_unix(f), "GET /t/v1/need?need=1&list=%00 HTTP/1.1\r\n" END, 400, NULL);
	auto_buf many = BUF_INIT;
	buf_str(&many, "GET /t/v1/need?need=1");
	for (int i = 0; i < 100; i++)
		buf_fmt(&many, "&x%d=1", i);
	buf_str(&many, " HTTP/1.1\r\n" END);
	check(fx_unix(f), many.p, 400, "query parameters");
}

static void t_other_sites(void **state)
{
	struct fx *f = fixture(state);
	check(fx_tcp(f), "GET /t/v1/public HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "Host");
	check(fx_tcp(f), "GET /t/v1/public HTTP/1.1\r\nHost: localhost:99\r\nOrigin: http://evil.example\r\n\r\n", 403, NULL);
	check(fx_tcp(f), "GET /t/v1/public HTTP/1.1\r\nHost: localhost:99\r\nOrigin: null\r\n\r\n", 403, NULL);
	check(fx_tcp(f), "GET /t/v1/public HTTP/1.1\r\nHost: localhost:99\r\nOrigin: http://localhost:99\r\n\r\n", 200, NULL);
	check(fx_unix(f), "GET /t/v1/ping HTTP/1.1\r\nHost: anything\r\n\r\n", 200, NULL);
	check(fx_unix(f), "GET /t/v1/ping HTTP/1.1\r\nHost: anything\r\nOrigin: http://other\r\n\r\n", 403, NULL);
}

#define POST "POST /t/v1/echo HTTP/1.1\r\n"
#define JSON "Content-Type: application/json; charset=utf-8\r\n"

static void t_json_bodies(void **state)
{
	struct fx *f = fixture(state);
	check(fx_unix(f), POST JSON "Content-Length: 12\r\n" END "{\"name\":\"x\"}", 201, "{\"name\":\"x\"}");
	check(fx_unix(f), POST JSON "Transfer-Encoding: chunked\r\n" END "6\r\n{\"name\r\n6\r\n\":\"x\"}\r\n0\r\n\r\n", 201,
		"{\"name\":\"x\"}");
	check(fx_unix(f), POST "Content-Length: 12\r\n" END "{\"name\":\"x\"}", 201, NULL);
	check(fx_unix(f), POST JSON "Content-Length: 3\r\n" END "{\"n", 400, NULL);
	check(fx_unix(f), POST JSON "Content-Length: 2\r\n" END "{}", 400, "name");
	check(fx_unix(f), POST JSON END, 400, "required");
	check(fx_unix(f), POST "Content-Type: text/plain\r\nContent-Length: 12\r\n" END "{\"name\":\"x\"}", 415, NULL);
	check(fx_unix(f), POST JSON "Content-Length: 99999999\r\n" END "{", 413, "too_large");
	/* a refused small body is read, and the connection goes on */
	int fd = fx_unix(f);
	struct fx_reply r;
	fx_ask(fd, POST "Content-Type: text/plain\r\nContent-Length: 4\r\n" END "abcd", &r);
	assert_int_equal(r.status, 415);
	buf_free(&r.body);
	check(fd, "GET /t/v1/ping HTTP/1.1\r\n" END, 200, NULL);
}

static void t_too_large_chunked(void **state)
{
	struct fx *f = fixture(state);
	int fd = fx_unix(f);
	size_t n = (size_t)1 << 20;
	auto_free char *block = mem_array(n, 1);
	fx_puts(fd, POST JSON "Transfer-Encoding: chunked\r\n" END);
	for (int i = 0; i < 18; i++) {
		fx_puts(fd, "100000\r\n");
		fx_send(fd, block, n);
		fx_puts(fd, "\r\n");
	}
	struct fx_reply r;
	fx_read(fd, &r, false);
	assert_int_equal(r.status, 413);
	assert_string_equal(fx_header(&r, "Connection"), "close");
	assert_non_null(strstr(r.body.p, "too_large"));
	assert_true(fx_eof(fd));
	buf_free(&r.body);
	close(fd);
}

static void t_expect(void **state)
{
	struct fx *f = fixture(state);
	struct fx_reply r;
	int fd = fx_tcp(f);
	fx_ask(fd, POST JSON "Content-Length: 12\r\nExpect: 100-continue\r\n" END, &r);
	assert_int_equal(r.status, 401);
	buf_free(&r.body);
	close(fd);
	fd = fx_unix(f);
	fx_ask(fd, POST JSON "Content-Length: 12\r\nExpect: 100-continue\r\n" END, &r);
	assert_int_equal(r.status, 100);
	check(fd, "{\"name\":\"x\"}", 201, NULL);
}

static void t_framing(void **state)
{
	struct fx *f = fixture(state);
	static const char *const bad[] = {
		POST JSON "Content-Length: 12\r\nContent-Length: 12\r\n" END "{\"name\":\"x\"}",
		POST JSON "Content-Length: 12\r\nContent-Length: 2\r\n" END "{\"name\":\"x\"}",
		POST JSON "Content-Length: 12\r\nTransfer-Encoding: chunked\r\n" END "0\r\n\r\n",
		POST JSON "Transfer-Encoding: gzip, chunked\r\n" END "0\r\n\r\n",
		POST JSON "Content-Length : 12\r\n" END "{\"name\":\"x\"}",
		POST JSON "Host: a\r\n" END,
		"GET /t/v1/ping HTTP/1.1\r\n\r\n",
		"GET /t/v1/items/a b HTTP/1.1\r\n" END,
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int fd = fx_unix(f);
		struct fx_reply r;
		fx_ask(fd, bad[i], &r);
		assert_int_equal(r.status, 400);
		if (!strstr(r.body.p, "test_error"))
			fail_msg("case %zu: %s %s", i, r.head, r.body.p);
		assert_true(fx_eof(fd));
		buf_free(&r.body);
		close(fd);
	}
	/* the parser's own refusals */
	static const char *const malformed[] = { "GET\r\n\r\n", POST "Content-Length: -1\r\n" END, "\x16\x03\x01\r\n\r\n" };
	for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
		int fd = fx_unix(f);
		fx_puts(fd, malformed[i]);
		assert_true(fx_eof(fd));
		close(fd);
	}
}

static void t_header_limits(void **state)
{
	struct fx *f = fixture(state);
	size_t big = 60000, huge = 200000;
	auto_free char *pad = mem_array(huge + 1, 1);
	auto_buf b = BUF_INIT;
	memset(pad, 'a', big);
	buf_fmt(&b, "GET /t/v1/ping HTTP/1.1\r\nX-Pad: %s\r\n" END, pad);
	check(fx_unix(f), b.p, 200, NULL);
	memset(pad, 'a', huge);
	buf_clear(&b);
	buf_fmt(&b, "GET /t/v1/ping HTTP/1.1\r\nX-Pad: %s\r\n" END, pad);
	int fd = fx_unix(f);
	fx_send(fd, b.p, b.len);
	assert_true(fx_eof(fd));
	close(fd);
}

/* ---- uploads ---- */

static void t_upload(void **state)
{
	struct fx *f = fixture(state);
	int fd = fx_unix(f);
	size_t n = (size_t)1 << 20;
	auto_free char *block = mem_array(n, 1);
	struct rusage before, after;
	getrusage(RUSAGE_SELF, &before);
	fx_puts(fd, "PUT /t/v1/upload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END);
	for (int i = 0; i < 50; i++) {
		fx_puts(fd, "100000\r\n");
		fx_send(fd, block, n);
		fx_puts(fd, "\r\n");
	}
	struct fx_reply r;
	fx_ask(fd, "0\r\n\r\n", &r);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body.p, "52428800");
	assert_int_equal(atomic_load(&f->uploaded), 52428800);
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_maxrss - before.ru_maxrss < 16 * 1024);
	buf_free(&r.body);
	check(fd, "GET /t/v1/ping HTTP/1.1\r\n" END, 200, NULL);
	check(fx_unix(f),
		"PUT /t/v1/upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 1\r\n" END "x", 415,
		NULL);
	check(fx_unix(f),
		"PUT /t/v1/any HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 1\r\n" END "x", 501,
		NULL);
	check(fx_unix(f), "PUT /t/v1/upload HTTP/1.1\r\nContent-Length: 0\r\n" END, 200, "0");
}

static void t_upload_refused(void **state)
{
	struct fx *f = fixture(state);
	struct fx_reply r;
	auto_free char *block = mem_array(FX_REFUSE_AT + 50000, 1);
	/* much is missing: the answer comes at once, though the client says nothing more */
	int fd = fx_unix(f);
	fx_puts(fd, "PUT /t/v1/upload?refuse=1 HTTP/1.1\r\nContent-Length: 90000000\r\n" END);
	fx_send(fd, block, FX_REFUSE_AT + 40000);
	fx_read(fd, &r, false);
	assert_int_equal(r.status, 507);
	assert_non_null(strstr(r.body.p, "no room"));
	assert_true(fx_eof(fd));
	buf_free(&r.body);
	close(fd);
	/* from outside of the upload's callbacks, while the client has nothing to say */
	fd = fx_unix(f);
	fx_ask(fd, "PUT /t/v1/upload?refuse=2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END "5\r\nhello\r\n", &r);
	assert_int_equal(r.status, 507);
	assert_true(fx_eof(fd));
	buf_free(&r.body);
	close(fd);
	/* little is missing: it is read and the connection lives */
	fd = fx_unix(f);
	fx_puts(fd, "PUT /t/v1/upload?refuse=1 HTTP/1.1\r\nContent-Length: 140000\r\n" END);
	fx_send(fd, block, 140000);
	fx_read(fd, &r, false);
	assert_int_equal(r.status, 507);
	buf_free(&r.body);
	check(fd, "GET /t/v1/ping HTTP/1.1\r\n" END, 200, NULL);
}

static void t_upload_broken(void **state)
{
	struct fx *f = fixture(state);
	int before = atomic_load(&f->done_false);
	int fd = fx_unix(f);
	int started = atomic_load(&f->started);
	fx_puts(fd, "PUT /t/v1/upload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END "5\r\nhello\r\n");
	assert_true(fx_wait(&f->started, started + 1));
	close(fd);
	assert_true(fx_wait(&f->done_false, before + 1));
}

/* ---- streams ---- */

static void check_pattern(const struct buf *b, size_t n)
{
	assert_int_equal(b->len, n);
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)b->p[i] != (unsigned char)i)
			fail_msg("byte %zu differs", i);
	}
}

static void t_stream(void **state)
{
	struct fx *f = fixture(state);
	static const char *const modes[] = { "chunked", "length" };
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		int fd = fx_unix(f);
		struct fx_reply r;
		char request[128];
		int before = atomic_load(&f->done_true);
		snprintf(request, sizeof(request), "GET /t/v1/stream?n=5000000&mode=%s HTTP/1.1\r\n" END, modes[i]);
		fx_puts(fd, request);
		usleep(50000); /* a slow reader: the queue must not grow meanwhile */
		fx_read(fd, &r, false);
		assert_int_equal(r.status, 200);
		assert_false(r.broken);
		check_pattern(&r.body, 5000000);
		buf_free(&r.body);
		assert_true(fx_wait(&f->done_true, before + 1));
		check(fd, "GET /t/v1/ping HTTP/1.1\r\n" END, 200, NULL);
	}
	assert_true(atomic_load(&f->max_queued) <= HTTP_HIGH + 20000);
}

static void t_stream_abort(void **state)
{
	struct fx *f = fixture(state);
	struct fx_reply r;
	int before = atomic_load(&f->done_false);
	int fd = fx_unix(f);
	fx_ask(fd, "GET /t/v1/stream?n=1000000&mode=abort HTTP/1.1\r\n" END, &r);
	assert_true(r.broken);
	assert_true(fx_wait(&f->done_false, before + 1));
	buf_free(&r.body);
	close(fd);
	/* a client that leaves in the middle */
	fd = fx_unix(f);
	int started = atomic_load(&f->started);
	fx_puts(fd, "GET /t/v1/stream?n=100000000 HTTP/1.1\r\n" END);
	assert_true(fx_wait(&f->started, started + 1));
	close(fd);
	assert_true(fx_wait(&f->done_false, before + 2));
}

static void t_client_gone(void **state)
{
	struct fx *f = fixture(state);
	int (*const connectors[])(struct fx *) = { fx_unix, fx_tcp };
	for (size_t i = 0; i < ARRAY_LEN(connectors); i++) {
		int before = atomic_load(&f->done_false);
		int fd = connectors[i](f);
		int started = atomic_load(&f->started);
		fx_puts(fd, "GET /t/v1/never HTTP/1.1\r\nX-API-Key: " FX_KEY "\r\n" END);
		assert_true(fx_wait(&f->started, started + 1));
		usleep(5000);
		assert_int_equal(atomic_load(&f->done_false), before);
		close(fd);
		assert_true(fx_wait(&f->done_false, before + 1));
	}
	/* gone before the timer answers */
	int before = atomic_load(&f->done_false);
	int fd = fx_unix(f);
	int started = atomic_load(&f->started);
	fx_puts(fd, "GET /t/v1/later HTTP/1.1\r\n" END);
	assert_true(fx_wait(&f->started, started + 1));
	close(fd);
	assert_true(fx_wait(&f->done_false, before + 1));
}

/* ---- listening ---- */

/* A socket file that nobody listens on any more, in a folder whose name is too long for an address. */
static void make_stale(const char *folder)
{
	char back[PATH_MAX];
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "sbxd.sock" };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_non_null(getcwd(back, sizeof(back)));
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(chdir(back), 0);
	close(fd);
}

static void t_listeners(void **state)
{
	struct fx *f = fixture(state);
	struct stat st;
	struct err e = ERR_INIT;
	int port = 0;
	assert_int_equal(stat(f->sock, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	uv_loop_t loop;
	assert_int_equal(uv_loop_init(&loop), 0);
	const struct contract none = { .name = "none" };
	struct http_dialect d = { .contract = &none };
	struct http_config config = { .dialects = &d, .dialect_count = 1 };
	struct http_server *s = http_server_new(&loop, &config, &e);
	assert_non_null(s);
	assert_int_equal(http_listen_unix(s, f->sock, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	/* a folder beyond what sun_path can hold, with a stale socket in it */
	auto_buf path = BUF_INIT;
	buf_fmt(&path, "%s/%0150d", f->dir, 1);
	assert_int_equal(fs_mkdirs(path.p, 0700, &e), 0);
	make_stale(path.p);
	buf_str(&path, "/sbxd.sock");
	assert_int_equal(http_listen_unix(s, path.p, &e), 0);
	assert_int_equal(http_listen_unix(s, path.p, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	static const char *const refused[] = { "0.0.0.0:0", "[::]:0", "10.0.0.1:80", "[fe80::1]:1" };
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		assert_int_equal(http_listen_tcp(s, refused[i], &port, &e), -1);
		assert_int_equal(e.code, ERR_FORBIDDEN);
	}
	static const char *const wrong[] = { "127.0.0.1", "x:1", "127.0.0.1:99999", "127.0.0.1:", "[::1:5" };
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(http_listen_tcp(s, wrong[i], &port, &e), -1);
	char taken[32];
	snprintf(taken, sizeof(taken), ":%d", f->port);
	assert_int_equal(http_listen_tcp(s, taken, &port, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	if (http_listen_tcp(s, "localhost:0", &port, &e) != 0)
		fail_msg("%s", e.msg);
	assert_true(port > 0);
	http_server_close(s, NULL, NULL);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* Out of descriptors: it waits instead of spinning, and goes on later. */
static void t_out_of_descriptors(void **state)
{
	struct fx *f = fixture(state);
	struct rlimit old, low;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	low = old;
	low.rlim_cur = (rlim_t)fd + 1;
	int fill[64], n = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (n < 64 && (fill[n] = dup(0)) >= 0)
		n++;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	memcpy(a.sun_path, f->sock, strlen(f->sock) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	struct rusage before, after;
	getrusage(RUSAGE_SELF, &before);
	usleep(100000);
	getrusage(RUSAGE_SELF, &after);
	long us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec - before.ru_utime.tv_usec;
	while (n > 0)
		close(fill[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_true(us < 50000);
	check(fd, "GET /t/v1/ping HTTP/1.1\r\n" END, 200, NULL);
}

static void t_quit(void **state)
{
	(void)state;
	struct fx *f = fx_start(30000, 90000, 2000);
	int idle = fx_unix(f), kept = fx_unix(f);
	fx_puts(kept, "GET /t/v1/never HTTP/1.1\r\n" END);
	assert_true(fx_wait(&f->started, 1));
	check(fx_unix(f), "GET /t/v1/quit HTTP/1.1\r\n" END, 202, "{}");
	assert_true(fx_eof(idle));
	assert_true(fx_eof(kept));
	assert_true(fx_wait(&f->closed, 1));
	assert_int_equal(atomic_load(&f->done_false), 1);
	fx_stop(f);
	close(idle);
	close(kept);
}

/* ---- the pure checks ---- */

static void t_checks(void **state)
{
	(void)state;
	static const char *const hosts[] = { "localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8080" };
	static const char *const not_hosts[] = { "", "evil", "localhost.evil", "127.0.0.1.evil", "[::1", "[::1]x", "::1",
		"localhost:", "localhost:1x", "[]", "[localhost]" };
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		assert_true(check_host(hosts[i]));
	for (size_t i = 1; i < ARRAY_LEN(not_hosts); i++)
		assert_int_equal(check_host(not_hosts[i]), strcmp(not_hosts[i], "localhost:") == 0);
	assert_false(check_host(NULL));
	assert_true(check_token("keep-alive, Upgrade", "upgrade"));
	assert_true(check_token(" upgrade ", "upgrade"));
	assert_false(check_token("upgraded", "upgrade"));
	assert_false(check_token(NULL, "upgrade"));
	assert_null(check_bearer("Bearer "));
	assert_null(check_bearer("Bearer"));
	assert_string_equal(check_bearer("BEARER  x"), "x");
	assert_true(check_media("Application/JSON ; charset=utf-8", "application/json"));
	assert_false(check_media("application/jsonx", "application/json"));
	char accept[WS_ACCEPT_LEN + 1];
	assert_false(check_ws_key("dGhlIHNhbXBsZSBub25jZQ=", accept));
	assert_false(check_ws_key("dGhlIHNhbXBsZSBub25j!Q==", accept));
}

static int setup(void **state)
{
	*state = fx_start(30000, 90000, 2000);
	return 0;
}

static int teardown(void **state)
{
	/* with a request that is kept, a stream that nobody reads and a WebSocket in the air */
	struct fx *f = *state;
	int kept = fx_unix(f), stream = fx_unix(f), ws = fx_ws(f, "ws", NULL, 0);
	int started = atomic_load(&f->started);
	fx_puts(kept, "GET /t/v1/never HTTP/1.1\r\n" END);
	fx_puts(stream, "GET /t/v1/stream?n=100000000 HTTP/1.1\r\n" END);
	assert_true(fx_wait(&f->started, started + 2));
	fx_stop(f);
	fx_ws_expect_close(ws, 1001);
	assert_true(fx_eof(kept));
	close(kept);
	close(stream);
	close(ws);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_keep_alive_and_pipeline),
		cmocka_unit_test(t_keys),
		cmocka_unit_test(t_adopted),
		cmocka_unit_test(t_control),
		cmocka_unit_test(t_websocket_key_in_query),
		cmocka_unit_test(t_routes),
		cmocka_unit_test(t_query),
		cmocka_unit_test(t_other_sites),
		cmocka_unit_test(t_json_bodies),
		cmocka_unit_test(t_too_large_chunked),
		cmocka_unit_test(t_expect),
		cmocka_unit_test(t_framing),
		cmocka_unit_test(t_header_limits),
		cmocka_unit_test(t_upload),
		cmocka_unit_test(t_upload_refused),
		cmocka_unit_test(t_upload_broken),
		cmocka_unit_test(t_stream),
		cmocka_unit_test(t_stream_abort),
		cmocka_unit_test(t_client_gone),
		cmocka_unit_test(t_listeners),
		cmocka_unit_test(t_out_of_descriptors),
		cmocka_unit_test(t_quit),
		cmocka_unit_test(t_checks),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
