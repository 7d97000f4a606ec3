/*
 * recipe: how the root file systems that we make ourselves are made: one row each.
 */
#ifndef SBX_IMAGE_RECIPE_H
#define SBX_IMAGE_RECIPE_H

#include <stdbool.h>

#include "daemon/image/image.h"
#include "daemon/image/rootfs.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"

/* The tree of a root file system in the making. */
struct tree_job {
	const char *cache;
	const char *tmp;     /* a folder for scratch files */
	const char *dir;     /* where the tree is to be; not there yet */
	const char *busybox; /* when the recipe has one */
	struct buf *owners;  /* debugfs commands that set owners; left empty, the tree's own are kept */
	image_progress *progress;
	void *arg;
	struct err *err;
};

struct recipe {
	const char *name;
	int version;  /* raise when the same inputs shall give another image */
	bool busybox; /* this machine's is one of its inputs */
	struct disk_shape disk;
	unsigned memory_mb;	 /* for VMs whose memory nobody names */
	const char *const *warm; /* commands that a template runs before it is kept, see struct image */
	int (*make)(const struct tree_job *job);
};

/* NULL when there is none of that name. */
const struct recipe *recipe_find(const char *name);
/* All names; NULL-terminated. */
const char *const *recipe_names(void);

#endif
