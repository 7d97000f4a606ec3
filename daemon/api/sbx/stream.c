/*
 * stream: a command or terminal over a WebSocket (streamExec, connectPty).
 *
 * Backpressure: output goes straight into the WebSocket's queue; the guest gets its credit back only while that queue is
 * short, so a slow client stops its own command and nothing else. Input is never left unread in the socket, since a
 * signal may be behind it: the client has a window of stdin instead, which grows as the guest takes bytes.
 */
#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/sbx/exec.h"
#include "shared/base/mem.h"

enum {
	STDIN_WINDOW = 256 * 1024,
	WINDOW_STEP = 64 * 1024,
	CLOSE_NORMAL = 1000,
	CLOSE_POLICY = 1008,
};

struct stream_call {
	struct api *api;
	struct ws *ws;
	struct execution *x;
	char *sandbox; /* id */
	bool pty, started;
	struct buf input; /* stdin that the guest has not taken */
	bool eof;
	size_t window;	 /* stdin bytes the client may still send */
	size_t to_grant; /* taken by the guest, not yet granted again */
	size_t unconsumed[3];
};

/* ---- to the client ---- */

static void send_json(struct stream_call *call, struct buf *text)
{
	if (!buf_failed(text))
		ws_send(call->ws, true, text->p, text->len);
}

static void begin_message(struct jw *w, struct buf *text, const char *type)
{
	jw_init(w, text);
	jw_obj(w);
	jw_kstr(w, "type", type);
}

static void send_error(struct stream_call *call, const struct err *e, int code)
{
	auto_buf text = BUF_INIT;
	struct jw w;
	begin_message(&w, &text, "error");
	jw_key(&w, "error");
	api_write_error(&w, e);
	jw_obj_end(&w);
	send_json(call, &text);
	ws_close(call->ws, code, "");
}

static void give_back_credit(struct stream_call *call)
{
	if (!call->x || ws_queued(call->ws) > HTTP_HIGH)
		return;
	for (int ch = EXEC_STDOUT; ch <= EXEC_STDERR; ch++) {
		if (call->unconsumed[ch])
			execution_consumed(call->x, (enum exec_channel)ch, call->unconsumed[ch]);
		call->unconsumed[ch] = 0;
	}
}

/* ---- from the execution ---- */

static void on_start(void *arg, const struct exec_start *start)
{
	struct stream_call *call = arg;
	auto_buf text = BUF_INIT;
	struct jw w;
	begin_message(&w, &text, "started");
	jw_kint(&w, "pid", start->pid);
	if (start->session[0]) {
		jw_kstr(&w, "session", start->session);
		jw_kbool(&w, "created", start->created);
		jw_kint(&w, "replay", (int64_t)start->replay);
	}
	jw_obj_end(&w);
	send_json(call, &text);
}

static void on_data(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	struct stream_call *call = arg;
	ws_send_channel(call->ws, (uint8_t)ch, data, n);
	call->unconsumed[ch] += n;
	give_back_credit(call);
}

static void on_eof(void *arg, enum exec_channel ch)
{
	struct stream_call *call = arg;
	auto_buf text = BUF_INIT;
	struct jw w;
	begin_message(&w, &text, "eof");
	jw_kint(&w, "channel", ch);
	jw_obj_end(&w);
	send_json(call, &text);
}

static void grant(struct stream_call *call, size_t n)
{
	call->to_grant += n;
	if (call->to_grant < WINDOW_STEP)
		return;
	auto_buf text = BUF_INIT;
	struct jw w;
	begin_message(&w, &text, "window");
	jw_kint(&w, "bytes", (int64_t)call->to_grant);
	jw_obj_end(&w);
	call->window += call->to_grant;
	call->to_grant = 0;
	send_json(call, &text);
}

static void feed(struct stream_call *call)
{
	if (!call->x)
		return;
	size_t n = execution_write(call->x, call->input.p, call->input.len);
	buf_drop(&call->input, n);
	grant(call, n);
	if (call->eof && call->input.len == 0)
		execution_eof(call->x);
}

static void on_writable(void *arg)
{
	feed(arg);
}

static void on_end(void *arg, const struct exec_end *end)
{
	struct stream_call *call = arg;
	execution_close(call->x);
	call->x = NULL;
	if (end->failed) {
		send_error(call, &end->err, CLOSE_NORMAL);
		return;
	}
	auto_buf text = BUF_INIT;
	struct jw w;
	begin_message(&w, &text, "exit");
	api_write_end(&w, end);
	jw_obj_end(&w);
	send_json(call, &text);
	ws_close(call->ws, CLOSE_NORMAL, "");
}

static const struct exec_ops exec_ops = {
	.on_start = on_start,
	.on_data = on_data,
	.on_eof = on_eof,
	.on_writable = on_writable,
	.on_end = on_end,
};

/* ---- from the client ---- */

static void refuse(struct stream_call *call, const char *why)
{
	struct err err = ERR_INIT;
	err_set(&err, ERR_INVALID, "%s", why);
	send_error(call, &err, CLOSE_POLICY);
}

static void got_start(struct stream_call *call, const js *m)
{
	struct err err = ERR_INIT;
	if (ct_validate(&contract_sbx, api_schema("StreamStart"), m, &err)) {
		send_error(call, &err, CLOSE_POLICY);
		return;
	}
	struct sandbox *sb = sandbox_find(call->api->core, TEAM_ANY, call->sandbox, &err);
	struct exec_request q;
	api_read_exec(&q, m);
	if (call->pty) {
		q.spec.tty = true;
		if (!q.spec.session)
			q.spec.session = "";
	}
	if (!q.command && (!q.spec.session || !q.spec.session[0]))
		err_set(&err, ERR_INVALID, "'command' is required");
	if (err.code == ERR_OK)
		call->x = execution_command(sb, &q.spec, &exec_ops, call, &err);
	api_free_exec(&q);
	if (!call->x) {
		send_error(call, &err, CLOSE_NORMAL);
		return;
	}
	call->started = true;
	if (!js_bool(js_get(m, "stdin"), true)) {
		call->eof = true;
		feed(call);
	}
}

static void do_eof(struct stream_call *call, const js *m)
{
	(void)m;
	call->eof = true;
	feed(call);
}

static void do_signal(struct stream_call *call, const js *m)
{
	execution_signal(call->x, api_signal(js_str(js_get(m, "signal"), "TERM")));
}

static void do_resize(struct stream_call *call, const js *m)
{
	int64_t cols = 80, rows = 24;
	if (js_int(js_get(m, "cols"), &cols) == 0 && js_int(js_get(m, "rows"), &rows) == 0)
		execution_resize(call->x, (unsigned)cols, (unsigned)rows);
}

static void do_kill(struct stream_call *call, const js *m)
{
	(void)m;
	execution_signal(call->x, SIGKILL);
}

static void got_control(struct stream_call *call, const js *m)
{
	static const struct {
		const char *type;
		void (*act)(struct stream_call *call, const js *m);
	} actions[] = { { "eof", do_eof }, { "signal", do_signal }, { "resize", do_resize }, { "kill", do_kill } };
	struct err err = ERR_INIT;
	if (ct_validate(&contract_sbx, api_schema("StreamClientMessage"), m, &err)) {
		send_error(call, &err, CLOSE_POLICY);
		return;
	}
	const char *type = js_str(js_get(m, "type"), "");
	for (size_t i = 0; call->x && i < ARRAY_LEN(actions); i++) {
		if (!strcmp(actions[i].type, type)) {
			actions[i].act(call, m);
			return;
		}
	}
}

static void got_text(struct stream_call *call, const uint8_t *data, size_t n)
{
	struct err err = ERR_INIT;
	auto_js *m = js_parse((const char *)data, n, JS_LIMITS_DEFAULT, &err);
	if (!m)
		send_error(call, &err, CLOSE_POLICY);
	else if (call->started)
		got_control(call, m);
	else
		got_start(call, m);
}

static void got_stdin(struct stream_call *call, const uint8_t *data, size_t n)
{
	if (!call->started || n < 1 || data[0] != EXEC_STDIN) {
		refuse(call, "a binary message must follow the start and begin with channel 0");
		return;
	}
	if (n - 1 > call->window) {
		refuse(call, "more stdin than the window allows");
		return;
	}
	call->window -= n - 1;
	if (call->eof || !call->x)
		return; /* after its end nobody reads it */
	buf_add(&call->input, data + 1, n - 1);
	feed(call);
}

static void on_message(void *arg, struct ws *ws, bool text, const uint8_t *data, size_t n)
{
	(void)ws;
	if (text)
		got_text(arg, data, n);
	else
		got_stdin(arg, data, n);
}

static void on_drain(void *arg, struct ws *ws)
{
	(void)ws;
	give_back_credit(arg);
}

static void on_close(void *arg, struct ws *ws)
{
	(void)ws;
	struct stream_call *call = arg;
	execution_close(call->x); /* a plain command is killed, a session goes on */
	buf_free(&call->input);
	free(call->sandbox);
	free(call);
}

static const struct ws_ops ws_ops = { .on_message = on_message, .on_drain = on_drain, .on_close = on_close };

static void open_stream(struct http_req *r, bool pty)
{
	struct sandbox *sb = api_guest(r);
	if (!sb)
		return;
	struct stream_call *call = mem_zalloc(sizeof(*call));
	*call = (struct stream_call){
		.api = api_of(r), .sandbox = mem_strdup(sandbox_row(sb)->id), .pty = pty, .input = BUF_INIT, .window = STDIN_WINDOW
	};
	call->ws = http_upgrade(r, &ws_ops, call);
	if (!call->ws) {
		free(call->sandbox);
		free(call);
	}
}

void sbx_streamExec(struct http_req *r)
{
	open_stream(r, false);
}

void sbx_connectPty(struct http_req *r)
{
	open_stream(r, true);
}
