/* qcow2: one overlay of many. */
#include <errno.h>
#include <unistd.h>

#include "daemon/vm/qcow2_internal.h"
#include "daemon/vm/qcow2_map.h"
#include "shared/base/mem.h"

enum { COPY = 1 << 20 };

struct flat {
	struct qcow2_map *m;
	struct qcow2_writer *w;
	bool by_hand; /* the kernel cannot copy between these files */
};

/* Bytes on their way. */
struct copy {
	int fd;
	uint64_t from, place; /* the same in two ways: an offset in fd, and for qcow2_map_read */
	uint64_t to, n;
};

/* By the kernel: 0, 1 it cannot, -1. What is behind the end of the source is zero here, too, where nothing was written yet. */
static int copy_by_kernel(const struct flat *f, const struct copy *c, struct err *err)
{
	off_t in = (off_t)c->from, out = (off_t)c->to, end = in + (off_t)c->n;
	while (in < end) {
		ssize_t r = copy_file_range(c->fd, &in, f->w->fd, &out, (size_t)(end - in), 0);
		if (r == 0)
			return 0;
		if (r < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
			return qcow2_cannot_write(f->w, err);
		if (r < 0 && errno != EINTR)
			return 1;
	}
	return 0;
}

static int copy_by_hand(const struct flat *f, const struct copy *c, struct err *err)
{
	auto_free uint8_t *data = mem_zalloc(COPY);
	for (uint64_t done = 0, take; done < c->n; done += take) {
		take = c->n - done < COPY ? c->n - done : COPY;
		if (qcow2_map_read(f->m, c->place + done, data, (size_t)take, err) ||
			qcow2_put(f->w, data, (size_t)take, c->to + done, err))
			return -1;
	}
	return 0;
}

/* The first data in what is to be copied; holes stay holes. false when there is none. */
static bool skip_hole(const struct copy *c, struct copy *out)
{
	*out = *c;
	off_t data = lseek(c->fd, (off_t)c->from, SEEK_DATA);
	if (data < 0)
		return errno != ENXIO;
	uint64_t skip = (uint64_t)data - c->from;
	if (skip >= c->n)
		return false;
	off_t hole = lseek(c->fd, data, SEEK_HOLE);
	out->from += skip;
	out->place += skip;
	out->to += skip;
	out->n -= skip;
	if (hole > data && (uint64_t)(hole - data) < out->n)
		out->n = (uint64_t)(hole - data);
	return true;
}

static int copy_data(struct flat *f, const struct qcow2_run *r, uint64_t to, struct err *err)
{
	struct copy left = { .place = r->place, .to = to, .n = r->count * CLUSTER }, c;
	qcow2_map_place(f->m, r->place, &left.fd, &left.from);
	while (left.n && skip_hole(&left, &c)) {
		int rc = f->by_hand ? 1 : copy_by_kernel(f, &c, err);
		f->by_hand = rc > 0;
		if (rc > 0)
			rc = copy_by_hand(f, &c, err);
		if (rc)
			return -1;
		uint64_t done = c.from + c.n - left.from;
		left.from += done;
		left.place += done;
		left.to += done;
		left.n -= done;
	}
	return 0;
}

static int count(struct flat *f, struct err *err)
{
	struct qcow2_run r;
	int more;
	for (uint64_t at = 0; (more = qcow2_map_next(f->m, at, &r, err)) > 0; at = r.first + r.count)
		qcow2_writer_count(f->w, r.first, r.count, r.zero);
	return more;
}

static int fill(struct flat *f, struct err *err)
{
	struct qcow2_run r;
	int more;
	if (count(f, err) || qcow2_writer_start(f->w, err))
		return -1;
	for (uint64_t at = 0; (more = qcow2_map_next(f->m, at, &r, err)) > 0; at = r.first + r.count) {
		uint64_t to = f->w->next_data;
		if (qcow2_writer_run(f->w, r.first, r.count, r.zero, err) || (!r.zero && copy_data(f, &r, to, err)))
			return -1;
	}
	return more ? -1 : qcow2_writer_end(f->w, err);
}

int qcow2_flatten(struct qcow2_map *m, const char *path, const char *backing, const char *format, struct err *err)
{
	struct flat f = { .m = m, .w = qcow2_writer_new(path, backing, format, qcow2_map_size(m), err) };
	return f.w ? qcow2_writer_free(f.w, fill(&f, err)) : -1;
}
