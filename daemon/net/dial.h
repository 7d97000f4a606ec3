/*
 * dial: a TCP connection to an address that a person wrote, made on the loop.
 *
 * The name is looked up in libuv's pool; its addresses are tried one after the other, each with its share of the time that is left.
 * The callback comes once, from the loop, never from inside dial_start; nothing comes after dial_cancel. Thread: the loop's.
 */
#ifndef SBX_DAEMON_NET_DIAL_H
#define SBX_DAEMON_NET_DIAL_H

#include <uv.h>

#include "shared/base/err.h"

struct dial;

/* fd: connected, non-blocking, close-on-exec, the callee's. Or -1 and why: TIMEOUT or UNAVAILABLE. */
typedef void dial_cb(void *arg, int fd, const struct err *why);

/* "HOST:PORT" or "[V6]:PORT". NULL with err (INVALID) when it is no address. */
struct dial *dial_start(uv_loop_t *loop, const char *address, int limit_ms, dial_cb *cb, void *arg, struct err *err);
/* Not after the callback. NULL is fine. */
void dial_cancel(struct dial *d);

#endif
