/*
 * kernel: Debian's cloud kernel as a bootable ELF and an initial root file system, from its package, without
 * installing it. Source: reference/vm-lab.md, Kernel.
 */
#ifndef SBX_IMAGE_KERNEL_H
#define SBX_IMAGE_KERNEL_H

#include "shared/base/buf.h"
#include "shared/base/err.h"

struct kernel_package {
	char name[128]; /* linux-image-6.1.0-56-cloud-amd64 */
	char version[128];
};

/* Which package linux-image-cloud-amd64 stands for, and its version, as apt knows it; asks the archives (apt-get
 * update, root only) when apt knows nothing. */
int kernel_candidate(struct kernel_package *out, struct err *err);
/* Unpack it below dir; the package file is kept in <cache>/debs, so that only the first time needs a network. */
int kernel_unpack(const char *cache, const struct kernel_package *package, const char *dir, struct err *err);
/* From such a folder: the kernel as uncompressed ELF into path; release ("6.1.0-56-cloud-amd64") allocated. */
int kernel_write_elf(const char *dir, const char *path, char **release, struct err *err);
/* And the initial root file system (init: path of the agent) with the modules that lead to the disk, and those that the guest
 * may ask for. */
int kernel_write_initrd(const char *dir, const char *release, const char *init, const char *path, struct err *err);

/* The ELF inside a bzImage. INVALID when it is none, or is packed with anything but LZ4. */
int kernel_elf(const void *image, size_t n, struct buf *out, struct err *err);
/* Whether module `name` is loaded after all that it depends on: `text` is its .ko, `loaded` the names before it,
 * each with a comma before and after (",virtio_ring,virtio,"). */
int kernel_check_depends(const char *name, const struct buf *text, const char *loaded, struct err *err);
/* The line of a module in the index that the guest's modprobe reads: "NAME ALIAS,ALIAS NAME,NAME\n". */
void kernel_module_row(const char *name, const struct buf *text, struct buf *out);

#endif
