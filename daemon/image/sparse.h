/* sparse: gives a file's zero pages back to the file system. */
#ifndef SBX_IMAGE_SPARSE_H
#define SBX_IMAGE_SPARSE_H

#include "shared/base/err.h"

/* Turn every run of zero 4 KiB blocks of the open file (read and write) into a hole; what it reads as stays the same.
 * A file system that cannot make holes is no error. */
int sparse_punch(int fd, struct err *err);

#endif
