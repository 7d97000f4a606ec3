/*
 * account: people and how they come in: by a password, or by another service that knows them.
 *
 * Who opens an account gets a team of his own ("NAME's Team"). Failed logins are counted for each address: after LOGIN_FREE in a
 * row, every further try has to wait longer (LIMIT, word "rate_limited"), from a second up to a minute. The counts are in memory: a
 * daemon that starts anew begins with none. Source: reference/wrenn.md 2.1, 3.5.
 *
 * How long a refused login takes does not tell whether there is an account: an address without a password is checked against a
 * hash of the same cost. But a hash that was made when --password-cost was another one takes another time, until its owner logs in
 * with the good password: then it is made anew at the cost of today. So what is left after such a change is that accounts whose
 * owners have not come in since can be told from addresses that are nobody's.
 * Thread: the loop's. Callbacks come from the loop, never from inside the call.
 */
#ifndef SBX_CORE_ACCOUNT_H
#define SBX_CORE_ACCOUNT_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/core/core.h"
#include "daemon/db/account.h"
#include "shared/base/err.h"

enum { LOGIN_FREE = 10, EMAIL_MIN = 3, EMAIL_MAX = 254, USER_NAME_MAX = 100 };

/* Somebody has come in: who, and the team that he works in (a db_member with both). Valid in the call. UNAVAILABLE: core is being
 * closed, or was. */
typedef void account_cb(void *arg, const struct db_member *who, const struct err *err);

/* Errors: INVALID; CONFLICT "email_taken". */
void account_signup(struct core *core, const char *email, const char *password, const char *name, account_cb *cb, void *arg);
/* Errors: INVALID; UNAUTHORIZED; FORBIDDEN "no_team"; LIMIT "rate_limited". */
void account_login(struct core *core, const char *email, const char *password, account_cb *cb, void *arg);

/* Somebody whom another service has recognised, as `subject` there: he comes in, or gets an account. Release out with
 * db_member_release. CONFLICT "email_taken" when the address is that of an account without this login. */
struct account_profile {
	const char *provider, *subject, *email, *name;
};
int account_by_login(struct core *core, const struct account_profile *profile, struct db_member *out, struct err *err);

/* An address without blanks around it and in small letters, as it is kept. */
char *account_clean_email(const char *s);

/* The team that somebody works in when he does not say: his default one, else the one he joined first. FORBIDDEN "no_team". */
int account_default_team(struct core *core, int64_t user, struct db_member *out, struct err *err);

/* Somebody by his number: db_user_release; NOT_FOUND. */
int account_user(struct core *core, int64_t user, struct db_user *out, struct err *err);

/* People whose address begins with `prefix` (which must be longer than two bytes and hold an @): at most 10. db_users_release. */
int account_search(struct core *core, const char *prefix, struct db_user **out, size_t *n, struct err *err);

/* ---- for core.c ---- */
struct accounts;
struct accounts *accounts_new(struct core *core);
void accounts_close(struct accounts *a);

#endif
