/* nat: libslirp between the guest's frames and the host's sockets, with the filter in front of it. */
#ifndef SBX_NETD_NAT_H
#define SBX_NETD_NAT_H

#include "shared/base/err.h"

/* Serve the guest behind the connected stream socket fd until the peer closes it. allow: what it may reach, or NULL for the world
 * (allow.h; not owned). 0 then; -1 with err when the socket or
 * what comes from it is broken. Does not close fd. Never returns while the peer is there. */
struct allow;
int nat_run(int fd, struct allow *allow, struct err *err);

#endif
