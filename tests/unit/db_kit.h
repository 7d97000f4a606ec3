/* db_kit: a database in a folder of its own. Include cmocka.h before. */
#ifndef SBX_UNIT_DB_KIT_H
#define SBX_UNIT_DB_KIT_H

#include <stdlib.h>
#include <string.h>

#include "daemon/db/account.h"
#include "daemon/db/db.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

struct db_kit {
	char dir[64];
	char *path;
	struct db *db;
};

/* Rows only read what they are given here: their members are not const because rows that db gives are their owner's. */
#define LENT(s) ((char *)(uintptr_t)(s))

static inline int db_kit_setup(void **state)
{
	static const char name[] = "/tmp/sbx-t-db-XXXXXX";
	struct db_kit *k = mem_zalloc(sizeof(*k));
	struct err err = ERR_INIT;
	memcpy(k->dir, name, sizeof(name));
	assert_non_null(mkdtemp(k->dir));
	k->path = fs_join(k->dir, "db.sqlite");
	k->db = db_open(k->path, &err);
	assert_non_null(k->db);
	*state = k;
	return 0;
}

static inline int db_kit_teardown(void **state)
{
	struct db_kit *k = *state;
	db_close(k->db);
	assert_int_equal(fs_remove_tree(k->dir, NULL), 0);
	free(k->path);
	free(k);
	return 0;
}

static inline void db_kit_reopen(struct db_kit *k)
{
	struct err err = ERR_INIT;
	db_close(k->db);
	k->db = db_open(k->path, &err);
	assert_non_null(k->db);
}

/* Somebody is in a team, as its owner by default: as db_member_insert. */
static inline int join_team(struct db *db, int64_t team, int64_t user, const char *role, int64_t joined_ms, struct err *err)
{
	const struct db_member row = {
		.team = team, .user = user, .role = LENT(role), .is_default = !strcmp(role, "owner"), .joined_ms = joined_ms
	};
	return db_member_insert(db, &row, err);
}

#define DB_TEST(f) cmocka_unit_test_setup_teardown(f, db_kit_setup, db_kit_teardown)

#endif
