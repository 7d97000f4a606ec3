/*
 * vm: the VMM port. One running microVM as a child process, whatever VMM runs it; qemu.c is the driver.
 *
 * The process outlives the daemon. It is known by pid and start time (field 22 of /proc/PID/stat) and watched by pidfd,
 * so that a restarted daemon can adopt it and a recycled pid is never mistaken for it.
 * Create is crash-safe in this order: vm_files, vm_spawn (the child exists but waits and dies with the daemon),
 * the caller records pid and start time durably, vm_go (the child becomes the VMM).
 * Everything of a VM is in its dir: disk.qcow2 agent.sock qmp.sock console.log qemu.log.
 * Source: reference/vm-lab.md, Template and restore. Thread: the loop's.
 */
#ifndef SBX_VM_VM_H
#define SBX_VM_VM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "daemon/vm/template.h"
#include "shared/base/err.h"

struct vm_config {
	const char *id;             /* sandbox id, shows in the process list */
	const char *dir;            /* existing folder of this VM, absolute */
	const struct template *tmpl;
	bool net;                   /* outbound network through sbx-net; else the NIC has no peer */
};

struct vm;
typedef void vm_exit_cb(struct vm *vm, void *arg);

/* Write the VM's own files into dir (overlay disk over the template's). */
int vm_files(const struct vm_config *config, struct err *err);
/* Fork the VMM process, held before exec. on_exit is called once when it has ended for whatever reason. */
struct vm *vm_spawn(uv_loop_t *loop, const struct vm_config *config, vm_exit_cb *on_exit, void *arg, struct err *err);
int vm_go(struct vm *vm, struct err *err);
/* Watch a VMM that an earlier daemon started. NULL with NOT_FOUND when that process is gone. */
struct vm *vm_adopt(uv_loop_t *loop, const char *dir, pid_t pid, uint64_t start_time, vm_exit_cb *on_exit, void *arg, struct err *err);
pid_t vm_pid(const struct vm *vm);
uint64_t vm_start_time(const struct vm *vm);
/* Path of the agent socket in a VM's dir: allocated. */
char *vm_agent_socket(const char *dir);
/* SIGKILL (also ends a stopped process); on_exit follows. */
void vm_kill(struct vm *vm);
/* Forget; does not kill. No callback follows. */
void vm_free(struct vm *vm);
/* Kill a recorded process if it is still that one, and wait up to 2 s for its end. For recovery, before the loop runs. */
void vm_kill_recorded(pid_t pid, uint64_t start_time);
/* Start time of a pid in clock ticks since boot; 0 when there is no such process. */
uint64_t proc_start_time(pid_t pid);
/* Private memory of the process in KiB (Private_Clean + Private_Dirty of smaps_rollup), 0 when unknown. */
int64_t proc_private_kb(pid_t pid);

#endif
