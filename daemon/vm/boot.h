/*
 * boot: one blocking start of an image from its kernel, up to the agent's answer. For the builder: templates are
 * made of it, and it is the proof that an acceleration works.
 */
#ifndef SBX_VM_BOOT_H
#define SBX_VM_BOOT_H

#include <sys/types.h>

#include "daemon/image/image.h"
#include "daemon/vm/machine.h"
#include "daemon/vm/probe.h"

struct boot {
	char *dir; /* disk.qcow2, console.log, sockets: the caller removes it */
	char *disk, *console;
	int ram_fd; /* its memory */
	pid_t pid;
	int log_fd;
	struct probe probe;
};

/* Start image in dir (existing, empty). m: qemu, accel, vcpus, memory_mb, tsc_khz are read. Returns when the agent has answered; -1
 * with err (the last words of the guest or the VMM in it) when it has not within timeout_ms; then nothing is left running. */
int boot_start(
	struct boot *b, const struct image *image, const struct machine *m, const char *dir, int timeout_ms, struct err *err);
/* Wait up to timeout_ms for the VMM to end by itself; then, or with 0, kill it. Releases b. */
void boot_end(struct boot *b, int timeout_ms);

#endif
