/*
 * tcp: listening on a TCP address that a person wrote.
 */
#ifndef SBX_NET_TCP_H
#define SBX_NET_TCP_H

#include <stdbool.h>

#include "shared/base/err.h"

enum tcp_scope { TCP_LOOPBACK, TCP_ANYWHERE };

/* "HOST:PORT" with HOST an IP literal (IPv6 in brackets), localhost or nothing (127.0.0.1); port 0 takes a free one, and *port is
 * what was bound. Off loopback is FORBIDDEN unless ANYWHERE. The descriptor is non-blocking and close-on-exec. */
int tcp_listen(const char *address, enum tcp_scope scope, int *port, struct err *err);
/* Is this IP literal (no brackets) a loopback address? 1, 0, or -1 when it is no IP literal. */
int tcp_is_loopback(const char *ip);
/* "127.0.0.1:80", "[::1]:80": allocated. */
char *tcp_address(const char *ip, int port);

#endif
