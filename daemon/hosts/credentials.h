/*
 * credentials: what a host knows of its control plane and is known by there, in the file host.json of its home (mode 0600).
 *
 * The file is replaced as a whole, and before anything that it says is used: a host that dies at any instant comes back with
 * credentials that are good. Thread: any.
 */
#ifndef SBX_HOSTS_CREDENTIALS_H
#define SBX_HOSTS_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/err.h"
#include "shared/base/json.h"

struct credentials {
	char *control; /* URL of its API, without a slash at the end */
	char *id;      /* as that calls this host */
	char *address; /* where it reaches this host */
	char *token, *refresh_token;
	char *request; /* the name of an exchange of refresh_token whose answer is still to come, or NULL */
	char *cert, *key, *ca;
	int64_t issued_ms; /* wall clock */
};

/* 1, 0 there is none, -1: INVALID when it is damaged, in any of its members. credentials_free in any case. */
int credentials_read(const char *home, struct credentials *out, struct err *err);
bool credentials_exist(const char *home);
int credentials_write(const char *home, const struct credentials *c, struct err *err);
int credentials_remove(const char *home, struct err *err);
/* From the answer of a registration or an exchange: PROTOCOL when something is missing, or could not stand in a header or a path,
 * and then nothing has changed. control and address stay as they are. */
int credentials_take(struct credentials *c, const js *answer, struct err *err);
void credentials_free(struct credentials *c);

#endif
