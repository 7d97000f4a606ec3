/* qcow2: one overlay of many. Behind the four clusters that every overlay of ours has come more refcount blocks, if need be, the L2
 * tables, and the data in the order of the disk. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/vm/qcow2_internal.h"
#include "daemon/vm/qcow2_map.h"
#include "shared/base/mem.h"

enum { COPY = 1 << 20 };

struct flat {
	struct qcow2_map *m;
	const char *path;
	int fd;
	uint64_t blocks, tables, data;	/* clusters of each: refcount blocks, L2 tables, data */
	uint64_t next_table, next_data; /* offsets */
	uint64_t l1[CLUSTER / 8];
	uint64_t l2[L2_ENTRIES];
	uint64_t l2_of; /* which table is in l2, plus 1 */
	bool by_hand;	/* the kernel cannot copy between these files */
};

/* Bytes on their way. */
struct copy {
	int fd;
	uint64_t from, place; /* the same in two ways: an offset in fd, and for qcow2_map_read */
	uint64_t to, n;
};

static int cannot_write(const struct flat *f, struct err *err)
{
	return err_sys(err, errno, "cannot write '%s'", f->path);
}

static int put(const struct flat *f, const void *data, size_t n, uint64_t at, struct err *err)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = pwrite(f->fd, (const char *)data + done, n - done, (off_t)(at + done));
		if (r < 0 && errno != EINTR)
			return cannot_write(f, err);
		done += r < 0 ? 0 : (size_t)r;
	}
	return 0;
}

/* How much of everything there will be. */
static int measure(struct flat *f, struct err *err)
{
	struct qcow2_run r;
	uint64_t last = UINT64_MAX;
	int more;
	for (uint64_t at = 0; (more = qcow2_map_next(f->m, at, &r, err)) > 0; at = r.first + r.count) {
		/* a run lies within one table, as it does in its layer */
		f->tables += r.first / L2_ENTRIES != last;
		last = r.first / L2_ENTRIES;
		f->data += r.zero ? 0 : r.count;
	}
	uint64_t others = FILE_SIZE / CLUSTER - 1 + f->tables + f->data;
	/* a table of one cluster leads to enough of them for QCOW2_SIZE_MAX */
	do
		f->blocks++;
	while (f->blocks * REFCOUNTS < others + f->blocks);
	f->next_table = FILE_SIZE + (f->blocks - 1) * CLUSTER;
	f->next_data = f->next_table + f->tables * CLUSTER;
	return more;
}

/* Every cluster is used once. */
static int put_refcounts(struct flat *f, struct err *err)
{
	uint64_t left = f->next_data / CLUSTER + f->data;
	auto_free uint64_t *table = mem_array(f->blocks, sizeof(*table));
	auto_free uint16_t *ones = mem_array(REFCOUNTS, sizeof(*ones));
	for (size_t i = 0; i < REFCOUNTS; i++)
		ones[i] = htobe16(1);
	for (uint64_t i = 0; i < f->blocks; i++) {
		uint64_t at = i ? FILE_SIZE + (i - 1) * CLUSTER : REFCOUNT_BLOCK, n = left < REFCOUNTS ? left : REFCOUNTS;
		table[i] = htobe64(at);
		if (put(f, ones, (size_t)n * sizeof(*ones), at, err))
			return -1;
		left -= n;
	}
	return put(f, table, f->blocks * sizeof(*table), REFCOUNT_TABLE, err);
}

/* ---- data ---- */

/* By the kernel: 0, 1 it cannot, -1. What is behind the end of the source is zero here, too, where nothing was written yet. */
static int copy_by_kernel(const struct flat *f, const struct copy *c, struct err *err)
{
	off_t in = (off_t)c->from, out = (off_t)c->to, end = in + (off_t)c->n;
	while (in < end) {
		ssize_t r = copy_file_range(c->fd, &in, f->fd, &out, (size_t)(end - in), 0);
		if (r == 0)
			return 0;
		if (r < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
			return cannot_write(f, err);
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
		if (qcow2_map_read(f->m, c->place + done, data, (size_t)take, err) || put(f, data, (size_t)take, c->to + done, err))
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

static int copy_data(struct flat *f, const struct qcow2_run *r, struct err *err)
{
	struct copy left = { .place = r->place, .to = f->next_data, .n = r->count * CLUSTER }, c;
	qcow2_map_place(f->m, r->place, &left.fd, &left.from);
	f->next_data += left.n;
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

/* ---- tables ---- */

static int put_l2(struct flat *f, struct err *err)
{
	if (!f->l2_of)
		return 0;
	f->l1[f->l2_of - 1] = htobe64(f->next_table | ENTRY_COPIED);
	if (put(f, f->l2, CLUSTER, f->next_table, err))
		return -1;
	f->next_table += CLUSTER;
	memset(f->l2, 0, CLUSTER);
	return 0;
}

static int put_run(struct flat *f, const struct qcow2_run *r, struct err *err)
{
	uint64_t table = r->first / L2_ENTRIES;
	if (f->l2_of != table + 1 && put_l2(f, err))
		return -1;
	f->l2_of = table + 1;
	for (uint64_t i = 0; i < r->count; i++) {
		uint64_t entry = r->zero ? ENTRY_ZERO : (f->next_data + i * CLUSTER) | ENTRY_COPIED;
		f->l2[r->first % L2_ENTRIES + i] = htobe64(entry);
	}
	return r->zero ? 0 : copy_data(f, r, err);
}

static int fill(struct flat *f, struct err *err)
{
	struct qcow2_run r;
	int more;
	if (measure(f, err) < 0)
		return -1;
	if (ftruncate(f->fd, (off_t)(f->next_data + f->data * CLUSTER)))
		return cannot_write(f, err);
	if (put_refcounts(f, err))
		return -1;
	for (uint64_t at = 0; (more = qcow2_map_next(f->m, at, &r, err)) > 0; at = r.first + r.count)
		if (put_run(f, &r, err))
			return -1;
	if (more < 0 || put_l2(f, err))
		return -1;
	return put(f, f->l1, sizeof(f->l1), L1_TABLE, err);
}

int qcow2_flatten(struct qcow2_map *m, const char *path, const char *backing, const char *format, struct err *err)
{
	if (qcow2_overlay(path, backing, format, qcow2_map_size(m), err))
		return -1;
	auto_free struct flat *f = mem_zalloc(sizeof(*f));
	auto_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	f->m = m;
	f->path = path;
	f->fd = fd;
	int rc = fd < 0 ? err_sys(err, errno, "cannot open '%s'", path) : fill(f, err);
	if (rc)
		unlink(path);
	return rc;
}
