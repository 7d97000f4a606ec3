/*
 * accel: what is known about this machine since it was started: which acceleration works, QEMU's version, the rate of
 * the time stamp counter. Kept in $SBX_CACHE/accel.json, valid for one boot id and one QEMU binary.
 */
#ifndef SBX_VM_ACCEL_H
#define SBX_VM_ACCEL_H

#include <stdint.h>

#include "daemon/vm/template.h"

struct accel_facts {
	char *qemu;	   /* path */
	char qemu_id[128]; /* size, mtime and inode of the binary */
	char version[128]; /* "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)" */
	char boot_id[64];
	enum vm_accel accel; /* SBX_ACCEL counts */
	char reason[256];
	uint64_t tsc_khz;
};

/* Read them: 1 known, 0 not yet (qemu, qemu_id, boot_id are set all the same), -1 err. accel_facts_free in any case. */
int accel_facts_read(const char *cache, struct accel_facts *out, struct err *err);
/* Read them or find them out (blocking; boots `image` where KVM may work) and remember. */
int accel_facts_get(const char *cache, const struct image *image, struct accel_facts *out, struct err *err);
void accel_facts_free(struct accel_facts *f);

/* Is hardware virtualisation in this text of /proc/cpuinfo? */
bool accel_cpu_can(const char *cpuinfo);

#endif
