#include "daemon/db/db.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>

#include "daemon/db/schema.h"
#include "daemon/db/table.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

struct db {
	sqlite3 *h;
	struct db_cache *cache;
	bool within; /* a transaction */
};

sqlite3 *db_handle(struct db *db)
{
	return db->h;
}

struct db_cache *db_statements(struct db *db)
{
	return db->cache;
}

int db_fail(struct db *db, struct err *err, const char *doing)
{
	int code = sqlite3_extended_errcode(db->h);
	if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY)
		return err_set(err, ERR_CONFLICT, "%s: already exists", doing);
	/* another rule is one that we should have kept */
	enum err_code kind = (code & 0xff) == SQLITE_CONSTRAINT ? ERR_INTERNAL : ERR_IO;
	if ((code & 0xff) == SQLITE_FULL)
		err_set(err, ERR_NO_SPACE, "%s: no space left for the database", doing);
	else
		err_set(err, kind, "%s: database: %s", doing, sqlite3_errmsg(db->h));
	return err_word(err, DB_FAILED);
}

static int control(struct db *db, const char *script, const char *doing, struct err *err)
{
	return sqlite3_exec(db->h, script, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_fail(db, err, doing);
}

/* ---- changes that are one ---- */

int db_sync_on(struct db *db, struct err *err)
{
	return db->within ? 0 : control(db, "PRAGMA synchronous = FULL", "cannot write durably", err);
}

int db_sync_off(struct db *db, struct err *err)
{
	return db->within ? 0 : control(db, "PRAGMA synchronous = NORMAL", "cannot write durably", err);
}

int db_begin(struct db *db, struct err *err)
{
	if (db_sync_on(db, err))
		return -1;
	if (control(db, "BEGIN IMMEDIATE", "cannot write as one", err)) {
		db_sync_off(db, NULL);
		return -1;
	}
	db->within = true;
	return 0;
}

void db_rollback(struct db *db)
{
	/* SQLite may have taken it back already: when the disk was full, or could not be written */
	(void)control(db, "ROLLBACK", "cannot write as one", NULL);
	db->within = false;
	(void)db_sync_off(db, NULL);
}

int db_commit(struct db *db, struct err *err)
{
	if (control(db, "COMMIT", "cannot write as one", err)) {
		db_rollback(db);
		return -1;
	}
	db->within = false;
	(void)db_sync_off(db, NULL);
	return 0;
}

/* ---- opening ---- */

static int migrate(struct db *db, struct err *err)
{
	int64_t version = 0;
	if (db_number(db, "PRAGMA user_version", &version, err, ""))
		return -1;
	if (version < 0 || version > (int64_t)schema_count) {
		err_set(err, ERR_STATE, "the database was written by a newer sbx (schema %lld, this one knows %zu)",
			(long long)version, schema_count);
		return err_hint(err, "run the newer sbx, or set SBX_HOME to another folder");
	}
	for (size_t i = (size_t)version; i < schema_count; i++) {
		auto_free char *step = mem_printf("BEGIN IMMEDIATE; %s PRAGMA user_version = %zu; COMMIT;", schema_steps[i], i + 1);
		if (control(db, step, "cannot set up", err))
			return -1;
	}
	return 0;
}

struct db *db_open(const char *path, struct err *err)
{
	static const char modes[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = OFF;";
	struct db *db = mem_zalloc(sizeof(*db));
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	db->cache = db_cache_new();
	if (sqlite3_open_v2(path, &db->h, flags, NULL) != SQLITE_OK) {
		db_fail(db, err, "cannot open the database");
		err_prefix(err, "'%s'", path);
		goto fail;
	}
	sqlite3_extended_result_codes(db->h, 1);
	sqlite3_busy_timeout(db->h, 2000);
	if (control(db, modes, "cannot set up", err) || migrate(db, err) ||
		control(db, "PRAGMA foreign_keys = ON;", "cannot set up", err))
		goto fail;
	return db;
fail:
	db_close(db);
	return NULL;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	db_cache_free(db->cache);
	if (sqlite3_close(db->h) != SQLITE_OK)
		log_warn("db", "the database did not close cleanly");
	free(db);
}
