/*
 * agent dial: a stream that is a TCP connection to a port of this guest. It is a proc without a process: `in` and out[0] are
 * two descriptors of the one socket, so that each direction has its own readiness and its own end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/guest/agent.h"
#include "daemon/guest/text.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* A listener whose queue is full answers nothing. Less than the 10 s after which the host gives up. */
#define CONNECT_MS 8000

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* A loopback address only: what else the guest reaches is not for the host to find out. 0, or an errno. */
static int parse_host(const char *host, uint16_t port, union address *out)
{
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1 && ntohl(out->v4.sin_addr.s_addr) >> 24 == 127) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons(port);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1 && IN6_IS_ADDR_LOOPBACK(&out->v6.sin6_addr)) {
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = htons(port);
		return 0;
	}
	return EINVAL;
}

/* ---- the end ---- */

void dial_half_ended(struct proc *p)
{
	if (p->dial_sys)
		loop_close(&p->in);
	if (p->out[0].done && p->in.fd < 0)
		p->reaped = true;
}

void dial_end_input(struct proc *p)
{
	if (!p->started || p->in.fd < 0)
		return;
	shutdown(p->in.fd, SHUT_WR); /* fails when the peer is gone: then reading says so */
	loop_close(&p->in);
	dial_half_ended(p);
}

void dial_reset(struct proc *p)
{
	const struct linger at_once = { .l_onoff = 1 };

	if (!p->reaped && p->out[0].w.fd >= 0)
		setsockopt(p->out[0].w.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	p->reaped = true;
}

/* Before it stood: its one stream ends with an error. */
static void fail(struct agent *a, struct proc *p, int sys)
{
	char text[TEXT_ERRNO_MAX];

	/* closing the stream buries p */
	stream_fail(a, TAILQ_FIRST(&p->streams), sys, "%s: %s", p->command, text_errno(sys, text));
}

void dial_timeout(struct agent *a, struct proc *p)
{
	p->kill_at = 0;
	if (!p->started)
		fail(a, p, ETIMEDOUT);
}

/* ---- the start ---- */

static void on_writable(struct agent *a, void *owner, uint32_t events);

static void on_readable(struct agent *a, void *owner, uint32_t events)
{
	struct proc *p = owner;

	(void)a;
	(void)events;
	p->out[0].ready = true;
}

/* Both descriptors of the socket fd to the loop, which has them from then on even when this fails. */
static int watch(struct agent *a, struct proc *p, int fd)
{
	int twin = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	p->out[0].w = (struct watch){ .fd = fd, .ep = a->ep };
	if (twin < 0)
		return -1;
	if (loop_watch(a, &p->out[0].w, fd, on_readable, p)) {
		close(twin);
		return -1;
	}
	p->out[0].done = false;
	return loop_watch(a, &p->in, twin, on_writable, p);
}

/* Begin to connect. 0, or an errno with nothing left open. */
static int begin(struct agent *a, struct proc *p, const union address *to)
{
	socklen_t n = to->any.sa_family == AF_INET6 ? sizeof(to->v6) : sizeof(to->v4);
	int one = 1, fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), sys = errno;

	if (fd < 0)
		return sys;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* costs speed only */
	if (connect(fd, &to->any, n) && errno != EINPROGRESS) {
		sys = errno;
		close(fd);
		return sys;
	}
	if (watch(a, p, fd) == 0)
		return 0;
	sys = errno;
	loop_close(&p->in);
	loop_close(&p->out[0].w);
	return sys;
}

/* Nobody listens on 127.0.0.1: some servers take "localhost" for ::1 only. The first refusal stands when that fails as well. */
static void refused(struct agent *a, struct proc *p, int sys)
{
	union address to;
	uint16_t port = p->dial_again;

	p->dial_again = 0;
	loop_close(&p->in);
	loop_close(&p->out[0].w);
	if (sys != ECONNREFUSED || !port || parse_host("::1", port, &to) || begin(a, p, &to))
		fail(a, p, sys);
}

static void stands(struct agent *a, struct proc *p)
{
	struct stream *s = TAILQ_FIRST(&p->streams);

	p->started = true;
	p->kill_at = 0;
	stream_started(a, s, true);
	stream_feed(a, s);
	if (s->in_eof && !s->in.len)
		dial_end_input(p);
}

static void on_writable(struct agent *a, void *owner, uint32_t events)
{
	struct proc *p = owner;
	union address peer;
	socklen_t n = sizeof(peer);
	int sys = 0;
	socklen_t len = sizeof(sys);

	(void)events;
	if (p->dead)
		return;
	if (p->started) {
		stream_feed(a, TAILQ_FIRST(&p->streams));
		return;
	}
	if (getsockopt(p->in.fd, SOL_SOCKET, SO_ERROR, &sys, &len))
		sys = errno;
	if (sys)
		refused(a, p, sys);
	else if (getpeername(p->in.fd, &peer.any, &n) == 0) /* else the event was of an earlier attempt */
		stands(a, p);
}

void dial_open(struct agent *a, struct stream *s, struct rec r)
{
	uint64_t port = wire_rec_get_u64(r.p, r.n, WT_PORT, 0);
	auto_free char *host = wire_rec_get_str(r.p, r.n, WT_HOST);
	char text[TEXT_ERRNO_MAX];
	union address to;

	if (port < 1 || port > 65535 || parse_host(host ? host : "127.0.0.1", (uint16_t)port, &to)) {
		stream_fail(a, s, EINVAL, "not a port of this guest");
		return;
	}
	struct proc *p = proc_new(a, PROC_DIAL);
	if (!p) {
		stream_fail(a, s, EAGAIN, "too many processes and connections");
		return;
	}
	p->command = mem_printf("port %u", (unsigned)port);
	p->dial_again = host ? 0 : (uint16_t)port;
	int sys = begin(a, p, &to);
	if (sys == ECONNREFUSED && p->dial_again) {
		p->dial_again = 0;
		sys = parse_host("::1", (uint16_t)port, &to) || begin(a, p, &to) ? sys : 0;
	}
	if (sys) {
		stream_fail(a, s, sys, "%s: %s", p->command, text_errno(sys, text));
		proc_bury(a, p);
		return;
	}
	p->kill_at = clock_mono_ms() + CONNECT_MS;
	proc_attach(p, s);
}
