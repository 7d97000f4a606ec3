/*
 * pty: terminals over a WebSocket (ptySession). A terminal is a session of the agent whose name is its tag; a client starts it or
 * comes back to it, and several may be there at once.
 *
 * Input is not read from a client faster than the terminal takes it: what is left over waits, and so does its client.
 */
#include "daemon/api/wrenn/process.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/b64.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define SHELL "/bin/bash"
#define OTHER_SHELL "/bin/sh" /* of images without it */

enum {
	COLS = 80,
	ROWS = 24,
	OUTPUT_MAX = 16 * 1024, /* bytes in a frame */
	PING_MS = 30 * 1000,
	IDLE_MS = 120 * 1000, /* without input or resize, while a client is there: it is ended */
	OVER_MS = 60 * 1000,  /* after its end the client may still write for so long */
	NOT_FOUND = 127,      /* exit code of a program that is not there */
	CLOSE_NORMAL = 1000,
};

enum pty_state {
	PTY_NEW,      /* no message yet */
	PTY_STARTING, /* the guest has not answered */
	PTY_OPEN,
	PTY_OVER, /* it ended, or we are about to leave the client */
};

/* A client of a terminal. */
struct wrenn_pty {
	struct wrenn_peer peer;
	struct api *api;
	struct wrenn_pty *next, **pprev; /* those of the daemon */
	enum pty_state state;
	char tag[WRENN_TAG_MAX];
	bool joined;	  /* it was not started here */
	bool tried;	  /* the other shell */
	js *start;	  /* the message, as long as another shell may have to be tried */
	struct buf input; /* what the terminal has not taken */
	struct buf early; /* what a program that was not found said */
	int64_t used_ms;  /* of the last input or resize; before, when the client came */
	int64_t ping_ms;  /* when the next ping is due */
};

/* ---- to the client ---- */

static void send_error(struct wrenn_pty *t, const char *why, bool fatal)
{
	auto_buf text = BUF_INIT;
	struct jw w;
	wrenn_message(&w, &text, "error");
	jw_kstr(&w, "data", why);
	if (fatal)
		jw_kbool(&w, "fatal", true);
	wrenn_peer_send(&t->peer, &w);
	t->state = PTY_OVER;
	ws_close(t->peer.ws, CLOSE_NORMAL, NULL);
}

static void send_started(struct wrenn_pty *t, int64_t pid)
{
	auto_buf text = BUF_INIT;
	struct jw w;
	wrenn_message(&w, &text, "started");
	jw_kstr(&w, "tag", t->tag);
	jw_kint(&w, "pid", pid);
	wrenn_peer_send(&t->peer, &w);
}

static void send_output(struct wrenn_pty *t, const void *data, size_t n)
{
	for (size_t at = 0; at < n; at += OUTPUT_MAX) {
		auto_buf text = BUF_INIT;
		buf_str(&text, "{\"type\":\"output\",\"data\":\"");
		b64_encode(&text, (const char *)data + at, n - at < OUTPUT_MAX ? n - at : OUTPUT_MAX);
		buf_str(&text, "\"}");
		if (!buf_failed(&text))
			ws_send(t->peer.ws, true, text.p, text.len);
	}
}

static void send_ping(struct wrenn_pty *t)
{
	auto_buf text = BUF_INIT;
	struct jw w;
	wrenn_message(&w, &text, "ping");
	if (ws_queued(t->peer.ws) <= HTTP_HIGH)
		wrenn_peer_send(&t->peer, &w);
}

/* ---- time ---- */

/* When somebody last did something in this terminal. */
static int64_t last_use(const struct wrenn_pty *t)
{
	int64_t last = t->used_ms;
	for (const struct wrenn_pty *o = t->api->wrenn_ptys; o; o = o->next)
		if (o->used_ms > last && !strcmp(o->tag, t->tag) && !strcmp(o->peer.capsule, t->peer.capsule))
			last = o->used_ms;
	return last;
}

static void set_alarm(struct wrenn_pty *t)
{
	int64_t now = clock_mono_ms(), idle = t->used_ms + IDLE_MS, at = t->ping_ms < idle ? t->ping_ms : idle;
	ws_alarm(t->peer.ws, at > now ? (uint64_t)(at - now) : 1);
}

static void on_alarm(void *arg, struct ws *ws)
{
	struct wrenn_pty *t = arg;
	int64_t now = clock_mono_ms();
	if (t->state != PTY_OPEN) {
		ws_close(ws, CLOSE_NORMAL, NULL);
		return;
	}
	if (now >= t->ping_ms) {
		t->ping_ms = now + PING_MS;
		send_ping(t);
	}
	if (now >= t->used_ms + IDLE_MS)
		t->used_ms = last_use(t);
	if (now >= t->used_ms + IDLE_MS) {
		t->used_ms = now;
		execution_signal(t->peer.x, SIGKILL);
	}
	set_alarm(t);
}

static void used(struct wrenn_pty *t)
{
	struct sandbox *sb = wrenn_find(t->peer.core, t->peer.capsule);
	t->used_ms = clock_mono_ms();
	if (sb)
		sandbox_touch(sb);
}

/* ---- from the execution ---- */

static const struct exec_ops ops;

static void feed(struct wrenn_pty *t)
{
	if (t->peer.x && t->state == PTY_OPEN && t->input.len)
		buf_drop(&t->input, execution_write(t->peer.x, t->input.p, t->input.len));
	if (t->state == PTY_OVER || t->input.len == 0)
		buf_free(&t->input);
	ws_hold(t->peer.ws, t->input.len > 0);
}

static void opened(struct wrenn_pty *t, int64_t pid)
{
	if (!t->joined)
		send_started(t, pid);
	t->state = PTY_OPEN;
	js_free(t->start);
	t->start = NULL;
	t->used_ms = clock_mono_ms();
	t->ping_ms = t->used_ms + PING_MS;
	set_alarm(t);
	feed(t);
}

static void on_start(void *arg, const struct exec_start *start)
{
	opened(arg, start->pid);
}

static void on_data(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	struct wrenn_pty *t = arg;
	if (t->state == PTY_OPEN)
		send_output(t, data, n);
	else
		buf_add(&t->early, data, n);
	wrenn_peer_sent(&t->peer, ch, n);
}

static void on_writable(void *arg)
{
	feed(arg);
}

static int64_t size_of(const js *m, const char *key, int64_t def)
{
	int64_t v;
	return js_int(js_get(m, key), &v) == 0 && v > 0 && v <= UINT16_MAX ? v : def;
}

/* As t->start says, but with that shell if it is not NULL. */
static int start(struct wrenn_pty *t, const char *shell, struct err *err)
{
	struct wrenn_process p;
	struct sandbox *sb = wrenn_find(t->peer.core, t->peer.capsule);
	if (!sb)
		return err_set(err, ERR_NOT_FOUND, "sandbox not found");
	if (wrenn_process_read(&p, sb, t->start, SHELL, err) == 0) {
		if (shell) {
			free(p.command[0]);
			p.command[0] = mem_strdup(shell);
		}
		p.spec.tty = true;
		p.spec.cols = (unsigned)size_of(t->start, "cols", COLS);
		p.spec.rows = (unsigned)size_of(t->start, "rows", ROWS);
		p.spec.session = t->tag;
		t->peer.x = execution_command(sb, &p.spec, &ops, t, err);
	}
	wrenn_process_free(&p);
	return t->peer.x ? 0 : -1;
}

static int join(struct wrenn_pty *t, struct err *err)
{
	struct sandbox *sb = wrenn_find(t->peer.core, t->peer.capsule);
	struct exec_spec spec = { .session = t->tag, .attach = EXEC_ATTACH_RUNNING, .no_replay = true };
	if (!sb)
		return err_set(err, ERR_NOT_FOUND, "sandbox not found");
	t->peer.x = execution_command(sb, &spec, &ops, t, err);
	return t->peer.x ? 0 : -1;
}

/* It did not run for want of the shell that images need not have: has another one been started? */
static bool try_other_shell(struct wrenn_pty *t, const struct exec_end *end)
{
	const js *cmd = js_get(t->start, "cmd");
	if (!t->start || t->tried || end->code != NOT_FOUND || strcmp(js_str(cmd, SHELL), SHELL) != 0)
		return false;
	t->tried = true;
	buf_clear(&t->early);
	return start(t, OTHER_SHELL, NULL) == 0;
}

static void on_end(void *arg, const struct exec_end *end)
{
	struct wrenn_pty *t = arg;
	wrenn_peer_leave(&t->peer);
	if (end->failed && t->joined && t->state == PTY_STARTING) {
		send_error(t, "no terminal with that tag is running", true);
		return;
	}
	if (end->failed) {
		send_error(t, end->err.msg, t->state == PTY_STARTING);
		return;
	}
	if (t->state == PTY_STARTING && try_other_shell(t, end))
		return;
	if (t->state == PTY_STARTING) {
		opened(t, end->pid);
		send_output(t, t->early.p, t->early.len);
	}
	wrenn_peer_exit(&t->peer, end);
	t->state = PTY_OVER;
	feed(t);
	ws_alarm(t->peer.ws, OVER_MS);
}

static const struct exec_ops ops = {
	.on_start = on_start,
	.on_data = on_data,
	.on_writable = on_writable,
	.on_end = on_end,
};

/* ---- from the client ---- */

static void got_first(struct wrenn_pty *t, js *m)
{
	struct err err = ERR_INIT;
	const char *type = js_str(js_get(m, "type"), ""), *tag = js_str(js_get(m, "tag"), "");
	t->start = m;
	t->joined = !strcmp(type, "connect");
	t->state = PTY_STARTING;
	if (!t->joined && strcmp(type, "start") != 0) {
		send_error(t, "first message must be type 'start' or 'connect'", true);
		return;
	}
	if (t->joined && (!*tag || strlen(tag) >= sizeof(t->tag))) {
		send_error(t, *tag ? "no terminal with that tag is running" : "connect needs a 'tag'", true);
		return;
	}
	if (t->joined)
		str_copy(t->tag, sizeof(t->tag), tag);
	else
		wrenn_tag("pty-", t->tag);
	if (t->joined ? join(t, &err) : start(t, NULL, &err))
		send_error(t, err.msg, true);
}

static void do_input(struct wrenn_pty *t, const js *m)
{
	const char *data = js_str(js_get(m, "data"), NULL);
	auto_buf typed = BUF_INIT;
	if (!data || b64_decode(&typed, data, strlen(data)))
		return;
	used(t);
	buf_add(&t->input, typed.p, typed.len);
	feed(t);
}

static void do_resize(struct wrenn_pty *t, const js *m)
{
	int64_t cols = size_of(m, "cols", 0), rows = size_of(m, "rows", 0);
	if (!cols || !rows)
		return;
	used(t);
	execution_resize(t->peer.x, (unsigned)cols, (unsigned)rows);
}

static void do_kill(struct wrenn_pty *t, const js *m)
{
	(void)m;
	execution_signal(t->peer.x, SIGKILL);
}

static void on_message(void *arg, struct ws *ws, bool text, const uint8_t *data, size_t n)
{
	static const struct {
		const char *type;
		void (*act)(struct wrenn_pty *t, const js *m);
	} actions[] = { { "input", do_input }, { "resize", do_resize }, { "kill", do_kill } };
	struct wrenn_pty *t = arg;
	(void)ws;
	(void)text;
	auto_js *m = t->state == PTY_OVER ? NULL : js_parse((const char *)data, n, JS_LIMITS_DEFAULT, NULL);
	if (t->state == PTY_NEW) {
		got_first(t, mem_steal(&m));
		return;
	}
	const char *type = js_str(js_get(m, "type"), "");
	for (size_t i = 0; t->peer.x && i < ARRAY_LEN(actions); i++)
		if (!strcmp(actions[i].type, type))
			actions[i].act(t, m);
}

static void on_drain(void *arg, struct ws *ws)
{
	struct wrenn_pty *t = arg;
	(void)ws;
	wrenn_peer_drained(&t->peer);
}

static void pty_free(struct wrenn_pty *t)
{
	*t->pprev = t->next;
	if (t->next)
		t->next->pprev = t->pprev;
	js_free(t->start);
	buf_free(&t->input);
	buf_free(&t->early);
	free(t);
}

static void on_close(void *arg, struct ws *ws)
{
	struct wrenn_pty *t = arg;
	(void)ws;
	wrenn_peer_leave(&t->peer); /* the terminal goes on */
	pty_free(t);
}

static const struct ws_ops ws_ops = {
	.on_message = on_message,
	.on_drain = on_drain,
	.on_close = on_close,
	.on_alarm = on_alarm,
};

void wrenn_ptySession(struct http_req *r)
{
	struct api *api = api_of(r);
	if (!wrenn_guest(r))
		return;
	struct wrenn_pty *t = mem_zalloc(sizeof(*t));
	*t = (struct wrenn_pty){
		.api = api, .next = api->wrenn_ptys, .pprev = &api->wrenn_ptys, .input = BUF_INIT, .early = BUF_INIT
	};
	if (t->next)
		t->next->pprev = &t->next;
	api->wrenn_ptys = t;
	wrenn_peer_init(&t->peer, r);
	t->peer.ws = http_upgrade(r, &ws_ops, t);
	if (!t->peer.ws)
		pty_free(t);
}
