/* sparse: gives a file's zero pages back to the file system. */
#ifndef SBX_IMAGE_SPARSE_H
#define SBX_IMAGE_SPARSE_H

#include "daemon/image/hash.h"
#include "shared/base/err.h"

/* Turn every run of zero 4 KiB blocks of the open file (read and write) into a hole; what it reads as stays the same.
 * A file system that cannot make holes is no error. */
int sparse_punch(int fd, struct err *err);
/* SHA-256 of what the file reads as: its size, and each 4 KiB block that is not all zeros behind its offset. So holes cost no time,
 * and make no difference. The size must be whole blocks. */
int sparse_hash(int fd, char out[HASH_HEX], struct err *err);

#endif
