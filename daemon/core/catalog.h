/*
 * catalog: what sandboxes can be made from, and how fast they will run here. Looks at the cache only; making things is
 * builder's part.
 */
#ifndef SBX_CORE_CATALOG_H
#define SBX_CORE_CATALOG_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/core/core.h"
#include "shared/base/err.h"

struct catalog_image {
	const char *name;
	const char *state;  /* built, building or unbuilt */
	char *key, *kernel; /* NULL unless built */
	int64_t size_bytes, created_ms;
};

/* NULL-terminated. */
const char *const *catalog_names(void);
/* NOT_FOUND with a hint for a name that is not one of them. */
int catalog_check(const char *name, struct err *err);
/* The memory of VMs of an image when nobody names it. */
unsigned catalog_memory_mb(const char *name);
/* Release with catalog_release. */
void catalog_get(struct core *core, const char *name, struct catalog_image *out);
void catalog_release(struct catalog_image *image);

/* "kvm" or "tcg" and why, or NULL while it is not known. */
const char *catalog_acceleration(const struct core *core, char reason[256]);

#endif
