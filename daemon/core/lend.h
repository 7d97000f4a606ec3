/*
 * lend: the agent of a sandbox that this host carries, given to the control plane.
 *
 * One connection at a time can speak to an agent. While the control plane has it, this daemon's own link is closed, and commands
 * here are refused (UNAVAILABLE); when that connection ends, or the VM does, or a stop is to ask the guest, the link is opened
 * again. Who asks anew gets it anew: the connection before is a dead one that nobody has noticed yet. Thread: the loop's.
 */
#ifndef SBX_CORE_LEND_H
#define SBX_CORE_LEND_H

#include "daemon/core/sandbox.h"

/* A connection to the agent of a sandbox that runs: the caller's, for lend_begin. -1 with STATE or UNAVAILABLE. */
int lend_connect(struct sandbox *sb, struct err *err);
/* agent: from lend_connect; fd: whoever wants to speak to it, and n bytes that he has said already. Takes both, and closes them
 * when it does not run any more. */
void lend_begin(struct sandbox *sb, int agent, int fd, const void *early, size_t n);
/* It is over now; nothing, if it is not lent. */
void lend_end(struct sandbox *sb);

#endif
