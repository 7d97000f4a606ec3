/*
 * remote: sandboxes of this control plane that another machine carries.
 *
 * The record is here, and with it name, team, idle time and ports; the VM is there. What happens to it is asked of the host
 * (carrier.h) in the same operations as at home; its agent is reached through a connection that the host gives, so that commands,
 * terminals and files work as with any other. When the host is not heard of any more, what ran on it is missing; when it is back,
 * what it says is true, and what it has that nobody here knows of is removed.
 *
 * For the rest of core. Thread: the loop's.
 */
#ifndef SBX_CORE_REMOTE_H
#define SBX_CORE_REMOTE_H

#include "daemon/core/carrier.h"
#include "daemon/core/internal.h"

/* Is it carried by another machine? */
static inline bool is_remote(const struct sandbox *sb)
{
	return sb->row.host > 0;
}

/* The id of a host, allocated; "" of one that was removed. */
char *remote_host_id(struct core *core, int64_t host);
/* What a create, and the operation that has just begun on sb, come to on its host; how they end is told as at home. */
void remote_create(struct sandbox *sb);
void remote_pause(struct sandbox *sb);
void remote_resume(struct sandbox *sb);
void remote_stop(struct sandbox *sb, bool force);
void remote_start_vm(struct sandbox *sb);
/* At once here, and there when it can be (but a size of the disk is told only once). */
void remote_resize(struct sandbox *sb);
/* sandbox_deletion_due follows, when the host has removed it or cannot be reached: then it does so when it is back. */
void remote_delete(struct sandbox *sb);
/* Connect to its agent: sb->link then is, or is tried again later. */
void remote_dial(struct sandbox *sb);
/* No callback of its calls follows. */
void remote_drop(struct sandbox *sb);

/* The host is not heard of any more: what ran on it, and is in no operation, is missing. Compare what it has with what we know, or
 * find that it is not heard of. */
void remote_lost(struct core *core, int64_t host);
void remote_compare(struct core *core, int64_t host);
/* The same of all: at the start, and three times in HOST_LOST_MS. */
void remote_compare_all(struct core *core);

/* No callback of errands follows but those that are told now that the daemon is going down. */
void remote_close(struct core *core);

/* ---- asking ---- */

/* Of the host that carries sb, about sb; then is called once, from the loop, unless remote_drop comes first. One at a time. */
void remote_ask(struct sandbox *sb, struct carry_ask *ask, remote_then *then);
/* Of a host, beside whatever is under way. cb may be NULL. -1: cb is not called. */
struct errand;
typedef void errand_cb(void *arg, struct core *core, const struct errand *e, const struct carry_answer *answer);
int remote_errand(struct core *core, int64_t host, struct carry_ask *ask, errand_cb *cb, void *arg, struct err *err);
/* The one that a host still owes an answer to cb, or NULL. */
struct errand *remote_owed(const struct core *core, int64_t host, errand_cb *cb);
int64_t errand_host(const struct errand *e);

#endif
