/* Machines that carry capsules. */
#include "daemon/api/wrenn/wrenn.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/api/auth.h"
#include "daemon/core/authority.h"
#include "daemon/core/host.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

static void kpositive(struct jw *w, const char *key, int64_t v)
{
	if (v > 0)
		jw_kint(w, key, v);
}

/* with_team: the list of an admin names the teams. */
static void write_host(struct jw *w, struct core *core, const struct db_host *h, bool with_team)
{
	struct db_team team;
	struct db_user maker;
	jw_obj(w);
	wrenn_kid(w, "id", UID_HOST, h->uid);
	jw_kstr(w, "type", h->type);
	if (h->team && team_get(core, h->team, &team, NULL) == 0) {
		wrenn_kid(w, "team_id", UID_TEAM, team.uid);
		if (with_team)
			jw_kstr(w, "team_name", team.name);
		db_team_release(&team);
	}
	wrenn_kopt(w, "provider", h->provider);
	wrenn_kopt(w, "availability_zone", h->zone);
	wrenn_kopt(w, "arch", h->arch);
	kpositive(w, "cpu_cores", h->cpu_cores);
	kpositive(w, "memory_mb", h->memory_mb);
	kpositive(w, "disk_gb", h->disk_gb);
	wrenn_kopt(w, "address", h->address);
	jw_kstr(w, "status", h->status);
	wrenn_ktime(w, "last_heartbeat_at", h->heartbeat_ms);
	if (account_user(core, h->created_by, &maker, NULL) == 0) {
		wrenn_kid(w, "created_by", UID_USER, maker.uid);
		db_user_release(&maker);
	}
	wrenn_ktime(w, "created_at", h->created_ms);
	wrenn_ktime(w, "updated_at", h->changed_ms);
	jw_obj_end(w);
}

static void reply_with_token(struct http_req *r, int status, struct db_host *h, const char *token)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "host");
	write_host(&w, wrenn_core(r), h, false);
	jw_kstr(&w, "registration_token", token);
	jw_obj_end(&w);
	db_host_release(h);
	http_reply_json(r, status, &out);
}

void wrenn_createHost(struct http_req *r)
{
	const js *body = http_body(r);
	const char *team = js_str(js_get(body, "team_id"), "");
	struct err err = ERR_INIT;
	struct db_host host;
	char token[HOST_TOKEN_LEN + 1];
	struct host_spec spec = { .type = js_str(js_get(body, "type"), ""),
		.team_uid = *team ? uid_parse(UID_TEAM, team, &err) : NULL,
		.provider = js_str(js_get(body, "provider"), NULL),
		.zone = js_str(js_get(body, "availability_zone"), NULL) };
	if (err.code || host_create(wrenn_core(r), http_identity(r), &spec, &host, token, &err)) {
		http_reply_err(r, &err);
		return;
	}
	reply_with_token(r, 201, &host, token);
}

static void write_with_team(struct jw *w, struct core *core, const void *row)
{
	write_host(w, core, row, true);
}

static void write_plain(struct jw *w, struct core *core, const void *row)
{
	write_host(w, core, row, false);
}

void wrenn_listHosts(struct http_req *r)
{
	struct db_host *all;
	size_t n;
	struct err err = ERR_INIT;
	if (host_list(wrenn_core(r), http_identity(r), &all, &n, &err)) {
		http_reply_err(r, &err);
		return;
	}
	wrenn_reply_list(r, http_identity(r)->admin ? write_with_team : write_plain, all, n, sizeof(*all));
	db_hosts_release(all, n);
}

void wrenn_getHost(struct http_req *r)
{
	struct db_host host;
	struct err err = ERR_INIT;
	if (host_get(wrenn_core(r), http_identity(r), wrenn_uid(r, UID_HOST, "id"), &host, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	write_host(&w, wrenn_core(r), &host, false);
	db_host_release(&host);
	http_reply_json(r, 200, &out);
}

/* ---- the end of one ---- */

/* The ids of the capsules that a host carries, those that would end with it. */
static void write_capsules(struct jw *w, char *const *ids)
{
	char text[UID_TEXT];
	jw_arr(w);
	for (size_t i = 0; ids && ids[i]; i++)
		jw_str(w, uid_format(UID_CAPSULE, ids[i], text));
	jw_arr_end(w);
}

void wrenn_getHostDeletePreview(struct http_req *r)
{
	struct db_host host;
	struct err err = ERR_INIT;
	const struct identity *who = http_identity(r);
	if (host_find(wrenn_core(r), wrenn_uid(r, UID_HOST, "id"), &host, &err)) {
		http_reply_err(r, &err);
		return;
	}
	if (host_manage(who, &host, false, &err)) {
		db_host_release(&host);
		http_reply_err(r, &err);
		return;
	}
	char **ids = host_carries(wrenn_core(r), &host);
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "host");
	write_host(&w, wrenn_core(r), &host, false);
	jw_key(&w, "sandbox_ids");
	write_capsules(&w, ids);
	jw_obj_end(&w);
	api_free_list(ids);
	db_host_release(&host);
	http_reply_json(r, 200, &out);
}

static void reply_carries(struct http_req *r, char *const *ids)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "error");
	jw_obj(&w);
	jw_kstr(&w, "code", "has_active_sandboxes");
	jw_kstr(&w, "message", "the host carries capsules that would end with it");
	jw_kstr(&w, "hint", "destroy them first, or send force=true");
	jw_key(&w, "sandbox_ids");
	write_capsules(&w, ids);
	jw_obj_end(&w);
	jw_key(&w, "sandbox_ids"); /* where the SDK looks for them */
	write_capsules(&w, ids);
	jw_obj_end(&w);
	http_reply_json(r, 409, &out);
}

void wrenn_deleteHost(struct http_req *r)
{
	const struct identity *who = http_identity(r);
	const char *uid = wrenn_uid(r, UID_HOST, "id");
	struct db_host host;
	struct err err = ERR_INIT;
	if (host_find(wrenn_core(r), uid, &host, &err)) {
		http_reply_err(r, &err);
		return;
	}
	int rc = host_manage(who, &host, true, &err);
	char **ids = rc == 0 ? host_carries(wrenn_core(r), &host) : NULL;
	bool blocked = ids && ids[0] && !str_same(http_query(r, "force"), "true");
	if (blocked)
		reply_carries(r, ids);
	else
		wrenn_reply_done(r, rc || host_delete(wrenn_core(r), who, uid, &err) ? -1 : 0, &err);
	api_free_list(ids);
	db_host_release(&host);
}

void wrenn_regenerateHostToken(struct http_req *r)
{
	struct db_host host;
	struct err err = ERR_INIT;
	char token[HOST_TOKEN_LEN + 1];
	if (host_retoken(wrenn_core(r), http_identity(r), wrenn_uid(r, UID_HOST, "id"), &host, token, &err))
		http_reply_err(r, &err);
	else
		reply_with_token(r, 201, &host, token);
}

/* ---- words of hosts themselves ---- */

static void reply_credentials(struct http_req *r, int status, struct db_host *host, const char *refresh)
{
	auto_buf out = BUF_INIT, token = BUF_INIT, ca = BUF_INIT;
	auto_ca_pem pem = CA_PEM_INIT;
	struct err err = ERR_INIT;
	struct jw w;
	if (authority_host(wrenn_core(r), host, &pem, &ca, &err)) {
		db_host_release(host);
		http_reply_err(r, &err);
		return;
	}
	auth_issue_host(wrenn_core(r), host->uid, &token);
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "host");
	write_host(&w, wrenn_core(r), host, false);
	jw_kstr(&w, "token", token.p);
	jw_kstr(&w, "refresh_token", refresh);
	jw_kstr(&w, "cert_pem", pem.cert.p);
	jw_kstr(&w, "key_pem", pem.key.p);
	jw_kstr(&w, "ca_cert_pem", ca.p);
	jw_obj_end(&w);
	db_host_release(host);
	http_reply_json(r, status, &out);
}

void wrenn_registerHost(struct http_req *r)
{
	const js *body = http_body(r);
	struct host_machine machine = { .address = js_str(js_get(body, "address"), ""),
		.arch = js_str(js_get(body, "arch"), NULL) };
	struct db_host host;
	struct err err = ERR_INIT;
	char refresh[HOST_TOKEN_LEN + 1];
	js_int(js_get(body, "cpu_cores"), &machine.cpu_cores);
	js_int(js_get(body, "memory_mb"), &machine.memory_mb);
	js_int(js_get(body, "disk_gb"), &machine.disk_gb);
	if (authority_ready(wrenn_core(r), &err) ||
		host_register(wrenn_core(r), js_str(js_get(body, "token"), ""), &machine, &host, refresh, &err))
		http_reply_err(r, &err);
	else
		reply_credentials(r, 201, &host, refresh);
}

void wrenn_refreshHostToken(struct http_req *r)
{
	struct db_host host;
	struct err err = ERR_INIT;
	char refresh[HOST_TOKEN_LEN + 1];
	const char *token = js_str(js_get(http_body(r), "refresh_token"), "");
	if (host_refresh(wrenn_core(r), token, http_header(r, "Idempotency-Key"), &host, refresh, &err))
		http_reply_err(r, &err);
	else
		reply_credentials(r, 200, &host, refresh);
}

void wrenn_hostHeartbeat(struct http_req *r)
{
	struct err err = ERR_INIT;
	wrenn_reply_done(r, host_beat(wrenn_core(r), http_identity(r), wrenn_uid(r, UID_HOST, "id"), &err), &err);
}

/* ---- tags ---- */

static void write_tag(struct jw *w, struct core *core, const void *row)
{
	const struct db_host_tag *tag = row;
	(void)core;
	jw_str(w, tag->tag);
}

void wrenn_listHostTags(struct http_req *r)
{
	struct db_host_tag *tags;
	size_t n;
	struct err err = ERR_INIT;
	if (host_tags(wrenn_core(r), http_identity(r), wrenn_uid(r, UID_HOST, "id"), &tags, &n, &err)) {
		http_reply_err(r, &err);
		return;
	}
	wrenn_reply_list(r, write_tag, tags, n, sizeof(*tags));
	db_host_tags_release(tags, n);
}

void wrenn_addHostTag(struct http_req *r)
{
	struct err err = ERR_INIT;
	const char *uid = wrenn_uid(r, UID_HOST, "id"), *tag = js_str(js_get(http_body(r), "tag"), "");
	wrenn_reply_done(r, host_tag_add(wrenn_core(r), http_identity(r), uid, tag, &err), &err);
}

void wrenn_removeHostTag(struct http_req *r)
{
	struct err err = ERR_INIT;
	const char *uid = wrenn_uid(r, UID_HOST, "id");
	wrenn_reply_done(r, host_tag_remove(wrenn_core(r), http_identity(r), uid, http_param(r, "tag"), &err), &err);
}

/* ---- who may bring his own ---- */

void wrenn_setTeamByoc(struct http_req *r)
{
	struct err err = ERR_INIT;
	if (!http_identity(r)->admin)
		err_set(&err, ERR_FORBIDDEN, "only the operator of this server may do this");
	else if (!js_bool(js_get(http_body(r), "enabled"), false))
		err_set(&err, ERR_INVALID, "'enabled' must be true: it cannot be taken back");
	const char *uid = err.code ? NULL : uid_parse(UID_TEAM, http_param(r, "id"), &err);
	wrenn_reply_done(r, uid ? team_set_byoc(wrenn_core(r), uid, &err) : -1, &err);
}
