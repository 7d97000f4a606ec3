/* agent loop: epoll, signals as events, deadlines. No timer runs when nothing is due. */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "daemon/guest/agent.h"
#include "shared/base/util.h"

#define EVENTS 64

int loop_watch(struct agent *a, struct watch *w, int fd, void (*fn)(struct agent *, void *, uint32_t), void *owner)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = w };

	*w = (struct watch){ .fn = fn, .owner = owner, .fd = fd, .ep = a->ep };
	return epoll_ctl(a->ep, EPOLL_CTL_ADD, fd, &ev);
}

void loop_close(struct watch *w)
{
	if (w->fd < 0)
		return;
	/* not left to close: a child that has not come to its exec holds a copy, and an event would find w freed */
	epoll_ctl(w->ep, EPOLL_CTL_DEL, w->fd, NULL);
	close(w->fd);
	w->fd = -1;
}

static void on_signal(struct agent *a, void *owner, uint32_t events)
{
	struct signalfd_siginfo info[8];
	ssize_t n;

	(void)owner;
	(void)events;
	do {
		n = read(a->signals.fd, info, sizeof(info));
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(info[0]); i++)
			if (info[i].ssi_signo != SIGCHLD && !a->init)
				a->quit = true;
	} while (n > 0);
	proc_reap(a);
}

int loop_init(struct agent *a)
{
	sigset_t set;

	for (int i = 1; i < NSIG; i++)
		if (i != SIGKILL && i != SIGSTOP)
			signal(i, SIG_DFL); /* children then have nothing to undo but SIGPIPE */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_SETMASK, &set, NULL))
		return -1;
	TAILQ_INIT(&a->streams);
	TAILQ_INIT(&a->procs);
	TAILQ_INIT(&a->dead);
	wire_rx_init(&a->rx);
	buf_init(&a->cur);
	buf_init(&a->ctl);
	a->port.fd = a->listener.fd = -1;
	a->ep = epoll_create1(EPOLL_CLOEXEC);
	a->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (a->ep < 0 || a->sigfd < 0)
		return -1;
	return loop_watch(a, &a->signals, a->sigfd, on_signal, a);
}

/* For epoll_wait: milliseconds to the next deadline, -1 none. */
static int timeout(const struct agent *a)
{
	int64_t first = proc_deadline(a), conn = conn_deadline(a), left;

	if (a->busy)
		return 0;
	if (!first || (conn && conn < first))
		first = conn;
	if (!first)
		return -1;
	left = first - clock_mono_ms();
	if (left < 0)
		return 0;
	return left > INT32_MAX ? INT32_MAX : (int)left;
}

void loop_run(struct agent *a)
{
	struct epoll_event ev[EVENTS];

	while (!a->quit) {
		int n = epoll_wait(a->ep, ev, EVENTS, timeout(a));

		for (int i = 0; i < n; i++) {
			struct watch *w = ev[i].data.ptr;

			if (w->fd >= 0)
				w->fn(a, w->owner, ev[i].events);
		}
		conn_timer(a);
		proc_timers(a);
		conn_pump(a);
		proc_free_dead(a);
	}
}
