/*
 * resolve: an image by the word that people use for it: a recipe of ours, or an image of the user's library. Its canonical name is
 * the recipe's, or "sha256:<digest>".
 */
#ifndef SBX_IMAGE_RESOLVE_H
#define SBX_IMAGE_RESOLVE_H

#include <stdbool.h>

#include "daemon/image/image.h"
#include "shared/base/err.h"

/* Is it the name of a recipe? A name of ours with a version is none, and may be a user's tag. */
bool resolve_is_recipe(const char *name);
/* By canonical name. 1 found, 0 it (or its kernel) must be built, -1 err. Reads files only. */
int resolve_find(const char *home, const char *cache, const char *name, struct image *out, struct err *err);
struct resolve_job {
	const char *home, *cache, *name;
	image_progress *progress;
	void *arg;
};
/* The same for the builder: what is missing is built. */
int resolve_build(const struct resolve_job *job, struct image *out, struct err *err);

#endif
