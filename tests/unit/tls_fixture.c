#include "tests/unit/tls_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/tcp.h"

static size_t count_descriptors(void)
{
	size_t n = 0;
	DIR *d = opendir("/proc/self/fd");
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* ---- the pipes' callbacks ---- */

static void on_ready(void *arg, const struct tls_peer *peer)
{
	struct tls_end *e = arg;
	assert_false(e->ready || e->ended);
	e->ready = true;
	e->peer = *peer;
	if (e->cut_when_ready) {
		tls_pipe_cut(e->pipe);
		e->pipe = NULL;
	}
}

static void on_end(void *arg, const struct err *why)
{
	struct tls_end *e = arg;
	assert_false(e->ended);
	e->ended = true;
	e->pipe = NULL;
	e->broken = why;
	if (why)
		e->why = *why;
}

static const struct tls_pipe_ops ops = { .on_ready = on_ready, .on_end = on_end };

static int open_pair(struct tls_end *e)
{
	int pair[2];
	assert_int_equal(tls_pipe_pair(pair, NULL), 0);
	e->plain = pair[1];
	return pair[0];
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct tls_world *w = poll->data;
	struct err err = ERR_INIT;
	(void)status;
	(void)events;
	int fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	struct tls_end *e = w->accept;
	const struct tls_pipe_spec spec = {
		.ctx = w->server, .peer = w->client_name, .limit_ms = w->limit_ms, .ops = &ops, .arg = e
	};
	e->pipe = tls_pipe_accept(&w->loop, &spec, fd, open_pair(e), &err);
	assert_non_null(e->pipe);
}

void tls_start(struct tls_world *w, struct tls_end *end, const char *address, const char *name)
{
	struct err err = ERR_INIT;
	const struct tls_pipe_spec spec = { .ctx = w->client, .peer = name, .limit_ms = w->limit_ms, .ops = &ops, .arg = end };
	end->pipe = tls_pipe_connect(&w->loop, &spec, address ? address : w->address, open_pair(end), &err);
	assert_non_null(end->pipe);
}

void tls_join(struct tls_world *w)
{
	tls_start(w, &w->c, NULL, TLS_HOST);
	tls_until(w, &w->c.ready);
	tls_until(w, &w->s.ready);
}

/* ---- the loop ---- */

static void on_tick(uv_timer_t *timer)
{
	const struct tls_world *w = timer->data;
	if (clock_mono_ms() > w->deadline_ms)
		fail_msg("this takes too long");
}

void tls_until(struct tls_world *w, const bool *so)
{
	/* ticking: a run of the loop goes to sleep after its timers, though it may have been one of them that made it so */
	w->deadline_ms = clock_mono_ms() + 20000;
	uv_update_time(&w->loop);
	uv_timer_start(&w->watchdog, on_tick, 10, 10);
	while (!*so)
		uv_run(&w->loop, UV_RUN_ONCE);
	uv_timer_stop(&w->watchdog);
}

static void on_time(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

void tls_for(struct tls_world *w, int ms)
{
	bool over = false;
	uv_timer_t timer;
	uv_update_time(&w->loop);
	uv_timer_init(&w->loop, &timer);
	timer.data = &over;
	uv_timer_start(&timer, on_time, (uint64_t)ms, 0);
	tls_until(w, &over);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&w->loop, UV_RUN_NOWAIT);
}

void tls_broken(struct tls_world *w, struct tls_end *end, enum err_code code, const char *text)
{
	tls_until(w, &end->ended);
	assert_true(end->broken);
	if (!strstr(end->why.msg, text))
		print_error("no '%s' in: %s\n", text, end->why.msg);
	assert_non_null(strstr(end->why.msg, text));
	if (end->why.code != code)
		print_error("%s: %s\n", err_name(end->why.code), end->why.msg);
	assert_int_equal(end->why.code, code);
}

void tls_ended(struct tls_world *w, struct tls_end *end)
{
	tls_until(w, &end->ended);
	if (end->broken)
		print_error("broken: %s\n", end->why.msg);
	assert_false(end->broken);
}

int tls_raw(struct tls_world *w)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)w->port) };
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

void tls_say(struct tls_world *w, int fd, const void *data, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t k = send(fd, (const char *)data + at, n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		assert_true(k > 0 || errno == EAGAIN);
		if (k > 0)
			at += (size_t)k;
		else
			tls_for(w, 1);
	}
}

size_t tls_hear(struct tls_world *w, int fd, void *out, size_t n)
{
	size_t at = 0;
	while (at < n) {
		ssize_t k = recv(fd, (char *)out + at, n - at, MSG_DONTWAIT);
		if (k == 0 || (k < 0 && errno != EAGAIN))
			break;
		if (k > 0)
			at += (size_t)k;
		else
			tls_for(w, 1);
	}
	return at;
}

/* ---- the world ---- */

static struct tls_ctx *make_ctx(const char *ca, const struct ca_pem *pair)
{
	struct err err = ERR_INIT;
	const struct tls_pem pem = { ca, pair ? pair->cert.p : NULL, pair ? pair->key.p : NULL };
	struct tls_ctx *ctx = tls_ctx_new(&pem, &err);
	if (!ctx)
		print_error("%s\n", err.msg);
	assert_non_null(ctx);
	return ctx;
}

void tls_serve_as(struct tls_world *w, const char *ca, const struct ca_pem *pair)
{
	tls_ctx_free(w->server);
	w->server = make_ctx(ca, pair);
}

void tls_come_as(struct tls_world *w, const char *ca, const struct ca_pem *pair)
{
	tls_ctx_free(w->client);
	w->client = make_ctx(ca, pair);
}

struct tls_world *tls_world_new(void)
{
	struct tls_world *w = mem_zalloc(sizeof(*w));
	assert_int_equal(uv_loop_init(&w->loop), 0);
	assert_int_equal(uv_loop_close(&w->loop), 0); /* the first of a process leaves something behind */
	w->descriptors = count_descriptors();
	w->root = w->host = w->control = (struct ca_pem)CA_PEM_INIT;
	w->s.plain = w->c.plain = -1;
	w->accept = &w->s;
	w->client_name = CA_CONTROL_NAME;
	assert_int_equal(uv_loop_init(&w->loop), 0);
	w->listener = tcp_listen("127.0.0.1:0", TCP_LOOPBACK, &w->port, NULL);
	assert_true(w->listener >= 0);
	snprintf(w->address, sizeof(w->address), "127.0.0.1:%d", w->port);
	w->ca = ca_new(&w->root, NULL);
	assert_non_null(w->ca);
	assert_int_equal(ca_issue_host(w->ca, TLS_HOST, w->address, CA_HOST_LIFE_S, &w->host, NULL), 0);
	assert_int_equal(ca_issue_control(w->ca, CA_CONTROL_LIFE_S, &w->control, NULL), 0);
	w->server = make_ctx(w->root.cert.p, &w->host);
	w->client = make_ctx(w->root.cert.p, &w->control);
	uv_timer_init(&w->loop, &w->watchdog);
	w->watchdog.data = w;
	uv_poll_init(&w->loop, &w->acceptor, w->listener);
	w->acceptor.data = w;
	uv_poll_start(&w->acceptor, UV_READABLE, on_connection);
	return w;
}

static void end_release(struct tls_end *e)
{
	if (e->pipe)
		tls_pipe_cut(e->pipe);
	if (e->plain >= 0)
		close(e->plain);
}

void tls_world_free(struct tls_world *w)
{
	end_release(&w->s);
	end_release(&w->c);
	tls_ctx_free(w->server);
	tls_ctx_free(w->client);
	uv_close((uv_handle_t *)&w->acceptor, NULL);
	uv_close((uv_handle_t *)&w->watchdog, NULL);
	close(w->listener);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	ca_free(w->ca);
	ca_pem_free(&w->root);
	ca_pem_free(&w->host);
	ca_pem_free(&w->control);
	assert_int_equal(count_descriptors(), w->descriptors);
	free(w);
}

int tls_setup(void **state)
{
	*state = tls_world_new();
	return 0;
}

int tls_teardown(void **state)
{
	tls_world_free(*state);
	return 0;
}
