/* sign: the two digests that deliveries need, as lower-case hex. */
#ifndef SBX_NOTIFY_SIGN_H
#define SBX_NOTIFY_SIGN_H

#include <stddef.h>

#include "shared/base/err.h"

#define SIGN_HEX_LEN 64

/* HMAC-SHA256 with the characters of the secret as its key. */
int sign_hmac(const char *secret, const void *data, size_t n, char out[SIGN_HEX_LEN + 1], struct err *err);
/* SHA-256 */
void sign_digest(const void *data, size_t n, char out[SIGN_HEX_LEN + 1]);

#endif
