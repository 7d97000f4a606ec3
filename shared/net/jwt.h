/*
 * jwt: JSON Web Tokens signed with a shared key (RFC 7519, RFC 7515; HS256 alone).
 */
#ifndef SBX_NET_JWT_H
#define SBX_NET_JWT_H

#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"
#include "shared/base/json.h"

#define JWT_MAX 8192 /* bytes of a token */

/* Append the token for the claims (a JSON object) to out. */
void jwt_sign(const void *key, size_t key_n, const char *claims, struct buf *out);
/* The claims of a token that was signed with the key and is not over (`exp`, which it must have) at now_s; NULL with UNAUTHORIZED.
 */
js *jwt_verify(const void *key, size_t key_n, const char *token, int64_t now_s, struct err *err);

/* base64url without padding (RFC 4648 section 5). */
void b64url_encode(struct buf *out, const void *data, size_t n);
int b64url_decode(struct buf *out, const char *text, size_t n);

#endif
