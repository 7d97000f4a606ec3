/*
 * relay: one TCP connection of the host, piped to a TCP port inside a sandbox and back.
 *
 * Each direction has its own end (half close) and its own back-pressure: the client's socket is not read while the guest does
 * not take what came, and the guest gets no new credit while the client does not read. A guest that refuses or resets is passed
 * on as a reset. A sandbox that was paused for idleness is resumed first. A relay owns itself; its owner hears of its end once, and
 * may cut it before. Limits: RELAYS_MAX a sandbox, so that commands always find streams left.
 */
#ifndef SBX_CORE_RELAY_H
#define SBX_CORE_RELAY_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/core/sandbox.h"
#include "shared/base/err.h"

#define RELAYS_MAX 160

struct relay;

struct relay_ops {
	/* Nothing came of it: the guest's port could not be reached, or the sandbox does not run (STATE), or has too many already
	 * (LIMIT), and so on. The text (allocated, taken) goes to the client as the last that he hears; NULL: a reset. NULL: always
	 * a reset. */
	char *(*on_refused)(void *arg, const struct err *err);
	/* Last callback: the connection is over. */
	void (*on_end)(void *arg);
};

struct relay_client {
	int fd;		   /* a connected, non-blocking socket: taken */
	const void *first; /* n bytes of it that were read already, and go to the guest first */
	size_t n;
};

/* Connect the client to the port. Callbacks come later, also of what is refused at once. */
struct relay *relay_start(
	struct sandbox *sb, uint16_t port, const struct relay_client *client, const struct relay_ops *ops, void *arg);
/* End it now, with a reset to both sides and no callback. */
void relay_cut(struct relay *relay);

#endif
