#include "daemon/db/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- statements that were prepared once ---- */

enum { SLOTS = 512 }; /* many times the number of statements that there are */

struct db_cache {
	struct slot {
		const void *a, *b;
		sqlite3_stmt *st;
	} slots[SLOTS];
};

struct db_cache *db_cache_new(void)
{
	return mem_zalloc(sizeof(struct db_cache));
}

void db_cache_free(struct db_cache *cache)
{
	for (size_t i = 0; cache && i < SLOTS; i++)
		sqlite3_finalize(cache->slots[i].st);
	free(cache);
}

/* The place of a statement, taken or free. */
static struct slot *find_slot(struct db_cache *cache, const void *a, const void *b)
{
	size_t at = (((uintptr_t)a >> 3) * 31 + ((uintptr_t)b >> 3)) % SLOTS;
	for (size_t i = 0; i < SLOTS; i++, at = (at + 1) % SLOTS) {
		struct slot *s = &cache->slots[at];
		if (!s->st || (s->a == a && s->b == b))
			return s;
	}
	return NULL;
}

static void add_columns(struct buf *sql, const struct db_table *t)
{
	for (size_t i = 0; i < t->count; i++)
		buf_fmt(sql, "%s%s", i ? ", " : "", t->columns[i].name);
}

static void add_marks(struct buf *sql, const struct db_table *t)
{
	for (size_t i = 0; i < t->count; i++)
		buf_fmt(sql, "%s?%zu", i ? ", " : "", i + 1);
}

/* What is done to a table; the addresses of these words are keys of the cache. */
static const char verb_insert[] = "INSERT", verb_replace[] = "INSERT OR REPLACE", verb_update[] = "UPDATE";

static void write_sql(struct buf *sql, const struct db_table *t, const char *what)
{
	if (!t || str_starts(what, "SELECT ")) {
		buf_str(sql, what);
	} else if (what == verb_update) {
		buf_fmt(sql, "UPDATE %s SET (", t->name);
		add_columns(sql, t);
		buf_str(sql, ") = (");
		add_marks(sql, t);
		buf_fmt(sql, ") WHERE %s = ?1", t->columns[0].name);
	} else if (what == verb_insert || what == verb_replace) {
		buf_fmt(sql, "%s INTO %s (", what, t->name);
		add_columns(sql, t);
		buf_str(sql, ") VALUES (");
		add_marks(sql, t);
		buf_ch(sql, ')');
	} else {
		buf_str(sql, "SELECT ");
		add_columns(sql, t);
		buf_fmt(sql, " FROM %s %s", t->name, what);
	}
}

static sqlite3_stmt *prepare(struct db *db, const struct db_table *t, const char *what, bool *kept, struct err *err)
{
	struct slot *slot = find_slot(db_statements(db), t, what);
	*kept = slot && (!slot->st || !sqlite3_stmt_busy(slot->st)); /* busy: we are inside a loop over it */
	if (*kept && slot->st)
		return slot->st;
	auto_buf sql = BUF_INIT;
	sqlite3_stmt *st = NULL;
	write_sql(&sql, t, what);
	if (sqlite3_prepare_v3(db_handle(db), sql.p, -1, *kept ? SQLITE_PREPARE_PERSISTENT : 0, &st, NULL) != SQLITE_OK) {
		db_fail(db, err, "cannot prepare a statement");
		return NULL;
	}
	if (*kept)
		*slot = (struct slot){ t, what, st };
	return st;
}

static void put_back(sqlite3_stmt *st, bool kept)
{
	if (!kept) {
		sqlite3_finalize(st);
		return;
	}
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
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

static void bind_row(sqlite3_stmt *st, const struct db_table *t, const void *row)
{
	for (size_t i = 0; i < t->count; i++) {
		const void *at = (const char *)row + t->columns[i].off;
		int n = (int)i + 1;
		switch (t->columns[i].kind) {
		case DB_TEXT:
			bind_text(st, n, *(char *const *)at);
			break;
		case DB_INT:
			sqlite3_bind_int64(st, n, *(const int64_t *)at);
			break;
		case DB_LIST:
			bind_list(st, n, *(char **const *)at);
			break;
		}
	}
}

static void read_row(sqlite3_stmt *st, const struct db_table *t, void *row)
{
	for (size_t i = 0; i < t->count; i++) {
		void *at = (char *)row + t->columns[i].off;
		const char *text;
		switch (t->columns[i].kind) {
		case DB_TEXT:
			text = (const char *)sqlite3_column_text(st, (int)i);
			*(char **)at = text ? mem_strdup(text) : NULL;
			break;
		case DB_INT:
			*(int64_t *)at = sqlite3_column_int64(st, (int)i);
			break;
		case DB_LIST:
			*(char ***)at = column_list(st, (int)i);
			break;
		}
	}
}

void db_release(const struct db_table *t, void *row)
{
	for (size_t i = 0; i < t->count; i++) {
		void *at = (char *)row + t->columns[i].off;
		if (t->columns[i].kind == DB_INT)
			continue;
		char **list = t->columns[i].kind == DB_LIST ? *(char ***)at : NULL;
		for (size_t k = 0; list && list[k]; k++)
			free(list[k]);
		free(*(void **)at);
	}
	memset(row, 0, t->size);
}

void db_release_all(const struct db_table *t, void *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		db_release(t, (char *)rows + i * t->size);
	free(rows);
}

static void bind_args(sqlite3_stmt *st, const char *types, va_list ap)
{
	for (int i = 0; types[i]; i++) {
		if (types[i] == 't')
			bind_text(st, i + 1, va_arg(ap, const char *));
		else
			sqlite3_bind_int64(st, i + 1, va_arg(ap, int64_t));
	}
}

/* ---- changes ---- */

/* Run a statement that gives no rows: how many it changed. */
static int64_t run(struct db *db, sqlite3_stmt *st, bool durable, const char *doing, struct err *err)
{
	if (durable && db_sync_on(db, err))
		return -1;
	int64_t n = sqlite3_step(st) == SQLITE_DONE ? sqlite3_changes(db_handle(db)) : db_fail(db, err, doing);
	sqlite3_reset(st);
	if (durable && db_sync_off(db, n < 0 ? NULL : err))
		return -1;
	return n;
}

/* numbered: a first column of 0 is for SQLite to give. */
static int put(struct db *db, const struct db_table *t, const char *verb, const void *row, bool numbered, struct err *err)
{
	bool kept;
	sqlite3_stmt *st = prepare(db, t, verb, &kept, err);
	if (!st)
		return -1;
	bind_row(st, t, row);
	const struct db_column *key = &t->columns[0];
	if (numbered && key->kind == DB_INT && *(const int64_t *)((const char *)row + key->off) == 0)
		sqlite3_bind_null(st, 1);
	int64_t n = run(db, st, t->durable, t->name, err);
	put_back(st, kept);
	return n < 0 ? -1 : 0;
}

int db_insert(struct db *db, const struct db_table *t, const void *row, bool replace, int64_t *id, struct err *err)
{
	int rc = put(db, t, replace ? verb_replace : verb_insert, row, id != NULL, err);
	if (rc == 0 && id)
		*id = sqlite3_last_insert_rowid(db_handle(db));
	return rc;
}

int db_update(struct db *db, const struct db_table *t, const void *row, struct err *err)
{
	return put(db, t, verb_update, row, false, err);
}

int64_t db_run(struct db *db, const char *sql, const char *doing, bool durable, struct err *err, const char *types, ...)
{
	bool kept;
	sqlite3_stmt *st = prepare(db, NULL, sql, &kept, err);
	va_list ap;
	if (!st)
		return -1;
	va_start(ap, types);
	bind_args(st, types, ap);
	va_end(ap);
	int64_t n = run(db, st, durable, doing, err);
	put_back(st, kept);
	return n;
}

/* ---- questions ---- */

/* NOLINTNEXTLINE(readability-function-size): what db_query has, and its arguments */
static int begin(struct db_cursor *c, struct db *db, const struct db_table *t, const char *tail, struct err *err, const char *types,
	va_list ap)
{
	*c = (struct db_cursor){ .db = db, .table = t };
	c->st = prepare(db, t, tail, &c->kept, err);
	if (!c->st)
		return -1;
	bind_args(c->st, types, ap);
	return 0;
}

int db_query(
	struct db_cursor *c, struct db *db, const struct db_table *t, const char *tail, struct err *err, const char *types, ...)
{
	va_list ap;
	va_start(ap, types);
	int rc = begin(c, db, t, tail, err, types, ap);
	va_end(ap);
	return rc;
}

int db_next(struct db_cursor *c, void *row, struct err *err)
{
	int rc = sqlite3_step(c->st);
	if (rc == SQLITE_ROW)
		read_row(c->st, c->table, row);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : db_fail(c->db, err, c->table->name);
}

void db_done(struct db_cursor *c)
{
	put_back(c->st, c->kept);
}

/* NOLINTNEXTLINE(readability-function-size): the question, its arguments and the list */
int db_list(
	struct db *db, const struct db_table *t, const char *tail, void *rows, size_t *n, struct err *err, const char *types, ...)
{
	struct db_cursor c;
	char *all = NULL;
	size_t cap = 0;
	int rc;
	va_list ap;
	va_start(ap, types);
	rc = begin(&c, db, t, tail, err, types, ap);
	va_end(ap);
	*n = 0;
	*(void **)rows = NULL;
	if (rc)
		return -1;
	for (;;) {
		if (*n == cap) {
			cap = cap ? cap * 2 : 8;
			all = mem_grow(all, cap, t->size);
			memset(all + *n * t->size, 0, (cap - *n) * t->size);
		}
		rc = db_next(&c, all + *n * t->size, err);
		if (rc != 1)
			break;
		++*n;
	}
	db_done(&c);
	if (rc < 0) {
		db_release_all(t, all, *n);
		*n = 0;
		return -1;
	}
	*(void **)rows = all;
	return 0;
}

int db_get(struct db *db, const struct db_table *t, const char *tail, void *row, struct err *err, const char *types, ...)
{
	struct db_cursor c;
	va_list ap;
	va_start(ap, types);
	int rc = begin(&c, db, t, tail, err, types, ap);
	va_end(ap);
	if (rc)
		return -1;
	memset(row, 0, t->size);
	rc = db_next(&c, row, err);
	db_done(&c);
	return rc;
}

int db_number(struct db *db, const char *sql, int64_t *out, struct err *err, const char *types, ...)
{
	bool kept;
	sqlite3_stmt *st = prepare(db, NULL, sql, &kept, err);
	va_list ap;
	*out = 0;
	if (!st)
		return -1;
	va_start(ap, types);
	bind_args(st, types, ap);
	va_end(ap);
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(st, 0);
	rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : db_fail(db, err, "database");
	put_back(st, kept);
	return rc;
}
