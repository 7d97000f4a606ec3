/* nat: libslirp between the guest's frames and the host's sockets, with the filter in front of it. */
#ifndef SBX_NETD_NAT_H
#define SBX_NETD_NAT_H

#include "shared/base/err.h"

/* Serve the guest behind the connected stream socket fd until the peer closes it. 0 then; -1 with err when the socket or
 * what comes from it is broken. Does not close fd. Never returns while the peer is there. */
int nat_run(int fd, struct err *err);

#endif
