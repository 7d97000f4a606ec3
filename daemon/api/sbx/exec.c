#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/api/sbx/exec.h"
#include "shared/base/b64.h"
#include "shared/base/mem.h"

/* ---- a command run to its end ---- */

struct exec_call {
	struct http_req *req;
	struct execution *x;
	struct buf input;
	struct buf out[3]; /* by channel */
	size_t limit;
	bool truncated;
};

static void exec_call_free(struct exec_call *call)
{
	execution_close(call->x);
	buf_free(&call->input);
	for (size_t i = 0; i < ARRAY_LEN(call->out); i++)
		buf_free(&call->out[i]);
	free(call);
}

static void feed(struct exec_call *call)
{
	size_t n = execution_write(call->x, call->input.p, call->input.len);
	buf_drop(&call->input, n);
	if (call->input.len == 0)
		execution_eof(call->x);
}

static void on_writable(void *arg)
{
	feed(arg);
}

static void on_data(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	struct exec_call *call = arg;
	struct buf *out = &call->out[ch];
	size_t room = call->limit > out->len ? call->limit - out->len : 0;
	buf_add(out, data, n < room ? n : room);
	if (n > room)
		call->truncated = true;
	execution_consumed(call->x, ch, n);
}

static void write_output(struct jw *w, const char *key, const struct buf *out, bool text)
{
	jw_key(w, key);
	if (text) {
		jw_strn(w, out->p, out->len);
		return;
	}
	auto_buf encoded = BUF_INIT;
	b64_encode(&encoded, out->p, out->len);
	jw_strn(w, encoded.p, encoded.len);
}

static void reply_result(struct exec_call *call, const struct exec_end *end)
{
	const struct buf *out = &call->out[EXEC_STDOUT], *errors = &call->out[EXEC_STDERR];
	bool text = utf8_valid(out->p, out->len) && utf8_valid(errors->p, errors->len);
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	write_output(&w, "stdout", out, text);
	write_output(&w, "stderr", errors, text);
	jw_kstr(&w, "encoding", text ? "utf8" : "base64");
	jw_kbool(&w, "truncated", call->truncated);
	api_write_end(&w, end);
	jw_obj_end(&w);
	http_reply_json(call->req, 200, &body);
}

static void on_end(void *arg, const struct exec_end *end)
{
	struct exec_call *call = arg;
	http_on_done(call->req, NULL);
	if (end->failed)
		http_reply_err(call->req, &end->err);
	else
		reply_result(call, end);
	exec_call_free(call);
}

static const struct exec_ops exec_call_ops = { .on_data = on_data, .on_writable = on_writable, .on_end = on_end };

static void on_client_gone(struct http_req *r, bool delivered)
{
	(void)delivered;
	exec_call_free(http_user(r));
}

void sbx_execCommand(struct http_req *r)
{
	struct sandbox *sb = api_guest(r);
	if (!sb)
		return;
	const js *body = http_body(r);
	const char *base64 = js_str(js_get(body, "stdinBase64"), NULL);
	int64_t limit = 10 << 20;
	js_int(js_get(body, "maxOutputBytes"), &limit);
	struct exec_call *call = mem_zalloc(sizeof(*call));
	*call = (struct exec_call){ .req = r, .limit = (size_t)limit, .input = BUF_INIT, .out = { BUF_INIT, BUF_INIT, BUF_INIT } };
	struct err err = ERR_INIT;
	if (base64 && b64_decode(&call->input, base64, strlen(base64))) {
		err_set(&err, ERR_INVALID, "'stdinBase64' is not valid base64");
		http_reply_err(r, &err);
		exec_call_free(call);
		return;
	}
	buf_str(&call->input, js_str(js_get(body, "stdin"), ""));
	struct exec_request request;
	api_read_exec(&request, body);
	call->x = execution_command(sb, &request.spec, &exec_call_ops, call, &err);
	api_free_exec(&request);
	if (!call->x) {
		http_reply_err(r, &err);
		exec_call_free(call);
		return;
	}
	http_set_user(r, call);
	http_on_done(r, on_client_gone);
	feed(call);
}

/* ---- what exec and stream share ---- */

void api_read_exec(struct exec_request *q, const js *body)
{
	int64_t cols = 80, rows = 24;
	js_int(js_get(body, "cols"), &cols);
	js_int(js_get(body, "rows"), &rows);
	q->command = api_strings(js_get(body, "command"));
	q->env = api_pairs(js_get(body, "env"));
	q->spec = (struct exec_spec){
		.command = q->command,
		.env = q->env,
		.cwd = js_str(js_get(body, "cwd"), NULL),
		.user = js_str(js_get(body, "user"), NULL),
		.tty = js_bool(js_get(body, "tty"), false),
		.cols = (unsigned)cols,
		.rows = (unsigned)rows,
		.timeout_ms = (int64_t)(js_num(js_get(body, "timeoutSeconds"), 0) * 1000),
		.session = js_str(js_get(body, "session"), NULL),
	};
	const char *attach = js_str(js_get(body, "attach"), "auto");
	q->spec.attach = !strcmp(attach, "create") ? EXEC_ATTACH_CREATE
		: !strcmp(attach, "only")	   ? EXEC_ATTACH_ONLY
						   : EXEC_ATTACH_AUTO;
}

void api_free_exec(struct exec_request *q)
{
	api_free_list(q->command);
	api_free_list(q->env);
}

void api_write_end(struct jw *w, const struct exec_end *end)
{
	jw_kint(w, "exitCode", end->code);
	jw_key(w, "signal");
	if (end->signal)
		jw_int(w, end->signal);
	else
		jw_null(w);
	jw_kbool(w, "timedOut", end->timed_out);
	jw_key(w, "durationMs");
	jw_num(w, (double)end->duration_us / 1000);
	jw_key(w, "usage");
	jw_obj(w);
	jw_kint(w, "userUs", end->user_us);
	jw_kint(w, "systemUs", end->system_us);
	jw_kint(w, "maxRssKb", end->max_rss_kb);
	jw_obj_end(w);
}

/* ---- sessions ---- */

static void on_sessions(struct collect *c, const struct err *err)
{
	struct err parse = ERR_INIT;
	auto_js *list = err ? NULL : js_parse(c->out.p, c->out.len, JS_LIMITS_DEFAULT, &parse);
	if (err || !list) {
		http_reply_err(c->req, err ? err : &parse);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "sessions");
	jw_js(&w, list);
	jw_obj_end(&w);
	http_reply_json(c->req, 200, &out);
}

void sbx_listSessions(struct http_req *r)
{
	struct sandbox *sb = api_guest(r);
	if (!sb)
		return;
	struct err err = ERR_INIT;
	struct collect *c = collect_new(r, on_sessions);
	collect_run(c, execution_sessions(sb, &collect_ops, c, &err), &err);
}

static void on_session_killed(struct collect *c, const struct err *err)
{
	if (err)
		http_reply_err(c->req, err);
	else
		http_reply_empty(c->req, 204);
}

void sbx_deleteSession(struct http_req *r)
{
	struct sandbox *sb = api_guest(r);
	if (!sb)
		return;
	const char *word = http_query(r, "signal");
	struct err err = ERR_INIT;
	struct collect *c = collect_new(r, on_session_killed);
	int signo = api_signal(word ? word : "HUP");
	collect_run(c, execution_kill_session(sb, http_param(r, "session"), signo, &collect_ops, c, &err), &err);
}
