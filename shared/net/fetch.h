/*
 * fetch: GET over http and https, by libcurl. Blocking; for processes that may wait.
 *
 * Redirects are followed here and not by libcurl: what authorises goes to the first host only, never from https to http, and
 * nobody elsewhere sends us to this machine. Certificates are verified (SSL_CERT_FILE is respected); http_proxy, https_proxy and
 * no_proxy hold, but not for this machine itself.
 */
#ifndef SBX_NET_FETCH_H
#define SBX_NET_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

struct fetch;

struct fetch_request {
	const char *url;
	const char *accept;	   /* or NULL */
	const char *authorization; /* value of the header, or NULL */
	uint64_t offset;	   /* ask for the bytes from here on */
	bool plain_http;	   /* http to other machines is allowed */
	/* Bytes of an answer with status 200 or 206; non-zero with err ends it. */
	int (*sink)(void *arg, int status, const void *data, size_t n, struct err *err);
	void *arg;
};

struct fetch_answer {
	int status;
	struct buf challenge; /* value of WWW-Authenticate; several are joined by commas */
	struct buf digest;    /* of Docker-Content-Digest */
	struct buf type;      /* of Content-Type */
	struct buf fault;     /* the first bytes of an answer with another status */
};

/* NULL with UNAVAILABLE when there is no libcurl. */
struct fetch *fetch_new(struct err *err);
void fetch_free(struct fetch *f);
/* 0 when there is an answer, whatever its status. Release it with fetch_release in any case. */
int fetch_get(struct fetch *f, const struct fetch_request *rq, struct fetch_answer *out, struct err *err);
void fetch_release(struct fetch_answer *a);

/* Is this host's name or address one of this machine's own (localhost, 127.0.0.0/8, ::1)? Brackets are fine. */
bool fetch_is_local(const char *host);

#endif
