/* link: tests/unit/core_kit.c daemon/core/key.c daemon/core/team.c daemon/core/account.c daemon/core/password.c daemon/core/identity.c daemon/core/secret.c daemon/image/hash.c daemon/db/[a-z]*.c shared/net/crypto.c | -luv -lsqlite3 -lcrypt -lcrypto -Wl,--wrap=clock_wall_ms */
/* API keys: their two forms, whom they stand for, and what ends them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/core/key.h"
#include "daemon/db/table.h"
#include "shared/base/mem.h"
#include "tests/unit/core_kit.h"
#include "tests/unit/db_kit.h"

static int64_t now_ms = 1000000;

int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_wall_ms(void)
{
	return now_ms;
}

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyz"

static void make(struct core_kit *k, const struct key_spec *spec, char secret[KEY_SECRET_MAX + 1], char id[16])
{
	struct db_key key;
	struct err err = ERR_INIT;
	assert_int_equal(key_create(k->core, spec, &key, secret, &err), 0);
	if (id)
		strcpy(id, key.id); /* lint: allow */
	db_key_release(&key);
}

static enum err_code check(struct core_kit *k, const char *secret, struct identity *who)
{
	struct err err = ERR_INIT;
	return key_check(k->core, secret, who, &err) ? err.code : ERR_OK;
}

static void t_forms(void **state)
{
	struct core_kit *k = *state;
	struct identity who, person = core_kit_person(k, "a@b.c");
	static const struct {
		enum key_form form;
		const char *prefix, *alphabet;
		size_t length, shown;
	} forms[] = { { KEY_SBX, "sbx_", DIGITS LETTERS, 44, 8 }, { KEY_WRENN, "wrn_", DIGITS "abcdef", 36, 10 } };
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct db_key key;
		struct err err = ERR_INIT;
		char secret[KEY_SECRET_MAX + 1], again[KEY_SECRET_MAX + 1];
		struct key_spec spec = { .team = person.team, .user = person.user, .name = "ci", .form = forms[i].form };
		assert_int_equal(key_create(k->core, &spec, &key, secret, &err), 0);
		assert_int_equal(strlen(secret), forms[i].length);
		assert_memory_equal(secret, forms[i].prefix, 4);
		assert_int_equal(strspn(secret + 4, forms[i].alphabet), forms[i].length - 4);
		assert_int_equal(strlen(key.prefix), forms[i].shown);
		assert_memory_equal(key.prefix, secret, forms[i].shown);
		assert_int_equal(strlen(key.hash), 64);
		assert_null(strstr(key.hash, secret + 4));
		assert_true(
			key.account == person.team && key.created_by == person.user && key.created_ms == now_ms && !key.used_ms);
		make(k, &spec, again, NULL);
		assert_string_not_equal(secret, again);
		assert_int_equal(check(k, secret, &who), ERR_OK);
		assert_true(who.kind == IDENTITY_KEY && who.team == person.team && who.role == ROLE_NONE && !who.admin);
		assert_true(who.user == 0 && who.host == 0);
		assert_string_equal(who.id, key.id);
		assert_string_equal(who.name, "ci");
		db_key_release(&key);
	}
}

static void t_what_is_stored(void **state)
{
	static const char sql[] = "SELECT count(*) FROM api_key WHERE hash = ?1 OR prefix = ?1 OR instr(prefix, ?2)";
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	char secret[KEY_SECRET_MAX + 1];
	int64_t n;
	make(k, &(struct key_spec){ .team = TEAM_LOCAL, .form = KEY_SBX }, secret, NULL);
	assert_int_equal(db_number(k->core->db, sql, &n, &err, "tt", secret, secret + 8), 0);
	assert_int_equal(n, 0);
}

/* Nothing but the very secret, all of it. */
static void t_wrong(void **state)
{
	struct core_kit *k = *state;
	struct identity who = { .kind = IDENTITY_HOST, .team = 77 };
	char secret[KEY_SECRET_MAX + 1];
	make(k, &(struct key_spec){ .team = TEAM_LOCAL, .form = KEY_WRENN }, secret, NULL);
	for (size_t i = 0; i < strlen(secret); i++) {
		auto_free char *bad = mem_strdup(secret);
		bad[i] = bad[i] == 'a' ? 'b' : 'a';
		assert_int_equal(check(k, bad, &who), ERR_UNAUTHORIZED);
		bad[i] = '\0';
		assert_int_equal(check(k, bad, &who), ERR_UNAUTHORIZED);
	}
	auto_free char *more = mem_printf("%s ", secret);
	assert_int_equal(check(k, more, &who), ERR_UNAUTHORIZED);
	assert_int_equal(check(k, "", &who), ERR_UNAUTHORIZED);
	assert_true(who.kind == IDENTITY_HOST && who.team == 77); /* left as it was */
	assert_int_equal(check(k, secret, &who), ERR_OK);
	assert_true(who.admin && who.team == TEAM_LOCAL); /* a key of the operator's is the operator's */
	assert_true(identity_is_operator(&who));
	assert_int_equal(strlen(who.name), 10); /* has no name: what it begins with */
}

static void t_names(void **state)
{
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_key key;
	char secret[KEY_SECRET_MAX + 1];
	int64_t team = core_kit_person(k, "a@b.c").team;
	struct key_spec unique = { .team = TEAM_LOCAL, .name = "ci", .form = KEY_SBX, .unique = true };
	make(k, &unique, secret, NULL);
	assert_int_equal(key_create(k->core, &unique, &key, secret, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	unique.team = team; /* another team's names are its own */
	make(k, &unique, secret, NULL);
	unique.unique = false;
	make(k, &unique, secret, NULL);
	unique.unique = true;
	unique.name = NULL; /* no name is no name */
	make(k, &unique, secret, NULL);
	make(k, &unique, secret, NULL);
}

static size_t how_many(struct core_kit *k, int64_t team)
{
	struct db_key *all;
	struct err err = ERR_INIT;
	size_t n;
	assert_int_equal(key_list(k->core, team, &all, &n, &err), 0);
	db_keys_release(all, n);
	return n;
}

static void t_delete(void **state)
{
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	struct identity who;
	char secret[4][KEY_SECRET_MAX + 1], id[4][16];
	int64_t team = core_kit_person(k, "a@b.c").team;
	const struct key_spec ci = { .team = team, .name = "ci" };
	make(k, &ci, secret[0], id[0]);
	/* named as another one's id */
	make(k, &(struct key_spec){ .team = team, .name = id[0] }, secret[1], id[1]);
	make(k, &ci, secret[2], id[2]);
	make(k, &(struct key_spec){ .team = TEAM_LOCAL, .name = "ci" }, secret[3], id[3]);
	assert_int_equal(key_delete(k->core, team, "nosuch", &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(key_delete(k->core, team, id[3], &err), -1); /* another team's */
	assert_int_equal(key_revoke(k->core, team, id[3], &err), 0);  /* says nothing, does nothing */
	assert_int_equal(key_revoke(k->core, team, "ci", &err), 0);   /* by id alone */
	assert_int_equal(how_many(k, team), 3);
	assert_int_equal(key_delete(k->core, team, id[0], &err), 0); /* the id comes first */
	assert_int_equal(check(k, secret[0], &who), ERR_UNAUTHORIZED);
	assert_int_equal(check(k, secret[1], &who), ERR_OK);
	assert_int_equal(key_delete(k->core, team, id[0], &err), 0); /* then the name */
	assert_int_equal(check(k, secret[1], &who), ERR_UNAUTHORIZED);
	assert_int_equal(key_revoke(k->core, team, id[2], &err), 0);
	assert_int_equal(check(k, secret[2], &who), ERR_UNAUTHORIZED);
	assert_int_equal(check(k, secret[3], &who), ERR_OK);
	assert_int_equal(how_many(k, team), 0);
	assert_int_equal(how_many(k, TEAM_LOCAL), 1);
}

/* Its maker may go, its team may not. */
static void t_whose(void **state)
{
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	struct identity boss = core_kit_person(k, "a@b.c"), maker = core_kit_person(k, "b@b.c"), who;
	char secret[KEY_SECRET_MAX + 1];
	assert_int_equal(join_team(k->core->db, boss.team, maker.user, "member", 1, &err), 0);
	make(k, &(struct key_spec){ .team = boss.team, .user = maker.user, .form = KEY_WRENN }, secret, NULL);
	assert_int_equal(team_remove_member(k->core, &boss, maker.id, &err), 0);
	assert_int_equal(check(k, secret, &who), ERR_OK);
	assert_int_equal(team_delete(k->core, &boss, &err), 0);
	assert_int_equal(check(k, secret, &who), ERR_UNAUTHORIZED);
}

static int64_t used_ms(struct core_kit *k)
{
	struct db_key *all;
	struct err err = ERR_INIT;
	size_t n;
	assert_int_equal(key_list(k->core, TEAM_LOCAL, &all, &n, &err), 0);
	int64_t at = all[0].used_ms;
	db_keys_release(all, n);
	return at;
}

/* When it was used last, to the minute. */
static void t_used(void **state)
{
	struct core_kit *k = *state;
	struct identity who;
	char secret[KEY_SECRET_MAX + 1];
	int64_t start = now_ms;
	make(k, &(struct key_spec){ .team = TEAM_LOCAL }, secret, NULL);
	assert_int_equal(used_ms(k), 0);
	assert_int_equal(check(k, secret, &who), ERR_OK);
	assert_int_equal(used_ms(k), start);
	now_ms += 60000;
	assert_int_equal(check(k, secret, &who), ERR_OK);
	assert_int_equal(used_ms(k), start);
	now_ms++;
	assert_int_equal(check(k, secret, &who), ERR_OK);
	assert_int_equal(used_ms(k), now_ms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CORE_TEST(t_forms),
		CORE_TEST(t_what_is_stored),
		CORE_TEST(t_wrong),
		CORE_TEST(t_names),
		CORE_TEST(t_delete),
		CORE_TEST(t_whose),
		CORE_TEST(t_used),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
