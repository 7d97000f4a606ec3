/*
 * account: who may use the daemon over TCP. There is one account, 0, whose keys open everything; rows carry it for teams to come.
 *
 * A key's secret is "sbx_" and 40 random base-36 characters (206 bits). Only its SHA-256 is stored: with that much
 * entropy a slow hash would add nothing but latency.
 */
#ifndef SBX_CORE_ACCOUNT_H
#define SBX_CORE_ACCOUNT_H

#include <stdint.h>

#include "daemon/core/core.h"
#include "daemon/db/db.h"
#include "shared/base/err.h"

#define KEY_SECRET_LEN 44

/* Make a key; secret gets it, for the only time. name may be NULL; CONFLICT when it is taken. Release out with db_key_release. */
int key_create(struct core *core, const char *name, struct db_key *out, char secret[KEY_SECRET_LEN + 1], struct err *err);
int key_delete(struct core *core, const char *id_or_name, struct err *err);
int key_each(struct core *core, int (*cb)(void *arg, struct db_key *key), void *arg, struct err *err);
/* The account that a presented secret opens, or -1 with UNAUTHORIZED. */
int key_check(struct core *core, const char *secret, int64_t *account, struct err *err);

#endif
