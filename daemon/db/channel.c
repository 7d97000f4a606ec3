#include "daemon/db/channel.h"

#include "daemon/db/table.h"

static const struct db_column channel_columns[] = {
	DB_COLUMN(db_channel, DB_INT, id),
	DB_COLUMN(db_channel, DB_TEXT, uid),
	DB_COLUMN(db_channel, DB_INT, team),
	DB_COLUMN(db_channel, DB_TEXT, name),
	DB_COLUMN(db_channel, DB_TEXT, provider),
	DB_COLUMN(db_channel, DB_LIST, events),
	DB_COLUMN(db_channel, DB_TEXT, config),
	DB_COLUMN(db_channel, DB_INT, created_ms),
	DB_COLUMN(db_channel, DB_INT, changed_ms),
};
static const struct db_table channels = DB_TABLE("channel", db_channel, channel_columns, true);

int db_channel_insert(struct db *db, struct db_channel *row, struct err *err)
{
	return db_insert(db, &channels, row, false, &row->id, err);
}

int db_channel_update(struct db *db, const struct db_channel *row, struct err *err)
{
	return db_update(db, &channels, row, err);
}

int db_channel_get(struct db *db, int64_t team, const char *uid, struct db_channel *out, struct err *err)
{
	static const char tail[] = "WHERE team = ?1 AND uid = ?2";
	return db_get(db, &channels, tail, out, err, "it", team, uid);
}

int db_channel_by_id(struct db *db, int64_t id, struct db_channel *out, struct err *err)
{
	static const char tail[] = "WHERE id = ?1";
	return db_get(db, &channels, tail, out, err, "i", id);
}

int db_channel_list(struct db *db, int64_t team, struct db_channel **out, size_t *n, struct err *err)
{
	static const char tail[] = "WHERE team = ?1 ORDER BY created_ms DESC, id DESC";
	return db_list(db, &channels, tail, out, n, err, "i", team);
}

int db_channel_delete(struct db *db, int64_t team, const char *uid, struct err *err)
{
	static const char sql[] = "DELETE FROM channel WHERE team = ?1 AND uid = ?2";
	return db_run(db, sql, "channel", true, err, "it", team, uid) < 0 ? -1 : 0;
}

void db_channel_release(struct db_channel *row)
{
	db_release(&channels, row);
}

void db_channels_release(struct db_channel *rows, size_t n)
{
	db_release_all(&channels, rows, n);
}

/* ---- deliveries ---- */

static const struct db_column delivery_columns[] = {
	DB_COLUMN(db_delivery, DB_INT, id),
	DB_COLUMN(db_delivery, DB_INT, channel),
	DB_COLUMN(db_delivery, DB_TEXT, event),
	DB_COLUMN(db_delivery, DB_INT, attempts),
	DB_COLUMN(db_delivery, DB_INT, due_ms),
};
/* Like the audit log: an event is lost by a power cut only, and so is what it tells of. */
static const struct db_table deliveries = DB_TABLE("delivery", db_delivery, delivery_columns, false);

int db_delivery_insert(struct db *db, struct db_delivery *row, struct err *err)
{
	return db_insert(db, &deliveries, row, false, &row->id, err);
}

int db_delivery_update(struct db *db, const struct db_delivery *row, struct err *err)
{
	return db_update(db, &deliveries, row, err);
}

int db_delivery_defer(struct db *db, int64_t id, int64_t due_ms, struct err *err)
{
	static const char sql[] = "UPDATE delivery SET due_ms = ?2 WHERE id = ?1";
	return db_run(db, sql, "delivery", false, err, "ii", id, due_ms) < 0 ? -1 : 0;
}

int db_delivery_delete(struct db *db, int64_t id, struct err *err)
{
	static const char sql[] = "DELETE FROM delivery WHERE id = ?1";
	return db_run(db, sql, "delivery", false, err, "i", id) < 0 ? -1 : 0;
}

int db_delivery_due(struct db *db, int64_t now_ms, int64_t limit, struct db_delivery **out, size_t *n, struct err *err)
{
	static const char tail[] = "WHERE due_ms <= ?1 ORDER BY due_ms, id LIMIT ?2";
	return db_list(db, &deliveries, tail, out, n, err, "ii", now_ms, limit);
}

int db_delivery_next(struct db *db, int64_t *due_ms, struct err *err)
{
	static const char sql[] = "SELECT min(due_ms) FROM delivery";
	return db_number(db, sql, due_ms, err, "");
}

void db_deliveries_release(struct db_delivery *rows, size_t n)
{
	db_release_all(&deliveries, rows, n);
}
