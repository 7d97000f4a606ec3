/*
 * crypto: the few primitives that we need of OpenSSL, which fail only when its build lacks them (then the process ends: no
 * caller could go on).
 */
#ifndef SBX_NET_CRYPTO_H
#define SBX_NET_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

#define CRYPTO_MAC 32 /* bytes of HMAC-SHA256 */
#define CRYPTO_KEY 32 /* of AES-256 */

/* RFC 2104, FIPS 180-4. */
void crypto_hmac(const void *key, size_t key_n, const void *data, size_t n, uint8_t out[CRYPTO_MAC]);
/* AES-256-GCM with a random nonce (NIST SP 800-38D): appends nonce (12) || ciphertext (n) || tag (16). NO memory: LIMIT. */
int crypto_seal(const uint8_t key[CRYPTO_KEY], const void *data, size_t n, struct buf *out, struct err *err);
/* The reverse: appends the plaintext. STATE when the key is another one or anything was changed. */
int crypto_open(const uint8_t key[CRYPTO_KEY], const void *sealed, size_t n, struct buf *out, struct err *err);

#endif
