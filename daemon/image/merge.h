/*
 * merge: the tree that the layers of an image make, in memory, before it is written to a disk. Layers are added from the lowest up;
 * whiteouts take away what lower layers brought (OCI image-spec, layer.md).
 *
 * Names are resolved inside the tree only: a symlink among the parents of a name is followed from the tree's own top, as a
 * program in the image would follow it, and ".." ends there. No name ever reaches the host's file system.
 */
#ifndef SBX_IMAGE_MERGE_H
#define SBX_IMAGE_MERGE_H

#include <stdbool.h>

#include "daemon/image/ext4.h"
#include "shared/base/err.h"

#define MERGE_FILES_MAX 1000000u
#define MERGE_DEPTH_MAX 512u
#define MERGE_NAME_MAX 255u
#define MERGE_PATH_MAX 4096u

struct merge;

struct merge_entry {
	struct ext4_meta meta; /* xattrs are copied */
	const char *target;    /* of a symlink */
	uint32_t ino;	       /* of a regular file: its contents on the disk */
};

struct merge *merge_new(struct ext4 *disk);
void merge_free(struct merge *m);

/* What follows belongs to the next layer. */
void merge_begin_layer(struct merge *m);
/* Put an entry at path (relative, without "." and ".."; "" is the top), in place of what is there; a folder over a folder keeps
 * its contents. Missing parents are made. INVALID for what cannot be. */
int merge_put(struct merge *m, const char *path, const struct merge_entry *e, struct err *err);
/* Another name for the file at target, which is there. */
int merge_hard_link(struct merge *m, const char *path, const char *target, struct err *err);
/* Take away what lower layers have at path, or everything of theirs in the folder path; nothing there is no error. */
int merge_whiteout(struct merge *m, const char *path, struct err *err);
int merge_opaque(struct merge *m, const char *path, struct err *err);
/* Make a folder unless there is something of that name. */
int merge_need_folder(struct merge *m, const char *path, mode_t mode, struct err *err);

/* Is there a file at path, symlinks followed? */
bool merge_has_file(struct merge *m, const char *path);

/* Names, owners and modes onto the disk. Nothing may be added after it. */
int merge_write(struct merge *m, struct err *err);

#endif
