/*
 * agent: what the files of sbx-agent share. One process, one thread, one epoll loop (loop.c).
 *
 * The port (conn.c) carries frames of shared/wire. Each OPEN makes a stream (stream.c), which is served by a child
 * process (proc.c; spawn.c starts commands, ops.c file operations), by a session (session.c: a process that outlives its
 * clients, mostly on a pty), by a connection to a port of the guest (dial.c: a proc without a process), or at once from memory
 * (info.c, configure.c).
 *
 * Output is pulled: nothing is read from a child before the port can take it. So a slow host slows the child down,
 * the agent holds no more than one chunk of data, and streams take turns by the chunk.
 *
 * All watched descriptors are edge-triggered: a `ready` flag remembers an edge until read or write says EAGAIN.
 */
#ifndef SBX_GUEST_AGENT_H
#define SBX_GUEST_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "daemon/guest/user.h"
#include "shared/base/buf.h"
#include "shared/wire/wire.h"

#define AGENT_STREAMS_MAX 256
#define AGENT_PROCS_MAX 256
#define SESSION_RING (256 * 1024)
#define SESSION_NAME_MAX 64
#define SESSION_FINISHED_MAX 16
#define AGENT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct agent;
struct exec_plan;
struct proc;

/* The payload of an OPEN: a valid record. */
struct rec {
	const uint8_t *p;
	size_t n;
};

/* A descriptor in the epoll set. fd -1: closed, a late event must be ignored. */
struct watch {
	void (*fn)(struct agent *a, void *owner, uint32_t events);
	void *owner;
	int fd, ep;
};

struct stream {
	TAILQ_ENTRY(stream) turn; /* agent.streams */
	TAILQ_ENTRY(stream) mate; /* proc.streams */
	uint32_t id;
	struct proc *proc;		/* NULL: the answer is in mem */
	uint64_t credit[WIRE_CHANNELS]; /* bytes we may send */
	uint32_t in_left;		/* stdin bytes the host may still send */
	uint32_t in_owed;		/* consumed, credit not returned yet */
	struct buf in;			/* stdin bytes the process has not taken */
	size_t in_at;
	bool in_eof;
	bool eof_sent[WIRE_CHANNELS];
	struct buf mem; /* answer of an operation done in the agent */
	size_t mem_at;
	uint64_t at[2]; /* session: offset of the next byte of each output to send */
};
TAILQ_HEAD(stream_list, stream);

struct output {
	struct watch w;
	bool ready, done;
	size_t left; /* once the process has ended: bytes that are still its own */
};

enum proc_kind { PROC_EXEC, PROC_OP, PROC_DIAL };

struct proc {
	TAILQ_ENTRY(proc) link; /* agent.procs, or agent.dead */
	enum proc_kind kind;
	pid_t pid;
	bool tty, started, reaped, dead, timed_out, orphan;
	int dial_sys;	       /* connection: the errno that ended it, 0 none */
	uint16_t dial_again;   /* connection: port to try on ::1 when 127.0.0.1 refuses, 0 no */
	struct watch in;       /* stdin; on a pty the same descriptor as out[0] (then owned by out[0]) */
	struct output out[2];  /* stdout or pty, stderr */
	struct watch status;   /* what the child says about its start and its result */
	struct buf status_buf; /* operation: its result so far */
	int wait_status;
	struct rusage usage;
	int64_t kill_at; /* monotonic ms of the next signal, 0 none */
	int kill_sig;
	char *command;		/* for messages */
	struct exec_plan *plan; /* command: until it has started */
	struct session *session;
	struct stream_list streams;
	unsigned clients;
};
TAILQ_HEAD(proc_list, proc);

/* The last SESSION_RING bytes of an output. */
struct ring {
	uint8_t *p;   /* NULL: there is no such output */
	uint64_t end; /* bytes so far */
};

struct session {
	char name[SESSION_NAME_MAX + 1];
	bool pipes;	     /* no terminal: proc.tty is false */
	struct ring ring[2]; /* as proc.out */
	unsigned cols, rows;
	int64_t created_wall_ms;
	struct buf command; /* JSON array */
	bool seen_end;	    /* some client was told how it ended */
};

struct agent {
	int ep, sigfd;
	bool guest; /* in a VM, as PID 1 or a service: may set clock, hostname, network */
	bool init;  /* PID 1: no signal ends it */
	bool quit, busy;
	struct watch port, signals, listener;
	bool port_is_socket;
	bool up; /* a HELLO was answered */
	bool port_readable, port_writable;
	int64_t hangup_at; /* monotonic ms when a port without a host counts as hung up, 0 not */
	struct wire_rx rx;
	struct buf cur, ctl; /* being written; control frames that go next */
	size_t cur_at;
	struct stream_list streams;
	unsigned n_streams, n_procs;
	struct proc_list procs, dead;
	char *sandbox_id;
	char **env; /* configured, NULL-terminated, or NULL */
};

/* ---- loop.c ---- */
int loop_init(struct agent *a);
void loop_run(struct agent *a);
/* Add fd to the epoll set, edge-triggered for reading and writing. 0 or -1 with errno. */
int loop_watch(struct agent *a, struct watch *w, int fd, void (*fn)(struct agent *, void *, uint32_t), void *owner);
/* Close and forget. */
void loop_close(struct watch *w);

/* ---- conn.c ---- */
/* Take fd (non-blocking, close-on-exec) as the port. */
int conn_open(struct agent *a, int fd, bool is_socket);
int conn_listen(struct agent *a, int fd);
/* Say what is no frame: a host that was connected to an agent before this one notices, and begins anew. */
void conn_begin_anew(struct agent *a);
/* Move bytes until the port is full or nothing is left; bounded, sets a->busy when there is more to do. */
void conn_pump(struct agent *a);

/* When conn_timer is due (monotonic ms), 0 never. */
int64_t conn_deadline(const struct agent *a);
void conn_timer(struct agent *a);

/* ---- stream.c ---- */
void stream_frame(struct agent *a, const struct wire_frame *f);
/* Append at most about `room` bytes of the stream's output to a->cur. May end (free) the stream. */
void stream_pull(struct agent *a, struct stream *s, size_t room);
/* Give queued stdin to the process. */
void stream_feed(struct agent *a, struct stream *s);
/* End as by CLOSE, no EXIT. */
void stream_close(struct agent *a, struct stream *s);
/* The host has gone, or is another: it may be a copy of this machine that goes on from here. Files being written are given up;
 * commands go on, and what they print is dropped. */
void stream_lose_all(struct agent *a);
/* EXIT with an errno and a message ("no such file or directory: '/x'"), then free the stream. */
void stream_fail(struct agent *a, struct stream *s, int sys, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* A frame with this record to `out`. Without memory for it `out` fails as a whole: half of what was meant must not be said. */
void stream_put(struct buf *out, enum wire_type type, const struct stream *s, const struct buf *rec);
/* STARTED for s; session may be NULL. */
void stream_started(struct agent *a, struct stream *s, bool created);
/* If its process is over and all output sent: EOFs and EXIT to `out`, then free. True when it was. */
bool stream_try_exit(struct agent *a, struct stream *s, struct buf *out);
/* Detach from the process, unlink and free. */
void stream_free(struct agent *a, struct stream *s);

/* ---- proc.c ---- */
/* NULL when there are too many. Linked into a->procs. */
struct proc *proc_new(struct agent *a, enum proc_kind kind);
void proc_attach(struct proc *p, struct stream *s);
/* Start watching what the child was given: in, out, err, status (-1: none). -1 with errno. */
int proc_watch(struct agent *a, struct proc *p, const int fds[3], int status);
/* The last stream has left a process that is not a session: kill it and forget it when it is reaped. */
void proc_abandon(struct agent *a, struct proc *p);
/* The last stream has left a command that is to go on. */
void proc_orphan(struct agent *a, struct proc *p);
/* Drop what orphans print; true when some could be read more now. */
bool proc_drain(struct agent *a);
void proc_signal(struct proc *p, int sig);
/* The child started, or failed to (then every stream of it ends). */
void proc_on_status(struct agent *a, void *owner, uint32_t events);
void proc_reap(struct agent *a);
/* When proc_timers is due (monotonic ms), 0 never. */
int64_t proc_deadline(const struct agent *a);
void proc_timers(struct agent *a);
/* Close everything and put p on the list of the dead, freed after the current events. */
void proc_bury(struct agent *a, struct proc *p);
void proc_free_dead(struct agent *a);
/* WT_CODE and the other fields of an EXIT. */
void proc_exit_record(const struct proc *p, struct buf *rec);
/* Signal groups and end, when the agent itself ends. */
void proc_kill_all(struct agent *a);

/* ---- exec.c: OPEN EXEC ---- */
void exec_open(struct agent *a, struct stream *s, struct rec r);
/* Start the command of r on a new process for s; session NULL for a plain one. On failure s has ended. */
struct proc *exec_start(struct agent *a, struct stream *s, struct rec r, struct session *session);

void exec_plan_free(struct exec_plan *plan);
const char *exec_plan_folder(const struct exec_plan *plan);

/* ---- session.c ---- */
void session_open(struct agent *a, struct stream *s, struct rec r);
void session_list(struct agent *a, struct stream *s, struct rec r);
void session_kill(struct agent *a, struct stream *s, struct rec r);
/* Read outputs into the rings as far as clients allow; true when some could give more now. */
bool session_fill(struct agent *a);
/* Append output to a->cur. */
void session_pull(struct agent *a, struct stream *s, size_t room);
/* Is there output that s was not sent? */
bool session_owes(const struct stream *s);
void session_resize(struct proc *p, unsigned cols, unsigned rows);
/* After the process ended or a client left: forget what nobody needs. */
void session_tidy(struct agent *a, struct proc *p);
void session_free(struct session *session);

/* ---- dial.c: connections to ports of the guest ---- */
void dial_open(struct agent *a, struct stream *s, struct rec r);
/* One direction has ended: reading (out[0].done) or writing (in closed). Both: the proc counts as reaped. */
void dial_half_ended(struct proc *p);
/* The host sends no more. */
void dial_end_input(struct proc *p);
/* The connection has not come to stand in time. May bury p. */
void dial_timeout(struct agent *a, struct proc *p);
/* The host gives it up: the peer is told by a reset. */
void dial_reset(struct proc *p);

/* ---- ops.c: file operations, in a child ---- */
void ops_open(struct agent *a, struct stream *s, struct rec r);

/* ---- configure.c, info.c: in the agent itself ---- */
void configure_open(struct agent *a, struct stream *s, struct rec r);
/* Step the clock when it is off by more than 100 ms (guest only). */
void configure_clock(const struct agent *a, uint64_t wall_ms);
void info_open(struct agent *a, struct stream *s, struct rec r);
/* ---- shutdown.c ---- */
void shutdown_open(struct agent *a, struct stream *s, struct rec r);

/* ---- setup.c: in a VM ---- */
#define SETUP_RUN "/run/sbx" /* made in the initramfs, in memory */
#define SETUP_AGENT SETUP_RUN "/sbx-agent"
/* In the initramfs: load modules, mount the disk, switch to it, start its systemd or the agent. Returns only on failure (after
 * saying so). */
void setup_initramfs(void);
bool setup_is_initramfs(void);
/* In the real root, as PID 1: mounts, limits, loopback; then find and open the port. -1 after 10 s without it. */
int setup_guest(void);
/* The same as a service of systemd, which has mounted all. */
int setup_service(void);

#endif
