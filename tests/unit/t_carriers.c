/* link: tests/unit/tls_fixture.c daemon/hosts/carriers.c daemon/hosts/words.c daemon/net/?*.c shared/net/ca.c shared/net/http1.c shared/net/tcp.c shared/store/hash*.c | -luv -lssl -lcrypto -lpthread */
/* carriers: calls to a host of the test, which speaks TLS with a certificate of a real authority and answers as a script says. */
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

#include "daemon/core/authority.h"
#include "daemon/core/sandbox.h"
#include "daemon/core/snapshot.h"
#include "daemon/hosts/carriers.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "tests/unit/tls_fixture.h"

enum then { END, HOLD, CUT, ECHO_IT, DEAF }; /* DEAF: reads nothing */

struct step {
	const char *answer;
	enum then then;
};

enum { VISITS = 16 };

struct visit {
	struct host *host;
	struct tls_pipe *pipe;
	int plain;
	uv_poll_t poll;
	bool watched, answered;
	struct buf said;
	struct step step;
};

struct host {
	struct tls_world *w;
	struct carriers *carriers;
	const struct carrier *port;
	const struct step *script;
	struct visit visits[VISITS];
	size_t count;
	bool no_authority;
	const struct ca_pem *comes_as;
};

/* ---- core's, without all of core ---- */

char *net_text(const struct db_sandbox *row)
{
	(void)row;
	return mem_strdup("none");
}

int authority_control(struct core *core, struct ca_pem *out, struct buf *ca, struct err *err)
{
	const struct host *h = (const struct host *)(const void *)core;
	if (h->no_authority)
		return err_set(err, ERR_NOT_FOUND, "there is no authority yet");
	buf_add(&out->cert, h->comes_as->cert.p, h->comes_as->cert.len);
	buf_add(&out->key, h->comes_as->key.p, h->comes_as->key.len);
	buf_str(ca, h->w->root.cert.p);
	return 0;
}

/* ---- the host ---- */

static void leave(struct visit *v)
{
	if (v->watched)
		uv_close((uv_handle_t *)&v->poll, NULL);
	v->watched = false;
	if (v->plain >= 0)
		close(v->plain);
	v->plain = -1;
}

static void on_gone(void *arg, const struct err *why)
{
	struct visit *v = arg;
	(void)why;
	v->pipe = NULL;
}

static const struct tls_pipe_ops visit_ops = { .on_end = on_gone };

static bool is_whole(const struct buf *said)
{
	const char *end = strstr(said->p, "\r\n\r\n"), *length = strstr(said->p, "Content-Length: ");
	size_t n = length && length < end ? strtoul(length + strlen("Content-Length: "), NULL, 10) : 0;
	return end && said->len >= (size_t)(end - said->p) + 4 + n;
}

static void answer(struct visit *v)
{
	v->answered = true;
	if (v->step.answer)
		assert_int_equal(send(v->plain, v->step.answer, strlen(v->step.answer), MSG_NOSIGNAL), strlen(v->step.answer));
	if (v->step.then == END)
		leave(v);
	if (v->step.then != CUT)
		return;
	tls_for(v->host->w, 20); /* for it to go out */
	tls_pipe_cut(v->pipe);
	v->pipe = NULL;
	leave(v);
}

static void on_said(uv_poll_t *poll, int status, int events)
{
	struct visit *v = poll->data;
	char block[65536];
	(void)status;
	(void)events;
	ssize_t n = recv(v->plain, block, sizeof(block), 0);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			leave(v);
		return;
	}
	buf_add(&v->said, block, (size_t)n);
	if (v->answered && v->step.then == ECHO_IT)
		assert_int_equal(send(v->plain, block, (size_t)n, MSG_NOSIGNAL), n);
	else if (!v->answered && v->step.then != CUT && is_whole(&v->said))
		answer(v);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct host *h = poll->data;
	int ends[2];
	(void)status;
	(void)events;
	int fd = accept4(h->w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	assert_true(h->count < VISITS);
	struct visit *v = &h->visits[h->count];
	assert_int_equal(tls_pipe_pair(ends, NULL), 0);
	*v = (struct visit){ .host = h, .plain = ends[1], .said = BUF_INIT, .step = h->script[h->count] };
	h->count++;
	const struct tls_pipe_spec spec = { .ctx = h->w->server, .peer = h->w->client_name, .ops = &visit_ops, .arg = v };
	v->pipe = tls_pipe_accept(&h->w->loop, &spec, fd, ends[0], NULL);
	assert_non_null(v->pipe);
	if (v->step.then == DEAF)
		return;
	uv_poll_init(&h->w->loop, &v->poll, v->plain);
	v->poll.data = v;
	v->watched = true;
	uv_poll_start(&v->poll, UV_READABLE, on_said);
}

static int setup(void **state)
{
	struct host *h = mem_zalloc(sizeof(*h));
	h->w = tls_world_new();
	h->w->acceptor.data = h;
	h->comes_as = &h->w->control;
	uv_poll_start(&h->w->acceptor, UV_READABLE, on_connection);
	h->carriers = carriers_new(&h->w->loop, (struct core *)(void *)h);
	h->port = carriers_port(h->carriers);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct host *h = *state;
	carriers_close(h->carriers);
	for (size_t i = 0; i < h->count; i++) {
		struct visit *v = &h->visits[i];
		if (v->pipe)
			tls_pipe_cut(v->pipe);
		leave(v);
		buf_free(&v->said);
	}
	tls_world_free(h->w);
	free(h);
	return 0;
}

/* ---- the control plane ---- */

struct result {
	bool told, heard;
	struct err err;
	size_t boxes, points, uses;
	char ids[64], shot[64];
	int fd;
};

static void on_result(void *arg, const struct carry_answer *a)
{
	struct result *r = arg;
	assert_false(r->told);
	r->told = true;
	r->heard = a->heard;
	if (a->err) {
		assert_int_not_equal(a->err->code, ERR_OK);
		r->err = *a->err;
	}
	r->boxes = a->box_count;
	r->points = a->point_count;
	r->uses = a->use_count;
	r->fd = a->fd;
	for (size_t i = 0; i < a->box_count; i++) {
		size_t at = strlen(r->ids);
		snprintf(r->ids + at, sizeof(r->ids) - at, "%s ", a->boxes[i].id);
	}
	if (a->shot->name)
		str_copy(r->shot, sizeof(r->shot), a->shot->name);
}

static struct carry *begin(struct host *h, const struct carry_ask *what, struct result *r)
{
	struct err err = ERR_INIT;
	struct carry_ask ask = *what;
	ask.host = ask.host ? ask.host : TLS_HOST;
	ask.address = ask.address ? ask.address : h->w->address;
	*r = (struct result){ .fd = -1 };
	struct carry *c = h->port->start(h->port->self, &ask, on_result, r, &err);
	if (!c)
		r->err = err;
	assert_false(r->told);
	return c;
}

static void call(struct host *h, const struct step *script, const struct carry_ask *ask, struct result *r)
{
	h->script = script;
	assert_non_null(begin(h, ask, r));
	tls_until(h->w, &r->told);
}

/* What has long to run is due now. */
static void hurry_one(uv_handle_t *handle, void *arg)
{
	uv_timer_t *timer = (uv_timer_t *)handle;
	(void)arg;
	if (handle->type == UV_TIMER && uv_is_active(handle) && uv_timer_get_due_in(timer) > 2000)
		uv_timer_start(timer, timer->timer_cb, 1, 0);
}

static void assert_lost(const struct result *r, enum err_code code, const char *text)
{
	if (r->err.code != code || !strstr(r->err.msg, text))
		print_error("%s: %s\n", err_name(r->err.code), r->err.msg);
	assert_int_equal(r->err.code, code);
	assert_non_null(strstr(r->err.msg, text));
	assert_false(r->heard);
	assert_int_equal(r->fd, -1);
}

#define BOX(id) "{\"id\":\"" id "\",\"state\":\"running\",\"vcpus\":2,\"memoryMb\":512,\"carried\":true}"
#define SWITCHED "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: sbx-agent\r\n\r\n"

/* An answer that ends with its connection. */
#define ANSWER(status, body) "HTTP/1.1 " status "\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" body

static const struct carry_ask stop = { .verb = CARRY_STOP, .id = "abc", .team = 42, .force = true };

static void test_asked_and_answered(void **state)
{
	struct host *h = *state;
	static const struct step script[] = { { ANSWER("200 OK", BOX("abc")), END } };
	struct result r;
	call(h, script, &stop, &r);
	assert_int_equal(r.err.code, ERR_OK);
	assert_true(r.heard);
	assert_string_equal(r.ids, "abc ");
	const char *said = h->visits[0].said.p;
	assert_true(str_starts(said, "POST /sbx/v1/sandboxes/abc/stop HTTP/1.1\r\n"));
	assert_non_null(strstr(said, "\r\nX-Sbx-Team: 42\r\n"));
	assert_non_null(strstr(said, "\r\n\r\n{\"force\":true}"));
}

static void test_a_snapshot_and_figures(void **state)
{
	struct host *h = *state;
	static const struct step script[] = {
		{ ANSWER("201 Created",
			  "{\"name\":\"keep\",\"createdAt\":\"2026-11-22T04:37:00Z\",\"tree\":"
			  "\"b10c000000000000000000000000000000000000000000000000000000000001\"}"),
			END },
		{ ANSWER("200 OK", "{\"points\":[{\"time\":\"2026-11-22T04:37:00Z\"}]}"), END },
		{ ANSWER("204 No Content", ""), END },
		{ ANSWER("200 OK", "{\"sandboxes\":[{\"id\":\"a\"},{\"id\":\"b\"}]}\n"), END },
	};
	struct result r;
	call(h, script, &(struct carry_ask){ .verb = CARRY_SNAPSHOT, .id = "abc", .name = "keep" }, &r);
	assert_string_equal(r.shot, "keep");
	call(h, script, &(struct carry_ask){ .verb = CARRY_POINTS, .id = "abc", .range = "10m" }, &r);
	assert_int_equal(r.points, 1);
	call(h, script, &(struct carry_ask){ .verb = CARRY_DELETE, .id = "abc" }, &r);
	assert_int_equal(r.err.code, ERR_OK);
	assert_true(r.heard);
	call(h, script, &(struct carry_ask){ .verb = CARRY_USES, .team = TEAM_ANY }, &r);
	assert_int_equal(r.uses, 2);
}

static void test_refused_by_the_host(void **state)
{
	static const struct step script[] = {
		{ ANSWER("404 Not Found", "{\"error\":{\"code\":\"not_found\",\"message\":\"no sandbox\"}}"), END },
		{ ANSWER("200 OK", BOX("other")), END },
		{ ANSWER("200 OK", "<html>"), END },
	};
	struct result r;
	call(*state, script, &stop, &r);
	assert_int_equal(r.err.code, ERR_NOT_FOUND);
	assert_string_equal(r.err.msg, "no sandbox");
	assert_true(r.heard);
	for (int i = 0; i < 2; i++) {
		call(*state, script, &stop, &r);
		assert_int_equal(r.err.code, ERR_PROTOCOL);
		assert_true(r.heard);
		assert_int_equal(r.boxes, 0);
	}
}

/* ---- nobody there, or somebody else ---- */

static void test_another_host(void **state)
{
	struct host *h = *state;
	static const struct step script[] = { { ANSWER("200 OK", BOX("abc")), END } };
	struct carry_ask ask = stop;
	struct result r;
	ask.host = "host-8";
	call(h, script, &ask, &r);
	assert_lost(&r, ERR_UNAVAILABLE, "host 'host-8': ");
	tls_for(h->w, 50);
	assert_int_equal(h->visits[0].said.len, 0);
}

static void test_a_host_of_another_authority(void **state)
{
	struct host *h = *state;
	static const struct step script[] = { { ANSWER("200 OK", BOX("abc")), END } };
	auto_ca_pem root = CA_PEM_INIT, pair = CA_PEM_INIT;
	struct result r;
	struct ca *ca = ca_new(&root, NULL);
	assert_int_equal(ca_issue_host(ca, TLS_HOST, h->w->address, CA_HOST_LIFE_S, &pair, NULL), 0);
	ca_free(ca);
	tls_serve_as(h->w, NULL, &pair);
	h->w->client_name = NULL;
	call(h, script, &stop, &r);
	assert_lost(&r, ERR_UNAVAILABLE, "certificate");
	tls_for(h->w, 50);
	assert_int_equal(h->visits[0].said.len, 0);
}

/* The host tells after the handshake only. */
static void test_not_let_in(void **state)
{
	struct host *h = *state;
	static const struct step script[] = { { ANSWER("200 OK", BOX("abc")), END } };
	struct result r;
	h->comes_as = &h->w->host;
	call(h, script, &stop, &r);
	assert_lost(&r, ERR_UNAVAILABLE, "host 'host-7': ");
	assert_null(strstr(r.err.msg, "without an answer")); /* but why */
	assert_int_equal(h->visits[0].said.len, 0);
}

static void test_connection_refused(void **state)
{
	struct host *h = *state;
	struct carry_ask ask = stop;
	struct result r;
	ask.address = "127.0.0.1:1";
	call(h, NULL, &ask, &r);
	assert_lost(&r, ERR_UNAVAILABLE, "connection refused");
}

static void test_no_address(void **state)
{
	struct carry_ask ask = stop;
	struct result r;
	ask.address = "nowhere";
	assert_null(begin(*state, &ask, &r));
	assert_int_equal(r.err.code, ERR_INVALID);
}

static void test_no_request(void **state)
{
	struct carry_ask ask = stop;
	struct result r;
	ask.id = "a b\r\n";
	assert_null(begin(*state, &ask, &r));
	assert_int_equal(r.err.code, ERR_INVALID);
}

static void test_no_authority(void **state)
{
	struct host *h = *state;
	struct result r;
	h->no_authority = true;
	assert_null(begin(h, &stop, &r));
	assert_int_equal(r.err.code, ERR_NOT_FOUND);
}

/* ---- it breaks ---- */

static void test_no_answer(void **state)
{
	struct host *h = *state;
	static const struct step script[] = { { NULL, HOLD } };
	struct result r;
	h->script = script;
	assert_non_null(begin(h, &stop, &r));
	while (!h->visits[0].answered)
		tls_for(h->w, 5);
	assert_false(r.told);
	uv_walk(&h->w->loop, hurry_one, NULL);
	tls_until(h->w, &r.told);
	assert_lost(&r, ERR_TIMEOUT, "no answer within");
}

static void test_closed_without_an_answer(void **state)
{
	static const struct step script[] = { { NULL, END } };
	struct result r;
	call(*state, script, &stop, &r);
	assert_lost(&r, ERR_UNAVAILABLE, "host 'host-7': the connection was closed without an answer");
}

/* Cut after so many bytes of the answer. */
static void test_cut_in_the_middle(void **state)
{
	struct host *h = *state;
	static const char whole[] = "HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n" BOX("abc");
	static const size_t cuts[] = { 0, 5, 30, sizeof("HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n") - 1, sizeof(whole) - 2 };
	struct step script[ARRAY_LEN(cuts)];
	char *parts[ARRAY_LEN(cuts)];
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		parts[i] = mem_strndup(whole, cuts[i]);
		script[i] = (struct step){ parts[i], CUT };
	}
	h->script = script;
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		struct result r;
		assert_non_null(begin(h, &stop, &r));
		while (h->count <= i || !is_whole(&h->visits[i].said))
			tls_for(h->w, 2);
		answer(&h->visits[i]);
		tls_until(h->w, &r.told);
		assert_true(r.err.code == ERR_UNAVAILABLE || r.err.code == ERR_PROTOCOL);
		assert_lost(&r, r.err.code, "host 'host-7': ");
		assert_int_equal(r.boxes, 0);
	}
	h->script = NULL;
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++)
		free(parts[i]);
}

/* It ends its half, and takes nothing: what is to be sent stands, and the connection with it. */
static void test_a_deaf_host(void **state)
{
	struct host *h = *state;
	static const struct step script[] = { { NULL, DEAF } };
	char id[] = "abc", image[] = "base";
	auto_free char *large = mem_array((16 << 20) + 3, 1);
	memset(large, 'x', 16 << 20);
	large[1] = '=';
	char *env[] = { large, NULL };
	const struct db_sandbox row = { .id = id, .image = image, .vcpus = 1, .env = env };
	const struct carry_ask ask = { .verb = CARRY_CREATE, .id = id, .row = &row };
	struct result r;
	h->script = script;
	int small = 4096;
	assert_int_equal(setsockopt(h->w->listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_non_null(begin(h, &ask, &r));
	tls_for(h->w, 300);
	assert_int_equal(h->count, 1);
	shutdown(h->visits[0].plain, SHUT_WR);
	tls_until(h->w, &r.told);
	assert_lost(&r, ERR_UNAVAILABLE, "without an answer");
}

/* ---- lists ---- */

static const struct carry_ask list = { .verb = CARRY_LIST };

static void test_pages(void **state)
{
	struct host *h = *state;
	static const struct step script[] = {
		{ ANSWER("200 OK", "{\"sandboxes\":[" BOX("a") "," BOX("b") "],\"nextCursor\":\"b\"}"), END },
		{ ANSWER("200 OK", "{\"sandboxes\":[],\"nextCursor\":\"k\"}"), END },
		{ ANSWER("200 OK", "{\"sandboxes\":[" BOX("z") "],\"nextCursor\":null}"), END },
	};
	static const struct step first[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n{\"sandboxes\":[],\"nextCursor\":\"cursor--123\"}", HOLD },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n{\"sandboxes\":[],\"nextCursor\":null}   ", HOLD }
	};
	struct result r;
	call(h, first, &list, &r); /* answers of known length, from a host that leaves the connections open */
	assert_int_equal(r.err.code, ERR_OK);
	assert_int_equal(h->count, 2);
	assert_true(str_starts(h->visits[1].said.p, "GET /sbx/v1/sandboxes?limit=100&cursor=cursor--123 "));
	const struct step rest[5] = { first[0], first[1], script[0], script[1], script[2] };
	call(h, rest, &list, &r);
	assert_int_equal(r.err.code, ERR_OK);
	assert_string_equal(r.ids, "a b z ");
	assert_int_equal(h->count, 5);
	assert_true(str_starts(h->visits[2].said.p, "GET /sbx/v1/sandboxes?limit=100 "));
	assert_true(str_starts(h->visits[3].said.p, "GET /sbx/v1/sandboxes?limit=100&cursor=b "));
	assert_true(str_starts(h->visits[4].said.p, "GET /sbx/v1/sandboxes?limit=100&cursor=k "));
}

static void test_a_page_that_does_not_come(void **state)
{
	static const struct step script[] = {
		{ ANSWER("200 OK", "{\"sandboxes\":[" BOX("a") "],\"nextCursor\":\"a\"}"), END },
		{ NULL, END },
	};
	struct result r;
	call(*state, script, &list, &r);
	assert_lost(&r, ERR_UNAVAILABLE, "without an answer");
}

static void test_a_cursor_that_is_no_word(void **state)
{
	static const struct step script[] = {
		{ ANSWER("200 OK", "{\"sandboxes\":[],\"nextCursor\":\"a HTTP/1.1\\r\\nX-Sbx-Team: 1\"}"), END },
	};
	struct host *h = *state;
	struct result r;
	call(h, script, &list, &r);
	assert_int_equal(r.err.code, ERR_PROTOCOL);
	assert_int_equal(h->count, 1);
}

/* ---- cancelled ---- */

static void assert_cancelled(struct host *h, struct carry *c, const struct result *r)
{
	h->port->cancel(h->port->self, c);
	tls_for(h->w, 50);
	assert_false(r->told);
}

static void test_cancelled_at_once(void **state)
{
	static const struct step script[] = { { ANSWER("200 OK", BOX("abc")), END } };
	struct host *h = *state;
	struct result r;
	h->script = script;
	assert_cancelled(h, begin(h, &stop, &r), &r);
}

static void test_cancelled_while_it_is_answered(void **state)
{
	static const struct step script[] = { { "HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n{", HOLD } };
	struct host *h = *state;
	struct result r;
	h->script = script;
	struct carry *c = begin(h, &stop, &r);
	while (!h->visits[0].answered)
		tls_for(h->w, 5);
	assert_cancelled(h, c, &r);
	while (h->visits[0].pipe) /* the host notices */
		tls_for(h->w, 5);
}

static void test_cancelled_between_pages(void **state)
{
	static const struct step script[] = {
		{ ANSWER("200 OK", "{\"sandboxes\":[" BOX("a") "],\"nextCursor\":\"a\"}"), END },
		{ NULL, HOLD },
	};
	struct host *h = *state;
	struct result r;
	h->script = script;
	struct carry *c = begin(h, &list, &r);
	while (h->count < 2)
		tls_for(h->w, 1);
	assert_cancelled(h, c, &r);
}

static void test_closed_with_calls_under_way(void **state)
{
	static const struct step script[] = { { NULL, HOLD }, { NULL, HOLD }, { NULL, HOLD } };
	struct host *h = *state;
	struct result r[3];
	h->script = script;
	assert_non_null(begin(h, &stop, &r[0]));
	assert_non_null(begin(h, &list, &r[1]));
	while (!h->visits[0].answered || !h->visits[1].answered)
		tls_for(h->w, 5);
	assert_non_null(begin(h, &list, &r[2]));
	carriers_close(mem_steal(&h->carriers));
	tls_for(h->w, 50);
	assert_false(r[0].told || r[1].told || r[2].told);
}

static void test_so_many_and_no_more(void **state)
{
	enum { MANY = 256 };
	struct host *h = *state;
	static struct result r[MANY];
	struct carry *first = NULL;
	struct carry_ask ask = stop;
	struct result more;
	uv_poll_stop(&h->w->acceptor);
	for (size_t i = 0; i < MANY; i++) {
		struct carry *c = begin(h, &stop, &r[i]);
		assert_non_null(c);
		first = first ? first : c;
	}
	assert_null(begin(h, &stop, &more));
	assert_int_equal(more.err.code, ERR_UNAVAILABLE);
	ask.host = "host-8";
	assert_non_null(begin(h, &ask, &more));
	h->port->cancel(h->port->self, first);
	assert_non_null(begin(h, &stop, &more));
}

/* ---- agents ---- */

static const struct carry_ask agent = { .verb = CARRY_AGENT, .id = "abc" };

static void assert_echoes(struct host *h, int fd)
{
	char block[40000], back[sizeof(block)];
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)(i * 7);
	for (int i = 0; i < 20; i++) {
		tls_say(h->w, fd, block, sizeof(block));
		assert_int_equal(tls_hear(h->w, fd, back, sizeof(back)), sizeof(back));
		assert_memory_equal(block, back, sizeof(back));
	}
}

static void test_a_stream(void **state)
{
	static const struct step script[] = { { SWITCHED, ECHO_IT } };
	struct host *h = *state;
	struct result r;
	call(h, script, &agent, &r);
	assert_int_equal(r.err.code, ERR_OK);
	assert_true(r.fd >= 0 && r.heard);
	assert_non_null(strstr(h->visits[0].said.p, "GET /sbx/v1/sandboxes/abc/agent HTTP/1.1\r\n"));
	assert_non_null(strstr(h->visits[0].said.p, "\r\nUpgrade: sbx-agent\r\n"));
	assert_echoes(h, r.fd);
	close(r.fd);
	while (h->visits[0].plain >= 0 || h->visits[0].pipe)
		tls_for(h->w, 5);
}

/* Its first bytes come in one piece with the answer's head. */
static void test_a_stream_that_begins_early(void **state)
{
	static const struct step script[] = { { SWITCHED "hello", ECHO_IT } };
	struct host *h = *state;
	struct result r;
	char said[5];
	call(h, script, &agent, &r);
	assert_int_equal(r.err.code, ERR_OK);
	assert_true(r.fd >= 0);
	assert_int_equal(tls_hear(h->w, r.fd, said, sizeof(said)), sizeof(said));
	assert_memory_equal(said, "hello", sizeof(said));
	assert_echoes(h, r.fd);
	close(r.fd);
	while (h->visits[0].plain >= 0 || h->visits[0].pipe)
		tls_for(h->w, 5);
}

static void test_a_stream_that_the_host_ends(void **state)
{
	static const struct step script[] = { { SWITCHED "bye", END }, { SWITCHED, END } };
	struct host *h = *state;
	struct result r;
	char said[8];
	for (size_t i = 0; i < 2; i++) {
		call(h, script, &agent, &r);
		assert_true(r.fd >= 0);
		assert_int_equal(tls_hear(h->w, r.fd, said, sizeof(said)), i ? 0 : 3);
		close(r.fd);
	}
}

static void test_a_stream_at_the_end_of_the_daemon(void **state)
{
	static const struct step script[] = { { SWITCHED "hello", HOLD }, { SWITCHED, HOLD } };
	struct host *h = *state;
	struct result r[2];
	char said[8];
	call(h, script, &agent, &r[0]);
	call(h, script, &agent, &r[1]);
	carriers_close(mem_steal(&h->carriers));
	assert_int_equal(tls_hear(h->w, r[1].fd, said, sizeof(said)), 0);
	tls_hear(h->w, r[0].fd, said, sizeof(said));
	close(r[0].fd);
	close(r[1].fd);
}

static void test_no_stream(void **state)
{
	static const struct step script[] = {
		{ ANSWER("200 OK", "{}"), END },
		{ ANSWER("204 No Content", ""), END },
		{ "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", HOLD },
		{ ANSWER("409 Conflict", "{\"error\":{\"code\":\"invalid_state\",\"message\":\"it is paused\"}}"), END },
	};
	struct result r;
	for (size_t i = 0; i < 4; i++) {
		call(*state, script, &agent, &r);
		assert_int_equal(r.err.code, i < 3 ? ERR_PROTOCOL : ERR_STATE);
		assert_int_equal(r.heard, i != 2);
		assert_int_equal(r.fd, -1);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_asked_and_answered),
		TEST(test_a_snapshot_and_figures),
		TEST(test_refused_by_the_host),
		TEST(test_another_host),
		TEST(test_a_host_of_another_authority),
		TEST(test_not_let_in),
		TEST(test_connection_refused),
		TEST(test_no_address),
		TEST(test_no_request),
		TEST(test_no_authority),
		TEST(test_no_answer),
		TEST(test_closed_without_an_answer),
		TEST(test_cut_in_the_middle),
		TEST(test_a_deaf_host),
		TEST(test_pages),
		TEST(test_a_page_that_does_not_come),
		TEST(test_a_cursor_that_is_no_word),
		TEST(test_cancelled_at_once),
		TEST(test_cancelled_while_it_is_answered),
		TEST(test_cancelled_between_pages),
		TEST(test_closed_with_calls_under_way),
		TEST(test_so_many_and_no_more),
		TEST(test_a_stream),
		TEST(test_a_stream_that_begins_early),
		TEST(test_a_stream_that_the_host_ends),
		TEST(test_a_stream_at_the_end_of_the_daemon),
		TEST(test_no_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
