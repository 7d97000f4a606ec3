/*
 * vm: the VMM port. One running microVM as a child process, whatever VMM runs it; qemu.c is the driver.
 *
 * The process outlives the daemon. It is known by pid and start time (field 22 of /proc/PID/stat) and watched by pidfd,
 * so that a restarted daemon can adopt it and a recycled pid is never mistaken for it.
 * Create is crash-safe in this order: vm_files, vm_spawn (the child exists but waits and dies with the daemon),
 * the caller records pid and start time durably, vm_go (the child becomes the VMM).
 * Everything of a VM is in its dir: disk.qcow2 agent.sock qmp.sock, and after its end qemu.log, if the VMM complained (at most
 * 64 KiB; while it runs they are in memory). The guest's serial console is on record in the template only: a hostile
 * guest could fill the disk with it. freeze.h takes its state.
 * Source: reference/vm-lab.md, Template and restore. Thread: the loop's.
 */
#ifndef SBX_VM_VM_H
#define SBX_VM_VM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "daemon/vm/template.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"

/* A file of a disk's chain. */
struct vm_disk {
	const char *path;
	bool raw; /* else qcow2; the names of backing files in their headers do not count */
};

struct vm_config {
	const char *id;	 /* sandbox id, shows in the process list */
	const char *dir; /* existing folder of this VM, absolute */
	enum vm_accel accel;
	unsigned vcpus, memory_mb;
	int ram_fd;	   /* memory to start from (ram.h); stays the caller's */
	const char *state; /* file with the stream to restore (stream.h), or NULL: boot from these: */
	const char *kernel, *initrd;
	uint64_t tsc_khz;
	/* Top first; the top, which is written to, is disk.qcow2 of dir. */
	const struct vm_disk *disk, *fs; /* fs: the second drive, read-only; none: an empty one */
	unsigned disk_count, fs_count;
	bool net;	       /* outbound network through sbx-net; else the NIC has no peer */
	const char *net_rules; /* the only destinations that it has (egress.h), or NULL: the world */
};

struct vm;
typedef void vm_exit_cb(struct vm *vm, void *arg);

/* Make path an empty overlay, as large as the disk below. */
int vm_overlay(const char *path, const struct vm_disk *below, struct err *err);
/* Fork the VMM process, held before exec; agent.sock can be connected to from now on. on_exit is called once when it has ended
 * for whatever reason; vm_free may be called from it. */
struct vm *vm_spawn(uv_loop_t *loop, const struct vm_config *config, vm_exit_cb *on_exit, void *arg, struct err *err);
/* Let it start: it restores its state, or boots, and the guest runs, with no further word from us. */
int vm_go(struct vm *vm, struct err *err);
/* Watch a VMM that an earlier daemon started. NULL with NOT_FOUND when that process is gone. */
struct vm *vm_adopt(
	uv_loop_t *loop, const char *dir, pid_t pid, uint64_t start_time, vm_exit_cb *on_exit, void *arg, struct err *err);
pid_t vm_pid(const struct vm *vm);
uint64_t vm_start_time(const struct vm *vm);
/* Path of the agent socket in a VM's dir: allocated. It may be longer than a socket's address can be (107 bytes). */
char *vm_agent_socket(const char *dir);
/* What the VMM has complained of so far, appended to out; nothing for an adopted one that says nothing. */
void vm_log(const struct vm *vm, struct buf *out);
/* SIGKILL (also ends a stopped process); on_exit follows. */
void vm_kill(struct vm *vm);
/* Forget; does not kill. No callback follows. */
void vm_free(struct vm *vm);
/* Kill a recorded process if it is still that one, and wait up to 2 s for its end. For recovery, before the loop runs. */
void vm_kill_recorded(pid_t pid, uint64_t start_time);
/* Start time of a pid in clock ticks since boot; 0 when there is no such process. */
uint64_t proc_start_time(pid_t pid);
/* Memory of the process that no other shares, in KiB, 0 when unknown: Anonymous of smaps_rollup. Its Private_* fields are of no
 * use: they count the page cache of QEMU's program and of the template as private to a VM while it is the only one. */
int64_t proc_private_kb(pid_t pid);

#endif
