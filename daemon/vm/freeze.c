#include "daemon/vm/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon/vm/machine.h"
#include "daemon/vm/qmp.h"
#include "daemon/vm/ram.h"
#include "daemon/vm/stream.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/sock.h"

enum {
	QMP_MS = 10000,
	SET_STATE = 1000, /* sets of descriptors: those of the disks are numbered as these, from 3 on */
	SETS_OF_TOPS = 2000, /* and the number of the node */
	MAP_ENTRIES = 32768, /* of pagemap, at a time */
	BATCH = 256,	     /* pages read at a time */
	OUT_SIZE = 1 << 20,
};
#define PAGE_PRESENT ((uint64_t)1 << 63)
#define PAGE_SWAPPED ((uint64_t)1 << 62)
#define PAGE_OF_FILE ((uint64_t)1 << 61)

/* One mapping of the machine's memory; the kernel may show it in several pieces. */
struct piece {
	uint64_t start, end, offset;
};

struct pieces {
	struct piece *v;
	size_t n;
};

struct capture {
	struct freeze *f;
	int mem, map;
	uint64_t memory;
	uint64_t *entries;
	uint8_t *pages; /* a batch of them */
	uint64_t batch_at;
	size_t batch;
	struct buf out;
	struct err *err;
};

/* ---- memory ---- */

/* "7f0000000000-7f0010000000 rw-p 00000000 00:01 4711 /memfd:sbx-ram (deleted)", a private one. */
static bool read_piece(const char *line, struct piece *out)
{
	char *p;

	if (!strstr(line, "/memfd:" RAM_NAME))
		return false;
	out->start = strtoull(line, &p, 16);
	if (*p != '-')
		return false;
	out->end = strtoull(p + 1, &p, 16);
	if (strlen(p) < 6 || p[4] != 'p')
		return false;
	out->offset = strtoull(p + 6, NULL, 16);
	return out->end > out->start;
}

static int find_pieces(pid_t pid, struct pieces *out, struct err *err)
{
	auto_free char *path = mem_printf("/proc/%ld/maps", (long)pid);
	FILE *maps = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;

	if (!maps)
		return err_sys(err, errno, "cannot read '%s'", path);
	while (getline(&line, &cap, maps) > 0) {
		struct piece p;
		if (!read_piece(line, &p))
			continue;
		out->v = mem_grow(out->v, out->n + 1, sizeof(*out->v));
		out->v[out->n++] = p;
	}
	free(line);
	fclose(maps);
	return out->n ? 0 : err_set(err, ERR_INTERNAL, "process %ld has no memory of a machine", (long)pid);
}

static int flush(struct capture *c)
{
	if (buf_failed(&c->out))
		return err_set(c->err, ERR_INTERNAL, "no memory for a machine's state");
	if (fs_write_all(c->f->out_fd, c->out.p, c->out.len, c->err))
		return -1;
	buf_clear(&c->out);
	return 0;
}

/* Put the pages that were noted, which follow each other, to the stream. */
static int put_batch(struct capture *c, const struct piece *p)
{
	size_t want = c->batch * STREAM_PAGE;
	uint64_t from = p->start + c->batch_at - p->offset;
	size_t got = 0;

	while (got < want) {
		ssize_t n = pread(c->mem, c->pages + got, want - got, (off_t)(from + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(c->err, n ? errno : EIO, "cannot read the memory of process %ld", (long)c->f->pid);
		got += (size_t)n;
	}
	for (size_t i = 0; i < c->batch; i++)
		stream_page(&c->out, c->batch_at + i * STREAM_PAGE, c->pages + i * STREAM_PAGE, c->f->pages++ == 0);
	c->batch = 0;
	return c->out.len >= OUT_SIZE ? flush(c) : 0;
}

static bool is_changed(uint64_t entry)
{
	return (entry & PAGE_SWAPPED) || ((entry & PAGE_PRESENT) && !(entry & PAGE_OF_FILE));
}

static int scan_piece(struct capture *c, const struct piece *p)
{
	uint64_t count = (p->end - p->start) / STREAM_PAGE;

	for (uint64_t at = 0; at < count;) {
		size_t want = count - at < MAP_ENTRIES ? (size_t)(count - at) : MAP_ENTRIES;
		ssize_t n = pread(c->map, c->entries, want * 8, (off_t)((p->start / STREAM_PAGE + at) * 8));
		if (n <= 0 || n % 8)
			return err_sys(c->err, n < 0 ? errno : EIO, "cannot read the page map of process %ld", (long)c->f->pid);
		for (size_t i = 0; i < (size_t)n / 8; i++) {
			uint64_t offset = p->offset + (at + i) * STREAM_PAGE;
			bool changed = is_changed(c->entries[i]) && offset < c->memory;
			if (c->batch && (!changed || c->batch == BATCH) && put_batch(c, p))
				return -1;
			if (changed && !c->batch)
				c->batch_at = offset;
			c->batch += changed;
		}
		at += (size_t)n / 8;
	}
	return c->batch ? put_batch(c, p) : 0;
}

static int capture_memory(struct capture *c)
{
	auto_free char *mem = mem_printf("/proc/%ld/mem", (long)c->f->pid);
	auto_free char *map = mem_printf("/proc/%ld/pagemap", (long)c->f->pid);
	auto_free uint64_t *entries = mem_array(MAP_ENTRIES, sizeof(*entries));
	auto_free uint8_t *pages = mem_array(BATCH, STREAM_PAGE);
	struct pieces pieces = { 0 };
	auto_fd int mem_fd = open(mem, O_RDONLY | O_CLOEXEC);
	auto_fd int map_fd = open(map, O_RDONLY | O_CLOEXEC);

	if (mem_fd < 0 || map_fd < 0)
		return err_sys(c->err, errno, "cannot read the memory of process %ld", (long)c->f->pid);
	c->mem = mem_fd;
	c->map = map_fd;
	c->entries = entries;
	c->pages = pages;
	int r = find_pieces(c->f->pid, &pieces, c->err);
	stream_begin(&c->out, c->memory);
	for (size_t i = 0; i < pieces.n && !r; i++)
		r = scan_piece(c, &pieces.v[i]);
	free(pieces.v);
	stream_end(&c->out);
	return r;
}

/* ---- devices ---- */

/* QEMU writes them to a file in memory, which it may open for writing only. */
static int save_devices(struct capture *c, struct qmp *q)
{
	auto_fd int fd = memfd_create("devices", MFD_CLOEXEC);
	auto_free char *path = mem_printf("/proc/self/fd/%d", fd);
	auto_fd int writer = fd < 0 ? -1 : open(path, O_WRONLY | O_CLOEXEC);
	auto_free char *args = mem_printf("{\"filename\":\"/dev/fdset/%d\",\"live\":false}", SET_STATE);
	struct stat st;

	if (writer < 0)
		return err_sys(c->err, errno, "cannot make a file in memory");
	if (qmp_add_fd(q, SET_STATE, writer, c->err) || qmp_execute(q, "xen-save-devices-state", args, NULL, c->err) ||
		qmp_drop_fds(q, SET_STATE, c->err))
		return -1;
	if (fstat(fd, &st) || st.st_size > (off_t)STREAM_DEVICES_MAX)
		return err_set(c->err, ERR_INVALID, "the state of the devices is too large");
	auto_free void *data = mem_array((size_t)st.st_size + 1, 1);
	if (pread(fd, data, (size_t)st.st_size, 0) != st.st_size)
		return err_sys(c->err, errno, "cannot read the state of the devices");
	if (stream_check_devices(data, (size_t)st.st_size, c->err))
		return -1;
	buf_add(&c->out, (const char *)data + STREAM_HEAD, (size_t)st.st_size - STREAM_HEAD);
	return flush(c);
}

/* ---- disk ---- */

/* Sparse as it is; it was flushed by the stop. */
static int copy_top(const struct freeze *f, struct err *err)
{
	auto_fd int from = open(f->disk, O_RDONLY | O_CLOEXEC);
	struct stat st;
	off_t end = 0;

	if (from < 0 || fstat(from, &st) || ftruncate(f->copy_fd, st.st_size))
		return err_sys(err, errno, "cannot copy '%s'", f->disk);
	while (end < st.st_size) {
		off_t at = lseek(from, end, SEEK_DATA);
		if (at < 0 && errno == ENXIO)
			break;
		end = at < 0 ? -1 : lseek(from, at, SEEK_HOLE);
		if (end < 0 || lseek(f->copy_fd, at, SEEK_SET) < 0)
			return err_sys(err, errno, "cannot copy '%s'", f->disk);
		while (at < end) {
			ssize_t n = sendfile(f->copy_fd, from, &at, (size_t)(end - at));
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return err_sys(err, n ? errno : EIO, "cannot copy '%s'", f->disk);
		}
	}
	return 0;
}

/* The number of the node that the guest's disk is on now. It is asked for rather than remembered: the daemon that put it there
 * may be another. */
static int top_node(struct qmp *q, unsigned *out, struct err *err)
{
	js *v = NULL;

	if (qmp_execute(q, "query-block", NULL, &v, err))
		return -1;
	auto_js *list = v;
	js_each (it, list) {
		const char *name = js_str(js_get(js_get(it, "inserted"), "node-name"), "");
		if (!str_starts(name, MACHINE_NODE_PREFIX))
			continue;
		*out = (unsigned)strtoul(name + strlen(MACHINE_NODE_PREFIX), NULL, 10);
		return 0;
	}
	return err_set(err, ERR_INTERNAL, "the machine has no disk");
}

/* Each top has a set of its own, which keeps the descriptor: QEMU opens a file anew, by the name of its set, when another comes on
 * top of the one above it. With one set for all it got the newest there, and the guest read from a file that was not its own. */
static int put_on_top(const struct freeze *f, struct qmp *q, struct err *err)
{
	unsigned node = 0;

	if (top_node(q, &node, err))
		return -1;
	const unsigned set = SETS_OF_TOPS + node + 1;
	auto_free char *add = machine_top_json(node + 1, set);
	auto_free char *args = mem_printf("{\"node\":\"" MACHINE_NODE "\",\"overlay\":\"" MACHINE_NODE "\"}", node, node + 1);
	auto_free char *del = mem_printf("{\"node-name\":\"" MACHINE_NODE "\"}", node + 1);
	/* of one who did not come further; mostly there is nothing */
	qmp_execute(q, "blockdev-del", del, NULL, NULL);
	qmp_drop_fds(q, set, NULL);
	if (qmp_add_fd(q, set, f->top_fd, err))
		return -1;
	int r = qmp_execute(q, "blockdev-add", add, NULL, err);
	if (!r && qmp_execute(q, "blockdev-snapshot", args, NULL, err)) {
		qmp_execute(q, "blockdev-del", del, NULL, NULL);
		r = -1;
	}
	if (r)
		qmp_drop_fds(q, set, NULL);
	return r;
}

/* ---- all of it ---- */

static struct qmp *monitor(const char *dir, struct err *err)
{
	auto_free char *path = fs_join(dir, "qmp.sock");
	int fd = sock_connect(path, err);
	return fd < 0 ? NULL : qmp_open(fd, QMP_MS, err);
}

static int freeze_stopped(struct freeze *f, struct qmp *q, struct err *err)
{
	struct capture c = { .f = f, .memory = (uint64_t)f->memory_mb << 20, .err = err };

	buf_init(&c.out);
	int r = capture_memory(&c);
	if (!r)
		r = save_devices(&c, q);
	buf_free(&c.out);
	if (!r && f->copy_fd >= 0)
		r = copy_top(f, err);
	if (!r && f->top_fd >= 0)
		r = put_on_top(f, q, err);
	f->switched = f->top_fd >= 0 && !r;
	return r;
}

int freeze_run(struct freeze *f, struct err *err)
{
	struct qmp *q = monitor(f->dir, err);

	if (!q)
		return -1;
	int64_t since = clock_mono_us();
	int r = qmp_execute(q, "stop", NULL, NULL, err);
	if (!r) {
		r = freeze_stopped(f, q, err);
		if ((r || !f->stay) && qmp_execute(q, "cont", NULL, NULL, r ? NULL : err))
			r = -1;
	}
	f->stopped_us = clock_mono_us() - since;
	qmp_close(q);
	return r;
}

static int repair_disk(struct qmp *q, const char *disk, unsigned node, struct err *err)
{
	unsigned now = 0;

	if (top_node(q, &now, err))
		return -1;
	if (now != node && now + 1 != node)
		return err_set(err, ERR_INTERNAL, "its disk has %u layers, and should have %u", now, node);
	if (now == node)
		return 0;
	auto_fd int fd = open(disk, O_RDWR | O_CLOEXEC);
	const struct freeze f = { .top_fd = fd };
	return fd < 0 ? err_sys(err, errno, "cannot open '%s'", disk) : put_on_top(&f, q, err);
}

/*
 * What freeze_run may have been at when its daemon died, and what that leaves behind:
 *   stop: a machine that does not run;
 *   add-fd: descriptors in a set that nobody uses; put_on_top drops them, and QEMU opens the one that came last;
 *   xen-save-devices-state: no more, it is read only by whoever asked for it;
 *   blockdev-add: a node that is not part of the disk, on a file of which nobody knows whether it still is the one. put_on_top
 *   begins with removing it;
 *   blockdev-snapshot: a disk that is on its new top;
 *   cont: nothing.
 * QEMU finishes the command that it is at before it hears us. What could not be repaired is no reason to leave the machine stopped:
 * nobody else would let it run.
 */
static int repair(struct qmp *q, const char *disk, unsigned node, struct err *err)
{
	int r = repair_disk(q, disk, node, err);

	if (qmp_execute(q, "cont", NULL, NULL, r ? NULL : err))
		return -1;
	qmp_drop_fds(q, SET_STATE, NULL); /* not before: while it is stopped QEMU closes none of them */
	return r;
}

int freeze_repair(const char *dir, const char *disk, unsigned node, struct err *err)
{
	struct qmp *q = monitor(dir, err);
	int r = q ? repair(q, disk, node, err) : -1;

	qmp_close(q);
	if (r)
		freeze_release(dir, NULL); /* the connection may be what failed */
	return r;
}

static int command(const char *dir, const char *what, struct err *err)
{
	struct qmp *q = monitor(dir, err);
	int r = q ? qmp_execute(q, what, NULL, NULL, err) : -1;

	qmp_close(q);
	return r;
}

int freeze_hold(const char *dir, struct err *err)
{
	return command(dir, "stop", err);
}

int freeze_release(const char *dir, struct err *err)
{
	return command(dir, "cont", err);
}
