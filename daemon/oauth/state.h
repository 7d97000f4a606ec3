/*
 * state: ties the end of a login to the browser that began it. The service hands the state back in its address; the browser brings
 * it in a cookie, signed, so that nobody can plant a pair of his own making there. Pure but for the random bytes.
 */
#ifndef SBX_OAUTH_STATE_H
#define SBX_OAUTH_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/net/crypto.h"

enum { OAUTH_STATE_LEN = 32, OAUTH_COOKIE_LEN = OAUTH_STATE_LEN + 1 + 2 * CRYPTO_MAC };

struct oauth_state {
	char state[OAUTH_STATE_LEN + 1];   /* hex */
	char cookie[OAUTH_COOKIE_LEN + 1]; /* state ":" HMAC-SHA256 of it in hex */
};

void oauth_state_make(const uint8_t key[CRYPTO_MAC], struct oauth_state *out);
/* Was the cookie made here, and for this state? */
bool oauth_state_check(const uint8_t key[CRYPTO_MAC], const char *cookie, const char *state);

/* The value of the first cookie of that name in a Cookie header (RFC 6265 4.2.1), which may be NULL. False when there is none that
 * fits into out. */
bool oauth_cookie(const char *header, const char *name, char *out, size_t size);

#endif
