/*
 * secret: what the daemon keeps to itself: one random key in its home, from which keys for every purpose are derived.
 *
 * The file `secret.key` (32 bytes, mode 0600) is made at the first start. With it the database's sealed values can be read and
 * tokens of people and hosts can be forged; without it they are worthless, and everybody has to log in anew.
 */
#ifndef SBX_CORE_SECRET_H
#define SBX_CORE_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

#define SECRET_SIZE 32

struct secret {
	uint8_t key[SECRET_SIZE];
};

/* Read it, or make it. DAMAGED files are refused (STATE), never replaced. */
int secret_open(struct secret *s, const char *home, struct err *err);
/* The key for one purpose: HMAC-SHA256(key, purpose). */
void secret_derive(const struct secret *s, const char *purpose, uint8_t out[SECRET_SIZE]);
/* AES-256-GCM under the key for `purpose`, as base64(nonce || ciphertext || tag), appended to out. */
int secret_seal(const struct secret *s, const char *purpose, const void *data, size_t n, struct buf *out, struct err *err);
/* The reverse. STATE when it was sealed by another key or has been changed. */
int secret_unseal(const struct secret *s, const char *purpose, const char *sealed, struct buf *out, struct err *err);

#endif
