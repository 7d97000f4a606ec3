/*
 * exec_stream: the output of a process as text frames: of one that the client starts (execStream), and of one that runs already
 * (connectProcess). The process is a session without a terminal, so it outlives who watches it.
 *
 * A chunk may end in the middle of a character: its beginning waits for the rest of it.
 */
#include "daemon/api/wrenn/process.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"

enum { CLOSE_NORMAL = 1000, CHARACTER_MAX = 4 };

struct stream_call {
	struct wrenn_peer peer;
	bool asked, started; /* the first message came, or there is none; the start was told */
	struct buf early;    /* what a command that was not found said before its pid is known */
	struct {
		char p[CHARACTER_MAX];
		size_t n;
	} rest[3]; /* by channel: the beginning of a character */
};

/* ---- to the client ---- */

static void send_text(struct stream_call *c, const char *type, const char *data, size_t n)
{
	auto_buf text = BUF_INIT;
	struct jw w;
	wrenn_message(&w, &text, type);
	jw_key(&w, "data");
	jw_strn(&w, data, n);
	wrenn_peer_send(&c->peer, &w);
}

static void refuse(struct stream_call *c, const char *why)
{
	send_text(c, "error", why, strlen(why));
	ws_close(c->peer.ws, CLOSE_NORMAL, NULL);
}

static void send_start(struct stream_call *c, int64_t pid)
{
	auto_buf text = BUF_INIT;
	struct jw w;
	wrenn_message(&w, &text, "start");
	jw_kint(&w, "pid", pid);
	wrenn_peer_send(&c->peer, &w);
	c->started = true;
}

static const char *channel_name(enum exec_channel ch)
{
	return ch == EXEC_STDERR ? "stderr" : "stdout";
}

/* Bytes at the end that may be the beginning of a character. */
static size_t unfinished(const char *s, size_t n)
{
	for (size_t k = 1; k < CHARACTER_MAX && k <= n; k++) {
		unsigned char c = (unsigned char)s[n - k];
		size_t whole = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
		if ((c & 0xc0) != 0x80)
			return whole > k ? k : 0;
	}
	return 0;
}

static void send_output(struct stream_call *c, enum exec_channel ch, const char *data, size_t n)
{
	auto_buf joined = BUF_INIT;
	if (c->rest[ch].n) {
		buf_add(&joined, c->rest[ch].p, c->rest[ch].n);
		buf_add(&joined, data, n);
		data = joined.p;
		n = joined.len;
	}
	size_t keep = unfinished(data, n);
	if (n > keep)
		send_text(c, channel_name(ch), data, n - keep);
	memcpy(c->rest[ch].p, data + n - keep, keep);
	c->rest[ch].n = keep;
}

/* ---- from the execution ---- */

static void on_start(void *arg, const struct exec_start *start)
{
	send_start(arg, start->pid);
}

static void on_data(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	struct stream_call *c = arg;
	if (c->started)
		send_output(c, ch, (const char *)data, n);
	else
		buf_add(&c->early, data, n);
	wrenn_peer_sent(&c->peer, ch, n);
}

static void on_end(void *arg, const struct exec_end *end)
{
	struct stream_call *c = arg;
	wrenn_peer_leave(&c->peer);
	if (end->failed) {
		refuse(c, end->err.msg);
		return;
	}
	if (!c->started) {
		send_start(c, end->pid);
		send_output(c, EXEC_STDERR, c->early.p, c->early.len);
	}
	for (enum exec_channel ch = EXEC_STDOUT; ch <= EXEC_STDERR; ch++)
		if (c->rest[ch].n)
			send_text(c, channel_name(ch), c->rest[ch].p, c->rest[ch].n);
	wrenn_peer_exit(&c->peer, end);
	ws_close(c->peer.ws, CLOSE_NORMAL, NULL);
}

static const struct exec_ops ops = { .on_start = on_start, .on_data = on_data, .on_end = on_end };

/* ---- from the client ---- */

static void got_start(struct stream_call *c, const js *m)
{
	struct err err = ERR_INIT;
	struct wrenn_process p;
	struct sandbox *sb = wrenn_find(c->peer.core, c->peer.capsule);
	const char *type = js_str(js_get(m, "type"), ""), *cmd = js_str(js_get(m, "cmd"), "");
	c->asked = true;
	if (strcmp(type, "start") != 0 || !*cmd) {
		refuse(c, "first message must be type 'start' with a 'cmd' field");
		return;
	}
	if (!sb) {
		refuse(c, "sandbox not found");
		return;
	}
	if (wrenn_process_read(&p, sb, m, NULL, &err) == 0) {
		p.spec.cwd = ""; /* a stream has neither folder nor variables of its own */
		p.spec.session = "";
		p.spec.pipes = true;
		c->peer.x = execution_command(sb, &p.spec, &ops, c, &err);
	}
	wrenn_process_free(&p);
	if (!c->peer.x)
		refuse(c, err.msg);
}

static void on_message(void *arg, struct ws *ws, bool text, const uint8_t *data, size_t n)
{
	struct stream_call *c = arg;
	(void)text;
	auto_js *m = js_parse((const char *)data, n, JS_LIMITS_DEFAULT, NULL);
	if (!c->asked) {
		got_start(c, m);
	} else if (!strcmp(js_str(js_get(m, "type"), ""), "stop")) {
		wrenn_peer_leave(&c->peer);
		ws_close(ws, CLOSE_NORMAL, NULL);
	}
}

static void on_drain(void *arg, struct ws *ws)
{
	struct stream_call *c = arg;
	(void)ws;
	wrenn_peer_drained(&c->peer);
}

static void on_close(void *arg, struct ws *ws)
{
	struct stream_call *c = arg;
	(void)ws;
	wrenn_peer_leave(&c->peer);
	buf_free(&c->early);
	free(c);
}

static const struct ws_ops ws_ops = { .on_message = on_message, .on_drain = on_drain, .on_close = on_close };

/* NULL when the request has been answered with what is wrong with it. */
static struct stream_call *open_stream(struct http_req *r)
{
	struct stream_call *c = mem_zalloc(sizeof(*c));
	wrenn_peer_init(&c->peer, r);
	buf_init(&c->early);
	c->peer.ws = http_upgrade(r, &ws_ops, c);
	if (c->peer.ws)
		return c;
	free(c);
	return NULL;
}

void wrenn_execStream(struct http_req *r)
{
	if (wrenn_guest(r))
		open_stream(r);
}

/* ---- one that runs already ---- */

static void on_found(struct collect *found, const struct err *failed)
{
	auto_free char *tag = wrenn_selected(found, failed);
	struct err err = ERR_INIT;
	struct exec_spec spec = { .session = tag, .attach = EXEC_ATTACH_RUNNING, .no_replay = true };
	struct stream_call *c = tag ? open_stream(found->req) : NULL;
	struct sandbox *sb = c ? wrenn_find(c->peer.core, c->peer.capsule) : NULL;
	if (!c)
		return;
	c->asked = true;
	if (sb)
		c->peer.x = execution_command(sb, &spec, &ops, c, &err);
	if (!c->peer.x)
		refuse(c, sb ? err.msg : "sandbox not found");
}

void wrenn_connectProcess(struct http_req *r)
{
	struct sandbox *sb = wrenn_guest(r);
	if (sb)
		wrenn_select(r, sb, on_found);
}
