#include "cli/endpoint/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/base/version.h"

#define RX_SIZE ((size_t)HTTP1_HEAD_MAX)
#define JSON_MAX ((size_t)64 << 20)

void client_init(struct client *c, const struct endpoint *ep)
{
	*c = (struct client){ .ep = ep, .fd = -1, .cancel_fd = -1, .timeout_ms = CLIENT_TIMEOUT_MS };
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
}

static int lost(struct client *c, int sys, struct err *err)
{
	drop_connection(c);
	err_set(err, ERR_UNAVAILABLE, "connection to the daemon lost%s%s", sys ? ": " : "", sys ? strerror(sys) : "");
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
			return err_sys(err, errno, "cannot wait for the daemon");
		if (rc == 0) {
			drop_connection(c);
			return err_set(err, ERR_TIMEOUT, "the daemon did not answer within %d s", c->timeout_ms / 1000);
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
		if (wait_io(c, POLLIN, err) < 0)
			return -1;
	}
}

/* A kept connection that the server has closed meanwhile is no use. */
static bool still_open(struct client *c)
{
	char byte;
	return c->fd >= 0 && recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static int build_target(const struct client *c, const struct call *call, struct buf *req, struct err *err)
{
	const struct contract *ct = &contract_sbx;
	size_t n = call->path[0] ? (call->path[1] ? 2 : 1) : 0;
	buf_fmt(req, "%s ", ct_s(ct, ct->ops[call->op].method));
	buf_str(req, c->ep->base_path);
	if (ct_path(ct, call->op, call->path, n, req, err))
		return -1;
	char sep = '?';
	for (size_t i = 0; i < CALL_QUERY_MAX; i++) {
		if (!call->query[i].value)
			continue;
		buf_ch(req, sep);
		buf_str(req, call->query[i].key);
		buf_ch(req, '=');
		buf_url(req, call->query[i].value);
		sep = '&';
	}
	buf_str(req, " HTTP/1.1\r\n");
	return 0;
}

static int build_request(const struct client *c, const struct call *call, struct buf *req, struct err *err)
{
	if (build_target(c, call, req, err))
		return -1;
	buf_fmt(req, "Host: %s\r\n", c->ep->authority);
	buf_fmt(req, "User-Agent: sbx/%s\r\n", sbx_version);
	if (c->ep->api_key)
		buf_fmt(req, "X-API-Key: %s\r\n", c->ep->api_key);
	if (c->ws_key)
		buf_fmt(req, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
			c->ws_key);
	const struct ct_op *op = &contract_sbx.ops[call->op];
	if (call->stream)
		buf_fmt(req, "Content-Type: %s\r\nTransfer-Encoding: chunked\r\n", ct_media(&contract_sbx, op));
	else if (call->json)
		buf_fmt(req, "Content-Type: application/json\r\nContent-Length: %zu\r\n", call->json->len);
	else if (op->body_count > 0)
		buf_str(req, "Content-Length: 0\r\n");
	buf_str(req, "\r\n");
	if (call->json)
		buf_add(req, call->json->p, call->json->len);
	return buf_failed(req) ? err_set(err, ERR_LIMIT, "the request is too large") : 0;
}

int client_begin(struct client *c, const struct call *call, struct err *err)
{
	auto_buf req = BUF_INIT;
	if (build_request(c, call, &req, err))
		return -1;
	if (!still_open(c)) {
		drop_connection(c);
		c->fd = c->no_start ? endpoint_connect(c->ep, err) : endpoint_connect_or_start(c->ep, err);
		if (c->fd < 0)
			return -1;
	}
	if (!c->rx)
		c->rx = mem_array(1, RX_SIZE);
	c->rx_off = c->rx_len = 0;
	return send_all(c, req.p, req.len, false, err) ? -1 : 0;
}

int client_send(struct client *c, const void *data, size_t n, struct err *err)
{
	if (n == 0)
		return 0;
	auto_buf size = BUF_INIT;
	buf_fmt(&size, "%zx\r\n", n);
	int rc = send_all(c, size.p, size.len, true, err);
	rc = rc ? rc : send_all(c, data, n, true, err);
	return rc ? rc : send_all(c, "\r\n", 2, true, err);
}

int client_send_end(struct client *c, struct err *err)
{
	return send_all(c, "0\r\n\r\n", 5, true, err) < 0 ? -1 : 0;
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
			return err_set(err, ERR_TOO_LARGE, "the daemon's answer is too long");
	}
	return rc;
}

static int error_answer(struct client *c, struct err *err)
{
	auto_buf text = BUF_INIT;
	int status = c->head.status;
	if (read_body(c, &text, err))
		return -1;
	auto_js *doc = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, NULL);
	client_api_error(js_get(doc, "error"), status, err);
	if (status == 401 && err && !*err->hint)
		err_hint(err, "set SBX_API_KEY or --api-key; 'sbx key create' on the daemon's machine makes one");
	return -1;
}

int client_head(struct client *c, struct err *err)
{
	for (;;) {
		ssize_t size = http1_head(c->rx + c->rx_off, c->rx_len - c->rx_off, &c->head, err);
		if (size < 0)
			return -1;
		if (size == 0) {
			int rc = fill(c, err);
			if (rc <= 0)
				return rc < 0 ? -1 : lost(c, 0, err);
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
		err_prefix(err, "the daemon's answer");
	return doc;
}
