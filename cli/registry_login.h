/*
 * registry_login: who somebody is at a registry: by options, or as docker, podman or skopeo have kept it on this machine.
 */
#ifndef SBX_CLI_REGISTRY_LOGIN_H
#define SBX_CLI_REGISTRY_LOGIN_H

#include "shared/base/buf.h"
#include "shared/base/err.h"

struct registry_login {
	struct buf user, password; /* empty: nobody in particular */
};

/* user and password_file ("-" is standard input) go together; both NULL: what is kept for the host of the reference in
 * $REGISTRY_AUTH_FILE, else $DOCKER_CONFIG/config.json or ~/.docker/config.json, else $XDG_RUNTIME_DIR/containers/auth.json. */
int registry_login_find(
	const char *reference, const char *user, const char *password_file, struct registry_login *out, struct err *err);
void registry_login_free(struct registry_login *l);

/* The host of a reference, as it stands there; "docker.io" when there is none. Allocated. */
char *registry_login_host(const char *reference);

#endif
