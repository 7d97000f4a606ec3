/*
 * remote_snapshot: snapshots that are kept on the machine where they were taken. Their records are here, their trees are there;
 * what is made from one is placed there (place.h), and can be only while that host is there. For the rest of core. Thread: the
 * loop's.
 */
#ifndef SBX_CORE_REMOTE_SNAPSHOT_H
#define SBX_CORE_REMOTE_SNAPSHOT_H

#include "daemon/core/snapshot.h"
#include "daemon/db/host.h"

/* As sandbox_snapshot: also a name that is kept on this machine is taken, and goes from there when it is replaced. */
int remote_snapshot(struct sandbox *sb, const char *name, bool replace, snapshots_cb *cb, void *arg, struct err *err);
/* How a record is told of; out has the row's texts. */
void remote_snapshot_show(const struct db_host_snapshot *row, struct snapshot *out);
/* May one of this name be taken, here or elsewhere? CONFLICT: a host has it, unless replace (then *host is that one, else 0), or
 * will have it soon. */
int remote_snapshot_check(struct core *core, int64_t team, const char *name, bool replace, int64_t *host, struct err *err);
/* The host that has it: 1 and its number, 0, -1. */
int remote_snapshot_host(struct core *core, int64_t team, const char *name, int64_t *host, struct err *err);
/* It is forgotten here at once, and there when that host is there: 1, 0 there is none, -1. */
int remote_snapshot_remove(struct core *core, int64_t team, const char *name, struct err *err);
/* The host is there: ask it to forget what it may still have of what was to be forgotten, or was taken and never heard of. */
void remote_snapshot_sweep(struct core *core, int64_t host);

#endif
