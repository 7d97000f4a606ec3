#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/api/download.h"
#include "shared/base/mem.h"

static int parse_mode(const char *octal)
{
	return octal ? (int)strtol(octal, NULL, 8) : -1;
}

static struct file_spec spec_of(struct http_req *r, enum file_op op)
{
	return (struct file_spec){
		.op = op, .path = http_query(r, "path"), .user = http_query(r, "user"), .length = -1, .mode = -1
	};
}

/* Start a small operation whose answer is collected. */
static void run_collected(struct http_req *r, const struct file_spec *spec, void (*done)(struct collect *c, const struct err *err))
{
	struct sandbox *sb = api_guest(r);
	if (!sb)
		return;
	struct err err = ERR_INIT;
	struct collect *c = collect_new(r, done);
	collect_run(c, execution_file(sb, spec, &collect_ops, c, &err), &err);
}

/* ---- small operations ---- */

/* The guest's words are parsed and written again, so that a hostile guest cannot break the answer's form. */
static void reply_object(struct collect *c, int status)
{
	struct err err = ERR_INIT;
	auto_js *info = js_parse(c->out.p, c->out.len, JS_LIMITS_DEFAULT, &err);
	if (!info) {
		http_reply_err(c->req, &err);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_js(&w, info);
	http_reply_json(c->req, status, &out);
}

static void on_stat(struct collect *c, const struct err *err)
{
	if (err)
		http_reply_err(c->req, err);
	else
		reply_object(c, 200);
}

void sbx_statFile(struct http_req *r)
{
	struct file_spec spec = spec_of(r, FILE_STAT);
	run_collected(r, &spec, on_stat);
}

static void on_list(struct collect *c, const struct err *err)
{
	if (err) {
		http_reply_err(c->req, err);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "entries");
	jw_arr(&w);
	char *line = c->out.p;
	for (char *nl; (nl = memchr(line, '\n', c->out.len - (size_t)(line - c->out.p))); line = nl + 1) {
		auto_js *entry = js_parse(line, (size_t)(nl - line), JS_LIMITS_DEFAULT, NULL);
		if (entry)
			jw_js(&w, entry);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	http_reply_json(c->req, 200, &out);
}

void sbx_listFiles(struct http_req *r)
{
	struct file_spec spec = spec_of(r, FILE_LIST);
	spec.depth = (unsigned)http_query_int(r, "depth", 1);
	run_collected(r, &spec, on_list);
}

static void on_done_empty(struct collect *c, const struct err *err)
{
	if (err)
		http_reply_err(c->req, err);
	else
		http_reply_empty(c->req, 204);
}

void sbx_removeFile(struct http_req *r)
{
	struct file_spec spec = spec_of(r, FILE_REMOVE);
	spec.recursive = http_query_bool(r, "recursive", false);
	run_collected(r, &spec, on_done_empty);
}

static void on_mkdir_stat(struct collect *c, const struct err *err)
{
	if (err)
		http_reply_err(c->req, err);
	else
		reply_object(c, 201);
}

static void on_mkdir(struct collect *c, const struct err *err)
{
	if (err) {
		http_reply_err(c->req, err);
		return;
	}
	const js *body = http_body(c->req);
	struct file_spec spec = { .op = FILE_STAT,
		.path = js_str(js_get(body, "path"), ""),
		.user = js_str(js_get(body, "user"), NULL),
		.length = -1,
		.mode = -1 };
	run_collected(c->req, &spec, on_mkdir_stat);
}

void sbx_makeDirectory(struct http_req *r)
{
	const js *body = http_body(r);
	struct file_spec spec = { .op = FILE_MKDIR,
		.path = js_str(js_get(body, "path"), ""),
		.user = js_str(js_get(body, "user"), NULL),
		.length = -1,
		.mode = parse_mode(js_str(js_get(body, "mode"), NULL)),
		.parents = js_bool(js_get(body, "parents"), false) };
	run_collected(r, &spec, on_mkdir);
}

/* ---- out of the guest ---- */

void sbx_readFile(struct http_req *r)
{
	struct sandbox *sb = api_guest(r);
	struct file_spec spec = spec_of(r, FILE_READ);
	spec.offset = http_query_int(r, "offset", 0);
	spec.length = http_query_int(r, "length", -1);
	if (sb)
		download_start(r, sb, &spec, "application/octet-stream", http_reply_err);
}

void sbx_downloadArchive(struct http_req *r)
{
	struct sandbox *sb = api_guest(r);
	struct file_spec spec = spec_of(r, FILE_TAR);
	spec.name = http_query(r, "name");
	if (sb)
		download_start(r, sb, &spec, "application/x-tar", http_reply_err);
}

/* ---- into the guest ---- */

struct upload {
	struct http_req *req;
	struct execution *x;
	bool received, stored; /* the whole body came; the guest has done its part */
};

static void on_upload_over(struct http_req *r, bool delivered)
{
	struct upload *u = http_user(r);
	(void)delivered;
	execution_close(u->x);
	free(u);
}

static size_t on_body(struct http_req *r, const void *data, size_t n)
{
	struct upload *u = http_user(r);
	return execution_write(u->x, data, n);
}

static void on_body_end(struct http_req *r)
{
	struct upload *u = http_user(r);
	u->received = true;
	if (u->stored)
		http_reply_empty(r, 204);
	else
		execution_eof(u->x);
}

static void on_upload_data(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	(void)data;
	struct upload *u = arg;
	execution_consumed(u->x, ch, n);
}

static void on_upload_writable(void *arg)
{
	struct upload *u = arg;
	http_body_resume(u->req);
}

static void on_upload_end(void *arg, const struct exec_end *end)
{
	struct upload *u = arg;
	/* An archive may end before its stream does: what follows is taken and dropped, and the answer comes after it. */
	u->stored = true;
	if (end->failed)
		http_reply_err(u->req, &end->err);
	else if (u->received)
		http_reply_empty(u->req, 204);
	else
		http_body_resume(u->req);
}

static void start_upload(struct http_req *r, const struct file_spec *spec)
{
	static const struct exec_ops ops = {
		.on_data = on_upload_data, .on_writable = on_upload_writable, .on_end = on_upload_end
	};
	struct sandbox *sb = api_guest(r);
	struct err err = ERR_INIT;
	if (!sb)
		return;
	struct upload *u = mem_zalloc(sizeof(*u));
	*u = (struct upload){ .req = r };
	u->x = execution_file(sb, spec, &ops, u, &err);
	if (!u->x) {
		http_reply_err(r, &err);
		free(u);
		return;
	}
	http_set_user(r, u);
	http_on_done(r, on_upload_over);
	http_body_sink(r, on_body, on_body_end);
}

void sbx_writeFile(struct http_req *r)
{
	struct file_spec spec = spec_of(r, FILE_WRITE);
	spec.mode = parse_mode(http_query(r, "mode"));
	start_upload(r, &spec);
}

void sbx_uploadArchive(struct http_req *r)
{
	struct file_spec spec = spec_of(r, FILE_UNTAR);
	spec.owners = http_query_bool(r, "owners", false);
	start_upload(r, &spec);
}
