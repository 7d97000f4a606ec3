/*
 * layer: one tar of an image into the tree: a layer with whiteouts, or a root file system as it is.
 */
#ifndef SBX_IMAGE_LAYER_H
#define SBX_IMAGE_LAYER_H

#include <stdbool.h>

#include "daemon/image/ext4.h"
#include "daemon/image/merge.h"
#include "daemon/image/tar.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"

struct layer_target {
	struct ext4 *disk; /* takes the contents at once */
	struct merge *tree;
	void (*tick)(void *arg, uint64_t bytes); /* now and then, with the unpacked bytes; may be NULL */
	void *arg;
};

/* Take entries from t up to its end; `first` is one that has been read already, or NULL. INVALID for an entry that leads out of the
 * image. */
int layer_apply(struct tar *t, const struct tar_entry *first, bool whiteouts, const struct layer_target *to, struct err *err);

/* The name without leading slashes, "." and doubled slashes, appended to out; INVALID when it holds "..". */
int layer_path(const char *path, struct buf *out, struct err *err);

#endif
