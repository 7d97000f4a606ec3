/*
 * jail: where a VMM runs, so that a guest that has taken it over has gained nothing.
 *
 * Layers, each on its own, so that one that this host does not allow takes no other away:
 * - user: started by root it gets a uid and gid that no other process has: JAIL_UID_FIRST + its pid on the host. Nothing is owned
 * by them, they are in no /etc/passwd, and they lie where neither distributions, systemd nor containers allot any. Else it stays
 *   its user, in a user namespace that knows no other.
 * - privileges: no capabilities, none to be had by exec, no new privileges. Always; without it nothing is started.
 * - files: a root of its own with /usr, its program, null, zero, urandom and (with KVM) kvm in it, all read-only. Everything else
 *   that it works on it gets as open descriptors; those for reading cannot be opened anew for writing.
 * - processes: it is the first process of a pid namespace, so it sees and signals none but its children, and they end with it.
 * - network: none but loopback of its own. ipc: no shared memory, host name or cgroups of others.
 * - limits: descriptors, processes, locked memory, no core files.
 * On top of that comes QEMU's own system call filter (machine.c).
 *
 * What is to run in the child between clone and exec is safe there in a process with threads: system calls and its own stack.
 * Source: DESIGN.md, security model; namespaces(7), pivot_root(2), mount_setattr(2).
 */
#ifndef SBX_VM_JAIL_H
#define SBX_VM_JAIL_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "shared/base/err.h"

#define JAIL_UID_FIRST 0x7b000000u /* pids end at 2^22 */
#define JAIL_PROCESSES 512	   /* threads included: one a virtual CPU, up to 64 for disks, a few more */
#define JAIL_FILES 1024

enum jail_layer {
	JAIL_USER,
	JAIL_PRIVILEGES,
	JAIL_ROOT,
	JAIL_PIDS,
	JAIL_NETWORK,
	JAIL_IPC,
	JAIL_LIMITS,
	JAIL_LAYERS,
};

/* 0: the layer is there; else the error that it failed with. */
struct jail_report {
	int why[JAIL_LAYERS];
};

struct jail {
	bool root;		/* we are */
	uid_t uid;		/* we are */
	gid_t gid;		/* we are */
	bool kvm;		/* it may use /dev/kvm, */
	gid_t kvm_gid;		/* which belongs to this group */
	int fd_first;		/* what it is given for its work: descriptors from here on, */
	int fd_end;		/* before here */
	int pid_error;		/* jail_clone: why it has no pid namespace */
	int user_error;		/* jail_clone: nor a user namespace */
	char program[PATH_MAX]; /* to be executed, without symbolic links */
	char prefix[PATH_MAX];	/* what it needs besides /usr: its own file, or the folder that its bin/ is in; "": nothing */
};

/* In the parent. */
int jail_plan(struct jail *j, const char *program, bool kvm, struct err *err);
/* As fork, into what namespaces have to be entered that way. The caller has blocked all signals. */
pid_t jail_clone(struct jail *j);
/* In the child, at last: into the jail for good. Descriptors stay. -1: it must not go on. */
int jail_shut(const struct jail *j, struct jail_report *out);

/* Name of a layer, as shown to people. */
const char *jail_layer_name(enum jail_layer layer);
/* What could be done about a layer that failed with that error. */
const char *jail_mend(enum jail_layer layer, int why);
/* Find out which layers VMMs get here, by a child that goes there. Blocking, some ms. */
int jail_probe(struct jail_report *out, struct err *err);

/* Decimal digits, since printf is not to be used in the child. Returns their end. */
char *jail_put_number(char *to, unsigned long v);
/* jail_root.c: a mount namespace with a root of the plan's own. 0 or an error number. */
int jail_change_root(const struct jail *j);

#endif
