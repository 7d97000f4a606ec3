/* Hosts: the records of machines that carry sandboxes for this daemon. */
#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/people.h"
#include "daemon/api/sbx/sbx.h"

#include <string.h>

#include "daemon/core/host.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- words ---- */

static void write_figure(struct jw *w, const char *key, int64_t figure)
{
	jw_key(w, key);
	if (figure)
		jw_int(w, figure);
	else
		jw_null(w);
}

/* -1 when they cannot be had: what was written is worth nothing then. */
static int write_tags(struct http_req *r, struct jw *w, const char *host, struct err *err)
{
	struct db_host_tag *tags;
	size_t n;
	if (host_tags(people_core(r), http_identity(r), host, &tags, &n, err))
		return -1;
	jw_key(w, "tags");
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		jw_str(w, tags[i].tag);
	jw_arr_end(w);
	db_host_tags_release(tags, n);
	return 0;
}

/* The i-th sandbox, if that host carries it. */
static struct sandbox *carried(struct core *core, size_t i, const struct db_host *host)
{
	struct sandbox *sb = sandbox_at(core, i);
	return sandbox_row(sb)->host == host->id ? sb : NULL;
}

static int64_t count_carried(struct core *core, const struct db_host *host)
{
	int64_t n = 0;
	for (size_t i = 0; i < sandbox_count(core); i++)
		n += carried(core, i, host) != NULL;
	return n;
}

static int write_host(struct http_req *r, struct jw *w, const struct db_host *host, struct err *err)
{
	struct db_team team = { 0 };
	bool owned = host->team != TEAM_LOCAL && !team_get(people_core(r), host->team, &team, NULL);
	jw_obj(w);
	jw_kstr(w, "id", host->uid);
	jw_kstr(w, "type", host->type);
	jw_kstr(w, "team", owned ? team.uid : NULL);
	jw_kstr(w, "provider", host->provider);
	jw_kstr(w, "zone", host->zone);
	jw_kstr(w, "arch", host->arch);
	write_figure(w, "cpus", host->cpu_cores);
	write_figure(w, "memoryMb", host->memory_mb);
	write_figure(w, "diskGb", host->disk_gb);
	jw_kstr(w, "address", host->address);
	jw_kstr(w, "status", host->status);
	jw_kint(w, "sandboxes", count_carried(people_core(r), host));
	int rc = write_tags(r, w, host->uid, err);
	api_write_time(w, "lastSeenAt", host->heartbeat_ms);
	api_write_time(w, "createdAt", host->created_ms);
	api_write_time(w, "updatedAt", host->changed_ms);
	jw_obj_end(w);
	db_team_release(&team);
	return rc;
}

static void reply_token(struct http_req *r, const struct db_host *host, const char *token)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	struct err err = ERR_INIT;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "host");
	if (write_host(r, &w, host, &err)) {
		http_reply_err(r, &err);
		return;
	}
	jw_kstr(&w, "token", token);
	api_write_time(&w, "expiresAt", clock_wall_ms() + HOST_TOKEN_LIFE_MS);
	jw_obj_end(&w);
	http_add_header(r, "Cache-Control", "no-store");
	http_reply_json(r, 201, &out);
}

/* The host of the path; false when the error has been answered. */
static bool enter(struct http_req *r, struct db_host *host)
{
	struct err err = ERR_INIT;
	if (!people_only(r))
		return false;
	if (!host_get(people_core(r), http_identity(r), http_param(r, "host"), host, &err))
		return true;
	if (err.code == ERR_NOT_FOUND) {
		err_set(&err, ERR_NOT_FOUND, "there is no host '%s'", http_param(r, "host"));
		err_hint(&err, "list those that you may see with: sbx host ls");
	}
	http_reply_err(r, &err);
	return false;
}

/* ---- to see ---- */

void sbx_listHosts(struct http_req *r)
{
	struct db_host *all;
	size_t n;
	struct err err = ERR_INIT;
	if (!people_only(r))
		return;
	if (host_list(people_core(r), http_identity(r), &all, &n, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	int rc = 0;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "hosts");
	jw_arr(&w);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = write_host(r, &w, &all[i], &err);
	jw_arr_end(&w);
	jw_obj_end(&w);
	db_hosts_release(all, n);
	people_reply(r, rc, 200, &out, &err);
}

void sbx_getHost(struct http_req *r)
{
	struct db_host host;
	auto_buf out = BUF_INIT;
	struct jw w;
	struct err err = ERR_INIT;
	if (!enter(r, &host))
		return;
	jw_init(&w, &out);
	people_reply(r, write_host(r, &w, &host, &err), 200, &out, &err);
	db_host_release(&host);
}

/* ---- to bring and to take away ---- */

/* The team that is named, which the operator may give a host without being in it; with what he is in it. */
static int find_team(struct http_req *r, const char *name, struct identity *acting, char **uid, struct err *err)
{
	struct db_member in;
	struct db_team team;
	if (!people_team(people_core(r), acting->user, name, &in, err)) {
		acting->team = in.team;
		acting->role = role_parse(in.role);
		*uid = mem_steal(&in.team_uid);
		db_member_release(&in);
		return 0;
	}
	if (!acting->admin || team_find(people_core(r), name, &team, NULL))
		return -1;
	*uid = mem_steal(&team.uid);
	db_team_release(&team);
	return 0;
}

static int own_team(struct http_req *r, char **uid, struct err *err)
{
	struct db_team team;
	if (team_get(people_core(r), http_team(r), &team, err))
		return -1;
	*uid = mem_steal(&team.uid);
	db_team_release(&team);
	return 0;
}

void sbx_createHost(struct http_req *r)
{
	const js *body = http_body(r);
	struct identity acting = *http_identity(r);
	const char *type = js_str(js_get(body, "type"), acting.admin ? "regular" : "byoc");
	const char *team = js_str(js_get(body, "team"), NULL);
	auto_free char *uid = NULL;
	char token[HOST_TOKEN_LEN + 1];
	struct db_host host;
	struct err err = ERR_INIT;
	if (!people_only(r))
		return;
	int rc = team ? find_team(r, team, &acting, &uid, &err) : strcmp(type, "byoc") ? 0 : own_team(r, &uid, &err);
	const struct host_spec spec = { .type = type,
		.team_uid = uid,
		.provider = js_str(js_get(body, "provider"), NULL),
		.zone = js_str(js_get(body, "zone"), NULL) };
	if (rc || host_create(people_core(r), &acting, &spec, &host, token, &err)) {
		http_reply_err(r, &err);
		return;
	}
	reply_token(r, &host, token);
	db_host_release(&host);
}

void sbx_createHostToken(struct http_req *r)
{
	struct db_host host;
	char token[HOST_TOKEN_LEN + 1];
	struct err err = ERR_INIT;
	if (!enter(r, &host))
		return;
	db_host_release(&host);
	if (host_retoken(people_core(r), http_identity(r), http_param(r, "host"), &host, token, &err)) {
		http_reply_err(r, &err);
		return;
	}
	reply_token(r, &host, token);
	db_host_release(&host);
}

void sbx_previewHostDelete(struct http_req *r)
{
	struct db_host host;
	struct core *core = people_core(r);
	auto_buf out = BUF_INIT;
	struct jw w;
	struct err err = ERR_INIT;
	if (!enter(r, &host))
		return;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "host");
	int rc = host_manage(http_identity(r), &host, false, &err);
	if (rc == 0)
		rc = write_host(r, &w, &host, &err);
	jw_key(&w, "sandboxes");
	jw_arr(&w);
	for (size_t i = 0; i < sandbox_count(core); i++)
		if (carried(core, i, &host))
			jw_str(&w, sandbox_row(sandbox_at(core, i))->id);
	jw_arr_end(&w);
	jw_obj_end(&w);
	db_host_release(&host);
	people_reply(r, rc, 200, &out, &err);
}

/* Its sandboxes end first; without force there must be none. */
static int end_carried(struct core *core, const struct db_host *host, bool force, struct err *err)
{
	size_t n = 0;
	for (size_t i = sandbox_count(core); i-- > 0;) {
		struct sandbox *sb = carried(core, i, host);
		n += sb != NULL;
		if (sb && force)
			sandbox_delete(sb, NULL, NULL);
	}
	if (n == 0 || force)
		return 0;
	err_set(err, ERR_CONFLICT, "%zu sandbox%s on the host", n, n == 1 ? " is" : "es are");
	return err_hint(err, "end them with it: sbx host rm --force %s", host->uid);
}

void sbx_deleteHost(struct http_req *r)
{
	struct db_host host;
	struct core *core = people_core(r);
	const struct identity *who = http_identity(r);
	struct err err = ERR_INIT;
	if (!enter(r, &host))
		return;
	int rc = host_manage(who, &host, true, &err);
	if (rc == 0)
		rc = end_carried(core, &host, http_query_bool(r, "force", false), &err);
	if (rc == 0)
		rc = host_delete(core, who, host.uid, &err);
	db_host_release(&host);
	people_reply_done(r, rc, &err);
}

/* ---- tags ---- */

static void reply_tags(struct http_req *r)
{
	struct err err = ERR_INIT;
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	int rc = write_tags(r, &w, http_param(r, "host"), &err);
	jw_obj_end(&w);
	people_reply(r, rc, 200, &out, &err);
}

void sbx_listHostTags(struct http_req *r)
{
	struct db_host host;
	if (!enter(r, &host))
		return;
	db_host_release(&host);
	reply_tags(r);
}

void sbx_addHostTag(struct http_req *r)
{
	struct db_host host;
	struct err err = ERR_INIT;
	if (!enter(r, &host))
		return;
	int rc = host_tag_add(people_core(r), http_identity(r), host.uid, js_str(js_get(http_body(r), "tag"), ""), &err);
	db_host_release(&host);
	if (rc)
		http_reply_err(r, &err);
	else
		reply_tags(r);
}

void sbx_removeHostTag(struct http_req *r)
{
	struct db_host host;
	struct err err = ERR_INIT;
	if (!enter(r, &host))
		return;
	int rc = host_tag_remove(people_core(r), http_identity(r), host.uid, http_param(r, "tag"), &err);
	db_host_release(&host);
	people_reply_done(r, rc, &err);
}
