/*
 * internal: what the files of this folder share. Nothing outside daemon/http and its tests includes it.
 *
 * server.c owns the one MHD daemon and the loop handles, listen.c the listening sockets (MHD never accepts itself, so that a
 * full descriptor table cannot make it spin), request.c the life of a request (params.c its parameters), reply.c the answers, ws.c
 * the WebSockets, take.c the connections that are given away, check.c the parsing that is ours, pure and fuzzed.
 *
 * Rule that keeps re-entrancy simple: the http_* and ws_* calls only note what is to be done; MHD_queue_response, the release of
 * requests and the callbacks on_done, on_drain and on_close happen in MHD's callbacks or at the loop's bottom (server_kick).
 */
#ifndef SBX_HTTP_INTERNAL_H
#define SBX_HTTP_INTERNAL_H

#include <microhttpd.h>
#include <sys/socket.h>

#include "daemon/http/http.h"
#include "shared/contract/router.h"

#define HTTP_LOW (HTTP_HIGH / 2)
#define HTTP_MAX_CONNECTIONS 8192u /* WebSockets too */
#define HTTP_MAX_JSON ((size_t)16 << 20)
#define HTTP_MAX_QUERY 64u
#define HTTP_READ_TIMEOUT_S 30u
/* Pool of a connection: 64 KiB of headers and what MHD keeps about them. */
#define HTTP_POOL ((size_t)80 << 10)
/* A refused request's body up to this is read and dropped so that the connection can go on. */
#define HTTP_DRAIN ((uint64_t)64 << 10)
/* After an answer in the middle of an upload, so much more is read (not kept) before the connection is cut. */
#define HTTP_LINGER ((uint64_t)16 << 20)
#define HTTP_SCRATCH ((size_t)64 << 10)
#define WS_MAX_MESSAGE ((uint64_t)1 << 20)
/* Above so much unsent we stop reading from the peer: pongs are the only thing that can get there. */
#define WS_STOP_READING ((size_t)4 << 20)

/* Bytes waiting to go out; taken from the front without moving the rest each time. */
struct outq {
	struct buf b;
	size_t head;
};

static inline size_t outq_len(const struct outq *q)
{
	return q->b.len - q->head;
}

static inline const char *outq_data(const struct outq *q)
{
	return q->b.p + q->head;
}

/* Take n <= outq_len bytes off the front; memory that a burst needed is given back. */
void outq_drop(struct outq *q, size_t n);

/* ---- server.c ---- */
struct listener {
	struct listener *next;
	struct http_server *s;
	uv_poll_t poll;
	int fd;
	bool local; /* Unix socket */
	char *path; /* of the Unix socket file, else NULL */
	dev_t dev;  /* which file we made, so that only that one is removed */
	ino_t ino;
};

/* Where a connection came from; NULL: over TCP. */
struct http_origin {
	bool local;
	struct identity who; /* whose its requests are when they bring no credential */
};

struct http_server {
	uv_loop_t *loop;
	struct http_config config;
	struct router *router;
	struct MHD_Daemon *mhd;
	uv_poll_t poll;	   /* MHD's epoll descriptor */
	uv_timer_t timer;  /* MHD's next timeout */
	uv_timer_t retry;  /* accept again after the descriptors ran out; the limit of a shutdown */
	uv_idle_t idle;	   /* the loop's bottom: runs once after server_kick */
	unsigned handles;  /* uv handles not yet closed */
	uint64_t deadline; /* of `timer`, loop time; 0 = not running */
	bool kicked, paused, closing, stopping;
	struct http_origin *arriving;	       /* of the connection that is just being given to MHD: that takes it */
	unsigned connections, max_connections; /* MHD's, and sockets that it does not know any more */
	struct listener *listeners;
	struct http_req *reqs;
	struct ws *sockets, *dirty; /* all; those with work for the loop's bottom */
	struct take *takes;	    /* connections that are being given away */
	void (*done_cb)(void *arg);
	void *done_arg;
	struct {
		unsigned ping, dead, close, drain; /* ms */
	} times;
	char *scratch; /* HTTP_SCRATCH bytes for reading sockets */
};

/* Have the loop's bottom run in this iteration. */
void server_kick(struct http_server *s);
/* Count a handle that was initialised, and close one: its memory may go when the callback of uv_close came. */
void server_handle_closed(struct http_server *s);
/* One of s->connections is gone. */
void server_connection_closed(struct http_server *s);

/* ---- listen.c ---- */
void listeners_update(struct http_server *s); /* poll or not, by s->paused and the number of connections */
void listeners_close(struct http_server *s);

/* ---- request.c ---- */
extern const struct identity http_operator; /* who has the Unix socket */
enum req_phase { REQ_HEAD, REQ_BODY, REQ_FULL, REQ_ANSWERED };
enum req_mode { MODE_DROP, MODE_JSON, MODE_SINK, MODE_LINGER };

/* The answer, before it becomes MHD's. */
struct answer {
	bool set, stream, ws, take;
	int status;
	int64_t length; /* of a stream; -1 = chunked */
	char *content_type;
	struct buf body;
	char **headers;	     /* name, value, name, value... */
	size_t header_count; /* strings */
};

struct req_pair {
	char *key, *value; /* decoded */
};

/* The headers that we look at, found in one pass. */
enum req_header {
	HDR_HOST,
	HDR_CONTENT_LENGTH,
	HDR_TRANSFER_ENCODING,
	HDR_CONTENT_TYPE,
	HDR_ORIGIN,
	HDR_API_KEY,
	HDR_AUTHORIZATION,
	HDR_EXPECT,
	HDR_TEAM,
	HDR_COUNT,
};

struct req_headers {
	const char *value[HDR_COUNT];
	unsigned count[HDR_COUNT];
	bool bad_name;
};

struct req_watch {
	uv_poll_t poll;
	struct http_req *r; /* NULL when the request is over */
	struct http_server *s;
	int fd;
};

struct http_req {
	struct http_req *next, **pprev;
	struct http_server *s;
	struct MHD_Connection *conn;
	const struct http_dialect *d;
	const struct ct_op *op;		  /* NULL when nothing matched */
	const struct ct_content *content; /* which of the operation's content types the body is; NULL = it takes none */
	uint32_t op_index;
	struct ct_match match;
	const char *method, *path;
	struct identity who;
	int64_t start_us;
	const struct http_origin *origin; /* of its connection */
	bool local, head, http11;
	enum req_phase phase;
	enum req_mode mode;
	bool in_callback, suspended, gone, dead, must_close, upgraded;
	bool has_body, expect;
	uint64_t body_left; /* UINT64_MAX = chunked */
	uint64_t lingered;
	struct req_pair *query;
	size_t query_count;
	struct req_headers h;
	struct buf in;
	js *json;
	size_t (*on_data)(struct http_req *r, const void *data, size_t n);
	void (*on_end)(struct http_req *r);
	bool resume_asked;
	struct answer a;
	struct outq out;
	bool out_ended, out_aborted, raw_sent, raw_ok;
	bool drain_due; /* the queue was above HTTP_LOW */
	void (*on_drain)(struct http_req *r);
	void *user;
	void (*on_done)(struct http_req *r, bool delivered);
	struct ws *ws;
	struct take *take;
	struct req_watch *watch;
};

enum MHD_Result req_access(void *cls, struct MHD_Connection *conn, const char *url, const char *method, const char *version,
	const char *data, size_t *size, void **ctx);
void req_completed(void *cls, struct MHD_Connection *conn, void **ctx, enum MHD_RequestTerminationCode how);
int req_socket(const struct http_req *r);
/* Stop the connection until req_wake; a request whose client has gone is marked dead instead. Only in MHD's callbacks. */
void req_suspend(struct http_req *r);
void req_wake(struct http_req *r);
/* The client is not worth waiting for any more: cut it at the next chance. */
void req_kill(struct http_req *r);
/* r->a was just filled: see that it leaves. */
void req_answered(struct http_req *r);
/* The last word to the handler; r's memory goes when MHD lets go of it. */
void req_over(struct http_req *r, bool delivered);

/* ---- params.c ---- */
/* Collect and decode the query. */
int params_read(struct http_req *r, struct err *err);
/* May a WebSocket's query carry a credential under this name? */
bool params_is_credential(const char *key);
/* Check path, query and header parameters against the operation; fills in the query's defaults. */
int params_check(struct http_req *r, struct err *err);

/* ---- reply.c ---- */
/* An error at a stage of the request that the dialect may have words of its own for (ct_fault); NULL = none. */
void reply_fault(struct http_req *r, const char *stage, const struct err *e);
/* Give the answer to MHD. MHD_NO = cut the connection. */
enum MHD_Result answer_queue(struct http_req *r);
/* Write the answer straight to the socket (the upload is unfinished, where MHD takes none). */
void answer_raw(struct http_req *r);
void answer_free(struct answer *a);

/* ---- ws.c ---- */
struct ws *ws_new(struct http_server *s, const struct ws_ops *ops, void *arg);
/* MHD's upgrade handler; cls is the request. */
void ws_upgraded(void *cls, struct MHD_Connection *conn, void *ctx, const char *extra, size_t n, MHD_socket fd,
	struct MHD_UpgradeResponseHandle *urh);
/* Bytes from the peer. */
void ws_feed(struct ws *ws, const void *data, size_t n);
/* All sockets that asked for it (loop's bottom). */
void ws_run_dirty(struct http_server *s);
/* Without a handshake: on_close at the loop's bottom. */
void ws_break(struct ws *ws);
/* Say 1001 to all, as far as it can be said at once, and finish. */
void ws_shutdown_all(struct http_server *s);

/* ---- take.c ---- */
/* MHD's upgrade handler; cls is the request. */
void take_upgraded(void *cls, struct MHD_Connection *conn, void *ctx, const char *extra, size_t n, MHD_socket fd,
	struct MHD_UpgradeResponseHandle *urh);
/* The request ended without the 101. */
void take_failed(struct take *t);
/* Tell whose connections have become theirs, or not (loop's bottom). */
void takes_run(struct http_server *s);

/* ---- check.c: pure ---- */
/* Host header of a TCP request: an IP literal or localhost, with or without a port. */
bool check_host(const char *host);
/* Origin against Host: same authority. NULL origin is fine. */
bool check_origin(const char *origin, const char *host);
/* Key of "Bearer KEY" (scheme in any case), NULL otherwise. */
const char *check_bearer(const char *authorization);
/* Is token in a comma-separated header value (any case)? */
bool check_token(const char *value, const char *token);
/* Does the media type of a Content-Type value equal type (without its parameters, any case)? */
bool check_media(const char *value, const char *type);
/* Is a Content-Type value that of JSON (RFC 6839: application/json or anything+json)? */
bool check_json(const char *value);
/* Percent-decoded, valid UTF-8? Decodes s in place. */
bool check_decode(char *s);
#define WS_ACCEPT_LEN 28
/* Sec-WebSocket-Accept for a client's key; false when the key is no base64 of 16 bytes. */
bool check_ws_key(const char *key, char accept[WS_ACCEPT_LEN + 1]);

#endif
