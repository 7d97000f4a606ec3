#include "daemon/vm/qcow2_raw.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "daemon/vm/qcow2_map.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

enum { PIECE = 1 << 20 };

static int write_run(const struct qcow2_map *m, const struct qcow2_run *r, int fd, uint8_t *piece, struct err *err)
{
	off_t at = (off_t)(r->first * QCOW2_CLUSTER);
	uint64_t n = r->count * QCOW2_CLUSTER, size = qcow2_map_size(m);

	if ((uint64_t)at + n > size) /* the last cluster may be a part only */
		n = size - (uint64_t)at;
	if (r->zero) {
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, (off_t)n))
			return err_sys(err, errno, "cannot make holes");
		return 0;
	}
	if (lseek(fd, at, SEEK_SET) < 0)
		return err_sys(err, errno, "cannot write a disk");
	for (uint64_t done = 0, take; done < n; done += take) {
		take = n - done < PIECE ? n - done : PIECE;
		if (qcow2_map_read(m, r->place + done, piece, (size_t)take, err) || fs_write_all(fd, piece, (size_t)take, err))
			return -1;
	}
	return 0;
}

static int apply(struct qcow2_map *m, int fd, struct err *err)
{
	auto_free uint8_t *piece = mem_zalloc(PIECE);
	struct qcow2_run r;
	int more;

	if (ftruncate(fd, (off_t)qcow2_map_size(m)))
		return err_sys(err, errno, "cannot resize a disk");
	for (uint64_t at = 0; (more = qcow2_map_next(m, at, &r, err)) > 0; at = r.first + r.count)
		if (write_run(m, &r, fd, piece, err))
			return -1;
	return more;
}

int qcow2_apply(const char *const *paths, size_t n, int fd, struct err *err)
{
	struct qcow2_map *map = qcow2_map_open(paths, n, err);
	int rc = map ? apply(map, fd, err) : -1;

	qcow2_map_free(map);
	return rc;
}
