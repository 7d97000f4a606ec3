#include "daemon/vm/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/sock.h"

enum {
	STREAMS_MAX = 256,
	STDIN_QUEUE_MAX = 256 * 1024,
	READ_SIZE = 256 * 1024,
	CREDIT_STEP = WIRE_WINDOW / 4, /* returning credit in steps saves frames; the guest still has 3/4 of the window */
	RETRY_MS = 20,
	HELLO_AGAIN_MS = 250,
	OUT_INPUT_MAX = 1024 * 1024, /* stdin waits in its stream while so much is unsent, whatever credit the guest gave */
	OUT_MAX = 32 * 1024 * 1024,  /* and a guest that reads nothing at all is given up: control frames need no credit */
};

struct link_stream {
	struct link *link; /* NULL once the link is gone */
	struct link_stream *next;
	const struct link_stream_ops *ops;
	void *arg;
	uint32_t id;
	int64_t opened_ms;
	bool answered, done; /* STARTED or EXIT came; on_exit was given */
	bool eof_wanted, eof_sent, starved;
	bool eof_got[WIRE_CHANNELS];
	struct buf open_record;		  /* kept until the link is up */
	struct buf input;		  /* stdin that has no credit yet */
	uint64_t credit;		  /* stdin bytes we may send */
	uint64_t granted[WIRE_CHANNELS];  /* output bytes the guest may still send */
	uint64_t consumed[WIRE_CHANNELS]; /* not yet returned as credit */
};

struct link {
	uv_loop_t *loop;
	char *path; /* or NULL, then fd is the connection */
	int fd;	    /* until it is used; else -1 */
	const struct link_ops *ops;
	void *arg;
	uv_pipe_t pipe;
	uv_timer_t timer; /* connect retries, HELLO repeats */
	uv_write_t write;
	struct buf out, in_flight;
	bool fresh, connected, up, writing, ending, closing; /* ending: streams are being told, no new ones */
	unsigned handles;				     /* libuv handles that still close */
	uint8_t nonce[WIRE_NONCE];
	struct wire_rx rx;
	struct link_stream *streams;
	size_t stream_count;
	uint32_t next_id;
	int64_t heard_ms;
};

static void link_fail(struct link *link, const struct err *why);
static void flush(struct link *link);
static void send_waiting(struct link *link);

/* ---- streams: bookkeeping ---- */

static void stream_free(struct link_stream *s)
{
	buf_free(&s->open_record);
	buf_free(&s->input);
	free(s);
}

static void stream_unlink(struct link_stream *s)
{
	struct link *link = s->link;
	if (!link)
		return;
	for (struct link_stream **p = &link->streams; *p; p = &(*p)->next) {
		if (*p == s) {
			*p = s->next;
			link->stream_count--;
			break;
		}
	}
	s->link = NULL;
}

static struct link_stream *stream_find(struct link *link, uint32_t id)
{
	struct link_stream *s = link->streams;
	while (s && s->id != id)
		s = s->next;
	return s;
}

static void stream_end(struct link_stream *s, const struct link_exit *end)
{
	if (s->done)
		return;
	s->done = true;
	stream_unlink(s);
	s->ops->on_exit(s->arg, end);
}

/* Streams are ended one by one from the head, since a callback may release any of them. */
static void end_all(struct link *link)
{
	const struct link_exit lost = { .link_lost = true, .message = "the connection to the sandbox was lost" };
	link->ending = true;
	while (link->streams)
		stream_end(link->streams, &lost);
}

/* ---- output to the guest ---- */

static void on_written(uv_write_t *req, int status)
{
	struct link *link = req->data;
	link->writing = false;
	buf_clear(&link->in_flight);
	if (link->closing)
		return;
	if (status < 0) {
		struct err why = ERR_INIT;
		err_sys(&why, -status, "cannot write to the agent");
		link_fail(link, &why);
		return;
	}
	flush(link);
	send_waiting(link);
}

static void on_overflow(uv_timer_t *timer)
{
	struct err why = ERR_INIT;
	err_set(&why, ERR_UNAVAILABLE, "the agent does not read what it is sent");
	link_fail(timer->data, &why);
}

static void flush(struct link *link)
{
	if (link->up && (buf_failed(&link->out) || link->out.len > OUT_MAX)) {
		uv_timer_start(&link->timer, on_overflow, 0, 0); /* from the loop; idle while the link is up */
		return;
	}
	if (!link->connected || link->writing || link->closing || link->out.len == 0)
		return;
	uv_buf_t b = uv_buf_init(link->out.p, (unsigned)link->out.len);
	int n = uv_try_write((uv_stream_t *)&link->pipe, &b, 1);
	if (n > 0)
		buf_drop(&link->out, (size_t)n);
	if (link->out.len == 0)
		return;
	/* The rest goes by the loop; what is appended meanwhile waits in the other buffer. */
	struct buf swap = link->in_flight;
	link->in_flight = link->out;
	link->out = swap;
	buf_clear(&link->out);
	b = uv_buf_init(link->in_flight.p, (unsigned)link->in_flight.len);
	link->write.data = link;
	link->writing = true;
	if (uv_write(&link->write, (uv_stream_t *)&link->pipe, &b, 1, on_written) != 0)
		link->writing = false; /* the read side reports the broken connection */
}

static void stream_send_input(struct link_stream *s)
{
	struct link *link = s->link;
	if (!link || !link->up)
		return;
	size_t at = 0;
	while (s->credit > 0 && at < s->input.len && link->out.len + link->in_flight.len < OUT_INPUT_MAX) {
		size_t n = s->input.len - at;
		if (n > WIRE_CHUNK)
			n = WIRE_CHUNK;
		if (n > s->credit)
			n = (size_t)s->credit;
		wire_put(&link->out, WIRE_DATA, WIRE_STDIN, s->id, s->input.p + at, n);
		at += n;
		s->credit -= n;
	}
	buf_drop(&s->input, at);
	if (s->eof_wanted && !s->eof_sent && s->input.len == 0) {
		s->eof_sent = true;
		wire_put(&link->out, WIRE_EOF, WIRE_STDIN, s->id, NULL, 0);
	}
	flush(link);
}

/* Tell a writer that waits when there is room again. True when it was told. */
static bool stream_wake(struct link_stream *s)
{
	if (!s->starved || s->input.len >= STDIN_QUEUE_MAX / 2)
		return false;
	s->starved = false;
	if (s->ops->on_writable)
		s->ops->on_writable(s->arg);
	return true;
}

/* Room for stdin again. A callback may release any stream: after one it begins anew. */
static void send_waiting(struct link *link)
{
	struct link_stream *s = link->streams;
	while (s && link->up && !link->writing) {
		stream_send_input(s);
		s = stream_wake(s) ? link->streams : s->next;
	}
}

/* ---- frames from the guest ---- */

static void clean_text(char *out, size_t size, const struct wire_field *f)
{
	size_t n = f->n < size - 1 ? f->n : size - 1;
	for (size_t i = 0; i < n; i++)
		out[i] = f->p[i] < 0x20 || f->p[i] == 0x7f ? '?' : (char)f->p[i];
	out[n] = '\0';
}

static void got_started(struct link_stream *s, const struct wire_frame *f)
{
	struct link_started started = {
		.pid = (int64_t)wire_rec_get_u64(f->payload, f->length, WT_PID, 0),
		.replay = wire_rec_get_u64(f->payload, f->length, WT_REPLAY, 0),
		.created = wire_rec_get_u64(f->payload, f->length, WT_CREATED, 1) != 0,
	};
	struct wire_field name;
	if (wire_rec_find(f->payload, f->length, WT_SESSION, &name) == 1)
		clean_text(started.session, sizeof(started.session), &name);
	s->answered = true;
	if (s->ops->on_started)
		s->ops->on_started(s->arg, &started);
}

/* What an end does not say must not pass for success. */
static bool has_code(const struct wire_frame *f)
{
	return wire_rec_get_u64(f->payload, f->length, WT_CODE, UINT64_MAX) <= UINT8_MAX;
}

static void got_exit(struct link_stream *s, const struct wire_frame *f)
{
	const uint8_t *p = f->payload;
	size_t n = f->length;
	struct link_exit end = {
		.pid = (int64_t)wire_rec_get_u64(p, n, WT_PID, 0),
		.code = (int)wire_rec_get_u64(p, n, WT_CODE, 0),
		.started = s->answered,
		.signal = (int)(wire_rec_get_u64(p, n, WT_TERMSIG, 0) & 0x7f),
		.timed_out = wire_rec_get_u64(p, n, WT_TIMED_OUT, 0) != 0,
		.sys = (int)(wire_rec_get_u64(p, n, WT_ERRNO, 0) & 0xfff),
		.utime_us = (int64_t)(wire_rec_get_u64(p, n, WT_UTIME_US, 0) & INT64_MAX),
		.stime_us = (int64_t)(wire_rec_get_u64(p, n, WT_STIME_US, 0) & INT64_MAX),
		.maxrss_kb = (int64_t)(wire_rec_get_u64(p, n, WT_MAXRSS_KB, 0) & INT64_MAX),
	};
	struct wire_field message;
	if (wire_rec_find(p, n, WT_MESSAGE, &message) == 1)
		clean_text(end.message, sizeof(end.message), &message);
	s->answered = true;
	stream_end(s, &end);
}

/* A stream whose peer breaks the rules is cut; the others go on. */
static void cut(struct link_stream *s, const char *why)
{
	struct link *link = s->link;
	log_warn("link", "%s: stream %u cut: %s", link->path, s->id, why);
	wire_put(&link->out, WIRE_CLOSE, 0, s->id, NULL, 0);
	struct link_exit end = { .sys = EPROTO };
	memcpy(end.message, "the agent broke the protocol", sizeof("the agent broke the protocol"));
	stream_end(s, &end);
}

static void got_stream_frame(struct link_stream *s, const struct wire_frame *f)
{
	switch (f->type) {
	case WIRE_STARTED:
	case WIRE_EXIT:
		if (!wire_rec_valid(f->payload, f->length) || (f->type == WIRE_STARTED && s->answered))
			cut(s, "bad record");
		else if (f->type == WIRE_EXIT && !has_code(f))
			cut(s, "an end without an exit code");
		else if (f->type == WIRE_STARTED)
			got_started(s, f);
		else
			got_exit(s, f);
		break;
	case WIRE_DATA:
		if (f->channel == WIRE_STDIN || f->length > s->granted[f->channel]) {
			cut(s, "credit overdrawn");
			break;
		}
		s->granted[f->channel] -= f->length;
		if (f->length > 0) /* an empty one costs no credit: a flood of them must cost our client nothing */
			s->ops->on_data(s->arg, f->channel, f->payload, f->length);
		break;
	case WIRE_EOF:
		if (s->eof_got[f->channel]) {
			cut(s, "two ends of one channel");
			break;
		}
		s->eof_got[f->channel] = true;
		if (s->ops->on_eof)
			s->ops->on_eof(s->arg, f->channel);
		break;
	case WIRE_CREDIT:
		if (f->length != 4 || s->credit > UINT32_MAX) {
			cut(s, "bad credit");
			break;
		}
		s->credit += wire_get_u32(f->payload);
		stream_send_input(s);
		stream_wake(s);
		break;
	default:
		cut(s, "unexpected frame");
		break;
	}
}

static void stream_send_open(struct link_stream *s)
{
	wire_put(&s->link->out, WIRE_OPEN, 0, s->id, s->open_record.p, s->open_record.len);
	buf_free(&s->open_record);
	stream_send_input(s);
}

static void got_hello(struct link *link, const struct wire_frame *f)
{
	struct wire_field nonce;
	if (link->up || wire_rec_find(f->payload, f->length, WT_NONCE, &nonce) != 1 || nonce.n != WIRE_NONCE ||
		memcmp(nonce.p, link->nonce, WIRE_NONCE) != 0)
		return; /* an answer to somebody else's question */
	uint64_t version = wire_rec_get_u64(f->payload, f->length, WT_VERSION, 0);
	if (version != WIRE_VERSION) {
		struct err why = ERR_INIT;
		err_set(&why, ERR_PROTOCOL, "the agent speaks protocol %llu, this daemon %d", (unsigned long long)version,
			WIRE_VERSION);
		link_fail(link, &why);
		return;
	}
	link->up = true;
	uv_timer_stop(&link->timer);
	for (struct link_stream *s = link->streams; s; s = s->next)
		stream_send_open(s);
	flush(link);
	if (link->ops->on_up)
		link->ops->on_up(link->arg);
}

static void got_bytes(struct link *link)
{
	struct wire_frame f;
	link->heard_ms = (int64_t)uv_now(link->loop);
	while (!link->closing && wire_rx_next(&link->rx, &f) == 1) {
		if (f.stream == 0) {
			if (f.type == WIRE_HELLO)
				got_hello(link, &f);
			continue;
		}
		struct link_stream *s = link->up ? stream_find(link, f.stream) : NULL;
		if (s)
			got_stream_frame(s, &f);
	}
	if (link->up && link->rx.lost) {
		/* Nothing it says would be heard until somebody says HELLO: begin anew. */
		struct err why = ERR_INIT;
		err_set(&why, ERR_PROTOCOL, "the agent sent bytes that are no frame");
		link_fail(link, &why);
	}
}

/* ---- the connection ---- */

static void on_handle_closed(uv_handle_t *h)
{
	struct link *link = h->data;
	if (--link->handles > 0)
		return;
	wire_rx_free(&link->rx);
	buf_free(&link->out);
	buf_free(&link->in_flight);
	if (link->fd >= 0)
		close(link->fd);
	free(link->path);
	free(link);
}

static void shut(struct link *link)
{
	if (link->closing)
		return;
	link->closing = true;
	link->up = false;
	uv_close((uv_handle_t *)&link->pipe, on_handle_closed);
	uv_close((uv_handle_t *)&link->timer, on_handle_closed);
}

static void link_fail(struct link *link, const struct err *why)
{
	if (link->closing)
		return;
	const struct link_ops *ops = link->ops;
	void *arg = link->arg;
	struct err copy = *why;
	end_all(link);
	if (link->closing)
		return; /* a callback closed us */
	shut(link);
	if (ops->on_down)
		ops->on_down(arg, &copy);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	(void)suggested;
	struct link *link = h->data;
	char *p = wire_rx_space(&link->rx, READ_SIZE);
	*out = uv_buf_init(p, p ? READ_SIZE : 0);
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *b)
{
	(void)b;
	struct link *link = h->data;
	if (n > 0) {
		wire_rx_fed(&link->rx, (size_t)n);
		got_bytes(link);
	} else if (n < 0) {
		struct err why = ERR_INIT;
		err_set(&why, ERR_UNAVAILABLE, "the agent's connection ended: %s", uv_strerror((int)n));
		link_fail(link, &why);
	}
}

static void say_hello(struct link *link)
{
	auto_buf record = BUF_INIT;
	wire_rec_u64(&record, WT_VERSION, WIRE_VERSION);
	wire_rec_bytes(&record, WT_NONCE, link->nonce, WIRE_NONCE);
	wire_put(&link->out, WIRE_HELLO, 0, 0, record.p, record.len);
	flush(link);
}

static void on_hello_again(uv_timer_t *timer)
{
	struct link *link = timer->data;
	/* Until it is answered a HELLO may have been swallowed by the rest of a half frame: say it again. Nothing is queued
	 * meanwhile when the guest does not read. */
	if (!link->writing && link->out.len == 0)
		say_hello(link);
}

static void start_talking(struct link *link)
{
	link->connected = true;
	uv_read_start((uv_stream_t *)&link->pipe, on_alloc, on_read);
	rand_bytes(link->nonce, sizeof(link->nonce));
	if (!link->fresh) {
		char *pad = buf_reserve(&link->out, WIRE_SYNC_PAD);
		if (pad) {
			memset(pad, 0, WIRE_SYNC_PAD);
			buf_commit(&link->out, WIRE_SYNC_PAD);
		}
	}
	wire_rx_lose(&link->rx);
	say_hello(link);
	uv_timer_start(&link->timer, on_hello_again, HELLO_AGAIN_MS, HELLO_AGAIN_MS);
}

static void on_connect_time(uv_timer_t *timer)
{
	struct link *link = timer->data;
	struct err err = ERR_INIT;
	int fd = link->path ? sock_connect(link->path, &err) : link->fd;
	link->fd = -1;
	if (fd < 0 && (err.sys == EAGAIN || err.sys == ECONNREFUSED || err.sys == ENOENT)) {
		uv_timer_start(&link->timer, on_connect_time, RETRY_MS, 0); /* backlog full or not there yet */
		return;
	}
	int rc = fd < 0 ? 0 : uv_pipe_open(&link->pipe, fd);
	if (rc < 0) {
		close(fd);
		err_sys(&err, -rc, "cannot use the connection to the agent");
	}
	if (err.code != ERR_OK)
		link_fail(link, &err);
	else
		start_talking(link);
}

static struct link *link_new(uv_loop_t *loop, const struct link_ops *ops, void *arg, struct err *err)
{
	struct link *link = mem_zalloc(sizeof(*link));
	link->loop = loop;
	link->fd = -1;
	link->ops = ops;
	link->arg = arg;
	link->next_id = 1;
	buf_init(&link->out);
	buf_init(&link->in_flight);
	wire_rx_init(&link->rx);
	int rc = uv_pipe_init(loop, &link->pipe, 0);
	if (rc == 0)
		rc = uv_timer_init(loop, &link->timer);
	if (rc < 0) {
		free(link);
		err_sys(err, -rc, "cannot set up a connection");
		return NULL;
	}
	link->pipe.data = link->timer.data = link;
	link->handles = 2;
	/* From the loop, so that no callback comes from inside the call. */
	uv_timer_start(&link->timer, on_connect_time, 0, 0);
	return link;
}

struct link *link_open(uv_loop_t *loop, const char *path, bool fresh, const struct link_ops *ops, void *arg, struct err *err)
{
	struct link *link = link_new(loop, ops, arg, err);
	if (!link)
		return NULL;
	link->path = mem_strdup(path);
	link->fresh = fresh;
	return link;
}

struct link *link_adopt(uv_loop_t *loop, int fd, const struct link_ops *ops, void *arg, struct err *err)
{
	struct link *link = link_new(loop, ops, arg, err);
	if (link)
		link->fd = fd;
	else
		close(fd);
	return link;
}

void link_close(struct link *link)
{
	if (!link || link->closing)
		return;
	end_all(link);
	shut(link);
}

size_t link_streams(const struct link *link)
{
	return link->stream_count;
}

bool link_is_up(const struct link *link)
{
	return link && link->up;
}

bool link_is_stuck(const struct link *link, int64_t ms)
{
	int64_t now = (int64_t)uv_now(link->loop);
	for (const struct link_stream *s = link->streams; s; s = s->next)
		if (!s->answered && now - s->opened_ms > ms && now - link->heard_ms > ms)
			return true;
	return false;
}

/* ---- streams: the callers' side ---- */

struct link_stream *link_stream_open(
	struct link *link, const struct buf *record, const struct link_stream_ops *ops, void *arg, struct err *err)
{
	if (link->closing || link->ending) {
		err_set(err, ERR_UNAVAILABLE, "the sandbox is going away");
		return NULL;
	}
	if (link->stream_count >= STREAMS_MAX) {
		err_set(err, ERR_LIMIT, "too many commands at once in this sandbox (%d)", STREAMS_MAX);
		return NULL;
	}
	if (buf_failed(record) || record->len > WIRE_PAYLOAD_MAX) {
		err_set(err, ERR_TOO_LARGE, "the command with its environment is too long (%zu bytes, at most %d)", record->len,
			WIRE_PAYLOAD_MAX);
		return NULL;
	}
	struct link_stream *s = mem_zalloc(sizeof(*s));
	s->link = link;
	s->ops = ops;
	s->arg = arg;
	s->id = link->next_id++;
	s->opened_ms = (int64_t)uv_now(link->loop);
	s->credit = WIRE_WINDOW;
	buf_init(&s->open_record);
	buf_init(&s->input);
	for (int ch = 0; ch < WIRE_CHANNELS; ch++)
		s->granted[ch] = WIRE_WINDOW;
	buf_add(&s->open_record, record->p, record->len);
	s->next = link->streams;
	link->streams = s;
	link->stream_count++;
	if (link->up)
		stream_send_open(s);
	return s;
}

size_t link_stream_write(struct link_stream *s, const void *data, size_t n)
{
	if (s->done || s->eof_wanted)
		return n; /* nobody reads it any more */
	size_t room = s->input.len < STDIN_QUEUE_MAX ? STDIN_QUEUE_MAX - s->input.len : 0;
	size_t take = n < room ? n : room;
	buf_add(&s->input, data, take);
	stream_send_input(s);
	if (take < n)
		s->starved = true;
	return take;
}

void link_stream_eof(struct link_stream *s)
{
	s->eof_wanted = true;
	if (!s->done)
		stream_send_input(s);
}

void link_stream_consumed(struct link_stream *s, enum wire_channel ch, size_t n)
{
	s->consumed[ch] += n;
	if (!s->link || s->done || s->consumed[ch] < CREDIT_STEP)
		return;
	wire_put_credit(&s->link->out, s->id, (uint8_t)ch, (uint32_t)s->consumed[ch]);
	s->granted[ch] += s->consumed[ch];
	s->consumed[ch] = 0;
	flush(s->link);
}

void link_stream_signal(struct link_stream *s, int signo)
{
	if (!s->link || s->done)
		return;
	wire_put_signal(&s->link->out, s->id, signo);
	flush(s->link);
}

void link_stream_resize(struct link_stream *s, unsigned cols, unsigned rows)
{
	if (!s->link || s->done)
		return;
	wire_put_resize(&s->link->out, s->id, cols, rows);
	flush(s->link);
}

void link_stream_close(struct link_stream *s)
{
	if (!s)
		return;
	struct link *link = s->link;
	if (link && !s->done) {
		if (link->up) {
			wire_put(&link->out, WIRE_CLOSE, 0, s->id, NULL, 0);
			flush(link);
		}
		stream_unlink(s);
	}
	stream_free(s);
}
