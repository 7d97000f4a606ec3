#include "cli/endpoint/https.h"

#include <errno.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/endpoint/carrier.h"
#include "cli/endpoint/proxy.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/tls.h"

#define START_MS 60000
#define HANDSHAKE_MS 15000
#define LAST_MS 2000 /* to send what a parent that has gone left */
#define CHUNK ((size_t)32 * 1024)

/* Bytes on their way in one direction. */
struct lane {
	char *p;
	size_t off, len;
	bool ended;  /* no more will come */
	bool passed; /* and that has been passed on, or nobody takes any */
};

struct pump {
	struct tls *tls;
	int net, pair;
	struct lane up, down;	    /* parent to network, network to parent */
	short up_wants, down_wants; /* what TLS waits for */
	bool parent_gone;
};

static bool is_empty(const struct lane *l)
{
	return l->off == l->len;
}

static void fill(struct lane *l, size_t n)
{
	l->off = 0;
	l->len = n;
}

/* The parent's bytes towards the network. True when something moved. */
static bool move_up(struct pump *m)
{
	struct lane *l = &m->up;
	bool moved = false;
	if (is_empty(l) && !l->ended) {
		ssize_t n = recv(m->pair, l->p, CHUNK, MSG_DONTWAIT);
		l->ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
		fill(l, n > 0 ? (size_t)n : 0);
		moved = n >= 0;
	}
	m->up_wants = 0;
	if (!is_empty(l) && l->passed) {
		fill(l, 0); /* as a reset connection would */
		return true;
	}
	if (!is_empty(l)) {
		ssize_t n = tls_write(m->tls, l->p + l->off, l->len - l->off, &m->up_wants);
		if (n > 0)
			l->off += (size_t)n;
		l->passed = n == TLS_BROKEN;
		return moved || n != TLS_WAIT;
	}
	if (l->ended && !l->passed) {
		tls_end(m->tls);
		l->passed = true;
	}
	return moved;
}

/* The network's bytes towards the parent. */
static bool move_down(struct pump *m)
{
	struct lane *l = &m->down;
	bool moved = false;
	m->down_wants = 0;
	if (is_empty(l) && !l->ended) {
		ssize_t n = tls_read(m->tls, l->p, CHUNK, &m->down_wants);
		l->ended = n == 0 || n == TLS_BROKEN;
		fill(l, n > 0 ? (size_t)n : 0);
		moved = n != TLS_WAIT;
	}
	if (!is_empty(l)) {
		ssize_t n = send(m->pair, l->p + l->off, l->len - l->off, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			l->off += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			m->parent_gone = true;
		return moved || n > 0;
	}
	if (l->ended && !l->passed) {
		(void)shutdown(m->pair, SHUT_WR); /* fails only when the parent has gone, which poll tells */
		l->passed = true;
	}
	return moved;
}

static void wait_more(struct pump *m)
{
	short net = m->up_wants | m->down_wants;
	struct pollfd p[2] = {
		/* without a wish it is left out: its end would be reported again and again */
		{ .fd = net ? m->net : -1, .events = net },
		{ .fd = m->pair, .events = (is_empty(&m->up) && !m->up.ended ? POLLIN : 0) | (is_empty(&m->down) ? 0 : POLLOUT) },
	};
	if (poll(p, 2, -1) > 0 && (p[1].revents & (POLLHUP | POLLERR)))
		m->parent_gone = true;
}

/* The parent has closed its end: send what it said last, and the end. */
static void finish(struct pump *m)
{
	int64_t end = clock_mono_ms() + LAST_MS;
	while (!m->up.passed) {
		if (move_up(m) || m->up.passed)
			continue;
		int64_t left = end - clock_mono_ms();
		struct pollfd p = { .fd = m->net, .events = m->up_wants };
		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			return;
	}
}

static void pump(struct pump *m)
{
	m->up.p = mem_array(1, CHUNK);
	m->down.p = mem_array(1, CHUNK);
	while (!m->parent_gone) {
		/* both, always: neither direction waits for the other */
		bool up = move_up(m), down = move_down(m);
		if (!up && !down)
			wait_more(m);
	}
	finish(m);
}

/* In the carrier: a connection with TLS on it, or -1. */
static int open_tls(const struct endpoint *ep, struct pump *m, struct err *err)
{
	struct proxy proxy;
	m->net = proxy_find(ep->host, ep->port, &proxy, err) ? -1 : proxy_connect(&proxy, ep->host, ep->port, err);
	proxy_free(&proxy);
	if (m->net < 0)
		return -1;
	m->tls = tls_open(m->net, ep->host, HANDSHAKE_MS, err);
	return m->tls ? 0 : -1;
}

static int carry(const struct endpoint *ep, int fd, int report)
{
	struct pump m = { .net = -1, .pair = fd };
	struct err err = ERR_INIT;
	(void)prctl(PR_SET_NAME, "sbx-tls"); /* for ps only */
	int rc = open_tls(ep, &m, &err);
	carrier_report(report, &err);
	/* it has nothing more to say, and must not hold a pipe open that somebody waits for */
	if (rc == 0 && dup2(STDIN_FILENO, STDERR_FILENO) >= 0)
		pump(&m);
	return rc ? 1 : 0; /* the end of the process closes and frees all */
}

int https_connect(const struct endpoint *ep, struct err *err)
{
	static const struct carrier_plan plan = { .run = carry, .limit_ms = START_MS };
	return carrier_start(&plan, ep, err);
}
