/*
 * machine: the QEMU command line of our one kind of machine. The template's boot and every restore must describe the
 * same devices in the same order, so both come from here. Source: reference/vm-lab.md.
 */
#ifndef SBX_VM_MACHINE_H
#define SBX_VM_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/vm/template.h"

#define MACHINE_VERSION 4 /* raise when the command line changes: old templates cannot be restored with it */
/* Its loading (50 libraries, 236,000 relocations) is 15 of the 30 ms of processor time that a start costs. The same package's
 * qemu-system-x86_64-microvm loads in 4 ms with 5 MB less of private memory, but it has no TCG and no -sandbox: a matter for KVM.
 */
#define MACHINE_QEMU "qemu-system-x86_64"

/* Disks are chains of files, each with what the one below has not: the top is written to, the rest only read. */
#define MACHINE_CHAIN_MAX 24

struct machine_disk {
	int fd;
	bool raw; /* else qcow2 */
};

/* Descriptors are named by the numbers that the VMM will see them under. It gets no path but of its own program, as it is
 * shut away from all others (jail.h). */
struct machine {
	const char *qemu; /* absolute path */
	const char *name; /* shows in the process list */
	enum vm_accel accel;
	unsigned vcpus, memory_mb;
	int ram_fd;			      /* memory to start from; what the guest changes stays its own, */
	bool ram_share;			      /* or, for a template, is written there */
	const struct machine_disk *disk, *fs; /* top first; fs: the second drive, read-only; without one it is empty */
	unsigned disk_count, fs_count;
	int agent_fd, qmp_fd, net_fd; /* net_fd: -1 = the NIC has no peer */
	int state_fd;		      /* restore from this stream (stream.h); -1: boot from these: */
	int kernel_fd, initrd_fd;     /* of spawn_file */
	int console_fd;		      /* file for the serial port's output, open for writing only; or -1 */
	uint64_t tsc_khz;
};

/* Names of the block nodes: the one on top of a chain of n is number n - 1, the lowest 0. */
#define MACHINE_NODE_PREFIX "disk"
#define MACHINE_NODE MACHINE_NODE_PREFIX "%u"
/* Virtual size of the second drive, whatever is behind it: a guest that was restored does not look again. */
#define MACHINE_FS_SIZE ((uint64_t)64 << 30)
/* The arguments of blockdev-add for a qcow2 file that is to go on top of the running chain, as JSON: allocated. */
char *machine_top_json(unsigned node, unsigned fdset);

/* Allocated vector, NULL-terminated: machine_argv_free. */
char **machine_argv(const struct machine *m);
void machine_argv_free(char **argv);

/* The first executable of that name in PATH, allocated; NOT_FOUND with a hint. */
char *machine_find_qemu(struct err *err);

#endif
