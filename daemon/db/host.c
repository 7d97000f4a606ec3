#include "daemon/db/host.h"

#include "daemon/db/table.h"

/* clang-format off */
static const struct db_column host_columns[] = {
#define C(kind, member) DB_COLUMN(db_host, kind, member)
	C(DB_INT, id), C(DB_TEXT, uid), C(DB_TEXT, type), C(DB_INT, team), C(DB_TEXT, provider), C(DB_TEXT, zone), C(DB_TEXT, arch),
	C(DB_INT, cpu_cores), C(DB_INT, memory_mb), C(DB_INT, disk_gb), C(DB_TEXT, address), C(DB_TEXT, status),
	C(DB_INT, heartbeat_ms), C(DB_INT, created_by), C(DB_INT, created_ms), C(DB_INT, changed_ms), C(DB_TEXT, fingerprint),
#undef C
};
/* clang-format on */
static const struct db_table hosts = DB_TABLE("host", db_host, host_columns, true);

int db_host_insert(struct db *db, struct db_host *row, struct err *err)
{
	return db_insert(db, &hosts, row, false, &row->id, err);
}

int db_host_update(struct db *db, const struct db_host *row, struct err *err)
{
	return db_update(db, &hosts, row, err);
}

int db_host_get(struct db *db, const char *uid, struct db_host *out, struct err *err)
{
	static const char tail[] = "WHERE uid = ?1";
	return db_get(db, &hosts, tail, out, err, "t", uid);
}

int db_host_by_id(struct db *db, int64_t id, struct db_host *out, struct err *err)
{
	static const char tail[] = "WHERE id = ?1";
	return db_get(db, &hosts, tail, out, err, "i", id);
}

int db_host_list(struct db *db, int64_t team, struct db_host **out, size_t *n, struct err *err)
{
	static const char tail[] = "WHERE ?1 < 0 OR (team = ?1 AND type = 'byoc') ORDER BY created_ms DESC, id DESC";
	return db_list(db, &hosts, tail, out, n, err, "i", team);
}

int db_host_delete(struct db *db, int64_t id, struct err *err)
{
	static const char sql[] = "DELETE FROM host WHERE id = ?1";
	static const char kept[] = "DELETE FROM host_snapshot WHERE host = ?1";
	if (db_begin(db, err))
		return -1;
	if (db_run(db, kept, "snapshots of a host", false, err, "i", id) < 0 || db_run(db, sql, "host", false, err, "i", id) < 0) {
		db_rollback(db);
		return -1;
	}
	return db_commit(db, err);
}

int db_host_beat(struct db *db, int64_t id, int64_t now_ms, struct err *err)
{
	static const char sql[] = "UPDATE host SET heartbeat_ms = ?2 WHERE id = ?1";
	return db_run(db, sql, "host", false, err, "ii", id, now_ms) < 0 ? -1 : 0;
}

void db_host_release(struct db_host *row)
{
	db_release(&hosts, row);
}

void db_hosts_release(struct db_host *rows, size_t n)
{
	db_release_all(&hosts, rows, n);
}

/* ---- tags ---- */

static const struct db_column tag_columns[] = {
	DB_COLUMN(db_host_tag, DB_INT, host),
	DB_COLUMN(db_host_tag, DB_TEXT, tag),
};
static const struct db_table tags = DB_TABLE("host_tag", db_host_tag, tag_columns, true);

int db_host_tag_add(struct db *db, int64_t host, const char *tag, struct err *err)
{
	static const char sql[] = "INSERT OR IGNORE INTO host_tag (host, tag) VALUES (?1, ?2)";
	return db_run(db, sql, "tag", true, err, "it", host, tag) < 0 ? -1 : 0;
}

int db_host_tag_remove(struct db *db, int64_t host, const char *tag, struct err *err)
{
	static const char sql[] = "DELETE FROM host_tag WHERE host = ?1 AND tag = ?2";
	return db_run(db, sql, "tag", true, err, "it", host, tag) < 0 ? -1 : 0;
}

int db_host_tags(struct db *db, int64_t host, struct db_host_tag **out, size_t *n, struct err *err)
{
	static const char tail[] = "WHERE host = ?1 ORDER BY tag";
	return db_list(db, &tags, tail, out, n, err, "i", host);
}

void db_host_tags_release(struct db_host_tag *rows, size_t n)
{
	db_release_all(&tags, rows, n);
}

/* ---- credentials ---- */

int db_host_token_insert(struct db *db, const char *hash, int64_t host, int64_t expires_ms, struct err *err)
{
	static const char sql[] = "INSERT INTO host_token (hash, host, expires_ms) VALUES (?1, ?2, ?3)";
	return db_run(db, sql, "registration token", true, err, "tii", hash, host, expires_ms) < 0 ? -1 : 0;
}

int db_host_token_take(struct db *db, const char *hash, int64_t now_ms, int64_t *host, struct err *err)
{
	static const char find[] = "SELECT host FROM host_token WHERE hash = ?1 AND expires_ms > ?2";
	static const char take[] = "DELETE FROM host_token WHERE hash = ?1 OR expires_ms <= ?2";
	if (db_number(db, find, host, err, "ti", hash, now_ms))
		return -1;
	if (!*host)
		return 0;
	return db_run(db, take, "registration token", true, err, "ti", hash, now_ms) < 0 ? -1 : 1;
}

static const struct db_column refresh_columns[] = {
	DB_COLUMN(db_host_refresh, DB_TEXT, hash),
	DB_COLUMN(db_host_refresh, DB_INT, host),
	DB_COLUMN(db_host_refresh, DB_TEXT, family),
	DB_COLUMN(db_host_refresh, DB_INT, expires_ms),
	DB_COLUMN(db_host_refresh, DB_INT, revoked_ms),
	DB_COLUMN(db_host_refresh, DB_TEXT, request),
};
static const struct db_table refreshes = DB_TABLE("host_refresh", db_host_refresh, refresh_columns, true);

int db_host_refresh_insert(struct db *db, const struct db_host_refresh *row, struct err *err)
{
	return db_insert(db, &refreshes, row, false, NULL, err);
}

int db_host_refresh_get(struct db *db, const char *hash, struct db_host_refresh *out, struct err *err)
{
	static const char tail[] = "WHERE hash = ?1";
	return db_get(db, &refreshes, tail, out, err, "t", hash);
}

int db_host_refresh_use(struct db *db, const struct db_host_refresh *row, struct err *err)
{
	return db_update(db, &refreshes, row, err);
}

int db_host_refresh_revoke_family(struct db *db, const char *family, int64_t now_ms, struct err *err)
{
	static const char sql[] = "UPDATE host_refresh SET revoked_ms = ?2 WHERE family = ?1 AND revoked_ms = 0";
	return db_run(db, sql, "refresh token", true, err, "ti", family, now_ms) < 0 ? -1 : 0;
}

int db_host_refresh_revoke_all(struct db *db, int64_t host, int64_t now_ms, struct err *err)
{
	static const char sql[] = "UPDATE host_refresh SET revoked_ms = ?2 WHERE host = ?1 AND revoked_ms = 0";
	return db_run(db, sql, "refresh token", true, err, "ii", host, now_ms) < 0 ? -1 : 0;
}

void db_host_refresh_release(struct db_host_refresh *row)
{
	db_release(&refreshes, row);
}

/* ---- snapshots ---- */

/* clang-format off */
static const struct db_column snapshot_columns[] = {
#define C(kind, member) DB_COLUMN(db_host_snapshot, kind, member)
	C(DB_INT, team), C(DB_TEXT, name), C(DB_INT, host), C(DB_TEXT, tree), C(DB_TEXT, image), C(DB_TEXT, parent),
	C(DB_TEXT, accel), C(DB_INT, vcpus), C(DB_INT, memory_mb), C(DB_INT, created_ms), C(DB_INT, disk),
	C(DB_INT, stored),
#undef C
};
/* clang-format on */
static const struct db_table snapshots = DB_TABLE("host_snapshot", db_host_snapshot, snapshot_columns, true);

int db_host_snapshot_put(struct db *db, const struct db_host_snapshot *row, struct err *err)
{
	return db_insert(db, &snapshots, row, true, NULL, err);
}

int db_host_snapshot_get(struct db *db, int64_t team, const char *name, struct db_host_snapshot *out, struct err *err)
{
	static const char tail[] = "WHERE team = ?1 AND name = ?2";
	return db_get(db, &snapshots, tail, out, err, "it", team, name);
}

int db_host_snapshot_list(struct db *db, int64_t team, struct db_host_snapshot **out, size_t *n, struct err *err)
{
	static const char tail[] = "WHERE team = ?1 ORDER BY name";
	return db_list(db, &snapshots, tail, out, n, err, "i", team);
}

int db_host_snapshot_delete(struct db *db, int64_t team, const char *name, struct err *err)
{
	static const char sql[] = "DELETE FROM host_snapshot WHERE team = ?1 AND name = ?2";
	return db_run(db, sql, "snapshot", true, err, "it", team, name) < 0 ? -1 : 0;
}

void db_host_snapshot_release(struct db_host_snapshot *row)
{
	db_release(&snapshots, row);
}

void db_host_snapshots_release(struct db_host_snapshot *rows, size_t n)
{
	db_release_all(&snapshots, rows, n);
}

/* ---- what hosts have to forget ---- */

static const struct db_column leftover_columns[] = {
	DB_COLUMN(db_host_leftover, DB_INT, host),
	DB_COLUMN(db_host_leftover, DB_INT, team),
	DB_COLUMN(db_host_leftover, DB_TEXT, name),
};
static const struct db_table leftovers = DB_TABLE("host_leftover", db_host_leftover, leftover_columns, true);

int db_host_leftover_put(struct db *db, const struct db_host_leftover *row, struct err *err)
{
	return db_insert(db, &leftovers, row, true, NULL, err);
}

int db_host_leftover_delete(struct db *db, const struct db_host_leftover *row, struct err *err)
{
	static const char sql[] = "DELETE FROM host_leftover WHERE host = ?1 AND team = ?2 AND name = ?3";
	return db_run(db, sql, "snapshot", true, err, "iit", row->host, row->team, row->name) < 0 ? -1 : 0;
}

int db_host_leftovers(struct db *db, int64_t host, struct db_host_leftover **out, size_t *n, struct err *err)
{
	static const char tail[] = "WHERE host = ?1 ORDER BY team, name";
	return db_list(db, &leftovers, tail, out, n, err, "i", host);
}

void db_host_leftovers_release(struct db_host_leftover *rows, size_t n)
{
	db_release_all(&leftovers, rows, n);
}
