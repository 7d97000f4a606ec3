/*
 * recover: the start and the end of a daemon's hold on its sandboxes.
 */
#ifndef SBX_CORE_RECOVER_H
#define SBX_CORE_RECOVER_H

#include "daemon/core/core.h"
#include "shared/base/err.h"

/* Bring records, processes and folders together: finish interrupted creates and deletes, adopt VMs that run, mark the others
 * stopped, remove folders that belong to nothing. Before the loop runs. */
int core_recover(struct core *core, struct err *err);
/* Let go of all sandboxes without ending their VMs. */
void core_release_all(struct core *core);

#endif
