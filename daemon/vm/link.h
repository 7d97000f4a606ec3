/*
 * link: the host end of the wire protocol (shared/wire/wire.h) for one VM, on the daemon's loop.
 *
 * A link connects to the VM's agent socket, synchronises by HELLO, and carries any number of streams. It trusts
 * nothing that comes from the guest: overdrawn credit, wrong records and floods of control frames close the stream or
 * the link. It never blocks; a VM that does not answer only makes its own streams wait.
 *
 * Callbacks come from the loop, never from inside the call that caused them. After on_exit the stream is dead and
 * must be released with link_stream_close; before it, link_stream_close kills or detaches in the guest.
 * Thread: the loop's.
 */
#ifndef SBX_VM_LINK_H
#define SBX_VM_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "shared/base/err.h"
#include "shared/wire/wire.h"

struct link;
struct link_stream;

struct link_started {
	int64_t pid;
	uint64_t replay; /* bytes of scrollback that follow first */
	bool created;	 /* a new session, not a joined one */
	char session[128];
};

struct link_exit {
	int64_t pid; /* of what never came to run, else 0 */
	int code;    /* 0..255 */
	int signal;  /* that ended it, or 0 */
	bool timed_out;
	bool started;	   /* the guest had said before that it began */
	int sys;	   /* guest errno when the operation failed (or never started), else 0 */
	char message[256]; /* the agent's words for it, control characters replaced */
	int64_t utime_us, stime_us, maxrss_kb;
	bool link_lost; /* the VM or its agent went away: code, signal mean nothing */
};

struct link_stream_ops {
	void (*on_started)(void *arg, const struct link_started *started);		 /* may be NULL */
	void (*on_data)(void *arg, enum wire_channel ch, const uint8_t *data, size_t n); /* give back with link_consumed */
	void (*on_eof)(void *arg, enum wire_channel ch);				 /* may be NULL */
	void (*on_writable)(void *arg);							 /* credit came: may be NULL */
	void (*on_exit)(void *arg, const struct link_exit *exit);
};

struct link_ops {
	void (*on_up)(void *arg);			   /* synchronised: streams can flow */
	void (*on_down)(void *arg, const struct err *why); /* connection lost; all streams have had on_exit(link_lost) */
};

/* Start connecting to the agent socket at path (retried while it refuses, until timeout_ms, 0 = for ever). fresh: the VM has just
 * been restored and nobody has spoken to it, so the sync pad is left out. on_up follows. NULL with err on failure. */
struct link *link_open(uv_loop_t *loop, const char *path, bool fresh, const struct link_ops *ops, void *arg, struct err *err);
/* The same on a connection to an agent that somebody else made (fd, a connected stream socket, taken also when it fails). */
struct link *link_adopt(uv_loop_t *loop, int fd, const struct link_ops *ops, void *arg, struct err *err);
/* Close without callbacks to link_ops; live streams get on_exit(link_lost) first. */
void link_close(struct link *link);
bool link_is_up(const struct link *link);
/* Streams that are open now. */
size_t link_streams(const struct link *link);
/* Milliseconds since the guest last said anything, and whether it owes an answer to an OPEN for longer than ms. */
bool link_is_stuck(const struct link *link, int64_t ms);

/* Open a stream with a record made by wire_rec_* (WT_OP first). May be called before on_up: it is sent then.
 * NULL with err (LIMIT) when 256 streams are open. */
struct link_stream *link_stream_open(
	struct link *link, const struct buf *record, const struct link_stream_ops *ops, void *arg, struct err *err);
/* Queue stdin bytes. Returns how many were taken (bounded by credit + 256 KiB queued); the rest waits for on_writable. */
size_t link_stream_write(struct link_stream *s, const void *data, size_t n);
/* No more stdin; sent after what is queued. */
void link_stream_eof(struct link_stream *s);
/* n bytes given to on_data have left us (or were dropped): the guest may send as many again. */
void link_stream_consumed(struct link_stream *s, enum wire_channel ch, size_t n);
void link_stream_signal(struct link_stream *s, int signo);
void link_stream_resize(struct link_stream *s, unsigned cols, unsigned rows);
/* Release; sends CLOSE if on_exit has not come. No callback follows. NULL is fine. */
void link_stream_close(struct link_stream *s);

#endif
