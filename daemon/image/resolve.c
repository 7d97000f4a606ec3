#include "daemon/image/resolve.h"

#include <string.h>

#include "daemon/image/bundle.h"
#include "daemon/image/library.h"
#include "shared/base/mem.h"

bool resolve_is_recipe(const char *name)
{
	for (const char *const *r = image_recipes(); *r; r++)
		if (!strcmp(*r, name))
			return true;
	return false;
}

/* 1 and its folder (allocated), 0 for a recipe, -1. */
static int library_folder(const char *home, const char *name, char **dir, struct err *err)
{
	struct library_image image;

	if (resolve_is_recipe(name))
		return 0;
	int found = library_find(home, name, &image, err);
	if (found == 0) {
		err_set(err, ERR_NOT_FOUND, "no image '%s'", name);
		return err_hint(err, "list them with: sbx image ls");
	}
	if (found == 1)
		*dir = mem_strdup(image.dir);
	library_release(&image);
	return found;
}

int resolve_find(const char *home, const char *cache, const char *name, struct image *out, struct err *err)
{
	auto_free char *dir = NULL;

	*out = (struct image){ 0 };
	int own = library_folder(home, name, &dir, err);
	if (own < 0)
		return -1;
	return own ? image_open(cache, dir, out, err) : image_find(cache, name, out, err);
}

int resolve_build(const struct resolve_job *job, struct image *out, struct err *err)
{
	struct bundle bundle;
	int found = resolve_find(job->home, job->cache, job->name, out, err);

	if (found)
		return found < 0 ? -1 : 0;
	if (resolve_is_recipe(job->name))
		return image_build(job->cache, job->name, job->progress, job->arg, out, err);
	if (bundle_build(job->cache, job->progress, job->arg, &bundle, err))
		return -1;
	bundle_free(&bundle);
	found = resolve_find(job->home, job->cache, job->name, out, err);
	return found == 1 ? 0 : found < 0 ? -1 : err_set(err, ERR_INTERNAL, "the kernel was built but cannot be found");
}
