/*
 * The answer is read before more of the request is written when both can be done: a server that refuses an upload says so and
 * closes, and what it said must not be lost to the error that writing then gives. For the same reason an error of writing only ends
 * the writing; how the connection ended, reading tells.
 */
#include "daemon/net/ask.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/net/http1.h"

enum {
	READ_SIZE = 16 << 10,
	READS_AT_ONCE = 16, /* then others have their turn */
};

struct ask {
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned handles;
	int fd, events;
	bool over;
	bool bodiless; /* the answer to a HEAD */
	bool mute;     /* the peer takes no more of the request */
	char *upgrade;
	size_t answer_max;
	int64_t limit_ms;
	struct buf out; /* the request, of which `sent` bytes have left */
	size_t sent;
	struct buf in;	/* a head that is not complete, and the first `seen` bytes of it do not end it */
	size_t seen;	/* more than HTTP1_HEAD_MAX is never looked at */
	size_t skipped; /* bytes of the heads before it */
	bool headed;
	struct http1_head head;
	struct http1_body framing;
	struct buf body;
	ask_cb *cb;
	void *arg;
};

/* ---- the end ---- */

static void release(struct ask *a)
{
	buf_free(&a->out);
	buf_free(&a->in);
	buf_free(&a->body);
	free(a->upgrade);
	free(a);
}

static void on_closed(uv_handle_t *h)
{
	struct ask *a = h->data;
	if (--a->handles == 0)
		release(a);
}

/* Let go of the loop. The descriptor, which is the caller's now. */
static int stop(struct ask *a)
{
	int fd = a->fd;
	a->over = true;
	a->fd = -1;
	uv_close((uv_handle_t *)&a->poll, on_closed);
	uv_close((uv_handle_t *)&a->timer, on_closed);
	return fd;
}

void ask_cancel(struct ask *a)
{
	if (a && !a->over)
		close(stop(a)); /* after its handle: see qemu.c, qmp_done */
}

static void fail(struct ask *a, const struct err *why)
{
	struct buf none = BUF_INIT;
	struct ask_answer answer = { .type = "", .body = "", .fd = -1, .early = &none, .err = why };
	close(stop(a));
	a->cb(a->arg, &answer);
	buf_free(&none);
}

static void succeed(struct ask *a)
{
	struct buf none = BUF_INIT;
	bool taken = a->head.status == 101;
	struct ask_answer answer = { .status = a->head.status,
		.type = a->head.media,
		.body = a->body.p,
		.n = a->body.len,
		.fd = -1,
		.early = taken ? &a->in : &none };
	int fd = stop(a);
	if (taken)
		answer.fd = fd;
	else
		close(fd);
	a->cb(a->arg, &answer);
	buf_free(&none);
}

static void no_memory(struct ask *a)
{
	struct err err = ERR_INIT;
	err_set(&err, ERR_UNAVAILABLE, "no memory for an answer");
	fail(a, &err);
}

static void on_limit(uv_timer_t *timer)
{
	struct ask *a = timer->data;
	struct err err = ERR_INIT;
	err_set(&err, ERR_TIMEOUT, "no answer within %lld ms", (long long)a->limit_ms);
	fail(a, &err);
}

/* The peer has closed, or the connection broke. */
static void ended(struct ask *a, int sys)
{
	struct err err = ERR_INIT;
	if (a->headed && sys == 0 && http1_body_eof(&a->framing, &err) == 0) {
		succeed(a);
		return;
	}
	if (a->headed || a->in.len > 0)
		err_set(&err, ERR_PROTOCOL, "the connection broke in the middle of an answer");
	else if (sys)
		err_set(&err, ERR_UNAVAILABLE, "the connection broke before an answer: %s",
			uv_strerror(uv_translate_sys_error(sys)));
	else
		err_set(&err, ERR_UNAVAILABLE, "the connection was closed without an answer");
	fail(a, &err);
}

/* ---- the answer ---- */

static void too_large(struct ask *a)
{
	struct err err = ERR_INIT;
	err_set(&err, ERR_PROTOCOL, "bad answer: its body is larger than %zu bytes", a->answer_max);
	fail(a, &err);
}

static void take_body(struct ask *a, const char *p, size_t n)
{
	struct err err = ERR_INIT;
	while (n > 0 && a->framing.state != HTTP1_DONE) {
		struct http1_piece piece;
		if (http1_body(&a->framing, p, n, &piece, &err)) {
			fail(a, &err);
			return;
		}
		if (piece.len > a->answer_max - a->body.len) {
			too_large(a);
			return;
		}
		buf_add(&a->body, piece.data, piece.len);
		p += piece.used;
		n -= piece.used;
	}
	if (buf_failed(&a->body))
		no_memory(a);
	else if (a->framing.state == HTTP1_DONE)
		succeed(a);
}

/* The last head is there, and the first n bytes of a->in are it. */
static void begin_body(struct ask *a, size_t n)
{
	struct err err = ERR_INIT;
	a->headed = true;
	if (a->head.status == 101) {
		if (!a->upgrade || strcasecmp(a->head.upgrade, a->upgrade) != 0 || a->mute || a->out.len > 0) {
			err_set(&err, ERR_PROTOCOL, "bad answer: it switches to what was not asked for");
			fail(a, &err);
			return;
		}
		buf_drop(&a->in, n);
		succeed(a);
		return;
	}
	http1_body_init(&a->framing, &a->head);
	if (a->bodiless)
		a->framing.state = HTTP1_DONE;
	if (a->framing.state == HTTP1_LENGTH && a->framing.left > a->answer_max)
		too_large(a);
	else
		take_body(a, a->in.p + n, a->in.len - n);
	buf_free(&a->in);
}

/* One head off a->in. False: it is not complete, or the last one was taken, or the call is over. */
static bool take_one(struct ask *a)
{
	struct err err = ERR_INIT;
	size_t from = a->seen > 3 ? a->seen - 3 : 0, left = HTTP1_HEAD_MAX - a->skipped;
	bool complete = memmem(a->in.p + from, a->in.len - from, "\r\n\r\n", 4);
	a->seen = a->in.len;
	if (!complete && a->in.len < left)
		return false;
	ssize_t n = http1_head(a->in.p, a->in.len, &a->head, &err);
	if (n == 0 || (n > 0 && (size_t)n > left))
		n = err_set(&err, ERR_PROTOCOL, "bad answer: headers are too long");
	if (n < 0) {
		fail(a, &err);
		return false;
	}
	if (a->head.status >= 200 || a->head.status == 101) {
		begin_body(a, (size_t)n);
		return false;
	}
	a->skipped += (size_t)n;
	buf_drop(&a->in, (size_t)n);
	a->seen = 0;
	return true;
}

static void take_head(struct ask *a, const char *p, size_t n)
{
	buf_add(&a->in, p, n);
	if (buf_failed(&a->in)) {
		no_memory(a);
		return;
	}
	while (take_one(a))
		;
}

static void hear(struct ask *a)
{
	char block[READ_SIZE];
	for (int i = 0; i < READS_AT_ONCE && !a->over; i++) {
		ssize_t n = recv(a->fd, block, sizeof(block), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			ended(a, n < 0 ? errno : 0);
		else if (a->headed)
			take_body(a, block, (size_t)n);
		else
			take_head(a, block, (size_t)n);
	}
}

/* ---- the request ---- */

static void say(struct ask *a)
{
	while (a->sent < a->out.len && !a->mute) {
		ssize_t n = send(a->fd, a->out.p + a->sent, a->out.len - a->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0)
			a->sent += (size_t)n;
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR)
			a->mute = true;
	}
	buf_free(&a->out);
	a->sent = 0;
}

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct ask *a = poll->data;
	(void)events;
	if (status < 0)
		a->events = 0; /* libuv has stopped; what it is, the next call on the socket says */
	hear(a);
	if (!a->over && a->out.len > 0)
		say(a);
	int want = UV_READABLE | (a->out.len > 0 ? UV_WRITABLE : 0);
	if (a->over || a->events == want)
		return;
	a->events = want;
	uv_poll_start(&a->poll, want, on_event);
}

static bool is_token(const char *s, size_t n)
{
	static const char marks[] = "!#$%&'*+-.^_`|~";
	for (size_t i = 0; i < n; i++) {
		char c = s[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && (c == '\0' || !strchr(marks, c)))
			return false;
	}
	return n > 0;
}

static bool is_value(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

static bool is_target(const char *s)
{
	if (*s != '/')
		return false;
	for (; *s; s++)
		if (*s <= ' ' || *s == 0x7f)
			return false;
	return true;
}

static bool is_header(const char *line)
{
	static const char *const ours[] = { "Host", "Connection", "Upgrade", "Content-Length", "Transfer-Encoding", "Content-Type",
		"Expect" };
	size_t n = strcspn(line, ":");
	if (line[n] != ':' || !is_token(line, n) || !is_value(line + n))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (strlen(ours[i]) == n && strncasecmp(ours[i], line, n) == 0)
			return false;
	return true;
}

static int check(const struct ask_spec *spec, struct err *err)
{
	if (!is_token(spec->method, strlen(spec->method)) || !is_target(spec->path))
		return err_set(err, ERR_INVALID, "'%s %s' is no request", spec->method, spec->path);
	if ((spec->type && !is_value(spec->type)) || (spec->upgrade && !is_value(spec->upgrade)))
		return err_set(err, ERR_INVALID, "a header has a control character");
	for (size_t i = 0; spec->headers && spec->headers[i]; i++)
		if (!is_header(spec->headers[i]))
			return err_set(err, ERR_INVALID, "'%.*s' cannot be a header here", (int)strcspn(spec->headers[i], ":"),
				spec->headers[i]);
	return 0;
}

static void write_request(struct buf *out, const struct ask_spec *spec)
{
	bool wants_body = !strcmp(spec->method, "POST") || !strcmp(spec->method, "PUT") || !strcmp(spec->method, "PATCH");
	buf_fmt(out, "%s %s HTTP/1.1\r\nHost: localhost\r\n", spec->method, spec->path);
	if (spec->upgrade)
		buf_fmt(out, "Connection: Upgrade\r\nUpgrade: %s\r\n", spec->upgrade);
	else
		buf_str(out, "Connection: close\r\n");
	if (spec->type)
		buf_fmt(out, "Content-Type: %s\r\n", spec->type);
	if (spec->body || wants_body)
		buf_fmt(out, "Content-Length: %zu\r\n", spec->body ? spec->n : 0);
	for (size_t i = 0; spec->headers && spec->headers[i]; i++)
		buf_fmt(out, "%s\r\n", spec->headers[i]);
	buf_str(out, "\r\n");
	if (spec->body)
		buf_add(out, spec->body, spec->n);
}

static struct ask *new_ask(const struct ask_spec *spec, struct err *err)
{
	if (check(spec, err))
		return NULL;
	struct ask *a = mem_zalloc(sizeof(*a));
	a->bodiless = strcmp(spec->method, "HEAD") == 0;
	a->upgrade = spec->upgrade ? mem_strdup(spec->upgrade) : NULL;
	a->answer_max = spec->answer_max ? spec->answer_max : ASK_ANSWER_MAX;
	a->limit_ms = spec->limit_ms ? spec->limit_ms : ASK_LIMIT_MS;
	buf_init(&a->out);
	buf_init(&a->in);
	buf_init(&a->body);
	write_request(&a->out, spec);
	if (!buf_failed(&a->out))
		return a;
	err_set(err, ERR_UNAVAILABLE, "no memory for a request of %zu bytes", spec->n);
	release(a);
	return NULL;
}

struct ask *ask_start(uv_loop_t *loop, int fd, const struct ask_spec *spec, ask_cb *cb, void *arg, struct err *err)
{
	struct ask *a = new_ask(spec, err);
	int rc = a ? uv_poll_init(loop, &a->poll, fd) : -1;
	if (rc < 0) {
		close(fd);
		if (a) {
			err_sys(err, -rc, "cannot watch a connection");
			release(a);
		}
		return NULL;
	}
	uv_timer_init(loop, &a->timer);
	a->poll.data = a->timer.data = a;
	a->handles = 2;
	a->fd = fd;
	a->cb = cb;
	a->arg = arg;
	a->events = UV_READABLE | UV_WRITABLE;
	uv_timer_start(&a->timer, on_limit, (uint64_t)a->limit_ms, 0);
	uv_poll_start(&a->poll, a->events, on_event);
	return a;
}
