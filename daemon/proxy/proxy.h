/*
 * proxy: HTTP to sandboxes by host name: http://3000-demo.localhost:PORT/ is port 3000 of sandbox demo.
 *
 * The head of the first request of a connection says where it goes (head.h); then it is a relay: bytes both ways, so that uploads,
 * event streams and WebSockets work. A later request on the same connection reaches the same sandbox, whatever its Host says. No
 * key is asked for: who reaches the listener, which is on loopback, reaches the servers in the sandboxes. Limits: a head of 16 KiB,
 * 15 s for it, 512 connections. Thread: the loop's.
 */
#ifndef SBX_PROXY_PROXY_H
#define SBX_PROXY_PROXY_H

#include "daemon/core/core.h"
#include "shared/base/err.h"

#define PROXY_SUFFIX "localhost" /* every name below it is 127.0.0.1 to browsers and to curl */

struct proxy;

/* Listen on "HOST:PORT", on loopback; *port is the bound one. suffix: what follows PORT-SANDBOX in the names. */
struct proxy *proxy_new(struct core *core, const char *address, const char *suffix, int *port, struct err *err);
/* Cuts its connections. NULL is fine. */
void proxy_free(struct proxy *proxy);

#endif
