/*
 * sha1: only for Sec-WebSocket-Accept (RFC 6455), where it protects nothing: it proves that the peer speaks WebSocket.
 * Here so that the command need not load a crypto library.
 */
#ifndef SBX_CLI_SHA1_H
#define SBX_CLI_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define SHA1_LEN 20

/* Digest of n bytes, n < 2^29. */
void sha1(const void *data, size_t n, uint8_t out[SHA1_LEN]);

#endif
