/* qcow2: a new file in three steps: what there will be is counted, then the places of all are known, then tables are written as the
 * runs come. Behind the four clusters that every overlay of ours has come more refcount blocks, if need be, the L2 tables, and the
 * data in the order of the disk. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/vm/qcow2_internal.h"
#include "shared/base/mem.h"

int qcow2_cannot_write(const struct qcow2_writer *w, struct err *err)
{
	return err_sys(err, errno, "cannot write '%s'", w->path);
}

int qcow2_put(const struct qcow2_writer *w, const void *data, size_t n, uint64_t at, struct err *err)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = pwrite(w->fd, (const char *)data + done, n - done, (off_t)(at + done));
		if (r < 0 && errno != EINTR)
			return qcow2_cannot_write(w, err);
		done += r < 0 ? 0 : (size_t)r;
	}
	return 0;
}

struct qcow2_writer *qcow2_writer_new(const char *path, const char *backing, const char *format, uint64_t size, struct err *err)
{
	if (qcow2_overlay(path, backing, format, size, err))
		return NULL;
	struct qcow2_writer *w = mem_zalloc(sizeof(*w));
	w->path = path;
	w->last_table = UINT64_MAX;
	w->fd = open(path, O_RDWR | O_CLOEXEC);
	if (w->fd >= 0)
		return w;
	err_sys(err, errno, "cannot open '%s'", path);
	(void)qcow2_writer_free(w, -1);
	return NULL;
}

int qcow2_writer_free(struct qcow2_writer *w, int rc)
{
	if (w->fd >= 0)
		close(w->fd);
	if (rc)
		unlink(w->path);
	free(w);
	return rc ? -1 : 0;
}

/* ---- counting ---- */

void qcow2_writer_count(struct qcow2_writer *w, uint64_t first, uint64_t count, bool zero)
{
	uint64_t table = first / L2_ENTRIES, last = (first + count - 1) / L2_ENTRIES;
	w->tables += last - table + (table != w->last_table);
	w->last_table = last;
	w->data += zero ? 0 : count;
}

/* Every cluster is used once. */
static int put_refcounts(struct qcow2_writer *w, uint64_t blocks, struct err *err)
{
	uint64_t left = w->next_data / CLUSTER + w->data;
	auto_free uint64_t *table = mem_array(blocks, sizeof(*table));
	auto_free uint16_t *ones = mem_array(REFCOUNTS, sizeof(*ones));
	for (size_t i = 0; i < REFCOUNTS; i++)
		ones[i] = htobe16(1);
	for (uint64_t i = 0; i < blocks; i++) {
		uint64_t at = i ? FILE_SIZE + (i - 1) * CLUSTER : REFCOUNT_BLOCK, n = left < REFCOUNTS ? left : REFCOUNTS;
		table[i] = htobe64(at);
		if (qcow2_put(w, ones, (size_t)n * sizeof(*ones), at, err))
			return -1;
		left -= n;
	}
	return qcow2_put(w, table, blocks * sizeof(*table), REFCOUNT_TABLE, err);
}

int qcow2_writer_start(struct qcow2_writer *w, struct err *err)
{
	/* a table of one cluster leads to enough refcount blocks for QCOW2_SIZE_MAX */
	uint64_t blocks = 0, others = FILE_SIZE / CLUSTER - 1 + w->tables + w->data;
	do
		blocks++;
	while (blocks * REFCOUNTS < others + blocks);
	w->next_table = FILE_SIZE + (blocks - 1) * CLUSTER;
	w->next_data = w->next_table + w->tables * CLUSTER;
	if (ftruncate(w->fd, (off_t)(w->next_data + w->data * CLUSTER)))
		return qcow2_cannot_write(w, err);
	return put_refcounts(w, blocks, err);
}

/* ---- tables ---- */

static int put_l2(struct qcow2_writer *w, struct err *err)
{
	if (!w->l2_of)
		return 0;
	w->l1[w->l2_of - 1] = htobe64(w->next_table | ENTRY_COPIED);
	if (qcow2_put(w, w->l2, CLUSTER, w->next_table, err))
		return -1;
	w->next_table += CLUSTER;
	memset(w->l2, 0, CLUSTER);
	return 0;
}

int qcow2_writer_run(struct qcow2_writer *w, uint64_t first, uint64_t count, bool zero, struct err *err)
{
	for (uint64_t i = first; i < first + count; i++) {
		uint64_t table = i / L2_ENTRIES;
		if (w->l2_of != table + 1 && put_l2(w, err))
			return -1;
		w->l2_of = table + 1;
		w->l2[i % L2_ENTRIES] = htobe64(zero ? ENTRY_ZERO : w->next_data | ENTRY_COPIED);
		w->next_data += zero ? 0 : CLUSTER;
	}
	return 0;
}

int qcow2_writer_end(struct qcow2_writer *w, struct err *err)
{
	return put_l2(w, err) || qcow2_put(w, w->l1, sizeof(w->l1), L1_TABLE, err) ? -1 : 0;
}
