/*
 * probe: a small blocking host end of the wire protocol, for the builder: is the agent up, and a few commands to warm
 * the guest. The daemon's own is link.h.
 */
#ifndef SBX_VM_PROBE_H
#define SBX_VM_PROBE_H

#include <stdint.h>

#include "shared/base/err.h"
#include "shared/wire/wire.h"

struct probe {
	int fd; /* owned */
	uint32_t next_stream;
	struct wire_rx rx;
};

/* Take over a connected socket of a VM that nobody has spoken to yet, and wait until the agent has answered HELLO. On
 * failure everything is released. */
int probe_open(struct probe *p, int fd, int64_t deadline_ms, struct err *err);
/* Run a command in the guest to its end, output dropped. *code: its exit code. deadline_ms: of clock_mono_ms. */
int probe_exec(struct probe *p, const char *const *argv, int64_t deadline_ms, int *code, struct err *err);
void probe_close(struct probe *p);

#endif
