/*
 * What is read goes to the other side at once if that takes it; only the rest is kept, and no more is read until it has left. So an
 * idle pipe has no buffers, a busy one at most two, and back-pressure needs no marks.
 *
 * OpenSSL reads and writes the socket itself, through a BIO of ours that reads no more than BUDGET in one turn of the loop: what a
 * peer sends must not keep the whole daemon busy. It reads no further than the record that it needs, so that what is not data but
 * costs much more (key updates) can be stopped in the middle.
 */
#include "daemon/net/tls_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/net/dial.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/tcp.h"

enum {
	BUDGET = 64 << 10, /* bytes read from each side in one turn */
	LINGER_MS = 2000,  /* to hear a peer out: closing on what he sends would take from him what he was sent */
	KEEPALIVE_S = 30,  /* a machine that is gone is noticed after this, and three questions */
	KEEPALIVE_STEP_S = 10,
	KEEPALIVE_COUNT = 3,
	LAST_WORDS = 6,	   /* times the handshake's limit, for a peer to take what somebody wrote who has left */
	MESSAGES_MAX = 64, /* of TLS itself after the handshake: an honest peer has one for each 2^24 records (RFC 8446, 5.5) */
};

enum phase { DIALING, SHAKING, OPEN, LINGERING, OVER };

/* One direction. */
struct half {
	char *data; /* n bytes that the other side has not taken, the first `at` of them it has; NULL: nothing waits */
	size_t at, n;
	bool ended; /* nothing more comes from its source */
	bool shut;  /* and its target has been told, or is past telling */
	bool due;   /* what it waited for has come */
};

/* One of the two sockets. */
struct side {
	uv_poll_t poll;
	int fd, events;
	bool watched; /* poll is initialised and not closed */
	bool deaf;    /* waiting for its end only is of no use: it has something else to tell again and again */
};

struct tls_pipe {
	uv_loop_t *loop;
	struct tls_ctx *ctx;
	const struct tls_pipe_ops *ops;
	void *arg;
	enum phase phase;
	bool server;
	bool eof, net_ended; /* the socket's end has been read; or an error: nothing more to read */
	bool unheard;	     /* what comes for the plain side is dropped: nobody is there any more */
	bool left;	     /* he has closed his end */
	bool unsaid;	     /* the socket does not take any more; what it has to say before it ends may be the reason */
	int sys;	     /* errno of the socket */
	int in_wait;	     /* what reading, writing and the handshake wait for on the socket: UV_READABLE or UV_WRITABLE */
	int out_wait;
	unsigned handles, messages;
	size_t budget;
	int limit_ms;
	int64_t end_ms; /* of the handshake */
	SSL *ssl;
	struct half in, out; /* from the peer, to the peer */
	struct side net, plain;
	uv_timer_t timer; /* of the handshake; of the end */
	struct dial *dial;
	char *name; /* of the peer, in messages */
	char *host, *cn;
	struct tls_expect expect;
	struct err *why; /* it broke */
};

static void run(struct tls_pipe *p);

/* ---- the socket, as OpenSSL sees it ---- */

static int bio_read(BIO *bio, char *out, int n)
{
	struct tls_pipe *p = BIO_get_data(bio);
	size_t most = (size_t)n < p->budget ? (size_t)n : p->budget;
	BIO_clear_retry_flags(bio);
	ssize_t got = most ? recv(p->net.fd, out, most, 0) : -1;
	if (got > 0) {
		p->budget -= (size_t)got;
		return (int)got;
	}
	if (most == 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) {
		BIO_set_retry_read(bio);
		return -1;
	}
	p->net_ended = true;
	p->eof = got == 0;
	if (got < 0)
		p->sys = errno;
	return (int)got;
}

static int bio_write(BIO *bio, const char *data, int n)
{
	struct tls_pipe *p = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	ssize_t put = send(p->net.fd, data, (size_t)n, MSG_NOSIGNAL);
	if (put >= 0)
		return (int)put;
	if (errno == EAGAIN || errno == EINTR)
		BIO_set_retry_write(bio);
	else
		p->sys = errno;
	return -1;
}

/* OpenSSL shows each message; what it has taken up before this one costs no more than this one did. */
/* NOLINTNEXTLINE(readability-function-size): the prototype is OpenSSL's */
static void on_message(int sent, int version, int type, const void *data, size_t n, SSL *ssl, void *arg)
{
	struct tls_pipe *p = arg;
	(void)version;
	(void)data;
	(void)n;
	(void)ssl;
	if (!sent && type == SSL3_RT_HANDSHAKE && p->phase == OPEN && ++p->messages > MESSAGES_MAX)
		p->budget = 0;
}

static long bio_ctrl(BIO *bio, int what, long n, void *arg)
{
	const struct tls_pipe *p = BIO_get_data(bio);
	(void)n;
	(void)arg;
	return what == BIO_CTRL_FLUSH || (what == BIO_CTRL_EOF && p->eof);
}

static BIO *make_bio(struct tls_pipe *p)
{
	struct tls_ctx *ctx = p->ctx;
	if (!ctx->bio) {
		BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "sbx");
		if (!m || BIO_meth_set_read(m, bio_read) != 1 || BIO_meth_set_write(m, bio_write) != 1 ||
			BIO_meth_set_ctrl(m, bio_ctrl) != 1) {
			BIO_meth_free(m);
			return NULL;
		}
		ctx->bio = m;
	}
	BIO *bio = BIO_new(ctx->bio);
	if (bio) {
		BIO_set_data(bio, p);
		BIO_set_init(bio, 1);
	}
	return bio;
}

static int make_ssl(struct tls_pipe *p, struct err *err)
{
	BIO *bio = make_bio(p);
	p->ssl = bio ? SSL_new(p->ctx->ssl) : NULL;
	if (!p->ssl) {
		BIO_free(bio);
	} else {
		SSL_set_bio(p->ssl, bio, bio); /* it has it now */
		SSL_set_msg_callback(p->ssl, on_message);
		SSL_set_msg_callback_arg(p->ssl, p);
		if (p->server)
			SSL_set_accept_state(p->ssl);
		else
			SSL_set_connect_state(p->ssl);
		if (tls_peer_verify(p->ssl, p->ctx, p->server, p->host, &p->expect))
			return 0;
	}
	ERR_clear_error();
	return err_set(err, ERR_INTERNAL, "cannot set up TLS for '%s'", p->name);
}

/* ---- the end ---- */

static void release(struct tls_pipe *p)
{
	if (--p->handles > 0)
		return;
	tls_ctx_free(p->ctx);
	free(p->name);
	free(p->host);
	free(p->cn);
	free(p->why);
	free(p);
}

static void on_closed(uv_handle_t *h)
{
	release(h->data);
}

static void half_drop(struct half *h)
{
	free(h->data);
	h->data = NULL;
	h->at = h->n = 0;
}

static void side_close(struct side *s)
{
	if (s->watched)
		uv_close((uv_handle_t *)&s->poll, on_closed);
	s->watched = false;
	if (s->fd >= 0)
		close(s->fd); /* after its handle: see qemu.c, qmp_done */
	s->fd = -1;
}

static void finish(struct tls_pipe *p, bool tell)
{
	if (p->phase == OVER)
		return;
	p->phase = OVER;
	dial_cancel(p->dial);
	p->dial = NULL;
	SSL_free(p->ssl);
	p->ssl = NULL;
	half_drop(&p->in);
	half_drop(&p->out);
	side_close(&p->net);
	side_close(&p->plain);
	uv_close((uv_handle_t *)&p->timer, on_closed);
	if (tell)
		p->ops->on_end(p->arg, p->why);
}

void tls_pipe_cut(struct tls_pipe *p)
{
	finish(p, false);
}

static void on_linger(uv_timer_t *timer)
{
	finish(timer->data, true);
}

/* TLS is done with. What came is still delivered, and what comes is dropped, until the peer has closed, too. */
static void linger(struct tls_pipe *p)
{
	p->phase = LINGERING;
	p->in.ended = p->out.ended = p->out.shut = true;
	half_drop(&p->out);
	shutdown(p->net.fd, SHUT_WR);
	uv_timer_start(&p->timer, on_linger, LINGER_MS, 0);
}

static struct err *broken(struct tls_pipe *p)
{
	p->why = mem_zalloc(sizeof(*p->why));
	return p->why;
}

/* OpenSSL's call returned rc, and the connection is of no more use: find out why before anything else is done. */
static void explain(struct tls_pipe *p, int rc)
{
	struct err *why = broken(p);
	if (p->messages > MESSAGES_MAX) {
		err_set(why, ERR_PROTOCOL, "'%s' renews its keys all the time", p->name);
	} else if (p->sys && SSL_get_error(p->ssl, rc) != SSL_ERROR_SSL) {
		err_set(why, ERR_UNAVAILABLE, "connection with '%s' broke: %s", p->name,
			uv_strerror(uv_translate_sys_error(p->sys)));
		why->sys = p->sys;
	} else {
		tls_peer_failed(p->ssl, rc, p->phase == SHAKING, p->name, why);
	}
	ERR_clear_error();
}

/* ---- from the peer to the plain side ---- */

/* Did the other end close altogether, not just its half? Both directions of ours are down then (unix(7) has no other sign). */
static bool hung_up(const struct tls_pipe *p)
{
	struct pollfd fd = { .fd = p->plain.fd };
	return poll(&fd, 1, 0) == 1 && (fd.revents & POLLHUP);
}

/* Nobody reads there any more. */
static void unhear(struct tls_pipe *p)
{
	p->unheard = p->in.due = true;
	p->left = hung_up(p);
	half_drop(&p->in);
}

/* How much of it went out; the rest has to wait, or nobody wants it. */
static size_t tell_plain(struct tls_pipe *p, const char *data, size_t n)
{
	size_t at = 0;
	while (at < n && !p->unheard) {
		ssize_t put = send(p->plain.fd, data + at, n - at, MSG_NOSIGNAL);
		if (put >= 0)
			at += (size_t)put;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			unhear(p);
	}
	return p->unheard ? n : at;
}

static void half_keep(struct half *h, const char *data, size_t n)
{
	if (n == 0)
		return;
	h->data = mem_grow(NULL, n, 1);
	memcpy(h->data, data, n);
	h->at = 0;
	h->n = n;
}

static void half_took(struct half *h, size_t n)
{
	h->at += n;
	if (h->at == h->n)
		half_drop(h);
}

/* One helping, as large as OpenSSL has it. False: it has no more now. */
static bool hear(struct tls_pipe *p)
{
	char *scratch = p->ctx->scratch;
	size_t n = 0;
	int rc = 1;
	while (n < TLS_SCRATCH && rc > 0) {
		ERR_clear_error();
		rc = SSL_read(p->ssl, scratch + n, (int)(TLS_SCRATCH - n));
		n += rc > 0 ? (size_t)rc : 0;
	}
	int kind = rc > 0 ? SSL_ERROR_NONE : SSL_get_error(p->ssl, rc);
	bool waiting = kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE;
	if (p->messages > MESSAGES_MAX || (rc <= 0 && !waiting && kind != SSL_ERROR_ZERO_RETURN))
		explain(p, rc);
	else if (waiting)
		p->in_wait = kind == SSL_ERROR_WANT_READ ? UV_READABLE : UV_WRITABLE;
	else if (rc <= 0)
		p->in.ended = true;
	size_t put = tell_plain(p, scratch, n);
	half_keep(&p->in, scratch + put, n - put);
	if (p->why)
		linger(p);
	return rc > 0;
}

static void flush_plain(struct tls_pipe *p)
{
	if (p->in.data) {
		size_t put = tell_plain(p, p->in.data + p->in.at, p->in.n - p->in.at);
		if (!p->unheard)
			half_took(&p->in, put);
	}
	if (p->in.data || !p->in.ended || p->in.shut)
		return;
	p->in.shut = true;
	shutdown(p->plain.fd, SHUT_WR);
}

/* ---- from the plain side to the peer ---- */

/* The socket refuses. A peer that hangs up on us may have said why, and that is still to be read. */
static void unsay(struct tls_pipe *p)
{
	p->unsaid = p->out.ended = p->out.shut = true;
	half_drop(&p->out);
}

/* What a call that writes is waiting for; false: it never will. */
static bool waits(struct tls_pipe *p, int rc)
{
	int kind = SSL_get_error(p->ssl, rc);
	if (kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE)
		return false;
	p->out_wait = kind == SSL_ERROR_WANT_READ ? UV_READABLE : UV_WRITABLE;
	return true;
}

static size_t tell_net(struct tls_pipe *p, const char *data, size_t n)
{
	size_t at = 0;
	while (at < n) {
		ERR_clear_error();
		int rc = SSL_write(p->ssl, data + at, (int)(n - at));
		if (rc <= 0) {
			if (!waits(p, rc))
				unsay(p);
			break;
		}
		at += (size_t)rc;
	}
	return p->unsaid ? n : at;
}

/* One helping from the plain side. False: it has no more now. */
static bool listen_plain(struct tls_pipe *p, size_t *left)
{
	char *scratch = p->ctx->scratch;
	ssize_t n = recv(p->plain.fd, scratch, *left, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		p->out.ended = true;
		if (n < 0 || (!p->in.shut && hung_up(p)))
			unhear(p);
		return false;
	}
	*left -= (size_t)n;
	size_t put = tell_net(p, scratch, (size_t)n);
	if (!p->unsaid)
		half_keep(&p->out, scratch + put, (size_t)n - put);
	return true;
}

static void end_net(struct tls_pipe *p)
{
	ERR_clear_error();
	int rc = SSL_shutdown(p->ssl); /* again and again until it is out; once more, and it would read */
	if (rc >= 0)
		p->out.shut = true;
	else if (!waits(p, rc))
		unsay(p);
}

static void flush_net(struct tls_pipe *p)
{
	if (p->out.data) {
		size_t put = tell_net(p, p->out.data + p->out.at, p->out.n - p->out.at);
		if (!p->unsaid)
			half_took(&p->out, put);
	}
	if (!p->out.data && p->out.ended && !p->out.shut)
		end_net(p);
}

/* ---- all of it ---- */

static void carry_in(struct tls_pipe *p)
{
	p->in.due = false;
	flush_plain(p);
	while (p->phase == OPEN && !p->in.data && !p->in.ended && hear(p))
		;
	flush_plain(p);
}

static void carry_out(struct tls_pipe *p)
{
	size_t left = BUDGET;
	p->out.due = false;
	flush_net(p);
	while (left > 0 && !p->out.data && !p->out.ended && listen_plain(p, &left))
		;
	flush_net(p);
}

static void on_stuck(uv_timer_t *timer)
{
	struct tls_pipe *p = timer->data;
	err_set(broken(p), ERR_TIMEOUT, "'%s' does not read what it is sent", p->name);
	finish(p, true);
}

static void carry(struct tls_pipe *p)
{
	p->budget = BUDGET;
	if (p->in.due)
		carry_in(p);
	if (p->phase == OPEN && p->out.due)
		carry_out(p);
	if (p->phase == OPEN && p->unsaid) {
		carry_in(p);
		if (p->phase == OPEN && !p->in.data && p->budget > 0) {
			explain(p, -1);
			linger(p);
		}
	}
	if (p->phase != OPEN)
		return;
	if (p->out.shut && p->in.shut)
		finish(p, true);
	else if (p->out.shut && p->unheard)
		linger(p);
	else if (p->left && !uv_is_active((uv_handle_t *)&p->timer))
		uv_timer_start(&p->timer, on_stuck, (uint64_t)p->limit_ms * LAST_WORDS, 0);
}

/* The peer's last words, which nobody wants. */
static void drain(struct tls_pipe *p)
{
	flush_plain(p);
	for (size_t left = BUDGET; left > 0 && !p->net_ended;) {
		ssize_t n = recv(p->net.fd, p->ctx->scratch, left, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		p->net_ended = n <= 0;
		left -= n > 0 ? (size_t)n : 0;
	}
	if (p->net_ended && !p->in.data)
		finish(p, true);
}

static void on_limit(uv_timer_t *timer)
{
	struct tls_pipe *p = timer->data;
	err_set(broken(p), ERR_TIMEOUT, "the TLS handshake with '%s' took too long", p->name);
	finish(p, true);
}

static void shake(struct tls_pipe *p)
{
	p->budget = BUDGET;
	ERR_clear_error();
	int rc = SSL_do_handshake(p->ssl);
	if (rc != 1) {
		if (!waits(p, rc)) {
			explain(p, rc);
			linger(p);
		}
		return;
	}
	struct tls_peer peer;
	tls_peer_read(p->ssl, &peer);
	p->phase = OPEN;
	p->in_wait = UV_READABLE;
	p->in.due = p->out.due = true; /* of what has come already nobody tells */
	uv_timer_stop(&p->timer);
	if (p->ops->on_ready)
		p->ops->on_ready(p->arg, &peer);
}

/* ---- events ---- */

static void watch(struct side *s, int events, uv_poll_cb cb)
{
	if (!s->watched || s->events == events)
		return;
	s->events = events;
	if (events)
		uv_poll_start(&s->poll, events, cb);
	else
		uv_poll_stop(&s->poll);
}

static int net_events(const struct tls_pipe *p)
{
	if (p->phase == SHAKING)
		return p->out_wait;
	if (p->phase == LINGERING)
		return p->net_ended ? 0 : UV_READABLE;
	int events = !p->in.data && !p->in.ended ? p->in_wait : 0;
	if (p->out.data || (p->out.ended && !p->out.shut))
		events |= p->out_wait;
	/* it may be reset, which is told with whatever is asked for */
	if (!events && p->in.ended && !p->out.shut && !p->net.deaf)
		events = UV_PRIORITIZED;
	return events;
}

static int plain_events(const struct tls_pipe *p)
{
	if (p->phase == SHAKING)
		return 0;
	int events = p->in.data ? UV_WRITABLE : 0;
	if (!p->out.data && !p->out.ended)
		events |= UV_READABLE;
	/* otherwise only whether it has been closed, which is told with whatever is asked for */
	if (!events && p->phase == OPEN && !p->in.shut && !p->left && !p->plain.deaf)
		events = UV_PRIORITIZED;
	return events;
}

static void on_net(uv_poll_t *poll, int status, int events)
{
	struct tls_pipe *p = poll->data;
	if (status < 0)
		p->net.events = 0; /* libuv has stopped; what it is, the next call on the socket says */
	if (p->phase == OPEN && p->in.ended && (status < 0 || (events & UV_PRIORITIZED))) {
		socklen_t n = sizeof(p->sys);
		p->net.deaf = true;
		if (getsockopt(p->net.fd, SOL_SOCKET, SO_ERROR, &p->sys, &n) == 0 && p->sys)
			unsay(p);
	}
	p->in.due |= status < 0 || (events & p->in_wait);
	p->out.due |= status < 0 || (events & p->out_wait);
	run(p);
}

static void on_plain(uv_poll_t *poll, int status, int events)
{
	struct tls_pipe *p = poll->data;
	if (status < 0)
		p->plain.events = 0;
	if (status < 0 || (events & UV_PRIORITIZED)) {
		if (hung_up(p) && !p->in.shut)
			unhear(p);
		else
			p->plain.deaf = true;
	}
	p->in.due |= status < 0 || (events & UV_WRITABLE);
	p->out.due |= status < 0 || (events & UV_READABLE);
	run(p);
}

static void run(struct tls_pipe *p)
{
	if (p->phase == SHAKING)
		shake(p);
	if (p->phase == OPEN)
		carry(p);
	if (p->phase == LINGERING)
		drain(p);
	if (p->phase == OVER)
		return;
	watch(&p->net, net_events(p), on_net);
	watch(&p->plain, plain_events(p), on_plain);
}

/* ---- the beginning ---- */

static int side_open(struct tls_pipe *p, struct side *s, int fd, struct err *err)
{
	int rc = uv_poll_init(p->loop, &s->poll, fd);
	if (rc < 0)
		return err_sys(err, -rc, "cannot watch a connection");
	s->poll.data = p;
	s->fd = fd;
	s->watched = true;
	p->handles++;
	return 0;
}

static void set_option(int fd, int level, int what, int value)
{
	(void)setsockopt(fd, level, what, &value, sizeof(value)); /* without them it works, too */
}

/* Take the connected socket and begin. */
static int open_net(struct tls_pipe *p, int fd, struct err *err)
{
	if (side_open(p, &p->net, fd, err)) {
		close(fd);
		return -1;
	}
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_STEP_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
	if (make_ssl(p, err))
		return -1;
	int64_t left = p->end_ms - clock_mono_ms();
	p->phase = SHAKING;
	p->out_wait = p->server ? UV_READABLE : UV_WRITABLE;
	uv_timer_start(&p->timer, on_limit, left > 0 ? (uint64_t)left : 0, 0);
	watch(&p->net, p->out_wait, on_net);
	return 0;
}

static struct tls_pipe *start(uv_loop_t *loop, const struct tls_pipe_spec *spec, bool server, int plain, struct err *err)
{
	const struct tls_ctx *ctx = spec->ctx;
	struct tls_pipe *p = mem_zalloc(sizeof(*p));
	int limit = spec->limit_ms ? spec->limit_ms : TLS_PIPE_LIMIT_MS;
	*p = (struct tls_pipe){ .loop = loop,
		.ctx = spec->ctx,
		.ops = spec->ops,
		.arg = spec->arg,
		.server = server,
		.handles = 1,
		.limit_ms = limit,
		.end_ms = clock_mono_ms() + limit,
		.net = { .fd = -1 },
		.plain = { .fd = -1 },
		.cn = spec->peer ? mem_strdup(spec->peer) : NULL };
	p->expect.cn = p->cn;
	p->ctx->refs++;
	uv_timer_init(loop, &p->timer);
	p->timer.data = p;
	if (server ? !ctx->certified : !ctx->anchored)
		err_set(err, ERR_INTERNAL, server ? "a TLS server needs a certificate" : "a TLS client needs an authority");
	else if (server && spec->peer && !ctx->anchored)
		err_set(err, ERR_INTERNAL, "who has no authority cannot tell its clients apart");
	else if (side_open(p, &p->plain, plain, err) == 0)
		return p;
	close(plain);
	finish(p, false);
	return NULL;
}

static char *name_of(int fd)
{
	struct sockaddr_storage a = { .ss_family = AF_UNSPEC };
	socklen_t n = sizeof(a);
	char ip[INET6_ADDRSTRLEN];
	if (getpeername(fd, (struct sockaddr *)&a, &n) == 0 && a.ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a;
		if (uv_ip4_name(v4, ip, sizeof(ip)) == 0)
			return tcp_address(ip, ntohs(v4->sin_port));
	} else if (a.ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a;
		if (uv_ip6_name(v6, ip, sizeof(ip)) == 0)
			return tcp_address(ip, ntohs(v6->sin6_port));
	}
	return mem_strdup("client");
}

struct tls_pipe *tls_pipe_accept(uv_loop_t *loop, const struct tls_pipe_spec *spec, int fd, int plain, struct err *err)
{
	struct tls_pipe *p = start(loop, spec, true, plain, err);
	if (!p) {
		close(fd);
		return NULL;
	}
	p->name = name_of(fd);
	if (open_net(p, fd, err) == 0)
		return p;
	finish(p, false);
	return NULL;
}

static void on_dialed(void *arg, int fd, const struct err *why)
{
	struct tls_pipe *p = arg;
	p->dial = NULL;
	if (fd < 0) {
		*broken(p) = *why;
		finish(p, true);
		return;
	}
	struct err err = ERR_INIT;
	if (open_net(p, fd, &err)) {
		*broken(p) = err;
		finish(p, true);
	}
}

struct tls_pipe *tls_pipe_connect(
	uv_loop_t *loop, const struct tls_pipe_spec *spec, const char *address, int plain, struct err *err)
{
	struct tls_pipe *p = start(loop, spec, false, plain, err);
	if (!p)
		return NULL;
	int port = 0;
	p->name = mem_strdup(address);
	p->dial = tcp_split(address, &p->host, &port, err) ? NULL : dial_start(loop, address, p->limit_ms, on_dialed, p, err);
	if (p->dial)
		return p;
	finish(p, false);
	return NULL;
}

int tls_pipe_pair(int ends[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0)
		return 0;
	return err_sys(err, errno, "cannot make a pair of sockets");
}
