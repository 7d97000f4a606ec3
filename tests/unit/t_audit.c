/* link: tests/unit/core_kit.c daemon/core/audit.c daemon/core/team.c daemon/core/account.c daemon/core/password.c daemon/core/identity.c daemon/core/secret.c daemon/db/[a-z]*.c shared/net/crypto.c | -luv -lsqlite3 -lcrypt -lcrypto */
/* The audit log: the words of every kind of note, who may read it, and what is news. Source: reference/wrenn.md 7, 8.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/core/audit.h"
#include "daemon/db/table.h"
#include "shared/base/mem.h"
#include "tests/unit/core_kit.h"

static const struct {
	const char *type, *action, *status, *scope, *event;
} kinds[AUDIT_KINDS] = {
	[AUDIT_SANDBOX_CREATE] = { "sandbox", "create", "success", "team", "capsule.created" },
	[AUDIT_SANDBOX_PAUSE] = { "sandbox", "pause", "success", "team", "capsule.paused" },
	[AUDIT_SANDBOX_RESUME] = { "sandbox", "resume", "success", "team", "capsule.running" },
	[AUDIT_SANDBOX_DESTROY] = { "sandbox", "destroy", "warning", "team", "capsule.destroyed" },
	[AUDIT_SNAPSHOT_CREATE] = { "snapshot", "create", "success", "team", "template.snapshot.created" },
	[AUDIT_SNAPSHOT_DELETE] = { "snapshot", "delete", "warning", "team", "template.snapshot.deleted" },
	[AUDIT_TEAM_RENAME] = { "team", "rename", "info", "team", NULL },
	[AUDIT_CHANNEL_CREATE] = { "channel", "create", "success", "team", NULL },
	[AUDIT_CHANNEL_UPDATE] = { "channel", "update", "info", "team", NULL },
	[AUDIT_CHANNEL_ROTATE] = { "channel", "rotate_config", "info", "team", NULL },
	[AUDIT_CHANNEL_DELETE] = { "channel", "delete", "warning", "team", NULL },
	[AUDIT_KEY_CREATE] = { "api_key", "create", "success", "team", NULL },
	[AUDIT_KEY_REVOKE] = { "api_key", "revoke", "warning", "team", NULL },
	[AUDIT_MEMBER_ADD] = { "member", "add", "success", "admin", NULL },
	[AUDIT_MEMBER_REMOVE] = { "member", "remove", "warning", "admin", NULL },
	[AUDIT_MEMBER_LEAVE] = { "member", "leave", "info", "admin", NULL },
	[AUDIT_MEMBER_ROLE] = { "member", "role_update", "info", "admin", NULL },
	[AUDIT_HOST_CREATE] = { "host", "create", "success", "admin", NULL },
	[AUDIT_HOST_DELETE] = { "host", "delete", "warning", "admin", NULL },
	[AUDIT_HOST_DOWN] = { "host", "marked_down", "error", "team", "host.down" },
	[AUDIT_HOST_UP] = { "host", "marked_up", "success", "team", "host.up" },
};

/* The newest note of the team. Release it. */
static struct db_audit newest(struct core_kit *k, int64_t team)
{
	const struct db_audit_query q = { .team = team, .admin = 1, .limit = 1 };
	struct db_audit *all, row;
	struct err err = ERR_INIT;
	size_t n;
	assert_int_equal(audit_list(k->core, &q, &all, &n, &err), 0);
	assert_int_equal(n, 1);
	row = all[0];
	free(all);
	return row;
}

static void t_kinds(void **state)
{
	struct core_kit *k = *state;
	const struct identity who = { .kind = IDENTITY_USER, .team = 3, .id = "u1", .name = "Ada" };
	static char *metadata[] = { (char *)(uintptr_t) "old_name=a=b", (char *)(uintptr_t) "x=", NULL };
	for (enum audit_kind kind = 0; kind < AUDIT_KINDS; kind++) {
		buf_clear(&k->news);
		audit_note(k->core, kind, &who, 3, "thing", metadata);
		struct db_audit row = newest(k, 3);
		assert_string_equal(row.resource_type, kinds[kind].type);
		assert_string_equal(row.action, kinds[kind].action);
		assert_string_equal(row.status, kinds[kind].status);
		assert_string_equal(row.scope, kinds[kind].scope);
		assert_string_equal(row.resource_id, "thing");
		assert_string_equal(row.actor_type, "user");
		assert_string_equal(row.actor_id, "u1");
		assert_string_equal(row.actor_name, "Ada");
		assert_string_equal(row.metadata[0], "old_name=a=b");
		assert_string_equal(row.metadata[1], "x=");
		assert_null(row.metadata[2]);
		assert_true(row.created_ms > 1500000000000);
		auto_free char *news =
			kinds[kind].event ? mem_printf("%s thing %s;", kinds[kind].event, row.status) : mem_strdup("");
		assert_string_equal(k->news.p, news);
		db_audit_release(&row);
	}
}

static void t_actors(void **state)
{
	struct core_kit *k = *state;
	static const struct {
		struct identity who;
		const char *type;
	} rows[] = { { { .kind = IDENTITY_KEY, .id = "k", .name = "ci" }, "api_key" },
		{ { .kind = IDENTITY_USER, .id = "k", .name = "ci" }, "user" },
		{ { .kind = IDENTITY_LOCAL, .id = "k", .name = "ci" }, "user" } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		audit_note(k->core, AUDIT_KEY_CREATE, &rows[i].who, 0, NULL, NULL);
		struct db_audit row = newest(k, 0);
		assert_string_equal(row.actor_type, rows[i].type);
		assert_null(row.resource_id);
		assert_null(row.metadata[0]);
		db_audit_release(&row);
	}
	/* by itself: nobody, and only a remark */
	audit_note(k->core, AUDIT_SANDBOX_PAUSE, NULL, 0, "x", NULL);
	struct db_audit row = newest(k, 0);
	assert_string_equal(row.actor_type, "system");
	assert_null(row.actor_id);
	assert_null(row.actor_name);
	assert_string_equal(row.status, "info");
	db_audit_release(&row);
	assert_string_equal(k->news.p, "capsule.paused x info;");
	audit_note(k->core, AUDIT_HOST_DOWN, NULL, 0, "x", NULL);
	row = newest(k, 0);
	assert_string_equal(row.status, "error");
	db_audit_release(&row);
}

/* In the log of the sandbox's team, whoever did it; a new one says what it was made from. */
static void t_sandbox(void **state)
{
	struct core_kit *k = *state;
	const struct identity operator= { .kind = IDENTITY_LOCAL, .team = TEAM_LOCAL, .id = "local", .name = "local" };
	struct sandbox *sb = core_kit_box(k, 7, SANDBOX_RUNNING, 1, 1);
	audit_sandbox(AUDIT_SANDBOX_CREATE, &operator, sb);
	struct db_audit row = newest(k, 7);
	assert_string_equal(row.resource_id, "box0");
	assert_string_equal(row.metadata[0], "template=base");
	db_audit_release(&row);
	sb->row.template = mem_strdup("minimal");
	audit_sandbox(AUDIT_SANDBOX_CREATE, &operator, sb);
	row = newest(k, 7);
	assert_string_equal(row.metadata[0], "template=minimal");
	assert_null(row.metadata[1]);
	db_audit_release(&row);
	audit_sandbox(AUDIT_SANDBOX_DESTROY, &operator, sb);
	row = newest(k, 7);
	assert_null(row.metadata[0]);
	db_audit_release(&row);
}

/* What cannot be written fails nothing, and is news all the same. */
static void t_failure(void **state)
{
	struct core_kit *k = *state;
	const struct identity who = { .kind = IDENTITY_USER, .team = 3, .id = "u1", .name = "Ada" };
	assert_int_equal(sqlite3_exec(db_handle(k->core->db), "DROP TABLE audit", NULL, NULL, NULL), SQLITE_OK);
	audit_note(k->core, AUDIT_SANDBOX_RESUME, &who, 3, "thing", NULL);
	assert_string_equal(k->news.p, "capsule.running thing success;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CORE_TEST(t_kinds),
		CORE_TEST(t_actors),
		CORE_TEST(t_sandbox),
		CORE_TEST(t_failure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
