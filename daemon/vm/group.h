/*
 * group: a control group for each VM, below the daemon's own, as far as that may be written to: no more memory than its guest has
 * and its VMM needs, no more than so many processes. Version 1 and 2 of cgroups. Best effort: a VM without one works, and jail.h
 * holds. The group is called sbx-PID and goes when its VMM has been reaped. Source: cgroups(7),
 * Documentation/admin-guide/cgroup-v2.rst.
 */
#ifndef SBX_VM_GROUP_H
#define SBX_VM_GROUP_H

#include <sys/types.h>

/* 0 when VMs get groups here, else the error that prevents it. */
int group_probe(void);
/* Make one and put a process into it that has not started yet. */
void group_enter(pid_t pid, unsigned memory_mb);
/* The process has ended: take its groups away. */
void group_remove(pid_t pid);

#endif
