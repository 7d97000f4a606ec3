/*
 * accept: a listening socket on the daemon's loop. It takes no more connections than its limit: others wait in the kernel's queue.
 */
#ifndef SBX_CORE_ACCEPT_H
#define SBX_CORE_ACCEPT_H

#include <uv.h>

#include "shared/base/err.h"

struct acceptor;
/* A new connection: non-blocking, close-on-exec, the callee's. It counts until acceptor_done. */
typedef void accept_cb(void *arg, int fd);

/* Takes the listening fd, closed on failure, too. */
struct acceptor *acceptor_new(uv_loop_t *loop, int fd, unsigned limit, accept_cb *cb, void *arg, struct err *err);
/* One of its connections is over. */
void acceptor_done(struct acceptor *a);
unsigned acceptor_count(const struct acceptor *a);
/* Close the socket; no callback follows. NULL is fine. */
void acceptor_free(struct acceptor *a);

#endif
