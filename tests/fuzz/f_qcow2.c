/* link: daemon/vm/qcow2*.c shared/store/[a-z]*.c | -lzstd -lpthread */
/* Two layers, good ones but for what the input writes over them: what is accepted can be read to its end, in order and within
 * bounds, and made one file it says the same again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/vm/qcow2_internal.h"
#include "daemon/vm/qcow2_map.h"
#include "shared/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                                                   \
	do {                                                                                                                       \
		if (!(x))                                                                                                          \
			abort();                                                                                                   \
	} while (0)

enum { LAYERS = 2, TABLES = 2, CLUSTERS = 4 + TABLES + 6, RUNS_MAX = 64 };

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (56 - 8 * i));
}

/* A file of CLUSTERS clusters: two L2 tables behind the four of an empty one, and room for data. */
static int make_layer(const char *name)
{
	static const char *const dir = "/tmp";
	uint8_t head[FILE_SIZE], l1[16];
	char path[64];
	(void)snprintf(path, sizeof(path), "%s/f_qcow2-%d-%s", access("/dev/shm", W_OK) ? dir : "/dev/shm", (int)getpid(), name);
	CHECK(qcow2_overlay(path, "base", "raw", (uint64_t)1 << 30, NULL) == 0);
	FILE *f = fopen(path, "rbe");
	CHECK(f && fread(head, 1, sizeof(head), f) == sizeof(head));
	CHECK(fclose(f) == 0 && unlink(path) == 0);
	int fd = memfd_create(name, MFD_CLOEXEC);
	put64(l1, ENTRY_COPIED | FILE_SIZE);
	put64(l1 + 8, ENTRY_COPIED | (FILE_SIZE + CLUSTER));
	CHECK(fd >= 0 && ftruncate(fd, (off_t)CLUSTERS * CLUSTER) == 0);
	CHECK(pwrite(fd, head, sizeof(head), 0) == sizeof(head) && pwrite(fd, l1, sizeof(l1), L1_TABLE) == sizeof(l1));
	return fd;
}

/* Eight bytes each: which layer, where (header, L1, tables), an entry that is mostly right, or anything. */
static void write_over(const int fds[LAYERS], const uint8_t *p)
{
	uint8_t b[8];
	int fd = fds[p[0] & 1];
	uint64_t at = 0, v = ENTRY_COPIED | (uint64_t)(4 + p[3] % (CLUSTERS + 1)) * CLUSTER;
	memcpy(b, p, sizeof(b));
	switch (p[0] >> 1 & 7) {
	case 0:
		CHECK(pwrite(fd, b + 2, 1 + p[0] % 4, p[1] % HEADER_LENGTH) > 0);
		return;
	case 1:
		at = L1_TABLE + 8 * (uint64_t)(p[1] % 4);
		break;
	case 2:
		CHECK(pwrite(fd, b + 2, 6, FILE_SIZE + 8 * (uint64_t)p[1]) > 0);
		return;
	case 3:
		v = ENTRY_ZERO;
		/* fallthrough */
	default:
		at = FILE_SIZE + (p[2] & 1) * (uint64_t)CLUSTER + 8 * (uint64_t)(p[2] & 2 ? p[1] : L2_ENTRIES - 1 - p[1]);
		break;
	}
	put64(b, v | (p[4] > 250 ? p[5] : 0));
	CHECK(pwrite(fd, b, sizeof(b), (off_t)at) == sizeof(b));
}

/* All runs; how many. */
static size_t read_all(struct qcow2_map *m, struct qcow2_run out[RUNS_MAX])
{
	size_t n = 0;
	uint64_t from = 0, clusters = (qcow2_map_size(m) + CLUSTER - 1) / CLUSTER;
	struct qcow2_run r;
	uint8_t b[600];
	struct err err = ERR_INIT;
	int more;
	while ((more = qcow2_map_next(m, from, &r, &err)) > 0) {
		CHECK(r.first >= from && r.count && r.first < clusters && r.count <= clusters - r.first);
		CHECK(r.zero || qcow2_map_read(m, r.place + r.count * CLUSTER - sizeof(b), b, sizeof(b), &err) == 0);
		from = r.first + r.count;
		if (n < RUNS_MAX)
			out[n] = r;
		n++;
	}
	CHECK(more == 0);
	return n;
}

static void flatten(struct qcow2_map *m, const struct qcow2_run *runs, size_t n)
{
	char path[64];
	struct qcow2_run r;
	struct err err = ERR_INIT;
	(void)snprintf(path, sizeof(path), "%s/f_qcow2-%d-flat", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (int)getpid());
	CHECK(qcow2_flatten(m, path, "base", "raw", &err) == 0);
	const char *const paths[] = { path };
	struct qcow2_map *flat = qcow2_map_open(paths, 1, &err);
	CHECK(flat && unlink(path) == 0);
	CHECK(qcow2_map_size(flat) == qcow2_map_size(m));
	/* runs that were apart in the layers may lie together now */
	uint64_t at = 0;
	for (size_t i = 0; i < n && i < RUNS_MAX; i++) {
		for (at = runs[i].first; at < runs[i].first + runs[i].count; at = r.first + r.count)
			CHECK(qcow2_map_next(flat, at, &r, &err) == 1 && r.first == at && r.zero == runs[i].zero);
	}
	qcow2_map_free(flat);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fds[LAYERS] = { make_layer("top"), make_layer("low") };
	struct qcow2_layer layers[LAYERS] = { { fds[0], "top" }, { fds[1], "low" } };
	struct qcow2_run runs[RUNS_MAX];
	struct err err = ERR_INIT;
	for (; size >= 8; data += 8, size -= 8)
		write_over(fds, data);
	struct qcow2_map *m = qcow2_map_new(layers, LAYERS, &err);
	CHECK(m || err.code == ERR_INVALID || err.code == ERR_NOT_IMPLEMENTED);
	if (m) {
		size_t n = read_all(m, runs);
		if (n)
			flatten(m, runs, n);
	}
	qcow2_map_free(m);
	close(fds[0]);
	close(fds[1]);
	return 0;
}
