/* agent streams: one OPEN of the host each. */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "daemon/guest/agent.h"
#include "shared/base/mem.h"

#define CREDIT_STEP (WIRE_WINDOW / 4) /* give credit back in steps of this */
#define TTY_EOF 4		      /* ^D */

static struct stream *find(const struct agent *a, uint32_t id)
{
	struct stream *s;

	for (s = TAILQ_FIRST(&a->streams); s; s = TAILQ_NEXT(s, turn))
		if (s->id == id)
			return s;
	return NULL;
}

static struct stream *stream_new(struct agent *a, uint32_t id)
{
	struct stream *s = mem_zalloc(sizeof(*s));

	s->id = id;
	for (int i = 0; i < WIRE_CHANNELS; i++)
		s->credit[i] = WIRE_WINDOW;
	s->in_left = WIRE_WINDOW;
	buf_init(&s->in);
	buf_init(&s->mem);
	TAILQ_INSERT_TAIL(&a->streams, s, turn);
	a->n_streams++;
	return s;
}

void stream_free(struct agent *a, struct stream *s)
{
	if (s->proc) {
		TAILQ_REMOVE(&s->proc->streams, s, mate);
		s->proc->clients--;
	}
	TAILQ_REMOVE(&a->streams, s, turn);
	a->n_streams--;
	buf_free(&s->in);
	buf_free(&s->mem);
	free(s);
}

void stream_close(struct agent *a, struct stream *s)
{
	struct proc *p = s->proc;

	stream_free(a, s);
	if (!p)
		return;
	if (p->session)
		session_tidy(a, p);
	else
		proc_abandon(a, p);
}

void stream_lose_all(struct agent *a)
{
	struct stream *s;

	while ((s = TAILQ_FIRST(&a->streams))) {
		struct proc *p = s->proc;

		if (!p || p->session || p->tty || p->kind != PROC_EXEC || p->clients > 1) {
			stream_close(a, s);
			continue;
		}
		stream_free(a, s);
		proc_orphan(a, p);
	}
}

void stream_put(struct buf *out, enum wire_type type, const struct stream *s, const struct buf *rec)
{
	if (buf_failed(rec))
		out->failed = true;
	else
		wire_put(out, type, 0, s->id, rec->p, rec->len);
}

void stream_fail(struct agent *a, struct stream *s, int sys, const char *fmt, ...)
{
	struct buf rec = BUF_INIT;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	wire_rec_u64(&rec, WT_CODE, 1);
	wire_rec_u64(&rec, WT_ERRNO, (uint64_t)sys);
	wire_rec_str(&rec, WT_MESSAGE, text);
	stream_put(&a->ctl, WIRE_EXIT, s, &rec);
	buf_free(&rec);
	stream_close(a, s);
}

void stream_started(struct agent *a, struct stream *s, bool created)
{
	struct buf rec = BUF_INIT;
	struct session *session = s->proc ? s->proc->session : NULL;

	wire_rec_u64(&rec, WT_PID, s->proc ? (uint64_t)s->proc->pid : 0);
	if (session) {
		wire_rec_str(&rec, WT_SESSION, session->name);
		wire_rec_u64(&rec, WT_REPLAY, session->ring[0].end - s->at[0]);
		wire_rec_u64(&rec, WT_OFFSET, s->at[0]);
		wire_rec_u64(&rec, WT_CREATED, created);
	}
	stream_put(&a->ctl, WIRE_STARTED, s, &rec);
	buf_free(&rec);
}

/* ---- output ---- */

static void put_eof(struct buf *out, struct stream *s, enum wire_channel ch)
{
	if (!s->eof_sent[ch])
		wire_put(out, WIRE_EOF, (uint8_t)ch, s->id, NULL, 0);
	s->eof_sent[ch] = true;
}

static void put_exit(struct agent *a, struct stream *s, struct buf *out)
{
	struct buf rec = BUF_INIT;

	if (!s->proc || !s->proc->dial_sys) { /* what was reset has no orderly end */
		put_eof(out, s, WIRE_STDOUT);
		put_eof(out, s, WIRE_STDERR);
	}
	if (s->proc)
		proc_exit_record(s->proc, &rec);
	else
		wire_rec_u64(&rec, WT_CODE, 0);
	stream_put(out, WIRE_EXIT, s, &rec);
	buf_free(&rec);
	if (s->proc && s->proc->session)
		s->proc->session->seen_end = true;
	stream_close(a, s);
}

bool stream_try_exit(struct agent *a, struct stream *s, struct buf *out)
{
	struct proc *p = s->proc;

	if (!p) {
		if (s->mem_at < s->mem.len)
			return false;
	} else if (!p->reaped || !p->started || !p->out[0].done || !p->out[1].done || (p->session && session_owes(s))) {
		return false;
	}
	put_exit(a, s, out);
	return true;
}

static size_t least(size_t x, size_t y)
{
	return x < y ? x : y;
}

static void pull_mem(struct agent *a, struct stream *s, size_t room)
{
	size_t n = least(least(room - WIRE_HEADER - 1, s->mem.len - s->mem_at), (size_t)s->credit[WIRE_STDOUT]);

	if (!n)
		return;
	wire_put(&a->cur, WIRE_DATA, WIRE_STDOUT, s->id, s->mem.p + s->mem_at, n);
	s->mem_at += n;
	s->credit[WIRE_STDOUT] -= n;
}

/* One frame of what the process wrote to channel ch. */
static void pull_output(struct agent *a, struct stream *s, enum wire_channel ch, size_t room)
{
	struct output *o = &s->proc->out[ch - WIRE_STDOUT];
	size_t max = least(room - WIRE_HEADER - 1, (size_t)s->credit[ch]);
	char *p;
	ssize_t n;

	if (s->proc->reaped)
		max = least(max, o->left);
	if (!max)
		return;
	p = buf_reserve(&a->cur, WIRE_HEADER + max + 1);
	if (!p)
		return;
	n = read(o->w.fd, p + WIRE_HEADER, max);
	if (n > 0) {
		char first = p[WIRE_HEADER]; /* where the buffer's end is marked for a moment */

		wire_put_header(&a->cur, WIRE_DATA, (uint8_t)ch, s->id, (size_t)n);
		p[WIRE_HEADER] = first;
		buf_commit(&a->cur, (size_t)n);
		wire_put_trailer(&a->cur);
		s->credit[ch] -= (uint64_t)n;
		if (s->proc->reaped && !(o->left -= (size_t)n))
			o->done = true;
	} else if (n < 0 && errno == EINTR) {
		return;
	} else if ((n < 0 && errno == EAGAIN) || (s->proc->tty && !s->proc->reaped)) {
		/* a pty whose other end nobody holds open just now may be opened again */
		o->ready = false;
		o->done = s->proc->reaped;
	} else {
		int sys = n < 0 ? errno : 0;

		o->ready = false;
		o->done = true;
		if (s->proc->kind == PROC_DIAL) {
			s->proc->dial_sys = sys;
			dial_half_ended(s->proc);
		}
		if (!s->proc->dial_sys)
			put_eof(&a->cur, s, ch);
	}
}

void stream_pull(struct agent *a, struct stream *s, size_t room)
{
	size_t end = a->cur.len + room;

	if (!s->proc) {
		pull_mem(a, s, room);
	} else if (!s->proc->started) {
		return;
	} else if (s->proc->session) {
		session_pull(a, s, room);
	} else {
		for (enum wire_channel ch = WIRE_STDOUT; ch <= WIRE_STDERR; ch++) {
			const struct output *o = &s->proc->out[ch - WIRE_STDOUT];

			room = a->cur.len < end ? end - a->cur.len : 0;
			if (o->ready && !o->done && room > WIRE_HEADER + 1)
				pull_output(a, s, ch, room);
		}
	}
	stream_try_exit(a, s, &a->cur);
}

/* ---- input ---- */

static void took(struct agent *a, struct stream *s, size_t n)
{
	s->in_owed += (uint32_t)n;
	if (s->in_owed < CREDIT_STEP || s->in_eof)
		return;
	wire_put_credit(&a->ctl, s->id, WIRE_STDIN, s->in_owed);
	s->in_left += s->in_owed;
	s->in_owed = 0;
}

/* Bytes of p that the process took; all of them when it does not read any more. */
static size_t give(struct proc *p, const char *data, size_t n)
{
	size_t done = 0;
	int fd = p->tty ? p->out[0].w.fd : p->in.fd;

	if (p->kind == PROC_DIAL && !p->started)
		return 0;
	while (done < n) {
		ssize_t w = fd < 0 ? -1 : write(fd, data + done, n - done);

		if (w > 0) {
			done += (size_t)w;
		} else if (w < 0 && fd >= 0 && errno == EINTR) {
			continue;
		} else if (w == 0 || (fd >= 0 && errno == EAGAIN)) {
			break;
		} else {
			if (p->kind == PROC_DIAL)
				dial_end_input(p);
			done = n;
		}
	}
	return done;
}

static void end_input(struct stream *s)
{
	struct proc *p = s->proc;
	char eof = TTY_EOF;

	if (p->session)
		return; /* one client's end is not the end of the terminal */
	if (p->kind == PROC_DIAL)
		dial_end_input(p);
	else if (!p->tty)
		loop_close(&p->in);
	else
		give(p, &eof, 1);
}

void stream_feed(struct agent *a, struct stream *s)
{
	size_t left = s->in.len - s->in_at, n;

	if (!left)
		return;
	n = give(s->proc, s->in.p + s->in_at, left);
	s->in_at += n;
	if (n == left) {
		buf_clear(&s->in);
		s->in_at = 0;
	}
	took(a, s, n);
	if (n == left && s->in_eof)
		end_input(s);
}

static void on_data(struct agent *a, struct stream *s, const struct wire_frame *f)
{
	size_t n = 0;

	if (f->channel != WIRE_STDIN || s->in_eof)
		return;
	if (f->length > s->in_left) {
		stream_fail(a, s, EPROTO, "more input than was allowed");
		return;
	}
	s->in_left -= f->length;
	if (!s->proc) {
		took(a, s, f->length);
		return;
	}
	if (!s->in.len)
		n = give(s->proc, (const char *)f->payload, f->length);
	if (s->in_at > s->in.len / 2) {
		buf_drop(&s->in, s->in_at);
		s->in_at = 0;
	}
	buf_add(&s->in, f->payload + n, f->length - n);
	if (buf_failed(&s->in)) {
		stream_fail(a, s, ENOMEM, "out of memory");
		return;
	}
	took(a, s, n);
}

static void on_eof(struct agent *a, struct stream *s, const struct wire_frame *f)
{
	(void)a;
	if (f->channel != WIRE_STDIN || s->in_eof)
		return;
	s->in_eof = true;
	if (s->proc && !s->in.len)
		end_input(s);
}

static void on_credit(struct agent *a, struct stream *s, const struct wire_frame *f)
{
	(void)a;
	if (f->length == 4)
		s->credit[f->channel] += wire_get_u32(f->payload);
}

static void on_signal(struct agent *a, struct stream *s, const struct wire_frame *f)
{
	(void)a;
	if (f->length == 1 && s->proc && f->payload[0] > 0 && f->payload[0] < NSIG)
		proc_signal(s->proc, f->payload[0]);
}

static void on_resize(struct agent *a, struct stream *s, const struct wire_frame *f)
{
	(void)a;
	if (f->length == 4 && s->proc && s->proc->tty)
		session_resize(s->proc, f->payload[0] | (unsigned)f->payload[1] << 8, f->payload[2] | (unsigned)f->payload[3] << 8);
}

static void on_close(struct agent *a, struct stream *s, const struct wire_frame *f)
{
	(void)f;
	stream_close(a, s);
}

/* ---- opening ---- */

static void (*const openers[WIRE_OP_END])(struct agent *, struct stream *, struct rec) = {
	[WIRE_OP_EXEC] = exec_open,
	[WIRE_OP_SESSIONS] = session_list,
	[WIRE_OP_KILL] = session_kill,
	[WIRE_OP_CONFIGURE] = configure_open,
	[WIRE_OP_READ] = ops_open,
	[WIRE_OP_WRITE] = ops_open,
	[WIRE_OP_LIST] = ops_open,
	[WIRE_OP_STAT] = ops_open,
	[WIRE_OP_MKDIR] = ops_open,
	[WIRE_OP_REMOVE] = ops_open,
	[WIRE_OP_TAR] = ops_open,
	[WIRE_OP_UNTAR] = ops_open,
	[WIRE_OP_INFO] = info_open,
	[WIRE_OP_SHUTDOWN] = shutdown_open,
	[WIRE_OP_DIAL] = dial_open,
	[WIRE_OP_WATCH] = ops_open,
	[WIRE_OP_MOUNT] = ops_open,
	[WIRE_OP_CHANGES] = ops_open,
};

static void on_open(struct agent *a, const struct wire_frame *f)
{
	struct rec r = { f->payload, f->length };
	struct stream *s;
	uint64_t op, wall_ms;

	if (!f->stream || find(a, f->stream))
		return;
	s = stream_new(a, f->stream);
	if (a->n_streams > AGENT_STREAMS_MAX) {
		stream_fail(a, s, EAGAIN, "too many streams are open");
		return;
	}
	if (!wire_rec_valid(r.p, r.n)) {
		stream_fail(a, s, EINVAL, "malformed request");
		return;
	}
	wall_ms = wire_rec_get_u64(r.p, r.n, WT_WALL_MS, 0);
	if (wall_ms)
		configure_clock(a, wall_ms);
	op = wire_rec_get_u64(r.p, r.n, WT_OP, 0);
	if (op >= WIRE_OP_END || !openers[op])
		stream_fail(a, s, ENOSYS, "unknown operation");
	else
		openers[op](a, s, r);
}

static void (*const handlers[WIRE_TYPE_END])(struct agent *, struct stream *, const struct wire_frame *) = {
	[WIRE_DATA] = on_data,
	[WIRE_EOF] = on_eof,
	[WIRE_CREDIT] = on_credit,
	[WIRE_SIGNAL] = on_signal,
	[WIRE_RESIZE] = on_resize,
	[WIRE_CLOSE] = on_close,
};

void stream_frame(struct agent *a, const struct wire_frame *f)
{
	struct stream *s;

	if (f->type == WIRE_OPEN) {
		on_open(a, f);
		return;
	}
	s = find(a, f->stream);
	if (s && handlers[f->type])
		handlers[f->type](a, s, f);
}
