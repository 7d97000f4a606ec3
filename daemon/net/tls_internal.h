/*
 * tls_internal: what the files of TLS share. Nothing outside daemon/net includes it.
 *
 * tls_ctx.c makes OpenSSL's contexts, tls_peer.c judges who the other side is and finds words for what went wrong, tls_pipe.c
 * carries the bytes.
 */
#ifndef SBX_DAEMON_NET_TLS_INTERNAL_H
#define SBX_DAEMON_NET_TLS_INTERNAL_H

/* OpenSSL has a type of the same name as one of our error codes. */
#define ERR_STATE openssl_err_state
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#include <stdbool.h>
#include <stddef.h>

#include "daemon/net/tls_ctx.h"
#include "daemon/net/tls_pipe.h"

#define TLS_SCRATCH ((size_t)64 << 10)

/* ---- tls_ctx.c ---- */
struct tls_ctx {
	unsigned refs; /* its owner's, and each pipe's */
	SSL_CTX *ssl;
	BIO_METHOD *bio; /* of the pipes */
	char *scratch;	 /* TLS_SCRATCH bytes, for whichever pipe is being served */
	bool anchored;	 /* it has an authority */
	bool certified;	 /* it has a certificate */
};

/* ---- tls_peer.c ---- */
struct tls_expect {
	const char *cn;		     /* what the peer's common name must be; NULL: anything */
	char found[TLS_PEER_CN + 1]; /* what it was instead */
};

/* Have the peer's certificate verified: a server asks for one if it has an authority. host: what a client's peer must be called if
 * expect says nothing. expect stays while ssl does. False: OpenSSL has no memory. */
bool tls_peer_verify(SSL *ssl, const struct tls_ctx *ctx, bool server, const char *host, struct tls_expect *expect);
/* Who it is, once the handshake is done. */
void tls_peer_read(SSL *ssl, struct tls_peer *out);
/* What went wrong: a call of OpenSSL returned rc. name: the peer's, for the message; shaking: hands, still. */
int tls_peer_failed(SSL *ssl, int rc, bool shaking, const char *name, struct err *err);

#endif
