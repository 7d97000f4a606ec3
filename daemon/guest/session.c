/* agent sessions: processes, on a pty or on pipes, that outlive their clients, with the last output in rings. */
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

/* Not malloc: the pages come as they are written, and go back when it is over. */
static bool ring_open(struct ring *o)
{
	void *p = mmap(NULL, SESSION_RING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	o->p = p == MAP_FAILED ? NULL : p;
	return o->p;
}

static struct session *session_new(const char *name, struct rec r)
{
	struct session *s = mem_zalloc(sizeof(*s));

	s->pipes = wire_rec_get_u64(r.p, r.n, WT_PIPES, 0);
	if (name[0]) {
		snprintf(s->name, sizeof(s->name), "%s", name);
	} else {
		uint32_t id;

		rand_bytes(&id, sizeof(id));
		snprintf(s->name, sizeof(s->name), "%s-%08x", s->pipes ? "proc" : "pty", id);
	}
	s->cols = (unsigned)wire_rec_get_u64(r.p, r.n, WT_COLS, 80);
	s->rows = (unsigned)wire_rec_get_u64(r.p, r.n, WT_ROWS, 24);
	s->created_wall_ms = clock_wall_ms();
	buf_init(&s->command);
	if (ring_open(&s->ring[0]) && (!s->pipes || ring_open(&s->ring[1])))
		return s;
	session_free(s);
	return NULL;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < ARRAY_LEN(s->ring); i++)
		if (s->ring[i].p)
			munmap(s->ring[i].p, SESSION_RING);
	buf_free(&s->command);
	free(s);
}

static uint64_t oldest(const struct ring *o)
{
	return o->end > SESSION_RING ? o->end - SESSION_RING : 0;
}

/* Where a client that joins begins to read. */
static uint64_t first_for(const struct ring *o, uint64_t since, uint64_t most)
{
	uint64_t first = oldest(o);

	if (since > first && since <= o->end)
		first = since;
	return o->end - first > most ? o->end - most : first;
}

static void join(struct agent *a, struct stream *s, struct rec r, struct proc *p)
{
	struct session *session = p->session;
	uint64_t since = wire_rec_get_u64(r.p, r.n, WT_SINCE, 0), most = wire_rec_get_u64(r.p, r.n, WT_REPLAY, UINT64_MAX);
	unsigned cols = (unsigned)wire_rec_get_u64(r.p, r.n, WT_COLS, 0);
	unsigned rows = (unsigned)wire_rec_get_u64(r.p, r.n, WT_ROWS, 0);

	s->at[0] = first_for(&session->ring[0], since, most);
	s->at[1] = first_for(&session->ring[1], 0, most);
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
	if ((mode == WIRE_ATTACH_ONLY && !p) || (mode == WIRE_ATTACH_RUNNING && (!p || p->reaped))) {
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

/* How much of a terminal may be read: it goes on as long as some client follows, or none is there to wait for. */
static size_t tty_room(const struct proc *p)
{
	const struct stream *s;

	if (p->reaped || !p->clients)
		return FILL_CHUNK;
	for (s = TAILQ_FIRST(&p->streams); s; s = TAILQ_NEXT(s, mate))
		if (p->session->ring[0].end - s->at[0] < BEHIND_MAX)
			return FILL_CHUNK;
	return 0;
}

/* How much of a pipe may be read: no client is to lose any of it. */
static size_t pipe_room(const struct proc *p, int i)
{
	const struct stream *s;
	size_t room = FILL_CHUNK;

	for (s = TAILQ_FIRST(&p->streams); s; s = TAILQ_NEXT(s, mate)) {
		size_t left = SESSION_RING - (size_t)(p->session->ring[i].end - s->at[i]);

		if (left < room)
			room = left;
	}
	return room;
}

static size_t room_of(const struct proc *p, int i)
{
	const struct output *o = &p->out[i];

	if (!o->ready || o->done)
		return 0;
	return p->tty ? tty_room(p) : pipe_room(p, i);
}

/* One read of at most `room` bytes into the ring. */
static void fill(struct agent *a, struct proc *p, int i, size_t room)
{
	struct ring *ring = &p->session->ring[i];
	struct output *o = &p->out[i];
	size_t at = (size_t)(ring->end % SESSION_RING), max = SESSION_RING - at;
	ssize_t n = read(o->w.fd, ring->p + at, room < max ? room : max);

	if (n > 0) {
		ring->end += (uint64_t)n;
		if (p->reaped)
			o->left -= o->left < (size_t)n ? o->left : (size_t)n;
		o->done = p->reaped && !o->left;
	} else if (n == 0 || errno != EINTR) {
		o->ready = false;
		/* a pty whose other end nobody holds open just now may be opened again */
		o->done = p->reaped || (!p->tty && (n == 0 || errno != EAGAIN));
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
		next = TAILQ_NEXT(p, link);
		for (int i = 0; p->session && i < 2; i++) {
			size_t room = room_of(p, i);

			if (!room)
				continue;
			fill(a, p, i, room);
			if (p->dead)
				break;
			more |= room_of(p, i) > 0;
		}
	}
	return more;
}

static void pull(struct agent *a, struct stream *s, int i, size_t room)
{
	const struct ring *ring = &s->proc->session->ring[i];
	enum wire_channel ch = i ? WIRE_STDERR : WIRE_STDOUT;
	uint64_t first = oldest(ring);
	size_t n, at;

	if (s->at[i] < first)
		s->at[i] = first; /* too slow for a terminal: what is gone is gone */
	n = room - WIRE_HEADER - 1;
	if (n > ring->end - s->at[i])
		n = (size_t)(ring->end - s->at[i]);
	if (n > s->credit[ch])
		n = (size_t)s->credit[ch];
	at = (size_t)(s->at[i] % SESSION_RING);
	if (n > SESSION_RING - at)
		n = SESSION_RING - at;
	if (!n)
		return;
	wire_put(&a->cur, WIRE_DATA, (uint8_t)ch, s->id, ring->p + at, n);
	s->at[i] += n;
	s->credit[ch] -= n;
}

void session_pull(struct agent *a, struct stream *s, size_t room)
{
	size_t end = a->cur.len + room;

	for (int i = 0; i < 2; i++) {
		room = a->cur.len < end ? end - a->cur.len : 0;
		if (s->proc->session->ring[i].p && room > WIRE_HEADER + 1)
			pull(a, s, i, room);
	}
}

bool session_owes(const struct stream *s)
{
	const struct session *session = s->proc->session;

	return s->at[0] < session->ring[0].end || s->at[1] < session->ring[1].end;
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
	else if (p->out[0].done && p->out[1].done)
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
	if (p->tty) {
		jw_kint(w, "cols", s->cols);
		jw_kint(w, "rows", s->rows);
	}
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
