#include "daemon/core/account.h"

#include <string.h>

#include "daemon/core/internal.h"
#include "daemon/image/hash.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

static const char secret_prefix[] = "sbx_";

enum { SECRET_RANDOM = 40, KEY_ID_LENGTH = 10, TOUCH_MS = 60000 };

int key_create(struct core *core, const char *name, struct db_key *out, char secret[KEY_SECRET_LEN + 1], struct err *err)
{
	char id[KEY_ID_LENGTH + 1];
	rand_id(id, KEY_ID_LENGTH);
	memcpy(secret, secret_prefix, sizeof(secret_prefix));
	rand_id(secret + sizeof(secret_prefix) - 1, SECRET_RANDOM);
	struct db_key key = { .created_ms = clock_wall_ms() };
	hash_bytes(secret, KEY_SECRET_LEN, key.hash);
	memcpy(key.prefix, secret, 8);
	key.id = mem_strdup(id);
	key.name = name ? mem_strdup(name) : NULL;
	if (db_key_insert(core->db, &key, err)) {
		if (err && err->code == ERR_CONFLICT && name) {
			err_set(err, ERR_CONFLICT, "a key named '%s' already exists", name);
			err_hint(err, "choose another name, or revoke it with: sbx key rm %s", name);
		}
		db_key_release(&key);
		return -1;
	}
	*out = key;
	return 0;
}

int key_delete(struct core *core, const char *id_or_name, struct err *err)
{
	return db_key_delete(core->db, id_or_name, err);
}

int key_each(struct core *core, int (*cb)(void *arg, struct db_key *key), void *arg, struct err *err)
{
	return db_key_each(core->db, cb, arg, err);
}

int key_check(struct core *core, const char *secret, int64_t *account, struct err *err)
{
	char hash[HASH_HEX];
	struct db_key key = { 0 };
	hash_bytes(secret, strlen(secret), hash);
	/* The look-up is by hash, so its timing says nothing about the secret. */
	int found = db_key_find(core->db, hash, &key, err);
	if (found < 0)
		return -1;
	if (!found) {
		err_set(err, ERR_UNAUTHORIZED, "this API key is not valid");
		return err_hint(err, "make one with: sbx key create");
	}
	*account = key.account;
	int64_t now = clock_wall_ms();
	struct err ignored = ERR_INIT;
	/* Noted once a minute at most: a write per request would cost more than the request. */
	if (now - key.used_ms > TOUCH_MS && db_key_touch(core->db, key.id, now, &ignored))
		log_warn("core", "%s", ignored.msg);
	db_key_release(&key);
	return 0;
}
