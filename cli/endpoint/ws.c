#include "cli/endpoint/ws.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/b64.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define RX_START ((size_t)256 * 1024)
#define RX_LOW ((size_t)64 * 1024)

static int handshake(struct client *c, const struct request *rq, struct err *err)
{
	uint8_t nonce[16];
	char accept[WS_ACCEPT_LEN];
	auto_buf key = BUF_INIT;
	rand_bytes(nonce, sizeof(nonce));
	b64_encode(&key, nonce, sizeof(nonce));
	ws_accept(key.p, accept);
	c->ws_key = key.p;
	int rc = client_request(c, rq, err);
	c->ws_key = NULL;
	if (rc || client_head(c, err))
		return -1;
	if (c->head.status != 101 || strcmp(c->head.accept, accept) != 0)
		return err_set(err, ERR_PROTOCOL, "%s did not switch to websocket", c->who);
	return 0;
}

int ws_open(struct ws *ws, struct client *c, const struct call *call, struct err *err)
{
	auto_buf target = BUF_INIT;
	struct request rq;
	*ws = (struct ws){ .fd = -1, .reader.part = BUF_INIT, .tx = BUF_INIT };
	if (client_of_call(call, &target, &rq, err))
		return -1;
	return ws_open_request(ws, c, &rq, err);
}

int ws_open_request(struct ws *ws, struct client *c, const struct request *rq, struct err *err)
{
	*ws = (struct ws){ .fd = -1, .reader.part = BUF_INIT, .tx = BUF_INIT };
	if (handshake(c, rq, err))
		return -1;
	ws->rx_cap = RX_START;
	ws->rx = mem_try(ws->rx_cap);
	if (!ws->rx)
		return err_set(err, ERR_LIMIT, "out of memory");
	ws->rx_len = c->rx_len - c->rx_off;
	memcpy(ws->rx, c->rx + c->rx_off, ws->rx_len);
	ws->fd = c->fd;
	c->fd = -1;
	client_close(c);
	return 0;
}

void ws_free(struct ws *ws)
{
	if (ws->fd >= 0)
		close(ws->fd);
	free(ws->rx);
	ws_reader_free(&ws->reader);
	buf_free(&ws->tx);
	*ws = (struct ws){ .fd = -1, .reader.part = BUF_INIT, .tx = BUF_INIT };
}

/* Room behind rx_len for the frame that is coming: move the rest to the front, or grow for a large frame. */
static int make_room(struct ws *ws, struct err *err)
{
	if (ws->rx_off == ws->rx_len)
		ws->rx_off = ws->rx_len = 0;
	if (ws->rx_off && (ws->rx_cap - ws->rx_len < RX_LOW || ws->rx_cap - ws->rx_off < ws->need)) {
		memmove(ws->rx, ws->rx + ws->rx_off, ws->rx_len - ws->rx_off);
		ws->rx_len -= ws->rx_off;
		ws->rx_off = 0;
	}
	if (ws->rx_cap - ws->rx_off >= ws->need && ws->rx_len < ws->rx_cap)
		return 0;
	size_t cap = ws->need + RX_LOW; /* need is bounded by WS_MESSAGE_MAX */
	uint8_t *rx = mem_try(cap);
	if (!rx)
		return err_set(err, ERR_LIMIT, "out of memory");
	memcpy(rx, ws->rx, ws->rx_len);
	free(ws->rx);
	ws->rx = rx;
	ws->rx_cap = cap;
	return 0;
}

int ws_fill(struct ws *ws, struct err *err)
{
	if (make_room(ws, err))
		return -1;
	ssize_t n = recv(ws->fd, ws->rx + ws->rx_len, ws->rx_cap - ws->rx_len, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	if (n < 0 && errno == ECONNRESET)
		return 0;
	if (n < 0)
		return err_sys(err, errno, "cannot receive from the daemon");
	ws->rx_len += (size_t)n;
	return n > 0;
}

int ws_next(struct ws *ws, struct ws_msg *msg, struct err *err)
{
	for (;;) {
		struct ws_input in = { .in = ws->rx + ws->rx_off, .n = ws->rx_len - ws->rx_off };
		int rc = ws_read(&ws->reader, &in, msg, err);
		ws->rx_off += in.used;
		ws->need = in.need;
		if (rc <= 0)
			return rc;
		if (msg->op == WS_PING)
			ws_queue(ws, WS_PONG, (struct ws_piece){ "", 0 }, (struct ws_piece){ msg->data, msg->len });
		else if (msg->op != WS_PONG)
			return 1;
	}
}

void ws_queue(struct ws *ws, enum ws_op op, struct ws_piece prefix, struct ws_piece data)
{
	ws_write(&ws->tx, op, prefix, data);
}

size_t ws_queued(const struct ws *ws)
{
	return ws->tx.len - ws->tx_off;
}

int ws_flush(struct ws *ws, struct err *err)
{
	if (buf_failed(&ws->tx))
		return err_set(err, ERR_LIMIT, "out of memory");
	while (ws_queued(ws)) {
		ssize_t n = send(ws->fd, ws->tx.p + ws->tx_off, ws_queued(ws), MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		/* a peer that closed may still have said why: reading finds out */
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			n = (ssize_t)ws_queued(ws);
		if (n < 0)
			return err_sys(err, errno, "cannot send to the daemon");
		ws->tx_off += (size_t)n;
	}
	if (!ws_queued(ws)) {
		buf_clear(&ws->tx);
		ws->tx_off = 0;
	}
	return 0;
}
