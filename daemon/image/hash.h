/* hash: SHA-256 as lower-case hex, for cache keys. */
#ifndef SBX_IMAGE_HASH_H
#define SBX_IMAGE_HASH_H

#include <stddef.h>

#include "shared/base/err.h"

#define HASH_HEX 65

void hash_bytes(const void *data, size_t n, char out[HASH_HEX]);
/* Of a file's contents. */
int hash_file(const char *path, char out[HASH_HEX], struct err *err);

/* The same of bytes that come in pieces. hash_end frees; it may be given NULL for out. */
struct hash_run;
struct hash_run *hash_begin(void);
void hash_add(struct hash_run *h, const void *data, size_t n);
void hash_end(struct hash_run *h, char out[HASH_HEX]);

#endif
