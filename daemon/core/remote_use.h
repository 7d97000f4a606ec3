/*
 * remote_use: what sandboxes that other machines carry use at the moment.
 *
 * Their hosts measure it; they are asked once a second while somebody wants to know (metrics_follow), each about all that runs on
 * it and one question at a time: a host that does not answer delays no other, and its sandboxes' figures are unknown after a
 * while.
 * For the rest of core. Thread: the loop's.
 */
#ifndef SBX_CORE_REMOTE_USE_H
#define SBX_CORE_REMOTE_USE_H

#include "daemon/core/internal.h"
#include "daemon/core/series.h"

/* Ask each host that carries something that runs, unless it owes an answer. */
void remote_use_ask(struct core *core);
/* What its host said last. -1: nothing, or it was too long ago. */
int remote_use_now(const struct sandbox *sb, struct point *out);

#endif
