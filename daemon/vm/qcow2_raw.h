/* qcow2_raw: a chain of overlays made one raw image. Blocking: for worker threads. */
#ifndef SBX_VM_QCOW2_RAW_H
#define SBX_VM_QCOW2_RAW_H

#include <stddef.h>

#include "shared/base/err.h"

/* Write all that the overlays have (paths: the top first; qcow2_map.h says which are understood, and what hostile ones may do) into
 * fd, a copy of the raw image below the lowest. It becomes as large as the top. Not fsynced. */
int qcow2_apply(const char *const *paths, size_t n, int fd, struct err *err);

#endif
