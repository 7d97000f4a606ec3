/*
 * Snapshots: the state of sandboxes in the store.
 */
#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"

#include <stdlib.h>

#include "daemon/core/snapshot.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define BUILDS "build." /* begins the names of those that builds of images keep */

struct snapshot_call {
	struct http_req *req; /* NULL when the client has gone; what was begun goes on */
	int status;
	bool one, all;
};

static void on_gone(struct http_req *r, bool delivered)
{
	struct snapshot_call *call = http_user(r);
	(void)delivered;
	call->req = NULL;
}

static void write_snapshot(struct jw *w, const struct snapshot *s)
{
	char tree[HASH_HEX + 1];
	jw_obj(w);
	jw_kstr(w, "name", s->name);
	jw_kstr(w, "tree", hash_hex(&s->tree, tree));
	jw_kstr(w, "image", s->image);
	jw_kstr(w, "parent", s->parent);
	jw_kint(w, "vcpus", s->vcpus);
	jw_kint(w, "memoryMb", s->memory_mb);
	jw_key(w, "diskMb");
	if (s->disk)
		jw_int(w, (int64_t)(s->disk >> 20));
	else
		jw_null(w);
	jw_key(w, "storedBytes");
	if (s->stored)
		jw_int(w, s->stored);
	else
		jw_null(w);
	jw_kstr(w, "acceleration", s->accel);
	api_write_time(w, "createdAt", s->created_ms);
	jw_obj_end(w);
}

static void reply(const struct snapshot_call *call, const struct snapshot *list, size_t n)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	if (call->status == 204) {
		http_reply_empty(call->req, 204);
		return;
	}
	if (call->one) {
		write_snapshot(&w, list);
	} else {
		jw_obj(&w);
		jw_key(&w, "snapshots");
		jw_arr(&w);
		for (size_t i = 0; i < n; i++)
			if (call->all || !str_starts(list[i].name, BUILDS))
				write_snapshot(&w, &list[i]);
		jw_arr_end(&w);
		jw_obj_end(&w);
	}
	http_reply_json(call->req, call->status, &out);
}

static void on_done(void *arg, const struct snapshot *list, size_t n, const struct err *err)
{
	struct snapshot_call *call = arg;
	if (call->req) {
		http_on_done(call->req, NULL);
		if (err)
			http_reply_err(call->req, err);
		else
			reply(call, list, n);
	}
	free(call);
}

static struct snapshot_call *call_new(struct http_req *r, int status, bool one)
{
	struct snapshot_call *call = mem_zalloc(sizeof(*call));
	*call = (struct snapshot_call){ .req = r, .status = status, .one = one };
	http_set_user(r, call);
	http_on_done(r, on_gone);
	return call;
}

void sbx_createSnapshot(struct http_req *r)
{
	const js *body = http_body(r);
	struct err err = ERR_INIT;
	struct sandbox *sb = api_settled(r);
	if (!sb)
		return;
	struct snapshot_call *call = call_new(r, 201, true);
	if (!sandbox_snapshot(sb, js_str(js_get(body, "name"), ""), js_bool(js_get(body, "replace"), false), on_done, call, &err))
		return;
	on_done(call, NULL, 0, &err);
}

void sbx_listSnapshots(struct http_req *r)
{
	struct snapshot_call *call = call_new(r, 200, false);
	call->all = http_query_bool(r, "all", false);
	snapshot_list(api_of(r)->core, http_team(r), NULL, on_done, call);
}

void sbx_getSnapshot(struct http_req *r)
{
	snapshot_list(api_of(r)->core, http_team(r), http_param(r, "snapshot"), on_done, call_new(r, 200, true));
}

void sbx_deleteSnapshot(struct http_req *r)
{
	snapshot_remove(api_of(r)->core, http_team(r), http_param(r, "snapshot"), on_done, call_new(r, 204, true));
}

void sbx_adoptSnapshot(struct http_req *r)
{
	const js *body = http_body(r);
	struct hash tree;
	struct err err = ERR_INIT;
	struct snapshot_call *call = call_new(r, 201, true);
	if (hash_parse(js_str(js_get(body, "tree"), ""), &tree)) {
		snapshot_adopt(api_of(r)->core, js_str(js_get(body, "name"), ""), &tree, js_bool(js_get(body, "replace"), false),
			on_done, call);
		return;
	}
	err_set(&err, ERR_INVALID, "'tree' is not the id of a tree");
	on_done(call, NULL, 0, &err);
}
