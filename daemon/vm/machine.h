/*
 * machine: the QEMU command line of our one kind of machine. The template's boot and every restore must describe the
 * same devices in the same order, so both come from here. Source: reference/vm-lab.md.
 */
#ifndef SBX_VM_MACHINE_H
#define SBX_VM_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/vm/template.h"

#define MACHINE_VERSION 2 /* raise when the command line changes: old templates cannot be restored with it */
#define MACHINE_QEMU "qemu-system-x86_64"

/* Of the second drive, whatever is on it: the guest of a template remembers it. */
#define MACHINE_FS_SIZE ((uint64_t)64 << 30)

struct machine {
	const char *qemu; /* absolute path */
	const char *name; /* shows in the process list */
	enum vm_accel accel;
	unsigned vcpus, memory_mb;
	const char *ram; /* file that holds the memory */
	bool ram_shared; /* write to it (template), or keep changes private (restore) */
	const char *disk;
	const char *fs_disk; /* raw file of MACHINE_FS_SIZE for the second drive, read-only; NULL: zeros */
	/* Descriptors, as the VMM will see them. net_fd: -1 = the NIC has no peer. */
	int agent_fd, qmp_fd, net_fd;
	/* Boot only; a restore has no kernel and waits for its state over QMP. */
	const char *kernel, *initrd, *console; /* console: file for the serial port's output */
	uint64_t tsc_khz;
};

/* Allocated vector, NULL-terminated: machine_argv_free. */
char **machine_argv(const struct machine *m);
void machine_argv_free(char **argv);

/* The first executable of that name in PATH, allocated; NOT_FOUND with a hint. */
char *machine_find_qemu(struct err *err);

#endif
