#include "daemon/db/table.h"

#include "shared/base/mem.h"

/* clang-format off */
static const struct db_column sandbox_columns[] = {
#define C(kind, member) DB_COLUMN(db_sandbox, kind, member)
	C(DB_TEXT, id), C(DB_TEXT, name), C(DB_TEXT, image), C(DB_TEXT, template_key), C(DB_TEXT, image_digest), C(DB_TEXT, state),
	C(DB_TEXT, reason), C(DB_TEXT, accel), C(DB_LIST, env), C(DB_LIST, labels), C(DB_INT, vcpus), C(DB_INT, memory_mb),
	C(DB_INT, timeout_s), C(DB_INT, net), C(DB_INT, account), C(DB_INT, created_ms), C(DB_INT, expires_ms), C(DB_INT, pid),
	C(DB_INT, start_time), C(DB_INT, create_us), C(DB_TEXT, mac), C(DB_TEXT, parent), C(DB_LIST, layers), C(DB_INT, run_vcpus),
	C(DB_INT, run_memory_mb), C(DB_INT, booted), C(DB_INT, idle_s), C(DB_INT, disk_mb), C(DB_INT, idled), C(DB_TEXT, net_rules),
	C(DB_TEXT, template), C(DB_INT, started_ms), C(DB_INT, active_ms), C(DB_INT, changed_ms),
	C(DB_INT, host),
#undef C
};
/* clang-format on */
static const struct db_table sandboxes = DB_TABLE("sandbox", db_sandbox, sandbox_columns, false);

int db_sandbox_insert(struct db *db, const struct db_sandbox *row, struct err *err)
{
	return db_insert(db, &sandboxes, row, false, NULL, err);
}

int db_sandbox_update(struct db *db, const struct db_sandbox *row, struct err *err)
{
	return db_update(db, &sandboxes, row, err);
}

int db_sandbox_delete(struct db *db, const char *id, struct err *err)
{
	static const char sql[] = "DELETE FROM sandbox WHERE id = ?1";
	return db_run(db, sql, "sandbox", false, err, "t", id) < 0 ? -1 : 0;
}

int db_sandbox_each(struct db *db, int (*cb)(void *arg, struct db_sandbox *row), void *arg, struct err *err)
{
	static const char tail[] = "ORDER BY created_ms, id";
	struct db_cursor c;
	struct db_sandbox row = { 0 };
	int rc, stop = 0;
	if (db_query(&c, db, &sandboxes, tail, err, ""))
		return -1;
	while (!stop && (rc = db_next(&c, &row, err)) == 1) {
		stop = cb(arg, &row);
		db_sandbox_release(&row);
	}
	db_done(&c);
	return stop || rc == 0 ? 0 : -1;
}

void db_sandbox_release(struct db_sandbox *row)
{
	db_release(&sandboxes, row);
}

struct db_sandbox db_sandbox_move(struct db_sandbox *from)
{
	struct db_sandbox row = *from;
	*from = (struct db_sandbox){ 0 };
	return row;
}

/* ---- those that are over ---- */

/* clang-format off */
static const struct db_column past_columns[] = {
#define C(kind, member) DB_COLUMN(db_past, kind, member)
	C(DB_TEXT, id), C(DB_INT, account), C(DB_TEXT, name), C(DB_TEXT, image), C(DB_TEXT, template), C(DB_TEXT, state),
	C(DB_TEXT, reason), C(DB_INT, vcpus), C(DB_INT, memory_mb), C(DB_INT, idle_s), C(DB_INT, created_ms), C(DB_INT, started_ms),
	C(DB_INT, active_ms), C(DB_INT, ended_ms),
#undef C
};
/* clang-format on */
static const struct db_table pasts = DB_TABLE("sandbox_past", db_past, past_columns, false);

int db_past_put(struct db *db, const struct db_past *row, struct err *err)
{
	return db_insert(db, &pasts, row, true, NULL, err);
}

int db_past_get(struct db *db, int64_t account, const char *id, struct db_past *out, struct err *err)
{
	static const char tail[] = "WHERE id = ?1 AND account = ?2";
	return db_get(db, &pasts, tail, out, err, "ti", id, account);
}

void db_past_release(struct db_past *row)
{
	db_release(&pasts, row);
}

/* ---- ports ---- */

static const struct db_column port_columns[] = {
	DB_COLUMN(db_port, DB_TEXT, sandbox),
	DB_COLUMN(db_port, DB_INT, host_port),
	DB_COLUMN(db_port, DB_INT, guest_port),
	DB_COLUMN(db_port, DB_TEXT, bind),
};
static const struct db_table ports = DB_TABLE("port", db_port, port_columns, false);

int db_port_insert(struct db *db, const struct db_port *port, struct err *err)
{
	return db_insert(db, &ports, port, false, NULL, err);
}

int db_port_delete(struct db *db, const char *sandbox, int64_t host_port, struct err *err)
{
	static const char sql[] = "DELETE FROM port WHERE sandbox = ?1 AND host_port = ?2";
	return db_run(db, sql, "port", false, err, "ti", sandbox, host_port) < 0 ? -1 : 0;
}

int db_port_each(struct db *db, int (*cb)(void *arg, const struct db_port *port), void *arg, struct err *err)
{
	static const char tail[] = "ORDER BY sandbox, host_port";
	struct db_port *all;
	size_t n;
	int stop = 0;
	if (db_list(db, &ports, tail, &all, &n, err, ""))
		return -1;
	for (size_t i = 0; i < n && !stop; i++)
		stop = cb(arg, &all[i]);
	db_release_all(&ports, all, n);
	return 0;
}

/* ---- mounted trees ---- */

static const struct db_column fs_columns[] = {
	DB_COLUMN(db_fs, DB_TEXT, sandbox),
	DB_COLUMN(db_fs, DB_TEXT, path),
	DB_COLUMN(db_fs, DB_TEXT, tree),
	DB_COLUMN(db_fs, DB_TEXT, label),
	DB_COLUMN(db_fs, DB_TEXT, pushed),
};
static const struct db_table trees = DB_TABLE("sandbox_fs", db_fs, fs_columns, false);

int db_fs_put(struct db *db, const struct db_fs *row, struct err *err)
{
	return db_insert(db, &trees, row, true, NULL, err);
}

int db_fs_each(struct db *db, int (*cb)(void *arg, struct db_fs *row), void *arg, struct err *err)
{
	static const char tail[] = "ORDER BY sandbox";
	struct db_fs *all;
	size_t n;
	int stop = 0;
	if (db_list(db, &trees, tail, &all, &n, err, ""))
		return -1;
	for (size_t i = 0; i < n && !stop; i++)
		stop = cb(arg, &all[i]);
	db_release_all(&trees, all, n);
	return 0;
}

void db_fs_release(struct db_fs *row)
{
	db_release(&trees, row);
}
