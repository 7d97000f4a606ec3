/*
 * template: a booted image as files: RAM, device state, frozen disk. Creating a VM is restoring one.
 *
 * Lives in $SBX_CACHE/templates/<key>/ with template.json, ram, state, disk.qcow2; made in a temporary folder and
 * renamed when whole, under a lock file, so that any number of daemons may share a cache. The key hashes everything
 * the saved state depends on: image key, QEMU version, acceleration, vCPUs, memory, command line, host TSC rate.
 */
#ifndef SBX_VM_TEMPLATE_H
#define SBX_VM_TEMPLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/image/image.h"
#include "shared/base/err.h"

enum vm_accel { VM_ACCEL_TCG, VM_ACCEL_KVM };

struct template
{
	char *key, *dir;
	char *ram, *state, *disk; /* paths */
	char *image_name, *image_dir, *kernel, *initrd, *rootfs;
	enum vm_accel accel;
	unsigned vcpus, memory_mb;
};

/* The template of an image in a shape, if it is built: 1 found (template_free it), 0 not, -1 err. Reads files only. */
int template_find(
	const char *cache, const struct image *image, unsigned vcpus, unsigned memory_mb, struct template *out, struct err *err);
/* Build it (blocking, seconds): for the builder process, never for the daemon's loop. `progress` may be NULL. */
typedef void build_progress(void *arg, const char *phase, const char *text);
int template_build(const char *cache, const struct image *image, unsigned vcpus, unsigned memory_mb, build_progress *progress,
	void *arg, struct template *out, struct err *err);
void template_free(struct template *t);

/* Which acceleration works here, decided once per machine boot and QEMU version by a real boot to the agent, remembered in
 * $SBX_CACHE/accel.json with the reason in words. Blocking when it must be found out. SBX_ACCEL=tcg|kvm overrides. */
int accel_decide(const char *cache, const struct image *image, enum vm_accel *out, char reason[256], struct err *err);
/* What accel_decide found earlier, without finding out: 1 known, 0 not yet, -1 err. Reads a file only. */
int accel_known(const char *cache, enum vm_accel *out, char reason[256], struct err *err);
const char *accel_name(enum vm_accel accel);

#endif
