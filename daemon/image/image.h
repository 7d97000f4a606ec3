/*
 * image: a kernel and a root filesystem, built once into $SBX_CACHE/images/<name>-<key>/ with image.json, vmlinux, initrd,
 * rootfs.ext4. The key hashes the inputs: kernel package and version, busybox binary, agent binary, recipe version. Made in a
 * temporary folder and renamed when whole, under a lock file; older keys of the same name are removed when no
 * process has their disk open.
 * No root, no loop device, no installed kernel needed: apt-get download, dpkg-deb -x, lz4, mke2fs -d.
 */
#ifndef SBX_IMAGE_IMAGE_H
#define SBX_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"

struct image {
	char *name, *key, *dir, *kernel, *initrd, *rootfs, *kernel_version;
	int64_t size_bytes; /* allocated on disk */
	int64_t created_wall_ms;
};

typedef void image_progress(void *arg, const char *phase, const char *text);

/* Names that can be built ("base"); NULL-terminated. */
const char *const *image_recipes(void);
/* The current build of a name, if any: 1 found, 0 not, -1 err. Reads files only. Inputs that changed since (a new agent)
 * make it "not found". */
int image_find(const char *cache, const char *name, struct image *out, struct err *err);
/* All complete images in the cache. *out allocated (image_list_free). */
int image_list(const char *cache, struct image **out, size_t *n, struct err *err);
void image_list_free(struct image *list, size_t n);
/* Build (blocking, seconds; builder process only). NOT_FOUND with a hint for an unknown name. A build that is current, also as
 * to the kernel that apt knows, is returned at once; so is one that is current but for that when apt cannot be asked.
 * The agent is $SBX_AGENT, or sbx-agent beside the running executable. Phases: kernel, rootfs, disk. */
int image_build(const char *cache, const char *name, image_progress *progress, void *arg, struct image *out, struct err *err);
void image_free(struct image *image);
/* Whether a QEMU has this disk file open (by its locks), or it cannot be told. */
bool image_in_use(const char *path);

#endif
