/* qcow2_internal: numbers of the format that qcow2*.c share. Source: docs/interop/qcow2.txt of QEMU. */
#ifndef SBX_VM_QCOW2_INTERNAL_H
#define SBX_VM_QCOW2_INTERNAL_H

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

#endif
