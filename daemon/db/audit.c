#include "daemon/db/audit.h"

#include <string.h>

#include "daemon/db/table.h"
#include "shared/base/buf.h"
#include "shared/base/mem.h"

static const struct db_column audit_columns[] = {
	DB_COLUMN(db_audit, DB_INT, id),
	DB_COLUMN(db_audit, DB_INT, team),
	DB_COLUMN(db_audit, DB_TEXT, actor_type),
	DB_COLUMN(db_audit, DB_TEXT, actor_id),
	DB_COLUMN(db_audit, DB_TEXT, actor_name),
	DB_COLUMN(db_audit, DB_TEXT, resource_type),
	DB_COLUMN(db_audit, DB_TEXT, resource_id),
	DB_COLUMN(db_audit, DB_TEXT, action),
	DB_COLUMN(db_audit, DB_TEXT, scope),
	DB_COLUMN(db_audit, DB_TEXT, status),
	DB_COLUMN(db_audit, DB_LIST, metadata),
	DB_COLUMN(db_audit, DB_INT, created_ms),
};
static const struct db_table audits = DB_TABLE("audit", db_audit, audit_columns, false);

int db_audit_insert(struct db *db, struct db_audit *row, struct err *err)
{
	return db_insert(db, &audits, row, false, &row->id, err);
}

/* ",a,b," to be searched for ",word,": the lists are short, and a statement stays one. NULL for none. */
static char *joined(char *const *list)
{
	if (!list || !list[0])
		return NULL;
	auto_buf b = BUF_INIT;
	for (size_t i = 0; list[i]; i++)
		buf_fmt(&b, ",%s", list[i]);
	buf_ch(&b, ',');
	return mem_strdup(b.p);
}

int db_audit_list(struct db *db, const struct db_audit_query *q, struct db_audit **out, size_t *n, struct err *err)
{
	static const char tail[] =
		"WHERE team = ?1 AND (?2 OR scope = 'team') AND (?3 = 0 OR created_ms < ?3 OR"
		" (created_ms < ?3 + 1000 AND id < ?4)) AND (?5 IS NULL OR instr(?5, ',' || resource_type || ','))"
		" AND (?6 IS NULL OR instr(?6, ',' || action || ',')) ORDER BY created_ms DESC, id DESC LIMIT ?7";
	auto_free char *types = joined(q->types), *actions = joined(q->actions);
	return db_list(db, &audits, tail, out, n, err, "iiiitti", q->team, (int64_t)q->admin, q->before_ms, q->before_id, types,
		actions, q->limit);
}

void db_audit_release(struct db_audit *row)
{
	db_release(&audits, row);
}

void db_audits_release(struct db_audit *rows, size_t n)
{
	db_release_all(&audits, rows, n);
}

/* ---- use ---- */

static const struct db_column use_columns[] = {
	DB_COLUMN(db_use, DB_INT, team),
	DB_COLUMN(db_use, DB_INT, at_s),
	DB_COLUMN(db_use, DB_INT, running),
	DB_COLUMN(db_use, DB_INT, vcpus),
	DB_COLUMN(db_use, DB_INT, memory_mb),
};
static const struct db_table uses = DB_TABLE("team_use", db_use, use_columns, false);

int db_use_insert(struct db *db, const struct db_use *row, struct err *err)
{
	return db_insert(db, &uses, row, true, NULL, err);
}

/* NOLINTNEXTLINE(readability-function-size): whose, of which time, and the list */
int db_use_series(struct db *db, int64_t team, int64_t since_s, int64_t bucket_s, struct db_use **out, size_t *n, struct err *err)
{
	static const char sql[] = "SELECT team, at_s / ?3 * ?3 AS bucket, max(running), max(vcpus), max(memory_mb) FROM team_use"
				  " WHERE team = ?1 AND at_s >= ?2 GROUP BY bucket ORDER BY bucket";
	return db_list(db, &uses, sql, out, n, err, "iii", team, since_s, bucket_s);
}

/* NOLINTNEXTLINE(readability-function-size): as db_use_series */
int db_use_days(struct db *db, int64_t team, int64_t since_s, int64_t until_s, struct db_use **out, size_t *n, struct err *err)
{
	static const char sql[] = "SELECT team, at_s / 86400 * 86400 AS day, sum(running), sum(vcpus), sum(memory_mb) FROM team_use"
				  " WHERE team = ?1 AND at_s >= ?2 AND at_s < ?3 GROUP BY day ORDER BY day";
	return db_list(db, &uses, sql, out, n, err, "iii", team, since_s, until_s);
}

int db_use_prune(struct db *db, int64_t before_s, struct err *err)
{
	static const char sql[] = "DELETE FROM team_use WHERE at_s < ?1";
	return db_run(db, sql, "use of teams", false, err, "i", before_s) < 0 ? -1 : 0;
}
