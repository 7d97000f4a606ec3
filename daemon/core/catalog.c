#include "daemon/core/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/internal.h"
#include "daemon/image/image.h"
#include "daemon/vm/template.h"
#include "shared/base/mem.h"

const char *const *catalog_names(void)
{
	return image_recipes();
}

int catalog_check(const char *name, struct err *err)
{
	for (const char *const *n = image_recipes(); *n; n++)
		if (!strcmp(*n, name))
			return 0;
	err_set(err, ERR_NOT_FOUND, "no image '%s'", name);
	return err_hint(err, "list them with: sbx image ls");
}

unsigned catalog_memory_mb(const char *name)
{
	return image_memory_mb(name);
}

void catalog_get(struct core *core, const char *name, struct catalog_image *out)
{
	struct image image = { 0 };
	bool built = image_find(core->cache, name, &image, NULL) == 1;
	*out = (struct catalog_image){ .name = name, .state = built ? "built" : "unbuilt" };
	if (builder_is_building(core->builder, name))
		out->state = "building";
	if (!built)
		return;
	out->key = mem_strdup(image.key);
	out->kernel = mem_strdup(image.kernel_version);
	out->size_bytes = image.size_bytes;
	out->created_ms = image.created_wall_ms;
	image_free(&image);
}

void catalog_release(struct catalog_image *image)
{
	free(image->key);
	free(image->kernel);
}

const char *catalog_acceleration(const struct core *core, char reason[256])
{
	enum vm_accel accel;
	return accel_known(core->cache, &accel, reason, NULL) == 1 ? accel_name(accel) : NULL;
}
