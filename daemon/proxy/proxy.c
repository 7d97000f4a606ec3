#include "daemon/proxy/proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/core/accept.h"
#include "daemon/core/relay.h"
#include "daemon/core/sandbox.h"
#include "daemon/proxy/head.h"
#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/tcp.h"

enum { CONNECTIONS_MAX = 512, HEAD_MS = 15000, LINGER_MS = 2000, READ_SIZE = 4096 };

struct proxy {
	struct core *core;
	char *suffix;
	struct acceptor *acceptor;
	struct connection *connections;
};

/* Until its head is read, and while an error is said, a connection has its descriptor and handles; then it is a relay's. */
struct connection {
	struct proxy *proxy;
	struct connection *next, **prev;
	int fd; /* -1: the relay has it */
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned handles;
	bool over, answered;
	struct buf in;
	struct head_target target;
	struct relay *relay;
};

static const char *reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} words[] = { { 400, "Bad Request" }, { 404, "Not Found" }, { 408, "Request Timeout" },
		{ 431, "Request Header Fields Too Large" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" } };
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (words[i].status == status)
			return words[i].text;
	return "Error";
}

static char *answer_text(int status, const char *message, const char *hint)
{
	auto_free char *body = mem_printf("sbx: %s%s%s\n", message, hint[0] ? "\n" : "", hint);
	return mem_printf("HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
			  "Cache-Control: no-store\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
		status, reason(status), strlen(body), body);
}

/* ---- the end ---- */

static void on_closed(uv_handle_t *h)
{
	struct connection *c = h->data;
	if (--c->handles > 0)
		return;
	buf_free(&c->in);
	free(c);
}

/* Off the list; freed when its handles have closed. */
static void finish(struct connection *c)
{
	if (c->over)
		return;
	c->over = true;
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	acceptor_done(c->proxy->acceptor);
	uv_close((uv_handle_t *)&c->timer, on_closed);
	if (c->fd < 0)
		return;
	uv_close((uv_handle_t *)&c->poll, on_closed);
	close(c->fd); /* after its handle: see qemu.c, qmp_done */
}

static void on_linger(uv_timer_t *timer)
{
	finish(timer->data);
}

/* Say it, and hear the client out for a moment: closing at once could take the answer from him while he is sending. */
static void answer(struct connection *c, int status, const char *message, const char *hint)
{
	auto_free char *text = answer_text(status, message, hint);
	size_t n = strlen(text);
	c->answered = true;
	if (send(c->fd, text, n, MSG_NOSIGNAL) != (ssize_t)n || shutdown(c->fd, SHUT_WR) != 0)
		finish(c);
	else
		uv_timer_start(&c->timer, on_linger, LINGER_MS, 0);
}

/* ---- the relay ---- */

static char *on_refused(void *arg, const struct err *err)
{
	const struct connection *c = arg;
	bool late = err->code == ERR_TIMEOUT || err->sys == ETIMEDOUT;
	bool ours = err->code == ERR_STATE || err->code == ERR_LIMIT || err->code == ERR_UNAVAILABLE;
	if (err->sys != ECONNREFUSED)
		return answer_text(late ? 504 : ours && !err->sys ? 503 : 502, err->msg, "");
	auto_free char *message =
		mem_printf("nothing listens on port %u of sandbox '%s'", (unsigned)c->target.port, c->target.sandbox);
	return answer_text(502, message, "");
}

static void on_relay_end(void *arg)
{
	finish(arg);
}

static const struct relay_ops relay_ops = { .on_refused = on_refused, .on_end = on_relay_end };

static void start_relay(struct connection *c)
{
	struct err err = ERR_INIT;
	struct sandbox *sb = sandbox_find(c->proxy->core, TEAM_ANY, c->target.sandbox, &err);
	if (!sb) {
		answer(c, 404, err.msg, "");
		return;
	}
	const struct relay_client client = { c->fd, c->in.p, c->in.len };
	c->fd = -1;
	uv_timer_stop(&c->timer);
	uv_close((uv_handle_t *)&c->poll, on_closed); /* before another handle has the descriptor */
	c->relay = relay_start(sb, c->target.port, &client, &relay_ops, c);
	buf_free(&c->in);
}

/* ---- the head ---- */

static void look(struct connection *c)
{
	switch (head_parse(c->in.p, c->in.len, c->proxy->suffix, &c->target)) {
	case HEAD_MORE:
		return;
	case HEAD_OK:
		start_relay(c);
		return;
	case HEAD_LARGE:
		answer(c, 431, "the head of the request is too long", "");
		return;
	case HEAD_BAD:
		answer(c, 400, "not an HTTP/1.1 request with one Host", "");
		return;
	case HEAD_FOREIGN:
		break;
	}
	auto_free char *hint = mem_printf("names here are PORT-SANDBOX.%s, as 3000-demo.%s", c->proxy->suffix, c->proxy->suffix);
	answer(c, 400, "the Host of the request names no sandbox", hint);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct connection *c = poll->data;
	(void)events;
	char chunk[READ_SIZE];
	ssize_t n = status < 0 ? 0 : recv(c->fd, chunk, sizeof(chunk), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		finish(c);
		return;
	}
	if (c->answered)
		return; /* dropped */
	buf_add(&c->in, chunk, (size_t)n);
	if (buf_failed(&c->in))
		finish(c);
	else
		look(c);
}

static void on_late(uv_timer_t *timer)
{
	answer(timer->data, 408, "no whole request came in time", "");
}

static void on_accept(void *arg, int fd)
{
	struct proxy *proxy = arg;
	struct connection *c = mem_zalloc(sizeof(*c));
	uv_loop_t *loop = core_config(proxy->core)->loop;
	if (uv_poll_init(loop, &c->poll, fd) != 0) {
		close(fd);
		free(c);
		acceptor_done(proxy->acceptor);
		return;
	}
	uv_timer_init(loop, &c->timer);
	c->poll.data = c->timer.data = c;
	c->proxy = proxy;
	c->fd = fd;
	c->handles = 2;
	buf_init(&c->in);
	c->next = proxy->connections;
	c->prev = &proxy->connections;
	if (c->next)
		c->next->prev = &c->next;
	proxy->connections = c;
	uv_timer_start(&c->timer, on_late, HEAD_MS, 0);
	uv_poll_start(&c->poll, UV_READABLE, on_poll);
}

/* ---- the listener ---- */

struct proxy *proxy_new(struct core *core, const char *address, const char *suffix, int *port, struct err *err)
{
	int fd = tcp_listen(address, TCP_LOOPBACK, port, err);
	if (fd < 0)
		return NULL;
	struct proxy *proxy = mem_zalloc(sizeof(*proxy));
	proxy->core = core;
	proxy->suffix = mem_strdup(suffix);
	proxy->acceptor = acceptor_new(core_config(core)->loop, fd, CONNECTIONS_MAX, on_accept, proxy, err);
	if (proxy->acceptor)
		return proxy;
	free(proxy->suffix);
	free(proxy);
	return NULL;
}

void proxy_free(struct proxy *proxy)
{
	if (!proxy)
		return;
	while (proxy->connections) {
		struct connection *c = proxy->connections;
		if (c->relay)
			relay_cut(c->relay);
		finish(c);
	}
	acceptor_free(proxy->acceptor);
	free(proxy->suffix);
	free(proxy);
}
