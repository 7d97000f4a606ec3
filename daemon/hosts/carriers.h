/*
 * carriers: how a control plane reaches the hosts that carry sandboxes for it: core's carrier port (core/carrier.h) over mutual
 * TLS.
 *
 * A call is one connection: TLS 1.3 with the control plane's certificate, to a host that has to show the one for its id, and in it
 * one request of the host's native API (words.h). The connection of CARRY_AGENT stays, as the stream that it was switched to.
 * Thread: the loop's.
 */
#ifndef SBX_HOSTS_CARRIERS_H
#define SBX_HOSTS_CARRIERS_H

#include <uv.h>

#include "daemon/core/carrier.h"

struct carriers;

/* core must live as long. */
struct carriers *carriers_new(uv_loop_t *loop, struct core *core);
/* For core_carry. */
const struct carrier *carriers_port(const struct carriers *all);
/* Ends every call and connection without a callback. After core_close. NULL is fine. */
void carriers_close(struct carriers *all);

#endif
