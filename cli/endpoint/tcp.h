/*
 * tcp: a connection to a host's port, tried at all of its addresses.
 */
#ifndef SBX_CLI_TCP_H
#define SBX_CLI_TCP_H

#include <sys/socket.h>

#include "shared/base/err.h"

/* A connected, non-blocking descriptor without delay, or -1: UNAVAILABLE when the name is unknown, else with err->sys and no more.
 */
int tcp_connect(const char *host, const char *port, struct err *err);
/* connect(2) with a time limit (10 s); fd is non-blocking afterwards. 0 or -1 with errno. */
int tcp_finish_connect(int fd, const struct sockaddr *addr, socklen_t len);

#endif
