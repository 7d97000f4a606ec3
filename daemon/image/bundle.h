/*
 * bundle: what every VM boots with, whatever its root file system: Debian's cloud kernel and an initial file system with our
 * agent, in $SBX_CACHE/kernels/<key>/{vmlinux,initrd,kernel.json}. Apart from images, so that a new agent costs a second and
 * no image is built anew for it. The key hashes the kernel package with its version, the agent and the recipe version.
 * Made in a temporary folder and renamed when whole, under a lock file; older ones are removed.
 */
#ifndef SBX_IMAGE_BUNDLE_H
#define SBX_IMAGE_BUNDLE_H

#include <stdint.h>

#include "daemon/image/image.h"
#include "shared/base/err.h"

struct bundle {
	char *key, *dir, *kernel, *initrd, *release;
	int64_t created_wall_ms;
};

/* The latest one with the agent of now: 1 found, 0 not, -1 err. Reads files only. */
int bundle_find(const char *cache, struct bundle *out, struct err *err);
/* Build (blocking). One that is current, also as to the kernel that apt knows, is returned at once; so is one that is current
 * but for that when apt cannot be asked. */
int bundle_build(const char *cache, image_progress *progress, void *arg, struct bundle *out, struct err *err);
void bundle_free(struct bundle *b);

#endif
