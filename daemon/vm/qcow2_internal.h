/* qcow2_internal: numbers of the format that qcow2*.c share. Source: docs/interop/qcow2.txt of QEMU. */
#ifndef SBX_VM_QCOW2_INTERNAL_H
#define SBX_VM_QCOW2_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/vm/qcow2.h"

/*
 * Our files: cluster 0: header, header extensions, name of the backing file. 1: refcount table, one cluster. 2: the first refcount
 * block. 3: L1 table, one cluster.
 */
enum {
	CLUSTER_BITS = 16,
	CLUSTER = 1 << CLUSTER_BITS,
	REFCOUNT_TABLE = 1 * CLUSTER,
	REFCOUNT_BLOCK = 2 * CLUSTER,
	L1_TABLE = 3 * CLUSTER,
	FILE_SIZE = 4 * CLUSTER,
	HEADER_LENGTH = 104,
	REFCOUNT_ORDER = 4,	  /* 16 bits each */
	REFCOUNTS = CLUSTER / 2,  /* of a block */
	L2_ENTRIES = CLUSTER / 8, /* 8 bytes a cluster: 512 MiB */
	BACKING_NAME_MAX = 1023,
};
#define QCOW2_MAGIC 0x514649fbu /* "QFI\xfb" */
/* Bits of an entry of an L1 or L2 table. */
#define ENTRY_COPIED ((uint64_t)1 << 63)     /* the only one that leads there */
#define ENTRY_COMPRESSED ((uint64_t)1 << 62) /* L2 */
#define ENTRY_ZERO ((uint64_t)1)	     /* L2 */
#define ENTRY_OFFSET UINT64_C(0x00fffffffffffe00)

/* A new file. Counted first, then written, with the same runs in the same order, ascending. */
struct qcow2_writer {
	const char *path;
	int fd;
	uint64_t tables, data;		/* clusters of L2 tables and of data */
	uint64_t last_table;		/* while counting */
	uint64_t next_table, next_data; /* offsets */
	uint64_t l1[CLUSTER / 8];	/* as in the file */
	uint64_t l2[L2_ENTRIES];
	uint64_t l2_of; /* which table is in l2, plus 1 */
};
/* As qcow2_overlay; path must live as long. */
struct qcow2_writer *qcow2_writer_new(const char *path, const char *backing, const char *format, uint64_t size, struct err *err);
void qcow2_writer_count(struct qcow2_writer *w, uint64_t first, uint64_t count, bool zero);
int qcow2_writer_start(struct qcow2_writer *w, struct err *err);
/* Clusters that one has of the disk. The data of the first goes to next_data as it was before, the others behind it. */
int qcow2_writer_run(struct qcow2_writer *w, uint64_t first, uint64_t count, bool zero, struct err *err);
int qcow2_writer_end(struct qcow2_writer *w, struct err *err);
/* Remove the file when rc is not 0. Returns 0 or -1. */
int qcow2_writer_free(struct qcow2_writer *w, int rc);
/* Bytes at an offset. */
int qcow2_put(const struct qcow2_writer *w, const void *data, size_t n, uint64_t at, struct err *err);
int qcow2_cannot_write(const struct qcow2_writer *w, struct err *err);

#endif
