/*
 * password: bcrypt ("$2b$") in worker threads, since one takes a quarter of a second of a processor at the usual cost.
 *
 * At most PASSWORD_RUNNING run at once and PASSWORD_WAITING wait; more are refused with LIMIT, so that a flood of logins does not
 * take the machine from the VMs. Thread: the loop's; cb comes from the loop.
 */
#ifndef SBX_CORE_PASSWORD_H
#define SBX_CORE_PASSWORD_H

#include <stdbool.h>
#include <uv.h>

#include "shared/base/err.h"

#define PASSWORD_MIN 8
#define PASSWORD_MAX 72 /* bytes; bcrypt looks at no more */
enum { PASSWORD_RUNNING = 1, PASSWORD_WAITING = 64 };

struct passwords;
enum { PASSWORD_COST = 12, PASSWORD_COST_MIN = 4, PASSWORD_COST_MAX = 16 };
struct passwords *passwords_new(uv_loop_t *loop, unsigned cost);
/* Those that wait are told UNAVAILABLE, and so are the ones at work when they are through: later than this call. */
void passwords_close(struct passwords *p);

/* Is it of the kind and the cost that a new hash is made with? */
bool password_is_current(const struct passwords *p, const char *hash);

/* hash: of a new password (valid in the call), or NULL when it was a check. match: the password is that of the hash. */
typedef void password_cb(void *arg, const char *hash, bool match, const struct err *err);
/* Hash a new one (against NULL) or check one against a hash. -1 with LIMIT: cb is not called. */
int password_run(struct passwords *p, const char *password, const char *against, password_cb *cb, void *arg, struct err *err);

#endif
