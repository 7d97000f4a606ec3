/*
 * qcow2_map: which clusters of a disk are in a chain of overlays, and where; reading them, and making one overlay of many, or of an
 * image in the store. What QEMU 7.2 writes for us is understood: version 3, clusters of 64 KiB; compression, encryption, external
 * data, extended L2 entries and internal snapshots are refused (NOT_IMPLEMENTED).
 *
 * Files: hostile, as the guest's disk is, but for nobody writing to them meanwhile: QEMU must have closed or frozen them (an
 * external snapshot was made, or the VM is gone). What qcow2_map_new accepts has all its tables within the files, no more clusters
 * than the files have, and is read without further surprises. Backing names in the files are not followed: the caller says what the
 * chain is. Threads: one at a time, but qcow2_map_read from any.
 */
#ifndef SBX_VM_QCOW2_MAP_H
#define SBX_VM_QCOW2_MAP_H

#include <stddef.h>

#include "daemon/vm/qcow2.h"
#include "shared/store/blocks.h"

#define QCOW2_CLUSTER 65536u
#define QCOW2_LAYERS_MAX 255u

struct qcow2_map;
struct qcow2_layer {
	int fd;		  /* stays the caller's, and open as long as the map is there */
	const char *name; /* for messages */
};
/* Of layers from the top one to the lowest overlay (not the base below them). Each is as large as the next one or larger. NULL with
 * err: INVALID for what is no such file or is damaged. */
struct qcow2_map *qcow2_map_new(const struct qcow2_layer *layers, size_t n, struct err *err);
/* The same by path; the map closes what it opened. */
struct qcow2_map *qcow2_map_open(const char *const *paths, size_t n, struct err *err);
void qcow2_map_free(struct qcow2_map *m);
/* Virtual size of the top layer, in bytes. */
uint64_t qcow2_map_size(const struct qcow2_map *m);

/* Clusters one behind the other that one layer has, the top-most of those that have them. */
struct qcow2_run {
	uint64_t first, count; /* clusters of the disk */
	bool zero;
	uint64_t place; /* of the first: for qcow2_map_read; goes up with the bytes */
};
/* The first run at or behind a cluster: 1, 0 when there is none. What no run covers is the base's. -1 with err. */
int qcow2_map_next(struct qcow2_map *m, uint64_t from, struct qcow2_run *out, struct err *err);
/* n bytes within the run whose place it was. */
int qcow2_map_read(const struct qcow2_map *m, uint64_t place, void *data, size_t n, struct err *err);
/* The same as a descriptor and an offset in it. */
void qcow2_map_place(const struct qcow2_map *m, uint64_t place, int *fd, uint64_t *offset);

/* The changes as blocks_write takes them (block: a power of two up to QCOW2_CLUSTER). { m, block } for each write. */
struct qcow2_news {
	struct qcow2_map *m;
	uint32_t block;
	uint64_t from; /* the next cluster to look at */
};
struct blocks_source qcow2_news_source(struct qcow2_news *news);

/* A new file (mode 0600) with all that the map has, over the file `backing` as qcow2_overlay has it; backing is not larger than the
 * lowest layer. Data is shared with the layers where the file system can. Not fsynced; removed again after a failure. */
int qcow2_flatten(struct qcow2_map *m, const char *path, const char *backing, const char *format, struct err *err);

/* An image of the store (blocks of QCOW2_CLUSTER) as an overlay over `backing`, which holds the image `from` (NULL: zeros) and is
 * of its size: only what differs is in it. As qcow2_flatten else. */
struct qcow2_image {
	const struct hash *from, *to;
	const char *backing, *format;
};
int qcow2_from_blocks(struct store *s, const struct qcow2_image *image, const char *path, struct err *err);

#endif
