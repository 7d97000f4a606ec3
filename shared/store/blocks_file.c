/* blocks: images in regular files. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <sys/stat.h>

#include "shared/base/mem.h"
#include "shared/store/blocks_internal.h"

enum { PAGE = 4096 };

struct file {
	int fd;
	bool base; /* holes are news */
	uint32_t block;
	uint64_t at, end; /* the next byte to look at; of what is there */
	uint64_t blocks;  /* of the image */
	uint64_t next;	  /* block */
};

static int cannot(struct err *err, const char *what)
{
	return err_sys(err, errno, "cannot %s an image file", what);
}

/* ---- from a file ---- */

/* Where data begins at or after f->at, and ends. Without holes that can be seen it is all data. */
static int find_data(const struct file *f, uint64_t *from, uint64_t *to, struct err *err)
{
	off_t data = lseek(f->fd, (off_t)f->at, SEEK_DATA);
	*from = *to = f->end;
	if (data < 0 && errno == ENXIO)
		return 0;
	if (data < 0 && errno != EINVAL)
		return cannot(err, "look for holes in");
	*from = data < 0 ? f->at : (uint64_t)data < f->end ? (uint64_t)data : f->end;
	off_t hole = lseek(f->fd, (off_t)*from, SEEK_HOLE);
	*to = hole < 0 || (uint64_t)hole > f->end ? f->end : (uint64_t)hole;
	return 0;
}

static int file_next(void *arg, struct blocks_run *run, struct err *err)
{
	struct file *f = arg;
	uint64_t from = f->end, to = f->end;
	f->at = f->next * f->block;
	if (f->next >= f->blocks)
		return 0;
	if (f->at < f->end && find_data(f, &from, &to, err))
		return -1;
	/* whole blocks: what has data in it is data */
	uint64_t first = f->at < f->end && from < f->end ? from / f->block : f->blocks, last = (to + f->block - 1) / f->block;
	if (f->base && first > f->next) {
		*run = (struct blocks_run){ .first = f->next, .count = first - f->next, .zero = true };
		f->next = first;
		return 1;
	}
	f->next = first >= f->blocks ? f->blocks : last;
	*run = (struct blocks_run){ .first = first, .count = f->next - first, .place = first * f->block };
	return first < f->blocks;
}

static int file_read(void *arg, uint64_t place, void *data, size_t n, struct err *err)
{
	const struct file *f = arg;
	for (size_t done = 0; done < n;) {
		ssize_t r = pread(f->fd, (char *)data + done, n - done, (off_t)(place + done));
		if (r < 0 && errno != EINTR)
			return cannot(err, "read");
		if (r == 0) {
			/* behind its end */
			memset((char *)data + done, 0, n - done);
			break;
		}
		done += r < 0 ? 0 : (size_t)r;
	}
	return 0;
}

/* NOLINTNEXTLINE(readability-function-size): the contract in blocks.h has five parameters and the error */
int blocks_from_file(
	struct store *s, const struct hash *base, const struct blocks_shape *shape, int fd, struct hash *out, struct err *err)
{
	struct layout l;
	struct stat st;
	if (layout_of(shape, &l, err))
		return -1;
	if (fstat(fd, &st))
		return cannot(err, "look at");
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "an image file has to be a regular file");
	struct file f = { .fd = fd, .base = base != NULL, .block = shape->block, .blocks = l.blocks };
	f.end = (uint64_t)st.st_size < shape->size ? (uint64_t)st.st_size : shape->size;
	const struct blocks_source source = { .next = file_next, .read = file_read, .arg = &f };
	return blocks_write(s, base, shape, &source, out, err);
}

/* ---- to a file ---- */

struct target {
	int fd;
	uint64_t size;
	uint32_t block;
	bool fresh; /* it has only zeros so far */
};

static size_t page_of(uint64_t n, uint64_t at)
{
	return n - at < PAGE ? (size_t)(n - at) : PAGE;
}

static int write_at(int fd, const uint8_t *p, size_t n, uint64_t at, struct err *err)
{
	while (n) {
		ssize_t r = pwrite(fd, p, n, (off_t)at);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return cannot(err, "write");
		p += r;
		n -= (size_t)r;
		at += (uint64_t)r;
	}
	return 0;
}

static int write_zeros(int fd, uint64_t n, uint64_t at, struct err *err)
{
	static const uint8_t zeros[65536];
	if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)n))
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return cannot(err, "make a hole in");
	for (size_t take; n; n -= take, at += take) {
		take = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);
		if (write_at(fd, zeros, take, at, err))
			return -1;
	}
	return 0;
}

static int write_run(void *arg, const struct blocks_run *run, const uint8_t *data, struct err *err)
{
	const struct target *t = arg;
	uint64_t at = run->place, n = run->count * t->block;
	n = n < t->size - at ? n : t->size - at;
	if (!data)
		return write_zeros(t->fd, n, at, err);
	if (!t->fresh)
		return write_at(t->fd, data, (size_t)n, at, err);
	/* pages of zeros within blocks stay holes */
	for (uint64_t i = 0, len; i < n; i += len) {
		bool zero = blocks_all_zero(data + i, page_of(n, i));
		for (len = page_of(n, i); i + len < n && blocks_all_zero(data + i + len, page_of(n, i + len)) == zero;)
			len += page_of(n, i + len);
		if (!zero && write_at(t->fd, data + i, (size_t)len, at + i, err))
			return -1;
	}
	return 0;
}

int blocks_to_file(struct store *s, const struct hash *from, const struct hash *to, int fd, struct err *err)
{
	struct blocks_shape shape;
	if (blocks_shape(s, to, &shape, err))
		return -1;
	if (ftruncate(fd, (off_t)shape.size))
		return cannot(err, "set the size of");
	struct target t = { .fd = fd, .size = shape.size, .block = shape.block, .fresh = !from };
	return blocks_each(s, from, to, write_run, &t, err);
}
