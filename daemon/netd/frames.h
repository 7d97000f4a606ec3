/*
 * frames: Ethernet frames over QEMU's stream netdev: a 4-byte big-endian length, then the frame, on one Unix socket.
 *
 * Reading calls back for each whole frame. Writing goes to a bounded queue that is flushed when the socket takes it; a
 * frame that finds the queue full is dropped, as on a real wire, so a guest that does not read costs no memory.
 */
#ifndef SBX_NETD_FRAMES_H
#define SBX_NETD_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

#define FRAMES_MAX (4096 + 65536)      /* longest frame of QEMU (NET_BUFSIZE, include/net/net.h) */
#define FRAMES_QUEUE ((size_t)1 << 20) /* bytes that may wait to be written */

struct frames {
	int fd; /* not owned; non-blocking */
	size_t have;
	struct buf out;
	size_t sent;	  /* bytes of out already written */
	uint64_t dropped; /* frames that found the queue full */
	uint8_t in[2 * (4 + FRAMES_MAX)];
};

/* fd does not block, and SIGPIPE is ignored. f is large: have it on the heap. frames_free releases what it holds, not f. */
void frames_init(struct frames *f, int fd);
void frames_free(struct frames *f);

typedef void frames_fn(void *arg, const uint8_t *frame, size_t n);
/* One read, then fn for each frame that is complete. 1: go on; 0: the peer has closed; -1: err (a read error, or
 * PROTOCOL for a length beyond FRAMES_MAX). */
int frames_read(struct frames *f, frames_fn *fn, void *arg, struct err *err);

/* Queue a frame, or drop it. Call frames_flush afterwards, once for many. */
void frames_send(struct frames *f, const void *frame, size_t n);
bool frames_pending(const struct frames *f);
/* Write what the socket takes without waiting. 0; -1 with err when the socket is broken. */
int frames_flush(struct frames *f, struct err *err);

#endif
