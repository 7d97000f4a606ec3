/*
 * ca: the installation's own certificate authority, for the mutual TLS between the control plane and its hosts.
 *
 * One key (ECDSA P-256) with a certificate for ten years, which signs certificates of two kinds only: a host's, to serve with, and
 * the control plane's, to come with. Neither is good for the other's purpose (extended key usage), and neither can sign. All is PEM
 * in memory: where it is kept, and how safely, is the caller's affair. Any thread.
 * Source: reference/wrenn.md 3.4.
 */
#ifndef SBX_NET_CA_H
#define SBX_NET_CA_H

#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

enum {
	CA_HOST_LIFE_S = 7 * 86400,
	CA_CONTROL_LIFE_S = 86400,
	CA_SKEW_S = 300,  /* so much before its making a certificate begins to be valid: clocks differ */
	CA_NAME_MAX = 64, /* bytes of a common name (RFC 5280) */
	CA_HEX = 64,	  /* digits of a fingerprint */
};

#define CA_CONTROL_NAME "sbx-control" /* the control plane's common name */

/* A certificate and its private key, each in PEM and NUL-terminated. */
struct ca_pem {
	struct buf cert, key;
};
#define CA_PEM_INIT                                                                                                                \
	{                                                                                                                          \
		.cert = BUF_INIT, .key = BUF_INIT                                                                                  \
	}
#define auto_ca_pem __attribute__((cleanup(ca_pem_free))) struct ca_pem
/* Wipes the key and leaves an empty, usable pair. */
void ca_pem_free(struct ca_pem *pem);

struct ca;

/* Make one. out gets what ca_load needs: the key in it must be kept secret. NULL with err. */
struct ca *ca_new(struct ca_pem *out, struct err *err);
/* One that was made before. INVALID: not PEM, or the key is another's, or it is no CA; STATE: it has expired. */
struct ca *ca_load(const char *cert, const char *key, struct err *err);
/* NULL is fine. */
void ca_free(struct ca *ca);

/* For the host with this id (its common name), reached at "HOST:PORT" or "[V6]:PORT" (its subject alternative name). It is valid
 * for life_s seconds, but no longer than the CA itself; a negative life has ended already (for tests). out is what
 * was issued, in place of what was there. INVALID: the id or the address cannot stand in a certificate. */
int ca_issue_host(const struct ca *ca, const char *id, const char *address, int64_t life_s, struct ca_pem *out, struct err *err);
/* For the control plane. */
int ca_issue_control(const struct ca *ca, int64_t life_s, struct ca_pem *out, struct err *err);

/* SHA-256 of the certificate in pem (the first there), in lower-case hex. INVALID: there is none. */
int ca_fingerprint(const char *pem, char out[CA_HEX + 1], struct err *err);
/* When it ends, in ms since 1970. */
int ca_expiry(const char *pem, int64_t *out, struct err *err);

#endif
