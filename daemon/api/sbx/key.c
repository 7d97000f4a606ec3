#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"
#include "daemon/core/audit.h"
#include "daemon/core/key.h"
#include "shared/base/mem.h"

static void write_key(struct jw *w, const struct db_key *key, const char *secret)
{
	jw_obj(w);
	jw_kstr(w, "id", key->id);
	jw_kstr(w, "name", key->name);
	jw_kstr(w, "prefix", key->prefix);
	api_write_time(w, "createdAt", key->created_ms);
	api_write_time(w, "lastUsedAt", key->used_ms);
	if (secret)
		jw_kstr(w, "key", secret);
	jw_obj_end(w);
}

void sbx_listKeys(struct http_req *r)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	struct err err = ERR_INIT;
	struct db_key *keys;
	size_t n;
	if (key_list(api_of(r)->core, http_team(r), &keys, &n, &err)) {
		http_reply_err(r, &err);
		return;
	}
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "keys");
	jw_arr(&w);
	for (size_t i = n; i-- > 0;) /* oldest first */
		write_key(&w, &keys[i], NULL);
	jw_arr_end(&w);
	jw_obj_end(&w);
	db_keys_release(keys, n);
	http_reply_json(r, 200, &out);
}

void sbx_createKey(struct http_req *r)
{
	struct db_key key;
	char secret[KEY_SECRET_MAX + 1];
	struct err err = ERR_INIT;
	const struct identity *who = http_identity(r);
	const struct key_spec spec = { .team = who->team,
		.user = who->user,
		.name = js_str(js_get(http_body(r), "name"), NULL),
		.form = KEY_SBX,
		.unique = true };
	if (key_create(api_of(r)->core, &spec, &key, secret, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_free char *named = key.name ? mem_printf("name=%s", key.name) : NULL;
	char *const metadata[] = { named, NULL };
	audit_note(api_of(r)->core, AUDIT_KEY_CREATE, who, who->team, key.id, metadata);
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	write_key(&w, &key, secret);
	db_key_release(&key);
	http_reply_json(r, 201, &out);
}

void sbx_deleteKey(struct http_req *r)
{
	struct err err = ERR_INIT;
	const struct identity *who = http_identity(r);
	const char *key = http_param(r, "key");
	if (key_delete(api_of(r)->core, who->team, key, &err)) {
		http_reply_err(r, &err);
		return;
	}
	audit_note(api_of(r)->core, AUDIT_KEY_REVOKE, who, who->team, key, NULL);
	http_reply_empty(r, 204);
}
