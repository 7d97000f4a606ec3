/*
 * oci: the documents of container images: index, manifest and configuration (OCI image-spec 1.1, Docker image manifest version 2
 * schema 2), and the manifest.json of `docker save`. All are foreign: refused when they say something else than these formats do.
 */
#ifndef SBX_IMAGE_OCI_H
#define SBX_IMAGE_OCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/image/hash.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"

#define OCI_DOCUMENT_MAX ((size_t)4 << 20)
#define OCI_LAYERS_MAX 256u
#define OCI_BLOB_MAX ((int64_t)16 << 30)

/* The Accept header of a request for a manifest. */
#define OCI_ACCEPT                                                                                                                 \
	"application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "                                    \
	"application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"

struct oci_blob {
	char sha[HASH_HEX]; /* of its bytes; "" = nobody said */
	int64_t size;	    /* -1 = nobody said */
	char *path;	    /* in an archive of `docker save`, or NULL */
};

struct oci_manifest {
	struct oci_blob config, *layers; /* the lowest first */
	size_t layer_count;
};

/* What an image wants of whoever runs it; lists are NULL-terminated and never NULL. */
struct oci_config {
	char **env, **entrypoint, **cmd; /* env: "K=V" */
	char **ports, **labels;		 /* "80/tcp"; "K=V" */
	char *user, *workdir;		 /* "" when it has no word on it */
	char **layers;			 /* SHA-256 of each layer, unpacked */
	size_t layer_count;
};

/* An index or a manifest, by what it says it is: 1 index (*chosen is its manifest for linux/amd64), 0 manifest. -1 with err.
 * NOT_FOUND when the index has none for this machine, CONFLICT when it has several. */
int oci_read_manifest(const char *text, size_t n, struct oci_manifest *out, struct oci_blob *chosen, struct err *err);
/* manifest.json of `docker save`. CONFLICT when it holds several images. */
int oci_read_saved(const char *text, size_t n, struct oci_manifest *out, struct err *err);
/* FORBIDDEN when it is for another machine. */
int oci_read_config(const char *text, size_t n, struct oci_config *out, struct err *err);

void oci_manifest_free(struct oci_manifest *m);
void oci_config_free(struct oci_config *c);

/* "sha256:<64 hex digits>" into out. INVALID for anything else. */
int oci_digest(const char *text, char out[HASH_HEX], struct err *err);

/* The configuration of an image whose file system has this hash: a document as above. c: its layers do not count; may be NULL. */
void oci_write_config(const struct oci_config *c, const char *sha, struct buf *out);
/* The configuration that stands for a plain root file system with this hash: a document as above. */
void oci_write_plain(const char *sha, struct buf *out);

#endif
