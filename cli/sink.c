#include "cli/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void sink_open(struct sink *s, int fd)
{
	*s = (struct sink){ .fd = fd };
	struct stat st;
	if (fstat(fd, &st))
		return;
	s->socket = S_ISSOCK(st.st_mode);
	if (!S_ISFIFO(st.st_mode) && !isatty(fd))
		return;
	char path[40];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own >= 0) {
		s->fd = own;
		s->own = true;
	}
}

void sink_close(struct sink *s)
{
	if (s->own)
		close(s->fd);
	s->own = false;
}

ssize_t sink_write(struct sink *s, const void *data, size_t n)
{
	for (;;) {
		ssize_t w = s->socket ? send(s->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(s->fd, data, n);
		if (w >= 0)
			return w;
		if (errno == EAGAIN)
			return 0;
		if (errno != EINTR)
			return -1;
	}
}
