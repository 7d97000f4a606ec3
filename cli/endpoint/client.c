#include "cli/endpoint/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/base/version.h"

#define RX_SIZE ((size_t)HTTP1_HEAD_MAX)
#define JSON_MAX ((size_t)64 << 20)
#define RETRIES 40
#define RETRY_NS 50000000

void client_init(struct client *c, const struct endpoint *ep)
{
	*c = (struct client){
		.ep = ep, .fd = -1, .cancel_fd = -1, .timeout_ms = CLIENT_TIMEOUT_MS, .who = "the daemon", .again = BUF_INIT
	};
}

static void drop_connection(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->rx_off = c->rx_len = 0;
}

void client_close(struct client *c)
{
	drop_connection(c);
	free(c->rx);
	c->rx = NULL;
	buf_free(&c->again);
}

static int lost(struct client *c, int sys, struct err *err)
{
	drop_connection(c);
	err_set(err, ERR_UNAVAILABLE, "connection to %s lost%s%s", c->who, sys ? ": " : "", sys ? strerror(sys) : "");
	if (err)
		err->sys = sys;
	if (c->ep->home)
		err_hint(err, "its log: %s/log/sbxd.log", c->ep->home);
	return -1;
}

/* Wait for events on the connection. Returns them, or -1 when cancelled or out of time. */
static int wait_io(struct client *c, short events, struct err *err)
{
	struct pollfd p[2] = { { .fd = c->fd, .events = events }, { .fd = c->cancel_fd, .events = POLLIN } };
	for (;;) {
		int rc = poll(p, 2, c->timeout_ms ? c->timeout_ms : -1);
		if (rc < 0 && errno == EINTR)
			continue;
		if (rc < 0)
			return err_sys(err, errno, "cannot wait for %s", c->who);
		if (rc == 0) {
			drop_connection(c);
			return err_set(err, ERR_TIMEOUT, "%s did not answer within %d s", c->who, c->timeout_ms / 1000);
		}
		if (p[1].revents) {
			drop_connection(c);
			err_set(err, ERR_IO, "interrupted");
			if (err)
				err->sys = EINTR;
			return -1;
		}
		return p[0].revents;
	}
}

/* early: stop with 1 as soon as the server says something. */
static int send_all(struct client *c, const char *p, size_t n, bool early, struct err *err)
{
	while (n) {
		if (early) {
			int ready = wait_io(c, POLLIN | POLLOUT, err);
			if (ready < 0)
				return -1;
			if (ready & POLLIN)
				return 1;
		}
		ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN) {
			if (!early && wait_io(c, POLLOUT, err) < 0)
				return -1;
			continue;
		}
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && early && (errno == EPIPE || errno == ECONNRESET))
			return 1; /* the reason may be waiting to be read */
		if (sent < 0)
			return lost(c, errno, err);
		p += sent;
		n -= (size_t)sent;
	}
	return 0;
}

/* 1 got bytes, 0 end of the connection, -1. */
static int fill(struct client *c, struct err *err)
{
	if (c->rx_off == c->rx_len)
		c->rx_off = c->rx_len = 0;
	if (c->rx_len == RX_SIZE)
		return err_set(err, ERR_PROTOCOL, "bad answer: headers are too long");
	for (;;) {
		ssize_t n = recv(c->fd, c->rx + c->rx_len, RX_SIZE - c->rx_len, 0);
		if (n > 0) {
			c->rx_len += (size_t)n;
			return 1;
		}
		if (n == 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return lost(c, errno, err);
		if (c->wait ? c->wait(c->wait_arg, c->fd, err) : wait_io(c, POLLIN, err) < 0)
			return -1;
	}
}

/* A kept connection that the server has closed meanwhile is no use. */
static bool still_open(struct client *c)
{
	char byte;
	return c->fd >= 0 && recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

int client_of_call(const struct call *call, struct buf *target, struct request *out, struct err *err)
{
	const struct contract *ct = &contract_sbx;
	size_t n = call->path[0] ? (call->path[1] ? 2 : 1) : 0;
	if (ct_path(ct, call->op, call->path, n, target, err))
		return -1;
	char sep = '?';
	for (size_t i = 0; i < CALL_QUERY_MAX; i++) {
		if (!call->query[i].value)
			continue;
		buf_ch(target, sep);
		buf_str(target, call->query[i].key);
		buf_ch(target, '=');
		buf_url(target, call->query[i].value);
		sep = '&';
	}
	const struct ct_op *op = &ct->ops[call->op];
	*out = (struct request){ .method = ct_s(ct, op->method),
		.target = target->p,
		.media = op->body_count > 0 ? ct_media(ct, op) : NULL,
		.body = call->json,
		.stream = call->stream,
		.length = -1 };
	return buf_failed(target) ? err_set(err, ERR_LIMIT, "the request is too large") : 0;
}

/* Our daemon's API keys hold no dots; the token of a login has two. */
static bool is_token(const char *credential)
{
	const char *dot = strchr(credential, '.');
	return dot && strchr(dot + 1, '.');
}

static int build_request(const struct client *c, const struct request *rq, struct buf *out, struct err *err)
{
	buf_fmt(out, "%s %s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sbx/%s\r\n", rq->method, c->ep->base_path, rq->target,
		c->ep->authority, sbx_version);
	if (c->ep->api_key)
		buf_fmt(out, "%s%s\r\n", is_token(c->ep->api_key) ? "Authorization: Bearer " : "X-API-Key: ", c->ep->api_key);
	for (size_t i = 0; i < rq->header_count; i++) {
		const struct kv *h = &rq->headers[i];
		if (h->value && strpbrk(h->value, "\r\n"))
			return err_set(err, ERR_USAGE, "the value of header '%s' holds a line break", h->key);
		if (h->value)
			buf_fmt(out, "%s: %s\r\n", h->key, h->value);
	}
	if (c->ws_key)
		buf_fmt(out, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
			c->ws_key);
	if (rq->media && (rq->body || rq->stream))
		buf_fmt(out, "Content-Type: %s\r\n", rq->media);
	if (rq->stream && rq->length < 0)
		buf_str(out, "Transfer-Encoding: chunked\r\n");
	else if (rq->media)
		buf_fmt(out, "Content-Length: %lld\r\n",
			rq->stream	   ? (long long)rq->length
				: rq->body ? (long long)rq->body->len
					   : 0);
	buf_str(out, "\r\n");
	if (rq->body)
		buf_add(out, rq->body->p, rq->body->len);
	return buf_failed(out) ? err_set(err, ERR_LIMIT, "the request is too large") : 0;
}

/* Our own daemon that was killed still takes connections until its last thread is gone, and then breaks them without a word. Such
 * a request goes to the next daemon: one that only reads always, another when the socket says that it was not read to its end
 * (closing a Unix socket that holds unread bytes is ECONNRESET to the peer, sending to a closed one EPIPE), so that nothing is
 * done twice. */
static bool may_go_again(struct client *c, const struct err *why)
{
	bool unread = why->sys == ECONNRESET || why->sys == EPIPE;
	bool harmless = c->only_reads && why->sys != EINTR && why->code != ERR_TIMEOUT;
	return c->again.len > 0 && (unread || harmless) && c->tries++ < RETRIES;
}

/* why: how the last try failed; after -1, the one that counts. */
static int send_again(struct client *c, struct err *why)
{
	static const struct timespec pause = { .tv_nsec = RETRY_NS };
	while (may_go_again(c, why)) {
		drop_connection(c);
		(void)nanosleep(&pause, NULL); /* shorter is as good */
		err_clear(why);
		c->fd = c->no_start ? endpoint_connect(c->ep, why) : endpoint_connect_or_start(c->ep, why);
		if (c->fd < 0)
			return -1;
		if (send_all(c, c->again.p, c->again.len, false, why) == 0)
			return 0;
	}
	return -1;
}

static int given_up(const struct err *why, struct err *err)
{
	if (err)
		*err = *why;
	return -1;
}

int client_request(struct client *c, const struct request *rq, struct err *err)
{
	auto_buf text = BUF_INIT;
	if (build_request(c, rq, &text, err))
		return -1;
	c->chunked = rq->length < 0;
	if (!still_open(c)) {
		drop_connection(c);
		c->fd = c->no_start ? endpoint_connect(c->ep, err) : endpoint_connect_or_start(c->ep, err);
		if (c->fd < 0)
			return -1;
	}
	if (!c->rx)
		c->rx = mem_array(1, RX_SIZE);
	c->rx_off = c->rx_len = 0;
	buf_clear(&c->again);
	c->tries = 0;
	c->only_reads = strcmp(rq->method, "GET") == 0; /* a WebSocket has done nothing before its first message */
	if (c->ep->managed && !rq->stream)
		buf_add(&c->again, text.p, text.len);
	struct err why = ERR_INIT;
	return send_all(c, text.p, text.len, false, &why) && send_again(c, &why) ? given_up(&why, err) : 0;
}

int client_begin(struct client *c, const struct call *call, struct err *err)
{
	auto_buf target = BUF_INIT;
	struct request rq;
	if (client_of_call(call, &target, &rq, err))
		return -1;
	return client_request(c, &rq, err);
}

int client_send(struct client *c, const void *data, size_t n, struct err *err)
{
	if (n == 0)
		return 0;
	if (!c->chunked)
		return send_all(c, data, n, true, err);
	auto_buf size = BUF_INIT;
	buf_fmt(&size, "%zx\r\n", n);
	int rc = send_all(c, size.p, size.len, true, err);
	rc = rc ? rc : send_all(c, data, n, true, err);
	return rc ? rc : send_all(c, "\r\n", 2, true, err);
}

int client_send_end(struct client *c, struct err *err)
{
	return c->chunked && send_all(c, "0\r\n\r\n", 5, true, err) < 0 ? -1 : 0;
}

int client_api_error(const js *error, int status, struct err *err)
{
	const char *code = js_str(js_get(error, "code"), NULL);
	const char *hint = js_str(js_get(error, "hint"), NULL);
	const char *message = js_str(js_get(error, "message"), NULL);
	if (message)
		err_set(err, code ? err_from_name(code) : err_from_status(status), "%s", message);
	else
		err_set(err, err_from_status(status), "the daemon answered with status %d", status);
	return hint ? err_hint(err, "%s", hint) : -1;
}

/* The shapes that are about: {error: {code, message, hint}}, {error: TEXT, details|detail|hint|message}, {code, message}. */
static int any_shape(const js *doc, int status, struct err *err)
{
	const js *error = js_get(doc, "error");
	if (js_type(error) == JS_OBJECT)
		return client_api_error(error, status, err);
	const char *text = js_str(error, NULL), *message = js_str(js_get(doc, "message"), NULL);
	const char *details = js_str(js_get(doc, "details"), js_str(js_get(doc, "detail"), NULL));
	const char *code = js_str(js_get(doc, "code"), NULL), *hint = js_str(js_get(doc, "hint"), NULL);
	bool is_code = text && code && strcmp(text, code) == 0; /* Freestyle says the code twice */
	const char *say = message && (is_code || !text) ? message : text;
	if (!say)
		return -1;
	err_set(err, err_from_status(status), "%s", say);
	if (details)
		err_set(err, err_from_status(status), "%s: %s", say, details);
	if (!hint && message && say != message)
		hint = message;
	return hint ? err_hint(err, "%s", hint) : -1;
}

int client_fault(const struct client *c, int status, const char *text, size_t n, struct err *err)
{
	struct err local = ERR_INIT;
	struct err *e = err ? err : &local;
	auto_js *doc = js_parse(text, n, JS_LIMITS_DEFAULT, NULL);
	err_clear(e);
	if (doc)
		(void)any_shape(doc, status, e);
	else if (n > 0 && n < 300 && !memchr(text, '<', n)) /* plain text, and no page */
		err_set(e, err_from_status(status), "%.*s", (int)n, text);
	if (e->code == ERR_OK)
		err_set(e, err_from_status(status), "%s answered with status %d", c->who, status);
	if (status == 401 && !*e->hint)
		err_hint(e, "%s",
			c->key_hint ? c->key_hint
				    : "set SBX_API_KEY or --api-key; 'sbx key create' on the daemon's machine makes one");
	return -1;
}

static int read_body(struct client *c, struct buf *out, struct err *err)
{
	const char *data;
	size_t n;
	int rc;
	while ((rc = client_read(c, &data, &n, err)) == 1) {
		if (!out)
			continue;
		buf_add(out, data, n);
		if (out->len > JSON_MAX || buf_failed(out))
			return err_set(err, ERR_TOO_LARGE, "the answer of %s is too long", c->who);
	}
	return rc;
}

static int error_answer(struct client *c, struct err *err)
{
	auto_buf text = BUF_INIT;
	int status = c->head.status;
	return read_body(c, &text, err) ? -1 : client_fault(c, status, text.p, text.len, err);
}

int client_head(struct client *c, struct err *err)
{
	for (;;) {
		ssize_t size = http1_head(c->rx + c->rx_off, c->rx_len - c->rx_off, &c->head, err);
		if (size < 0)
			return -1;
		if (size == 0) {
			struct err why = ERR_INIT;
			bool heard = c->rx_len > 0;
			int rc = fill(c, &why);
			if (rc == 0)
				(void)lost(c, 0, &why);
			if (rc <= 0 && (heard || send_again(c, &why)))
				return given_up(&why, err);
			continue;
		}
		c->rx_off += (size_t)size;
		if (c->head.status >= 200 || c->head.status == 101)
			break;
	}
	http1_body_init(&c->body, &c->head);
	return c->head.status >= 400 ? error_answer(c, err) : 0;
}

int client_read(struct client *c, const char **data, size_t *n, struct err *err)
{
	while (c->body.state != HTTP1_DONE) {
		if (c->rx_off == c->rx_len) {
			int rc = fill(c, err);
			if (rc < 0 || (rc == 0 && http1_body_eof(&c->body, err)))
				return -1;
			if (rc == 0)
				break;
		}
		struct http1_piece piece;
		if (http1_body(&c->body, c->rx + c->rx_off, c->rx_len - c->rx_off, &piece, err))
			return -1;
		c->rx_off += piece.used;
		if (piece.len) {
			*data = piece.data;
			*n = piece.len;
			return 1;
		}
	}
	if (c->head.close)
		drop_connection(c);
	return 0;
}

int client_call(struct client *c, const struct call *call, struct buf *out, struct err *err)
{
	if (client_begin(c, call, err) || client_head(c, err))
		return -1;
	return read_body(c, out, err);
}

js *client_json(struct client *c, const struct call *call, struct err *err)
{
	auto_buf text = BUF_INIT;
	if (client_call(c, call, &text, err))
		return NULL;
	struct js_limits limits = { .bytes = JSON_MAX, .depth = 64, .members = 4000000 };
	js *doc = js_parse(text.p, text.len, limits, err);
	if (!doc)
		err_prefix(err, "the answer of %s", c->who);
	return doc;
}
