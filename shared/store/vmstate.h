/*
 * vmstate: a stopped VM as one tree: the file `vm.json` (what the caller knows of it), the file `state` (its devices), the
 * images `ram` and `disk` (blocks.h), and the folder `fs`, a tree that is mounted in it. Each may be missing but for vm.json.
 * Pinned or labelled it lives; pushed and cloned it is whole.
 */
#ifndef SBX_STORE_VMSTATE_H
#define SBX_STORE_VMSTATE_H

#include "shared/store/store.h"

#define VMSTATE_INFO_MAX ((size_t)1 << 20)
#define VMSTATE_STATE_MAX ((size_t)64 << 20)

struct vmstate {
	struct buf info, state; /* state: empty for none */
	bool has_ram, has_disk, has_fs;
	struct hash ram, disk; /* trees of blocks */
	struct hash fs;
};
/* The tree, put into a write that the caller began. TOO_LARGE beyond the bounds above. */
int vmstate_put(struct store *s, const struct vmstate *v, struct hash *out, struct err *err);
/* INVALID when the tree is none of these (what the images are is for blocks.h to say). vmstate_free, also after a failure. */
int vmstate_open(struct store *s, const struct hash *id, struct vmstate *out, struct err *err);
void vmstate_free(struct vmstate *v);

#endif
