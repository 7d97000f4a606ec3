/*
 * spawn: how a VMM process is started: detached, with exactly the descriptors that it is given, in a jail (jail.h), its
 * complaints kept in a bounded place.
 */
#ifndef SBX_VM_SPAWN_H
#define SBX_VM_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

#define SPAWN_FD_FIRST 3 /* descriptors of `fds` become 3, 4, ... in the child */
#define SPAWN_FDS_MAX 64

struct spawn {
	char *const *argv; /* argv[0] absolute */
	const char *owner; /* folder of the VM: in its environment as SBX_VM, for whoever looks at /proc; or NULL */
	const int *fds;
	unsigned fd_count;
	int log_fd;	      /* its stdout and stderr: spawn_log() */
	bool die_with_parent; /* killed when the calling thread ends */
	bool kvm;	      /* it may use /dev/kvm */
	int hold_fd;	      /* our end of a stream: wait for a byte before exec, end at its EOF; -1: start at once */
	/* A helper that lives and dies with it, or NULL: gets net_fd as descriptor 3. */
	char *const *net_argv;
	int net_fd;
};

/* Fork it. The child is our child, leader of its own session. Safe with other threads about. */
pid_t spawn_start(const struct spawn *s, struct err *err);

/* Open a file so that the child can open it again for reading, by /proc/self/fd: one that only its owner may read is copied to
 * memory if the child will be another user. */
int spawn_file(const char *path, struct err *err);

/* A place for a process's complaints that a hostile guest cannot make large: 64 KiB in memory, then writes fail. Close it. */
int spawn_log(struct err *err);
/* What was written there so far, appended to out. */
void spawn_log_read(int fd, struct buf *out);

#endif
