#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/api/dialects.h"
#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"
#include "daemon/core/catalog.h"
#include "daemon/core/isolation.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/base/version.h"

void sbx_getVersion(struct http_req *r)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "version", sbx_version);
	jw_kstr(&w, "api", contract_sbx.version);
	jw_key(&w, "dialects");
	jw_arr(&w);
	for (size_t i = 0; i < DIALECT_COUNT; i++)
		jw_str(&w, api_dialects[i].contract->name);
	jw_arr_end(&w);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

void sbx_getHealth(struct http_req *r)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "status", "ok");
	jw_kint(&w, "uptimeMs", clock_wall_ms() - core_started_ms(api_of(r)->core));
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

static size_t count_in(const struct core *core, enum sandbox_state state)
{
	size_t n = 0;
	for (size_t i = 0; i < sandbox_count(core); i++)
		n += sandbox_state(sandbox_at(core, i)) == state;
	return n;
}

static void write_listener(struct jw *w, const struct api_listener *l)
{
	jw_obj(w);
	jw_kstr(w, "address", l->address);
	jw_kstr(w, "kind", l->suffix ? "proxy" : "api");
	if (l->suffix)
		jw_kstr(w, "suffix", l->suffix);
	jw_obj_end(w);
}

static void write_isolation(struct jw *w)
{
	struct isolation_layer layers[ISOLATION_LAYERS_MAX];
	struct err err = ERR_INIT;
	int n = isolation_layers(layers, &err);
	if (n < 0) {
		log_warn("system", "isolation: %s", err.msg);
		return;
	}
	jw_key(w, "isolation");
	jw_arr(w);
	for (int i = 0; i < n; i++) {
		const struct isolation_layer *l = &layers[i];
		jw_obj(w);
		jw_kstr(w, "layer", l->name);
		jw_kbool(w, "on", !l->reason);
		if (l->reason) {
			jw_kstr(w, "reason", l->reason);
			jw_kstr(w, "mend", l->mend);
		}
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

void sbx_getSystem(struct http_req *r)
{
	struct api *api = api_of(r);
	const struct core_config *config = core_config(api->core);
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "version", sbx_version);
	jw_kint(&w, "pid", getpid());
	jw_kstr(&w, "home", config->home);
	jw_kstr(&w, "cache", config->cache);
	char reason[256] = "";
	const char *accel = catalog_acceleration(api->core, reason);
	jw_kstr(&w, "acceleration", accel);
	jw_kstr(&w, "accelerationReason", accel ? reason : NULL);
	write_isolation(&w);
	jw_kint(&w, "sandboxes", (int64_t)(sandbox_count(api->core) - count_in(api->core, SANDBOX_POOLED)));
	jw_kint(&w, "running", (int64_t)count_in(api->core, SANDBOX_RUNNING));
	jw_key(&w, "listeners");
	jw_arr(&w);
	struct api_listener l;
	for (size_t i = 0; api->listener(api->arg, i, &l); i++)
		write_listener(&w, &l);
	jw_arr_end(&w);
	api_write_time(&w, "startedAt", core_started_ms(api->core));
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

void sbx_addListener(struct http_req *r)
{
	struct api *api = api_of(r);
	const js *body = http_body(r);
	const char *address = js_str(js_get(body, "address"), ""), *suffix = js_str(js_get(body, "suffix"), "localhost");
	bool proxy = strcmp(js_str(js_get(body, "kind"), "api"), "proxy") == 0;
	struct api_listener wanted = { address, proxy ? suffix : NULL };
	struct err err = ERR_INIT;
	int port = 0;
	if (api->listen(api->arg, &wanted, &port, &err)) {
		http_reply_err(r, &err);
		return;
	}
	const char *colon = strrchr(address, ':');
	auto_free char *bound = mem_printf("%.*s:%d", colon ? (int)(colon - address) : 0, address, port);
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	wanted.address = bound;
	write_listener(&w, &wanted);
	http_reply_json(r, 201, &out);
}

/* ---- shutdown ---- */

static void on_reply_sent(struct http_req *r, bool delivered)
{
	(void)delivered;
	struct api *api = api_of(r);
	api->shutdown(api->arg);
}

static void reply_going(struct http_req *r)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kint(&w, "pid", getpid());
	jw_obj_end(&w);
	http_on_done(r, on_reply_sent);
	http_reply_json(r, 202, &out);
}

struct shutdown_call {
	struct http_req *req; /* NULL when the client went away: the shutdown goes on */
	struct api *api;
	size_t left;
};

static void on_client_gone(struct http_req *r, bool delivered)
{
	(void)delivered;
	struct shutdown_call *call = http_user(r);
	call->req = NULL;
}

static void on_one_deleted(void *arg, const struct err *err)
{
	(void)err; /* logged by core; what is left is finished at the next start */
	struct shutdown_call *call = arg;
	if (--call->left > 0)
		return;
	if (call->req)
		reply_going(call->req);
	else
		call->api->shutdown(call->api->arg);
	free(call);
}

void sbx_shutdownSystem(struct http_req *r)
{
	struct api *api = api_of(r);
	const js *body = http_body(r);
	size_t running = count_in(api->core, SANDBOX_RUNNING);
	struct err err = ERR_INIT;
	if (js_bool(js_get(body, "ifIdle"), false) && running > 0) {
		err_set(&err, ERR_STATE, "%zu sandbox%s still running", running, running == 1 ? " is" : "es are");
		err_hint(&err, "sbx down --yes ends them, sbx down --keep leaves them running");
		http_reply_err(r, &err);
		return;
	}
	size_t n = sandbox_count(api->core);
	if (strcmp(js_str(js_get(body, "sandboxes"), "keep"), "delete") != 0 || n == 0) {
		reply_going(r);
		return;
	}
	struct shutdown_call *call = mem_zalloc(sizeof(*call));
	*call = (struct shutdown_call){ .req = r, .api = api, .left = n };
	http_set_user(r, call);
	http_on_done(r, on_client_gone);
	for (size_t i = n; i-- > 0;)
		sandbox_delete(sandbox_at(api->core, i), on_one_deleted, call);
}
