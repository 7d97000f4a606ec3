/*
 * ssh: a connection to the daemon of another machine by the user's own ssh, with its agents, configuration and known hosts.
 * The program is $SBX_SSH, else `ssh`; it runs `sbx dial-stdio` there and never asks (BatchMode).
 */
#ifndef SBX_CLI_SSH_H
#define SBX_CLI_SSH_H

#include "cli/endpoint/endpoint.h"

/* What `sbx dial-stdio --hello` says first, when it is joined with the daemon. */
#define SSH_HELLO "sbx dial-stdio 1\n"

/* A connection as endpoint_connect makes it. */
int ssh_connect(const struct endpoint *ep, struct err *err);

#endif
