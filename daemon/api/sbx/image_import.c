/* Tag image: what comes from elsewhere, as a stream of the client or from a registry. Progress as NDJSON. */
#include <stdlib.h>

#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"
#include "daemon/core/catalog.h"
#include "daemon/core/importer.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

struct import_call {
	struct http_req *req;
	struct import *import;
	char tag[CATALOG_TAG_SIZE];
	char *digest;	/* made, and not told yet */
	bool streaming; /* all of the upload is here and the answer has begun: before that an error has a status of its own */
	int64_t begun_ms;
};

static void on_progress(void *arg, const char *phase, const char *text)
{
	struct import_call *call = arg;
	if (call->streaming)
		api_send_progress(call->req, phase, text);
}

static void fail(struct import_call *call, const struct err *err)
{
	if (call->streaming)
		api_end_progress(call->req, NULL, call->begun_ms, err);
	else
		http_reply_err(call->req, err);
}

static void succeed(struct import_call *call)
{
	struct err err = ERR_INIT;
	char tag[CATALOG_TAG_SIZE];
	if (catalog_tag(api_of(call->req)->core, call->digest, call->tag, tag, &err))
		fail(call, &err);
	else
		api_end_progress(call->req, tag, call->begun_ms, NULL);
}

static void on_done(void *arg, const char *digest, const struct err *err)
{
	struct import_call *call = arg;
	if (err) {
		fail(call, err);
		return;
	}
	call->digest = mem_strdup(digest);
	if (call->streaming) /* else the client sends more than an archive, and is told when it has ended */
		succeed(call);
}

static void on_room(void *arg)
{
	struct import_call *call = arg;
	http_body_resume(call->req);
}

static const struct import_ops ops = { .on_room = on_room, .on_progress = on_progress, .on_done = on_done };

static void on_request_over(struct http_req *r, bool delivered)
{
	(void)delivered;
	struct import_call *call = http_user(r);
	import_close(call->import);
	free(call->digest);
	free(call);
}

/* The name is judged before anything is fetched or received. NULL: that was answered. */
static struct import_call *call_new(struct http_req *r, const char *name, const char *from)
{
	struct import_call *call = mem_zalloc(sizeof(*call));
	struct err err = ERR_INIT;
	*call = (struct import_call){ .req = r, .begun_ms = clock_mono_ms() };
	if (catalog_tag_name(name, from, call->tag, &err) == 0)
		return call;
	http_reply_err(r, &err);
	free(call);
	return NULL;
}

/* True when it has begun; else the error was answered. */
static bool call_begin(struct import_call *call, const struct err *err)
{
	if (!call->import) {
		http_reply_err(call->req, err);
		free(call);
		return false;
	}
	http_set_user(call->req, call);
	http_on_done(call->req, on_request_over);
	return true;
}

static void begin_answer(struct import_call *call)
{
	call->streaming = true;
	http_stream_begin(call->req, 200, "application/x-ndjson", -1, NULL);
}

static size_t on_body(struct http_req *r, const void *data, size_t n)
{
	struct import_call *call = http_user(r);
	return import_write(call->import, data, n);
}

static void on_body_end(struct http_req *r)
{
	struct import_call *call = http_user(r);
	begin_answer(call);
	import_end(call->import);
	if (call->digest)
		succeed(call);
}

void sbx_importImage(struct http_req *r)
{
	struct err err = ERR_INIT;
	struct import_call *call = call_new(r, http_query(r, "name"), NULL);
	if (!call)
		return;
	call->import = import_begin(api_of(r)->core, &ops, call, &err);
	if (call_begin(call, &err))
		http_body_sink(r, on_body, on_body_end);
}

void sbx_pullImage(struct http_req *r)
{
	const js *body = http_body(r);
	struct err err = ERR_INIT;
	struct import_pull pull = { .reference = js_str(js_get(body, "reference"), ""),
		.user = js_str(js_get(body, "username"), NULL),
		.password = js_str(js_get(body, "password"), NULL),
		.plain_http = js_bool(js_get(body, "plainHttp"), false) };
	struct import_call *call = call_new(r, js_str(js_get(body, "name"), NULL), pull.reference);
	if (!call)
		return;
	call->import = import_from_registry(api_of(r)->core, &pull, &ops, call, &err);
	if (call_begin(call, &err))
		begin_answer(call);
}
