/*
 * https: a connection to an https:// endpoint, through the proxy of the environment if there is one. A carrier speaks TLS.
 */
#ifndef SBX_CLI_HTTPS_H
#define SBX_CLI_HTTPS_H

#include "cli/endpoint/endpoint.h"

/* A connection as endpoint_connect makes it: the plain bytes. Untrusted certificates and failed handshakes are errors here. */
int https_connect(const struct endpoint *ep, struct err *err);

#endif
