#include "cli/fs/cancel.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cli/cli.h"

static void *watch(void *arg)
{
	struct cancel *c = arg;
	struct pollfd wait[2] = { { .fd = c->fd, .events = POLLIN }, { .fd = c->stop_fd, .events = POLLIN } };
	for (;;) {
		if (poll(wait, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (wait[1].revents)
			return NULL;
		if (!wait[0].revents)
			continue;
		int code = cli_signal_code(c->fd);
		if (c->flag)
			_exit(code); /* asked twice: the store and the folders are made for that, too */
		c->code = code;
		c->flag = true;
		uint64_t one = 1;
		if (write(c->fired_fd, &one, sizeof(one)) < 0)
			return NULL;
	}
}

int cancel_begin(struct cancel *c, struct err *err)
{
	sigset_t set;
	*c = (struct cancel){ .fd = -1, .stop_fd = -1, .fired_fd = -1 };
	cli_signal_set(&set);
	if (pthread_sigmask(SIG_BLOCK, &set, &c->before))
		return err_set(err, ERR_INTERNAL, "cannot block signals");
	c->fd = cli_signal_fd(err);
	c->stop_fd = eventfd(0, EFD_CLOEXEC);
	c->fired_fd = eventfd(0, EFD_CLOEXEC);
	if (c->fd >= 0 && c->stop_fd >= 0 && c->fired_fd >= 0 && pthread_create(&c->thread, NULL, watch, c) == 0) {
		c->running = true;
		return 0;
	}
	cancel_end(c);
	return err_set(err, ERR_LIMIT, "cannot watch signals");
}

void cancel_end(struct cancel *c)
{
	uint64_t one = 1;
	if (c->running && write(c->stop_fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
		pthread_join(c->thread, NULL);
	c->running = false;
	if (c->fd >= 0)
		close(c->fd);
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	if (c->fired_fd >= 0)
		close(c->fired_fd);
	c->fd = c->stop_fd = c->fired_fd = -1;
	pthread_sigmask(SIG_SETMASK, &c->before, NULL);
}

int cancel_check(const struct cancel *c, struct err *err)
{
	return c->flag ? err_sys(err, EINTR, "stopped") : 0;
}
