/* link: daemon/db/[a-z]*.c | -lsqlite3 */
/* The audit log and its pages, what teams used, channels and what is to be delivered to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/db/audit.h"
#include "daemon/db/channel.h"
#include "tests/unit/db_kit.h"

/* ---- the audit log ---- */

static int64_t note(struct db *db, int64_t team, const char *type, const char *action, const char *scope, int64_t at)
{
	static char *metadata[] = { LENT("a=b"), LENT("c="), NULL };
	struct err err = ERR_INIT;
	struct db_audit row = { .team = team,
		.actor_type = LENT("user"),
		.resource_type = LENT(type),
		.action = LENT(action),
		.scope = LENT(scope),
		.status = LENT("info"),
		.metadata = metadata,
		.created_ms = at };
	assert_int_equal(db_audit_insert(db, &row, &err), 0);
	return row.id;
}

static void ids_are(struct db *db, const struct db_audit_query *q, const char *want)
{
	struct db_audit *all;
	struct err err = ERR_INIT;
	size_t n;
	char text[64] = "";
	assert_int_equal(db_audit_list(db, q, &all, &n, &err), 0);
	for (size_t i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%lld ", (long long)all[i].id);
	assert_string_equal(text, want);
	db_audits_release(all, n);
}

static void t_audit(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_audit *all;
	size_t n;
	note(k->db, 1, "sandbox", "create", "team", 100500);
	note(k->db, 1, "member", "add", "admin", 200300);
	note(k->db, 1, "sandbox", "pause", "team", 200700);
	note(k->db, 2, "sandbox", "create", "team", 300000);
	note(k->db, 0, "host", "delete", "admin", 300000);
	db_kit_reopen(k);
	ids_are(k->db, &(struct db_audit_query){ .team = 1, .admin = 1, .limit = 9 }, "3 2 1 ");
	ids_are(k->db, &(struct db_audit_query){ .team = 1, .limit = 9 }, "3 1 ");
	ids_are(k->db, &(struct db_audit_query){ .team = 1, .admin = 1, .limit = 2 }, "3 2 ");
	ids_are(k->db, &(struct db_audit_query){ .team = 0, .admin = 1, .limit = 9 }, "5 ");
	ids_are(k->db, &(struct db_audit_query){ .team = 3, .admin = 1, .limit = 9 }, "");
	/* the next pages, by the second */
	ids_are(k->db, &(struct db_audit_query){ .team = 1, .admin = 1, .before_ms = 200000, .before_id = 3, .limit = 9 }, "2 1 ");
	ids_are(k->db, &(struct db_audit_query){ .team = 1, .admin = 1, .before_ms = 200000, .before_id = 2, .limit = 9 }, "1 ");
	ids_are(k->db, &(struct db_audit_query){ .team = 1, .admin = 1, .before_ms = 200000, .limit = 9 }, "1 ");
	ids_are(k->db, &(struct db_audit_query){ .team = 1, .admin = 1, .before_ms = 201000, .limit = 9 }, "3 2 1 ");
	/* what is wanted */
	static char *sandbox[] = { LENT("sandbox"), NULL }, *two[] = { LENT("create"), LENT("add"), NULL },
		    *sand[] = { LENT("sand"), NULL };
	static char *none[] = { NULL }, *both[] = { LENT("add,pause"), NULL };
	ids_are(k->db, &(struct db_audit_query){ .team = 1, .admin = 1, .types = sandbox, .limit = 9 }, "3 1 ");
	ids_are(k->db, &(struct db_audit_query){ .team = 1, .admin = 1, .actions = two, .limit = 9 }, "2 1 ");
	ids_are(k->db, &(struct db_audit_query){ .team = 1, .admin = 1, .types = sandbox, .actions = two, .limit = 9 }, "1 ");
	ids_are(k->db, &(struct db_audit_query){ .team = 1, .admin = 1, .types = sand, .limit = 9 }, "");
	ids_are(k->db, &(struct db_audit_query){ .team = 1, .admin = 1, .types = none, .limit = 9 }, "3 2 1 ");
	ids_are(k->db, &(struct db_audit_query){ .team = 1, .admin = 1, .actions = both, .limit = 9 }, "3 2 ");
	const struct db_audit_query last = { .team = 2, .limit = 1 };
	assert_int_equal(db_audit_list(k->db, &last, &all, &n, &err), 0);
	assert_string_equal(all[0].actor_type, "user");
	assert_null(all[0].actor_id);
	assert_null(all[0].actor_name);
	assert_null(all[0].resource_id);
	assert_string_equal(all[0].status, "info");
	assert_string_equal(all[0].scope, "team");
	assert_string_equal(all[0].metadata[0], "a=b");
	assert_string_equal(all[0].metadata[1], "c=");
	assert_null(all[0].metadata[2]);
	assert_true(all[0].team == 2 && all[0].created_ms == 300000);
	db_audits_release(all, n);
}

/* ---- use ---- */

static void put_use(struct db *db, int64_t team, int64_t at_s, int64_t running, int64_t vcpus, int64_t memory_mb)
{
	struct err err = ERR_INIT;
	const struct db_use row = { team, at_s, running, vcpus, memory_mb };
	if (db_use_insert(db, &row, &err))
		fail_msg("%s", err.msg);
}

static void use_is(const struct db_use *all, size_t n, const char *want)
{
	char text[256] = "";
	for (size_t i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%lld@%lld:%lld,%lld,%lld ", (long long)all[i].team,
			(long long)all[i].at_s, (long long)all[i].running, (long long)all[i].vcpus, (long long)all[i].memory_mb);
	assert_string_equal(text, want);
}

/* Of every team, the local one (number 0) too. */
static void t_use(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_use *all;
	size_t n;
	for (int64_t team = 0; team < 2; team++) {
		put_use(k->db, team, 90, 9, 9, 9);
		put_use(k->db, team, 100, 1, 8, 100);
		put_use(k->db, team, 110, 3, 2, 50);
		put_use(k->db, team, 120, 5, 5, 5);
		put_use(k->db, team, 120, team, 1, 7); /* in the place of the one before */
		put_use(k->db, team, 86400, 2, 2, 2);
		put_use(k->db, team, 172799, 3, 3, 3);
		put_use(k->db, team, 172800, 4, 4, 4);
	}
	db_kit_reopen(k);
	assert_int_equal(db_use_series(k->db, 0, 100, 20, &all, &n, &err), 0);
	use_is(all, n < 2 ? n : 2, "0@100:3,8,100 0@120:0,1,7 ");
	assert_int_equal(n, 5);
	free(all);
	assert_int_equal(db_use_series(k->db, 1, 100, INT64_MAX, &all, &n, &err), 0);
	use_is(all, n, "1@0:4,8,100 ");
	free(all);
	assert_int_equal(db_use_series(k->db, 2, 0, 20, &all, &n, &err), 0);
	assert_int_equal(n, 0);
	free(all);
	assert_int_equal(db_use_days(k->db, 1, 0, 172800, &all, &n, &err), 0);
	use_is(all, n, "1@0:14,20,166 1@86400:5,5,5 ");
	free(all);
	assert_int_equal(db_use_days(k->db, 1, 86400, 172801, &all, &n, &err), 0);
	use_is(all, n, "1@86400:5,5,5 1@172800:4,4,4 ");
	free(all);
	assert_int_equal(db_use_prune(k->db, 172799, &err), 0);
	assert_int_equal(db_use_series(k->db, 0, 0, 1, &all, &n, &err), 0);
	use_is(all, n, "0@172799:3,3,3 0@172800:4,4,4 ");
	free(all);
}

/* ---- channels ---- */

static int64_t add_channel(struct db *db, const char *uid, int64_t team, const char *name, int64_t at)
{
	static char *events[] = { LENT("host.up"), LENT("host.down"), NULL };
	struct err err = ERR_INIT;
	struct db_channel row = { .uid = LENT(uid),
		.team = team,
		.name = LENT(name),
		.provider = LENT("slack"),
		.events = events,
		.config = LENT("c"),
		.created_ms = at };
	assert_int_equal(db_channel_insert(db, &row, &err), 0);
	return row.id;
}

static void t_channels(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_channel got, *all;
	size_t n;
	int64_t a = add_channel(k->db, "c1", 1, "ops", 10);
	int64_t b = add_channel(k->db, "c2", 2, "ops", 20);
	add_channel(k->db, "c3", 1, "dev", 30);
	db_kit_reopen(k);
	assert_int_equal(db_channel_get(k->db, 1, "c1", &got, &err), 1);
	assert_string_equal(got.name, "ops");
	assert_string_equal(got.provider, "slack");
	assert_string_equal(got.config, "c");
	assert_string_equal(got.events[1], "host.down");
	assert_null(got.events[2]);
	assert_true(got.id == a && got.team == 1 && got.created_ms == 10 && got.changed_ms == 0);
	free(got.name);
	got.name = mem_strdup("dev");
	assert_int_equal(db_channel_update(k->db, &got, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	got.name[0] = 'D';
	got.changed_ms = 40;
	assert_int_equal(db_channel_update(k->db, &got, &err), 0);
	db_channel_release(&got);
	assert_int_equal(db_channel_by_id(k->db, a, &got, &err), 1);
	assert_string_equal(got.name, "Dev");
	assert_int_equal(got.changed_ms, 40);
	db_channel_release(&got);
	assert_int_equal(db_channel_get(k->db, 2, "c1", &got, &err), 0); /* another team's */
	assert_int_equal(db_channel_list(k->db, 1, &all, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_string_equal(all[0].uid, "c3");
	assert_string_equal(all[1].uid, "c1");
	db_channels_release(all, n);
	assert_int_equal(db_channel_delete(k->db, 1, "c2", &err), 0);
	assert_int_equal(db_channel_by_id(k->db, b, &got, &err), 1);
	db_channel_release(&got);
}

static void due_are(struct db *db, int64_t now, int64_t limit, const char *want)
{
	struct db_delivery *all;
	struct err err = ERR_INIT;
	size_t n;
	char text[64] = "";
	assert_int_equal(db_delivery_due(db, now, limit, &all, &n, &err), 0);
	for (size_t i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s/%lld ", all[i].event, (long long)all[i].attempts);
	assert_string_equal(text, want);
	db_deliveries_release(all, n);
}

static int64_t next_due(struct db *db)
{
	struct err err = ERR_INIT;
	int64_t at = -1;
	assert_int_equal(db_delivery_next(db, &at, &err), 0);
	return at;
}

static void t_deliveries(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	int64_t a = add_channel(k->db, "c1", 1, "ops", 10), b = add_channel(k->db, "c2", 1, "dev", 20);
	assert_int_equal(next_due(k->db), 0);
	struct db_delivery first = { .channel = a, .event = LENT("e1"), .due_ms = 300 };
	struct db_delivery second = { .channel = b, .event = LENT("e2"), .due_ms = 200 };
	struct db_delivery third = { .channel = b, .event = LENT("e3"), .due_ms = 200 },
			   lost = { .channel = b + 1, .event = LENT("e4") };
	assert_int_equal(db_delivery_insert(k->db, &first, &err), 0);
	assert_int_equal(db_delivery_insert(k->db, &second, &err), 0);
	assert_int_equal(db_delivery_insert(k->db, &third, &err), 0);
	assert_int_equal(db_delivery_insert(k->db, &lost, &err), -1);
	db_kit_reopen(k);
	assert_int_equal(next_due(k->db), 200);
	due_are(k->db, 199, 9, "");
	due_are(k->db, 299, 9, "e2/0 e3/0 ");
	due_are(k->db, 300, 2, "e2/0 e3/0 ");
	due_are(k->db, 300, 9, "e2/0 e3/0 e1/0 ");
	second.attempts = 2;
	second.due_ms = 500;
	assert_int_equal(db_delivery_update(k->db, &second, &err), 0);
	assert_int_equal(db_delivery_defer(k->db, first.id, 100, &err), 0);
	due_are(k->db, 500, 9, "e1/0 e3/0 e2/2 ");
	assert_int_equal(db_delivery_delete(k->db, third.id, &err), 0);
	due_are(k->db, 500, 9, "e1/0 e2/2 ");
	assert_int_equal(db_channel_delete(k->db, 1, "c1", &err), 0); /* with what was to go there */
	due_are(k->db, 500, 9, "e2/2 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(t_audit),
		DB_TEST(t_use),
		DB_TEST(t_channels),
		DB_TEST(t_deliveries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
