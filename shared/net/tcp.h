/*
 * tcp: TCP addresses that a person wrote, and listening on them.
 */
#ifndef SBX_NET_TCP_H
#define SBX_NET_TCP_H

#include <stdbool.h>

#include "shared/base/err.h"

enum tcp_scope { TCP_LOOPBACK, TCP_ANYWHERE };

/* "HOST:PORT" with HOST an IP literal (IPv6 in brackets), localhost or nothing (127.0.0.1); port 0 takes a free one, and *port is
 * what was bound. Off loopback is FORBIDDEN unless ANYWHERE. The descriptor is non-blocking and close-on-exec. */
int tcp_listen(const char *address, enum tcp_scope scope, int *port, struct err *err);
/* The parts of "HOST:PORT" or "[V6]:PORT": *host (allocated) is a name or an IP literal, without brackets; port is not 0. INVALID.
 */
int tcp_split(const char *address, char **host, int *port, struct err *err);
/* Is this IP literal (no brackets) a loopback address? 1, 0, or -1 when it is no IP literal. */
int tcp_is_loopback(const char *ip);
/* "127.0.0.1:80", "[::1]:80": allocated. */
char *tcp_address(const char *ip, int port);

#endif
