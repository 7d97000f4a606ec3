/*
 * oauth: logins through another service: GitHub. A browser brings a code from there; what it is worth is asked of the service, on
 * the loop, in OAUTH_LIMIT_MS for all questions together.
 *
 * No redirects are followed, certificates are verified, plain http is spoken only to a service whose URL says so, and of an answer
 * 64 KiB are read. Thread: the loop's.
 */
#ifndef SBX_OAUTH_OAUTH_H
#define SBX_OAUTH_OAUTH_H

#include <stdbool.h>
#include <uv.h>

#include "daemon/oauth/config.h"
#include "daemon/oauth/github.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"

enum { OAUTH_LIMIT_MS = 10000, OAUTH_LOGINS_MAX = 64 };

struct oauth;

/* Who the code is for, with an address; valid in the call. NULL with err: UNAVAILABLE and TIMEOUT: the service was not reached, or
 * did not answer; PROTOCOL: it refused the code, or says what makes no sense. */
typedef void oauth_cb(void *arg, const struct oauth_profile *who, const struct err *err);

/* The configuration must stay. */
struct oauth *oauth_new(uv_loop_t *loop, const struct oauth_config *config);
/* Logins that are under way fail, in the call. The memory goes as the loop runs on. NULL is fine. */
void oauth_close(struct oauth *o);

/* Can one log in through the service of this name? */
bool oauth_serves(const struct oauth *o, const char *provider);
const struct oauth_config *oauth_config(const struct oauth *o);
/* cb is called from the loop, once. -1 when nothing was begun: UNAVAILABLE without libcurl; LIMIT with OAUTH_LOGINS_MAX under way.
 */
int oauth_login(struct oauth *o, const char *code, oauth_cb *cb, void *arg, struct err *err);

#endif
