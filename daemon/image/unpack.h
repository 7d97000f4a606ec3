/*
 * unpack: from the layers of an image, or the tar of a root file system, to the disk of its sandboxes.
 */
#ifndef SBX_IMAGE_UNPACK_H
#define SBX_IMAGE_UNPACK_H

#include <stdbool.h>

#include "daemon/image/image.h"
#include "daemon/image/oci.h"
#include "daemon/image/tar.h"
#include "shared/base/err.h"

/* Where blobs come from. */
struct unpack_source {
	/* A descriptor at the blob's first byte, or -1. */
	int (*open)(void *arg, const struct oci_blob *blob, struct err *err);
	/* It was not what its name says: not to be used again. May be NULL. */
	void (*drop)(void *arg, const struct oci_blob *blob);
	void *arg;
};

/* What was seen on the way. */
struct unpack_facts {
	bool shell, systemd; /* /bin/sh; systemd as init */
};

struct unpack_job {
	const char *disk; /* the new file */
	struct unpack_facts *facts;
	image_progress *progress;
	void *arg;
};

/* A small blob whole, checked against its hash and size. */
int unpack_document(const struct unpack_source *from, const struct oci_blob *blob, struct buf *out, struct err *err);
/* All layers; each must be what the manifest and the configuration say. */
int unpack_layers(const struct unpack_source *from, const struct oci_manifest *manifest, const struct oci_config *config,
	const struct unpack_job *job, struct err *err);
/* A root file system from t, of which `first` has been read; the hash of the unpacked tar. */
int unpack_plain(struct tar *t, const struct tar_entry *first, const struct unpack_job *job, char sha[HASH_HEX], struct err *err);

#endif
