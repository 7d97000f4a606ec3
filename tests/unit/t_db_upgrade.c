/* link: daemon/db/[a-z]*.c | -lsqlite3 */
/* Databases of older versions of sbx, made by the steps that made them then, become new ones with all that is in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "daemon/db/account.h"
#include "daemon/db/schema.h"
#include "shared/base/buf.h"
#include "tests/unit/db_kit.h"

static void run(sqlite3 *h, const char *script)
{
	char *why = NULL;
	if (sqlite3_exec(h, script, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %.60s", why, script);
}

static int64_t number(sqlite3 *h, const char *sql)
{
	sqlite3_stmt *st;
	assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

static sqlite3 *open_plain(const char *path)
{
	sqlite3 *h;
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	run(h, "PRAGMA foreign_keys = ON");
	return h;
}

/* The database of that version in the place of what the kit made. */
static sqlite3 *make_old(struct db_kit *k, size_t version)
{
	char pragma[40];
	db_close(k->db);
	k->db = NULL;
	assert_int_equal(remove(k->path), 0);
	sqlite3 *h = open_plain(k->path);
	run(h, "PRAGMA journal_mode = WAL");
	for (size_t i = 0; i < version; i++)
		run(h, schema_steps[i]);
	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %zu", version);
	run(h, pragma);
	return h;
}

static const char rows_of_6[] =
	"INSERT INTO sandbox (id, name, image, template_key, state, reason, accel, env, labels, vcpus, memory_mb, timeout_s, net,"
	" account, created_ms, expires_ms, pid, start_time, create_us, mac, parent, layers, run_vcpus, run_memory_mb, booted, "
	"idle_s,"
	" idled, net_rules, image_digest, disk_mb) VALUES"
	" ('one', 'web', 'img', 'key', 'running', 'why', 'kvm', x'413d3100', x'6b3d7600', 1, 2, 3, 4, 0, 5, 6, 7, 8, 9, 'ma', 'pa',"
	" x'6c3100', 10, 11, 12, 13, 14, 'ru', 'di', 15),"
	" ('two', NULL, 'base', NULL, 'stopped', NULL, NULL, x'', x'', 1, 256, 0, 0, 0, 1000, 0, 0, 0, 0, NULL, NULL, x'', 0, 0, 0,"
	" 0, 0, NULL, NULL, 0);"
	"INSERT INTO port VALUES ('one', 8080, 80, '127.0.0.1'), ('one', 9090, 90, '::1'), ('two', 8080, 1, '127.0.0.1');"
	"INSERT INTO sandbox_fs VALUES ('one', '/work', 'tree', 'main', NULL), ('two', '/w2', 't2', NULL, 'pushed');"
	"INSERT INTO api_key VALUES ('k1', 'ci', 'sbx_abcd', 'h1', 0, 21, 22), ('k2', NULL, 'sbx_efgh', 'h2', 0, 23, 0);";

static int take_two(void *arg, struct db_sandbox *row)
{
	struct db_sandbox *out = arg;
	out[out[0].id != NULL] = db_sandbox_move(row);
	return 0;
}

static void check_one(const struct db_sandbox *s)
{
	assert_string_equal(s->id, "one");
	assert_string_equal(s->name, "web");
	assert_string_equal(s->image, "img");
	assert_string_equal(s->template_key, "key");
	assert_string_equal(s->state, "running");
	assert_string_equal(s->reason, "why");
	assert_string_equal(s->accel, "kvm");
	assert_string_equal(s->env[0], "A=1");
	assert_null(s->env[1]);
	assert_string_equal(s->labels[0], "k=v");
	assert_string_equal(s->layers[0], "l1");
	assert_string_equal(s->mac, "ma");
	assert_string_equal(s->parent, "pa");
	assert_string_equal(s->net_rules, "ru");
	assert_string_equal(s->image_digest, "di");
	assert_true(
		s->vcpus == 1 && s->memory_mb == 2 && s->timeout_s == 3 && s->net == 4 && s->account == 0 && s->created_ms == 5);
	assert_true(s->expires_ms == 6 && s->pid == 7 && s->start_time == 8 && s->create_us == 9 && s->run_vcpus == 10);
	assert_true(s->run_memory_mb == 11 && s->booted == 12 && s->idle_s == 13 && s->idled == 14 && s->disk_mb == 15);
	/* what is new */
	assert_null(s->template);
	assert_true(s->started_ms == 5 && s->active_ms == 5 && s->changed_ms == 5 && s->host == 0);
}

static int list_port(void *arg, const struct db_port *p)
{
	buf_fmt(arg, "%s %lld %lld %s;", p->sandbox, (long long)p->host_port, (long long)p->guest_port, p->bind);
	return 0;
}

static int list_fs(void *arg, struct db_fs *row)
{
	buf_fmt(arg, "%s %s %s %s %s;", row->sandbox, row->path, row->tree, row->label ? row->label : "-",
		row->pushed ? row->pushed : "-");
	return 0;
}

static void check_lists(struct db *db, const char *ports, const char *trees)
{
	auto_buf text = BUF_INIT;
	struct err err = ERR_INIT;
	assert_int_equal(db_port_each(db, list_port, &text, &err), 0);
	assert_string_equal(text.p, ports);
	buf_clear(&text);
	assert_int_equal(db_fs_each(db, list_fs, &text, &err), 0);
	assert_string_equal(text.p, trees);
}

/* Keys go on being the operator's. */
static void check_keys(struct db *db)
{
	struct err err = ERR_INIT;
	struct db_key *keys, key;
	size_t n;
	assert_int_equal(db_key_list(db, 0, &keys, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_string_equal(keys[0].id, "k2");
	assert_null(keys[0].name);
	db_keys_release(keys, n);
	assert_int_equal(db_key_find(db, "h1", &key, &err), 1);
	assert_string_equal(key.name, "ci");
	assert_string_equal(key.prefix, "sbx_abcd");
	assert_true(key.account == 0 && key.created_by == 0 && key.created_ms == 21 && key.used_ms == 22);
	db_key_release(&key);
}

static void t_from_6(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_sandbox got[2] = { 0 };
	sqlite3 *h = make_old(k, 6);
	run(h, rows_of_6);
	sqlite3_close(h);
	for (int again = 0; again < 2; again++) {
		db_kit_reopen(k);
		assert_int_equal(db_sandbox_each(k->db, take_two, got, &err), 0);
		check_one(&got[0]);
		assert_string_equal(got[1].id, "two");
		assert_null(got[1].name);
		assert_null(got[1].env[0]);
		db_sandbox_release(&got[0]);
		db_sandbox_release(&got[1]);
		check_lists(k->db, "one 8080 80 127.0.0.1;one 9090 90 ::1;two 8080 1 127.0.0.1;",
			"one /work tree main -;two /w2 t2 - pushed;");
		check_keys(k->db);
	}
	h = open_plain(k->path);
	assert_int_equal(number(h, "PRAGMA user_version"), schema_count);
	assert_int_equal(number(h, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
	assert_int_equal(number(h, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
	sqlite3_close(h);
}

static struct db_sandbox box(const char *id, const char *name, int64_t team)
{
	static char *none[] = { NULL };
	return (struct db_sandbox){ .id = LENT(id),
		.name = LENT(name),
		.image = LENT("base"),
		.state = LENT("creating"),
		.account = team,
		.env = none,
		.labels = none };
}

/* Names are each team's own since 7; what hangs on a sandbox still hangs on it. */
static void t_rules_after_6(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	sqlite3 *h = make_old(k, 6);
	run(h, rows_of_6);
	sqlite3_close(h);
	db_kit_reopen(k);
	struct db_sandbox same = box("three", "web", 0), other = box("four", "web", 1), again = box("five", "web", 1);
	assert_int_equal(db_sandbox_insert(k->db, &same, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(db_sandbox_insert(k->db, &other, &err), 0);
	assert_int_equal(db_sandbox_insert(k->db, &again, &err), -1);
	again.name = NULL;
	assert_int_equal(db_sandbox_insert(k->db, &again, &err), 0);
	again.name = LENT("web");
	assert_int_equal(db_sandbox_update(k->db, &again, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	struct db_key key = { .id = LENT("k3"), .name = LENT("ci"), .prefix = LENT("p"), .hash = LENT("h3") };
	assert_int_equal(db_key_insert(k->db, &key, &err), 0); /* names of keys are the caller's business */
	assert_int_equal(db_port_insert(k->db, &(struct db_port){ LENT("nobody"), LENT("::1"), 1, 1 }, &err), -1);
	assert_int_equal(db_port_insert(k->db, &(struct db_port){ LENT("four"), LENT("::1"), 1, 1 }, &err), 0);
	assert_int_equal(db_sandbox_delete(k->db, "one", &err), 0);
	check_lists(k->db, "four 1 1 ::1;two 8080 1 127.0.0.1;", "two /w2 t2 - pushed;");
}

static void t_from_every_version(void **state)
{
	struct db_kit *k = *state;
	for (size_t version = 0; version <= schema_count; version++) {
		sqlite3 *h = make_old(k, version);
		bool there = version > 0 && version <= 6; /* those after need more columns, and are tested by their tests */
		if (there)
			run(h, "INSERT INTO api_key VALUES ('k', 'n', 'p', 'h', 0, 1, 2)");
		sqlite3_close(h);
		db_kit_reopen(k);
		struct db_key key;
		struct err err = ERR_INIT;
		assert_int_equal(db_key_find(k->db, "h", &key, &err), there);
		if (there)
			db_key_release(&key);
		h = open_plain(k->path);
		assert_int_equal(number(h, "PRAGMA user_version"), schema_count);
		sqlite3_close(h);
	}
}

/* Databases in the field were made by these very steps: a change goes into a new one. */
static void t_steps_stay(void **state)
{
	static const uint64_t shipped[] = { 0x982f4afa2ed143ca, 0x507cc29764459653, 0x15e156b50e4df811, 0xfa017cf96cdf2353,
		0x879a9b89e7632f16, 0x888e947f99f93243 };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shipped); i++) {
		uint64_t h = 14695981039346656037u;
		for (const char *p = schema_steps[i]; *p; p++)
			h = (h ^ (unsigned char)*p) * 1099511628211u;
		if (h != shipped[i])
			fail_msg("step %zu is 0x%016llx", i + 1, (unsigned long long)h);
	}
}

/* A step that fails leaves the database as it was. */
static void t_step_that_fails(void **state)
{
	struct db_kit *k = *state;
	struct err err = ERR_INIT;
	sqlite3 *h = make_old(k, 6);
	run(h, rows_of_6);
	run(h, "CREATE TABLE host (x INT)");
	sqlite3_close(h);
	k->db = db_open(k->path, &err);
	assert_null(k->db);
	assert_non_null(strstr(err.msg, "host"));
	h = open_plain(k->path);
	assert_int_equal(number(h, "PRAGMA user_version"), 6);
	assert_int_equal(number(h, "SELECT count(*) FROM sandbox"), 2);
	assert_int_equal(number(h, "SELECT count(*) FROM port"), 3);
	assert_int_equal(number(h, "SELECT count(*) FROM sqlite_master WHERE name IN ('team', 'sandbox_new', 'audit')"), 0);
	run(h, "DROP TABLE host");
	sqlite3_close(h);
	db_kit_reopen(k);
	check_keys(k->db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(t_from_6),
		DB_TEST(t_rules_after_6),
		DB_TEST(t_from_every_version),
		DB_TEST(t_step_that_fails),
		cmocka_unit_test(t_steps_stay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
