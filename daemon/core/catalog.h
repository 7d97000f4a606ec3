/*
 * catalog: what sandboxes can be made from, and how fast they will run here: images that we make ourselves by a recipe, and the
 * user's own, by tag (name:version) or digest. Making things is builder's and importer's part.
 */
#ifndef SBX_CORE_CATALOG_H
#define SBX_CORE_CATALOG_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/core/core.h"
#include "shared/base/err.h"

struct catalog_image {
	char *name;	    /* recipe, tag, or first digits of the digest */
	const char *state;  /* built, building or unbuilt */
	char *key, *kernel; /* NULL unless built */
	int64_t size_bytes, created_ms;
	/* of the user's own; NULL, also the lists, for others */
	char *digest; /* "sha256:..." */
	char *source, *user, *workdir;
	char **tags, **env, **entrypoint, **cmd, **ports, **labels; /* NULL-terminated; env and labels "K=V" */
};

/* By any name. NOT_FOUND with a hint. Release with catalog_release. */
int catalog_get(struct core *core, const char *name, struct catalog_image *out, struct err *err);
void catalog_release(struct catalog_image *image);
/* Recipes, then the user's own by tag, then those without one. */
int catalog_each(struct core *core, void (*cb)(void *arg, const struct catalog_image *image), void *arg, struct err *err);

/* What a sandbox is to be made of. */
struct catalog_choice {
	char *name;   /* for builder_wait and resolve_find: a recipe, or "sha256:..." */
	char *digest; /* without "sha256:", or NULL */
	char **env;   /* the image's, or NULL */
	unsigned memory_mb;
};
int catalog_choose(struct core *core, const char *name, struct catalog_choice *out, struct err *err);
void catalog_choice_free(struct catalog_choice *c);
/* Who commands run as, and where, when nobody says it: of the image with this digest (NULL: of none). NULLs when it has no word. */
void catalog_defaults(struct core *core, const char *digest, char **user, char **workdir);

/* Another tag for one of the user's own (name: any of it). INVALID for a tag that is ours. full (128 bytes) is the tag as it is
 * kept. */
#define CATALOG_TAG_SIZE 129
int catalog_tag(struct core *core, const char *name, const char *tag, char full[CATALOG_TAG_SIZE], struct err *err);
/* The tag that is meant, or one from the last part of `from`. */
int catalog_tag_name(const char *tag, const char *from, char full[CATALOG_TAG_SIZE], struct err *err);
/* Take a tag away, and the image with its last one. STATE while sandboxes use it. */
int catalog_remove(struct core *core, const char *name, struct err *err);

/* "kvm" or "tcg" and why, or NULL while it is not known. */
const char *catalog_acceleration(const struct core *core, char reason[256]);

#endif
