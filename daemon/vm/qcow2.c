#include "daemon/vm/qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "daemon/vm/qcow2_internal.h"
#include "shared/base/mem.h"

/* The refcounts of the four clusters are 1. The L1 table is all zero: nothing is allocated, every read goes to the backing file.
 * Zeros need no writing: the file is extended over them. */
enum { SIZE_AT = 24 };
#define EXT_BACKING_FORMAT 0xe2792acau
#define L1_SPAN ((uint64_t)CLUSTER * L2_ENTRIES)

struct writer {
	uint8_t bytes[HEADER_LENGTH + 8 + 8 + 8 + BACKING_NAME_MAX];
	size_t n;
};

static void put32(struct writer *w, uint32_t v)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		w->bytes[w->n++] = (uint8_t)(v >> shift);
}

static void put64(struct writer *w, uint64_t v)
{
	put32(w, (uint32_t)(v >> 32));
	put32(w, (uint32_t)v);
}

static void put_bytes(struct writer *w, const void *p, size_t n)
{
	memcpy(w->bytes + w->n, p, n);
	w->n += n;
}

static void make_header(struct writer *w, const char *backing, const char *format, uint64_t size)
{
	size_t padded = (strlen(format) + 7) & ~(size_t)7;
	uint64_t name_at = HEADER_LENGTH + 8 + padded + 8;

	put32(w, QCOW2_MAGIC);
	put32(w, 3);
	put64(w, name_at);
	put32(w, (uint32_t)strlen(backing));
	put32(w, CLUSTER_BITS);
	put64(w, size);
	put32(w, 0); /* not encrypted */
	put32(w, (uint32_t)((size + L1_SPAN - 1) / L1_SPAN));
	put64(w, L1_TABLE);
	put64(w, REFCOUNT_TABLE);
	put32(w, 1); /* clusters of the refcount table */
	put32(w, 0); /* no snapshots */
	put64(w, 0);
	put64(w, 0); /* incompatible, compatible, autoclear features: none */
	put64(w, 0);
	put64(w, 0);
	put32(w, REFCOUNT_ORDER);
	put32(w, HEADER_LENGTH);
	put32(w, EXT_BACKING_FORMAT);
	put32(w, (uint32_t)strlen(format));
	put_bytes(w, format, strlen(format));
	w->n += padded - strlen(format);
	put64(w, 0); /* end of the extensions */
	put_bytes(w, backing, strlen(backing));
}

static int put_at(int fd, const void *p, size_t n, off_t at)
{
	ssize_t r = pwrite(fd, p, n, at);
	if (r == (ssize_t)n)
		return 0;
	if (r >= 0)
		errno = ENOSPC; /* a regular file writes short only when it is full */
	return -1;
}

int qcow2_overlay(const char *path, const char *backing, const char *format, uint64_t size, struct err *err)
{
	static const uint8_t table[8] = { [5] = REFCOUNT_BLOCK >> 16 };
	static const uint8_t block[8] = { 0, 1, 0, 1, 0, 1, 0, 1 };
	struct writer w = { .n = 0 };

	if (strlen(backing) > BACKING_NAME_MAX)
		return err_set(err, ERR_INVALID, "the path '%s' is too long for a backing file", backing);
	if (size == 0 || size % 512 || size > QCOW2_SIZE_MAX || (strcmp(format, "raw") != 0 && strcmp(format, "qcow2") != 0))
		return err_set(err, ERR_INVALID, "no overlay of %llu bytes over a '%s' disk", (unsigned long long)size, format);
	make_header(&w, backing, format, size);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "cannot create '%s'", path);
	if (ftruncate(fd, FILE_SIZE) || put_at(fd, w.bytes, w.n, 0) || put_at(fd, table, sizeof(table), REFCOUNT_TABLE) ||
		put_at(fd, block, sizeof(block), REFCOUNT_BLOCK)) {
		int sys = errno;
		unlink(path);
		return err_sys(err, sys, "cannot write '%s'", path);
	}
	return 0;
}

int qcow2_size(const char *path, uint64_t *size, struct err *err)
{
	uint8_t h[SIZE_AT + 8];
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, errno, "cannot open '%s'", path);
	if (pread(fd, h, sizeof(h), 0) != (ssize_t)sizeof(h) || memcmp(h, "QFI\xfb", 4) != 0)
		return err_set(err, ERR_INVALID, "'%s' is not a qcow2 file", path);
	*size = 0;
	for (size_t i = 0; i < 8; i++)
		*size = *size << 8 | h[SIZE_AT + i];
	return 0;
}

/* Only the header tells the size and how much of the L1 table counts; the table has a whole cluster of zeros, for any size that we
 * allow. QEMU leaves it where it is. */
int qcow2_grow(const char *path, uint64_t size, struct err *err)
{
	struct writer w = { .n = 0 };
	uint64_t now = 0;

	if (qcow2_size(path, &now, err))
		return -1;
	if (size < now || size % 512 || size > QCOW2_SIZE_MAX)
		return err_set(err, ERR_INVALID, "a disk of %llu MiB cannot become one of %llu MiB",
			(unsigned long long)(now >> 20), (unsigned long long)(size >> 20));
	put64(&w, size);
	put32(&w, 0); /* not encrypted */
	put32(&w, (uint32_t)((size + L1_SPAN - 1) / L1_SPAN));
	auto_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot open '%s'", path);
	if (size == now)
		return 0;
	/* one write within one block: it is there or it is not */
	return put_at(fd, w.bytes, w.n, SIZE_AT) || fdatasync(fd) ? err_sys(err, errno, "cannot write '%s'", path) : 0;
}
