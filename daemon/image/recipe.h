/*
 * recipe: how the root file systems that we make ourselves are made: one row each.
 */
#ifndef SBX_IMAGE_RECIPE_H
#define SBX_IMAGE_RECIPE_H

#include <stdbool.h>

#include "daemon/image/image.h"
#include "shared/base/err.h"

/* A disk in the making. */
struct disk_job {
	const char *cache;
	const char *tmp;     /* a folder for scratch files, removed afterwards */
	const char *disk;    /* the new file */
	const char *busybox; /* when the recipe has one */
	image_progress *progress;
	void *arg;
	struct err *err;
};

struct recipe {
	const char *name;
	int version;		 /* raise when the same inputs shall give another image */
	bool busybox;		 /* this machine's is one of its inputs */
	unsigned memory_mb;	 /* for VMs whose memory nobody names */
	const char *const *warm; /* commands that a template runs before it is kept, see struct image */
	int (*make)(const struct disk_job *job);
};

/* NULL when there is none of that name. */
const struct recipe *recipe_find(const char *name);
/* All names; NULL-terminated. */
const char *const *recipe_names(void);

#endif
