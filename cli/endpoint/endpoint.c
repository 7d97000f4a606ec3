#include "cli/endpoint/endpoint.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/endpoint/https.h"
#include "cli/endpoint/ssh.h"
#include "cli/endpoint/start.h"
#include "cli/endpoint/tcp.h"
#include "shared/base/mem.h"
#include "shared/net/sock.h"

static int refused(const struct endpoint *ep, int sys, struct err *err)
{
	err_set(err, ERR_UNAVAILABLE, "cannot reach the daemon at '%s': %s", ep->shown, strerror(sys));
	if (err)
		err->sys = sys;
	return ep->managed ? -1 : err_hint(err, "start the daemon there: sbx up");
}

static int connect_unix(const struct endpoint *ep, struct err *err)
{
	auto_fd int dir = -1;
	struct sockaddr_un addr;
	struct err why = ERR_INIT;
	if (sock_address(ep->path, &addr, &dir, &why))
		return refused(ep, why.sys ? why.sys : EINVAL, err);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refused(ep, errno, err);
	if (tcp_finish_connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		int sys = errno;
		close(fd);
		return refused(ep, sys, err);
	}
	return fd;
}

static int connect_tcp(const struct endpoint *ep, struct err *err)
{
	struct err why = ERR_INIT;
	int fd = tcp_connect(ep->host, ep->port, &why);
	if (fd < 0 && why.sys)
		return refused(ep, why.sys, err);
	if (fd < 0 && err)
		*err = why;
	return fd;
}

int endpoint_connect(const struct endpoint *ep, struct err *err)
{
	switch (ep->kind) {
	case ENDPOINT_HTTP:
		return connect_tcp(ep, err);
	case ENDPOINT_HTTPS:
		return https_connect(ep, err);
	case ENDPOINT_SSH:
		return ssh_connect(ep, err);
	case ENDPOINT_UNIX:
		break;
	}
	return connect_unix(ep, err);
}

static bool nobody_listens(const struct err *err)
{
	return err->sys == ENOENT || err->sys == ECONNREFUSED;
}

int endpoint_connect_or_start(const struct endpoint *ep, struct err *err)
{
	struct err why = ERR_INIT;
	int fd = endpoint_connect(ep, &why);
	if (fd >= 0 || !ep->managed || !nobody_listens(&why)) {
		if (fd < 0 && err)
			*err = why;
		return fd;
	}
	auto_fd int lock = start_lock(ep->home, err);
	if (lock < 0)
		return -1;
	/* whoever held the lock before us may have started it */
	fd = endpoint_connect(ep, &why);
	if (fd >= 0)
		return fd;
	if (!nobody_listens(&why)) {
		if (err)
			*err = why;
		return -1;
	}
	return start_daemon(ep->home, err) ? -1 : endpoint_connect(ep, err);
}
