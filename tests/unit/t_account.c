/* link: tests/unit/core_kit.c daemon/core/account.c daemon/core/password.c daemon/core/team.c daemon/core/identity.c daemon/core/secret.c daemon/db/[a-z]*.c shared/net/crypto.c | -luv -lsqlite3 -lcrypt -lcrypto -Wl,--wrap=clock_mono_ms */
/* People coming in: sign-up, login, how often one may fail, and by other services. The clock stands still unless a test turns it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/core/password.h"
#include "daemon/db/table.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "tests/unit/core_kit.h"
#include "tests/unit/db_kit.h"

static int64_t now_ms = 1000000;

int64_t __wrap_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void)
{
	return now_ms;
}

/* ---- asking ---- */

struct answer {
	bool done, inside;
	struct err err;
	char email[300], name[128], team[128], role[16];
	int64_t user, team_id;
};

static void on_answer(void *arg, const struct db_member *who, const struct err *err)
{
	struct answer *a = arg;
	assert_false(a->inside); /* never from inside the call */
	assert_false(a->done);
	assert_true(!who == !!err);
	a->done = true;
	if (err) {
		a->err = *err;
		return;
	}
	str_copy(a->email, sizeof(a->email), who->user_email);
	str_copy(a->name, sizeof(a->name), who->user_name);
	str_copy(a->team, sizeof(a->team), who->team_name);
	str_copy(a->role, sizeof(a->role), who->role);
	a->user = who->user;
	a->team_id = who->team;
}

static void begin_login(struct core_kit *k, const char *email, const char *password, struct answer *a)
{
	*a = (struct answer){ .inside = true };
	account_login(k->core, email, password, on_answer, a);
	a->inside = false;
}

static enum err_code login(struct core_kit *k, const char *email, const char *password, struct answer *a)
{
	begin_login(k, email, password, a);
	core_kit_until(k, &a->done);
	return a->err.code;
}

static enum err_code signup(struct core_kit *k, const char *email, const char *password, const char *name, struct answer *a)
{
	*a = (struct answer){ .inside = true };
	account_signup(k->core, email, password, name, on_answer, a);
	a->inside = false;
	core_kit_until(k, &a->done);
	return a->err.code;
}

#define GOOD "password"

static void sign_up(struct core_kit *k, const char *email)
{
	struct answer a;
	assert_int_equal(signup(k, email, GOOD, "Ada", &a), ERR_OK);
}

static void word_is(const struct answer *a, const char *word)
{
	assert_non_null(a->err.word);
	assert_string_equal(a->err.word, word);
}

/* ---- coming new ---- */

static void t_signup(void **state)
{
	struct core_kit *k = *state;
	struct answer a;
	struct err err = ERR_INIT;
	struct db_user user;
	struct db_member *teams;
	size_t n;
	assert_int_equal(signup(k, " Ada@Example.ORG\t", GOOD, "  Ada L ", &a), ERR_OK);
	assert_string_equal(a.email, "ada@example.org");
	assert_string_equal(a.name, "Ada L");
	assert_string_equal(a.team, "Ada L's Team");
	assert_string_equal(a.role, "owner");
	assert_int_equal(db_user_by_email(k->core->db, "ada@example.org", &user, &err), 1);
	assert_memory_equal(user.password, "$2b$04$", 7);
	assert_int_equal(strlen(user.password), 60);
	assert_int_equal(user.admin, 0);
	assert_int_equal(strlen(user.uid), UID_LENGTH);
	db_user_release(&user);
	assert_int_equal(team_of_user(k->core, a.user, &teams, &n, &err), 0);
	assert_int_equal(n, 1);
	assert_true(teams[0].is_default && teams[0].team == a.team_id);
	assert_int_equal(strlen(teams[0].team_slug), 13);
	assert_int_equal(teams[0].team_slug[6], '-');
	db_members_release(teams, n);
	assert_int_equal(login(k, "ADA@example.org ", GOOD, &a), ERR_OK);
	assert_string_equal(a.team, "Ada L's Team");
}

static void t_signup_refused(void **state)
{
	struct core_kit *k = *state;
	struct answer a;
	char long_name[USER_NAME_MAX + 2], long_mail[EMAIL_MAX + 2], long_word[PASSWORD_MAX + 2];
	memset(long_name, 'n', sizeof(long_name) - 1);
	memset(long_mail, '@', sizeof(long_mail) - 1);
	memset(long_word, 'p', sizeof(long_word) - 1);
	long_name[sizeof(long_name) - 1] = long_mail[sizeof(long_mail) - 1] = long_word[sizeof(long_word) - 1] = '\0';
	const struct {
		const char *email, *password, *name, *what;
	} rows[] = { { "", GOOD, "n", "'email'" }, { "ab", GOOD, "n", "'email'" }, { "a@", GOOD, "n", "'email'" },
		{ " a@ ", GOOD, "n", "'email'" }, { "abc", GOOD, "n", "'email'" }, { long_mail, GOOD, "n", "'email'" },
		{ "a@b", "1234567", "n", "'password'" }, { "a@b", "", "n", "'password'" }, { "a@b", long_word, "n", "'password'" },
		{ "a@b", GOOD, "", "'name'" }, { "a@b", GOOD, " \t\n", "'name'" }, { "a@b", GOOD, long_name, "'name'" } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(signup(k, rows[i].email, rows[i].password, rows[i].name, &a), ERR_INVALID);
		assert_non_null(strstr(a.err.msg, rows[i].what));
	}
	/* up to the very bounds */
	long_name[USER_NAME_MAX] = long_mail[EMAIL_MAX] = long_word[PASSWORD_MAX] = '\0';
	assert_int_equal(signup(k, "a@b", "12345678", "n", &a), ERR_OK);
	assert_int_equal(signup(k, long_mail, long_word, long_name, &a), ERR_OK);
	assert_int_equal(login(k, long_mail, long_word, &a), ERR_OK);
	assert_int_equal(strlen(a.team), USER_NAME_MAX + strlen("'s Team"));
}

static int64_t count(struct core_kit *k, const char *sql)
{
	int64_t n;
	struct err err = ERR_INIT;
	assert_int_equal(db_number(k->core->db, sql, &n, &err, ""), 0);
	return n;
}

static void t_address_taken(void **state)
{
	static const char users[] = "SELECT count(*) FROM user", teams[] = "SELECT count(*) FROM team";
	struct core_kit *k = *state;
	struct answer a, b;
	sign_up(k, "a@b.c");
	assert_int_equal(signup(k, " A@B.c ", GOOD, "Eve", &a), ERR_CONFLICT);
	word_is(&a, "email_taken");
	/* two at once: both pass the first look */
	a = b = (struct answer){ 0 };
	account_signup(k->core, "x@b.c", GOOD, "One", on_answer, &a);
	account_signup(k->core, "x@b.c", GOOD, "Two", on_answer, &b);
	core_kit_until(k, &a.done);
	core_kit_until(k, &b.done);
	assert_int_equal(a.err.code, ERR_OK);
	assert_int_equal(b.err.code, ERR_CONFLICT);
	word_is(&b, "email_taken");
	assert_int_equal(count(k, users), 3); /* with the local one; the second left nothing */
	assert_int_equal(count(k, teams), 3);
	/* the local account is nobody's */
	assert_int_equal(login(k, "local", "", &a), ERR_INVALID);
	assert_int_equal(login(k, "local", GOOD, &a), ERR_UNAUTHORIZED);
}

/* A team that cannot be made leaves no account without one. */
static void t_all_or_none(void **state)
{
	struct core_kit *k = *state;
	struct answer a;
	sqlite3 *h = db_handle(k->core->db);
	assert_int_equal(
		sqlite3_exec(h, "CREATE TRIGGER t BEFORE INSERT ON member BEGIN SELECT raise(ABORT, 'no'); END", NULL, NULL, NULL),
		SQLITE_OK);
	assert_int_equal(signup(k, "a@b.c", GOOD, "Ada", &a), ERR_INTERNAL);
	assert_int_equal(sqlite3_exec(h, "DROP TRIGGER t", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_UNAUTHORIZED);
	sign_up(k, "a@b.c");
}

/* ---- coming back ---- */

static void t_login(void **state)
{
	struct core_kit *k = *state;
	struct answer a, b;
	sign_up(k, "a@b.c");
	assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_OK);
	assert_int_equal(login(k, "a@b.c", "Password", &a), ERR_UNAUTHORIZED);
	assert_int_equal(login(k, "nobody@b.c", GOOD, &b), ERR_UNAUTHORIZED);
	assert_string_equal(a.err.msg, b.err.msg); /* who is known is not told */
	assert_int_equal(login(k, "", GOOD, &a), ERR_INVALID);
	assert_int_equal(login(k, " ", GOOD, &a), ERR_INVALID);
	assert_int_equal(login(k, "a@b.c", "", &a), ERR_INVALID);
	/* a person of another service has no password */
	core_kit_person(k, "git@b.c");
	assert_int_equal(login(k, "git@b.c", GOOD, &a), ERR_UNAUTHORIZED);
}

/* bcrypt looks at 72 bytes, and its library takes 511. */
static void t_long_passwords(void **state)
{
	struct core_kit *k = *state;
	struct answer a;
	auto_buf word = BUF_INIT;
	for (int i = 0; i < PASSWORD_MAX; i++)
		buf_ch(&word, 'p');
	assert_int_equal(signup(k, "a@b.c", word.p, "Ada", &a), ERR_OK);
	assert_int_equal(login(k, "a@b.c", word.p, &a), ERR_OK);
	buf_ch(&word, 'p');
	assert_int_equal(login(k, "a@b.c", word.p, &a), ERR_UNAUTHORIZED);
	for (int i = 0; i < 100000; i++)
		buf_ch(&word, 'p');
	assert_int_equal(login(k, "a@b.c", word.p, &a), ERR_UNAUTHORIZED);
	assert_int_equal(login(k, "nobody@b.c", word.p, &a), ERR_UNAUTHORIZED);
}

static void t_default_team(void **state)
{
	struct core_kit *k = *state;
	struct answer a;
	struct err err = ERR_INIT;
	struct db_team other;
	sign_up(k, "a@b.c");
	assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_OK);
	int64_t user = a.user, own = a.team_id;
	struct identity boss = core_kit_person(k, "boss@b.c");
	assert_int_equal(team_create(k->core, "Later", user, &other, &err), 0);
	/* a team that he joined before all others */
	assert_int_equal(join_team(k->core->db, boss.team, user, "member", 1, &err), 0);
	assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_OK);
	assert_int_equal(a.team_id, own);
	assert_string_equal(a.role, "owner");
	struct identity who = core_kit_member(k, own, user, ROLE_OWNER);
	assert_int_equal(team_delete(k->core, &who, &err), 0);
	assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_OK);
	assert_int_equal(a.team_id, boss.team);
	assert_string_equal(a.role, "member");
	assert_int_equal(db_member_delete(k->core->db, boss.team, user, &err), 0);
	assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_OK);
	assert_int_equal(a.team_id, other.id);
	assert_int_equal(db_team_delete(k->core->db, other.id, 1, &err), 0);
	db_team_release(&other);
	assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_FORBIDDEN);
	word_is(&a, "no_team");
	assert_int_equal(login(k, "a@b.c", "wrong word", &a), ERR_UNAUTHORIZED); /* the password comes first */
}

/* ---- how often ---- */

static void fail_often(struct core_kit *k, const char *email, int times)
{
	struct answer a;
	for (int i = 0; i < times; i++)
		assert_int_equal(login(k, email, "wrong word", &a), ERR_UNAUTHORIZED);
}

static void waits(struct core_kit *k, const char *email, int64_t ms)
{
	struct answer a;
	now_ms += ms - 1;
	assert_int_equal(login(k, email, GOOD, &a), ERR_LIMIT);
	word_is(&a, "rate_limited");
	assert_string_equal(a.err.hint, "try again in 1 s");
	now_ms++;
}

static void t_rate_limit(void **state)
{
	struct core_kit *k = *state;
	struct answer a;
	static const int64_t steps[] = { 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000 };
	sign_up(k, "a@b.c");
	fail_often(k, "a@b.c", LOGIN_FREE);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		waits(k, "a@b.c", steps[i]);
		fail_often(k, "a@b.c", 1);
	}
	assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_LIMIT);
	assert_string_equal(a.err.hint, "try again in 60 s");
	assert_int_equal(login(k, " A@B.C", GOOD, &a), ERR_LIMIT); /* the same address */
	sign_up(k, "x@b.c");
	assert_int_equal(login(k, "x@b.c", GOOD, &a), ERR_OK); /* others come in */
	waits(k, "a@b.c", 60000);
	assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_OK);
	fail_often(k, "a@b.c", LOGIN_FREE); /* all anew */
	waits(k, "a@b.c", 1000);
}

/* Unknown addresses are counted alike, and what was long ago is forgotten. */
static void t_forgotten(void **state)
{
	struct core_kit *k = *state;
	fail_often(k, "nobody@b.c", LOGIN_FREE + 0);
	waits(k, "nobody@b.c", 1000);
	now_ms += 15 * 60000;
	fail_often(k, "nobody@b.c", LOGIN_FREE);
	waits(k, "nobody@b.c", 1000);
}

/* Whoever asks for many at once gains nothing over one who asks in turn. */
static void t_many_at_once(void **state)
{
	struct core_kit *k = *state;
	static struct answer many[20];
	unsigned refused = 0, limited = 0;
	sign_up(k, "a@b.c");
	fail_often(k, "a@b.c", LOGIN_FREE);
	now_ms += 1000;
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		begin_login(k, "a@b.c", "wrong word", &many[i]);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		core_kit_until(k, &many[i].done);
		refused += many[i].err.code == ERR_UNAUTHORIZED;
		limited += many[i].err.code == ERR_LIMIT;
	}
	assert_int_equal(refused, 1);
	assert_int_equal(limited, ARRAY_LEN(many) - 1);
	/* while somebody who has not failed may */
	sign_up(k, "x@b.c");
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		begin_login(k, "x@b.c", GOOD, &many[i]);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		core_kit_until(k, &many[i].done);
		assert_int_equal(many[i].err.code, ERR_OK);
	}
}

/* A good login of one's own does not wipe out what one failed at another address, wherever that one is counted. */
static void t_own_logins_do_not_help(void **state)
{
	struct core_kit *k = *state;
	struct answer a;
	enum { OWN = 3000 };
	sign_up(k, "victim@b.c");
	fail_often(k, "victim@b.c", LOGIN_FREE);
	/* among so many there are some that share its place: those have to wait as well */
	unsigned shared = 0;
	for (int i = 0; i < OWN && shared < 3; i++) {
		char email[32];
		snprintf(email, sizeof(email), "own%d@b.c", i);
		begin_login(k, email, GOOD, &a);
		core_kit_until(k, &a.done);
		if (a.err.code != ERR_LIMIT)
			continue;
		shared++;
		now_ms += 70000;
		sign_up(k, email);
		assert_int_equal(login(k, email, GOOD, &a), ERR_OK);
		fail_often(k, "victim@b.c", 1);
		assert_int_equal(login(k, "victim@b.c", GOOD, &a), ERR_LIMIT); /* still remembered */
		/* nor when the last to fail there was oneself */
		now_ms += 70000;
		fail_often(k, email, 1);
		now_ms += 70000;
		assert_int_equal(login(k, email, GOOD, &a), ERR_OK);
		fail_often(k, "victim@b.c", 1);
		assert_int_equal(login(k, "victim@b.c", GOOD, &a), ERR_LIMIT);
	}
	assert_true(shared > 0);
}

static void t_flood(void **state)
{
	struct core_kit *k = *state;
	static struct answer many[PASSWORD_WAITING + PASSWORD_RUNNING + 5];
	unsigned limited = 0;
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		char email[16];
		snprintf(email, sizeof(email), "%zu@b.c", i);
		begin_login(k, email, GOOD, &many[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		core_kit_until(k, &many[i].done);
		limited += many[i].err.code == ERR_LIMIT;
		if (many[i].err.code == ERR_LIMIT)
			word_is(&many[i], "rate_limited");
	}
	assert_int_equal(limited, 5);
}

/* A hash that is none is our failure, not his: it counts as no try. */
static void t_broken_hash(void **state)
{
	struct core_kit *k = *state;
	struct answer a;
	struct err err = ERR_INIT;
	sign_up(k, "a@b.c");
	assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_OK);
	fail_often(k, "a@b.c", LOGIN_FREE);
	now_ms += 1000;
	assert_int_equal(db_user_set_password(k->core->db, a.user, NULL, "$2b$04$*", &err), 0);
	assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_INTERNAL);
	assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_INTERNAL);
}

static char *stored_hash(struct core_kit *k, int64_t user)
{
	struct db_user row;
	struct err err = ERR_INIT;
	assert_int_equal(db_user_by_id(k->core->db, user, &row, &err), 1);
	char *hash = mem_steal(&row.password);
	db_user_release(&row);
	return hash;
}

static void restart_with_cost(struct core_kit *k, unsigned cost)
{
	accounts_close(k->core->accounts);
	k->core->config.password_cost = cost;
	k->core->accounts = accounts_new(k->core);
}

/* A login with the good password alone brings a hash to the cost of today: others have nothing to make it of. */
static void t_another_cost(void **state)
{
	struct core_kit *k = *state;
	struct answer a;
	sign_up(k, "a@b.c");
	assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_OK);
	int64_t user = a.user;
	static const struct {
		unsigned cost;
		const char *begins;
	} rows[] = { { 5, "$2b$05$" }, { 4, "$2b$04$" } }; /* up and down */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *before = stored_hash(k, user);
		restart_with_cost(k, rows[i].cost);
		assert_int_equal(login(k, "a@b.c", "wrong word", &a), ERR_UNAUTHORIZED);
		uv_run(&k->loop, UV_RUN_DEFAULT);
		auto_free char *same = stored_hash(k, user);
		assert_string_equal(same, before);
		assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_OK);
		uv_run(&k->loop, UV_RUN_DEFAULT);
		auto_free char *after = stored_hash(k, user);
		assert_memory_equal(after, rows[i].begins, strlen(rows[i].begins));
		assert_int_equal(login(k, "a@b.c", "wrong word", &a), ERR_UNAUTHORIZED);
		assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_OK);
		uv_run(&k->loop, UV_RUN_DEFAULT);
		auto_free char *still = stored_hash(k, user);
		assert_string_equal(still, after); /* once is enough */
	}
}

/* Neither a password that was changed meanwhile is lost, nor anything when the daemon ends before it is done. */
static void t_another_cost_too_late(void **state)
{
	struct core_kit *k = *state;
	struct answer a;
	struct err err = ERR_INIT;
	sign_up(k, "a@b.c");
	restart_with_cost(k, 5);
	assert_int_equal(login(k, "a@b.c", GOOD, &a), ERR_OK);
	assert_int_equal(db_user_set_password(k->core->db, a.user, NULL, "changed", &err), 0);
	uv_run(&k->loop, UV_RUN_DEFAULT);
	auto_free char *kept = stored_hash(k, a.user);
	assert_string_equal(kept, "changed");
	sign_up(k, "x@b.c");
	restart_with_cost(k, 4);
	assert_int_equal(login(k, "x@b.c", GOOD, &a), ERR_OK);
	restart_with_cost(k, 4); /* while it is at work */
	uv_run(&k->loop, UV_RUN_DEFAULT);
	auto_free char *old = stored_hash(k, a.user);
	assert_memory_equal(old, "$2b$05$", 7);
	assert_int_equal(login(k, "x@b.c", GOOD, &a), ERR_OK);
}

/* ---- other services ---- */

static void t_by_login(void **state)
{
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_member m;
	struct account_profile p = { "github", "17", " Ada@B.c", "Ada" };
	assert_int_equal(account_by_login(k->core, &p, &m, &err), 0);
	int64_t user = m.user;
	assert_string_equal(m.user_email, "ada@b.c");
	assert_string_equal(m.team_name, "Ada's Team");
	db_member_release(&m);
	p.email = "other@b.c"; /* the subject is who he is */
	assert_int_equal(account_by_login(k->core, &p, &m, &err), 0);
	assert_int_equal(m.user, user);
	assert_string_equal(m.user_email, "ada@b.c");
	db_member_release(&m);
	p.subject = "18";
	p.email = "ada@b.c"; /* no way into an account by its address alone */
	assert_int_equal(account_by_login(k->core, &p, &m, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_string_equal(err.word, "email_taken");
	p.email = "no address";
	assert_int_equal(account_by_login(k->core, &p, &m, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	p.provider = "gitlab";
	p.subject = "17";
	p.email = "eve@b.c";
	assert_int_equal(account_by_login(k->core, &p, &m, &err), 0);
	assert_int_not_equal(m.user, user);
	db_member_release(&m);
}

static void t_users(void **state)
{
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_user user, *found;
	size_t n;
	struct identity who = core_kit_person(k, "ada@b.c");
	assert_int_equal(account_user(k->core, who.user, &user, &err), 0);
	assert_string_equal(user.email, "ada@b.c");
	db_user_release(&user);
	assert_int_equal(account_user(k->core, who.user + 1, &user, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(account_search(k->core, " ada@ ", &found, &n, &err), 0);
	assert_int_equal(n, 1);
	db_users_release(found, n);
	static const char *const bad[] = { "", "a", "a@", " a@ ", "ada" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(account_search(k->core, bad[i], &found, &n, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
	}
	for (int i = 0; i < 12; i++) {
		char email[16];
		snprintf(email, sizeof(email), "x@%d", i);
		core_kit_person(k, email);
	}
	assert_int_equal(account_search(k->core, "x@1", &found, &n, &err), 0);
	assert_int_equal(n, 3);
	db_users_release(found, n);
	assert_int_equal(account_search(k->core, "x@", &found, &n, &err), -1);
	for (int i = 0; i < 12; i++) {
		char email[16];
		snprintf(email, sizeof(email), "yy@%d", i);
		core_kit_person(k, email);
	}
	assert_int_equal(account_search(k->core, "yy@", &found, &n, &err), 0);
	assert_int_equal(n, 10);
	db_users_release(found, n);
}

/* The daemon ends while somebody's password is being looked at: he is told, and nothing is left. */
static void t_closing(void **state)
{
	struct core_kit *k = *state;
	static struct answer many[4];
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		begin_login(k, "a@b.c", GOOD, &many[i]);
	accounts_close(k->core->accounts);
	k->core->accounts = NULL;
	uv_run(&k->loop, UV_RUN_DEFAULT);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		assert_int_equal(many[i].err.code, ERR_UNAVAILABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CORE_TEST(t_signup),
		CORE_TEST(t_signup_refused),
		CORE_TEST(t_address_taken),
		CORE_TEST(t_all_or_none),
		CORE_TEST(t_login),
		CORE_TEST(t_long_passwords),
		CORE_TEST(t_default_team),
		CORE_TEST(t_rate_limit),
		CORE_TEST(t_forgotten),
		CORE_TEST(t_many_at_once),
		CORE_TEST(t_own_logins_do_not_help),
		CORE_TEST(t_flood),
		CORE_TEST(t_broken_hash),
		CORE_TEST(t_another_cost),
		CORE_TEST(t_another_cost_too_late),
		CORE_TEST(t_by_login),
		CORE_TEST(t_users),
		CORE_TEST(t_closing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
