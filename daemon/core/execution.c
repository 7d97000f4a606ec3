#include "daemon/core/execution.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/internal.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { ANSWER_MS = 10000 };

struct execution {
	struct sandbox *sb;
	struct link_stream *stream; /* NULL after its end */
	const struct exec_ops *ops;
	void *arg;
	uv_timer_t deadline; /* until the guest answers; then, if it has a timeout, until the guest should have kept it */
	int64_t timeout_ms;
	int64_t begun_us;
	bool logged, ended, closed;
	char *id; /* of the sandbox, which may be gone at the end */
};

static void on_deadline(uv_timer_t *timer);

/* ---- callbacks of the link ---- */

static void on_started(void *arg, const struct link_started *s)
{
	struct execution *x = arg;
	uv_timer_stop(&x->deadline);
	if (x->timeout_ms > 0)
		uv_timer_start(&x->deadline, on_deadline, (uint64_t)x->timeout_ms + ANSWER_MS, 0);
	struct exec_start start = { .pid = s->pid, .session = s->session, .created = s->created, .replay = s->replay };
	if (x->ops->on_start)
		x->ops->on_start(x->arg, &start);
}

static void on_data(void *arg, enum wire_channel ch, const uint8_t *data, size_t n)
{
	struct execution *x = arg;
	x->ops->on_data(x->arg, (enum exec_channel)ch, data, n);
}

static void on_eof(void *arg, enum wire_channel ch)
{
	struct execution *x = arg;
	if (x->ops->on_eof)
		x->ops->on_eof(x->arg, (enum exec_channel)ch);
}

static void on_writable(void *arg)
{
	struct execution *x = arg;
	if (x->ops->on_writable)
		x->ops->on_writable(x->arg);
}

/* What a guest's errno means to a client. */
static enum err_code code_of_guest_errno(int sys)
{
	switch (sys) {
	case ENOENT:
	case ESRCH:
		return ERR_NOT_FOUND;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_FORBIDDEN;
	case EEXIST:
	case ENOTEMPTY:
	case EBUSY:
		return ERR_CONFLICT;
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	case EPROTO:
		return ERR_PROTOCOL;
	case EAGAIN:
	case ENOMEM:
	case EMFILE:
		return ERR_LIMIT;
	case ECONNREFUSED:
	case ECONNRESET:
	case ETIMEDOUT:
		return ERR_UNAVAILABLE;
	default:
		return ERR_INVALID;
	}
}

static void finish(struct execution *x, struct exec_end *end)
{
	if (x->ended)
		return;
	x->ended = true;
	uv_timer_stop(&x->deadline);
	end->duration_us = clock_mono_us() - x->begun_us;
	/* The sandbox may be going away: its log is only there while it is. */
	struct sandbox *sb = x->logged && x->sb->log ? x->sb : NULL;
	if (sb && end->failed)
		eventlog_add(sb->log, "exec-failed", "%s", end->err.msg);
	else if (sb)
		eventlog_add(sb->log, "exit", "code %d%s after %lld ms", end->code, end->timed_out ? " (timeout)" : "",
			(long long)end->duration_us / 1000);
	x->ops->on_end(x->arg, end);
}

static void on_stream_exit(void *arg, const struct link_exit *e)
{
	struct execution *x = arg;
	link_stream_close(x->stream);
	x->stream = NULL;
	struct exec_end end = { .pid = e->pid,
		.code = e->code,
		.signal = e->signal,
		.timed_out = e->timed_out,
		.user_us = e->utime_us,
		.system_us = e->stime_us,
		.max_rss_kb = e->maxrss_kb };
	if (e->link_lost) {
		end.failed = true;
		err_set(&end.err, ERR_UNAVAILABLE, "the connection to sandbox '%s' was lost", x->id);
		err_hint(&end.err, "see: sbx logs %s", x->id);
	} else if (e->sys) {
		end.failed = true;
		err_sys(&end.err, e->sys, "the guest refused");
		if (e->message[0])
			err_set(&end.err, ERR_INVALID, "%s", e->message);
		end.err.code = code_of_guest_errno(e->sys);
		end.err.sys = e->sys;
	} else if (!e->started && e->code == 0) { /* what never began cannot have gone well */
		end.failed = true;
		err_set(&end.err, ERR_PROTOCOL, "sandbox '%s' reports the end of what it has not started", x->id);
	}
	finish(x, &end);
}

static void on_deadline(uv_timer_t *timer)
{
	struct execution *x = timer->data;
	link_stream_close(x->stream);
	x->stream = NULL;
	struct exec_end end = { .failed = true };
	err_set(&end.err, ERR_TIMEOUT, "sandbox '%s' does not answer", x->id);
	err_hint(&end.err, "it may be out of memory or stopped; sbx rm -f %s removes it", x->id);
	finish(x, &end);
}

static const struct link_stream_ops stream_ops = {
	.on_started = on_started,
	.on_data = on_data,
	.on_eof = on_eof,
	.on_writable = on_writable,
	.on_exit = on_stream_exit,
};

/* ---- starting ---- */

static struct execution *start(
	struct sandbox *sb, struct buf *record, bool logged, const struct exec_ops *ops, void *arg, struct err *err)
{
	wire_rec_u64(record, WT_WALL_MS, (uint64_t)clock_wall_ms());
	struct link *link = sandbox_link(sb, err);
	if (!link)
		return NULL;
	/* also for what is over before the next tick; Wrenn's capsules are not used by looking at files */
	if (logged || !sb->row.template)
		sandbox_touch(sb);
	struct execution *x = mem_zalloc(sizeof(*x));
	*x = (struct execution){ .sb = sb, .ops = ops, .arg = arg, .begun_us = clock_mono_us(), .logged = logged };
	x->stream = link_stream_open(link, record, &stream_ops, x, err);
	if (!x->stream) {
		free(x);
		return NULL;
	}
	x->id = mem_strdup(sb->row.id);
	uv_timer_init(sb->core->config.loop, &x->deadline);
	x->deadline.data = x;
	uv_timer_start(&x->deadline, on_deadline, ANSWER_MS, 0);
	return x;
}

static void add_list(struct buf *record, enum wire_tag tag, char *const *list)
{
	for (size_t i = 0; list && list[i]; i++)
		wire_rec_str(record, tag, list[i]);
}

static void log_command(struct sandbox *sb, const struct exec_spec *spec)
{
	auto_buf text = BUF_INIT;
	for (size_t i = 0; spec->command && spec->command[i] && text.len < 400; i++) {
		if (i)
			buf_ch(&text, ' ');
		buf_str(&text, spec->command[i]);
	}
	eventlog_add(sb->log, spec->session ? "session" : "exec", "%s", buf_failed(&text) ? "" : text.p);
}

struct execution *execution_command(
	struct sandbox *sb, const struct exec_spec *spec, const struct exec_ops *ops, void *arg, struct err *err)
{
	auto_buf r = BUF_INIT;
	wire_rec_u64(&r, WT_OP, WIRE_OP_EXEC);
	add_list(&r, WT_ARG, spec->command);
	add_list(&r, WT_ENV, spec->env);
	wire_rec_str(&r, WT_CWD, spec->cwd ? spec->cwd : sb->workdir);
	wire_rec_str(&r, WT_USER, spec->user ? spec->user : sb->user);
	if (spec->tty) {
		wire_rec_u64(&r, WT_TTY, 1);
		wire_rec_u64(&r, WT_COLS, spec->cols);
		wire_rec_u64(&r, WT_ROWS, spec->rows);
	}
	if (spec->no_input)
		wire_rec_u64(&r, WT_NO_INPUT, 1);
	if (spec->timeout_ms > 0)
		wire_rec_u64(&r, WT_TIMEOUT_MS, (uint64_t)spec->timeout_ms);
	if (spec->session) {
		static const enum wire_attach attach[] = {
			[EXEC_ATTACH_CREATE] = WIRE_ATTACH_CREATE,
			[EXEC_ATTACH_AUTO] = WIRE_ATTACH_OR_CREATE,
			[EXEC_ATTACH_ONLY] = WIRE_ATTACH_ONLY,
			[EXEC_ATTACH_RUNNING] = WIRE_ATTACH_RUNNING,
		};
		wire_rec_str(&r, WT_SESSION, spec->session);
		wire_rec_u64(&r, WT_ATTACH, attach[spec->attach]);
		if (spec->pipes)
			wire_rec_u64(&r, WT_PIPES, 1);
		if (spec->no_replay)
			wire_rec_u64(&r, WT_REPLAY, 0);
	}
	struct execution *x = start(sb, &r, true, ops, arg, err);
	if (x) {
		x->timeout_ms = spec->timeout_ms;
		log_command(sb, spec);
	}
	return x;
}

struct execution *execution_file(
	struct sandbox *sb, const struct file_spec *spec, const struct exec_ops *ops, void *arg, struct err *err)
{
	static const enum wire_op op[FILE_OPS] = {
		[FILE_READ] = WIRE_OP_READ,
		[FILE_WRITE] = WIRE_OP_WRITE,
		[FILE_LIST] = WIRE_OP_LIST,
		[FILE_STAT] = WIRE_OP_STAT,
		[FILE_MKDIR] = WIRE_OP_MKDIR,
		[FILE_REMOVE] = WIRE_OP_REMOVE,
		[FILE_TAR] = WIRE_OP_TAR,
		[FILE_UNTAR] = WIRE_OP_UNTAR,
		[FILE_WATCH] = WIRE_OP_WATCH,
		[FILE_CHANGES] = WIRE_OP_CHANGES,
	};
	auto_buf r = BUF_INIT;
	wire_rec_u64(&r, WT_OP, op[spec->op]);
	wire_rec_str(&r, WT_PATH, spec->path);
	wire_rec_str(&r, WT_USER, spec->user);
	wire_rec_str(&r, WT_NAME, spec->name);
	const struct {
		enum wire_tag tag;
		bool there;
		uint64_t value;
	} numbers[] = {
		{ WT_OFFSET, spec->offset > 0, (uint64_t)spec->offset },
		{ WT_LENGTH, spec->op == FILE_READ && spec->length >= 0, (uint64_t)spec->length },
		{ WT_MODE, spec->mode >= 0, (uint64_t)spec->mode },
		{ WT_DEPTH, spec->depth > 0, spec->depth },
		{ WT_PARENTS, spec->parents, 1 },
		{ WT_RECURSIVE, spec->recursive, 1 },
		{ WT_OWNERS, spec->owners, 1 },
		{ WT_LATE, spec->late, 1 },
		{ WT_RESOLVE, spec->resolve, 1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (numbers[i].there)
			wire_rec_u64(&r, numbers[i].tag, numbers[i].value);
	return start(sb, &r, false, ops, arg, err);
}

void execution_late_path(struct buf *out, const char *path)
{
	size_t n = strlen(path);
	buf_add(out, path, n);
	for (unsigned i = 0; i < 4; i++)
		buf_ch(out, (char)(n >> (8 * i)));
}

struct execution *execution_sessions(struct sandbox *sb, const struct exec_ops *ops, void *arg, struct err *err)
{
	auto_buf r = BUF_INIT;
	wire_rec_u64(&r, WT_OP, WIRE_OP_SESSIONS);
	return start(sb, &r, false, ops, arg, err);
}

struct execution *execution_info(struct sandbox *sb, const struct exec_ops *ops, void *arg, struct err *err)
{
	auto_buf r = BUF_INIT;
	wire_rec_u64(&r, WT_OP, WIRE_OP_INFO);
	return start(sb, &r, false, ops, arg, err);
}

struct execution *execution_kill_session(
	struct sandbox *sb, const char *session, int signo, const struct exec_ops *ops, void *arg, struct err *err)
{
	auto_buf r = BUF_INIT;
	wire_rec_u64(&r, WT_OP, WIRE_OP_KILL);
	wire_rec_str(&r, WT_SESSION, session);
	wire_rec_u64(&r, WT_SIGNAL, (uint64_t)signo);
	return start(sb, &r, false, ops, arg, err);
}

struct execution *execution_dial(struct sandbox *sb, uint16_t port, const struct exec_ops *ops, void *arg, struct err *err)
{
	auto_buf r = BUF_INIT;
	wire_rec_u64(&r, WT_OP, WIRE_OP_DIAL);
	wire_rec_u64(&r, WT_PORT, port);
	return start(sb, &r, false, ops, arg, err);
}

/* ---- while it runs ---- */

size_t execution_write(struct execution *x, const void *data, size_t n)
{
	return x->stream ? link_stream_write(x->stream, data, n) : n;
}

void execution_eof(struct execution *x)
{
	if (x->stream)
		link_stream_eof(x->stream);
}

void execution_consumed(struct execution *x, enum exec_channel ch, size_t n)
{
	if (x->stream)
		link_stream_consumed(x->stream, (enum wire_channel)ch, n);
}

void execution_signal(struct execution *x, int signo)
{
	if (x->stream)
		link_stream_signal(x->stream, signo);
}

void execution_resize(struct execution *x, unsigned cols, unsigned rows)
{
	if (x->stream)
		link_stream_resize(x->stream, cols, rows);
}

static void on_closed(uv_handle_t *h)
{
	struct execution *x = h->data;
	free(x->id);
	free(x);
}

void execution_close(struct execution *x)
{
	if (!x || x->closed)
		return;
	x->closed = x->ended = true;
	link_stream_close(x->stream);
	x->stream = NULL;
	uv_close((uv_handle_t *)&x->deadline, on_closed);
}
