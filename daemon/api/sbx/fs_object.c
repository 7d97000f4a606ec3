/* Tag fs: objects that come and go. */
#include <stdlib.h>

#include "daemon/api/sbx/fs.h"
#include "daemon/api/sbx/handlers.h"
#include "shared/base/mem.h"

/* The ids of a JSON array; their form was checked. */
static struct hash *read_ids(const js *list, size_t *n)
{
	struct hash *ids = mem_array(js_count(list) + 1, sizeof(*ids));
	*n = 0;
	js_each (it, list)
		hash_parse(js_str(it, ""), &ids[(*n)++]);
	return ids;
}

/* ---- have ---- */

struct have_call {
	struct vault_have q;
	struct call call;
	struct hash *ids;
};

static void on_have(struct vault_op *op)
{
	struct have_call *c = (struct have_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed) {
		http_reply_err(r, &op->err);
	} else if (r) {
		auto_buf out = BUF_INIT;
		struct jw w;
		char hex[HASH_HEX + 1];
		jw_init(&w, &out);
		jw_obj(&w);
		jw_key(&w, "missing");
		jw_arr(&w);
		for (size_t i = 0; i < c->q.n; i++) {
			if (!c->q.have[i])
				jw_str(&w, hash_hex(&c->ids[i], hex));
		}
		jw_arr_end(&w);
		jw_obj_end(&w);
		http_reply_json(r, 200, &out);
	}
	free(c->q.have);
	free(c->ids);
	free(c);
}

void sbx_haveObjects(struct http_req *r)
{
	struct have_call *c = mem_zalloc(sizeof(*c));
	c->q.ids = c->ids = read_ids(js_get(http_body(r), "ids"), &c->q.n);
	c->q.have = mem_array(c->q.n + 1, sizeof(*c->q.have));
	c->q.op.done = on_have;
	call_begin(&c->call, r);
	vault_have(core_vault(api_of(r)->core), &c->q);
}

/* ---- upload ---- */

struct upload_call {
	struct http_req *req;
	struct vault_upload *upload;
};

static void on_room(void *arg)
{
	http_body_resume(((struct upload_call *)arg)->req);
}

static void on_stored(void *arg, const struct remote_counts *counts, const struct err *err)
{
	struct http_req *r = ((struct upload_call *)arg)->req;
	if (err) {
		struct err e = *err;
		if (e.code == ERR_PROTOCOL)
			e.code = ERR_INVALID; /* the fault of the client, not of something behind us */
		http_reply_err(r, &e);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kint(&w, "objects", (int64_t)counts->objects);
	jw_kint(&w, "bytes", (int64_t)counts->bytes);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

static size_t on_body(struct http_req *r, const void *data, size_t n)
{
	return vault_upload_write(((struct upload_call *)http_user(r))->upload, data, n);
}

static void on_body_end(struct http_req *r)
{
	vault_upload_end(((struct upload_call *)http_user(r))->upload);
}

static void on_upload_over(struct http_req *r, bool delivered)
{
	(void)delivered;
	struct upload_call *c = http_user(r);
	vault_upload_close(c->upload);
	free(c);
}

void sbx_uploadObjects(struct http_req *r)
{
	static const struct vault_upload_ops ops = { .on_room = on_room, .on_end = on_stored };
	struct upload_call *c = mem_zalloc(sizeof(*c));
	struct err err = ERR_INIT;
	c->req = r;
	c->upload = vault_upload_new(core_vault(api_of(r)->core), &ops, c, &err);
	if (!c->upload) {
		free(c);
		http_reply_err(r, &err);
		return;
	}
	http_set_user(r, c);
	http_on_done(r, on_upload_over);
	http_body_sink(r, on_body, on_body_end);
}

/* ---- what is streamed to the client ---- */

static void on_drain(struct http_req *r)
{
	vault_stream_resume(((struct fs_send *)http_user(r))->stream);
}

static void begin_send(struct fs_send *s)
{
	if (!s->begun)
		http_stream_begin(s->req, s->status, "application/octet-stream", s->length, on_drain);
	s->begun = true;
}

static bool on_send_data(void *arg, const void *data, size_t n)
{
	struct fs_send *s = arg;
	begin_send(s);
	return http_stream_write(s->req, data, n) <= HTTP_HIGH;
}

static void on_send_end(void *arg, const struct err *err)
{
	struct fs_send *s = arg;
	if (!err) {
		begin_send(s);
		http_stream_end(s->req);
	} else if (s->begun) {
		http_stream_abort(s->req);
	} else {
		http_reply_err(s->req, err);
	}
}

const struct vault_stream_ops fs_send_ops = { .on_data = on_send_data, .on_end = on_send_end };

static void on_send_over(struct http_req *r, bool delivered)
{
	(void)delivered;
	struct fs_send *s = http_user(r);
	vault_stream_close(s->stream);
	free(s);
}

struct fs_send *fs_send_new(struct http_req *r, int status, int64_t length)
{
	struct fs_send *s = mem_zalloc(sizeof(*s));
	*s = (struct fs_send){ .req = r, .status = status, .length = length };
	http_set_user(r, s);
	http_on_done(r, on_send_over);
	return s;
}

void sbx_fetchObjects(struct http_req *r)
{
	struct vault_fetch q;
	q.want = read_ids(js_get(http_body(r), "want"), &q.want_n);
	q.have = read_ids(js_get(http_body(r), "have"), &q.have_n);
	q.only = js_bool(js_get(http_body(r), "only"), false);
	struct fs_send *s = fs_send_new(r, 200, -1);
	s->stream = vault_fetch(core_vault(api_of(r)->core), &q, &fs_send_ops, s);
}
