#include "daemon/core/key.h"

#include <string.h>

#include "daemon/core/internal.h"
#include "daemon/image/hash.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { KEY_ID_LENGTH = 10, TOUCH_MS = 60000 };

static const struct {
	const char *prefix;
	size_t random; /* characters */
	bool hex;
	size_t shown; /* of the secret, to know it by */
} forms[] = {
	[KEY_SBX] = { "sbx_", 40, false, 8 },
	[KEY_WRENN] = { "wrn_", 32, true, 10 },
};

static void make_secret(enum key_form form, char *out)
{
	size_t prefix = strlen(forms[form].prefix), n = forms[form].random;
	memcpy(out, forms[form].prefix, prefix + 1);
	if (forms[form].hex)
		rand_hex(out + prefix, n);
	else
		rand_id(out + prefix, n);
}

/* Names of keys that people made by the command are unique, so that they can be used for ids. */
static int check_name(struct core *core, const struct key_spec *spec, struct err *err)
{
	int taken = spec->unique && spec->name ? db_key_named(core->db, spec->team, spec->name, err) : 0;
	if (taken <= 0)
		return taken;
	err_set(err, ERR_CONFLICT, "a key named '%s' already exists", spec->name);
	return err_hint(err, "choose another name, or revoke it with: sbx key rm %s", spec->name);
}

int key_create(struct core *core, const struct key_spec *spec, struct db_key *out, char secret[KEY_SECRET_MAX + 1], struct err *err)
{
	char id[KEY_ID_LENGTH + 1], hash[HASH_HEX];
	if (check_name(core, spec, err))
		return -1;
	rand_id(id, KEY_ID_LENGTH);
	make_secret(spec->form, secret);
	hash_bytes(secret, strlen(secret), hash);
	*out = (struct db_key){ .id = mem_strdup(id),
		.name = spec->name ? mem_strdup(spec->name) : NULL,
		.prefix = mem_strndup(secret, forms[spec->form].shown),
		.hash = mem_strdup(hash),
		.account = spec->team,
		.created_by = spec->user,
		.created_ms = clock_wall_ms() };
	if (!db_key_insert(core->db, out, err))
		return 0;
	db_key_release(out);
	return -1;
}

int key_delete(struct core *core, int64_t team, const char *id_or_name, struct err *err)
{
	int64_t n = db_key_delete(core->db, team, id_or_name, false, err);
	if (n == 0)
		n = db_key_delete(core->db, team, id_or_name, true, err);
	return n < 0 ? -1 : n > 0 ? 0 : err_set(err, ERR_NOT_FOUND, "no key '%s'", id_or_name);
}

int key_revoke(struct core *core, int64_t team, const char *id, struct err *err)
{
	return db_key_delete(core->db, team, id, false, err) < 0 ? -1 : 0;
}

int key_list(struct core *core, int64_t team, struct db_key **out, size_t *n, struct err *err)
{
	return db_key_list(core->db, team, out, n, err);
}

int key_check(struct core *core, const char *secret, struct identity *who, struct err *err)
{
	char hash[HASH_HEX];
	struct db_key key;
	hash_bytes(secret, strlen(secret), hash);
	/* The look-up is by hash, so its timing says nothing about the secret. */
	int found = db_key_find(core->db, hash, &key, err);
	if (found < 0)
		return -1;
	if (!found) {
		err_set(err, ERR_UNAUTHORIZED, "this API key is not valid");
		return err_hint(err, "make one with: sbx key create");
	}
	*who = (struct identity){ .kind = IDENTITY_KEY, .team = key.account, .admin = key.account == TEAM_LOCAL };
	str_copy(who->id, sizeof(who->id), key.id);
	str_copy(who->name, sizeof(who->name), key.name ? key.name : key.prefix);
	int64_t now = clock_wall_ms();
	struct err ignored = ERR_INIT;
	/* Noted once a minute at most: a write per request would cost more than the request. */
	if (now - key.used_ms > TOUCH_MS && db_key_touch(core->db, key.id, now, &ignored))
		log_warn("core", "%s", ignored.msg);
	db_key_release(&key);
	return 0;
}
