/*
 * import: a stream of bytes becomes an image of the library. The stream is a tar, plain or packed, of an OCI layout, of `docker
 * save` (either form), or of a root file system; which one, its first entry tells. Blobs of the first two are kept in a scratch
 * folder while the image is made. For the builder process: blocking.
 */
#ifndef SBX_IMAGE_IMPORT_H
#define SBX_IMAGE_IMPORT_H

#include "daemon/image/hash.h"
#include "daemon/image/image.h"
#include "daemon/image/tar.h"
#include "daemon/image/unpack.h"
#include "shared/base/err.h"

struct import_place {
	const char *home;
	const char *scratch; /* a new folder in the library, the caller's to remove */
	image_progress *progress;
	void *arg;
};

int import_stream(tar_read *read, void *arg, const struct import_place *place, char digest[HASH_HEX], struct err *err);

/* From a manifest on, wherever its blobs come from: what import and pull share. */
int import_manifest(const struct unpack_source *from, const struct oci_manifest *manifest, const struct import_place *place,
	const char *source, char digest[HASH_HEX], struct err *err);

#endif
