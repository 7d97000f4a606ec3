#include "daemon/image/sparse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/mem.h"

enum { BLOCK = 4096, CHUNK = 256 * BLOCK };

static bool is_zero(const char *p)
{
	return p[0] == 0 && !memcmp(p, p + 1, BLOCK - 1);
}

/* 0, or -1 with errno. */
static int punch(int fd, off_t from, off_t to)
{
	if (from == to || !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, to - from))
		return 0;
	return errno == EOPNOTSUPP ? 0 : -1;
}

/* The zero blocks of [at, end), which starts at a block's edge; a last part of a block is left alone. */
static int punch_extent(int fd, char *buf, off_t at, off_t end)
{
	off_t zero_from = at; /* of the run of zeros that ends where we are */

	while (at < end) {
		ssize_t n = pread(fd, buf, CHUNK, at);
		if (n < 0)
			return -1;
		if (n < BLOCK)
			break;
		for (ssize_t i = 0; i + BLOCK <= n; i += BLOCK, at += BLOCK) {
			if (is_zero(buf + i))
				continue;
			if (punch(fd, zero_from, at))
				return -1;
			zero_from = at + BLOCK;
		}
	}
	return punch(fd, zero_from, at);
}

int sparse_punch(int fd, struct err *err)
{
	auto_free char *buf = mem_zalloc(CHUNK);
	off_t at = 0, size = lseek(fd, 0, SEEK_END);

	for (;;) {
		off_t data = lseek(fd, at, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			return err_sys(err, errno, "cannot read a sparse file");
		/* what reads as a hole may yet be space that is set aside: mke2fs has inode tables zeroed like that */
		off_t from = (at + BLOCK - 1) / BLOCK * BLOCK, to = data < 0 ? size : data;
		if (from < to - to % BLOCK && punch(fd, from, to - to % BLOCK))
			return err_sys(err, errno, "cannot make holes");
		if (data < 0)
			return 0;
		off_t hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return err_sys(err, errno, "cannot read a sparse file");
		if (punch_extent(fd, buf, data - data % BLOCK, hole))
			return err_sys(err, errno, "cannot make holes");
		at = hole;
	}
}
