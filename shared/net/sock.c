#include "shared/net/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/mem.h"

enum { BACKLOG = 8 };

int sock_address(const char *path, struct sockaddr_un *out, int *dir_fd, struct err *err)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	auto_free char *dir = slash ? mem_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : mem_strdup(".");
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir_fd < 0)
		return err_sys(err, errno, "cannot open folder '%s'", dir);
	int n = snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/%s", *dir_fd, name);
	if (*name && n > 0 && (size_t)n < sizeof(out->sun_path))
		return 0;
	close(*dir_fd);
	*dir_fd = -1;
	return err_set(err, ERR_INVALID, "the name of the socket '%s' is empty or too long", path);
}

int sock_listen(const char *path, struct err *err)
{
	struct sockaddr_un addr;
	auto_fd int dir_fd = -1;
	if (sock_address(path, &addr, &dir_fd, err))
		return -1;
	if (unlink(path) && errno != ENOENT)
		return err_sys(err, errno, "cannot replace '%s'", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(err, errno, "cannot make a socket");
	/* bind gives the file the mode of the socket, less the umask */
	if (!fchmod(fd, 0600) && !bind(fd, (struct sockaddr *)&addr, sizeof(addr)) && !listen(fd, BACKLOG))
		return fd;
	int sys = errno;
	close(fd);
	return err_sys(err, sys, "cannot listen on '%s'", path);
}

int sock_connect(const char *path, struct err *err)
{
	struct sockaddr_un addr;
	auto_fd int dir_fd = -1;
	if (sock_address(path, &addr, &dir_fd, err))
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, errno, "cannot make a socket");
	if (!connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	int sys = errno;
	close(fd);
	return err_sys(err, sys, "cannot connect to '%s'", path);
}
