/* jail: give up everything that a process which talks to a hostile guest and to the network does not need. */
#ifndef SBX_NETD_JAIL_H
#define SBX_NETD_JAIL_H

#include "shared/base/err.h"

/* Descriptors the process may have; a few more are kept back for JAIL_RESERVE uses. */
#define JAIL_FILES 1024
#define JAIL_FILES_GUEST 1008

/* Close every descriptor but 0, 1, 2 and keep, which must be > 2; keep becomes 3. Returns 3, or -1 with err. */
int jail_close_others(int keep, struct err *err);

/* For good: own session, limits, uid and gid nobody when root, no capabilities, no new privileges, not traceable, and a
 * seccomp filter with the few system calls that libslirp needs (no exec, no fork, no Unix sockets, files read-only).
 * Source: DESIGN.md, security model. */
int jail_enter(struct err *err);

#endif
