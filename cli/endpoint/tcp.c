#include "cli/endpoint/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/time.h>
#include <unistd.h>

#define CONNECT_SECONDS 10

/* connect(2) gets a time limit from SO_SNDTIMEO; afterwards the descriptor is non-blocking and it has no effect. */
int tcp_finish_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct timeval limit = { .tv_sec = CONNECT_SECONDS };
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		return -1;
	while (connect(fd, addr, len)) {
		if (errno == EAGAIN || errno == EINPROGRESS)
			errno = ETIMEDOUT;
		if (errno != EINTR)
			return -1;
	}
	int flags = fcntl(fd, F_GETFL);
	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ? -1 : 0;
}

int tcp_connect(const char *host, const char *port, struct err *err)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *list = NULL;
	int rc = getaddrinfo(host, port, &want, &list);
	if (rc)
		return err_set(err, ERR_UNAVAILABLE, "cannot find host '%s': %s", host, gai_strerror(rc));
	int fd = -1, sys = 0;
	for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd >= 0 && tcp_finish_connect(fd, a->ai_addr, a->ai_addrlen)) {
			sys = errno;
			close(fd);
			fd = -1;
		} else if (fd < 0) {
			sys = errno;
		}
	}
	freeaddrinfo(list);
	if (fd < 0) {
		err_sys(err, sys, "cannot connect to '%s' port %s", host, port);
		if (err)
			err->sys = sys;
		return -1;
	}
	int on = 1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* only for speed */
	return fd;
}
