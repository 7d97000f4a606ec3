/*
 * cpio: writes the "newc" archive that the kernel unpacks as its initial root file system.
 * Source: Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
 */
#ifndef SBX_IMAGE_CPIO_H
#define SBX_IMAGE_CPIO_H

#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"

struct cpio {
	struct buf *out; /* check buf_failed at the end */
	uint32_t inode;
};

void cpio_init(struct cpio *c, struct buf *out);
/* Names are relative ("lib/sbx"); parents come first. Owner is root, times are 0 (the same input gives the same bytes). */
void cpio_dir(struct cpio *c, const char *name, unsigned perm);
void cpio_file(struct cpio *c, const char *name, unsigned perm, const void *data, size_t n);
/* The trailer; nothing may follow. */
void cpio_end(struct cpio *c);

#endif
