/* agent processes: the table of children, their descriptors, deadlines and ends. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/guest/agent.h"
#include "daemon/guest/spawn.h"
#include "daemon/guest/text.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define KILL_DELAY_MS 1000
/* What a pty may hold for us after its process has ended: the kernel's buffers are smaller. */
#define TTY_REST_MAX (256 * 1024)
#define RESULT_MAX 4096
#define DRAIN_SIZE 16384
#define CODE_TIMEOUT 124
#define CODE_NOT_RUN 126
#define CODE_NOT_FOUND 127
#define CODE_SIGNAL 128

struct proc *proc_new(struct agent *a, enum proc_kind kind)
{
	struct proc *p;

	if (a->n_procs >= AGENT_PROCS_MAX)
		return NULL;
	p = mem_zalloc(sizeof(*p));
	p->kind = kind;
	p->in.fd = p->out[0].w.fd = p->out[1].w.fd = p->status.fd = -1;
	p->out[0].done = p->out[1].done = true;
	buf_init(&p->status_buf);
	TAILQ_INIT(&p->streams);
	TAILQ_INSERT_TAIL(&a->procs, p, link);
	a->n_procs++;
	return p;
}

void proc_attach(struct proc *p, struct stream *s)
{
	s->proc = p;
	TAILQ_INSERT_TAIL(&p->streams, s, mate);
	p->clients++;
}

void proc_bury(struct agent *a, struct proc *p)
{
	if (p->dead)
		return;
	p->dead = true;
	loop_close(&p->in);
	loop_close(&p->out[0].w);
	loop_close(&p->out[1].w);
	loop_close(&p->status);
	TAILQ_REMOVE(&a->procs, p, link);
	TAILQ_INSERT_TAIL(&a->dead, p, link);
	a->n_procs--;
}

void proc_free_dead(struct agent *a)
{
	struct proc *p;

	while ((p = TAILQ_FIRST(&a->dead))) {
		TAILQ_REMOVE(&a->dead, p, link);
		session_free(p->session);
		buf_free(&p->status_buf);
		exec_plan_free(p->plan);
		free(p->command);
		free(p);
	}
}

static void on_input_ready(struct agent *a, void *owner, uint32_t events)
{
	struct proc *p = owner;
	struct stream *s, *next;

	(void)events;
	for (s = TAILQ_FIRST(&p->streams); s; s = next) {
		next = TAILQ_NEXT(s, mate);
		stream_feed(a, s);
	}
}

static void on_output(struct agent *a, void *owner, uint32_t events)
{
	struct proc *p = owner;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		p->out[0].ready = true;
	if (p->tty && (events & EPOLLOUT))
		on_input_ready(a, p, events);
}

static void on_errors(struct agent *a, void *owner, uint32_t events)
{
	struct proc *p = owner;

	(void)a;
	(void)events;
	p->out[1].ready = true;
}

int proc_watch(struct agent *a, struct proc *p, const int fds[3], int status)
{
	int r = loop_watch(a, &p->status, status, proc_on_status, p);

	if (fds[0] >= 0)
		r |= loop_watch(a, &p->in, fds[0], on_input_ready, p);
	if (fds[1] >= 0)
		r |= loop_watch(a, &p->out[0].w, fds[1], on_output, p);
	if (fds[2] >= 0)
		r |= loop_watch(a, &p->out[1].w, fds[2], on_errors, p);
	p->out[0].done = fds[1] < 0;
	p->out[1].done = fds[2] < 0;
	return r ? -1 : 0;
}

/* Only while it is not reaped: after that the number may belong to somebody else. */
static void kill_group(const struct proc *p, int sig)
{
	if (!p->reaped && p->pid > 0 && kill(-p->pid, sig) && errno == ESRCH)
		kill(p->pid, sig); /* has not come to its setsid yet */
}

void proc_signal(struct proc *p, int sig)
{
	pid_t front = 0;

	kill_group(p, sig);
	/* a shell with job control runs its job in a group of its own */
	if (p->tty && !p->reaped && p->out[0].w.fd >= 0 && !ioctl(p->out[0].w.fd, TIOCGPGRP, &front) && front > 0 &&
		front != p->pid)
		kill(-front, sig);
}

static void set_deadline(struct proc *p, int64_t at, int sig)
{
	p->kill_at = at;
	p->kill_sig = sig;
}

void proc_abandon(struct agent *a, struct proc *p)
{
	if (p->kind == PROC_DIAL)
		dial_reset(p);
	if (p->reaped) {
		proc_bury(a, p);
		return;
	}
	if (p->tty)
		proc_signal(p, SIGHUP);
	else
		kill_group(p, SIGKILL);
	/* The order matters: a writer of a file must not see its input end before it is killed. */
	loop_close(&p->in);
	loop_close(&p->out[0].w);
	loop_close(&p->out[1].w);
	p->out[0].done = p->out[1].done = true;
	if (p->tty)
		set_deadline(p, clock_mono_ms() + KILL_DELAY_MS, SIGKILL);
}

void proc_orphan(struct agent *a, struct proc *p)
{
	if (p->reaped) {
		proc_bury(a, p);
		return;
	}
	p->orphan = true;
	loop_close(&p->in);
}

/* A bounded look at one channel. */
static bool drain(struct output *o)
{
	char waste[DRAIN_SIZE];
	ssize_t n;

	if (!o->ready || o->done)
		return false;
	n = read(o->w.fd, waste, sizeof(waste));
	if (n > 0 || (n < 0 && errno == EINTR))
		return true;
	o->ready = false;
	o->done = n == 0 || errno != EAGAIN;
	return false;
}

bool proc_drain(struct agent *a)
{
	struct proc *p;
	bool more = false;

	for (p = TAILQ_FIRST(&a->procs); p; p = TAILQ_NEXT(p, link))
		if (p->orphan)
			more |= drain(&p->out[0]) | drain(&p->out[1]);
	return more;
}

/* ---- start ---- */

static void fail_all(struct agent *a, struct proc *p, int sys, const char *text)
{
	struct stream *s;

	while ((s = TAILQ_FIRST(&p->streams))) {
		/* detached first, so that closing the stream does not touch the process */
		TAILQ_REMOVE(&p->streams, s, mate);
		p->clients--;
		s->proc = NULL;
		stream_fail(a, s, sys, "%s", text);
	}
}

/* The command does not exist or cannot be run: an exit code as a shell gives it, and its words on stderr. */
static void not_found(struct agent *a, struct proc *p, int code, const char *why)
{
	auto_free char *text = mem_printf("'%s': %s", p->command, why);
	auto_free char *line = mem_printf("sbx: %s%s\n", text, p->tty ? "\r" : "");
	struct stream *s;

	while ((s = TAILQ_FIRST(&p->streams))) {
		struct buf rec = BUF_INIT;

		wire_rec_u64(&rec, WT_PID, (uint64_t)p->pid);
		wire_rec_u64(&rec, WT_CODE, (uint64_t)code);
		wire_rec_u64(&rec, WT_TERMSIG, 0);
		wire_rec_str(&rec, WT_MESSAGE, text);
		wire_put(&a->ctl, WIRE_DATA, p->tty ? WIRE_STDOUT : WIRE_STDERR, s->id, line, strlen(line));
		wire_put(&a->ctl, WIRE_EOF, WIRE_STDOUT, s->id, NULL, 0);
		wire_put(&a->ctl, WIRE_EOF, WIRE_STDERR, s->id, NULL, 0);
		stream_put(&a->ctl, WIRE_EXIT, s, &rec);
		buf_free(&rec);
		stream_free(a, s);
	}
}

static void start_failed(struct agent *a, struct proc *p, const struct spawn_failure *f)
{
	char why[TEXT_ERRNO_MAX];

	text_errno(f->sys, why);
	if (p->session)
		p->session->name[0] = '\0'; /* until it is reaped nobody may join it */
	if (f->stage == SPAWN_EXEC && (f->sys == ENOENT || f->sys == ENOTDIR)) {
		not_found(a, p, CODE_NOT_FOUND, strchr(p->command, '/') ? "no such file or directory" : "command not found");
	} else if (f->stage == SPAWN_EXEC) {
		not_found(a, p, CODE_NOT_RUN, why);
	} else if (f->stage == SPAWN_CWD) {
		auto_free char *text =
			mem_printf("cannot change to the working directory '%s': %s", exec_plan_folder(p->plan), why);

		fail_all(a, p, f->sys, text);
	} else {
		auto_free char *text =
			mem_printf("cannot %s: %s", f->stage == SPAWN_USER ? "change the user" : "set up the process", why);

		fail_all(a, p, f->sys, text);
	}
	if (p->reaped)
		proc_bury(a, p);
}

static void started(struct agent *a, struct proc *p)
{
	struct stream *s;

	p->started = true;
	for (s = TAILQ_FIRST(&p->streams); s; s = TAILQ_NEXT(s, mate))
		stream_started(a, s, s == TAILQ_FIRST(&p->streams));
}

/* A command says nothing and closes the descriptor by its exec, or writes a struct spawn_failure. */
static void exec_status(struct agent *a, struct proc *p)
{
	struct spawn_failure f;
	ssize_t n = read(p->status.fd, &f, sizeof(f));

	if (n < 0 && (errno == EAGAIN || errno == EINTR) && !p->reaped)
		return;
	loop_close(&p->status);
	if (n == (ssize_t)sizeof(f)) {
		start_failed(a, p, &f); /* the child still runs on its plan until it is reaped */
		return;
	}
	exec_plan_free(p->plan);
	p->plan = NULL;
	started(a, p);
}

/* An operation says SPAWN_OP_STARTED when the file is there, and in the end what went wrong, if anything. */
static void op_status(struct agent *a, struct proc *p)
{
	ssize_t n;

	do {
		char *at = buf_reserve(&p->status_buf, RESULT_MAX);

		n = at ? read(p->status.fd, at, RESULT_MAX) : 0;
		if (n > 0 && p->status_buf.len < RESULT_MAX)
			buf_commit(&p->status_buf, (size_t)n);
	} while (n > 0);
	if (!p->started && p->status_buf.len && p->status_buf.p[0] == SPAWN_OP_STARTED)
		started(a, p);
	if (n == 0)
		loop_close(&p->status);
}

void proc_on_status(struct agent *a, void *owner, uint32_t events)
{
	struct proc *p = owner;

	(void)events;
	if (p->status.fd < 0)
		return;
	if (p->kind == PROC_EXEC)
		exec_status(a, p);
	else
		op_status(a, p);
}

/* ---- end ---- */

/* What an operation's child wrote after its SPAWN_OP_STARTED: a record with WT_ERRNO and WT_MESSAGE, or nothing. */
static bool op_result(const struct proc *p, const uint8_t **rec, size_t *n)
{
	size_t skip = p->status_buf.len && p->status_buf.p[0] == SPAWN_OP_STARTED;

	*rec = (const uint8_t *)p->status_buf.p + skip;
	*n = p->status_buf.len - skip;
	return *n && wire_rec_valid(*rec, *n);
}

void proc_exit_record(const struct proc *p, struct buf *rec)
{
	int sig = WIFSIGNALED(p->wait_status) ? WTERMSIG(p->wait_status) : 0;
	int code = sig ? CODE_SIGNAL + sig : WEXITSTATUS(p->wait_status);
	const uint8_t *result;
	size_t n;

	if (p->kind == PROC_DIAL) {
		wire_rec_u64(rec, WT_CODE, p->dial_sys ? 1 : 0);
		if (p->dial_sys)
			wire_rec_u64(rec, WT_ERRNO, (uint64_t)p->dial_sys);
		return;
	}
	if (p->kind == PROC_OP && op_result(p, &result, &n)) {
		wire_rec_u64(rec, WT_CODE, 1);
		buf_add(rec, result, n);
		return;
	}
	if (p->kind == PROC_OP && p->wait_status) {
		auto_free char *text = sig ? mem_printf("%s was killed by signal %d", p->command, sig)
					   : mem_printf("%s could not be started", p->command);

		wire_rec_u64(rec, WT_CODE, 1);
		wire_rec_u64(rec, WT_ERRNO, EIO);
		wire_rec_str(rec, WT_MESSAGE, text);
		return;
	}
	wire_rec_u64(rec, WT_CODE, p->timed_out ? CODE_TIMEOUT : (uint64_t)code);
	wire_rec_u64(rec, WT_TERMSIG, (uint64_t)sig);
	if (p->timed_out)
		wire_rec_u64(rec, WT_TIMED_OUT, 1);
	wire_rec_u64(rec, WT_UTIME_US, (uint64_t)p->usage.ru_utime.tv_sec * 1000000 + (uint64_t)p->usage.ru_utime.tv_usec);
	wire_rec_u64(rec, WT_STIME_US, (uint64_t)p->usage.ru_stime.tv_sec * 1000000 + (uint64_t)p->usage.ru_stime.tv_usec);
	wire_rec_u64(rec, WT_MAXRSS_KB, (uint64_t)p->usage.ru_maxrss);
}

/* How much of what can be read is the process's own: children that it left behind may go on writing for ever. */
static void bound_output(struct proc *p, struct output *o)
{
	int n = 0;

	if (o->done)
		return;
	o->ready = true;
	if (p->tty)
		o->left = TTY_REST_MAX;
	else
		o->left = ioctl(o->w.fd, FIONREAD, &n) || n < 0 ? 0 : (size_t)n;
	o->done = o->left == 0;
}

/* An operation that failed or was over before it said that it had started. */
static void op_ended(struct agent *a, struct proc *p)
{
	const uint8_t *result;
	size_t n;

	if (p->started)
		return;
	if (op_result(p, &result, &n) || p->wait_status)
		p->started = true; /* EXIT comes without STARTED */
	else
		started(a, p);
}

static void ended(struct agent *a, struct proc *p)
{
	struct stream *s, *next;

	p->kill_at = 0;
	if (p->status.fd >= 0)
		proc_on_status(a, p, 0);
	loop_close(&p->status);
	if (p->kind == PROC_OP)
		op_ended(a, p);
	if (p->dead)
		return;
	loop_close(&p->in);
	bound_output(p, &p->out[0]);
	bound_output(p, &p->out[1]);
	if (p->session) {
		session_tidy(a, p);
		return;
	}
	if (!p->clients) {
		proc_bury(a, p);
		return;
	}
	for (s = TAILQ_FIRST(&p->streams); s; s = next) {
		next = TAILQ_NEXT(s, mate);
		/* what is nearly over goes before streams that go on */
		TAILQ_REMOVE(&a->streams, s, turn);
		TAILQ_INSERT_HEAD(&a->streams, s, turn);
		stream_try_exit(a, s, &a->ctl);
	}
}

void proc_reap(struct agent *a)
{
	struct rusage usage;
	int status;
	pid_t pid;

	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
		struct proc *p;

		for (p = TAILQ_FIRST(&a->procs); p; p = TAILQ_NEXT(p, link))
			if (p->pid == pid && !p->reaped)
				break;
		if (!p)
			continue; /* an orphan that we inherited */
		/* the rest of a group that did not obey its leader's SIGTERM; its number is still taken if there is any */
		if (p->timed_out)
			kill(-pid, SIGKILL);
		p->reaped = true;
		p->wait_status = status;
		p->usage = usage;
		ended(a, p);
	}
}

/* ---- deadlines ---- */

int64_t proc_deadline(const struct agent *a)
{
	const struct proc *p;
	int64_t first = 0;

	for (p = TAILQ_FIRST(&a->procs); p; p = TAILQ_NEXT(p, link))
		if (p->kill_at && (!first || p->kill_at < first))
			first = p->kill_at;
	return first;
}

void proc_timers(struct agent *a)
{
	struct proc *p, *next;
	int64_t now = 0;

	for (p = TAILQ_FIRST(&a->procs); p; p = next) {
		next = TAILQ_NEXT(p, link);
		if (!p->kill_at)
			continue;
		if (!now)
			now = clock_mono_ms();
		if (p->kill_at > now)
			continue;
		if (p->kind == PROC_DIAL) {
			dial_timeout(a, p);
		} else if (p->kill_sig == SIGTERM) {
			p->timed_out = true;
			set_deadline(p, now + KILL_DELAY_MS, SIGKILL);
			proc_signal(p, SIGTERM);
		} else {
			p->kill_at = 0;
			proc_signal(p, SIGKILL);
		}
	}
}

void proc_kill_all(struct agent *a)
{
	const struct proc *p;

	for (p = TAILQ_FIRST(&a->procs); p; p = TAILQ_NEXT(p, link))
		kill_group(p, SIGKILL);
}
