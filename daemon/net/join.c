/*
 * What is read goes to the other side at once if that takes it; only the rest is kept, in the very block that it was read into, and
 * no more is read until it has left.
 */
#include "daemon/net/join.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/mem.h"

enum {
	BLOCK = 64 << 10,
	BLOCKS_AT_ONCE = 4, /* of one direction; then others have their turn */
	KEEPALIVE_S = 60,   /* a machine that is gone is noticed, if it is a TCP connection */
	LINGER_MS = 2000,
	STUCK_MS = 60000,
};

struct side {
	uv_poll_t poll;
	int fd, events;
	bool watched; /* poll is initialised and not closed */
	bool left;    /* it hears nothing any more */
	bool deaf;    /* watching for its leaving alone is of no use: it has something else to tell again and again */
};

/* The direction from the side of the same index to the other. */
struct way {
	char *data; /* n bytes, of which the first `at` have left; NULL: nothing waits */
	size_t at, n;
	bool ended; /* nothing more comes */
	bool shut;  /* and the other side has been told, or has left */
};

struct join {
	struct side side[2];
	struct way way[2];
	uv_timer_t timer; /* once a side has left */
	unsigned handles;
	bool over, moved, lingering;
	void (*on_end)(void *arg);
	void *arg;
};

/* ---- the end ---- */

static void on_closed(uv_handle_t *h)
{
	struct join *j = h->data;
	if (--j->handles == 0)
		free(j);
}

static void finish(struct join *j, bool tell)
{
	j->over = true;
	for (int i = 0; i < 2; i++) {
		if (j->side[i].watched)
			uv_close((uv_handle_t *)&j->side[i].poll, on_closed);
		close(j->side[i].fd); /* after its handle: see qemu.c, qmp_done */
		free(j->way[i].data);
		j->way[i].data = NULL;
	}
	uv_close((uv_handle_t *)&j->timer, on_closed);
	if (tell)
		j->on_end(j->arg);
}

void join_cut(struct join *j)
{
	if (j && !j->over)
		finish(j, false);
}

static void on_limit(uv_timer_t *timer)
{
	finish(timer->data, true);
}

/* Nothing can be said to this side any more. What it has said is still read. */
static void leave(struct join *j, int i)
{
	struct way *to = &j->way[!i];
	j->side[i].left = true;
	free(to->data);
	to->data = NULL;
	to->shut = true;
}

/* Did it close altogether, not just its half? Both directions of ours are down then (unix(7) has no other sign). */
static bool hung_up(int fd)
{
	struct pollfd p = { .fd = fd };
	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

/* ---- bytes ---- */

/* Say it to side i; how much of it is done with. */
static size_t say(struct join *j, int i, const char *data, size_t n)
{
	if (j->side[i].left)
		return n;
	ssize_t put = send(j->side[i].fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (put >= 0) {
		j->moved = true;
		return (size_t)put;
	}
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	leave(j, i);
	return n;
}

/* What waits on the way from side i, and its end. */
static void flush(struct join *j, int i)
{
	struct way *w = &j->way[i];
	if (w->data) {
		w->at += say(j, !i, w->data + w->at, w->n - w->at);
		if (w->at < w->n && w->data)
			return;
		free(w->data);
		w->data = NULL;
	}
	if (!w->ended || w->shut)
		return;
	shutdown(j->side[!i].fd, SHUT_WR);
	w->shut = true;
}

/* One helping of side i. False: it has no more now. */
static bool hear(struct join *j, int i, char *block)
{
	struct way *w = &j->way[i];
	ssize_t n = recv(j->side[i].fd, block, BLOCK, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		w->ended = true;
		if (n < 0 || (!j->way[!i].shut && hung_up(j->side[i].fd)))
			leave(j, i);
		return false;
	}
	w->at = say(j, !i, block, (size_t)n);
	w->n = (size_t)n;
	if (w->at < w->n)
		w->data = block;
	return !w->data && n == BLOCK;
}

static void carry(struct join *j, int i)
{
	struct way *w = &j->way[i];
	flush(j, i);
	if (w->data || w->ended)
		return;
	char *block = mem_grow(NULL, BLOCK, 1); /* its content is nobody's business: mem_array would zero it */
	for (int k = 0; k < BLOCKS_AT_ONCE && hear(j, i, block); k++)
		;
	if (!w->data)
		free(block);
	flush(j, i);
}

/* ---- events ---- */

static void on_event(uv_poll_t *poll, int status, int events);

static int wanted(const struct join *j, int i)
{
	const struct way *from = &j->way[i], *to = &j->way[!i];
	int events = to->data ? UV_WRITABLE : 0;
	if (!from->ended && !from->data)
		events |= UV_READABLE;
	/* otherwise only whether it has left, which is told with whatever is asked for */
	if (!events && !to->shut && !j->side[i].deaf)
		events = UV_PRIORITIZED;
	return events;
}

static void watch(struct join *j, int i)
{
	struct side *s = &j->side[i];
	int events = wanted(j, i);
	if (events == s->events)
		return;
	s->events = events;
	if (events)
		uv_poll_start(&s->poll, events, on_event);
	else
		uv_poll_stop(&s->poll);
}

/* When a side has left, the other has so much time. */
static void set_limit(struct join *j)
{
	if (j->lingering || !(j->side[0].left || j->side[1].left))
		return;
	bool said = j->way[0].shut && j->way[1].shut;
	if (said || j->moved || !uv_is_active((uv_handle_t *)&j->timer))
		uv_timer_start(&j->timer, on_limit, said ? LINGER_MS : STUCK_MS, 0);
	j->lingering = said;
}

/* Something is wrong with side i, or it has left: find out. */
static void look_at(struct join *j, int i)
{
	int sys = 0;
	socklen_t n = sizeof(sys);
	struct side *s = &j->side[i];
	if ((getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &sys, &n) == 0 && sys) || hung_up(s->fd))
		leave(j, i);
	else
		s->deaf = true;
}

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct join *j = poll->data;
	int i = poll == &j->side[1].poll;
	bool alarmed = status < 0 || (events & UV_PRIORITIZED);
	j->moved = false;
	if (status < 0)
		j->side[i].events = 0; /* libuv has stopped */
	if (alarmed)
		look_at(j, i);
	if (alarmed || (events & UV_READABLE))
		carry(j, i);
	if (alarmed || (events & UV_WRITABLE))
		carry(j, !i);
	const struct way *w = j->way;
	if (w[0].ended && w[0].shut && w[1].ended && w[1].shut) {
		finish(j, true);
		return;
	}
	set_limit(j);
	watch(j, 0);
	watch(j, 1);
}

/* ---- the beginning ---- */

static int open_side(struct join *j, uv_loop_t *loop, int i, struct err *err)
{
	struct side *s = &j->side[i];
	int on = 1, idle = KEEPALIVE_S;
	int rc = uv_poll_init(loop, &s->poll, s->fd);
	if (rc < 0)
		return err_sys(err, -rc, "cannot watch a connection");
	s->poll.data = j;
	s->watched = true;
	j->handles++;
	(void)setsockopt(s->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)); /* without them it works, too */
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return 0;
}

/* NOLINTNEXTLINE(readability-function-size): two sockets, what one said already, who is told: a struct would not make it clearer */
struct join *join_start(
	uv_loop_t *loop, int a, int b, const void *early, size_t n, void (*on_end)(void *arg), void *arg, struct err *err)
{
	struct join *j = mem_zalloc(sizeof(*j));
	j->side[0].fd = a;
	j->side[1].fd = b;
	j->on_end = on_end;
	j->arg = arg;
	j->handles = 1;
	uv_timer_init(loop, &j->timer);
	j->timer.data = j;
	if (open_side(j, loop, 0, err) || open_side(j, loop, 1, err)) {
		finish(j, false);
		return NULL;
	}
	if (n > 0) {
		j->way[0].data = mem_grow(NULL, n, 1);
		memcpy(j->way[0].data, early, n);
		j->way[0].n = n;
	}
	watch(j, 0);
	watch(j, 1);
	return j;
}
