/*
 * tls_ctx: what one side of mutual TLS has to show and whom it believes: its certificate and key, and the authority that must have
 * signed the other side's. TLS 1.3 only, no resumption: every connection shows its certificate anew.
 *
 * One context serves any number of pipes, of both roles. When certificates are renewed (tls_ctx_renew), pipes made from then on use
 * the new ones, and those that are open go on as they are. Thread: the loop's.
 */
#ifndef SBX_DAEMON_NET_TLS_CTX_H
#define SBX_DAEMON_NET_TLS_CTX_H

#include "shared/base/err.h"

struct tls_ctx;

struct tls_pem {
	const char *ca;	  /* one or more certificates; NULL: whoever comes is welcome (servers only) */
	const char *cert; /* NULL, as key: it has none (clients only) */
	const char *key;
};

/* INVALID: not PEM, or the key is another's. */
struct tls_ctx *tls_ctx_new(const struct tls_pem *pem, struct err *err);
/* On failure everything is as it was. */
int tls_ctx_renew(struct tls_ctx *ctx, const struct tls_pem *pem, struct err *err);
/* Pipes keep what they need of it. NULL is fine. */
void tls_ctx_free(struct tls_ctx *ctx);

#endif
