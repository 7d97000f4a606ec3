#include "daemon/core/accept.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"

enum { RETRY_MS = 200, BATCH = 16 };

struct acceptor {
	int fd;
	uv_poll_t poll;
	uv_timer_t retry;
	unsigned handles, count, limit;
	bool paused, freed;
	accept_cb *cb;
	void *arg;
};

static void update(struct acceptor *a);

static void on_retry(uv_timer_t *timer)
{
	struct acceptor *a = timer->data;
	a->paused = false;
	update(a);
}

/* No descriptor or memory for another connection: wait a little instead of being woken for the same one again and again. */
static void pause_accept(struct acceptor *a, int why)
{
	log_warn("core", "cannot accept: %s; trying again in %d ms", uv_strerror(uv_translate_sys_error(why)), RETRY_MS);
	a->paused = true;
	uv_timer_start(&a->retry, on_retry, RETRY_MS, 0);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct acceptor *a = poll->data;
	if (status < 0 || !(events & UV_READABLE))
		return;
	for (int i = 0; i < BATCH && !a->freed && a->count < a->limit; i++) {
		int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			a->count++;
			a->cb(a->arg, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN)
			pause_accept(a, errno);
		break;
	}
	update(a);
}

static void update(struct acceptor *a)
{
	if (a->freed)
		return;
	if (a->paused || a->count >= a->limit)
		uv_poll_stop(&a->poll);
	else if (!uv_is_active((uv_handle_t *)&a->poll))
		uv_poll_start(&a->poll, UV_READABLE, on_poll);
}

struct acceptor *acceptor_new(uv_loop_t *loop, int fd, unsigned limit, accept_cb *cb, void *arg, struct err *err)
{
	struct acceptor *a = mem_zalloc(sizeof(*a));
	*a = (struct acceptor){ .fd = fd, .handles = 2, .limit = limit, .cb = cb, .arg = arg };
	int rc = uv_poll_init(loop, &a->poll, fd);
	if (rc < 0) {
		err_sys(err, -rc, "cannot watch a listening socket");
		close(fd);
		free(a);
		return NULL;
	}
	uv_timer_init(loop, &a->retry);
	a->poll.data = a->retry.data = a;
	update(a);
	return a;
}

void acceptor_done(struct acceptor *a)
{
	a->count--;
	update(a);
}

unsigned acceptor_count(const struct acceptor *a)
{
	return a ? a->count : 0;
}

static void on_closed(uv_handle_t *h)
{
	struct acceptor *a = h->data;
	if (--a->handles == 0)
		free(a);
}

void acceptor_free(struct acceptor *a)
{
	if (!a)
		return;
	a->freed = true;
	uv_close((uv_handle_t *)&a->poll, on_closed);
	uv_close((uv_handle_t *)&a->retry, on_closed);
	close(a->fd); /* after its handle: see qemu.c, qmp_done */
}
