/*
 * image: a root filesystem, built once into $SBX_CACHE/images/<name>-<key>/{rootfs.ext4,image.json}, together with the kernel
 * bundle that it boots with (bundle.h). What a build is made of is in its recipe (recipe.h): the key of the folder hashes the
 * recipe's version and its inputs. Made in a temporary folder and renamed when whole, under a lock file; older keys of
 * the same name are removed when no process has their disk open.
 * No loop device and no installed kernel needed, and for `base` no root: apt-get download, dpkg-deb -x, lz4, mke2fs -d.
 */
#ifndef SBX_IMAGE_IMAGE_H
#define SBX_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"

struct image {
	char *name;
	char *key; /* of the root filesystem and the bundle: changes with either */
	char *dir; /* of the root filesystem */
	char *kernel, *initrd, *rootfs, *kernel_version;
	char **warm;	    /* commands for the guest's /bin/sh that a template runs, NULL-terminated; each must end with 0 */
	unsigned memory_mb; /* for VMs whose memory nobody names */
	int64_t size_bytes; /* allocated on disk, kernel and all */
	int64_t created_wall_ms;
};

typedef void image_progress(void *arg, const char *phase, const char *text);

/* Names that can be built ("base"); NULL-terminated. */
const char *const *image_recipes(void);
/* What struct image.memory_mb will be, built or not. */
unsigned image_memory_mb(const char *name);
/* The current build of a name, if any: 1 found, 0 not, -1 err. Reads files only. Inputs that changed since (a new agent)
 * make it "not found". */
int image_find(const char *cache, const char *name, struct image *out, struct err *err);
/* A root filesystem in any folder (rootfs.ext4; image.json with the strings name and key and, if wanted, memoryMb and
 * the strings warm) as an image with the kernel of this cache: 1, 0 when that is not built yet, -1 err. */
int image_open(const char *cache, const char *dir, struct image *out, struct err *err);
/* Build (blocking, seconds; builder process only). NOT_FOUND with a hint for an unknown name. A build that is current, also as
 * to the kernel that apt knows, is returned at once; so is one that is current but for that when apt cannot be asked.
 * Phases: kernel, rootfs, what else the recipe has, disk. */
int image_build(const char *cache, const char *name, image_progress *progress, void *arg, struct image *out, struct err *err);
void image_free(struct image *image);
/* Whether a QEMU has this disk file open (by its locks), or it cannot be told. */
bool image_in_use(const char *path);

#endif
