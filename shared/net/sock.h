/*
 * sock: Unix sockets by path, whatever the length of the path (a socket's address holds 107 bytes only).
 */
#ifndef SBX_NET_SOCK_H
#define SBX_NET_SOCK_H

#include <sys/un.h>

#include "shared/base/err.h"

/* The address of path, which goes through /proc and a descriptor of its folder; keep *dir_fd open while the address is used,
 * and close it (it is -1 after a failure). */
int sock_address(const char *path, struct sockaddr_un *out, int *dir_fd, struct err *err);
/* Make path (mode 0600, replacing what is there) and listen. The descriptor is close-on-exec and blocking. */
int sock_listen(const char *path, struct err *err);
/* Connect to path. The descriptor is close-on-exec and non-blocking; connecting never waits for the other side: err->sys is
 * EAGAIN when its queue is full. */
int sock_connect(const char *path, struct err *err);

#endif
