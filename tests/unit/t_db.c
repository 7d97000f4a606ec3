/* link: daemon/db/[a-z]*.c | -lsqlite3 */
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
#include "daemon/db/table.h"
#include "shared/base/buf.h"
#include "tests/unit/db_kit.h"

static const char *const env[] = { "A=1", "EMPTY=", "TEXT=two\nlines", NULL };
static const char *const none[] = { NULL };

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
	struct db_kit *f = *state;
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
	struct db_kit *f = *state;
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
	struct db_kit *f = *state;
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
	struct db_kit *f = *state;
	struct err err = ERR_INIT;
	struct db_key key = { .id = LENT("k1"),
		.name = LENT("ci"),
		.created_ms = 5,
		.prefix = LENT("sbx_abcd"),
		.hash = LENT("aa") },
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
	struct db_kit *f = *state;
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
	struct db_kit *f = *state;
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
	struct db_kit *f = *state;
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
	struct db_kit *f = *state;
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
	struct db_kit *f = *state;
	db_close(f->db);
	struct err err = ERR_INIT;
	static const char junk[] =
		"this is no database, but it is long enough to be taken for one if nobody looks at its first bytes";
	assert_int_equal(fs_write_atomic(f->path, junk, sizeof(junk), 0600, &err), 0);
	f->db = db_open(f->path, &err);
	assert_null(f->db);
	assert_true(err.msg[0] != '\0');
}

/* ---- every column ---- */

#define TEXTS(X)                                                                                                                   \
	X(id) X(name) X(image) X(template_key) X(image_digest) X(state) X(reason) X(accel) X(mac) X(parent) X(net_rules) X(template)
#define INTS(X)                                                                                                                    \
	X(vcpus)                                                                                                                   \
	X(memory_mb) X(timeout_s) X(net) X(account) X(created_ms) X(expires_ms) X(pid) X(start_time) X(create_us) X(run_vcpus)     \
		X(run_memory_mb) X(booted) X(idle_s) X(disk_mb) X(idled) X(started_ms) X(active_ms) X(changed_ms) X(host)
#define LISTS(X) X(env) X(labels) X(layers)

/* All members, each with a value of its own. */
static void test_every_column(void **state)
{
	struct db_kit *f = *state;
	struct err err = ERR_INIT;
	struct db_sandbox row = { 0 }, got = { 0 };
	int64_t i = INT64_MAX;
	size_t members = 0;
	char *lists[3][3] = { { LENT("a"), LENT(""), NULL }, { NULL }, { LENT(""), LENT("b"), NULL } };
#define SET(m) row.m = LENT(#m), members++;
	TEXTS(SET)
#undef SET
#define SET(m) row.m = i--, members++;
	INTS(SET)
#undef SET
	row.env = lists[0];
	row.labels = lists[1];
	row.layers = lists[2];
	assert_int_equal(sizeof(row), (members + 3) * 8); /* none was forgotten here */
	assert_int_equal(db_sandbox_insert(f->db, &row, &err), 0);
	db_kit_reopen(f);
	assert_int_equal(db_sandbox_each(f->db, take, &got, &err), 0);
#define SAME(m) assert_string_equal(got.m, #m);
	TEXTS(SAME)
#undef SAME
#define SAME(m) assert_true(got.m == row.m);
	INTS(SAME)
#undef SAME
	assert_string_equal(got.env[0], "a");
	assert_string_equal(got.env[1], "");
	assert_null(got.env[2]);
	assert_null(got.labels[0]);
	assert_string_equal(got.layers[0], "");
	assert_string_equal(got.layers[1], "b");
	assert_null(got.layers[2]);
	db_sandbox_release(&got);
}

/* What is left of one that is over: the newest word counts, and it is its team's alone. */
static void test_past(void **state)
{
	struct db_kit *f = *state;
	struct err err = ERR_INIT;
	struct db_past row = { LENT("p"), NULL, LENT("base"), LENT("minimal"), LENT("error"), LENT("no"), 4, 1, 2, 3, 5, 6, 7, 8 };
	struct db_past got;
	assert_int_equal(db_past_put(f->db, &row, &err), 0);
	row.state = LENT("stopped");
	row.reason = NULL;
	assert_int_equal(db_past_put(f->db, &row, &err), 0);
	assert_int_equal(db_past_get(f->db, 5, "p", &got, &err), 0);
	assert_null(got.id);
	assert_int_equal(db_past_get(f->db, 4, "p", &got, &err), 1);
	assert_string_equal(got.id, "p");
	assert_null(got.name);
	assert_string_equal(got.image, "base");
	assert_string_equal(got.template, "minimal");
	assert_string_equal(got.state, "stopped");
	assert_null(got.reason);
	assert_true(got.account == 4 && got.vcpus == 1 && got.memory_mb == 2 && got.idle_s == 3 && got.created_ms == 5 &&
		got.started_ms == 6 && got.active_ms == 7 && got.ended_ms == 8);
	db_past_release(&got);
}

/* Only what is there twice is a conflict; what is against another rule is our own mistake. */
static void test_what_a_conflict_is(void **state)
{
	struct db_kit *f = *state;
	struct err err = ERR_INIT;
	struct db_sandbox a = sample("id1", NULL);
	assert_int_equal(db_sandbox_insert(f->db, &a, &err), 0);
	assert_int_equal(db_sandbox_insert(f->db, &a, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	a.id = LENT("id2");
	a.image = NULL;
	assert_int_equal(db_sandbox_insert(f->db, &a, &err), -1);
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_int_equal(db_port_insert(f->db, &(struct db_port){ LENT("nobody"), LENT("127.0.0.1"), 1, 1 }, &err), -1);
	assert_int_equal(err.code, ERR_INTERNAL);
}

static void plain_write(struct db *db, const char *id)
{
	struct err err = ERR_INIT;
	struct db_sandbox row = sample(id, NULL);
	assert_int_equal(db_sandbox_insert(db, &row, &err), 0);
}

static int durable_write(struct db *db, const char *id, struct err *err)
{
	struct db_key key = { .id = LENT(id), .prefix = LENT("p"), .hash = LENT(id) };
	return db_key_insert(db, &key, err);
}

/* ---- loops in loops ---- */

struct nest {
	struct db *db;
	int depth, seen, inner;
};

static int on_inner(void *arg, struct db_sandbox *row)
{
	struct nest *n = arg;
	(void)row;
	n->inner++;
	return 0;
}

static int stop_at_two(void *arg, struct db_sandbox *row)
{
	(void)row;
	return ++*(int *)arg == 2;
}

static int on_outer(void *arg, struct db_sandbox *row)
{
	struct nest *n = arg;
	struct err err = ERR_INIT;
	char want[16];
	int some = 0;
	snprintf(want, sizeof(want), "id%d", n->seen++);
	assert_string_equal(row->id, want);
	assert_int_equal(db_sandbox_each(n->db, stop_at_two, &some, &err), 0);
	assert_int_equal(some, 2);
	if (n->depth-- > 0) {
		struct nest deeper = { .db = n->db, .depth = n->depth };
		assert_int_equal(db_sandbox_each(n->db, on_outer, &deeper, &err), 0);
		assert_int_equal(deeper.seen, 5);
	}
	assert_int_equal(db_sandbox_each(n->db, on_inner, n, &err), 0);
	return 0;
}

/* The same question inside of itself, also stopped early: each loop has all of its rows. */
static void test_nested_loops(void **state)
{
	struct db_kit *f = *state;
	struct err err = ERR_INIT;
	struct nest n = { .db = f->db, .depth = 3 };
	for (int i = 0; i < 5; i++) {
		char id[16];
		snprintf(id, sizeof(id), "id%d", i);
		struct db_sandbox row = sample(id, NULL);
		assert_int_equal(db_sandbox_insert(f->db, &row, &err), 0);
	}
	for (int again = 0; again < 2; again++) {
		n.seen = n.inner = 0;
		n.depth = 3;
		assert_int_equal(db_sandbox_each(f->db, on_outer, &n, &err), 0);
		assert_int_equal(n.seen, 5);
		assert_int_equal(n.inner, 25);
	}
}

/* More statements than are kept, each again and again. */
static void test_many_statements(void **state)
{
	struct db_kit *f = *state;
	struct err err = ERR_INIT;
	static char sql[700][40];
	plain_write(f->db, "kept");
	for (size_t i = 0; i < ARRAY_LEN(sql); i++)
		snprintf(sql[i], sizeof(sql[i]), "SELECT ?1 + %zu WHERE ?1 < 7", i);
	for (int again = 0; again < 2; again++) {
		for (size_t i = 0; i < ARRAY_LEN(sql); i++) {
			int64_t got;
			assert_int_equal(db_number(f->db, sql[i], &got, &err, "i", (int64_t)1), 0);
			assert_int_equal(got, i + 1);
			assert_int_equal(db_number(f->db, sql[i], &got, &err, "i", (int64_t)7), 0);
			assert_int_equal(got, 0); /* no row */
		}
	}
	/* one that found no place, of the same words as one that did */
	assert_int_equal(durable_write(f->db, "k1", &err), 0);
	plain_write(f->db, "kept2");
	int64_t got;
	assert_int_equal(db_number(f->db, "no SQL", &got, &err, ""), -1);
	assert_int_equal(err.code, ERR_IO);
}

/* ---- what has reached the disk ---- */

static struct {
	sqlite3_vfs vfs, *below;
	sqlite3_io_methods counted;
	int (*sync)(sqlite3_file *, int);
	unsigned n;
} syncs;

static int count_sync(sqlite3_file *file, int flags)
{
	syncs.n++;
	return syncs.sync(file, flags);
}

/* The log is what commits wait for. */
static int open_counted(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	(void)vfs;
	int rc = syncs.below->xOpen(syncs.below, name, file, flags, out);
	if (rc != SQLITE_OK || !(flags & SQLITE_OPEN_WAL))
		return rc;
	syncs.counted = *file->pMethods;
	syncs.sync = syncs.counted.xSync;
	syncs.counted.xSync = count_sync;
	file->pMethods = &syncs.counted;
	return rc;
}

static int count_syncs(void **state)
{
	(void)state;
	syncs.below = sqlite3_vfs_find(NULL);
	syncs.vfs = *syncs.below;
	syncs.vfs.zName = "counted";
	syncs.vfs.xOpen = open_counted;
	return sqlite3_vfs_register(&syncs.vfs, 1);
}

/* How often the disk was waited for since the last question. */
static unsigned waited(void)
{
	unsigned n = syncs.n;
	syncs.n = 0;
	return n;
}

static void test_durable(void **state)
{
	struct db_kit *f = *state;
	struct err err = ERR_INIT;
	plain_write(f->db, "warm"); /* the log has its header now */
	waited();
	plain_write(f->db, "a");
	assert_int_equal(waited(), 0);
	assert_int_equal(durable_write(f->db, "k1", &err), 0);
	assert_true(waited() > 0);
	plain_write(f->db, "b");
	assert_int_equal(waited(), 0);
	assert_int_equal(durable_write(f->db, "k1", &err), -1); /* refused */
	assert_int_equal(err.code, ERR_CONFLICT);
	waited();
	plain_write(f->db, "c");
	assert_int_equal(waited(), 0);
}

static void test_durable_in_transactions(void **state)
{
	struct db_kit *f = *state;
	struct err err = ERR_INIT;
	plain_write(f->db, "warm");
	waited();
	assert_int_equal(db_begin(f->db, &err), 0);
	plain_write(f->db, "a");
	assert_int_equal(durable_write(f->db, "k1", &err), 0);
	plain_write(f->db, "b");
	assert_int_equal(waited(), 0); /* all at the end */
	assert_int_equal(db_begin(f->db, &err), -1);
	assert_int_equal(db_commit(f->db, &err), 0);
	assert_true(waited() > 0);
	plain_write(f->db, "c");
	assert_int_equal(waited(), 0);
	/* plain ones alone, too, since they are to stand as one */
	assert_int_equal(db_begin(f->db, &err), 0);
	plain_write(f->db, "d");
	assert_int_equal(db_commit(f->db, &err), 0);
	assert_true(waited() > 0);
	assert_int_equal(db_begin(f->db, &err), 0);
	plain_write(f->db, "e");
	db_rollback(f->db);
	plain_write(f->db, "f");
	assert_int_equal(waited(), 0);
	assert_int_equal(durable_write(f->db, "k2", &err), 0);
	assert_true(waited() > 0);
}

static int64_t rows(struct db *db)
{
	static const char sql[] = "SELECT count(*) FROM sandbox";
	int64_t n = -1;
	struct err err = ERR_INIT;
	assert_int_equal(db_number(db, sql, &n, &err, ""), 0);
	return n;
}

/* SQLite takes a transaction back by itself when the disk is full or fails. */
static void test_taken_back(void **state)
{
	struct db_kit *f = *state;
	struct err err = ERR_INIT;
	plain_write(f->db, "warm");
	for (int how = 0; how < 2; how++) {
		assert_int_equal(db_begin(f->db, &err), 0);
		plain_write(f->db, "a");
		assert_int_equal(sqlite3_exec(db_handle(f->db), "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
		if (how == 0)
			assert_int_equal(db_commit(f->db, &err), -1);
		else
			db_rollback(f->db);
		assert_int_equal(rows(f->db), 1 + how);
		waited();
		plain_write(f->db, how ? "c" : "b");
		assert_int_equal(waited(), 0);
	}
	assert_int_equal(db_begin(f->db, &err), 0);
	plain_write(f->db, "d");
	assert_int_equal(db_commit(f->db, &err), 0);
	db_kit_reopen(f);
	assert_int_equal(rows(f->db), 4);
}

static int write_inside(void *arg, struct db_sandbox *row)
{
	struct db_kit *f = arg;
	struct err err = ERR_INIT;
	waited();
	assert_int_equal(durable_write(f->db, row->id, &err), 0);
	assert_true(waited() > 0);
	assert_int_equal(db_sandbox_delete(f->db, row->id, &err), 0);
	assert_int_equal(waited(), 0);
	/* it is there for others while the loop goes on */
	struct db *other = db_open(f->path, &err);
	struct db_key key;
	assert_non_null(other);
	assert_int_equal(db_key_find(other, row->id, &key, &err), 1);
	db_key_release(&key);
	db_close(other);
	waited();
	return 0;
}

static void test_writes_in_a_loop(void **state)
{
	struct db_kit *f = *state;
	struct err err = ERR_INIT;
	plain_write(f->db, "a");
	plain_write(f->db, "b");
	plain_write(f->db, "c");
	assert_int_equal(db_sandbox_each(f->db, write_inside, f, &err), 0);
	assert_int_equal(rows(f->db), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(test_round_trip),
		DB_TEST(test_names_are_unique),
		DB_TEST(test_ports),
		DB_TEST(test_keys),
		DB_TEST(test_fs),
		DB_TEST(test_survives_kill),
		DB_TEST(test_all_or_none),
		DB_TEST(test_every_column),
		DB_TEST(test_past),
		DB_TEST(test_what_a_conflict_is),
		DB_TEST(test_nested_loops),
		DB_TEST(test_many_statements),
		DB_TEST(test_durable),
		DB_TEST(test_durable_in_transactions),
		DB_TEST(test_taken_back),
		DB_TEST(test_writes_in_a_loop),
		DB_TEST(test_newer_schema_is_refused),
		DB_TEST(test_damaged_file_is_refused),
	};
	return cmocka_run_group_tests(tests, count_syncs, NULL);
}
