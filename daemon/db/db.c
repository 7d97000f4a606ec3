#include "daemon/db/db.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

/* One step a version; user_version counts how many have been taken. Never change a step that has shipped: add one. */
static const char *const migrations[] = {
	"CREATE TABLE sandbox (id TEXT PRIMARY KEY, name TEXT UNIQUE, image TEXT NOT NULL, template_key TEXT, state TEXT NOT NULL,"
	" reason TEXT, accel TEXT, env BLOB NOT NULL, labels BLOB NOT NULL, vcpus INT NOT NULL, memory_mb INT NOT NULL,"
	" timeout_s INT NOT NULL, net INT NOT NULL, account INT NOT NULL, created_ms INT NOT NULL, expires_ms INT NOT NULL,"
	" pid INT NOT NULL, start_time INT NOT NULL, create_us INT NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE api_key (id TEXT PRIMARY KEY, name TEXT UNIQUE, prefix TEXT NOT NULL, hash TEXT NOT NULL UNIQUE,"
	" account INT NOT NULL, created_ms INT NOT NULL, used_ms INT NOT NULL) STRICT, WITHOUT ROWID;",
	"ALTER TABLE sandbox ADD COLUMN mac TEXT; ALTER TABLE sandbox ADD COLUMN parent TEXT;"
	"ALTER TABLE sandbox ADD COLUMN layers BLOB NOT NULL DEFAULT x'';"
	"ALTER TABLE sandbox ADD COLUMN run_vcpus INT NOT NULL DEFAULT 0;"
	"ALTER TABLE sandbox ADD COLUMN run_memory_mb INT NOT NULL DEFAULT 0;"
	"ALTER TABLE sandbox ADD COLUMN booted INT NOT NULL DEFAULT 0; ALTER TABLE sandbox ADD COLUMN idle_s INT NOT NULL DEFAULT "
	"0;"
	"ALTER TABLE sandbox ADD COLUMN idled INT NOT NULL DEFAULT 0;",
	"ALTER TABLE sandbox ADD COLUMN net_rules TEXT;"
	"CREATE TABLE port (sandbox TEXT NOT NULL REFERENCES sandbox (id) ON DELETE CASCADE, host_port INT NOT NULL,"
	" guest_port INT NOT NULL, bind TEXT NOT NULL, PRIMARY KEY (sandbox, host_port)) STRICT, WITHOUT ROWID;",
	"ALTER TABLE sandbox ADD COLUMN image_digest TEXT;",
	"CREATE TABLE sandbox_fs (sandbox TEXT PRIMARY KEY REFERENCES sandbox(id) ON DELETE CASCADE, path TEXT NOT NULL,"
	" tree TEXT NOT NULL, label TEXT, pushed TEXT) STRICT, WITHOUT ROWID;",
	"ALTER TABLE sandbox ADD COLUMN disk_mb INT NOT NULL DEFAULT 0;",
};

enum stmt {
	SANDBOX_INSERT,
	SANDBOX_UPDATE,
	SANDBOX_DELETE,
	SANDBOX_ALL,
	KEY_INSERT,
	KEY_DELETE,
	KEY_ALL,
	KEY_FIND,
	KEY_TOUCH,
	PORT_INSERT,
	PORT_DELETE,
	PORT_ALL,
	FS_PUT,
	FS_ALL,
	STMT_COUNT
};

#define SANDBOX_COLUMNS                                                                                                            \
	"id, name, image, template_key, state, reason, accel, env, labels, vcpus, memory_mb, timeout_s, net, account, created_ms," \
	" expires_ms, pid, start_time, create_us, mac, parent, net_rules, image_digest, layers, run_vcpus, run_memory_mb, "        \
	"booted, idle_s, idled, disk_mb"
#define SANDBOX_VALUES                                                                                                             \
	"(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26,?27,?28,?29,?30)"
#define KEY_COLUMNS "id, name, prefix, hash, account, created_ms, used_ms"

static const char *const sql[STMT_COUNT] = {
	[SANDBOX_INSERT] = "INSERT INTO sandbox (" SANDBOX_COLUMNS ") VALUES " SANDBOX_VALUES,
	[SANDBOX_UPDATE] = "UPDATE sandbox SET (" SANDBOX_COLUMNS ") = " SANDBOX_VALUES " WHERE id = ?1",
	[SANDBOX_DELETE] = "DELETE FROM sandbox WHERE id = ?",
	[SANDBOX_ALL] = "SELECT " SANDBOX_COLUMNS " FROM sandbox ORDER BY created_ms, id",
	[KEY_INSERT] = "INSERT INTO api_key (" KEY_COLUMNS ") VALUES (?,?,?,?,?,?,?)",
	[KEY_DELETE] = "DELETE FROM api_key WHERE id = ?1 OR name = ?1",
	[KEY_ALL] = "SELECT " KEY_COLUMNS " FROM api_key ORDER BY created_ms, id",
	[KEY_FIND] = "SELECT " KEY_COLUMNS " FROM api_key WHERE hash = ?",
	[KEY_TOUCH] = "UPDATE api_key SET used_ms = ?2 WHERE id = ?1",
	[PORT_INSERT] = "INSERT INTO port (sandbox, host_port, guest_port, bind) VALUES (?,?,?,?)",
	[PORT_DELETE] = "DELETE FROM port WHERE sandbox = ? AND host_port = ?",
	[PORT_ALL] = "SELECT sandbox, host_port, guest_port, bind FROM port ORDER BY sandbox, host_port",
	[FS_PUT] = "INSERT OR REPLACE INTO sandbox_fs (sandbox, path, tree, label, pushed) VALUES (?,?,?,?,?)",
	[FS_ALL] = "SELECT sandbox, path, tree, label, pushed FROM sandbox_fs ORDER BY sandbox",
};

struct db {
	sqlite3 *h;
	sqlite3_stmt *stmt[STMT_COUNT];
};

static int db_err(struct db *db, struct err *err, const char *doing)
{
	int code = sqlite3_extended_errcode(db->h);
	if ((code & 0xff) == SQLITE_CONSTRAINT)
		return err_set(err, ERR_CONFLICT, "%s: already exists", doing);
	if ((code & 0xff) == SQLITE_FULL)
		return err_set(err, ERR_NO_SPACE, "%s: no space left for the database", doing);
	return err_set(err, ERR_IO, "%s: database: %s", doing, sqlite3_errmsg(db->h));
}

static int run_script(struct db *db, const char *script, struct err *err)
{
	return sqlite3_exec(db->h, script, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_err(db, err, "cannot set up");
}

static int schema_version(struct db *db, int *out, struct err *err)
{
	*out = 0;
	sqlite3_stmt *st = NULL;
	if (sqlite3_prepare_v2(db->h, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK)
		return db_err(db, err, "cannot read the schema version");
	int rc = sqlite3_step(st);
	*out = rc == SQLITE_ROW ? sqlite3_column_int(st, 0) : -1;
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : db_err(db, err, "cannot read the schema version");
}

static int migrate(struct db *db, struct err *err)
{
	int version = 0;
	if (schema_version(db, &version, err))
		return -1;
	if (version < 0 || version > (int)ARRAY_LEN(migrations)) {
		err_set(err, ERR_STATE, "the database was written by a newer sbx (schema %d, this one knows %zu)", version,
			ARRAY_LEN(migrations));
		return err_hint(err, "run the newer sbx, or set SBX_HOME to another folder");
	}
	for (int i = version; i < (int)ARRAY_LEN(migrations); i++) {
		auto_free char *step = mem_printf("BEGIN IMMEDIATE; %s PRAGMA user_version = %d; COMMIT;", migrations[i], i + 1);
		if (run_script(db, step, err))
			return -1;
	}
	return 0;
}

static int control(struct db *db, const char *word, struct err *err)
{
	return sqlite3_exec(db->h, word, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_err(db, err, "cannot write as one");
}

int db_begin(struct db *db, struct err *err)
{
	return control(db, "BEGIN IMMEDIATE", err);
}

void db_rollback(struct db *db)
{
	(void)control(db, "ROLLBACK", NULL);
}

int db_commit(struct db *db, struct err *err)
{
	if (!control(db, "COMMIT", err))
		return 0;
	db_rollback(db);
	return -1;
}

struct db *db_open(const char *path, struct err *err)
{
	struct db *db = mem_zalloc(sizeof(*db));
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	if (sqlite3_open_v2(path, &db->h, flags, NULL) != SQLITE_OK) {
		db_err(db, err, "cannot open the database");
		err_prefix(err, "'%s'", path);
		goto fail;
	}
	sqlite3_extended_result_codes(db->h, 1);
	sqlite3_busy_timeout(db->h, 2000);
	if (run_script(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;", err) ||
		migrate(db, err))
		goto fail;
	for (int i = 0; i < STMT_COUNT; i++) {
		if (sqlite3_prepare_v3(db->h, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &db->stmt[i], NULL) != SQLITE_OK) {
			db_err(db, err, "cannot prepare a statement");
			goto fail;
		}
	}
	return db;
fail:
	db_close(db);
	return NULL;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	for (int i = 0; i < STMT_COUNT; i++)
		sqlite3_finalize(db->stmt[i]);
	if (sqlite3_close(db->h) != SQLITE_OK)
		log_warn("db", "the database did not close cleanly");
	free(db);
}

/* ---- values ---- */

static void bind_text(sqlite3_stmt *st, int i, const char *s)
{
	if (s)
		sqlite3_bind_text(st, i, s, -1, SQLITE_TRANSIENT);
	else
		sqlite3_bind_null(st, i);
}

/* A list goes in as its strings with their NULs. */
static void bind_list(sqlite3_stmt *st, int i, char *const *list)
{
	auto_buf b = BUF_INIT;
	for (size_t k = 0; list && list[k]; k++)
		buf_add(&b, list[k], strlen(list[k]) + 1);
	sqlite3_bind_blob(st, i, b.p, (int)b.len, SQLITE_TRANSIENT);
}

static char *column_text(sqlite3_stmt *st, int i)
{
	const char *s = (const char *)sqlite3_column_text(st, i);
	return s ? mem_strdup(s) : NULL;
}

static char **column_list(sqlite3_stmt *st, int i)
{
	const char *p = sqlite3_column_blob(st, i);
	size_t left = (size_t)sqlite3_column_bytes(st, i);
	char **list = mem_array(1, sizeof(*list));
	for (size_t n = 0; left > 0; n++) {
		size_t len = strnlen(p, left);
		list = mem_grow(list, n + 2, sizeof(*list));
		list[n] = mem_strndup(p, len);
		list[n + 1] = NULL;
		size_t step = len < left ? len + 1 : len;
		p += step;
		left -= step;
	}
	return list;
}

static void free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

/* Run a statement that gives no rows. */
static int finish(struct db *db, sqlite3_stmt *st, const char *doing, struct err *err)
{
	int rc = sqlite3_step(st) == SQLITE_DONE ? 0 : db_err(db, err, doing);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc;
}

/* ---- sandboxes ---- */

/* The columns of each kind, in the order of SANDBOX_COLUMNS. */
#define TEXTS_1(r) r id, r name, r image, r template_key, r state, r reason, r accel
#define INTS_1(r) r vcpus, r memory_mb, r timeout_s, r net, r account, r created_ms, r expires_ms, r pid, r start_time, r create_us
#define TEXTS_2(r) r mac, r parent, r net_rules, r image_digest
#define INTS_2(r) r run_vcpus, r run_memory_mb, r booted, r idle_s, r idled, r disk_mb

static int bind_texts(sqlite3_stmt *st, int at, const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bind_text(st, at++, texts[i]);
	return at;
}

static int bind_ints(sqlite3_stmt *st, int at, const int64_t *ints, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sqlite3_bind_int64(st, at++, ints[i]);
	return at;
}

static int put_sandbox(struct db *db, enum stmt which, const struct db_sandbox *row, struct err *err)
{
	sqlite3_stmt *st = db->stmt[which];
	const char *const texts_1[] = { TEXTS_1(row->) }, *const texts_2[] = { TEXTS_2(row->) };
	const int64_t ints_1[] = { INTS_1(row->) }, ints_2[] = { INTS_2(row->) };
	int at = bind_texts(st, 1, texts_1, ARRAY_LEN(texts_1));
	bind_list(st, at++, row->env);
	bind_list(st, at++, row->labels);
	at = bind_ints(st, at, ints_1, ARRAY_LEN(ints_1));
	at = bind_texts(st, at, texts_2, ARRAY_LEN(texts_2));
	bind_list(st, at++, row->layers);
	bind_ints(st, at, ints_2, ARRAY_LEN(ints_2));
	return finish(db, st, "sandbox", err);
}

int db_sandbox_insert(struct db *db, const struct db_sandbox *row, struct err *err)
{
	return put_sandbox(db, SANDBOX_INSERT, row, err);
}

int db_sandbox_update(struct db *db, const struct db_sandbox *row, struct err *err)
{
	return put_sandbox(db, SANDBOX_UPDATE, row, err);
}

int db_sandbox_delete(struct db *db, const char *id, struct err *err)
{
	bind_text(db->stmt[SANDBOX_DELETE], 1, id);
	return finish(db, db->stmt[SANDBOX_DELETE], "sandbox", err);
}

static void read_sandbox(sqlite3_stmt *st, struct db_sandbox *row)
{
	char **const texts_1[] = { TEXTS_1(&row->) }, **const texts_2[] = { TEXTS_2(&row->) };
	int64_t *const ints_1[] = { INTS_1(&row->) }, *const ints_2[] = { INTS_2(&row->) };
	int at = 0;
	for (size_t i = 0; i < ARRAY_LEN(texts_1); i++)
		*texts_1[i] = column_text(st, at++);
	row->env = column_list(st, at++);
	row->labels = column_list(st, at++);
	for (size_t i = 0; i < ARRAY_LEN(ints_1); i++)
		*ints_1[i] = sqlite3_column_int64(st, at++);
	for (size_t i = 0; i < ARRAY_LEN(texts_2); i++)
		*texts_2[i] = column_text(st, at++);
	row->layers = column_list(st, at++);
	for (size_t i = 0; i < ARRAY_LEN(ints_2); i++)
		*ints_2[i] = sqlite3_column_int64(st, at++);
}

int db_sandbox_each(struct db *db, int (*cb)(void *arg, struct db_sandbox *row), void *arg, struct err *err)
{
	sqlite3_stmt *st = db->stmt[SANDBOX_ALL];
	int rc, stop = 0;
	while (!stop && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct db_sandbox row = { 0 };
		read_sandbox(st, &row);
		stop = cb(arg, &row);
		db_sandbox_release(&row);
	}
	int result = stop || rc == SQLITE_DONE ? 0 : db_err(db, err, "cannot list sandboxes");
	sqlite3_reset(st);
	return result;
}

void db_sandbox_release(struct db_sandbox *row)
{
	char *const texts[] = { TEXTS_1(row->), TEXTS_2(row->) };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	free_list(row->env);
	free_list(row->labels);
	free_list(row->layers);
	*row = (struct db_sandbox){ 0 };
}

struct db_sandbox db_sandbox_move(struct db_sandbox *from)
{
	struct db_sandbox row = *from;
	*from = (struct db_sandbox){ 0 };
	return row;
}

/* ---- keys ---- */

int db_key_insert(struct db *db, const struct db_key *key, struct err *err)
{
	sqlite3_stmt *st = db->stmt[KEY_INSERT];
	bind_text(st, 1, key->id);
	bind_text(st, 2, key->name);
	bind_text(st, 3, key->prefix);
	bind_text(st, 4, key->hash);
	sqlite3_bind_int64(st, 5, key->account);
	sqlite3_bind_int64(st, 6, key->created_ms);
	sqlite3_bind_int64(st, 7, key->used_ms);
	if (run_script(db, "PRAGMA synchronous = FULL", err))
		return -1;
	int rc = finish(db, st, "key", err);
	return run_script(db, "PRAGMA synchronous = NORMAL", err) ? -1 : rc;
}

int db_key_delete(struct db *db, const char *id_or_name, struct err *err)
{
	bind_text(db->stmt[KEY_DELETE], 1, id_or_name);
	if (run_script(db, "PRAGMA synchronous = FULL", err))
		return -1;
	int rc = finish(db, db->stmt[KEY_DELETE], "key", err);
	if (rc == 0 && sqlite3_changes(db->h) == 0)
		rc = err_set(err, ERR_NOT_FOUND, "no key '%s'", id_or_name);
	struct err ignored = ERR_INIT;
	return run_script(db, "PRAGMA synchronous = NORMAL", rc ? &ignored : err) ? -1 : rc;
}

static void copy_text(char *out, size_t size, sqlite3_stmt *st, int i)
{
	const char *s = (const char *)sqlite3_column_text(st, i);
	if (s)
		memcpy(out, s, strnlen(s, size - 1));
}

static void read_key(sqlite3_stmt *st, struct db_key *key)
{
	*key = (struct db_key){ .id = column_text(st, 0), .name = column_text(st, 1) };
	copy_text(key->prefix, sizeof(key->prefix), st, 2);
	copy_text(key->hash, sizeof(key->hash), st, 3);
	key->account = sqlite3_column_int64(st, 4);
	key->created_ms = sqlite3_column_int64(st, 5);
	key->used_ms = sqlite3_column_int64(st, 6);
}

int db_key_each(struct db *db, int (*cb)(void *arg, struct db_key *key), void *arg, struct err *err)
{
	sqlite3_stmt *st = db->stmt[KEY_ALL];
	int rc, stop = 0;
	while (!stop && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct db_key key;
		read_key(st, &key);
		stop = cb(arg, &key);
		db_key_release(&key);
	}
	int result = stop || rc == SQLITE_DONE ? 0 : db_err(db, err, "cannot list keys");
	sqlite3_reset(st);
	return result;
}

int db_key_find(struct db *db, const char *hash, struct db_key *out, struct err *err)
{
	sqlite3_stmt *st = db->stmt[KEY_FIND];
	bind_text(st, 1, hash);
	int rc = sqlite3_step(st), result;
	if (rc == SQLITE_ROW) {
		read_key(st, out);
		result = 1;
	} else {
		result = rc == SQLITE_DONE ? 0 : db_err(db, err, "cannot look up a key");
	}
	sqlite3_reset(st);
	return result;
}

int db_key_touch(struct db *db, const char *id, int64_t used_ms, struct err *err)
{
	bind_text(db->stmt[KEY_TOUCH], 1, id);
	sqlite3_bind_int64(db->stmt[KEY_TOUCH], 2, used_ms);
	return finish(db, db->stmt[KEY_TOUCH], "key", err);
}

void db_key_release(struct db_key *key)
{
	free(key->id);
	free(key->name);
	*key = (struct db_key){ 0 };
}

/* ---- ports ---- */

int db_port_insert(struct db *db, const struct db_port *port, struct err *err)
{
	sqlite3_stmt *st = db->stmt[PORT_INSERT];
	bind_text(st, 1, port->sandbox);
	sqlite3_bind_int64(st, 2, port->host_port);
	sqlite3_bind_int64(st, 3, port->guest_port);
	bind_text(st, 4, port->bind);
	return finish(db, st, "port", err);
}

int db_port_delete(struct db *db, const char *sandbox, int64_t host_port, struct err *err)
{
	sqlite3_stmt *st = db->stmt[PORT_DELETE];
	bind_text(st, 1, sandbox);
	sqlite3_bind_int64(st, 2, host_port);
	return finish(db, st, "port", err);
}

int db_port_each(struct db *db, int (*cb)(void *arg, const struct db_port *port), void *arg, struct err *err)
{
	sqlite3_stmt *st = db->stmt[PORT_ALL];
	int rc, stop = 0;
	while (!stop && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct db_port port = { .sandbox = (const char *)sqlite3_column_text(st, 0),
			.host_port = sqlite3_column_int64(st, 1),
			.guest_port = sqlite3_column_int64(st, 2),
			.bind = (const char *)sqlite3_column_text(st, 3) };
		if (port.sandbox && port.bind) /* NULL without memory */
			stop = cb(arg, &port);
	}
	int result = stop || rc == SQLITE_DONE ? 0 : db_err(db, err, "cannot list ports");
	sqlite3_reset(st);
	return result;
}
/* ---- mounted trees ---- */

int db_fs_put(struct db *db, const struct db_fs *row, struct err *err)
{
	sqlite3_stmt *st = db->stmt[FS_PUT];
	const char *const texts[] = { row->sandbox, row->path, row->tree, row->label, row->pushed };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		bind_text(st, (int)i + 1, texts[i]);
	return finish(db, st, "mounted tree", err);
}

int db_fs_each(struct db *db, int (*cb)(void *arg, struct db_fs *row), void *arg, struct err *err)
{
	sqlite3_stmt *st = db->stmt[FS_ALL];
	int rc, stop = 0;
	while (!stop && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct db_fs row = { column_text(st, 0), column_text(st, 1), column_text(st, 2), column_text(st, 3),
			column_text(st, 4) };
		stop = cb(arg, &row);
		db_fs_release(&row);
	}
	int result = stop || rc == SQLITE_DONE ? 0 : db_err(db, err, "cannot list mounted trees");
	sqlite3_reset(st);
	return result;
}

void db_fs_release(struct db_fs *row)
{
	char *const texts[] = { row->sandbox, row->path, row->tree, row->label, row->pushed };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	*row = (struct db_fs){ 0 };
}
