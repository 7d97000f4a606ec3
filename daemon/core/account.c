#include "daemon/core/account.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/internal.h"
#include "daemon/core/password.h"
#include "daemon/core/team.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/crypto.h"

enum { SLOTS = 1024, WAIT_MIN_MS = 1000, WAIT_MAX_MS = 60000, FORGET_MS = 15 * 60000 };

/* Failed logins, by address: a table of fixed size, so that a flood of addresses costs nothing; two that share a place share their
 * count. */
struct tries {
	unsigned failed, pending; /* pending: their passwords are being looked at */
	int64_t last_ms, free_ms; /* of the last failure; from when on a try is allowed */
	uint8_t who[CRYPTO_MAC];  /* the address that they failed with */
	bool mixed;		  /* there were several: whose good login could wipe out the others' */
};

struct accounts {
	struct passwords *passwords;
	struct tries tries[SLOTS];
	char *decoy; /* a hash that unknown addresses are checked against: they take as long as known ones */
};

struct accounts *accounts_new(struct core *core)
{
	/* of random bytes that nobody knows; same cost */
	static const char decoy[] = "5ZJ0sVw0n2Yj0u3lqz5Tf.2r6xHqzq7m1mYJ0Qw8B3b2m4hVtX6yK";
	struct accounts *a = mem_zalloc(sizeof(*a));
	unsigned cost = core->config.password_cost ? core->config.password_cost : PASSWORD_COST;
	a->passwords = passwords_new(core->config.loop, cost);
	a->decoy = mem_printf("$2b$%02u$%s", cost, decoy);
	return a;
}

void accounts_close(struct accounts *a)
{
	if (!a)
		return;
	passwords_close(a->passwords);
	free(a->decoy);
	free(a);
}

/* ---- how often ---- */

static struct tries *tries_of(struct accounts *a, const char *email, uint8_t who[CRYPTO_MAC])
{
	static const char key[] = "login"; /* no secret: all that is needed is that nobody finds two addresses alike */
	crypto_hmac(key, sizeof(key), email, strlen(email), who);
	return &a->tries[(who[0] | who[1] << 8) % SLOTS];
}

static int may_try(struct accounts *a, const char *email, struct err *err)
{
	uint8_t who[CRYPTO_MAC];
	const struct tries *t = tries_of(a, email, who);
	int64_t left = t->free_ms - clock_mono_ms();
	/* one at a time then: many that begin together would all pass before the first has failed */
	if (left <= 0 && t->failed >= LOGIN_FREE && t->pending)
		left = WAIT_MIN_MS;
	if (left <= 0)
		return 0;
	err_set(err, ERR_LIMIT, "too many failed logins");
	err_word(err, "rate_limited");
	return err_hint(err, "try again in %lld s", (long long)(left + 999) / 1000);
}

static void begin_try(struct accounts *a, const char *email)
{
	uint8_t who[CRYPTO_MAC];
	tries_of(a, email, who)->pending++;
}

/* Nobody knows how it would have ended. */
static void drop_try(struct accounts *a, const char *email)
{
	uint8_t who[CRYPTO_MAC];
	tries_of(a, email, who)->pending--;
}

static void end_try(struct accounts *a, const char *email, bool good)
{
	uint8_t who[CRYPTO_MAC];
	struct tries *t = tries_of(a, email, who);
	int64_t now = clock_mono_ms();
	bool same = memcmp(t->who, who, CRYPTO_MAC) == 0;
	t->pending--;
	if (now - t->last_ms > FORGET_MS || (good && same && !t->mixed))
		t->failed = 0;
	if (good)
		return;
	t->mixed = t->failed && (t->mixed || !same);
	memcpy(t->who, who, CRYPTO_MAC);
	t->last_ms = now;
	if (++t->failed < LOGIN_FREE)
		return;
	unsigned over = t->failed - LOGIN_FREE;
	int64_t wait = over > 5 ? WAIT_MAX_MS : (int64_t)WAIT_MIN_MS << over;
	t->free_ms = now + (wait < WAIT_MAX_MS ? wait : WAIT_MAX_MS);
}

/* ---- what is told ---- */

struct entry {
	struct core *core;
	char *email, *name;
	char *stale, *word; /* of a login: his hash, when it is to be made anew, and what of */
	int64_t user;
	account_cb *cb;
	void *arg;
	struct err err; /* when it fails before anything was begun */
	uv_timer_t later;
};

static void entry_free(struct entry *e)
{
	if (e->word)
		explicit_bzero(e->word, strlen(e->word));
	free(e->word);
	free(e->stale);
	free(e->email);
	free(e->name);
	free(e);
}

static void on_later_closed(uv_handle_t *handle)
{
	entry_free(handle->data);
}

static void on_later(uv_timer_t *timer)
{
	struct entry *e = timer->data;
	e->cb(e->arg, NULL, &e->err);
	uv_close((uv_handle_t *)timer, on_later_closed);
}

/* The callback must not come from inside the call. */
static void fail_later(struct entry *e)
{
	uv_timer_init(e->core->config.loop, &e->later);
	e->later.data = e;
	uv_timer_start(&e->later, on_later, 0, 0);
}

static void tell(struct entry *e, const struct db_member *who, const struct err *err)
{
	e->cb(e->arg, err ? NULL : who, err);
	entry_free(e);
}

char *account_clean_email(const char *s)
{
	char *out = str_trimmed(s);
	for (char *p = out; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return out;
}

static struct entry *entry_new(struct core *core, const char *email, account_cb *cb, void *arg)
{
	struct entry *e = mem_zalloc(sizeof(*e));
	*e = (struct entry){ .core = core, .email = account_clean_email(email), .cb = cb, .arg = arg, .err = ERR_INIT };
	return e;
}

/* ---- coming new ---- */

static int check_email(const char *email, struct err *err)
{
	size_t n = strlen(email);
	if (strchr(email, '@') && n >= EMAIL_MIN && n <= EMAIL_MAX)
		return 0;
	return err_set(err, ERR_INVALID, "'email' must be a mail address");
}

static int check_signup(const struct entry *e, const char *password, struct err *err)
{
	size_t n = strlen(password), named = strlen(e->name);
	if (check_email(e->email, err))
		return -1;
	if (n < PASSWORD_MIN || n > PASSWORD_MAX)
		return err_set(err, ERR_INVALID, "'password' must have %d to %d bytes", PASSWORD_MIN, PASSWORD_MAX);
	if (named < 1 || named > USER_NAME_MAX)
		return err_set(err, ERR_INVALID, "'name' must have 1 to %d bytes", USER_NAME_MAX);
	return 0;
}

static int email_taken(struct err *err)
{
	err_set(err, ERR_CONFLICT, "there is an account with this address already");
	err_word(err, "email_taken");
	return err_hint(err, "log in instead");
}

/* One user with a team of his own and, when another service vouches for him, that login: all or nothing. */
static int add_user(struct core *core, struct db_user *user, const struct account_profile *profile, struct err *err)
{
	char uid[UID_LENGTH + 1];
	auto_free char *team_name = mem_printf("%s's Team", user->name);
	struct db_team team;
	rand_id(uid, UID_LENGTH);
	user->uid = mem_strdup(uid);
	user->created_ms = clock_wall_ms();
	if (db_begin(core->db, err))
		return -1;
	int rc = db_user_insert(core->db, user, err);
	if (rc && err && err->code == ERR_CONFLICT)
		email_taken(err);
	if (rc == 0)
		rc = team_insert(core, team_name, user->id, true, &team, err);
	if (rc == 0) {
		db_team_release(&team);
		rc = profile ? db_login_insert(core->db, profile->provider, profile->subject, user->id, err) : 0;
	}
	if (rc) {
		db_rollback(core->db);
		return -1;
	}
	return db_commit(core->db, err);
}

static void on_hashed(void *arg, const char *hash, bool match, const struct err *err)
{
	struct entry *e = arg;
	struct err failure = ERR_INIT;
	struct db_member who = { 0 };
	(void)match;
	if (err) {
		tell(e, NULL, err);
		return;
	}
	struct db_user user = { .email = mem_strdup(e->email), .name = mem_strdup(e->name), .password = mem_strdup(hash) };
	int rc = add_user(e->core, &user, NULL, &failure);
	if (rc == 0)
		rc = account_default_team(e->core, user.id, &who, &failure);
	db_user_release(&user);
	tell(e, &who, rc ? &failure : NULL);
	db_member_release(&who);
}

void account_signup(struct core *core, const char *email, const char *password, const char *name, account_cb *cb, void *arg)
{
	struct entry *e = entry_new(core, email, cb, arg);
	struct db_user known;
	e->name = str_trimmed(name);
	int rc = check_signup(e, password, &e->err);
	/* before the hash is made, which costs; the insert is what decides */
	int found = rc ? 0 : db_user_by_email(core->db, e->email, &known, &e->err);
	if (found == 1) {
		db_user_release(&known);
		email_taken(&e->err);
	}
	if (rc || found || password_run(core->accounts->passwords, password, NULL, on_hashed, e, &e->err))
		fail_later(e);
}

/* ---- coming back ---- */

static int refused(struct err *err)
{
	err_set(err, ERR_UNAUTHORIZED, "invalid email or password");
	return -1;
}

struct renewal {
	struct core *core;
	int64_t user;
	char *stale;
};

static void on_renewed(void *arg, const char *hash, bool match, const struct err *err)
{
	struct renewal *n = arg;
	struct err failure = ERR_INIT;
	(void)match;
	/* an error may be that core is closed: the next login tries again */
	if (!err && db_user_set_password(n->core->db, n->user, n->stale, hash, &failure))
		log_warn("account", "a password is not hashed anew: %s", failure.msg);
	free(n->stale);
	free(n);
}

/* The login does not wait for it, and when the queue is full it is left to the next one. */
static void renew(struct entry *e)
{
	struct renewal *n = mem_zalloc(sizeof(*n));
	*n = (struct renewal){ .core = e->core, .user = e->user };
	n->stale = mem_steal(&e->stale);
	if (!password_run(e->core->accounts->passwords, e->word, NULL, on_renewed, n, NULL))
		return;
	free(n->stale);
	free(n);
}

static void on_checked(void *arg, const char *hash, bool match, const struct err *err)
{
	struct entry *e = arg;
	struct err failure = ERR_INIT;
	struct db_member who = { 0 };
	(void)hash;
	if (err) {
		if (err->code != ERR_UNAVAILABLE) /* core is there */
			drop_try(e->core->accounts, e->email);
		tell(e, NULL, err);
		return;
	}
	bool good = match && e->user >= 0;
	end_try(e->core->accounts, e->email, good);
	if (good && e->stale)
		renew(e);
	int rc = good ? account_default_team(e->core, e->user, &who, &failure) : refused(&failure);
	tell(e, &who, rc ? &failure : NULL);
	db_member_release(&who);
}

void account_login(struct core *core, const char *email, const char *password, account_cb *cb, void *arg)
{
	struct entry *e = entry_new(core, email, cb, arg);
	struct accounts *a = core->accounts;
	struct db_user user = { 0 };
	int found = 0, rc = 0;
	if (!*e->email || !*password)
		rc = err_set(&e->err, ERR_INVALID, "'email' and 'password' are required");
	if (rc == 0)
		rc = may_try(a, e->email, &e->err);
	if (rc == 0)
		found = db_user_by_email(core->db, e->email, &user, &e->err);
	/* who has no password, or is nobody, is checked against one that nobody knows: the time tells nothing. One that is too long
	 * is nobody's, though bcrypt, which looks at its beginning alone, would take it */
	auto_free char *word = mem_strndup(password, PASSWORD_MAX);
	bool can = found == 1 && user.password && strlen(password) <= PASSWORD_MAX;
	e->user = can ? user.id : -1;
	if (can && !password_is_current(a->passwords, user.password)) {
		e->stale = mem_strdup(user.password);
		e->word = mem_strdup(word);
	}
	if (rc || found < 0 || password_run(a->passwords, word, can ? user.password : a->decoy, on_checked, e, &e->err))
		fail_later(e);
	else
		begin_try(a, e->email);
	db_user_release(&user);
}

int account_default_team(struct core *core, int64_t user, struct db_member *out, struct err *err)
{
	struct db_member *all;
	size_t n, pick = 0;
	if (db_member_of_user(core->db, user, &all, &n, err))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (all[i].is_default) {
			pick = i;
			break;
		}
	if (n > 0) {
		*out = all[pick];
		all[pick] = (struct db_member){ 0 };
	}
	db_members_release(all, n);
	if (n > 0)
		return 0;
	err_set(err, ERR_FORBIDDEN, "the account has no team any more");
	err_word(err, "no_team");
	return err_hint(err, "have somebody add you to a team");
}

int account_by_login(struct core *core, const struct account_profile *profile, struct db_member *out, struct err *err)
{
	struct db_user user = { 0 };
	int found = db_user_by_login(core->db, profile->provider, profile->subject, &user, err);
	if (found == 0) {
		user = (struct db_user){ .email = account_clean_email(profile->email),
			.name = mem_strndup(profile->name, USER_NAME_MAX) };
		found = check_email(user.email, err) || add_user(core, &user, profile, err) ? -1 : 1;
	}
	int rc = found < 0 ? -1 : account_default_team(core, user.id, out, err);
	db_user_release(&user);
	return rc;
}

int account_user(struct core *core, int64_t user, struct db_user *out, struct err *err)
{
	int found = db_user_by_id(core->db, user, out, err);
	return found == 1 ? 0 : found < 0 ? -1 : err_set(err, ERR_NOT_FOUND, "there is no such user");
}

int account_search(struct core *core, const char *prefix, struct db_user **out, size_t *n, struct err *err)
{
	auto_free char *text = str_trimmed(prefix);
	if (strlen(text) < EMAIL_MIN || !strchr(text, '@'))
		return err_set(err, ERR_INVALID, "'email' must have at least %d characters and an @", EMAIL_MIN);
	return db_user_search(core->db, text, 10, out, n, err);
}
