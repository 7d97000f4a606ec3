/*
 * http: HTTP/1.1 on the daemon's loop: libmicrohttpd in external epoll mode, routes and validation from contracts.
 *
 * A request goes: route (all contracts in one router) -> framing -> credential -> parameters -> content type and size -> body (JSON
 * read whole and validated, or streamed) -> the operation's handler, or 501 when it has none yet. A handler answers at once or
 * keeps the request and answers later from the loop; it answers exactly once. Every error has the status and the shape of its
 * dialect (x-sbx-faults). Requests on the Unix socket come from the same user (checked by SO_PEERCRED) and need no credential: they
 * are the operator's, unless they bring one; those on a connection with a known peer (http_adopt) are that peer's. TCP needs one,
 * wherever the operation's security schemes look for it, or in X-API-Key or as a bearer, unless the contract marks the operation
 * `security: []`. What is not marked x-sbx-teams is the operator's alone. Limits: 64 KiB of headers, JSON body 16 MiB (413), 8192
 * connections (or half of the descriptors, if that is less), 30 s without progress while reading a request. Thread: the loop's.
 */
#ifndef SBX_HTTP_HTTP_H
#define SBX_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/core/identity.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"
#include "shared/base/json.h"
#include "shared/contract/contract.h"

struct http_server;
struct http_req;
typedef void http_handler(struct http_req *req);

/* One API on the port. */
struct http_dialect {
	const struct contract *contract;
	http_handler *const *handlers; /* by operation index; NULL = 501 */
	/* Called when it is known who asks, before query and body are looked at: false when it has answered. May be NULL.
	 */
	bool (*admit)(struct http_req *req);
};

struct http_config {
	const struct http_dialect *dialects;
	size_t dialect_count;
	/* Who is this? `value` is what was presented, `where` the header (or "query") that it came in; both NULL: nothing was. 0
	 * and *who, or -1 with UNAUTHORIZED or FORBIDDEN. */
	int (*authenticate)(void *arg, const char *where, const char *value, struct identity *who, struct err *err);
	void *arg; /* given to authenticate, and http_app(req) */
};

struct http_server *http_server_new(uv_loop_t *loop, const struct http_config *config, struct err *err);
/* Socket file is made with mode 0600; a stale one is replaced, a live one is an error (CONFLICT). */
int http_listen_unix(struct http_server *s, const char *path, struct err *err);
/* "127.0.0.1:8080", "[::1]:0", ":8080" = loopback. Off loopback is refused (FORBIDDEN: TLS comes later). *port is the bound one. */
int http_listen_tcp(struct http_server *s, const char *address, int *port, struct err *err);
/* Serve a connection that somebody else made: fd, a connected non-blocking stream socket (one end of a TLS pipe), taken also when
 * it fails. It counts as TCP, not local. who: the peer, when it is known by other means than a credential: it is taken for that one
 * unless a request brings a credential, and may call us by any name (no web page can come this way). NULL: as any TCP client.
 * Of kind IDENTITY_CONTROL: a request may name the team that it is for, in `X-Sbx-Team: N` (decimal; malformed is 400), and is that
 * team's then (by the number TEAM_CARRIED + N), but stays allowed what is the operator's alone; without that
 * header its team is TEAM_LOCAL. On any other connection, and beside a credential, the header means nothing. */
int http_adopt(struct http_server *s, int fd, const struct identity *who, struct err *err);
/* Stop accepting, close what is idle, drop the rest; done_cb when the loop holds nothing of it any more. */
void http_server_close(struct http_server *s, void (*done_cb)(void *arg), void *arg);

/* ---- the request ---- */
void *http_app(struct http_req *r);
const struct identity *http_identity(struct http_req *r);     /* who makes it; of public operations the local operator's */
int64_t http_team(struct http_req *r);			      /* whose things it is about */
bool http_is_local(struct http_req *r);			      /* came over the Unix socket */
bool http_is_head(struct http_req *r);			      /* a HEAD, which GET handlers get, too */
int http_op(struct http_req *r);			      /* operation index in its contract */
const char *http_param(struct http_req *r, const char *name); /* path parameter, decoded; never NULL for a declared one */
const char *http_query(struct http_req *r, const char *name); /* validated; NULL when absent and without default */
int64_t http_query_int(struct http_req *r, const char *name, int64_t def);
bool http_query_bool(struct http_req *r, const char *name, bool def);
const char *http_header(struct http_req *r, const char *name);
const js *http_body(struct http_req *r);	    /* validated JSON body; NULL when none was sent */
void http_set_user(struct http_req *r, void *user); /* handler's own state */
void *http_user(struct http_req *r);
/* Called once when the request is over, answered or not; delivered = the whole answer was handed to the socket. */
void http_on_done(struct http_req *r, void (*cb)(struct http_req *r, bool delivered));

/* Call the handler once more, for one that had to wait for something and has not answered. */
void http_again(struct http_req *r);

/* ---- answers: exactly one ----
 * None of these calls on_done, on_drain or on_close from inside. HEAD gets the headers only: what is streamed then is dropped, and
 * on_done(delivered) may come before http_stream_end. A whole answer before the end of an upload goes out at once and ends the
 * connection, unless little of the upload is missing; a streamed one waits for the end of the upload. */
void http_reply(struct http_req *r, int status, const char *content_type, struct buf *body); /* takes body's content */
void http_reply_json(struct http_req *r, int status, struct buf *json);
void http_reply_empty(struct http_req *r, int status);
void http_reply_err(struct http_req *r, const struct err *e);
void http_add_header(struct http_req *r, const char *name, const char *value); /* before the reply */

/* Streamed answer: begin, write..., end. length -1 = chunked. write queues and returns the bytes now queued; the writer pauses
 * above HTTP_HIGH and goes on in on_drain. abort cuts the connection so that the client sees a broken transfer. */
#define HTTP_HIGH ((size_t)256 * 1024)
void http_stream_begin(
	struct http_req *r, int status, const char *content_type, int64_t length, void (*on_drain)(struct http_req *r));
size_t http_stream_write(struct http_req *r, const void *data, size_t n);
void http_stream_end(struct http_req *r);
void http_stream_abort(struct http_req *r);

/* Streamed body: for operations whose contract says application/octet-stream or application/x-tar the handler runs when the
 * headers are in. on_data returns how much it takes (0..n); less than n pauses until http_body_resume. on_end after the last byte.
 * A broken upload gives no on_end, only on_done(delivered = false). */
void http_body_sink(
	struct http_req *r, size_t (*on_data)(struct http_req *r, const void *data, size_t n), void (*on_end)(struct http_req *r));
void http_body_resume(struct http_req *r);

/* ---- connections that become something else ----
 * Answer 101 and give the connection away, if the client asked to upgrade to `protocol`: cb gets its descriptor (non-blocking,
 * close-on-exec, the callee's to close), once, from the loop, and the bytes that came early (valid during the call); or -1 when the
 * client went before, the server is closing, or there is no descriptor left. What is taken is no connection of the server's any
 * more. False: it did not ask properly, and was answered 400; cb does not come. The request is over either way; when its connection
 * is given away, on_done comes before cb. One whose body has not entirely come (a streamed one, at its headers) cannot be upgraded:
 * 400. */
typedef void http_taken_cb(void *arg, int fd, const void *early, size_t n);
bool http_take(struct http_req *r, const char *protocol, http_taken_cb *cb, void *arg);

/* ---- WebSocket (RFC 6455, wslay) ---- */
struct ws;
struct ws_ops {
	void (*on_message)(void *arg, struct ws *ws, bool text, const uint8_t *data, size_t n); /* whole messages, <= 1 MiB */
	/* Something that had to be queued has left since, and less than HTTP_HIGH / 2 is queued now. */
	void (*on_drain)(void *arg, struct ws *ws);
	void (*on_close)(void *arg, struct ws *ws); /* last callback; ws is freed after it */
	void (*on_alarm)(void *arg, struct ws *ws); /* the time of ws_alarm has come; may be NULL */
};
/* Answer with 101. 400 and NULL when the client did not ask for an upgrade properly. The server pings every 30 s and gives up
 * on a peer silent for 90 s. */
struct ws *http_upgrade(struct http_req *r, const struct ws_ops *ops, void *arg);
size_t ws_send(struct ws *ws, bool text, const void *data, size_t n); /* returns the bytes now queued */
/* Binary message of one channel byte and n bytes, without another copy of the data in the caller. */
size_t ws_send_channel(struct ws *ws, uint8_t channel, const void *data, size_t n);
size_t ws_queued(const struct ws *ws);
/* Bytes of application data whose frames have entirely left for the socket since the start, in the order sent: the sum of the
 * n given to ws_send and ws_send_channel (channel bytes do not count). */
uint64_t ws_sent(const struct ws *ws);
void ws_close(struct ws *ws, int code, const char *reason); /* close handshake, then on_close */
/* Call on_alarm once, in so many milliseconds from now; 0: not at all. One at a time: the last call counts. */
void ws_alarm(struct ws *ws, uint64_t ms);
/* Read no more from the peer until told to go on; what was read already still comes (at most 256 KiB and a message). */
void ws_hold(struct ws *ws, bool hold);

#endif
