/* link: daemon/db/[a-z]*.c | -lsqlite3 */
/* Records of users, teams, memberships, logins and keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/db/account.h"
#include "tests/unit/db_kit.h"

static int64_t add_user(struct db *db, const char *uid, const char *email)
{
	struct err err = ERR_INIT;
	struct db_user row = { .uid = LENT(uid), .email = LENT(email), .name = LENT("N"), .created_ms = 5 };
	assert_int_equal(db_user_insert(db, &row, &err), 0);
	assert_true(row.id > 0);
	return row.id;
}

static int64_t add_team(struct db *db, const char *uid)
{
	struct err err = ERR_INIT;
	struct db_team row = { .uid = LENT(uid), .name = LENT("T"), .slug = LENT(uid), .created_ms = 6 };
	assert_int_equal(db_team_insert(db, &row, &err), 0);
	assert_true(row.id > 0);
	return row.id;
}

/* ---- users ---- */

static void t_user(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_user row = { .uid = LENT("u1"),
		.email = LENT("a@b.c"),
		.name = LENT("Ada"),
		.password = LENT("hash"),
		.admin = 1,
		.created_ms = 77 };
	struct db_user got;
	assert_int_equal(db_user_insert(k->db, &row, &err), 0);
	db_kit_reopen(k);
	assert_int_equal(db_user_by_id(k->db, row.id, &got, &err), 1);
	assert_string_equal(got.uid, "u1");
	assert_string_equal(got.email, "a@b.c");
	assert_string_equal(got.name, "Ada");
	assert_string_equal(got.password, "hash");
	assert_true(got.id == row.id && got.admin == 1 && got.created_ms == 77);
	db_user_release(&got);
	assert_int_equal(db_user_by_uid(k->db, "u1", &got, &err), 1);
	assert_int_equal(got.id, row.id);
	db_user_release(&got);
	assert_int_equal(db_user_by_email(k->db, "a@b.c", &got, &err), 1);
	assert_int_equal(got.id, row.id);
	db_user_release(&got);
	assert_int_equal(db_user_by_email(k->db, "A@b.c", &got, &err), 0);
	assert_null(got.uid);
	assert_int_equal(db_user_by_uid(k->db, "u", &got, &err), 0);
	assert_int_equal(db_user_by_id(k->db, row.id + 1, &got, &err), 0);
	assert_int_equal(db_user_set_password(k->db, row.id, NULL, "other", &err), 0);
	assert_int_equal(db_user_set_name(k->db, row.id, "Bob", &err), 0);
	assert_int_equal(db_user_by_id(k->db, row.id, &got, &err), 1);
	assert_string_equal(got.password, "other");
	assert_string_equal(got.name, "Bob");
	db_user_release(&got);
}

static void t_addresses_are_unique(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_user twin = { .uid = LENT("u2"), .email = LENT("a@b.c"), .name = LENT("N") };
	int64_t first = add_user(k->db, "u1", "a@b.c");
	assert_int_equal(db_user_insert(k->db, &twin, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	twin.id = 0;
	twin.email = LENT("b@b.c");
	twin.uid = LENT("u1");
	assert_int_equal(db_user_insert(k->db, &twin, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(add_user(k->db, "u3", "c@b.c"), first + 1);
}

/* The local user and team are there from the start, and nobody else gets their numbers. */
static void t_local(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_user user;
	struct db_team team;
	struct db_member m;
	assert_int_equal(db_user_by_id(k->db, 0, &user, &err), 1);
	assert_int_equal(user.admin, 1);
	assert_null(user.password);
	db_user_release(&user);
	assert_int_equal(db_team_by_id(k->db, 0, &team, &err), 1);
	db_team_release(&team);
	assert_int_equal(db_member_get(k->db, 0, 0, &m, &err), 1);
	assert_string_equal(m.role, "owner");
	db_member_release(&m);
}

static void t_search(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	static const char *const emails[] = { "a@b.c", "a@b.d", "a@bb.c", "a_@b.c", "ab@b.c", "a%@b.c", "\xc3\xa9@b.c",
		"a@b\xf0\x9f\x98\x80" };
	static const struct {
		const char *prefix;
		int64_t limit;
		const char *want;
	} rows[] = { { "a@b", 9, "a@b.c a@b.d a@bb.c a@b\xf0\x9f\x98\x80 " }, { "a@b", 2, "a@b.c a@b.d " },
		{ "a@b.c", 9, "a@b.c " }, { "a_@", 9, "a_@b.c " }, { "a%@", 9, "a%@b.c " }, { "%@", 9, "" }, { "A@b", 9, "" },
		{ "\xc3\xa9@", 9, "\xc3\xa9@b.c " }, { "local", 9, "" }, { "a@b\xf0\x9f", 9, "a@b\xf0\x9f\x98\x80 " } };
	for (size_t i = 0; i < ARRAY_LEN(emails); i++) {
		char uid[8];
		snprintf(uid, sizeof(uid), "u%zu", i);
		add_user(k->db, uid, emails[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct db_user *all;
		size_t n;
		char text[128] = "";
		assert_int_equal(db_user_search(k->db, rows[i].prefix, rows[i].limit, &all, &n, &err), 0);
		for (size_t j = 0; j < n; j++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", all[j].email);
		assert_string_equal(text, rows[i].want);
		db_users_release(all, n);
	}
}

static void t_logins(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_user got;
	int64_t a = add_user(k->db, "u1", "a@b.c"), b = add_user(k->db, "u2", "b@b.c");
	assert_int_equal(db_login_insert(k->db, "github", "17", a, &err), 0);
	assert_int_equal(db_login_insert(k->db, "gitlab", "17", b, &err), 0);
	assert_int_equal(db_login_insert(k->db, "github", "17", b, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(db_login_insert(k->db, "github", "18", b + 1, &err), -1); /* nobody */
	assert_int_equal(db_user_by_login(k->db, "github", "17", &got, &err), 1);
	assert_int_equal(got.id, a);
	db_user_release(&got);
	assert_int_equal(db_user_by_login(k->db, "github", "18", &got, &err), 0);
}

/* ---- teams and who is in them ---- */

static void t_team(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_team got, twin = { .uid = LENT("t2"), .name = LENT("T"), .slug = LENT("t1") };
	int64_t id = add_team(k->db, "t1");
	assert_int_equal(db_team_insert(k->db, &twin, &err), -1); /* slugs are unique */
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(db_team_rename(k->db, id, "Other", &err), 0);
	assert_int_equal(db_team_set_byoc(k->db, id, &err), 0);
	db_kit_reopen(k);
	assert_int_equal(db_team_by_uid(k->db, "t1", &got, &err), 1);
	assert_string_equal(got.name, "Other");
	assert_string_equal(got.slug, "t1");
	assert_true(got.id == id && got.byoc == 1 && got.created_ms == 6 && got.deleted_ms == 0);
	db_team_release(&got);
	/* a team that is deleted keeps its record, and the time of its end */
	assert_int_equal(db_team_delete(k->db, id, 99, &err), 0);
	assert_int_equal(db_team_delete(k->db, id, 100, &err), 0);
	assert_int_equal(db_team_by_id(k->db, id, &got, &err), 1);
	assert_int_equal(got.deleted_ms, 99);
	db_team_release(&got);
	twin.slug = LENT("t1");
	assert_int_equal(db_team_insert(k->db, &twin, &err), -1);
}

static void member_names(struct db *db, bool of_team, int64_t id, const char *want)
{
	struct db_member *all;
	struct err err = ERR_INIT;
	size_t n;
	char text[128] = "";
	assert_int_equal((of_team ? db_member_of_team : db_member_of_user)(db, id, &all, &n, &err), 0);
	for (size_t i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s:%s:%s:%lld ", all[i].team_uid, all[i].user_uid,
			all[i].role, (long long)all[i].is_default);
	assert_string_equal(text, want);
	db_members_release(all, n);
}

static void t_members(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_member got;
	int64_t a = add_user(k->db, "ua", "a@b.c"), b = add_user(k->db, "ub", "b@b.c");
	int64_t t = add_team(k->db, "t1"), u = add_team(k->db, "t2");
	assert_int_equal(join_team(k->db, t, b, "owner", 20, &err), 0);
	assert_int_equal(join_team(k->db, t, a, "member", 10, &err), 0);
	assert_int_equal(join_team(k->db, u, a, "owner", 30, &err), 0);
	assert_int_equal(join_team(k->db, u, a, "member", 40, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(join_team(k->db, u + 1, a, "member", 40, &err), -1); /* no such team */
	assert_int_equal(join_team(k->db, u, b + 1, "member", 40, &err), -1);
	db_kit_reopen(k);
	member_names(k->db, true, t, "t1:ua:member:0 t1:ub:owner:1 ");
	member_names(k->db, false, a, "t1:ua:member:0 t2:ua:owner:1 ");
	assert_int_equal(db_member_set_role(k->db, t, a, "admin", &err), 0);
	assert_int_equal(db_member_get(k->db, t, a, &got, &err), 1);
	assert_string_equal(got.role, "admin");
	assert_string_equal(got.user_email, "a@b.c");
	assert_string_equal(got.user_name, "N");
	assert_string_equal(got.team_name, "T");
	assert_string_equal(got.team_slug, "t1");
	assert_true(got.team == t && got.user == a && got.joined_ms == 10 && !got.user_admin && !got.team_byoc);
	assert_int_equal(got.team_created_ms, 6);
	db_member_release(&got);
	member_names(k->db, false, a, "t1:ua:admin:0 t2:ua:owner:1 "); /* in no other team */
	assert_int_equal(db_member_delete(k->db, t, a, &err), 0);
	assert_int_equal(db_member_get(k->db, t, a, &got, &err), 0);
	member_names(k->db, true, t, "t1:ub:owner:1 ");
	assert_int_equal(db_team_delete(k->db, u, 1, &err), 0);
	member_names(k->db, false, a, ""); /* of live teams only */
	member_names(k->db, true, u, "");
	assert_int_equal(db_member_get(k->db, u, a, &got, &err), 0);
}

/* ---- keys ---- */

static void add_key(struct db *db, const char *id, int64_t team, int64_t created_ms)
{
	struct err err = ERR_INIT;
	struct db_key key = { .id = LENT(id),
		.name = LENT("ci"),
		.prefix = LENT("p"),
		.hash = LENT(id),
		.account = team,
		.created_by = 3,
		.created_ms = created_ms };
	assert_int_equal(db_key_insert(db, &key, &err), 0);
}

static void t_keys(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_key *all, key;
	size_t n;
	int64_t t = add_team(k->db, "t1"), u = add_team(k->db, "t2");
	add_key(k->db, "k1", t, 10);
	add_key(k->db, "k3", t, 20);
	add_key(k->db, "k2", t, 20);
	add_key(k->db, "k4", u, 5);
	db_kit_reopen(k);
	assert_int_equal(db_key_list(k->db, t, &all, &n, &err), 0);
	assert_int_equal(n, 3);
	assert_string_equal(all[0].id, "k2");
	assert_string_equal(all[1].id, "k3");
	assert_string_equal(all[2].id, "k1");
	db_keys_release(all, n);
	assert_int_equal(db_key_named(k->db, t, "ci", &err), 1);
	assert_int_equal(db_key_named(k->db, t, "ci2", &err), 0);
	assert_int_equal(db_key_named(k->db, u + 1, "ci", &err), 0);
	assert_int_equal(db_key_find(k->db, "k4", &key, &err), 1);
	assert_true(key.account == u && key.created_by == 3 && key.created_ms == 5 && key.used_ms == 0);
	db_key_release(&key);
	assert_int_equal(db_key_touch(k->db, "k4", 88, &err), 0);
	assert_int_equal(db_key_find(k->db, "k4", &key, &err), 1);
	assert_int_equal(key.used_ms, 88);
	db_key_release(&key);
	/* a deleted team's are worth nothing, nor is one of no team at all */
	assert_int_equal(db_team_delete(k->db, u, 7, &err), 0);
	assert_int_equal(db_key_find(k->db, "k4", &key, &err), 0);
	add_key(k->db, "k5", u + 1, 5);
	assert_int_equal(db_key_find(k->db, "k5", &key, &err), 0);
	assert_int_equal(db_key_delete(k->db, t, "k4", false, &err), 0); /* another team's */
	assert_int_equal(db_key_delete(k->db, t, "k2", false, &err), 1);
	assert_int_equal(db_key_delete(k->db, t, "ci", true, &err), 2);
	assert_int_equal(db_key_list(k->db, t, &all, &n, &err), 0);
	assert_int_equal(n, 0);
	db_keys_release(all, n);
}

static void t_hashes_are_unique(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_key key = { .id = LENT("k2"), .prefix = LENT("p"), .hash = LENT("k1"), .account = 0 };
	add_key(k->db, "k1", 0, 1);
	assert_int_equal(db_key_insert(k->db, &key, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(t_user),
		DB_TEST(t_addresses_are_unique),
		DB_TEST(t_local),
		DB_TEST(t_search),
		DB_TEST(t_logins),
		DB_TEST(t_team),
		DB_TEST(t_members),
		DB_TEST(t_keys),
		DB_TEST(t_hashes_are_unique),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
