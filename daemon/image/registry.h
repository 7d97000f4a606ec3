/*
 * registry: images from a registry (Docker Registry HTTP API v2, which the OCI distribution-spec describes). Only pulls.
 *
 * Blobs are kept in <cache>/blobs/sha256/<hash>; one that is cut goes on where it was ("<hash>.part"). Every byte is checked by
 * its hash before it is used. http is for registries of this machine, unless it is allowed by name. For the builder process.
 */
#ifndef SBX_IMAGE_REGISTRY_H
#define SBX_IMAGE_REGISTRY_H

#include <stdbool.h>

#include "daemon/image/hash.h"
#include "daemon/image/image.h"
#include "daemon/image/oci.h"
#include "daemon/image/unpack.h"
#include "shared/base/err.h"

/* [docker://|https://|http://][HOST[:PORT]/]NAME[:TAG][@sha256:HASH], with what is left out filled in. */
struct registry_ref {
	char host[256];	       /* with the port; brackets around an IPv6 address */
	char repository[256];  /* "library/debian" */
	char tag[129];	       /* "" when there is a digest */
	char digest[HASH_HEX]; /* "" when there is a tag */
	bool https, http;      /* by name; neither: https, or http for this machine */
};

/* What a registry wants to know (WWW-Authenticate). */
struct registry_challenge {
	enum { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER } kind;
	char realm[1024], service[256], scope[512];
};

struct registry_login {
	const char *user, *password; /* or NULL */
	bool plain_http;
};

struct registry;

int registry_parse(const char *text, struct registry_ref *out, struct err *err);
/* A bearer challenge is taken before a basic one; what makes no sense is none. */
void registry_challenge(const char *header, struct registry_challenge *out);

/* The manifest for linux/amd64. NULL with err: UNAUTHORIZED, NOT_FOUND, ... */
struct registry *registry_open(const char *cache, const struct registry_ref *ref, const struct registry_login *login,
	image_progress *progress, void *arg, struct err *err);
void registry_close(struct registry *r);
const struct oci_manifest *registry_manifest(const struct registry *r);
/* Its blobs: fetched when they are opened, unless they are in the cache. */
void registry_source(struct registry *r, struct unpack_source *out);
/* Fetch all blobs of the manifest ahead. */
int registry_fetch(struct registry *r, struct err *err);
/* Remove blobs from the cache that nobody has used for a month. */
void registry_prune(const char *cache);

#endif
