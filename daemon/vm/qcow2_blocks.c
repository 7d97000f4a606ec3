/* qcow2: an image of the store as an overlay. The tables come first; then blocks arrive in any order, from several threads, and
 * each looks up its place in the tables that were written. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/vm/qcow2_internal.h"
#include "daemon/vm/qcow2_map.h"
#include "shared/base/mem.h"

static int count_run(void *arg, const struct blocks_run *run, struct err *err)
{
	(void)err;
	qcow2_writer_count(arg, run->first, run->count, run->zero);
	return 0;
}

static int table_run(void *arg, const struct blocks_run *run, struct err *err)
{
	return qcow2_writer_run(arg, run->first, run->count, run->zero, err);
}

static int data_run(void *arg, const struct blocks_run *run, const uint8_t *data, struct err *err)
{
	const struct qcow2_writer *w = arg;
	for (uint64_t i = 0; data && i < run->count; i++) {
		uint64_t cluster = run->first + i, entry;
		uint64_t table = be64toh(w->l1[cluster / L2_ENTRIES]) & ENTRY_OFFSET;
		if (pread(w->fd, &entry, sizeof(entry), (off_t)(table + cluster % L2_ENTRIES * sizeof(entry))) != sizeof(entry))
			return err_sys(err, errno, "cannot read '%s'", w->path);
		if (qcow2_put(w, data + i * CLUSTER, CLUSTER, be64toh(entry) & ENTRY_OFFSET, err))
			return -1;
	}
	return 0;
}

static int fill(struct store *s, const struct qcow2_image *image, struct qcow2_writer *w, struct err *err)
{
	if (blocks_diff(s, image->from, image->to, count_run, w, err) || qcow2_writer_start(w, err) ||
		blocks_diff(s, image->from, image->to, table_run, w, err) || qcow2_writer_end(w, err))
		return -1;
	return blocks_each(s, image->from, image->to, data_run, w, err);
}

int qcow2_from_blocks(struct store *s, const struct qcow2_image *image, const char *path, struct err *err)
{
	struct blocks_shape shape;
	if (blocks_shape(s, image->to, &shape, err))
		return -1;
	if (shape.block != CLUSTER)
		return err_set(err, ERR_INVALID, "the image of a disk has blocks of %u bytes, not %u", shape.block, CLUSTER);
	struct qcow2_writer *w = qcow2_writer_new(path, image->backing, image->format, shape.size, err);
	return w ? qcow2_writer_free(w, fill(s, image, w, err)) : -1;
}
