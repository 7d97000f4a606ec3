/*
 * join: two connected stream sockets made one connection.
 *
 * Bytes go both ways. Each direction has its own end (the one side's end is shutdown(SHUT_WR) on the other) and its own
 * back-pressure: at most 64 KiB of it wait here, in memory that is there only while they do. A side that has left altogether, or
 * broke, ends it for both: what it wrote still goes out, as long as the other takes some of it each minute, and what the other
 * still sends is dropped for two seconds, as closing on it could cost him what he was sent.
 *
 * A join owns itself. Thread: the loop's.
 */
#ifndef SBX_DAEMON_NET_JOIN_H
#define SBX_DAEMON_NET_JOIN_H

#include <stddef.h>
#include <uv.h>

#include "shared/base/err.h"

struct join;

/*
 * Both descriptors (non-blocking) are its own from now on, also when it fails. early: n bytes that were already read from a and go
 * to b first (copied). on_end comes once, from the loop, never from inside a call, when both directions have ended or one side has
 * left or broke; the join is no more then. NULL with err: the loop cannot watch one of them.
 */
struct join *join_start(
	uv_loop_t *loop, int a, int b, const void *early, size_t n, void (*on_end)(void *arg), void *arg, struct err *err);
/* End it now, without a callback. NULL is fine. */
void join_cut(struct join *j);

#endif
