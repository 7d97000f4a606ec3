#include "daemon/vm/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/base/mem.h"

enum { BACKLOG = 8 };

/* The address goes through /proc, so that the folder is one short component. */
static int address(const char *dir, const char *name, int *dir_fd, struct sockaddr_un *out, struct err *err)
{
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir_fd < 0)
		return err_sys(err, errno, "cannot open '%s'", dir);
	int n = snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/%s", *dir_fd, name);
	if (n < 0 || (size_t)n >= sizeof(out->sun_path))
		return err_set(err, ERR_INVALID, "the socket name '%s' is too long", name);
	return 0;
}

int sock_listen(const char *dir, const char *name, struct err *err)
{
	struct sockaddr_un addr;
	auto_fd int dir_fd = -1;

	if (address(dir, name, &dir_fd, &addr, err))
		return -1;
	if (unlinkat(dir_fd, name, 0) && errno != ENOENT)
		return err_sys(err, errno, "cannot replace '%s/%s'", dir, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(err, errno, "cannot make a socket");
	/* bind gives the file the mode of the socket, less the umask */
	if (!fchmod(fd, 0600) && !bind(fd, (struct sockaddr *)&addr, sizeof(addr)) && !listen(fd, BACKLOG))
		return fd;
	int sys = errno;
	close(fd);
	return err_sys(err, sys, "cannot listen on '%s/%s'", dir, name);
}

int sock_connect(const char *dir, const char *name, struct err *err)
{
	struct sockaddr_un addr;
	auto_fd int dir_fd = -1;

	if (address(dir, name, &dir_fd, &addr, err))
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, errno, "cannot make a socket");
	if (!connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	int sys = errno;
	close(fd);
	return err_sys(err, sys, "cannot connect to '%s/%s'", dir, name);
}
