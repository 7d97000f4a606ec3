/*
 * library: the user's own images, in $SBX_HOME/images/<digest>/ with rootfs.ext4, config.json (the image's configuration as it
 * came: its SHA-256 is the digest) and image.json, which image_open reads. They cannot be made again, so they are no part of the
 * cache. A folder appears by a rename, whole, or not at all.
 *
 * images/tags.json says which name:version is which digest. Only the daemon writes it; a version that is not named is "latest".
 */
#ifndef SBX_IMAGE_LIBRARY_H
#define SBX_IMAGE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/image/hash.h"
#include "daemon/image/oci.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"

#define LIBRARY_TAG_MAX 128u
#define LIBRARY_PREFIX_MIN 8u /* digits of a digest that may stand for it */

struct library_image {
	char digest[HASH_HEX];
	char *dir, *rootfs;
	char *source; /* where it came from, in words */
	char **tags;  /* "name:version", in order; NULL-terminated */
	struct oci_config config;
	int64_t size_bytes, created_wall_ms, memory_mb;
};

/* By name, name:version, or digest (with or without "sha256:", or its first digits): 1 found, 0 not, -1 err. CONFLICT when the
 * digits fit several. */
int library_find(const char *home, const char *ref, struct library_image *out, struct err *err);
void library_release(struct library_image *image);
/* All, the newest first. *out allocated (library_list_free). */
int library_list(const char *home, struct library_image **out, size_t *n, struct err *err);
void library_list_free(struct library_image *list, size_t n);

/* name[:version] with the version that is meant. INVALID for a name that cannot be one. */
int library_tag_full(const char *tag, char out[LIBRARY_TAG_MAX + 1], struct err *err);
/* A tag from the last part of a name like "registry.org/team/app:1", as near as it gets. */
void library_tag_from(const char *name, char out[LIBRARY_TAG_MAX + 1]);
/* Let a full tag stand for this image from now on. */
int library_tag(const char *home, const char *tag, const char *digest, struct err *err);
/* NOT_FOUND when there is none. */
int library_untag(const char *home, const char *tag, struct err *err);
/* The image and all its tags. */
int library_remove(const char *home, const char *digest, struct err *err);

struct library_facts {
	const char *source;
	bool shell, systemd; /* what a template can run, and how much memory is needed */
};

/* Take a finished folder (rootfs.ext4 in it) in. An image that is there already stays. */
int library_add(const char *home, const char *dir, const struct buf *config, const struct library_facts *facts,
	char digest[HASH_HEX], struct err *err);
/* A new folder for what is being made, and away with those that were left. */
char *library_scratch(const char *home, struct err *err);
void library_sweep(const char *home);

#endif
