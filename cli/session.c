#include "cli/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/endpoint/ws.h"
#include "cli/sink.h"
#include "cli/term/raw.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define WINDOW_START ((int64_t)256 * 1024)
#define STDIN_SIZE ((size_t)64 * 1024)
#define IMPATIENT_MS 2000
#define EOF_KEY_MS 300
#define ANSWER_MS 100
#define ANSWERS_MAX 256
#define START_MAX ((size_t)1 << 20) /* longest message that the daemon takes */

enum { CH_STDIN, CH_STDOUT, CH_STDERR };

struct session {
	const struct session_config *config;
	struct session_result *result;
	struct ws ws;
	int sig_fd;
	sigset_t old_mask;
	struct sink out[2];  /* stdout, stderr */
	bool err_broken;     /* standard error cannot be written: its data is dropped */
	const uint8_t *left; /* of a message that an output did not take yet */
	size_t left_n;
	int left_to; /* index of out */
	bool stdin_open, raw;
	bool eof_keys; /* our input has ended: say so until the terminal ends */
	int64_t window;
	struct escape escape;
	struct csi questions, answers; /* between the command and our terminal */
	int due;		       /* answers that have not come */
	uint8_t *in_buf;	       /* STDIN_SIZE, then the filtered copy STDIN_SIZE + 1 */
	unsigned interrupts;
	int64_t first_interrupt_ms;
	bool done;
};

static const struct {
	int signo;
	const char *name;
} forwarded[] = { { SIGINT, "INT" }, { SIGTERM, "TERM" }, { SIGHUP, "HUP" }, { SIGQUIT, "QUIT" } };

/* ---- messages out ---- */

static void send_text(struct session *s, const struct buf *text)
{
	ws_queue(&s->ws, WS_TEXT, (struct ws_piece){ "", 0 }, (struct ws_piece){ text->p, text->len });
}

static void send_signal(struct session *s, const char *name)
{
	auto_buf text = BUF_INIT;
	buf_fmt(&text, "{\"type\":\"signal\",\"signal\":\"%s\"}", name);
	send_text(s, &text);
}

static void send_size(struct session *s)
{
	unsigned cols, rows;
	if (!s->config->tty || (term_size(STDOUT_FILENO, &cols, &rows) && term_size(STDIN_FILENO, &cols, &rows)))
		return;
	auto_buf text = BUF_INIT;
	buf_fmt(&text, "{\"type\":\"resize\",\"cols\":%u,\"rows\":%u}", cols, rows);
	send_text(s, &text);
}

/* The end-of-file key: what ends the input of a terminal. */
static void send_eof_key(struct session *s)
{
	static const uint8_t channel = CH_STDIN, key = 4;
	ws_queue(&s->ws, WS_BINARY, (struct ws_piece){ &channel, 1 }, (struct ws_piece){ &key, 1 });
}

static void send_eof(struct session *s)
{
	auto_buf text = BUF_INIT;
	buf_str(&text, "{\"type\":\"eof\"}");
	send_text(s, &text);
}

static int not_text(const char *what, const char *value, struct err *err)
{
	for (size_t left = strlen(value); left;) {
		size_t n = utf8_len(value, left);
		if (n == 0) {
			err_set(err, ERR_USAGE, "%s is not valid UTF-8", what);
			return err_hint(err, "commands and variables are text; pass other bytes on standard input or in a file");
		}
		value += n;
		left -= n;
	}
	return 0;
}

/* The value of list item i, NULL when it is to be left out: overridden later, or not in our environment. */
static const char *env_value(const struct opt_list *env, size_t i, size_t *name_len)
{
	*name_len = strcspn(env->v[i], "=");
	for (size_t j = i + 1; j < env->n; j++)
		if (strcspn(env->v[j], "=") == *name_len && memcmp(env->v[i], env->v[j], *name_len) == 0)
			return NULL;
	return env->v[i][*name_len] ? env->v[i] + *name_len + 1 : getenv(env->v[i]);
}

int session_env(struct jw *w, const struct opt_list *env, const char *term, struct err *err)
{
	jw_key(w, "env");
	jw_obj(w);
	for (size_t i = 0; env && i < env->n; i++) {
		size_t n;
		const char *value = env_value(env, i, &n);
		if (not_text("an environment variable", env->v[i], err) ||
			(value && not_text("an environment variable", value, err)))
			return -1;
		if (n == 4 && memcmp(env->v[i], "TERM", 4) == 0)
			term = NULL;
		if (!value)
			continue;
		auto_free char *name = mem_strndup(env->v[i], n);
		jw_kstr(w, name, value);
	}
	if (term && not_text("TERM", term, NULL) == 0)
		jw_kstr(w, "TERM", term);
	jw_obj_end(w);
	return 0;
}

static int start_command(struct jw *w, const struct session_config *c, struct err *err)
{
	jw_key(w, "command");
	jw_arr(w);
	for (size_t i = 0; i < c->command_count; i++) {
		if (not_text("an argument of the command", c->command[i], err))
			return -1;
		jw_str(w, c->command[i]);
	}
	jw_arr_end(w);
	return 0;
}

static int start_message(const struct session_config *c, struct buf *out, struct err *err)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "type", "start");
	if (c->command_count && start_command(&w, c, err))
		return -1;
	const char *term = getenv("TERM");
	if (session_env(&w, c->env, c->tty ? (term && *term ? term : "xterm") : NULL, err))
		return -1;
	if (c->cwd)
		jw_kstr(&w, "cwd", c->cwd);
	if (c->user)
		jw_kstr(&w, "user", c->user);
	if (c->session)
		jw_kstr(&w, "session", c->session);
	if (c->timeout.set) {
		jw_key(&w, "timeoutSeconds");
		jw_num(&w, c->timeout.v);
	}
	unsigned cols, rows;
	jw_kbool(&w, "tty", c->tty);
	jw_kbool(&w, "stdin", c->use_stdin);
	if (c->tty && (term_size(STDOUT_FILENO, &cols, &rows) == 0 || term_size(STDIN_FILENO, &cols, &rows) == 0)) {
		jw_kint(&w, "cols", cols);
		jw_kint(&w, "rows", rows);
	}
	jw_obj_end(&w);
	bool fits = !buf_failed(out) && out->len <= START_MAX;
	return fits ? 0 : err_set(err, ERR_TOO_LARGE, "the command and its environment are too long");
}

/* ---- messages in ---- */

static int on_started(struct session *s, const js *msg, struct err *err)
{
	(void)err;
	(void)snprintf(s->result->name, sizeof(s->result->name), "%s", js_str(js_get(msg, "session"), ""));
	s->result->started = true;
	return 0;
}

static int on_window(struct session *s, const js *msg, struct err *err)
{
	int64_t bytes;
	if (js_int(js_get(msg, "bytes"), &bytes) || bytes < 0 || bytes > INT32_MAX)
		return err_set(err, ERR_PROTOCOL, "bad window from the daemon");
	s->window += bytes;
	return 0;
}

static int on_eof(struct session *s, const js *msg, struct err *err)
{
	(void)s;
	(void)msg;
	(void)err;
	return 0;
}

static int on_exit_message(struct session *s, const js *msg, struct err *err)
{
	int64_t code;
	if (js_int(js_get(msg, "exitCode"), &code) || code < 0 || code > 255)
		return err_set(err, ERR_PROTOCOL, "bad exit code from the daemon");
	s->result->code = (int)code;
	s->result->timed_out = js_bool(js_get(msg, "timedOut"), false);
	s->result->end = SESSION_EXIT;
	s->done = true;
	return 0;
}

static int on_error(struct session *s, const js *msg, struct err *err)
{
	(void)s;
	return client_api_error(js_get(msg, "error"), 500, err);
}

static const struct {
	const char *type;
	int (*handle)(struct session *s, const js *msg, struct err *err);
} server_messages[] = {
	{ "started", on_started },
	{ "window", on_window },
	{ "eof", on_eof },
	{ "exit", on_exit_message },
	{ "error", on_error },
};

static int on_text(struct session *s, const struct ws_msg *m, struct err *err)
{
	auto_js *msg = js_parse((const char *)m->data, m->len, JS_LIMITS_DEFAULT, err);
	if (!msg)
		return err_prefix(err, "message from the daemon");
	const char *type = js_str(js_get(msg, "type"), "");
	for (size_t i = 0; i < ARRAY_LEN(server_messages); i++)
		if (strcmp(server_messages[i].type, type) == 0)
			return server_messages[i].handle(s, msg, err);
	return 0; /* a newer daemon may say more */
}

static int connection_lost(struct err *err)
{
	err_set(err, ERR_UNAVAILABLE, "connection to the daemon lost");
	return err_hint(err, "the command may have been ended with it; see the daemon's log, log/sbxd.log in its home");
}

/* Write what is left of the current message. 0 also when it has to wait. */
static int drain(struct session *s, struct err *err)
{
	while (s->left_n) {
		struct sink *sink = &s->out[s->left_to];
		ssize_t n = s->left_to && s->err_broken ? (ssize_t)s->left_n : sink_write(sink, s->left, s->left_n);
		if (n == 0)
			return 0;
		if (n < 0 && s->left_to) {
			s->err_broken = true;
			continue;
		}
		if (n < 0)
			return err_sys(err, errno, "cannot write to standard output");
		s->left += n;
		s->left_n -= (size_t)n;
	}
	return 0;
}

static int on_message(struct session *s, const struct ws_msg *m, struct err *err)
{
	if (m->op == WS_TEXT)
		return on_text(s, m, err);
	if (m->op == WS_CLOSE)
		return connection_lost(err);
	if (m->len == 0 || (m->data[0] != CH_STDOUT && m->data[0] != CH_STDERR))
		return err_set(err, ERR_PROTOCOL, "output on an unknown channel");
	s->left = m->data + 1;
	s->left_n = m->len - 1;
	s->left_to = m->data[0] == CH_STDERR;
	if (s->raw)
		s->due += (int)csi_count(&s->questions, s->left, s->left_n, CSI_QUESTIONS);
	return drain(s, err);
}

/* Handle messages that are in, until one has to wait for an output. */
static int process(struct session *s, struct err *err)
{
	struct ws_msg m;
	int rc = 1;
	while (!s->done && s->left_n == 0 && (rc = ws_next(&s->ws, &m, err)) == 1)
		if (on_message(s, &m, err))
			return -1;
	return rc < 0 ? -1 : 0;
}

static int on_socket(struct session *s, short events, struct err *err)
{
	if (!(events & (POLLIN | POLLHUP | POLLERR)) || s->left_n)
		return 0;
	int rc = ws_fill(&s->ws, err);
	if (rc < 0 || process(s, err))
		return -1;
	return rc == 0 && !s->done && s->left_n == 0 ? connection_lost(err) : 0;
}

/* ---- our side: signals and standard input ---- */

static void finish(struct session *s, enum session_end end, int code)
{
	s->result->end = end;
	s->result->code = code;
	s->done = true;
}

static void on_interrupt(struct session *s, int signo)
{
	/* a terminal that is not raw any more, or never was: there the signal means us */
	if (s->config->tty) {
		finish(s, SESSION_INTERRUPTED, 128 + signo);
		return;
	}
	int64_t now = clock_mono_ms();
	if (s->interrupts == 0 || now - s->first_interrupt_ms > IMPATIENT_MS) {
		s->interrupts = 0;
		s->first_interrupt_ms = now;
	}
	if (++s->interrupts >= 3) {
		finish(s, SESSION_INTERRUPTED, 130);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(forwarded); i++)
		if (forwarded[i].signo == signo)
			send_signal(s, forwarded[i].name);
}

static int on_signals(struct session *s, struct err *err)
{
	struct signalfd_siginfo info;
	ssize_t n = read(s->sig_fd, &info, sizeof(info));
	if (n != (ssize_t)sizeof(info))
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : err_sys(err, errno, "cannot read signals");
	int signo = (int)info.ssi_signo;
	if (signo == SIGCONT)
		raw_again();
	if (signo == SIGWINCH || signo == SIGCONT)
		send_size(s);
	else
		on_interrupt(s, signo);
	return 0;
}

static void escape_help(const struct session *s)
{
	char ch[8];
	escape_show(&s->escape, ch);
	char text[256];
	int n = snprintf(text, sizeof(text),
		"\r\nescapes, after a newline:\r\n  %s.  detach: the session goes on\r\n  %s?  this help\r\n  %s%s  send one "
		"%s\r\n",
		ch, ch, ch, ch, ch);
	if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
		s->result->code = 0; /* help that cannot be shown is no failure */
}

/* Keys through the escape machine to the command. */
static void typed(struct session *s, size_t n)
{
	struct escape_io io = { .in = s->in_buf, .n = n, .out = s->in_buf + STDIN_SIZE };
	static const uint8_t channel = CH_STDIN;
	s->due -= (int)csi_count(&s->answers, s->in_buf, n, CSI_ANSWERS);
	if (s->due < 0)
		s->due = 0;
	while (io.n && !s->done) {
		size_t len = escape_feed(&s->escape, &io);
		if (len)
			ws_queue(&s->ws, WS_BINARY, (struct ws_piece){ &channel, 1 }, (struct ws_piece){ io.out, len });
		s->window -= (int64_t)len;
		io.in += io.used;
		io.n -= io.used;
		if (io.event == ESCAPE_DETACH)
			finish(s, SESSION_DETACHED, 0);
		if (io.event == ESCAPE_HELP)
			escape_help(s);
	}
}

/* The end of our input ends a command's; a named session goes on without us, one without a name is told by the key. */
static void on_stdin_end(struct session *s)
{
	s->stdin_open = false;
	if (s->config->op != SBX_OP_CONNECT_PTY) {
		send_eof(s);
	} else if (s->raw) {
		finish(s, SESSION_INTERRUPTED, 128 + SIGHUP); /* the terminal was hung up */
	} else if (s->config->session) {
		finish(s, SESSION_DETACHED, 0);
	} else {
		send_eof_key(s);
		s->eof_keys = true;
	}
}

static int on_stdin(struct session *s, struct err *err)
{
	/* one byte less than the window: the escape machine may give back one that it held */
	size_t room = s->window - 1 < (int64_t)STDIN_SIZE ? (size_t)(s->window - 1) : STDIN_SIZE;
	ssize_t n = read(STDIN_FILENO, s->in_buf, room);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0 && errno == EIO && s->config->tty)
		n = 0; /* the terminal was hung up */
	if (n < 0)
		return err_sys(err, errno, "cannot read standard input");
	if (n == 0)
		on_stdin_end(s);
	else
		typed(s, (size_t)n);
	return 0;
}

/* ---- the loop ---- */

static int step(struct session *s, struct err *err)
{
	/* A terminal's input waits until there is a session that it is for: its end must not pass for a detach. */
	bool open = s->result->started || s->config->op != SBX_OP_CONNECT_PTY;
	bool read_stdin = open && s->stdin_open && s->window > 1 && ws_queued(&s->ws) < (size_t)WINDOW_START;
	struct pollfd p[] = {
		{ .fd = s->ws.fd, .events = (short)((s->left_n ? 0 : POLLIN) | (ws_queued(&s->ws) ? POLLOUT : 0)) },
		{ .fd = s->sig_fd, .events = POLLIN },
		{ .fd = read_stdin ? STDIN_FILENO : -1, .events = POLLIN },
		{ .fd = s->left_n ? s->out[s->left_to].fd : -1, .events = POLLOUT },
	};
	/* while an output is full, the end of the connection must not turn this into a busy loop */
	if (s->left_n && !ws_queued(&s->ws))
		p[0].fd = -1;
	int rc = poll(p, ARRAY_LEN(p), s->eof_keys ? EOF_KEY_MS : -1);
	if (rc < 0)
		return errno == EINTR ? 0 : err_sys(err, errno, "cannot wait");
	/* a shell that was just starting, or in the middle of a line, has missed the one before */
	if (rc == 0)
		send_eof_key(s);
	if (p[1].revents && on_signals(s, err))
		return -1;
	if (p[3].revents && (drain(s, err) || process(s, err)))
		return -1;
	if (p[0].revents && on_socket(s, p[0].revents, err))
		return -1;
	if (!s->done && p[2].revents && on_stdin(s, err))
		return -1;
	return ws_flush(&s->ws, err);
}

/* Signals into sig_fd; the terminal's too once the session is open, as before any of these ends the attempt. */
static int watch_signals(struct session *s, bool terminal, struct err *err)
{
	sigset_t set;
	cli_signal_set(&set);
	if (terminal) {
		sigaddset(&set, SIGWINCH);
		sigaddset(&set, SIGCONT);
	}
	if (sigprocmask(SIG_BLOCK, &set, s->sig_fd < 0 ? &s->old_mask : NULL))
		return err_sys(err, errno, "cannot block signals");
	int fd = signalfd(s->sig_fd, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_sys(err, errno, "cannot watch signals");
	s->sig_fd = fd;
	return 0;
}

static int connect_session(struct session *s, struct client *c, struct err *err)
{
	struct call call = { .op = s->config->op, .path = { s->config->sandbox } };
	int outer = c->cancel_fd;
	c->cancel_fd = s->sig_fd;
	int rc = ws_open(&s->ws, c, &call, err);
	c->cancel_fd = outer;
	return rc;
}

static int prepare(struct session *s, struct client *c, struct err *err)
{
	if (connect_session(s, c, err) || (s->config->tty && watch_signals(s, true, err)))
		return -1;
	auto_buf start = BUF_INIT;
	if (start_message(s->config, &start, err))
		return -1;
	send_text(s, &start);
	s->in_buf = mem_try(STDIN_SIZE * 2 + 1);
	if (!s->in_buf)
		return err_set(err, ERR_LIMIT, "out of memory");
	sink_open(&s->out[0], s->config->to_stderr ? STDERR_FILENO : STDOUT_FILENO);
	sink_open(&s->out[1], STDERR_FILENO);
	s->escape = (struct escape){ .ch = ESCAPE_NONE };
	if (!s->config->tty || !s->config->use_stdin || !isatty(STDIN_FILENO))
		return ws_flush(&s->ws, err);
	s->escape = s->config->escape;
	s->raw = raw_enter(STDIN_FILENO, err) == 0;
	return s->raw ? ws_flush(&s->ws, err) : -1;
}

/* Say goodbye if the socket takes it; the daemon learns it from the end of the connection anyway. */
static void goodbye(struct session *s)
{
	static const uint8_t normal[] = { 1000 >> 8, 1000 & 255 };
	if (s->ws.fd < 0)
		return;
	ws_queue(&s->ws, WS_CLOSE, (struct ws_piece){ "", 0 }, (struct ws_piece){ normal, sizeof(normal) });
	(void)ws_flush(&s->ws, NULL);
}

/* Answers of the terminal to what the last output asked it (shells ask where the cursor is) must not reach the local shell
 * as typing: those that are still due are taken here, and not a byte more. */
static void swallow_answers(struct session *s)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	uint8_t byte;
	for (int bytes = 0; s->due > 0 && bytes < ANSWERS_MAX && poll(&p, 1, ANSWER_MS) > 0; bytes++) {
		if (read(STDIN_FILENO, &byte, 1) != 1)
			return;
		s->due -= (int)csi_count(&s->answers, &byte, 1, CSI_ANSWERS);
	}
}

int session_run(struct client *c, const struct session_config *config, struct session_result *out, struct err *err)
{
	*out = (struct session_result){ .end = SESSION_EXIT };
	struct session s = {
		.config = config,
		.result = out,
		.ws = { .fd = -1, .reader.part = BUF_INIT, .tx = BUF_INIT },
		.sig_fd = -1,
		.stdin_open = config->use_stdin,
		.window = WINDOW_START,
	};
	int rc = watch_signals(&s, false, err);
	if (rc == 0)
		rc = prepare(&s, c, err);
	/* what came together with the handshake is in memory already: poll would not tell of it */
	if (rc == 0)
		rc = process(&s, err);
	while (rc == 0 && !s.done)
		rc = step(&s, err);
	if (s.raw && out->end == SESSION_DETACHED)
		swallow_answers(&s);
	raw_leave();
	/* what is said next must not stand behind the remote prompt */
	if (s.raw && (rc || out->end != SESSION_EXIT) && write(STDERR_FILENO, "\n", 1) < 0)
		s.err_broken = true;
	goodbye(&s);
	sink_close(&s.out[0]);
	sink_close(&s.out[1]);
	ws_free(&s.ws);
	free(s.in_buf);
	if (s.sig_fd >= 0) {
		close(s.sig_fd);
		sigprocmask(SIG_SETMASK, &s.old_mask, NULL);
	}
	return rc;
}

int session_code(struct cli *cli, const struct session_result *result, const struct session_config *config)
{
	if (result->timed_out)
		cli_warn(cli, "the command ran longer than %.15g s and was killed", config->timeout.v);
	return result->code;
}
