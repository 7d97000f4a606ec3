/*
 * proxy: the way through an HTTP proxy (CONNECT), as HTTPS_PROXY or https_proxy and NO_PROXY or no_proxy say.
 */
#ifndef SBX_CLI_PROXY_H
#define SBX_CLI_PROXY_H

#include <stdbool.h>

#include "shared/base/err.h"

struct proxy {
	char *host, *port; /* host NULL = go there directly */
	char *credential;  /* base64 of name:password, or NULL */
};

/* The proxy for this host. USAGE when the variable cannot be understood. Free with proxy_free, also after a failure. */
int proxy_find(const char *host, const char *port, struct proxy *out, struct err *err);
void proxy_free(struct proxy *p);
/* Whether a NO_PROXY list names the host: "*", a name and all below it, an address, each with or without a port. */
bool proxy_excluded(const char *list, const char *host, const char *port);

/* A connected, non-blocking descriptor to host:port, through the proxy if there is one. */
int proxy_connect(const struct proxy *p, const char *host, const char *port, struct err *err);

#endif
