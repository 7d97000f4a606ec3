/*
 * endpoint: where a daemon is reached: a Unix socket (ours by default) or http://HOST:PORT with a key.
 */
#ifndef SBX_CLI_ENDPOINT_H
#define SBX_CLI_ENDPOINT_H

#include <stdbool.h>

#include "shared/base/err.h"

struct endpoint {
	bool tcp;
	bool managed; /* the local daemon, which is started on demand */
	char *home;   /* of a managed one */
	char *path;   /* socket file */
	char *host, *port;
	char *authority; /* for the Host header: "127.0.0.1:8080", "sbx" for a Unix socket */
	char *base_path; /* what comes before the paths of the contract: "" or "/a/b" */
	char *shown;	     /* as a person would write it */
	const char *api_key; /* borrowed; NULL = none */
};

/* From --host and --api-key (NULL = not given), else SBX_HOST and SBX_API_KEY, else $SBX_HOME/sbxd.sock.
 * USAGE for a malformed address. Free with endpoint_free, also after a failure. */
int endpoint_resolve(const char *host, const char *api_key, struct endpoint *out, struct err *err);
void endpoint_free(struct endpoint *ep);

/* A connected, non-blocking descriptor, or -1 with UNAVAILABLE and err->sys telling why. Starts nothing. */
int endpoint_connect(const struct endpoint *ep, struct err *err);

/* As endpoint_connect, but starts the daemon of a managed endpoint when none listens. Ten callers at once start one. */
int endpoint_connect_or_start(const struct endpoint *ep, struct err *err);

#endif
