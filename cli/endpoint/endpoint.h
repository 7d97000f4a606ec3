/*
 * endpoint: where a daemon is reached, and a connection to it.
 *
 *   unix:PATH                        a socket file; "unix:" alone is the daemon of this user's SBX_HOME, started on demand
 *   http://HOST[:PORT][/base/path]   TCP
 *   https://HOST[:PORT][/base/path]  TLS, by a helper process (tls.h); through HTTPS_PROXY when that is set
 *   ssh://[USER@]HOST[:PORT]         the remote user's own daemon, by the user's ssh and "sbx dial-stdio" there (ssh.h)
 *
 * Whatever the kind, a connection is one stream socket.
 */
#ifndef SBX_CLI_ENDPOINT_H
#define SBX_CLI_ENDPOINT_H

#include <stdbool.h>

#include "shared/base/err.h"

enum endpoint_kind { ENDPOINT_UNIX, ENDPOINT_HTTP, ENDPOINT_HTTPS, ENDPOINT_SSH };

struct endpoint {
	enum endpoint_kind kind;
	bool managed; /* the local daemon, which is started on demand */
	char *home;   /* of a managed one */
	char *path;   /* socket file */
	char *user;   /* of ssh, or NULL */
	char *host;
	char *port;	     /* NULL = ssh's own default */
	char *authority;     /* for the Host header: "127.0.0.1:8080", "sbx" where there is no such name */
	char *base_path;     /* what comes before the paths of the contract: "" or "/a/b" */
	char *shown;	     /* as a person would write it */
	const char *api_key; /* or the token of a login; borrowed; NULL = none */
};

/* The endpoint that this text means. USAGE for a malformed one. Free with endpoint_free, also after a failure. */
int endpoint_parse(const char *text, struct endpoint *out, struct err *err);
/* The local daemon: $SBX_HOME/sbxd.sock. */
int endpoint_local(struct endpoint *out, struct err *err);
void endpoint_free(struct endpoint *ep);

/* Whether what is sent there could be read on the way: http:// to another machine. */
bool endpoint_in_clear(const struct endpoint *ep);

/* A connected, non-blocking descriptor, or -1 with UNAVAILABLE and err->sys telling why. Starts no daemon. */
int endpoint_connect(const struct endpoint *ep, struct err *err);

/* As endpoint_connect, but starts the daemon of a managed endpoint when none listens. Ten callers at once start one. */
int endpoint_connect_or_start(const struct endpoint *ep, struct err *err);

#endif
