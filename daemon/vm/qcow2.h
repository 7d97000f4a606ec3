/*
 * qcow2: writes an empty copy-on-write overlay. What qemu-img does in 10 to 50 ms, in microseconds.
 * Source: docs/interop/qcow2.txt of QEMU, version 3.
 */
#ifndef SBX_VM_QCOW2_H
#define SBX_VM_QCOW2_H

#include <stdint.h>

#include "shared/base/err.h"

/* Largest disk: what one cluster of the L1 table can address. */
#define QCOW2_SIZE_MAX ((uint64_t)4 << 40)

/* Make path (new; mode 0600) an overlay of size bytes over the file `backing` (as the guest would see it: relative names
 * start at the folder of path), whose format is "raw" or "qcow2". Not fsynced. */
int qcow2_overlay(const char *path, const char *backing, const char *format, uint64_t size, struct err *err);
/* Make the disk of an overlay of ours larger (bytes, a multiple of 512; smaller: INVALID; the same: nothing). Nobody has it open.
 */
int qcow2_grow(const char *path, uint64_t size, struct err *err);
/* Virtual size that a qcow2 file's header claims. */
int qcow2_size(const char *path, uint64_t *size, struct err *err);

#endif
