#include "daemon/image/sparse.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
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

static int hash_extent(int fd, char *buf, off_t at, off_t end, struct hash_run *h)
{
	while (at < end) {
		ssize_t n = pread(fd, buf, end - at < CHUNK ? (size_t)(end - at) : CHUNK, at);
		if (n < BLOCK)
			return -1;
		for (ssize_t i = 0; i + BLOCK <= n; i += BLOCK, at += BLOCK) {
			uint64_t where = htole64((uint64_t)at);
			if (is_zero(buf + i))
				continue;
			hash_add(h, &where, sizeof(where));
			hash_add(h, buf + i, BLOCK);
		}
	}
	return 0;
}

int sparse_hash(int fd, char out[HASH_HEX], struct err *err)
{
	auto_free char *buf = mem_zalloc(CHUNK);
	off_t size = lseek(fd, 0, SEEK_END);
	uint64_t bytes = htole64((uint64_t)size);
	struct hash_run *h;
	int rc = 0;

	if (size < 0 || size % BLOCK)
		return err_set(err, ERR_INVALID, "a disk is no whole number of blocks");
	h = hash_begin();
	hash_add(h, &bytes, sizeof(bytes));
	for (off_t at = 0; rc == 0 && at < size;) {
		off_t data = lseek(fd, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		at = (hole + BLOCK - 1) / BLOCK * BLOCK;
		if (hole < 0 || hash_extent(fd, buf, data - data % BLOCK, at, h))
			rc = err_sys(err, errno, "cannot read a sparse file");
	}
	hash_end(h, rc ? NULL : out);
	return rc;
}
