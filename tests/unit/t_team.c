/* link: tests/unit/core_kit.c daemon/core/team.c daemon/core/account.c daemon/core/password.c daemon/core/identity.c daemon/core/secret.c daemon/db/[a-z]*.c shared/net/crypto.c | -luv -lsqlite3 -lcrypt -lcrypto */
/* Teams: what each role may do to whom, and what becomes of a team that is deleted. Source: reference/wrenn.md 2.4, 2.9. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "tests/unit/core_kit.h"
#include "tests/unit/db_kit.h"

/* ---- a team with one of each role, made anew for every question ---- */

enum person { OWNER, ADMIN, MEMBER, ADMIN2, MEMBER2, STRANGER, KEY, PERSONS };
static const char *const names[PERSONS] = { "owner", "admin", "member", "admin2", "member2", "stranger", "key" };
static const enum role roles[PERSONS] = { ROLE_OWNER, ROLE_ADMIN, ROLE_MEMBER, ROLE_ADMIN, ROLE_MEMBER, ROLE_NONE, ROLE_NONE };

struct cast {
	struct core_kit *k;
	int64_t team;
	struct identity who[PERSONS];
	unsigned round;
};

static void cast_team(struct cast *c)
{
	struct err err = ERR_INIT;
	c->round++;
	for (enum person p = OWNER; p < KEY; p++) {
		char email[32];
		snprintf(email, sizeof(email), "%s%u@b.c", names[p], c->round);
		struct identity own = core_kit_person(c->k, email);
		if (p == OWNER)
			c->team = own.team;
		else if (p != STRANGER)
			assert_int_equal(join_team(c->k->core->db, c->team, own.user, role_name(roles[p]), p, &err), 0);
		c->who[p] = core_kit_member(c->k, c->team, own.user, roles[p]);
	}
	c->who[KEY] = (struct identity){ .kind = IDENTITY_KEY, .team = c->team, .id = "k", .name = "k" };
}

static enum role role_now(struct cast *c, enum person p)
{
	struct db_member m;
	struct err err = ERR_INIT;
	int found = db_member_get(c->k->core->db, c->team, c->who[p].user, &m, &err);
	enum role role = found == 1 ? role_parse(m.role) : ROLE_NONE;
	if (found == 1)
		db_member_release(&m);
	return role;
}

/* All are as they were, but one. */
static void only_changed(struct cast *c, enum person one)
{
	for (enum person p = OWNER; p < KEY; p++)
		if (p != one)
			assert_int_equal(role_now(c, p), roles[p]);
}

static enum err_code code_of(int rc, const struct err *err)
{
	return rc == 0 ? ERR_OK : err->code;
}

/* ---- who may what ---- */

static void t_rename(void **state)
{
	static const enum err_code want[PERSONS] = { ERR_OK, ERR_OK, ERR_FORBIDDEN, ERR_OK, ERR_FORBIDDEN, ERR_FORBIDDEN,
		ERR_FORBIDDEN };
	struct cast c = { .k = *state };
	for (enum person p = OWNER; p < PERSONS; p++) {
		struct err err = ERR_INIT;
		struct db_team team;
		char *old = NULL, *now = NULL;
		cast_team(&c);
		assert_int_equal(code_of(team_rename(c.k->core, &c.who[p], " New Name ", &old, &now, &err), &err), want[p]);
		assert_int_equal(team_get(c.k->core, c.team, &team, &err), 0);
		assert_int_equal(!strcmp(team.name, "New Name"), want[p] == ERR_OK);
		db_team_release(&team);
		assert_int_equal(old != NULL, want[p] == ERR_OK);
		if (old)
			assert_non_null(strstr(old, "'s Team"));
		assert_int_equal(now && !strcmp(now, "New Name"), want[p] == ERR_OK); /* as it is kept */
		free(old);
		free(now);
		/* a bad name is told before all else */
		assert_int_equal(code_of(team_rename(c.k->core, &c.who[p], "#", NULL, NULL, &err), &err), ERR_INVALID);
	}
}

static void t_delete(void **state)
{
	struct cast c = { .k = *state };
	for (enum person p = PERSONS; p-- > OWNER;) {
		struct err err = ERR_INIT;
		struct db_team team;
		cast_team(&c);
		enum err_code want = p == OWNER ? ERR_OK : ERR_FORBIDDEN;
		assert_int_equal(code_of(team_delete(c.k->core, &c.who[p], &err), &err), want);
		assert_int_equal(code_of(team_get(c.k->core, c.team, &team, &err), &err), want == ERR_OK ? ERR_NOT_FOUND : ERR_OK);
		if (want != ERR_OK)
			db_team_release(&team);
	}
}

static void t_add(void **state)
{
	static const enum err_code want[PERSONS] = { ERR_OK, ERR_OK, ERR_FORBIDDEN, ERR_OK, ERR_FORBIDDEN, ERR_FORBIDDEN,
		ERR_FORBIDDEN };
	struct cast c = { .k = *state };
	for (enum person p = OWNER; p < PERSONS; p++) {
		struct err err = ERR_INIT;
		struct db_member m;
		char email[32];
		cast_team(&c);
		snprintf(email, sizeof(email), " STRANGER%u@b.c", c.round);
		assert_int_equal(code_of(team_add_member(c.k->core, &c.who[p], email, &m, &err), &err), want[p]);
		assert_int_equal(role_now(&c, STRANGER), want[p] == ERR_OK ? ROLE_MEMBER : ROLE_NONE);
		only_changed(&c, STRANGER);
		if (want[p] != ERR_OK)
			continue;
		assert_int_equal(m.user, c.who[STRANGER].user);
		assert_string_equal(m.role, "member");
		assert_true(m.joined_ms > 0 && !m.is_default);
		db_member_release(&m);
		assert_int_equal(code_of(team_add_member(c.k->core, &c.who[p], email, &m, &err), &err), ERR_INVALID); /* again */
		assert_int_equal(code_of(team_add_member(c.k->core, &c.who[p], "nobody@b.c", &m, &err), &err), ERR_NOT_FOUND);
		assert_int_equal(code_of(team_add_member(c.k->core, &c.who[p], " ", &m, &err), &err), ERR_INVALID);
		/* the local account belongs to no team but its own */
		assert_int_equal(code_of(team_add_member(c.k->core, &c.who[p], "local", &m, &err), &err), ERR_NOT_FOUND);
	}
}

/* What a manager may do to whom: to all but the owner and those who are no members. */
static enum err_code on_subject(enum person p, enum person subject)
{
	if (roles[p] < ROLE_ADMIN)
		return ERR_FORBIDDEN;
	return subject == OWNER ? ERR_FORBIDDEN : subject == STRANGER ? ERR_NOT_FOUND : ERR_OK;
}

static void t_set_role(void **state)
{
	static const char *const wanted[] = { "admin", "member" }, *const bad[] = { "owner", "none", "", "Admin" };
	struct cast c = { .k = *state };
	for (enum person p = OWNER; p < PERSONS; p++) {
		cast_team(&c);
		for (enum person subject = OWNER; subject < KEY; subject++) {
			const char *uid = c.who[subject].id;
			struct err err = ERR_INIT;
			for (size_t i = 0; i < 2; i++) {
				enum err_code want = on_subject(p, subject);
				assert_int_equal(code_of(team_set_role(c.k->core, &c.who[p], uid, wanted[i], &err), &err), want);
				assert_int_equal(role_now(&c, subject), want == ERR_OK ? role_parse(wanted[i]) : roles[subject]);
				only_changed(&c, subject);
			}
			for (size_t i = 0; i < ARRAY_LEN(bad); i++)
				assert_int_equal(
					code_of(team_set_role(c.k->core, &c.who[p], uid, bad[i], &err), &err), ERR_INVALID);
			/* as it was */
			if (roles[subject] == ROLE_ADMIN && on_subject(p, subject) == ERR_OK)
				assert_int_equal(team_set_role(c.k->core, &c.who[p], uid, "admin", &err), 0);
		}
		struct err err = ERR_INIT;
		assert_int_equal(code_of(team_set_role(c.k->core, &c.who[p], "nosuchuser", "admin", &err), &err),
			roles[p] < ROLE_ADMIN ? ERR_FORBIDDEN : ERR_NOT_FOUND);
	}
}

static void t_remove(void **state)
{
	struct cast c = { .k = *state };
	for (enum person p = OWNER; p < PERSONS; p++) {
		for (enum person subject = OWNER; subject < KEY; subject++) {
			struct err err = ERR_INIT;
			cast_team(&c);
			enum err_code want = on_subject(p, subject);
			assert_int_equal(code_of(team_remove_member(c.k->core, &c.who[p], c.who[subject].id, &err), &err), want);
			assert_int_equal(role_now(&c, subject), want == ERR_OK ? ROLE_NONE : roles[subject]);
			only_changed(&c, subject);
		}
	}
}

static void t_leave(void **state)
{
	static const enum err_code want[PERSONS] = { ERR_FORBIDDEN, ERR_OK, ERR_OK, ERR_OK, ERR_OK, ERR_FORBIDDEN, ERR_FORBIDDEN };
	struct cast c = { .k = *state };
	for (enum person p = OWNER; p < PERSONS; p++) {
		struct err err = ERR_INIT;
		cast_team(&c);
		assert_int_equal(code_of(team_leave(c.k->core, &c.who[p], &err), &err), want[p]);
		if (p != KEY)
			assert_int_equal(role_now(&c, p), want[p] == ERR_OK ? ROLE_NONE : roles[p]);
		only_changed(&c, p);
	}
}

/* Nobody touches another team by the ids of its people. */
static void t_other_teams(void **state)
{
	struct cast c = { .k = *state };
	struct err err = ERR_INIT;
	cast_team(&c);
	struct identity other = core_kit_person(c.k, "boss@b.c");
	for (enum person p = OWNER; p < KEY; p++) {
		assert_int_equal(code_of(team_set_role(c.k->core, &other, c.who[p].id, "admin", &err), &err), ERR_NOT_FOUND);
		assert_int_equal(code_of(team_remove_member(c.k->core, &other, c.who[p].id, &err), &err), ERR_NOT_FOUND);
	}
	only_changed(&c, PERSONS);
}

static void t_require(void **state)
{
	(void)state;
	for (enum role have = ROLE_NONE; have <= ROLE_OWNER; have++) {
		for (enum role need = ROLE_MEMBER; need <= ROLE_OWNER; need++) {
			struct identity who = {
				.kind = IDENTITY_USER, .role = have, .admin = true
			}; /* of the installation: no matter */
			struct err err = ERR_INIT;
			assert_int_equal(code_of(team_require(&who, need, &err), &err), have >= need ? ERR_OK : ERR_FORBIDDEN);
		}
	}
}

/* ---- the local team ---- */

static void t_local(void **state)
{
	struct core_kit *k = *state;
	const struct identity operator= {
		.kind = IDENTITY_LOCAL, .role = ROLE_OWNER, .admin = true, .id = "local", .name = "local"
	};
	struct err err = ERR_INIT;
	struct db_member m;
	core_kit_person(k, "a@b.c");
	assert_int_equal(code_of(team_delete(k->core, &operator, & err), &err), ERR_FORBIDDEN);
	assert_int_equal(code_of(team_leave(k->core, &operator, & err), &err), ERR_FORBIDDEN);
	/* whoever were in it would be an operator */
	assert_int_equal(code_of(team_add_member(k->core, &operator, "a@b.c", &m, &err), &err), ERR_NOT_FOUND);
	assert_int_equal(team_rename(k->core, &operator, "Our Machine", NULL, NULL, &err), 0);
}

/* ---- names, making, finding ---- */

static void t_names(void **state)
{
	static const char *const good[] = { "a", "A team", "it's_a-team@2", "  x  ", "0" };
	static const char *const bad[] = { "", " ", "\t\n", "a\tb", "a/b", "a.b", "a\nb", "\xc3\xa9", "a\"b", "<b>", "a=b" };
	char longest[TEAM_NAME_MAX + 2];
	struct err err = ERR_INIT;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		auto_free char *name = team_clean_name(good[i], &err), *want = str_trimmed(good[i]);
		assert_non_null(name);
		assert_string_equal(name, want);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_null(team_clean_name(bad[i], &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_null(team_clean_name(longest, &err));
	longest[TEAM_NAME_MAX] = '\0';
	auto_free char *name = team_clean_name(longest, &err);
	assert_non_null(name);
}

static void t_create(void **state)
{
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_team team, found;
	struct db_member *all;
	size_t n;
	struct identity who = core_kit_person(k, "a@b.c");
	assert_int_equal(team_create(k->core, " Second ", who.user, &team, &err), 0);
	assert_string_equal(team.name, "Second");
	assert_int_equal(strlen(team.uid), UID_LENGTH);
	assert_true(team.id > who.team && !team.byoc && !team.deleted_ms && team.created_ms > 0);
	assert_int_equal(strspn(team.slug, "0123456789abcdef"), 6);
	assert_int_equal(team.slug[6], '-');
	assert_int_equal(strspn(team.slug + 7, "0123456789abcdef"), 6);
	assert_int_equal(strlen(team.slug), 13);
	assert_int_equal(team_find(k->core, team.uid, &found, &err), 0);
	assert_int_equal(found.id, team.id);
	db_team_release(&found);
	assert_int_equal(team_of_user(k->core, who.user, &all, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_int_equal(all[0].team, who.team);
	assert_true(!all[1].is_default && all[1].team == team.id);
	assert_string_equal(all[1].role, "owner");
	db_members_release(all, n);
	db_team_release(&team);
	assert_int_equal(code_of(team_create(k->core, "#", who.user, &team, &err), &err), ERR_INVALID);
	/* an owner that is none: no team without one is left, and the database goes on */
	assert_int_equal(team_create(k->core, "Third", 99, &team, &err), -1);
	assert_int_equal(team_of_user(k->core, who.user, &all, &n, &err), 0);
	db_members_release(all, n);
	assert_int_equal(team_create(k->core, "Third", who.user, &team, &err), 0);
	db_team_release(&team);
	assert_int_equal(code_of(team_find(k->core, "nosuchteam", &found, &err), &err), ERR_NOT_FOUND);
	assert_int_equal(code_of(team_get(k->core, 99, &found, &err), &err), ERR_NOT_FOUND);
}

/* Its sandboxes end and no other's; its record and its slug stay. */
static void t_deleted(void **state)
{
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_team team;
	struct db_member m, *all;
	size_t n;
	struct identity who = core_kit_person(k, "a@b.c"), other = core_kit_person(k, "b@b.c");
	static const enum sandbox_state states[] = { SANDBOX_RUNNING, SANDBOX_PAUSED, SANDBOX_STOPPED, SANDBOX_CREATING,
		SANDBOX_DELETING };
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		core_kit_box(k, who.team, states[i], 1, 1);
		core_kit_box(k, other.team, SANDBOX_RUNNING, 1, 1);
		core_kit_box(k, TEAM_LOCAL, SANDBOX_RUNNING, 1, 1);
	}
	assert_int_equal(team_delete(k->core, &who, &err), 0);
	assert_int_equal(k->deleted, ARRAY_LEN(states) - 1);
	auto_free char *dropped = mem_printf("%lld;", (long long)who.team);
	assert_string_equal(k->dropped.p, dropped);
	assert_true(team_is_gone(k->core, who.team));
	assert_false(team_is_gone(k->core, other.team) || team_is_gone(k->core, TEAM_LOCAL) || team_is_gone(k->core, 99));
	for (size_t i = 0; i < k->core->count; i++)
		assert_int_equal(k->core->boxes[i]->state == SANDBOX_DELETING, k->core->boxes[i]->row.account == who.team);
	assert_int_equal(code_of(team_member(k->core, who.team, who.user, &m, &err), &err), ERR_NOT_FOUND);
	assert_int_equal(code_of(team_member_by_uid(k->core, who.team, who.id, &m, &err), &err), ERR_NOT_FOUND);
	assert_int_equal(team_members(k->core, who.team, &all, &n, &err), 0);
	assert_int_equal(n, 0);
	db_members_release(all, n);
	assert_int_equal(code_of(team_rename(k->core, &who, "x", NULL, NULL, &err), &err), ERR_NOT_FOUND);
	assert_int_equal(code_of(team_delete(k->core, &who, &err), &err), ERR_NOT_FOUND);
	assert_int_equal(db_team_by_id(k->core->db, who.team, &team, &err), 1);
	assert_true(team.deleted_ms > 0);
	db_team_release(&team);
	assert_int_equal(team_get(k->core, other.team, &team, &err), 0);
	db_team_release(&team);
}

/* What a daemon did not come to that died as soon as its teams were deleted; with none of them there is nothing to do. */
static void t_swept(void **state)
{
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	struct identity who[4];
	for (size_t i = 0; i < ARRAY_LEN(who); i++) {
		char email[8];
		snprintf(email, sizeof(email), "%zu@b.c", i);
		who[i] = core_kit_person(k, email);
		core_kit_box(k, who[i].team, SANDBOX_PAUSED, 1, 1);
		core_kit_box(k, TEAM_LOCAL, SANDBOX_RUNNING, 1, 1);
	}
	assert_int_equal(team_sweep(k->core, &err), 0);
	assert_int_equal(k->deleted, 0);
	assert_string_equal(k->dropped.p, "");
	assert_int_equal(db_team_delete(k->core->db, who[3].team, 7, &err), 0);
	assert_int_equal(db_team_delete(k->core->db, who[1].team, 8, &err), 0);
	assert_int_equal(team_sweep(k->core, &err), 0);
	for (size_t i = 0; i < k->core->count; i++) {
		int64_t team = k->core->boxes[i]->row.account;
		assert_int_equal(k->core->boxes[i]->state == SANDBOX_DELETING, team == who[1].team || team == who[3].team);
	}
	auto_free char *dropped = mem_printf("%lld;%lld;", (long long)who[1].team, (long long)who[3].team);
	assert_string_equal(k->dropped.p, dropped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CORE_TEST(t_rename),
		CORE_TEST(t_delete),
		CORE_TEST(t_add),
		CORE_TEST(t_set_role),
		CORE_TEST(t_remove),
		CORE_TEST(t_leave),
		CORE_TEST(t_other_teams),
		CORE_TEST(t_require),
		CORE_TEST(t_local),
		CORE_TEST(t_names),
		CORE_TEST(t_create),
		CORE_TEST(t_deleted),
		CORE_TEST(t_swept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
