/* Tag file: folders of sandboxes into the store. */
#include <stdlib.h>

#include "daemon/api/sbx/fs.h"
#include "daemon/api/sbx/handlers.h"
#include "daemon/core/mount.h"
#include "shared/base/mem.h"

struct push_call {
	struct http_req *req;
	struct mount_push *push; /* NULL: it is through */
};

static void write_result(struct jw *w, const struct mount_pushed *out)
{
	jw_obj(w);
	jw_kstr(w, "outcome", mount_outcome_name(out->outcome));
	jw_kstr(w, "label", out->label);
	fs_kid(w, "tree", &out->tree);
	fs_kid(w, "head", out->exists ? &out->head : NULL);
	fs_kid(w, "from", out->had_before ? &out->before : NULL);
	jw_kbool(w, "mounted", out->mounted);
	jw_kint(w, "files", (int64_t)out->counts.files);
	jw_kint(w, "bytes", (int64_t)out->counts.bytes);
	jw_kint(w, "removed", (int64_t)out->counts.removed);
	jw_obj_end(w);
}

static void say_conflict(const struct mount_pushed *out, struct err *err)
{
	char hex[HASH_HEX + 1];
	if (out->outcome == MOUNT_CONFLICTS) {
		err_set(err, ERR_CONFLICT, "the changes conflict with those of label '%s' in %zu files, first '%.200s'", out->label,
			out->merge->count, out->merge->count ? out->merge->conflicts[0].path : "");
		err_hint(err, "push to another label, and join the two with: sbx fs merge");
	} else if (out->exists) {
		err_set(err, ERR_CONFLICT, "label '%s' is at %s, not where it was expected", out->label, hash_hex(&out->head, hex));
		err_hint(err, "%s",
			out->mounted ? "join the changes with what is there (merge), push to another label, or force it"
				     : "push to another label, say where it is expected to be, or force it");
	} else {
		err_set(err, ERR_CONFLICT, "there is no label '%s', but one was expected", out->label);
		err_hint(err, "expect none, or force it");
	}
}

static void reply_conflict(struct http_req *r, const struct mount_pushed *out)
{
	struct err err = ERR_INIT;
	auto_buf text = BUF_INIT;
	struct jw w;
	say_conflict(out, &err);
	jw_init(&w, &text);
	jw_obj(&w);
	jw_key(&w, "error");
	api_write_error(&w, &err);
	fs_kid(&w, "current", out->exists ? &out->head : NULL);
	fs_kid(&w, "tree", &out->tree);
	if (out->outcome == MOUNT_CONFLICTS) {
		jw_key(&w, "conflicts");
		jw_arr(&w);
		for (size_t i = 0; i < out->merge->count; i++)
			fs_write_conflict(&w, &out->merge->conflicts[i]);
		jw_arr_end(&w);
	}
	jw_obj_end(&w);
	http_reply_json(r, 409, &text);
}

static void on_pushed(void *arg, const struct mount_pushed *out, const struct err *err)
{
	struct push_call *c = arg;
	c->push = NULL;
	if (err) {
		http_reply_err(c->req, err);
	} else if (out->outcome == MOUNT_REJECTED || out->outcome == MOUNT_CONFLICTS) {
		reply_conflict(c->req, out);
	} else {
		auto_buf text = BUF_INIT;
		struct jw w;
		jw_init(&w, &text);
		write_result(&w, out);
		http_reply_json(c->req, 200, &text);
	}
}

static void on_over(struct http_req *r, bool delivered)
{
	struct push_call *c = http_user(r);
	(void)delivered;
	if (c->push)
		mount_push_forget(c->push);
	free(c);
}

void sbx_pushSandboxFs(struct http_req *r)
{
	const js *body = http_body(r);
	struct sandbox *sb = api_sandbox(r);
	struct err err = ERR_INIT;
	if (!sb)
		return;
	struct mount_spec spec = { .path = js_str(js_get(body, "path"), ""),
		.label = js_str(js_get(body, "label"), NULL),
		.message = js_str(js_get(body, "message"), NULL),
		.detach = js_bool(js_get(body, "detach"), false),
		.force = js_bool(js_get(body, "force"), false),
		.merge = js_bool(js_get(body, "merge"), false) };
	spec.has_expected = fs_expected(body, &spec.expected);
	struct push_call *c = mem_zalloc(sizeof(*c));
	c->req = r;
	c->push = mount_push(sb, &spec, on_pushed, c, &err);
	if (!c->push) {
		free(c);
		http_reply_err(r, &err);
		return;
	}
	http_set_user(r, c);
	http_on_done(r, on_over);
}
