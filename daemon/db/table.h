/*
 * table: rows of the database described once, as a list of columns, and what is done with all of them alike.
 *
 * A row is a struct whose members the columns name: text (char *, NULL is NULL), integers (int64_t) and lists of text
 * (char **, NULL-terminated). Rows that are read own their text: db_release. The SQL around them stands in the files of this
 * folder as constant strings, whose addresses are the keys under which prepared statements are kept. Arguments of a
 * statement are given as `types` and values: "t" const char *, "i" int64_t, in the order of ?1, ?2 and so on.
 * Only for daemon/db. Thread: one at a time.
 */
#ifndef SBX_DB_TABLE_H
#define SBX_DB_TABLE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/db/db.h"
#include "shared/base/err.h"

enum db_kind { DB_TEXT, DB_INT, DB_LIST };

struct db_column {
	const char *name;
	enum db_kind kind;
	size_t off;
};

struct db_table {
	const char *name; /* as people call it: words of errors are made of it */
	const struct db_column *columns;
	size_t count, size; /* of columns; of the struct */
	bool durable;	    /* a change has reached the disk when it returns, not only the kernel */
};

#define DB_COLUMN(row, kind, member)                                                                                               \
	{                                                                                                                          \
#member, kind, offsetof(struct row, member)                                                                        \
	}
#define DB_TABLE(sql_name, row, cols, is_durable)                                                                                  \
	{                                                                                                                          \
		.name = sql_name, .columns = cols, .count = sizeof(cols) / sizeof((cols)[0]), .size = sizeof(struct row),          \
		.durable = is_durable                                                                                              \
	}

/* A new row. id: the first column is its number, which is given by SQLite when it is 0; *id gets it. NULL: all columns are as they
 * are. CONFLICT when it breaks a rule of uniqueness. replace: in the place of one of the same key. */
int db_insert(struct db *db, const struct db_table *t, const void *row, bool replace, int64_t *id, struct err *err);
/* All columns of the row whose first column is that of `row`. */
int db_update(struct db *db, const struct db_table *t, const void *row, struct err *err);
void db_release(const struct db_table *t, void *row);
void db_release_all(const struct db_table *t, void *rows, size_t n); /* and the array */

/* Rows one by one: db_next gives 1 with *row filled (which was empty), 0 at the end, -1 with err; db_done ends it. `tail` follows
 * "SELECT columns FROM table "; a whole SELECT that gives the same columns may stand in its place. */
struct db_cursor {
	struct db *db;
	const struct db_table *table;
	sqlite3_stmt *st;
	bool kept; /* goes back to the cache */
};
int db_query(
	struct db_cursor *c, struct db *db, const struct db_table *t, const char *tail, struct err *err, const char *types, ...);
int db_next(struct db_cursor *c, void *row, struct err *err);
void db_done(struct db_cursor *c);

/* All of them as an array: db_release_all. */
int db_list(
	struct db *db, const struct db_table *t, const char *tail, void *rows, size_t *n, struct err *err, const char *types, ...);
/* The first one: 1 found, 0 not, -1 err. */
int db_get(struct db *db, const struct db_table *t, const char *tail, void *row, struct err *err, const char *types, ...);

/* A statement without rows: how many it changed, or -1. doing: words for the error. */
int64_t db_run(struct db *db, const char *sql, const char *doing, bool durable, struct err *err, const char *types, ...);
/* The one integer that a statement gives; 0 when it gives no row. */
int db_number(struct db *db, const char *sql, int64_t *out, struct err *err, const char *types, ...);

/* ---- for db.c ---- */
struct db_cache;
struct db_cache *db_cache_new(void);
void db_cache_free(struct db_cache *cache); /* finalizes what is in it */
/* What db.c knows of an open database. */
sqlite3 *db_handle(struct db *db);
struct db_cache *db_statements(struct db *db);
int db_fail(struct db *db, struct err *err, const char *doing);
/* Around a change that is to be durable, outside of a transaction (inside, they do nothing). */
int db_sync_on(struct db *db, struct err *err);
int db_sync_off(struct db *db, struct err *err);

#endif
