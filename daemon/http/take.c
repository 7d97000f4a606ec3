/*
 * Connections that are given away after a 101. As with WebSockets (ws.c), what is given away is a duplicate of the descriptor: MHD
 * closes its own, and its part of the connection goes with it. That, and the callback, happen at the loop's bottom.
 */
#include "daemon/http/internal.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"

struct take {
	struct take *next;
	struct http_server *s;
	http_taken_cb *cb;
	void *arg;
	struct MHD_UpgradeResponseHandle *urh; /* NULL: there was no upgrade */
	int fd;
	struct buf early;
	bool due; /* what comes of it is known */
};

static struct take *take_new(struct http_server *s, http_taken_cb *cb, void *arg)
{
	struct take *t = mem_zalloc(sizeof(*t));
	*t = (struct take){ .next = s->takes, .s = s, .cb = cb, .arg = arg, .fd = -1 };
	buf_init(&t->early);
	s->takes = t;
	return t;
}

static void set_due(struct take *t)
{
	t->due = true;
	server_kick(t->s);
}

void take_failed(struct take *t)
{
	set_due(t);
}

/* NOLINTNEXTLINE(readability-function-size): the prototype is MHD's */
void take_upgraded(void *cls, struct MHD_Connection *conn, void *ctx, const char *extra, size_t n, MHD_socket fd,
	struct MHD_UpgradeResponseHandle *urh)
{
	struct http_req *r = cls;
	struct take *t = r->take;
	(void)conn;
	(void)ctx;
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* fails on a Unix socket, which needs none */
	t->urh = urh;
	buf_add(&t->early, extra, n);
	if (!t->s->closing && !buf_failed(&t->early))
		t->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (t->fd >= 0)
		(void)fcntl(t->fd, F_SETFL, fcntl(t->fd, F_GETFL) | O_NONBLOCK);
	else
		log_debug("http", "cannot give a connection away: no descriptor or memory, or the daemon is stopping");
	r->upgraded = true;
	r->take = NULL;
	req_over(r, t->fd >= 0);
	set_due(t);
}

static void finish(struct take *t)
{
	if (t->urh)
		MHD_upgrade_action(t->urh, MHD_UPGRADE_ACTION_CLOSE); /* closes its descriptor, and counts the connection out */
	t->cb(t->arg, t->fd, t->early.p, t->fd >= 0 ? t->early.len : 0);
	buf_free(&t->early);
	free(t);
}

void takes_run(struct http_server *s)
{
	/* what gets due meanwhile is for the next time */
	struct take *due = NULL, **last = &due;
	for (struct take **p = &s->takes; *p;) {
		struct take *t = *p;
		if (!t->due) {
			p = &t->next;
			continue;
		}
		*p = t->next;
		t->next = NULL;
		*last = t;
		last = &t->next;
	}
	while (due) {
		struct take *t = due;
		due = t->next;
		finish(t);
	}
}

/* A body that has not come yet would stand before what the new protocol says first. */
static bool asked_for(struct http_req *r, const char *protocol)
{
	return r->http11 && !r->head && (!r->has_body || r->phase == REQ_FULL) &&
		check_token(http_header(r, "Upgrade"), protocol) && check_token(http_header(r, "Connection"), "upgrade");
}

bool http_take(struct http_req *r, const char *protocol, http_taken_cb *cb, void *arg)
{
	struct err e = ERR_INIT;
	if (r->a.set)
		return false;
	if (!r->dead && !asked_for(r, protocol)) {
		err_set(&e, ERR_INVALID, "an upgrade to '%s' is needed here", protocol);
		http_reply_err(r, &e);
		return false;
	}
	struct take *t = take_new(r->s, cb, arg);
	if (r->dead) {
		set_due(t);
		return true;
	}
	r->take = t;
	http_add_header(r, "Upgrade", protocol);
	r->a.set = true;
	r->a.take = true;
	r->a.status = 101;
	req_answered(r);
	return true;
}
