/* API keys of a team. */
#include "daemon/api/wrenn/wrenn.h"

#include <string.h>

#include "daemon/core/key.h"
#include "shared/base/mem.h"

static void write_key(struct jw *w, struct core *core, const struct db_key *key, const char *secret)
{
	struct db_user maker;
	struct db_team team;
	bool known = account_user(core, key->created_by, &maker, NULL) == 0;
	jw_obj(w);
	wrenn_kid(w, "id", UID_KEY, key->id);
	if (team_get(core, key->account, &team, NULL) == 0) {
		wrenn_kid(w, "team_id", UID_TEAM, team.uid);
		db_team_release(&team);
	}
	jw_kstr(w, "name", key->name ? key->name : "");
	jw_kstr(w, "key_prefix", key->prefix);
	if (known) {
		wrenn_kid(w, "created_by", UID_USER, maker.uid);
		if (!secret)
			jw_kstr(w, "creator_email", maker.email);
		db_user_release(&maker);
	}
	wrenn_ktime(w, "created_at", key->created_ms);
	wrenn_ktime(w, "last_used", key->used_ms);
	wrenn_kopt(w, "key", secret);
	jw_obj_end(w);
}

static void write_row(struct jw *w, struct core *core, const void *row)
{
	write_key(w, core, row, NULL);
}

void wrenn_createAPIKey(struct http_req *r)
{
	const struct identity *who = http_identity(r);
	const char *name = js_str(js_get(http_body(r), "name"), "");
	const struct key_spec spec = {
		.team = who->team, .user = who->user, .name = *name ? name : "Unnamed API Key", .form = KEY_WRENN
	};
	struct db_key key;
	char secret[KEY_SECRET_MAX + 1];
	struct err err = ERR_INIT;
	if (key_create(wrenn_core(r), &spec, &key, secret, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_free char *named = mem_printf("name=%s", spec.name);
	char *const metadata[] = { named, NULL };
	audit_note(wrenn_core(r), AUDIT_KEY_CREATE, who, who->team, key.id, metadata);
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	write_key(&w, wrenn_core(r), &key, secret);
	db_key_release(&key);
	http_reply_json(r, 201, &out);
}

void wrenn_listAPIKeys(struct http_req *r)
{
	struct db_key *keys;
	size_t n;
	struct err err = ERR_INIT;
	if (key_list(wrenn_core(r), http_team(r), &keys, &n, &err)) {
		http_reply_err(r, &err);
		return;
	}
	wrenn_reply_list(r, write_row, keys, n, sizeof(*keys));
	db_keys_release(keys, n);
}

void wrenn_deleteAPIKey(struct http_req *r)
{
	const struct identity *who = http_identity(r);
	const char *uid = wrenn_uid(r, UID_KEY, "id");
	struct err err = ERR_INIT;
	int rc = key_revoke(wrenn_core(r), who->team, uid, &err);
	if (rc == 0)
		audit_note(wrenn_core(r), AUDIT_KEY_REVOKE, who, who->team, uid, NULL);
	wrenn_reply_done(r, rc, &err);
}
