/*
 * key: API keys: what programs show to act for a team.
 *
 * A secret is a prefix and random characters: "sbx_" and 40 of base 36 (206 bits), or "wrn_" and 32 hex digits (128 bits), the form
 * that Wrenn's clients know; both are good for every API. Only its SHA-256 is stored: with that much entropy a slow hash would
 * add nothing but latency. A key belongs to its team, also when who made it has left.
 */
#ifndef SBX_CORE_KEY_H
#define SBX_CORE_KEY_H

#include <stdint.h>

#include "daemon/core/core.h"
#include "daemon/core/identity.h"
#include "daemon/db/account.h"
#include "shared/base/err.h"

enum key_form { KEY_SBX, KEY_WRENN };
#define KEY_SECRET_MAX 44

struct key_spec {
	int64_t team, user; /* whose, and who makes it */
	const char *name;   /* or NULL */
	enum key_form form;
	bool unique; /* CONFLICT when the team has one of that name */
};
/* Make a key; secret gets it, for the only time. Release out with db_key_release. */
int key_create(
	struct core *core, const struct key_spec *spec, struct db_key *out, char secret[KEY_SECRET_MAX + 1], struct err *err);
/* By id or, when there is none such, by name; NOT_FOUND. */
int key_delete(struct core *core, int64_t team, const char *id_or_name, struct err *err);
/* By id; 0 also when there is none. */
int key_revoke(struct core *core, int64_t team, const char *id, struct err *err);
/* Newest first: db_keys_release. */
int key_list(struct core *core, int64_t team, struct db_key **out, size_t *n, struct err *err);
/* Whom a presented secret stands for, or -1 with UNAUTHORIZED. */
int key_check(struct core *core, const char *secret, struct identity *who, struct err *err);

#endif
