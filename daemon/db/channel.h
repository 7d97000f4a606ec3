/*
 * db/channel: where a team wants news to go, and the news that are on their way. Channels are durable.
 */
#ifndef SBX_DB_CHANNEL_H
#define SBX_DB_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/db/db.h"
#include "shared/base/err.h"

struct db_channel {
	int64_t id;
	char *uid;
	int64_t team;
	char *name, *provider;
	char **events;
	char *config; /* sealed */
	int64_t created_ms, changed_ms;
};

struct db_delivery {
	int64_t id, channel;
	char *event; /* JSON */
	int64_t attempts, due_ms;
};

/* CONFLICT when the team has one of that name. row->id gets its number. */
int db_channel_insert(struct db *db, struct db_channel *row, struct err *err);
int db_channel_update(struct db *db, const struct db_channel *row, struct err *err);
/* Of that team: 1, 0, -1. */
int db_channel_get(struct db *db, int64_t team, const char *uid, struct db_channel *out, struct err *err);
int db_channel_by_id(struct db *db, int64_t id, struct db_channel *out, struct err *err);
/* Newest first. db_channels_release. */
int db_channel_list(struct db *db, int64_t team, struct db_channel **out, size_t *n, struct err *err);
/* With what was to be delivered to it. */
int db_channel_delete(struct db *db, int64_t team, const char *uid, struct err *err);
void db_channel_release(struct db_channel *row);
void db_channels_release(struct db_channel *rows, size_t n);

int db_delivery_insert(struct db *db, struct db_delivery *row, struct err *err);
int db_delivery_update(struct db *db, const struct db_delivery *row, struct err *err);
int db_delivery_defer(struct db *db, int64_t id, int64_t due_ms, struct err *err);
int db_delivery_delete(struct db *db, int64_t id, struct err *err);
/* Those that are due at now_ms, the longest waiting first, at most limit. db_deliveries_release. */
int db_delivery_due(struct db *db, int64_t now_ms, int64_t limit, struct db_delivery **out, size_t *n, struct err *err);
/* When the next one is due; 0: there is none. */
int db_delivery_next(struct db *db, int64_t *due_ms, struct err *err);
void db_deliveries_release(struct db_delivery *rows, size_t n);

#endif
