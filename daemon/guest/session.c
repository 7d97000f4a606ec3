/* agent sessions: processes on a pty that outlive their clients, with the last output in a ring. */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/guest/agent.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define FILL_CHUNK 16384
#define BEHIND_MAX 65536 /* a client this near to the end keeps the pty being read */

static bool is_name(const char *s)
{
	size_t n = strlen(s);

	for (const char *c = s; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return false;
	return n > 0 && n <= SESSION_NAME_MAX;
}

static struct proc *find(const struct agent *a, const char *name)
{
	struct proc *p;

	for (p = TAILQ_FIRST(&a->procs); p; p = TAILQ_NEXT(p, link))
		if (p->session && !strcmp(p->session->name, name))
			return p;
	return NULL;
}

static struct session *session_new(const char *name, struct rec r)
{
	struct session *s = mem_zalloc(sizeof(*s));

	if (name[0]) {
		snprintf(s->name, sizeof(s->name), "%s", name);
	} else {
		uint32_t id;

		rand_bytes(&id, sizeof(id));
		snprintf(s->name, sizeof(s->name), "pty-%08x", id);
	}
	s->cols = (unsigned)wire_rec_get_u64(r.p, r.n, WT_COLS, 80);
	s->rows = (unsigned)wire_rec_get_u64(r.p, r.n, WT_ROWS, 24);
	s->created_wall_ms = clock_wall_ms();
	buf_init(&s->command);
	/* not malloc: the pages come as they are written, and go back when it is over */
	s->ring = mmap(NULL, SESSION_RING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->ring == MAP_FAILED) {
		free(s);
		return NULL;
	}
	return s;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	munmap(s->ring, SESSION_RING);
	buf_free(&s->command);
	free(s);
}

static uint64_t oldest(const struct session *s)
{
	return s->end > SESSION_RING ? s->end - SESSION_RING : 0;
}

static void join(struct agent *a, struct stream *s, struct rec r, struct proc *p)
{
	struct session *session = p->session;
	uint64_t since = wire_rec_get_u64(r.p, r.n, WT_SINCE, 0), first = oldest(session);
	unsigned cols = (unsigned)wire_rec_get_u64(r.p, r.n, WT_COLS, 0);
	unsigned rows = (unsigned)wire_rec_get_u64(r.p, r.n, WT_ROWS, 0);

	s->at = since > first && since <= session->end ? since : first;
	proc_attach(p, s);
	if (cols && rows)
		session_resize(p, cols, rows);
	if (p->started)
		stream_started(a, s, false);
}

static void create(struct agent *a, struct stream *s, struct rec r, const char *name)
{
	struct session *session = session_new(name, r);

	if (!session) {
		stream_fail(a, s, ENOMEM, "out of memory");
		return;
	}
	if (!exec_start(a, s, r, session))
		session_free(session);
}

void session_open(struct agent *a, struct stream *s, struct rec r)
{
	auto_free char *name = wire_rec_get_str(r.p, r.n, WT_SESSION);
	uint64_t mode = wire_rec_get_u64(r.p, r.n, WT_ATTACH, WIRE_ATTACH_CREATE);
	struct proc *p;

	if (!name || (name[0] && !is_name(name))) {
		stream_fail(a, s, EINVAL, "not a valid session name: '%s'", name ? name : "");
		return;
	}
	p = name[0] ? find(a, name) : NULL;
	if (mode == WIRE_ATTACH_ONLY && !p) {
		stream_fail(a, s, ENOENT, "no such session: '%s'", name);
	} else if (mode == WIRE_ATTACH_CREATE && p && !p->reaped) {
		stream_fail(a, s, EEXIST, "the session exists already: '%s'", name);
	} else if (p && mode != WIRE_ATTACH_CREATE) {
		join(a, s, r, p);
	} else {
		if (p && !p->clients)
			proc_bury(a, p);
		else if (p)
			p->session->name[0] = '\0'; /* its clients still get its end */
		create(a, s, r, name);
	}
}

/* ---- output ---- */

/* Is it worth to read on: does some client follow, or is none there to wait for? */
static bool wanted(const struct proc *p)
{
	const struct stream *s;

	if (p->reaped)
		return true;
	for (s = TAILQ_FIRST(&p->streams); s; s = TAILQ_NEXT(s, mate))
		if (p->session->end - s->at < BEHIND_MAX)
			return true;
	return p->clients == 0;
}

/* One read into the ring. */
static void fill(struct agent *a, struct proc *p)
{
	struct session *s = p->session;
	struct output *o = &p->out[0];
	size_t at = (size_t)(s->end % SESSION_RING), room = SESSION_RING - at;
	ssize_t n = read(o->w.fd, s->ring + at, room < FILL_CHUNK ? room : FILL_CHUNK);

	if (n > 0) {
		s->end += (uint64_t)n;
		if (p->reaped)
			o->left -= o->left < (size_t)n ? o->left : (size_t)n;
		o->done = p->reaped && !o->left;
	} else if (n == 0 || errno != EINTR) {
		o->ready = false;
		o->done = p->reaped;
	}
	if (o->done) {
		loop_close(&o->w);
		session_tidy(a, p);
	}
}

bool session_fill(struct agent *a)
{
	struct proc *p, *next;
	bool more = false;

	for (p = TAILQ_FIRST(&a->procs); p; p = next) {
		struct output *o = &p->out[0];

		next = TAILQ_NEXT(p, link);
		if (!p->session || !o->ready || o->done || !wanted(p))
			continue;
		fill(a, p);
		more |= !p->dead && o->ready && wanted(p);
	}
	return more;
}

void session_pull(struct agent *a, struct stream *s, size_t room)
{
	struct session *session = s->proc->session;
	uint64_t first = oldest(session);
	size_t n, at;

	if (s->at < first)
		s->at = first; /* too slow: what is gone is gone */
	n = room - WIRE_HEADER - 1;
	if (n > session->end - s->at)
		n = (size_t)(session->end - s->at);
	if (n > s->credit[WIRE_STDOUT])
		n = (size_t)s->credit[WIRE_STDOUT];
	at = (size_t)(s->at % SESSION_RING);
	if (n > SESSION_RING - at)
		n = SESSION_RING - at;
	if (!n)
		return;
	wire_put(&a->cur, WIRE_DATA, WIRE_STDOUT, s->id, session->ring + at, n);
	s->at += n;
	s->credit[WIRE_STDOUT] -= n;
}

/* ---- life ---- */

static void forget_oldest(struct agent *a)
{
	struct proc *p, *old = NULL;
	unsigned n = 0;

	for (p = TAILQ_FIRST(&a->procs); p; p = TAILQ_NEXT(p, link)) {
		if (!p->session || !p->reaped || p->clients)
			continue;
		if (!old)
			old = p;
		n++;
	}
	if (n > SESSION_FINISHED_MAX)
		proc_bury(a, old);
}

void session_tidy(struct agent *a, struct proc *p)
{
	if (!p->reaped || p->clients || p->dead)
		return;
	if (!p->started || p->session->seen_end || !p->session->name[0])
		proc_bury(a, p);
	else if (p->out[0].done)
		forget_oldest(a);
}

void session_resize(struct proc *p, unsigned cols, unsigned rows)
{
	struct winsize ws = { .ws_col = (unsigned short)cols, .ws_row = (unsigned short)rows };

	if (!cols || !rows || cols > UINT16_MAX || rows > UINT16_MAX || p->out[0].w.fd < 0)
		return;
	if (ioctl(p->out[0].w.fd, TIOCSWINSZ, &ws) == 0 && p->session) {
		p->session->cols = cols;
		p->session->rows = rows;
	}
}

static void describe(struct jw *w, const struct proc *p)
{
	const struct session *s = p->session;

	jw_obj(w);
	jw_kstr(w, "session", s->name);
	jw_kint(w, "pid", p->pid);
	jw_key(w, "command");
	jw_raw(w, s->command.p, s->command.len);
	jw_kint(w, "cols", s->cols);
	jw_kint(w, "rows", s->rows);
	jw_kint(w, "clients", p->clients);
	jw_kint(w, "createdWallMs", s->created_wall_ms);
	jw_kbool(w, "running", !p->reaped);
	jw_key(w, "exitCode");
	if (p->reaped)
		jw_int(w,
			p->timed_out			      ? 124
				: WIFSIGNALED(p->wait_status) ? 128 + WTERMSIG(p->wait_status)
							      : WEXITSTATUS(p->wait_status));
	else
		jw_null(w);
	jw_obj_end(w);
}

void session_list(struct agent *a, struct stream *s, struct rec r)
{
	const struct proc *p;
	struct jw w;

	(void)r;
	jw_init(&w, &s->mem);
	jw_arr(&w);
	for (p = TAILQ_FIRST(&a->procs); p; p = TAILQ_NEXT(p, link))
		if (p->session && p->started && p->session->name[0])
			describe(&w, p);
	jw_arr_end(&w);
	stream_started(a, s, false);
}

void session_kill(struct agent *a, struct stream *s, struct rec r)
{
	auto_free char *name = wire_rec_get_str(r.p, r.n, WT_SESSION);
	uint64_t sig = wire_rec_get_u64(r.p, r.n, WT_SIGNAL, SIGHUP);
	struct proc *p = name ? find(a, name) : NULL;

	if (!p || !name[0]) {
		stream_fail(a, s, ENOENT, "no such session: '%s'", name ? name : "");
		return;
	}
	if (sig < 1 || sig >= NSIG) {
		stream_fail(a, s, EINVAL, "not a signal: %llu", (unsigned long long)sig);
		return;
	}
	if (!p->reaped)
		proc_signal(p, (int)sig);
	else if (!p->clients)
		proc_bury(a, p);
	stream_started(a, s, false);
}
