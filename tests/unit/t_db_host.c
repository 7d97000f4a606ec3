/* link: daemon/db/[a-z]*.c | -lsqlite3 */
/* Records of hosts: what is known of each, tags, tokens that work once, families of refresh tokens, snapshots kept there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/db/host.h"
#include "tests/unit/db_kit.h"

static int64_t add_host(struct db *db, const char *uid, const char *type, int64_t team, int64_t created_ms)
{
	struct err err = ERR_INIT;
	struct db_host row = { .uid = LENT(uid),
		.type = LENT(type),
		.team = team,
		.status = LENT("pending"),
		.created_by = 2,
		.created_ms = created_ms };
	assert_int_equal(db_host_insert(db, &row, &err), 0);
	assert_true(row.id > 0);
	return row.id;
}

static void t_host(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_host row = { .uid = LENT("h1"),
		.type = LENT("byoc"),
		.team = 1,
		.provider = LENT("aws"),
		.zone = LENT("z"),
		.arch = LENT("arm"),
		.cpu_cores = 2,
		.memory_mb = 3,
		.disk_gb = 4,
		.address = LENT("10.0.0.1:1"),
		.status = LENT("online"),
		.heartbeat_ms = 5,
		.created_by = 6,
		.created_ms = 7,
		.changed_ms = 8,
		.fingerprint = LENT("fp") };
	struct db_host got;
	assert_int_equal(db_host_insert(k->db, &row, &err), 0);
	db_kit_reopen(k);
	assert_int_equal(db_host_get(k->db, "h1", &got, &err), 1);
	assert_string_equal(got.type, "byoc");
	assert_string_equal(got.provider, "aws");
	assert_string_equal(got.zone, "z");
	assert_string_equal(got.arch, "arm");
	assert_string_equal(got.address, "10.0.0.1:1");
	assert_string_equal(got.status, "online");
	assert_string_equal(got.fingerprint, "fp");
	assert_true(got.id == row.id && got.team == 1 && got.cpu_cores == 2 && got.memory_mb == 3 && got.disk_gb == 4);
	assert_true(got.heartbeat_ms == 5 && got.created_by == 6 && got.created_ms == 7 && got.changed_ms == 8);
	db_host_release(&got);
	int64_t other = add_host(k->db, "h2", "regular", 0, 9);
	row.address = NULL;
	row.status = LENT("unreachable");
	assert_int_equal(db_host_update(k->db, &row, &err), 0);
	assert_int_equal(db_host_beat(k->db, row.id, 55, &err), 0);
	assert_int_equal(db_host_by_id(k->db, row.id, &got, &err), 1);
	assert_null(got.address);
	assert_string_equal(got.status, "unreachable");
	assert_int_equal(got.heartbeat_ms, 55);
	db_host_release(&got);
	assert_int_equal(db_host_by_id(k->db, other, &got, &err), 1);
	assert_string_equal(got.status, "pending"); /* the other is as it was */
	assert_int_equal(got.heartbeat_ms, 0);
	db_host_release(&got);
	assert_int_equal(db_host_get(k->db, "h3", &got, &err), 0);
}

static void t_lists(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	static const struct {
		int64_t team;
		const char *want;
	} rows[] = { { -1, "h4h5h3h2h1" }, { 1, "h4h2" }, { 2, "h3" }, { 0, "" }, { 3, "" } };
	add_host(k->db, "h1", "regular", 0, 1);
	add_host(k->db, "h2", "byoc", 1, 2);
	add_host(k->db, "h3", "byoc", 2, 3);
	add_host(k->db, "h5", "regular", 1, 4);
	add_host(k->db, "h4", "byoc", 1, 4); /* as old, but made later */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct db_host *all;
		size_t n;
		char text[32] = "";
		assert_int_equal(db_host_list(k->db, rows[i].team, &all, &n, &err), 0);
		for (size_t j = 0; j < n; j++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", all[j].uid);
		assert_string_equal(text, rows[i].want);
		db_hosts_release(all, n);
	}
}

static void tags_are(struct db *db, int64_t host, const char *want)
{
	struct db_host_tag *all;
	struct err err = ERR_INIT;
	size_t n;
	char text[64] = "";
	assert_int_equal(db_host_tags(db, host, &all, &n, &err), 0);
	for (size_t i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", all[i].tag);
	assert_string_equal(text, want);
	db_host_tags_release(all, n);
}

static void t_tags(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	int64_t a = add_host(k->db, "h1", "regular", 0, 1), b = add_host(k->db, "h2", "regular", 0, 1);
	assert_int_equal(db_host_tag_add(k->db, a, "gpu", &err), 0);
	assert_int_equal(db_host_tag_add(k->db, a, "eu", &err), 0);
	assert_int_equal(db_host_tag_add(k->db, a, "gpu", &err), 0); /* again */
	assert_int_equal(db_host_tag_add(k->db, b, "us", &err), 0);
	assert_int_equal(db_host_tag_add(k->db, b + 1, "x", &err), -1); /* no such host */
	tags_are(k->db, a, "eu gpu ");
	assert_int_equal(db_host_tag_remove(k->db, a, "us", &err), 0);
	assert_int_equal(db_host_tag_remove(k->db, a, "eu", &err), 0);
	tags_are(k->db, a, "gpu ");
	tags_are(k->db, b, "us ");
	assert_int_equal(db_host_delete(k->db, b, &err), 0);
	tags_are(k->db, b, "");
	tags_are(k->db, a, "gpu ");
}

/* A token works once, until its time is over; another of the same host goes on. */
static void t_tokens(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	int64_t a = add_host(k->db, "h1", "regular", 0, 1), b = add_host(k->db, "h2", "regular", 0, 1), host = -1;
	assert_int_equal(db_host_token_insert(k->db, "a1", a, 100, &err), 0);
	assert_int_equal(db_host_token_insert(k->db, "a2", a, 100, &err), 0);
	assert_int_equal(db_host_token_insert(k->db, "b1", b, 200, &err), 0);
	assert_int_equal(db_host_token_insert(k->db, "a1", b, 200, &err), -1);
	assert_int_equal(db_host_token_insert(k->db, "c1", b + 1, 200, &err), -1);
	db_kit_reopen(k);
	assert_int_equal(db_host_token_take(k->db, "zz", 50, &host, &err), 0);
	assert_int_equal(host, 0);
	assert_int_equal(db_host_token_take(k->db, "a1", 99, &host, &err), 1);
	assert_int_equal(host, a);
	assert_int_equal(db_host_token_take(k->db, "a1", 99, &host, &err), 0);
	assert_int_equal(db_host_token_take(k->db, "a2", 100, &host, &err), 0); /* over */
	assert_int_equal(db_host_token_take(k->db, "b1", 150, &host, &err), 1); /* takes away what is over as well */
	assert_int_equal(host, b);
	assert_int_equal(db_host_token_take(k->db, "a2", 99, &host, &err), 0);
	/* what is taken back was not used */
	assert_int_equal(db_host_token_insert(k->db, "b2", b, 200, &err), 0);
	assert_int_equal(db_begin(k->db, &err), 0);
	assert_int_equal(db_host_token_take(k->db, "b2", 150, &host, &err), 1);
	db_rollback(k->db);
	assert_int_equal(db_host_token_take(k->db, "b2", 150, &host, &err), 1);
	assert_int_equal(db_host_token_insert(k->db, "b3", b, 200, &err), 0);
	assert_int_equal(db_host_delete(k->db, b, &err), 0);
	assert_int_equal(db_host_token_take(k->db, "b3", 150, &host, &err), 0);
}

static void add_refresh(struct db *db, const char *hash, int64_t host, const char *family)
{
	struct err err = ERR_INIT;
	struct db_host_refresh row = { LENT(hash), host, LENT(family), 1000, 0, NULL };
	assert_int_equal(db_host_refresh_insert(db, &row, &err), 0);
}

static int64_t revoked(struct db *db, const char *hash)
{
	struct db_host_refresh got;
	struct err err = ERR_INIT;
	assert_int_equal(db_host_refresh_get(db, hash, &got, &err), 1);
	int64_t at = got.revoked_ms;
	db_host_refresh_release(&got);
	return at;
}

static void use(struct db *db, const char *hash, int64_t now_ms, const char *request)
{
	struct db_host_refresh row;
	struct err err = ERR_INIT;
	assert_int_equal(db_host_refresh_get(db, hash, &row, &err), 1);
	assert_null(row.request);
	row.revoked_ms = now_ms;
	row.request = LENT(request);
	assert_int_equal(db_host_refresh_use(db, &row, &err), 0);
	row.request = NULL;
	db_host_refresh_release(&row);
}

static void t_refresh(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_host_refresh got, twin = { LENT("r1"), 1, LENT("f2"), 1000, 0, NULL };
	int64_t a = add_host(k->db, "h1", "regular", 0, 1), b = add_host(k->db, "h2", "regular", 0, 1);
	add_refresh(k->db, "r1", a, "f1");
	add_refresh(k->db, "r2", a, "f1");
	add_refresh(k->db, "r3", a, "f1");
	add_refresh(k->db, "r4", b, "f2");
	assert_int_equal(db_host_refresh_insert(k->db, &twin, &err), -1);
	db_kit_reopen(k);
	assert_int_equal(db_host_refresh_get(k->db, "r5", &got, &err), 0);
	assert_int_equal(db_host_refresh_get(k->db, "r4", &got, &err), 1);
	assert_string_equal(got.hash, "r4");
	assert_string_equal(got.family, "f2");
	assert_true(got.host == b && got.expires_ms == 1000 && got.revoked_ms == 0);
	db_host_refresh_release(&got);
	use(k->db, "r1", 50, "q");
	db_kit_reopen(k);
	assert_int_equal(db_host_refresh_get(k->db, "r1", &got, &err), 1);
	assert_string_equal(got.family, "f1");
	assert_string_equal(got.request, "q");
	assert_true(got.host == a && got.expires_ms == 1000 && got.revoked_ms == 50);
	db_host_refresh_release(&got);
	use(k->db, "r2", 0, NULL);
	assert_int_equal(revoked(k->db, "r2"), 0);
	assert_int_equal(db_host_refresh_revoke_family(k->db, "f1", 70, &err), 0);
	assert_int_equal(revoked(k->db, "r1"), 50);
	assert_int_equal(revoked(k->db, "r2"), 70);
	assert_int_equal(revoked(k->db, "r3"), 70);
	assert_int_equal(revoked(k->db, "r4"), 0);
	/* every family of a host, and no other's */
	add_refresh(k->db, "r5", a, "f3");
	add_refresh(k->db, "r6", a, "f4");
	assert_int_equal(db_host_refresh_revoke_all(k->db, a, 80, &err), 0);
	assert_int_equal(revoked(k->db, "r2"), 70);
	assert_int_equal(revoked(k->db, "r5"), 80);
	assert_int_equal(revoked(k->db, "r6"), 80);
	assert_int_equal(revoked(k->db, "r4"), 0);
	assert_int_equal(db_host_delete(k->db, a, &err), 0);
	assert_int_equal(db_host_refresh_get(k->db, "r1", &got, &err), 0);
	assert_int_equal(revoked(k->db, "r4"), 0);
}

static void put(struct db *db, int64_t team, const char *name, int64_t host, const char *parent)
{
	struct err err = ERR_INIT;
	const struct db_host_snapshot row = { .team = team,
		.name = LENT(name),
		.host = host,
		.tree = LENT("ab"),
		.image = LENT("base"),
		.parent = LENT(parent),
		.vcpus = 1,
		.memory_mb = 2,
		.created_ms = 3,
		.disk = 4 };
	assert_int_equal(db_host_snapshot_put(db, &row, &err), 0);
}

/* Those of a team: "name@host " each. */
static void snapshots_are(struct db *db, int64_t team, const char *want)
{
	struct db_host_snapshot *all;
	struct err err = ERR_INIT;
	size_t n;
	char text[64] = "";
	assert_int_equal(db_host_snapshot_list(db, team, &all, &n, &err), 0);
	for (size_t i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s@%lld ", all[i].name, (long long)all[i].host);
	assert_string_equal(text, want);
	db_host_snapshots_release(all, n);
}

/* Names are their team's; the newer of a name takes the place of the older; they go with their host. */
static void t_snapshots(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_host_snapshot got;
	int64_t a = add_host(k->db, "h1", "regular", 0, 1), b = add_host(k->db, "h2", "regular", 0, 1);
	assert_true(a == 1 && b == 2);
	snapshots_are(k->db, 7, "");
	put(k->db, 7, "s2", a, "box");
	put(k->db, 7, "s1", b, NULL);
	put(k->db, 8, "s1", a, NULL);
	db_kit_reopen(k);
	snapshots_are(k->db, 7, "s1@2 s2@1 ");
	snapshots_are(k->db, 8, "s1@1 ");
	assert_int_equal(db_host_snapshot_get(k->db, 7, "s2", &got, &err), 1);
	assert_string_equal(got.name, "s2");
	assert_string_equal(got.tree, "ab");
	assert_string_equal(got.image, "base");
	assert_string_equal(got.parent, "box");
	assert_null(got.accel);
	assert_true(got.team == 7 && got.host == a && got.vcpus == 1 && got.memory_mb == 2 && got.created_ms == 3 && got.disk == 4);
	db_host_snapshot_release(&got);
	assert_int_equal(db_host_snapshot_get(k->db, 8, "s2", &got, &err), 0);
	put(k->db, 7, "s2", b, NULL);
	snapshots_are(k->db, 7, "s1@2 s2@2 ");
	assert_int_equal(db_host_snapshot_delete(k->db, 7, "s1", &err), 0);
	assert_int_equal(db_host_snapshot_delete(k->db, 7, "s1", &err), 0); /* none: as well */
	snapshots_are(k->db, 7, "s2@2 ");
	snapshots_are(k->db, 8, "s1@1 ");
	assert_int_equal(db_host_delete(k->db, a, &err), 0);
	snapshots_are(k->db, 7, "s2@2 ");
	snapshots_are(k->db, 8, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(t_host),
		DB_TEST(t_lists),
		DB_TEST(t_tags),
		DB_TEST(t_tokens),
		DB_TEST(t_refresh),
		DB_TEST(t_snapshots),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
