/*
 * stream: the state of a stopped machine as QEMU reads it with -incoming: devices, and those pages of memory that differ from
 * the file that the machine is started on.
 *
 * QEMU itself writes the devices alone (xen-save-devices-state). A memory section of our own goes in front of them, in the format
 * of migration/ram.c, version 4, with the changed pages only; the rest of the memory is what the new process has mapped. So a
 * child of a running machine shares its parent's template and needs nothing else, and nobody ever copies a whole memory.
 * A stream without changed pages is what a template keeps.
 * Source: migration/savevm.c and migration/ram.c of QEMU 7.2; reference/vm-lab.md, "Snapshot or fork". Pure but for reading from
 * and writing to descriptors.
 */
#ifndef SBX_VM_STREAM_H
#define SBX_VM_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

#define STREAM_PAGE ((size_t)4096)
/* Devices of our machine take 20 KiB; what is larger is not theirs. */
#define STREAM_DEVICES_MAX ((size_t)8 << 20)

/* Begin: the memory section's head for a machine of so many bytes. Then pages, then the end, then the devices: what QEMU has
 * written without its first STREAM_HEAD bytes (stream_check_devices). All append to out. */
#define STREAM_HEAD 8
void stream_begin(struct buf *out, uint64_t memory);
/* offset: of the page in memory. first: no page was put before. */
void stream_page(struct buf *out, uint64_t offset, const void *page, bool first);
void stream_end(struct buf *out);
/* Is this what QEMU writes for devices alone? INVALID. */
int stream_check_devices(const void *data, size_t n, struct err *err);

/* Every changed page of a stream in the file fd, in the order in which they are, until each returns non-zero, which is returned;
 * then *devices_at is where the devices begin. The file may have been tampered with: INVALID for what is no stream of a machine of
 * that size. page: NULL is a zero page. */
typedef int stream_page_fn(void *arg, uint64_t offset, const void *page, struct err *err);
int stream_pages(int fd, uint64_t memory, stream_page_fn *each, void *arg, uint64_t *devices_at, struct err *err);
/* Where each page is: at[i] for page i is the offset in fd of its bytes, STREAM_ZERO, or 0 for a page that did not change. at has
 * memory / STREAM_PAGE members, zeroed by the caller. */
#define STREAM_ZERO UINT64_MAX
int stream_index(int fd, uint64_t memory, uint64_t *at, uint64_t *devices_at, struct err *err);

#endif
