#include "daemon/net/dial.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/tcp.h"

struct dial {
	uv_loop_t *loop;
	char *address, *host;
	int port;
	uv_getaddrinfo_t lookup;
	struct addrinfo *all, *next; /* what was found; what was not tried yet */
	uv_timer_t timer;	     /* of the look-up; of one attempt */
	int64_t end_ms;
	struct attempt *attempt;
	unsigned refs; /* the timer, the look-up while it runs, the attempt's handle */
	bool looking, over;
	int sys; /* why the last attempt failed */
	dial_cb *cb;
	void *arg;
};

struct attempt {
	uv_poll_t poll;
	struct dial *d;
	int fd;
};

static void try_next(struct dial *d);

static void release(struct dial *d)
{
	if (--d->refs > 0)
		return;
	uv_freeaddrinfo(d->all);
	free(d->address);
	free(d->host);
	free(d);
}

static void on_timer_closed(uv_handle_t *h)
{
	release(h->data);
}

static void on_attempt_closed(uv_handle_t *h)
{
	struct attempt *a = h->data;
	release(a->d);
	free(a);
}

/* Its descriptor, which is the caller's now. */
static int end_attempt(struct dial *d)
{
	struct attempt *a = d->attempt;
	d->attempt = NULL;
	if (!a)
		return -1;
	uv_close((uv_handle_t *)&a->poll, on_attempt_closed);
	return a->fd;
}

static void drop_attempt(struct dial *d)
{
	int fd = end_attempt(d);
	if (fd >= 0)
		close(fd); /* after its handle: see qemu.c, qmp_done */
}

static void end(struct dial *d)
{
	d->over = true;
	drop_attempt(d);
	if (d->looking)
		uv_cancel((uv_req_t *)&d->lookup); /* on_found comes in any case */
	uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}

void dial_cancel(struct dial *d)
{
	if (d && !d->over)
		end(d);
}

static void done(struct dial *d, int fd, const struct err *why)
{
	end(d);
	d->cb(d->arg, fd, why);
}

static void fail(struct dial *d)
{
	struct err why = ERR_INIT;
	if (d->sys == ETIMEDOUT)
		err_set(&why, ERR_TIMEOUT, "'%s' does not answer", d->address);
	else
		err_set(&why, ERR_UNAVAILABLE, "cannot connect to '%s': %s", d->address,
			uv_strerror(uv_translate_sys_error(d->sys)));
	why.sys = d->sys;
	done(d, -1, &why);
}

/* ---- one address ---- */

static void on_writable(uv_poll_t *poll, int status, int events)
{
	struct attempt *a = poll->data;
	struct dial *d = a->d;
	int sys = 0;
	socklen_t n = sizeof(sys);
	(void)events;
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &sys, &n) != 0)
		sys = errno;
	if (status < 0 && sys == 0)
		sys = ECONNABORTED;
	if (sys == 0) {
		done(d, end_attempt(d), NULL);
		return;
	}
	d->sys = sys;
	drop_attempt(d);
	try_next(d);
}

static void on_late(uv_timer_t *timer)
{
	struct dial *d = timer->data;
	d->sys = ETIMEDOUT;
	drop_attempt(d);
	try_next(d);
}

/* Begin with one; -1: it failed already. */
static int attempt(struct dial *d, const struct addrinfo *to)
{
	int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		d->sys = errno;
		return -1;
	}
	struct attempt *a = mem_zalloc(sizeof(*a));
	int rc = connect(fd, to->ai_addr, to->ai_addrlen) == 0 || errno == EINPROGRESS ? 0 : -errno;
	if (rc == 0)
		rc = uv_poll_init(d->loop, &a->poll, fd);
	if (rc < 0) {
		d->sys = -rc;
		close(fd);
		free(a);
		return -1;
	}
	a->poll.data = a;
	a->d = d;
	a->fd = fd;
	d->refs++;
	d->attempt = a;
	uv_poll_start(&a->poll, UV_WRITABLE, on_writable); /* which it is at once when it is connected already */
	return 0;
}

static void try_next(struct dial *d)
{
	while (d->next) {
		const struct addrinfo *to = d->next;
		d->next = to->ai_next;
		int64_t shares = 1, left = d->end_ms - clock_mono_ms();
		for (const struct addrinfo *a = d->next; a; a = a->ai_next)
			shares++;
		if (left <= 0) {
			d->sys = ETIMEDOUT;
			break;
		}
		if (attempt(d, to) == 0) {
			uv_timer_start(&d->timer, on_late, (uint64_t)(left / shares), 0);
			return;
		}
	}
	fail(d);
}

/* ---- the name ---- */

static void on_found(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct dial *d = req->data;
	d->all = d->next = found;
	d->looking = false;
	if (!d->over && status < 0) {
		struct err why = ERR_INIT;
		err_set(&why, ERR_UNAVAILABLE, "cannot find the address of '%s': %s", d->host, uv_strerror(status));
		done(d, -1, &why);
	} else if (!d->over) {
		try_next(d);
	}
	release(d);
}

static void on_lookup_late(uv_timer_t *timer)
{
	struct dial *d = timer->data;
	struct err why = ERR_INIT;
	err_set(&why, ERR_TIMEOUT, "cannot find the address of '%s' in time", d->host);
	done(d, -1, &why);
}

static void on_start(uv_timer_t *timer)
{
	struct dial *d = timer->data;
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	char port[8];
	snprintf(port, sizeof(port), "%d", d->port);
	if (getaddrinfo(d->host, port, &hints, &d->all) == 0) { /* a literal: nobody is asked */
		d->next = d->all;
		try_next(d);
		return;
	}
	d->all = NULL;
	hints.ai_flags = AI_NUMERICSERV;
	int64_t left = d->end_ms - clock_mono_ms();
	int rc = uv_getaddrinfo(d->loop, &d->lookup, on_found, d->host, port, &hints);
	if (rc < 0) {
		d->sys = -rc;
		fail(d);
		return;
	}
	d->refs++;
	d->looking = true;
	uv_timer_start(timer, on_lookup_late, (uint64_t)(left > 0 ? left : 0), 0);
}

struct dial *dial_start(uv_loop_t *loop, const char *address, int limit_ms, dial_cb *cb, void *arg, struct err *err)
{
	char *host = NULL;
	int port = 0;
	if (tcp_split(address, &host, &port, err))
		return NULL;
	struct dial *d = mem_zalloc(sizeof(*d));
	*d = (struct dial){ .loop = loop,
		.address = mem_strdup(address),
		.host = host,
		.port = port,
		.end_ms = clock_mono_ms() + limit_ms,
		.refs = 1,
		.cb = cb,
		.arg = arg };
	uv_timer_init(loop, &d->timer);
	d->timer.data = d->lookup.data = d;
	uv_timer_start(&d->timer, on_start, 0, 0);
	return d;
}
