/*
 * ask: one HTTP/1.1 call as a client, on a stream socket that is connected already (one end of a TLS pipe's pair), on the loop.
 *
 * It is what a control plane calls a host's sbxd with. The peer may be hostile all the same: the heads of an answer are bounded
 * (HTTP1_HEAD_MAX, those of "100 Continue" and the like, which are skipped, included), so is its body, and anything odd is refused
 * (shared/net/http1.h). A body that is cut is an error; only one without any length, which our server does not send, ends wherever
 * its connection does. An answer that comes before the request is out entirely counts, and ends the call.
 *
 * A call owns itself. Its callback comes once, from the loop, never from inside ask_start; nothing comes after ask_cancel. Thread:
 * the loop's.
 */
#ifndef SBX_DAEMON_NET_ASK_H
#define SBX_DAEMON_NET_ASK_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

#define ASK_LIMIT_MS 30000
#define ASK_ANSWER_MAX ((size_t)16 << 20)

struct ask;

/* Needed during ask_start only. */
struct ask_spec {
	const char *method, *path;  /* path with query, percent-encoded already */
	const char *const *headers; /* "Name: value", NULL-terminated; or NULL. Not those that are ask's: see ask_start */
	const char *type;	    /* Content-Type of the body, or NULL */
	const void *body;	    /* copied; NULL: none */
	size_t n;
	const char *upgrade; /* protocol to switch to, or NULL */
	int64_t limit_ms;    /* for all of it; 0: ASK_LIMIT_MS */
	size_t answer_max;   /* bytes of an answer's body; 0: ASK_ANSWER_MAX. More is PROTOCOL */
};

/* Valid during the callback. */
struct ask_answer {
	int status;	  /* 0: none came, and err says why: TIMEOUT, UNAVAILABLE, PROTOCOL */
	const char *type; /* Content-Type with its parameters, or "" */
	const char *body; /* NUL-terminated beside its n bytes */
	size_t n;
	int fd;		   /* after 101: the connection, non-blocking, the callee's to close; else -1 */
	struct buf *early; /* what came behind the head of a 101, or empty: may be moved out */
	const struct err *err;
};

typedef void ask_cb(void *arg, struct ask_answer *answer);

/*
 * Call. Takes fd, also when it fails: then NULL with err, INVALID when something of spec cannot stand in a request (a line break, a
 * header that is ask's to say: Host, Connection, Upgrade, Content-Length, Transfer-Encoding, Content-Type, Expect), UNAVAILABLE
 * without memory.
 */
struct ask *ask_start(uv_loop_t *loop, int fd, const struct ask_spec *spec, ask_cb *cb, void *arg, struct err *err);
/* Closes the connection. From inside the callback it does nothing, after it it is not allowed. NULL is fine. */
void ask_cancel(struct ask *a);

#endif
