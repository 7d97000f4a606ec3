/* link: daemon/db/db.c daemon/db/table.c daemon/db/schema.c daemon/db/sandbox.c daemon/db/account.c | -lsqlite3 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "daemon/db/account.h"
#include "daemon/db/db.h"
#include "shared/base/buf.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

struct fixture {
	char dir[64];
	char *path;
	struct db *db;
};

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	memcpy(f->dir, "/tmp/sbx-t-db-XXXXXX", sizeof("/tmp/sbx-t-db-XXXXXX"));
	assert_non_null(mkdtemp(f->dir));
	f->path = fs_join(f->dir, "db.sqlite");
	struct err err = ERR_INIT;
	f->db = db_open(f->path, &err);
	assert_non_null(f->db);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	db_close(f->db);
	assert_int_equal(fs_remove_tree(f->dir, NULL), 0);
	free(f->path);
	free(f);
	return 0;
}

static const char *const env[] = { "A=1", "EMPTY=", "TEXT=two\nlines", NULL };
static const char *const none[] = { NULL };

/* The row only reads what it is given here: its members are not const because rows that db gives are their owner's. */
#define LENT(s) ((char *)(uintptr_t)(s))

static struct db_sandbox sample(const char *id, const char *name)
{
	return (struct db_sandbox){ .id = LENT(id),
		.name = LENT(name),
		.image = LENT("base"),
		.state = LENT("creating"),
		.env = (char **)(uintptr_t)env,
		.labels = (char **)(uintptr_t)none,
		.vcpus = 1,
		.memory_mb = 256,
		.net_rules = LENT("a.com,b.com:443"),
		.created_ms = 1000,
		.expires_ms = 0 };
}

static int take(void *arg, struct db_sandbox *row)
{
	struct db_sandbox *out = arg;
	db_sandbox_release(out);
	*out = db_sandbox_move(row);
	return 0;
}

static void test_round_trip(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct db_sandbox row = sample("id1", "demo");
	assert_int_equal(db_sandbox_insert(f->db, &row, &err), 0);
	row.state = LENT("running");
	row.pid = 42;
	row.start_time = INT64_MAX;
	row.reason = LENT("because");
	row.mac = LENT("02:00:00:00:00:01");
	row.layers = (char **)(uintptr_t)env;
	row.run_memory_mb = 512;
	row.idled = 1;
	row.name = LENT("other");
	assert_int_equal(db_sandbox_update(f->db, &row, &err), 0);
	db_close(f->db);
	f->db = db_open(f->path, &err);
	struct db_sandbox got = { 0 };
	assert_int_equal(db_sandbox_each(f->db, take, &got, &err), 0);
	assert_string_equal(got.id, "id1");
	assert_string_equal(got.name, "other");
	assert_string_equal(got.mac, "02:00:00:00:00:01");
	assert_null(got.parent);
	assert_string_equal(got.layers[0], env[0]);
	assert_int_equal(got.run_memory_mb, 512);
	assert_int_equal(got.idled, 1);
	assert_string_equal(got.state, "running");
	assert_string_equal(got.reason, "because");
	assert_int_equal(got.pid, 42);
	assert_string_equal(got.net_rules, "a.com,b.com:443");
	assert_true(got.start_time == INT64_MAX);
	for (size_t i = 0; env[i]; i++)
		assert_string_equal(got.env[i], env[i]);
	assert_null(got.env[3]);
	assert_null(got.labels[0]);
	db_sandbox_release(&got);
}

static void test_names_are_unique(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct db_sandbox a = sample("id1", "demo"), b = sample("id2", "demo"), c = sample("id3", NULL), d = sample("id4", NULL);
	assert_int_equal(db_sandbox_insert(f->db, &a, &err), 0);
	assert_int_equal(db_sandbox_insert(f->db, &b, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(db_sandbox_insert(f->db, &c, &err), 0);
	assert_int_equal(db_sandbox_insert(f->db, &d, &err), 0); /* no name is no name */
	assert_int_equal(db_sandbox_delete(f->db, "id1", &err), 0);
	assert_int_equal(db_sandbox_insert(f->db, &b, &err), 0);
}

static int list_port(void *arg, const struct db_port *port)
{
	buf_fmt(arg, "%s %lld %lld %s\n", port->sandbox, (long long)port->host_port, (long long)port->guest_port, port->bind);
	return 0;
}

static void test_ports(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	auto_buf all = BUF_INIT;
	struct db_sandbox a = sample("id1", "demo"), b = sample("id2", NULL);
	assert_int_equal(db_sandbox_insert(f->db, &a, &err), 0);
	assert_int_equal(db_sandbox_insert(f->db, &b, &err), 0);
	const struct db_port ports[] = { { LENT("id2"), LENT("127.0.0.1"), 8080, 80 }, { LENT("id1"), LENT("::1"), 8080, 3000 },
		{ LENT("id1"), LENT("127.0.0.1"), 7, 7 } };
	for (size_t i = 0; i < ARRAY_LEN(ports); i++)
		assert_int_equal(db_port_insert(f->db, &ports[i], &err), 0);
	assert_int_equal(db_port_insert(f->db, &ports[0], &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(db_port_insert(f->db, &(struct db_port){ LENT("nobody"), LENT("127.0.0.1"), 1, 1 }, &err), -1);
	db_close(f->db);
	f->db = db_open(f->path, &err);
	assert_int_equal(db_port_each(f->db, list_port, &all, &err), 0);
	assert_string_equal(all.p, "id1 7 7 127.0.0.1\nid1 8080 3000 ::1\nid2 8080 80 127.0.0.1\n");
	assert_int_equal(db_port_delete(f->db, "id1", 7, &err), 0);
	assert_int_equal(db_sandbox_delete(f->db, "id2", &err), 0); /* its ports go with it */
	buf_clear(&all);
	assert_int_equal(db_port_each(f->db, list_port, &all, &err), 0);
	assert_string_equal(all.p, "id1 8080 3000 ::1\n");
}

static void test_keys(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct db_key key = { .id = LENT("k1"), .name = LENT("ci"), .created_ms = 5, .prefix = LENT("sbx_abcd"), .hash = LENT("aa") },
		      got = { 0 };
	assert_int_equal(db_key_insert(f->db, &key, &err), 0);
	assert_int_equal(db_key_find(f->db, "aa", &got, &err), 1);
	assert_string_equal(got.name, "ci");
	assert_string_equal(got.prefix, "sbx_abcd");
	db_key_release(&got);
	assert_int_equal(db_key_find(f->db, "ab", &got, &err), 0);
	assert_int_equal(db_key_touch(f->db, "k1", 77, &err), 0);
	assert_int_equal(db_key_delete(f->db, 1, "ci", true, &err), 0); /* another team's */
	assert_int_equal(db_key_delete(f->db, 0, "ci", true, &err), 1);
	assert_int_equal(db_key_find(f->db, "aa", &got, &err), 0);
	assert_int_equal(db_key_delete(f->db, 0, "ci", true, &err), 0);
}

static int take_fs(void *arg, struct db_fs *row)
{
	struct db_fs *out = arg;
	db_fs_release(out);
	*out = *row;
	*row = (struct db_fs){ 0 };
	return 0;
}

/* A mounted tree is replaced whole, needs its sandbox, and goes with it. */
static void test_fs(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct db_sandbox box = sample("id1", "demo");
	struct db_fs row = { LENT("id1"), LENT("/work"), LENT("aa"), LENT("main"), NULL }, got = { 0 };
	assert_int_equal(db_fs_put(f->db, &row, &err), -1);
	assert_int_equal(db_sandbox_insert(f->db, &box, &err), 0);
	assert_int_equal(db_fs_put(f->db, &row, &err), 0);
	row.label = NULL;
	row.pushed = LENT("bb");
	assert_int_equal(db_fs_put(f->db, &row, &err), 0);
	assert_int_equal(db_fs_each(f->db, take_fs, &got, &err), 0);
	assert_string_equal(got.sandbox, "id1");
	assert_string_equal(got.path, "/work");
	assert_string_equal(got.tree, "aa");
	assert_null(got.label);
	assert_string_equal(got.pushed, "bb");
	db_fs_release(&got);
	assert_int_equal(db_sandbox_delete(f->db, "id1", &err), 0);
	assert_int_equal(db_fs_each(f->db, take_fs, &got, &err), 0);
	assert_null(got.sandbox);
}

/* What was committed stands after the process is killed without warning. */
static void test_survives_kill(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	db_close(f->db);
	pid_t pid = fork();
	if (pid == 0) {
		struct db *db = db_open(f->path, &err);
		struct db_sandbox row = sample("id1", "demo");
		if (!db || db_sandbox_insert(db, &row, &err))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	f->db = db_open(f->path, &err);
	assert_non_null(f->db);
	struct db_sandbox got = { 0 };
	assert_int_equal(db_sandbox_each(f->db, take, &got, &err), 0);
	assert_string_equal(got.id, "id1");
	db_sandbox_release(&got);
}

static int count(void *arg, struct db_sandbox *row)
{
	int *n = arg;
	(void)row;
	++*n;
	return 0;
}

/* What stands between begin and commit is there whole, or not at all when the process is killed or takes it back. */
static void test_all_or_none(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct db_sandbox a = sample("id1", NULL), b = sample("id2", NULL);
	int n = 0, status;

	assert_int_equal(db_begin(f->db, &err), 0);
	assert_int_equal(db_sandbox_insert(f->db, &a, &err), 0);
	db_rollback(f->db);
	assert_int_equal(db_sandbox_each(f->db, count, &n, &err), 0);
	assert_int_equal(n, 0);
	assert_int_equal(db_begin(f->db, &err), 0);
	assert_int_equal(db_sandbox_insert(f->db, &a, &err), 0);
	assert_int_equal(db_sandbox_insert(f->db, &b, &err), 0);
	assert_int_equal(db_commit(f->db, &err), 0);
	db_close(f->db);
	pid_t pid = fork();
	if (pid == 0) {
		struct db *db = db_open(f->path, &err);
		if (!db || db_begin(db, &err) || db_sandbox_delete(db, "id1", &err) || db_sandbox_delete(db, "id2", &err))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	f->db = db_open(f->path, &err);
	assert_non_null(f->db);
	assert_int_equal(db_sandbox_each(f->db, count, &n, &err), 0);
	assert_int_equal(n, 2);
}

static void test_newer_schema_is_refused(void **state)
{
	struct fixture *f = *state;
	db_close(f->db);
	sqlite3 *h;
	assert_int_equal(sqlite3_open(f->path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(h);
	struct err err = ERR_INIT;
	f->db = db_open(f->path, &err);
	assert_null(f->db);
	assert_int_equal(err.code, ERR_STATE);
}

static void test_damaged_file_is_refused(void **state)
{
	struct fixture *f = *state;
	db_close(f->db);
	struct err err = ERR_INIT;
	static const char junk[] =
		"this is no database, but it is long enough to be taken for one if nobody looks at its first bytes";
	assert_int_equal(fs_write_atomic(f->path, junk, sizeof(junk), 0600, &err), 0);
	f->db = db_open(f->path, &err);
	assert_null(f->db);
	assert_true(err.msg[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_are_unique, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_survives_kill, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_or_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newer_schema_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_file_is_refused, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
