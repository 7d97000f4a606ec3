#include "daemon/db/account.h"

#include <string.h>

#include "daemon/db/table.h"
#include "shared/base/buf.h"
#include "shared/base/mem.h"

/* ---- users ---- */

static const struct db_column user_columns[] = {
	DB_COLUMN(db_user, DB_INT, id),
	DB_COLUMN(db_user, DB_TEXT, uid),
	DB_COLUMN(db_user, DB_TEXT, email),
	DB_COLUMN(db_user, DB_TEXT, name),
	DB_COLUMN(db_user, DB_TEXT, password),
	DB_COLUMN(db_user, DB_INT, admin),
	DB_COLUMN(db_user, DB_INT, created_ms),
};
static const struct db_table users = DB_TABLE("user", db_user, user_columns, true);

int db_user_insert(struct db *db, struct db_user *row, struct err *err)
{
	return db_insert(db, &users, row, false, &row->id, err);
}

int db_user_by_email(struct db *db, const char *email, struct db_user *out, struct err *err)
{
	static const char tail[] = "WHERE email = ?1";
	return db_get(db, &users, tail, out, err, "t", email);
}

int db_user_by_id(struct db *db, int64_t id, struct db_user *out, struct err *err)
{
	static const char tail[] = "WHERE id = ?1";
	return db_get(db, &users, tail, out, err, "i", id);
}

int db_user_by_uid(struct db *db, const char *uid, struct db_user *out, struct err *err)
{
	static const char tail[] = "WHERE uid = ?1";
	return db_get(db, &users, tail, out, err, "t", uid);
}

int db_user_by_login(struct db *db, const char *provider, const char *subject, struct db_user *out, struct err *err)
{
	static const char tail[] = "WHERE id = (SELECT user FROM login WHERE provider = ?1 AND subject = ?2)";
	return db_get(db, &users, tail, out, err, "tt", provider, subject);
}

int db_user_search(struct db *db, const char *prefix, int64_t limit, struct db_user **out, size_t *n, struct err *err)
{
	/* as bytes, so that the index of the addresses serves and % and _ are what they are */
	static const char tail[] = "WHERE id <> 0 AND email >= ?1 AND email < ?2 ORDER BY email LIMIT ?3";
	auto_free char *end = mem_printf("%s\xf4\x8f\xbf\xbf", prefix);
	return db_list(db, &users, tail, out, n, err, "tti", prefix, end, limit);
}

int db_user_set_password(struct db *db, int64_t id, const char *was, const char *password, struct err *err)
{
	static const char sql[] = "UPDATE user SET password = ?3 WHERE id = ?1 AND (?2 IS NULL OR password = ?2)";
	return db_run(db, sql, "user", true, err, "itt", id, was, password) < 0 ? -1 : 0;
}

int db_user_set_name(struct db *db, int64_t id, const char *name, struct err *err)
{
	static const char sql[] = "UPDATE user SET name = ?2 WHERE id = ?1";
	return db_run(db, sql, "user", true, err, "it", id, name) < 0 ? -1 : 0;
}

void db_user_release(struct db_user *row)
{
	db_release(&users, row);
}

void db_users_release(struct db_user *rows, size_t n)
{
	db_release_all(&users, rows, n);
}

int db_login_insert(struct db *db, const char *provider, const char *subject, int64_t user, struct err *err)
{
	static const char sql[] = "INSERT INTO login (provider, subject, user) VALUES (?1, ?2, ?3)";
	return db_run(db, sql, "login", true, err, "tti", provider, subject, user) < 0 ? -1 : 0;
}

/* ---- teams ---- */

static const struct db_column team_columns[] = {
	DB_COLUMN(db_team, DB_INT, id),
	DB_COLUMN(db_team, DB_TEXT, uid),
	DB_COLUMN(db_team, DB_TEXT, name),
	DB_COLUMN(db_team, DB_TEXT, slug),
	DB_COLUMN(db_team, DB_INT, byoc),
	DB_COLUMN(db_team, DB_INT, created_ms),
	DB_COLUMN(db_team, DB_INT, deleted_ms),
};
static const struct db_table teams = DB_TABLE("team", db_team, team_columns, true);

int db_team_insert(struct db *db, struct db_team *row, struct err *err)
{
	return db_insert(db, &teams, row, false, &row->id, err);
}

int db_team_by_id(struct db *db, int64_t id, struct db_team *out, struct err *err)
{
	static const char tail[] = "WHERE id = ?1";
	return db_get(db, &teams, tail, out, err, "i", id);
}

int db_team_by_uid(struct db *db, const char *uid, struct db_team *out, struct err *err)
{
	static const char tail[] = "WHERE uid = ?1";
	return db_get(db, &teams, tail, out, err, "t", uid);
}

int db_team_rename(struct db *db, int64_t id, const char *name, struct err *err)
{
	static const char sql[] = "UPDATE team SET name = ?2 WHERE id = ?1";
	return db_run(db, sql, "team", true, err, "it", id, name) < 0 ? -1 : 0;
}

int db_team_set_byoc(struct db *db, int64_t id, struct err *err)
{
	static const char sql[] = "UPDATE team SET byoc = 1 WHERE id = ?1";
	return db_run(db, sql, "team", true, err, "i", id) < 0 ? -1 : 0;
}

int db_team_delete(struct db *db, int64_t id, int64_t deleted_ms, struct err *err)
{
	static const char sql[] = "UPDATE team SET deleted_ms = ?2 WHERE id = ?1 AND deleted_ms = 0";
	return db_run(db, sql, "team", true, err, "ii", id, deleted_ms) < 0 ? -1 : 0;
}

int db_team_deleted(struct db *db, struct db_team **out, size_t *n, struct err *err)
{
	return db_list(db, &teams, "WHERE deleted_ms > 0 ORDER BY id", out, n, err, "");
}

void db_team_release(struct db_team *row)
{
	db_release(&teams, row);
}

void db_teams_release(struct db_team *rows, size_t n)
{
	db_release_all(&teams, rows, n);
}

/* ---- members ---- */

/* A view of three tables, so that one look-up says all that an answer needs. */
static const struct db_column member_columns[] = {
	DB_COLUMN(db_member, DB_INT, team),
	DB_COLUMN(db_member, DB_INT, user),
	DB_COLUMN(db_member, DB_TEXT, role),
	DB_COLUMN(db_member, DB_INT, is_default),
	DB_COLUMN(db_member, DB_INT, joined_ms),
	DB_COLUMN(db_member, DB_TEXT, user_uid),
	DB_COLUMN(db_member, DB_TEXT, user_name),
	DB_COLUMN(db_member, DB_TEXT, user_email),
	DB_COLUMN(db_member, DB_INT, user_admin),
	DB_COLUMN(db_member, DB_TEXT, team_uid),
	DB_COLUMN(db_member, DB_TEXT, team_name),
	DB_COLUMN(db_member, DB_TEXT, team_slug),
	DB_COLUMN(db_member, DB_INT, team_byoc),
	DB_COLUMN(db_member, DB_INT, team_created_ms),
};
static const struct db_table members = DB_TABLE("membership", db_member, member_columns, true);

int db_member_insert(struct db *db, const struct db_member *row, struct err *err)
{
	static const char sql[] = "INSERT INTO member (team, user, role, is_default, joined_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
	int64_t n = db_run(db, sql, "member", true, err, "iitii", row->team, row->user, row->role, row->is_default, row->joined_ms);
	return n < 0 ? -1 : 0;
}

int db_member_get(struct db *db, int64_t team, int64_t user, struct db_member *out, struct err *err)
{
	static const char tail[] = "WHERE team = ?1 AND user = ?2";
	return db_get(db, &members, tail, out, err, "ii", team, user);
}

int db_member_of_team(struct db *db, int64_t team, struct db_member **out, size_t *n, struct err *err)
{
	static const char tail[] = "WHERE team = ?1 ORDER BY joined_ms, user";
	return db_list(db, &members, tail, out, n, err, "i", team);
}

int db_member_of_user(struct db *db, int64_t user, struct db_member **out, size_t *n, struct err *err)
{
	static const char tail[] = "WHERE user = ?1 ORDER BY joined_ms, team";
	return db_list(db, &members, tail, out, n, err, "i", user);
}

int db_member_set_role(struct db *db, int64_t team, int64_t user, const char *role, struct err *err)
{
	static const char sql[] = "UPDATE member SET role = ?3 WHERE team = ?1 AND user = ?2";
	return db_run(db, sql, "member", true, err, "iit", team, user, role) < 0 ? -1 : 0;
}

int db_member_delete(struct db *db, int64_t team, int64_t user, struct err *err)
{
	static const char sql[] = "DELETE FROM member WHERE team = ?1 AND user = ?2";
	return db_run(db, sql, "member", true, err, "ii", team, user) < 0 ? -1 : 0;
}

void db_member_release(struct db_member *row)
{
	db_release(&members, row);
}

void db_members_release(struct db_member *rows, size_t n)
{
	db_release_all(&members, rows, n);
}

/* ---- keys ---- */

static const struct db_column key_columns[] = {
	DB_COLUMN(db_key, DB_TEXT, id),
	DB_COLUMN(db_key, DB_TEXT, name),
	DB_COLUMN(db_key, DB_TEXT, prefix),
	DB_COLUMN(db_key, DB_TEXT, hash),
	DB_COLUMN(db_key, DB_INT, account),
	DB_COLUMN(db_key, DB_INT, created_by),
	DB_COLUMN(db_key, DB_INT, created_ms),
	DB_COLUMN(db_key, DB_INT, used_ms),
};
static const struct db_table keys = DB_TABLE("api_key", db_key, key_columns, true);

int db_key_insert(struct db *db, const struct db_key *key, struct err *err)
{
	return db_insert(db, &keys, key, false, NULL, err);
}

int64_t db_key_delete(struct db *db, int64_t account, const char *id, bool by_name, struct err *err)
{
	static const char by_id_sql[] = "DELETE FROM api_key WHERE account = ?1 AND id = ?2";
	static const char by_name_sql[] = "DELETE FROM api_key WHERE account = ?1 AND name = ?2";
	return db_run(db, by_name ? by_name_sql : by_id_sql, "key", true, err, "it", account, id);
}

int db_key_list(struct db *db, int64_t account, struct db_key **out, size_t *n, struct err *err)
{
	static const char tail[] = "WHERE account = ?1 ORDER BY created_ms DESC, id";
	return db_list(db, &keys, tail, out, n, err, "i", account);
}

int db_key_find(struct db *db, const char *hash, struct db_key *out, struct err *err)
{
	static const char tail[] = "WHERE hash = ?1 AND (SELECT deleted_ms FROM team WHERE team.id = account) = 0";
	return db_get(db, &keys, tail, out, err, "t", hash);
}

int db_key_named(struct db *db, int64_t account, const char *name, struct err *err)
{
	static const char sql[] = "SELECT count(*) FROM api_key WHERE account = ?1 AND name = ?2";
	int64_t n;
	return db_number(db, sql, &n, err, "it", account, name) ? -1 : n > 0;
}

int db_key_touch(struct db *db, const char *id, int64_t used_ms, struct err *err)
{
	static const char sql[] = "UPDATE api_key SET used_ms = ?2 WHERE id = ?1";
	return db_run(db, sql, "key", false, err, "ti", id, used_ms) < 0 ? -1 : 0;
}

void db_key_release(struct db_key *key)
{
	db_release(&keys, key);
}

void db_keys_release(struct db_key *rows, size_t n)
{
	db_release_all(&keys, rows, n);
}
