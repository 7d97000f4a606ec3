/*
 * info: what is to be known of a frozen machine beside its memory, devices and disk, as JSON: template.json of a template,
 * base.json of a base, vm.json of a snapshot. Unknown members are skipped.
 */
#ifndef SBX_VM_INFO_H
#define SBX_VM_INFO_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/vm/template.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"

struct vm_info {
	char *image, *qemu; /* name of the image; QEMU's version */
	enum vm_accel accel;
	int64_t vcpus, memory_mb;
	int64_t machine; /* MACHINE_VERSION */
	int64_t tsc_khz, created_ms;
	/* of a snapshot */
	char *name, *parent; /* or NULL */
	char **env;	     /* "K=V", NULL-terminated, or NULL */
	int64_t stored;	     /* bytes that the store had for it when it was made (keep.h); 0: not known */
	/* the tree that is mounted in it: its id, where, and the label that it came from (or NULL); NULL: none */
	char *fs_tree, *fs_path, *fs_label;
};

/* INVALID for what is damaged or no such thing. vm_info_free in any case. */
int vm_info_read(const char *text, size_t n, struct vm_info *out, struct err *err);
/* From a file: IO too. */
int vm_info_load(const char *path, struct vm_info *out, struct err *err);
void vm_info_write(const struct vm_info *info, struct buf *out);
void vm_info_free(struct vm_info *info);

#endif
