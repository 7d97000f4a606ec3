/*
 * watch: changes of files as a stream of lines (watchFiles). The guest's lines are read and written anew, so that a hostile guest
 * cannot break the answer's form. A client that does not read stops the guest's lines, of which the guest then drops some and says
 * so.
 */
#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"

enum { LINE_MAX_BYTES = 64 * 1024 }; /* two paths and their base64, of 4 KiB each, are less */

struct watch_call {
	struct http_req *req;
	struct execution *x;
	struct buf line; /* the beginning of one */
	bool begun, aborted;
	size_t unconsumed;
};

static void on_watch_over(struct http_req *r, bool delivered)
{
	(void)delivered;
	struct watch_call *call = http_user(r);
	execution_close(call->x);
	buf_free(&call->line);
	free(call);
}

static void on_watch_drain(struct http_req *r)
{
	struct watch_call *call = http_user(r);
	execution_consumed(call->x, EXEC_STDOUT, call->unconsumed);
	call->unconsumed = 0;
}

/* The status is decided by the first line or the end, whichever comes first. */
static void begin(struct watch_call *call)
{
	if (!call->begun)
		http_stream_begin(call->req, 200, "application/x-ndjson", -1, on_watch_drain);
	call->begun = true;
}

static void break_off(struct watch_call *call)
{
	if (!call->aborted)
		http_stream_abort(call->req);
	call->aborted = true;
}

/* The bytes now queued for the client. */
static size_t pass_line(struct watch_call *call, const char *line, size_t n)
{
	auto_js *event = js_parse(line, n, JS_LIMITS_DEFAULT, NULL);
	auto_buf out = BUF_INIT;
	struct jw w;
	if (js_type(event) != JS_OBJECT)
		return 0; /* not one of our agent's */
	jw_init(&w, &out);
	jw_js(&w, event);
	buf_ch(&out, '\n');
	begin(call);
	return http_stream_write(call->req, out.p, out.len);
}

static void on_data(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	struct watch_call *call = arg;
	size_t queued = 0, used = 0;
	if (ch != EXEC_STDOUT || call->aborted) {
		execution_consumed(call->x, ch, n);
		return;
	}
	buf_add(&call->line, data, n);
	for (const char *nl; (nl = memchr(call->line.p + used, '\n', call->line.len - used));) {
		size_t len = (size_t)(nl - (call->line.p + used));
		size_t now = pass_line(call, call->line.p + used, len);
		queued = now ? now : queued;
		used += len + 1;
	}
	buf_drop(&call->line, used);
	if (call->line.len > LINE_MAX_BYTES || buf_failed(&call->line)) {
		begin(call);
		break_off(call);
	}
	if (queued > HTTP_HIGH && !call->aborted)
		call->unconsumed += n;
	else
		execution_consumed(call->x, ch, n);
}

static void on_end(void *arg, const struct exec_end *end)
{
	struct watch_call *call = arg;
	if (!end->failed) {
		begin(call);
		http_stream_end(call->req);
	} else if (call->begun) {
		break_off(call);
	} else {
		http_reply_err(call->req, &end->err);
	}
}

static const struct exec_ops watch_ops = { .on_data = on_data, .on_end = on_end };

void sbx_watchFiles(struct http_req *r)
{
	struct sandbox *sb = api_guest(r);
	if (!sb)
		return;
	struct file_spec spec = { .op = FILE_WATCH,
		.path = http_query(r, "path"),
		.user = http_query(r, "user"),
		.length = -1,
		.mode = -1,
		.recursive = http_query_bool(r, "recursive", false) };
	struct watch_call *call = mem_zalloc(sizeof(*call));
	struct err err = ERR_INIT;
	*call = (struct watch_call){ .req = r, .line = BUF_INIT };
	call->x = execution_file(sb, &spec, &watch_ops, call, &err);
	if (!call->x) {
		http_reply_err(r, &err);
		free(call);
		return;
	}
	http_set_user(r, call);
	http_on_done(r, on_watch_over);
	execution_eof(call->x);
}
