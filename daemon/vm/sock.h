/*
 * sock: the Unix sockets in a VM's folder, whatever the length of its path (a socket's address holds 107 bytes only).
 */
#ifndef SBX_VM_SOCK_H
#define SBX_VM_SOCK_H

#include "shared/base/err.h"

/* Make dir/name (mode 0600, replacing what is there) and listen. The descriptor is close-on-exec and blocking. */
int sock_listen(const char *dir, const char *name, struct err *err);
/* Connect to dir/name. The descriptor is close-on-exec and non-blocking; connecting never waits for the other side. */
int sock_connect(const char *dir, const char *name, struct err *err);

#endif
