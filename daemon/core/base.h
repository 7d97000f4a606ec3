/*
 * base: what sandboxes stand on: the files of a template, and its memory.
 *
 * A home keeps the files of every template that a sandbox of it was made from, in $SBX_HOME/bases/<key>/ (hard links where that
 * goes, copies elsewhere): base.json (template.json), ram, state, disk.qcow2 over rootfs.ext4 or a whole disk.raw, vmlinux, initrd.
 * So the cache may be emptied, and images rebuilt, whatever is paused or stopped here. A base goes when no sandbox has needed it
 * for a while. Its memory is loaded once into a sealed file in memory (vm/ram.h) that all its VMs share. Thread: the loop's;
 * loading has a worker.
 */
#ifndef SBX_CORE_BASE_H
#define SBX_CORE_BASE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/core/core.h"
#include "daemon/vm/info.h"
#include "daemon/vm/template.h"
#include "daemon/vm/vm.h"
#include "shared/base/err.h"

#define BASE_DISKS_MAX 2

struct base {
	char *key, *dir, *ram, *state, *kernel, *initrd;
	struct vm_info info;
	struct vm_disk disk[BASE_DISKS_MAX];
	unsigned disk_count;
	int ram_fd; /* -1 while it is being loaded */
};

struct bases;
struct base_wait;

struct bases *bases_new(struct core *core);
/* Handles close by the loop. Waits are over without a callback. */
void bases_close(struct bases *b);

/* Keep the files of a template (again is cheap). */
int base_keep(struct bases *b, const struct template *t, struct err *err);
/* The base of that key if it is in memory, else NULL. Valid until the loop turns. */
struct base *base_ready(struct bases *b, const char *key);
/* Bring it into memory and call back, from the loop: base NULL with err (NOT_FOUND when this home does not have it). */
typedef void base_cb(void *arg, struct base *base, const struct err *err);
struct base_wait *base_load(struct bases *b, const char *key, base_cb *cb, void *arg);
void base_forget(struct base_wait *w);
/* Remove what no sandbox has needed for a while, from memory and disk. */
void bases_sweep(struct bases *b);
/* Path of a base's folder, allocated. */
char *base_dir(const struct bases *b, const char *key);

#endif
