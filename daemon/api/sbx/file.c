#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"

#include <stdlib.h>
#include <string.h>

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

/* ---- streams, out of the guest and into it ---- */

struct transfer {
	struct http_req *req;
	struct execution *x;
	const char *media_type;
	bool begun;	       /* down: the status is sent */
	bool received, stored; /* up: the whole body came; the guest has done its part */
	size_t unconsumed;
};

static void transfer_free(struct transfer *t)
{
	execution_close(t->x);
	free(t);
}

static void on_transfer_over(struct http_req *r, bool delivered)
{
	(void)delivered;
	transfer_free(http_user(r));
}

static struct transfer *transfer_new(struct http_req *r, const char *media_type)
{
	struct transfer *t = mem_zalloc(sizeof(*t));
	*t = (struct transfer){ .req = r, .media_type = media_type };
	return t;
}

/* Answers on failure; else the request owns the transfer. */
static bool transfer_start(struct transfer *t, struct sandbox *sb, const struct file_spec *spec, const struct exec_ops *ops)
{
	struct err err = ERR_INIT;
	t->x = execution_file(sb, spec, ops, t, &err);
	if (!t->x) {
		http_reply_err(t->req, &err);
		free(t);
		return false;
	}
	http_set_user(t->req, t);
	http_on_done(t->req, on_transfer_over);
	return true;
}

static void on_down_drain(struct http_req *r)
{
	struct transfer *t = http_user(r);
	execution_consumed(t->x, EXEC_STDOUT, t->unconsumed);
	t->unconsumed = 0;
}

/* The status is decided by the first byte or the end, whichever comes first. */
static void begin_down(struct transfer *t)
{
	if (t->begun)
		return;
	t->begun = true;
	http_stream_begin(t->req, 200, t->media_type, -1, on_down_drain);
}

static void on_down_data(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	struct transfer *t = arg;
	if (ch != EXEC_STDOUT) {
		execution_consumed(t->x, ch, n);
		return;
	}
	begin_down(t);
	if (http_stream_write(t->req, data, n) > HTTP_HIGH)
		t->unconsumed += n;
	else
		execution_consumed(t->x, ch, n);
}

static void on_down_end(void *arg, const struct exec_end *end)
{
	struct transfer *t = arg;
	if (!end->failed) {
		begin_down(t);
		http_stream_end(t->req);
	} else if (t->begun) {
		http_stream_abort(t->req);
	} else {
		http_reply_err(t->req, &end->err);
	}
}

static const struct exec_ops down_ops = { .on_data = on_down_data, .on_end = on_down_end };

static void start_down(struct http_req *r, const struct file_spec *spec, const char *media_type)
{
	struct sandbox *sb = api_guest(r);
	if (!sb)
		return;
	struct transfer *t = transfer_new(r, media_type);
	if (transfer_start(t, sb, spec, &down_ops))
		execution_eof(t->x);
}

void sbx_readFile(struct http_req *r)
{
	struct file_spec spec = spec_of(r, FILE_READ);
	spec.offset = http_query_int(r, "offset", 0);
	spec.length = http_query_int(r, "length", -1);
	start_down(r, &spec, "application/octet-stream");
}

void sbx_downloadArchive(struct http_req *r)
{
	struct file_spec spec = spec_of(r, FILE_TAR);
	spec.name = http_query(r, "name");
	start_down(r, &spec, "application/x-tar");
}

static size_t on_body(struct http_req *r, const void *data, size_t n)
{
	struct transfer *t = http_user(r);
	return execution_write(t->x, data, n);
}

static void on_body_end(struct http_req *r)
{
	struct transfer *t = http_user(r);
	t->received = true;
	if (t->stored)
		http_reply_empty(r, 204);
	else
		execution_eof(t->x);
}

static void on_up_data(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	(void)data;
	struct transfer *t = arg;
	execution_consumed(t->x, ch, n);
}

static void on_up_writable(void *arg)
{
	struct transfer *t = arg;
	http_body_resume(t->req);
}

static void on_up_end(void *arg, const struct exec_end *end)
{
	struct transfer *t = arg;
	/* An archive may end before its stream does: what follows is taken and dropped, and the answer comes after it. */
	t->stored = true;
	if (end->failed)
		http_reply_err(t->req, &end->err);
	else if (t->received)
		http_reply_empty(t->req, 204);
	else
		http_body_resume(t->req);
}

static const struct exec_ops up_ops = { .on_data = on_up_data, .on_writable = on_up_writable, .on_end = on_up_end };

static void start_up(struct http_req *r, const struct file_spec *spec)
{
	struct sandbox *sb = api_guest(r);
	if (!sb)
		return;
	if (transfer_start(transfer_new(r, NULL), sb, spec, &up_ops))
		http_body_sink(r, on_body, on_body_end);
}

void sbx_writeFile(struct http_req *r)
{
	struct file_spec spec = spec_of(r, FILE_WRITE);
	spec.mode = parse_mode(http_query(r, "mode"));
	start_up(r, &spec);
}

void sbx_uploadArchive(struct http_req *r)
{
	struct file_spec spec = spec_of(r, FILE_UNTAR);
	spec.owners = http_query_bool(r, "owners", false);
	start_up(r, &spec);
}
