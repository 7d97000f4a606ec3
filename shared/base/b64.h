/*
 * b64: base64 (RFC 4648 section 4, with padding).
 */
#ifndef SBX_BASE_B64_H
#define SBX_BASE_B64_H

#include <stddef.h>

#include "shared/base/buf.h"

void b64_encode(struct buf *out, const void *data, size_t n);
/* Appends the bytes; -1 when text is not base64 (padding and length must be right, no blanks). */
int b64_decode(struct buf *out, const char *text, size_t n);

#endif
