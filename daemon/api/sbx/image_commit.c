/* Tag image: one made of a sandbox's disk. */
#include <stdlib.h>

#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"
#include "daemon/core/commit.h"
#include "shared/base/mem.h"

struct commit_call {
	struct http_req *req; /* NULL when the client has gone; the image is made all the same */
};

static void on_gone(struct http_req *r, bool delivered)
{
	struct commit_call *call = http_user(r);
	(void)delivered;
	call->req = NULL;
}

static void on_committed(void *arg, const char *tag, const struct err *err)
{
	struct commit_call *call = arg;
	struct http_req *r = call->req;
	auto_buf out = BUF_INIT;
	struct jw w;
	free(call);
	if (!r)
		return;
	http_on_done(r, NULL);
	if (err) {
		http_reply_err(r, err);
		return;
	}
	jw_init(&w, &out);
	api_write_image(&w, api_of(r), tag);
	http_reply_json(r, 201, &out);
}

static void commit(struct http_req *r, struct sandbox *sb, const struct commit_spec *spec)
{
	struct err err = ERR_INIT;
	struct commit_call *call = mem_zalloc(sizeof(*call));
	*call = (struct commit_call){ .req = r };
	http_set_user(r, call);
	http_on_done(r, on_gone);
	if (!sandbox_commit(sb, spec, on_committed, call, &err))
		return;
	http_on_done(r, NULL);
	free(call);
	http_reply_err(r, &err);
}

void sbx_commitImage(struct http_req *r)
{
	const js *body = http_body(r), *config = js_get(body, "config");
	struct sandbox *sb = api_settled(r);
	if (!sb)
		return;
	auto_free char *source = mem_printf("disk of sandbox %s", sandbox_row(sb)->id);
	char **lists[] = { api_pairs(js_get(config, "env")), api_strings(js_get(config, "entrypoint")),
		api_strings(js_get(config, "cmd")), api_strings(js_get(config, "exposedPorts")),
		api_pairs(js_get(config, "labels")) };
	const struct commit_spec spec = { .name = js_str(js_get(body, "name"), ""),
		.source = js_str(js_get(body, "source"), source),
		.env = lists[0],
		.entrypoint = lists[1],
		.cmd = lists[2],
		.ports = lists[3],
		.labels = lists[4],
		.user = js_str(js_get(config, "user"), NULL),
		.workdir = js_str(js_get(config, "workdir"), NULL),
		.shell = js_bool(js_get(body, "shell"), true),
		.systemd = js_bool(js_get(body, "systemd"), false) };
	commit(r, sb, &spec);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		api_free_list(lists[i]);
}
