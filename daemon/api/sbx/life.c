/*
 * The life of a sandbox after its creation: pause, resume, stop, start, fork, another shape.
 */
#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"

#include <stdlib.h>

#include "daemon/api/call.h"
#include "shared/base/mem.h"

/* ---- one operation on one sandbox: its call begins before it, since it may be over at once ---- */

static void on_life_done(void *arg, struct sandbox *sb, const struct err *err)
{
	struct call *call = arg;
	struct http_req *r = call_end(call);

	free(call);
	if (r && err)
		http_reply_err(r, err);
	else if (r)
		api_reply_sandbox(r, 200, sb);
}

void sbx_pauseSandbox(struct http_req *r)
{
	struct err err = ERR_INIT;
	struct sandbox *sb = api_settled(r);
	if (!sb)
		return;
	struct call *call = call_new(r);
	if (sandbox_pause(sb, false, on_life_done, call, &err))
		on_life_done(call, NULL, &err);
}

void sbx_resumeSandbox(struct http_req *r)
{
	struct err err = ERR_INIT;
	struct sandbox *sb = api_settled(r);
	if (!sb)
		return;
	struct call *call = call_new(r);
	if (sandbox_resume(sb, on_life_done, call, &err))
		on_life_done(call, NULL, &err);
}

void sbx_stopSandbox(struct http_req *r)
{
	struct err err = ERR_INIT;
	struct sandbox *sb = api_settled(r);
	if (!sb)
		return;
	struct call *call = call_new(r);
	if (sandbox_stop(sb, js_bool(js_get(http_body(r), "force"), false), on_life_done, call, &err))
		on_life_done(call, NULL, &err);
}

void sbx_startSandbox(struct http_req *r)
{
	struct err err = ERR_INIT;
	struct sandbox *sb = api_settled(r);
	if (!sb)
		return;
	struct call *call = call_new(r);
	if (sandbox_start(sb, on_life_done, call, &err))
		on_life_done(call, NULL, &err);
}

/* ---- its shape ---- */

void sbx_updateSandbox(struct http_req *r)
{
	const js *body = http_body(r);
	int64_t vcpus = 0, memory_mb = 0, disk_mb = 0;
	struct err err = ERR_INIT;
	struct sandbox *sb = api_sandbox(r);
	if (!sb)
		return;
	js_int(js_get(body, "vcpus"), &vcpus);
	js_int(js_get(body, "memoryMb"), &memory_mb);
	js_int(js_get(body, "diskMb"), &disk_mb);
	if (sandbox_resize(sb, (unsigned)vcpus, (unsigned)memory_mb, (unsigned)disk_mb, &err))
		http_reply_err(r, &err);
	else
		api_reply_sandbox(r, 200, sb);
}

/* ---- fork ---- */

struct fork_call {
	struct http_req *req; /* NULL when the client has gone */
	struct core *core;
	char **ids; /* of the children; they may be removed by others at any time */
	bool pending;
};

static void fork_call_free(struct fork_call *call)
{
	api_free_list(call->ids);
	free(call);
}

static void on_fork_over(struct http_req *r, bool delivered)
{
	struct fork_call *call = http_user(r);

	call->req = NULL;
	if (call->pending)
		return; /* on_forked is still to come */
	/* Nobody has learned of them. */
	for (size_t i = 0; !delivered && call->ids && call->ids[i]; i++) {
		struct sandbox *child = sandbox_find(call->core, TEAM_ANY, call->ids[i], NULL);
		if (child)
			sandbox_delete(child, NULL, NULL);
	}
	fork_call_free(call);
}

static void reply_children(struct http_req *r, struct sandbox *const *children, size_t n)
{
	auto_buf out = BUF_INIT;
	struct jw w;

	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "sandboxes");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		api_write_sandbox(&w, children[i]);
	jw_arr_end(&w);
	jw_obj_end(&w);
	http_reply_json(r, 201, &out);
}

static void on_forked(void *arg, struct sandbox *const *children, size_t n, const struct err *err)
{
	struct fork_call *call = arg;

	call->pending = false;
	if (!call->req) {
		for (size_t i = 0; i < n; i++)
			sandbox_delete(children[i], NULL, NULL);
		fork_call_free(call);
		return;
	}
	if (err) {
		http_reply_err(call->req, err);
		return;
	}
	call->ids = mem_array(n + 1, sizeof(*call->ids));
	for (size_t i = 0; i < n; i++)
		call->ids[i] = mem_strdup(sandbox_row(children[i])->id);
	reply_children(call->req, children, n);
}

void sbx_forkSandbox(struct http_req *r)
{
	const js *body = http_body(r);
	int64_t count = 1;
	struct err err = ERR_INIT;
	struct sandbox *sb = api_settled(r);
	if (!sb)
		return;
	js_int(js_get(body, "count"), &count);
	char **names = api_strings(js_get(body, "names"));
	const struct fork_spec spec = { .count = (unsigned)count, .names = names, .account = http_team(r) };
	struct fork_call *call = mem_zalloc(sizeof(*call));
	*call = (struct fork_call){ .req = r, .core = api_of(r)->core, .pending = true };
	http_set_user(r, call);
	http_on_done(r, on_fork_over);
	if (sandbox_fork(sb, &spec, on_forked, call, &err)) {
		http_on_done(r, NULL);
		fork_call_free(call);
		http_reply_err(r, &err);
	}
	api_free_list(names);
}
