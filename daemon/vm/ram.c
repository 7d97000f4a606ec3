#include "daemon/vm/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "shared/base/mem.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int make(unsigned memory_mb, struct err *err)
{
	int fd = memfd_create(RAM_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && !ftruncate(fd, (off_t)memory_mb << 20))
		return fd;
	int sys = errno;
	if (fd >= 0)
		close(fd);
	return err_sys(err, sys, "cannot make a machine's memory");
}

/* fd, or -1; it is closed then. */
static int seal(int fd, struct err *err)
{
	if (!fcntl(fd, F_ADD_SEALS, SEALS))
		return fd;
	int sys = errno;
	close(fd);
	return err_sys(err, sys, "cannot seal a machine's memory");
}

int ram_empty(unsigned memory_mb, struct err *err)
{
	int fd = make(memory_mb, err);
	return fd < 0 ? -1 : seal(fd, err);
}

/* Copy bytes [at, end) to the same place. */
static int copy_range(int from, int to, off_t at, off_t end)
{
	if (lseek(to, at, SEEK_SET) < 0)
		return -1;
	while (at < end) {
		ssize_t n = sendfile(to, from, &at, (size_t)(end - at));
		if (n < 0 && errno != EINTR)
			return -1;
		if (n == 0) {
			errno = EIO;
			return -1;
		}
	}
	return 0;
}

static int copy_data(int from, int to, off_t size)
{
	off_t end = 0;

	while (end < size) {
		off_t at = lseek(from, end, SEEK_DATA);
		if (at < 0)
			return errno == ENXIO ? 0 : -1;
		end = lseek(from, at, SEEK_HOLE);
		if (end < 0 || copy_range(from, to, at, end < size ? end : size))
			return -1;
	}
	return 0;
}

int ram_load(const char *path, unsigned memory_mb, struct err *err)
{
	auto_fd int from = open(path, O_RDONLY | O_CLOEXEC);

	if (from < 0)
		return err_sys(err, errno, "cannot open '%s'", path);
	int to = make(memory_mb, err);
	if (to < 0)
		return -1;
	if (!copy_data(from, to, (off_t)memory_mb << 20))
		return seal(to, err);
	int sys = errno;
	close(to);
	return err_sys(err, sys, "cannot read '%s'", path);
}

int ram_shared(unsigned memory_mb, struct err *err)
{
	return make(memory_mb, err);
}

int ram_save(int fd, const char *path, unsigned memory_mb, struct err *err)
{
	auto_fd int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	off_t size = (off_t)memory_mb << 20;

	if (to < 0 || ftruncate(to, size) || copy_data(fd, to, size))
		return err_sys(err, errno, "cannot write '%s'", path);
	return 0;
}
