/*
 * tls: the client's side of TLS on a connected, non-blocking socket.
 *
 * OpenSSL is loaded when the first connection is made (dlopen), so that programs which seldom need it start fast. At least
 * TLS 1.2, ALPN http/1.1, SNI; the certificate is verified against the system's store (SSL_CERT_FILE and SSL_CERT_DIR are
 * respected) and against the host's name or address. There is no way to leave that out.
 */
#ifndef SBX_NET_TLS_H
#define SBX_NET_TLS_H

#include <stddef.h>
#include <sys/types.h>

#include "shared/base/err.h"

struct tls;

/* Shake hands within limit_ms. NULL with err, which says what is wrong with a certificate. fd stays the caller's. */
struct tls *tls_open(int fd, const char *host, int limit_ms, struct err *err);
/* Free; the connection is not told. */
void tls_free(struct tls *t);

#define TLS_WAIT (-1)	/* *events says what to poll for, then the same call again */
#define TLS_BROKEN (-2) /* the connection is of no more use for this */
/* Bytes read, 0 at the peer's end, or one of these. */
ssize_t tls_read(struct tls *t, void *out, size_t n, short *events);
/* Bytes taken, or one of these. */
ssize_t tls_write(struct tls *t, const void *data, size_t n, short *events);
/* Tell the peer that nothing more comes, as far as the socket takes it now. */
void tls_end(struct tls *t);

#endif
