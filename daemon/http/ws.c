/*
 * WebSockets. wslay reads: it checks frames, unmasks, assembles and answers pings. Frames to the client are written here: wslay
 * copies each message into its queue and from there in pieces of 4 KiB, while an unmasked frame is a header of 2 to 10 bytes in
 * front of the caller's bytes and can go to the socket with one sendmsg and no copy.
 *
 * Small messages are gathered and leave at the loop's bottom; a large one takes along what was gathered.
 *
 * The socket is taken over from MHD, by a duplicate of its descriptor: MHD's part of an upgraded connection, which it would keep to
 * the end, is 44 KiB.
 */
#include "daemon/http/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"

#define DIRECT_MIN ((size_t)4096)
#define READS_AT_ONCE 4
#define HEADER_MAX 11 /* 10 and the channel byte */

enum ws_state {
	WS_PENDING, /* the 101 is not out yet */
	WS_OPEN,
	WS_CLOSING, /* our close frame is queued or sent, or the peer's came */
	WS_DONE,
};

/* A data frame that has not entirely left. */
struct mark {
	uint64_t wire_end; /* in bytes on the wire since the start */
	uint64_t app_end;  /* in bytes of application data */
};

struct ws {
	struct ws *next, **pprev;
	struct ws *next_dirty;
	struct http_server *s;
	const struct ws_ops *ops;
	void *arg;
	int fd;
	struct MHD_UpgradeResponseHandle *urh; /* NULL: MHD has let go of it */
	bool own;			       /* fd is the duplicate */
	uv_poll_t poll;
	uv_timer_t timer;	    /* the next of ping_at and alarm_at; in the end the limit of the close */
	uint64_t ping_at, alarm_at; /* loop time; alarm_at 0 = none */
	unsigned handles;
	wslay_event_context_ptr ctx;
	enum ws_state state;
	bool dirty, broken, blocked, drain_due, held;
	bool close_sent, peer_closed, shut, timer_closing;
	struct outq out;
	struct mark *marks;
	size_t mark_head, mark_count, mark_cap;
	uint64_t wire_queued, wire_sent, app_queued, app_sent;
	uint64_t heard;	  /* loop time */
	int watching;	  /* events of `poll`; setting them again would cost three system calls */
	struct buf early; /* what came with the upgrade request */
	const uint8_t *in;
	size_t in_len;
};

static void make_dirty(struct ws *ws)
{
	if (!ws->dirty) {
		ws->dirty = true;
		ws->next_dirty = ws->s->dirty;
		ws->s->dirty = ws;
	}
	server_kick(ws->s);
}

void ws_break(struct ws *ws)
{
	ws->broken = true;
	make_dirty(ws);
}

/* ---- the end ---- */

static void release(struct ws *ws)
{
	struct http_server *s = ws->s;
	for (struct ws **p = &s->dirty; *p; p = &(*p)->next_dirty) {
		if (*p == ws) {
			*p = ws->next_dirty;
			break;
		}
	}
	*ws->pprev = ws->next;
	if (ws->next)
		ws->next->pprev = ws->pprev;
	if (ws->urh)
		MHD_upgrade_action(ws->urh, MHD_UPGRADE_ACTION_CLOSE); /* closes its descriptor */
	else if (ws->fd >= 0)
		server_connection_closed(s);
	if (ws->own)
		close(ws->fd);
	wslay_event_context_free(ws->ctx);
	buf_free(&ws->out.b);
	buf_free(&ws->early);
	free(ws->marks);
	free(ws);
	server_kick(s);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct ws *ws = handle->data;
	struct http_server *s = ws->s;
	if (--ws->handles == 0)
		release(ws);
	server_handle_closed(s);
}

/* on_close and out of the loop. Only from the loop's bottom and from our own handles, never from inside ws_send or ws_close. */
static void finish(struct ws *ws)
{
	if (ws->state == WS_DONE)
		return;
	ws->state = WS_DONE;
	if (ws->fd >= 0)
		shutdown(ws->fd, SHUT_RDWR);
	if (ws->ops->on_close)
		ws->ops->on_close(ws->arg, ws);
	if (ws->handles == 0) {
		release(ws);
		return;
	}
	if (ws->handles == 2)
		uv_close((uv_handle_t *)&ws->poll, on_handle_closed);
	uv_close((uv_handle_t *)&ws->timer, on_handle_closed);
}

/* ---- out ---- */

static void add_mark(struct ws *ws)
{
	if (ws->mark_head + ws->mark_count == ws->mark_cap) {
		if (ws->mark_head > ws->mark_cap / 2) {
			memmove(ws->marks, ws->marks + ws->mark_head, ws->mark_count * sizeof(*ws->marks));
			ws->mark_head = 0;
		} else {
			ws->mark_cap = ws->mark_cap ? 2 * ws->mark_cap : 16;
			ws->marks = mem_grow(ws->marks, ws->mark_cap, sizeof(*ws->marks));
		}
	}
	ws->marks[ws->mark_head + ws->mark_count++] = (struct mark){ ws->wire_queued, ws->app_queued };
}

static void advance(struct ws *ws, size_t n)
{
	ws->wire_sent += n;
	while (ws->mark_count > 0 && ws->marks[ws->mark_head].wire_end <= ws->wire_sent) {
		ws->app_sent = ws->marks[ws->mark_head].app_end;
		ws->mark_head++;
		ws->mark_count--;
	}
	if (ws->mark_count == 0)
		ws->mark_head = 0;
}

/* One sendmsg. The bytes that left; 0 when the socket is full or broken (both noted). */
static size_t send_some(struct ws *ws, struct iovec *iov, size_t count)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = count };
	ssize_t n;
	do {
		n = sendmsg(ws->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n >= 0) {
		advance(ws, (size_t)n);
		return (size_t)n;
	}
	ws->blocked = true;
	if (errno == EAGAIN)
		make_dirty(ws); /* to have the socket watched for room */
	else
		ws_break(ws);
	return 0;
}

static size_t frame_header(uint8_t out[HEADER_MAX], uint8_t opcode, uint64_t n)
{
	out[0] = (uint8_t)(0x80u | opcode);
	if (n < 126) {
		out[1] = (uint8_t)n;
		return 2;
	}
	if (n <= UINT16_MAX) {
		out[1] = 126;
		out[2] = (uint8_t)(n >> 8);
		out[3] = (uint8_t)n;
		return 4;
	}
	out[1] = 127;
	for (unsigned i = 0; i < 8; i++)
		out[2 + i] = (uint8_t)(n >> (56 - 8 * i));
	return 10;
}

static void append(struct ws *ws, const void *data, size_t n)
{
	buf_add(&ws->out.b, data, n);
	if (buf_failed(&ws->out.b))
		ws_break(ws);
}

/* What is queued, header and data: send at once what can be, queue the rest. */
static void emit(struct ws *ws, const uint8_t *header, size_t header_len, const void *data, size_t n)
{
	size_t gathered = outq_len(&ws->out);
	size_t sent = 0;
	if (ws->state == WS_OPEN && !ws->blocked && n >= DIRECT_MIN) {
		struct iovec iov[3] = {
			{ ws->out.b.p + ws->out.head, gathered },
			{ (void *)(uintptr_t)header, header_len },
			{ (void *)(uintptr_t)data, n },
		};
		sent = send_some(ws, iov, 3);
	}
	size_t k = sent < gathered ? sent : gathered;
	outq_drop(&ws->out, k);
	sent -= k;
	k = sent < header_len ? sent : header_len;
	append(ws, header + k, header_len - k);
	sent -= k;
	if (sent < n)
		append(ws, (const char *)data + sent, n - sent);
	size_t queued = outq_len(&ws->out);
	if (queued > 0) {
		ws->drain_due = true;
		if (!ws->blocked)
			make_dirty(ws);
	}
}

static size_t send_data(struct ws *ws, uint8_t opcode, const uint8_t *channel, const void *data, size_t n)
{
	if (ws->state > WS_OPEN || ws->close_sent || ws->broken)
		return outq_len(&ws->out);
	uint8_t header[HEADER_MAX];
	size_t len = frame_header(header, opcode, n + (channel ? 1 : 0));
	if (channel)
		header[len++] = *channel;
	ws->wire_queued += len + n;
	ws->app_queued += n;
	add_mark(ws);
	emit(ws, header, len, data, n);
	return outq_len(&ws->out);
}

size_t ws_send(struct ws *ws, bool text, const void *data, size_t n)
{
	return send_data(ws, text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, NULL, data, n);
}

size_t ws_send_channel(struct ws *ws, uint8_t channel, const void *data, size_t n)
{
	return send_data(ws, WSLAY_BINARY_FRAME, &channel, data, n);
}

size_t ws_queued(const struct ws *ws)
{
	return outq_len(&ws->out);
}

uint64_t ws_sent(const struct ws *ws)
{
	return ws->app_sent;
}

static void send_control(struct ws *ws, uint8_t opcode, const void *data, size_t n)
{
	uint8_t header[HEADER_MAX];
	size_t len = frame_header(header, opcode, n);
	ws->wire_queued += len + n;
	emit(ws, header, len, data, n);
}

void ws_close(struct ws *ws, int code, const char *reason)
{
	if (ws->state > WS_OPEN || ws->close_sent || ws->broken)
		return;
	uint8_t payload[125] = { (uint8_t)(code >> 8), (uint8_t)code };
	size_t n = reason ? strlen(reason) : 0;
	/* cut at a character */
	size_t fit = 0;
	for (size_t k; fit < n && (k = utf8_len(reason + fit, n - fit)) > 0 && fit + k <= sizeof(payload) - 2;)
		fit += k;
	if (fit > 0)
		memcpy(payload + 2, reason, fit);
	send_control(ws, WSLAY_CONNECTION_CLOSE, payload, fit + 2);
	ws->close_sent = true;
	if (ws->state == WS_OPEN)
		ws->state = WS_CLOSING;
	make_dirty(ws);
}

/* ---- in ---- */

static ssize_t on_wslay_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *arg)
{
	struct ws *ws = arg;
	(void)flags;
	if (ws->in_len == 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	size_t n = len < ws->in_len ? len : ws->in_len;
	memcpy(buf, ws->in, n);
	ws->in += n;
	ws->in_len -= n;
	return (ssize_t)n;
}

/* Control frames that wslay makes of itself: pongs, and the close it answers or refuses with. */
static ssize_t on_wslay_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *arg)
{
	struct ws *ws = arg;
	(void)ctx;
	(void)flags;
	if (ws->close_sent)
		return (ssize_t)len; /* nothing may follow our close frame */
	ws->wire_queued += len;
	append(ws, data, len);
	make_dirty(ws);
	return (ssize_t)len;
}

static void on_wslay_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *m, void *arg)
{
	struct ws *ws = arg;
	(void)ctx;
	if (ws->state != WS_OPEN || ws->broken || wslay_is_ctrl_frame(m->opcode))
		return;
	if (ws->ops->on_message)
		ws->ops->on_message(ws->arg, ws, m->opcode == WSLAY_TEXT_FRAME, m->msg, m->msg_length);
}

void ws_feed(struct ws *ws, const void *data, size_t n)
{
	ws->heard = uv_now(ws->s->loop);
	if (ws->state == WS_DONE || !wslay_event_get_read_enabled(ws->ctx))
		return;
	ws->in = data;
	ws->in_len = n;
	/* wslay gives no close code for frames that it cannot even take apart; our callbacks do not fail */
	int rc = wslay_event_recv(ws->ctx);
	if (rc == WSLAY_ERR_NOMEM)
		ws_break(ws);
	else if (rc != 0)
		ws_close(ws, WSLAY_CODE_PROTOCOL_ERROR, NULL);
	ws->in_len = 0;
	ws->peer_closed = wslay_event_get_close_received(ws->ctx) != 0;
	if (wslay_event_send(ws->ctx) != 0)
		ws_break(ws);
	ws->close_sent |= wslay_event_get_close_sent(ws->ctx) != 0;
	if ((ws->peer_closed || ws->close_sent) && ws->state == WS_OPEN) {
		ws->state = WS_CLOSING;
		make_dirty(ws);
	}
}

/* ---- the loop ---- */

static void watch(struct ws *ws);

static void on_close_limit(uv_timer_t *timer)
{
	finish(timer->data);
}

/* Everything has left in WS_CLOSING: done when the peer has closed too; else he gets a moment to do so. */
static void close_step(struct ws *ws)
{
	if (outq_len(&ws->out) > 0)
		return;
	if (ws->close_sent && ws->peer_closed) {
		finish(ws);
		return;
	}
	/* a peer that we refuse is not listened to any more: say so, but let him read why */
	if (!ws->shut && !wslay_event_get_read_enabled(ws->ctx)) {
		ws->shut = true;
		shutdown(ws->fd, SHUT_WR);
	}
	if (!ws->timer_closing) {
		ws->timer_closing = true;
		uv_timer_start(&ws->timer, on_close_limit, ws->s->times.close, 0);
	}
}

static void flush(struct ws *ws)
{
	size_t before = outq_len(&ws->out);
	while (outq_len(&ws->out) > 0 && !ws->blocked && !ws->broken) {
		struct iovec iov = { ws->out.b.p + ws->out.head, outq_len(&ws->out) };
		outq_drop(&ws->out, send_some(ws, &iov, 1));
	}
	if (ws->drain_due && ws->state == WS_OPEN && !ws->broken && outq_len(&ws->out) < HTTP_LOW && outq_len(&ws->out) < before) {
		ws->drain_due = false;
		if (ws->ops->on_drain)
			ws->ops->on_drain(ws->arg, ws);
	}
}

/* Bring a socket up to date: what came early, what is to be sent, the end. May free ws. */
static void run(struct ws *ws)
{
	if (ws->state == WS_DONE)
		return;
	if (ws->state == WS_PENDING) {
		if (ws->broken)
			finish(ws);
		return;
	}
	if (ws->own && ws->urh) {
		MHD_upgrade_action(ws->urh, MHD_UPGRADE_ACTION_CLOSE);
		ws->urh = NULL;
		ws->s->connections++; /* it counts this one out */
		server_kick(ws->s);
	}
	if (ws->early.len > 0) {
		struct buf early = ws->early;
		buf_init(&ws->early);
		ws_feed(ws, early.p, early.len);
		buf_free(&early);
	}
	if (!ws->broken)
		flush(ws);
	if (ws->broken)
		finish(ws);
	else if (ws->state == WS_CLOSING)
		close_step(ws);
	if (ws->state != WS_DONE)
		watch(ws);
}

void ws_run_dirty(struct http_server *s)
{
	/* what gets dirty meanwhile is for the next time, so that nobody can keep the loop here */
	struct ws *list = s->dirty;
	s->dirty = NULL;
	while (list) {
		struct ws *ws = list;
		list = ws->next_dirty;
		ws->next_dirty = NULL;
		ws->dirty = false;
		run(ws);
	}
}

static void read_some(struct ws *ws)
{
	for (int i = 0; i < READS_AT_ONCE && ws->state != WS_DONE && !ws->broken && !ws->held; i++) {
		ssize_t n = recv(ws->fd, ws->s->scratch, HTTP_SCRATCH, MSG_DONTWAIT);
		if (n > 0)
			ws_feed(ws, ws->s->scratch, (size_t)n);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			ws_break(ws);
		if (n < (ssize_t)HTTP_SCRATCH)
			break;
	}
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
	struct ws *ws = poll->data;
	if (status < 0) {
		ws_break(ws);
		return;
	}
	if (events & UV_WRITABLE)
		ws->blocked = false;
	if (events & UV_READABLE)
		read_some(ws);
	run(ws);
}

static void watch(struct ws *ws)
{
	int events = 0;
	if (outq_len(&ws->out) < WS_STOP_READING && !ws->held)
		events |= UV_READABLE;
	if (ws->blocked)
		events |= UV_WRITABLE;
	if (events == ws->watching)
		return;
	ws->watching = events;
	if (events == 0)
		uv_poll_stop(&ws->poll);
	else
		uv_poll_start(&ws->poll, events, on_socket);
}

/* A peer that does not read (a pager downstream) answers no pings either, and lives: he is given up only when all that we
 * sent was taken. On TCP the kernel takes it for him, and gives him up itself when his machine is gone. */
static bool unread(const struct ws *ws)
{
	int n = 0;
	return outq_len(&ws->out) > 0 || (ioctl(ws->fd, SIOCOUTQ, &n) == 0 && n > 0);
}

/* False when it was given up. */
static bool ping(struct ws *ws)
{
	uint64_t silent = uv_now(ws->s->loop) - ws->heard;
	if (silent >= ws->s->times.dead && !ws->held && !unread(ws)) {
		log_debug("http", "gave up on a silent websocket");
		finish(ws);
		return false;
	}
	if (ws->state == WS_OPEN && !ws->blocked)
		send_control(ws, WSLAY_PING, NULL, 0);
	return true;
}

static void arm(struct ws *ws);

static void on_timer(uv_timer_t *timer)
{
	struct ws *ws = timer->data;
	uint64_t now = uv_now(ws->s->loop);
	bool alarm = ws->alarm_at && ws->alarm_at <= now;
	if (ws->ping_at <= now) {
		ws->ping_at = now + ws->s->times.ping;
		if (!ping(ws))
			return;
	}
	if (alarm) {
		ws->alarm_at = 0;
		if (ws->state == WS_OPEN && ws->ops->on_alarm)
			ws->ops->on_alarm(ws->arg, ws);
	}
	arm(ws);
}

static void arm(struct ws *ws)
{
	if (ws->handles == 0 || ws->timer_closing || ws->state == WS_DONE)
		return;
	uint64_t now = uv_now(ws->s->loop), at = ws->alarm_at && ws->alarm_at < ws->ping_at ? ws->alarm_at : ws->ping_at;
	uv_timer_start(&ws->timer, on_timer, at > now ? at - now : 0, 0);
}

void ws_alarm(struct ws *ws, uint64_t ms)
{
	ws->alarm_at = ms ? uv_now(ws->s->loop) + ms : 0;
	arm(ws);
}

void ws_hold(struct ws *ws, bool hold)
{
	if (ws->held == hold)
		return;
	ws->held = hold;
	ws->heard = uv_now(ws->s->loop);
	make_dirty(ws);
}

/* ---- the beginning ---- */

struct ws *ws_new(struct http_server *s, const struct ws_ops *ops, void *arg)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = on_wslay_recv,
		.send_callback = on_wslay_send,
		.on_msg_recv_callback = on_wslay_message,
	};
	struct ws *ws = mem_zalloc(sizeof(*ws));
	if (wslay_event_context_server_init(&ws->ctx, &callbacks, ws) != 0) {
		free(ws);
		return NULL;
	}
	wslay_event_config_set_max_recv_msg_length(ws->ctx, WS_MAX_MESSAGE);
	ws->s = s;
	ws->ops = ops;
	ws->arg = arg;
	ws->fd = -1;
	buf_init(&ws->out.b);
	buf_init(&ws->early);
	ws->next = s->sockets;
	ws->pprev = &s->sockets;
	if (ws->next)
		ws->next->pprev = &ws->next;
	s->sockets = ws;
	return ws;
}

/* NOLINTNEXTLINE(readability-function-size): the prototype is MHD's */
void ws_upgraded(void *cls, struct MHD_Connection *conn, void *ctx, const char *extra, size_t n, MHD_socket fd,
	struct MHD_UpgradeResponseHandle *urh)
{
	struct http_req *r = cls;
	struct ws *ws = r->ws;
	(void)conn;
	(void)ctx;
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* fails on a Unix socket, which needs none */
	ws->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	ws->own = ws->fd >= 0;
	if (!ws->own)
		ws->fd = fd;
	ws->urh = urh;
	ws->heard = uv_now(ws->s->loop);
	ws->ping_at = ws->heard + ws->s->times.ping;
	uv_timer_init(ws->s->loop, &ws->timer);
	ws->timer.data = ws->poll.data = ws;
	ws->broken = uv_poll_init(ws->s->loop, &ws->poll, ws->fd) != 0;
	ws->handles = ws->broken ? 1 : 2;
	ws->s->handles += ws->handles;
	arm(ws);
	buf_add(&ws->early, extra, n);
	if (buf_failed(&ws->early) || ws->s->closing)
		ws->broken = true;
	ws->state = ws->close_sent ? WS_CLOSING : WS_OPEN;
	r->upgraded = true;
	r->ws = NULL;
	req_over(r, true);
	make_dirty(ws);
}

static bool handshake_ok(struct http_req *r, char accept[WS_ACCEPT_LEN + 1], struct err *err)
{
	const char *version = http_header(r, "Sec-WebSocket-Version");
	if (!r->http11 || r->head || !check_token(http_header(r, "Upgrade"), "websocket") ||
		!check_token(http_header(r, "Connection"), "upgrade"))
		err_set(err, ERR_INVALID, "this is a WebSocket: an upgrade request is needed");
	else if (!version || strcmp(version, "13") != 0)
		err_set(err, ERR_INVALID, "'Sec-WebSocket-Version' must be 13");
	else if (!check_ws_key(http_header(r, "Sec-WebSocket-Key"), accept))
		err_set(err, ERR_INVALID, "'Sec-WebSocket-Key' is missing or malformed");
	else
		return true;
	return false;
}

struct ws *http_upgrade(struct http_req *r, const struct ws_ops *ops, void *arg)
{
	struct err e;
	char accept[WS_ACCEPT_LEN + 1];
	err_clear(&e);
	if (r->a.set || r->dead)
		return NULL;
	if (!handshake_ok(r, accept, &e)) {
		http_add_header(r, "Sec-WebSocket-Version", "13");
		http_reply_err(r, &e);
		return NULL;
	}
	struct ws *ws = ws_new(r->s, ops, arg);
	if (!ws) {
		err_set(&e, ERR_UNAVAILABLE, "no memory for a WebSocket");
		http_reply_err(r, &e);
		return NULL;
	}
	r->ws = ws;
	http_add_header(r, "Upgrade", "websocket");
	http_add_header(r, "Sec-WebSocket-Accept", accept);
	r->a.set = true;
	r->a.ws = true;
	r->a.status = 101;
	req_answered(r);
	return ws;
}

void ws_shutdown_all(struct http_server *s)
{
	for (struct ws *ws = s->sockets; ws; ws = ws->next) {
		if (ws->state == WS_PENDING)
			continue; /* goes with its request */
		ws_close(ws, WSLAY_CODE_GOING_AWAY, "the daemon is stopping");
		if (!ws->blocked)
			flush(ws);
		ws_break(ws);
	}
}
