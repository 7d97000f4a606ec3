/*
 * ram: the memory that machines start from, held by the kernel where nobody can change it: a sealed memfd.
 *
 * QEMU opens the file behind memory-backend-file for writing even when it maps it private. A file on disk would therefore lie open
 * to every VMM that was taken over by its guest; a sealed memfd can be opened so, and still not be written to by anyone. All VMs on
 * one template share its pages; they go when the last of them and the daemon have let go.
 */
#ifndef SBX_VM_RAM_H
#define SBX_VM_RAM_H

#include "shared/base/err.h"

/* The name that the mapping has in /proc/PID/maps. */
#define RAM_NAME "sbx-ram"

/* The memory of a template from its file (sparse; blocking: 50 ms for 100 MiB), memory_mb large. The descriptor is close-on-exec.
 */
int ram_load(const char *path, unsigned memory_mb, struct err *err);
/* Empty memory, for a machine that boots. */
int ram_empty(unsigned memory_mb, struct err *err);
/* Memory that a machine writes its own to, for a template: not sealed. And its copy in a new file, sparse. */
int ram_shared(unsigned memory_mb, struct err *err);
int ram_save(int fd, const char *path, unsigned memory_mb, struct err *err);

#endif
