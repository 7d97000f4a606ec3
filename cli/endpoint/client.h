/*
 * client: calls to a server over one kept connection: by operation of our own contract (struct call), or any (struct request).
 *
 * Sequence: client_init, then any number of client_call; or by hand client_begin or client_request, client_send..., client_head,
 * client_read until 0. Answers of status 400 and above become an err with the server's code, message and hint, in whichever
 * dialect it said them.
 * One thread; blocking, with a time limit, and interruptible by cancel_fd.
 */
#ifndef SBX_CLI_CLIENT_H
#define SBX_CLI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/endpoint/endpoint.h"
#include "sbx_contract.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"
#include "shared/base/json.h"
#include "shared/net/http1.h"

#define CLIENT_TIMEOUT_MS 60000

struct client {
	const struct endpoint *ep;
	int fd;		      /* -1 = not connected */
	int cancel_fd;	      /* readable = give up with err->sys EINTR; -1 = none */
	int timeout_ms;	      /* without progress; 0 = none */
	bool no_start;	      /* do not start the daemon */
	const char *who;      /* "the daemon", in messages */
	const char *key_hint; /* what to do about a 401 */
	struct buf again;     /* the request, while it may be sent again: see may_go_again */
	bool only_reads;      /* so that doing it twice does no harm */
	unsigned tries;
	bool chunked; /* how the streamed body goes out */
	char *rx;
	size_t rx_off, rx_len;
	struct http1_head head;
	struct http1_body body;
	const char *ws_key; /* asks for an upgrade; set by ws_open */
	/* Instead of the time limit and cancel_fd while an answer is waited for: come back with 0 when fd can be read; non-zero
	 * gives the call up, with err. NULL = not used. */
	int (*wait)(void *arg, int fd, struct err *err);
	void *wait_arg;
};

struct kv {
	const char *key, *value; /* value NULL = leave out */
};

#define CALL_QUERY_MAX 7
struct call {
	enum sbx_op op;
	const char *path[2]; /* values of the path parameters in order */
	struct kv query[CALL_QUERY_MAX];
	const struct buf *json; /* body, or NULL */
	bool stream;		/* the body follows by client_send, chunked */
};

/* A request as it goes out. */
struct request {
	const char *method, *target; /* path and query, encoded; the endpoint's own base path comes before them */
	const struct kv *headers;    /* beside Host, User-Agent, the endpoint's credential and those of the body */
	size_t header_count;
	const char *media;	/* of the body; NULL = there is none */
	const struct buf *body; /* the whole of it, or NULL = it is empty or streamed */
	bool stream;		/* it follows by client_send... */
	int64_t length;		/* ...and has so many bytes; -1 = in chunks */
};

void client_init(struct client *c, const struct endpoint *ep);
void client_close(struct client *c); /* the connection is cut, which aborts what is under way */

/* Send the request (with its body unless it is streamed). Connects, and starts the daemon, when needed. */
int client_begin(struct client *c, const struct call *call, struct err *err);
int client_request(struct client *c, const struct request *rq, struct err *err);
/* The request of a call; target is memory for it. */
int client_of_call(const struct call *call, struct buf *target, struct request *out, struct err *err);
/* A piece of a streamed body. 1 = the server has answered already, so sending more is useless; 0; -1. */
int client_send(struct client *c, const void *data, size_t n, struct err *err);
int client_send_end(struct client *c, struct err *err);
/* Wait for the head of the answer; an error answer is read whole and becomes err. */
int client_head(struct client *c, struct err *err);
/* The next run of the body, in the client's own memory until the next call. 1, 0 at the end, -1. */
int client_read(struct client *c, const char **data, size_t *n, struct err *err);

/* The whole call; the body is appended to out (NULL = dropped). */
int client_call(struct client *c, const struct call *call, struct buf *out, struct err *err);
/* The whole call with a JSON answer. NULL with err. Free with js_free. */
js *client_json(struct client *c, const struct call *call, struct err *err);

/* An API error object {code, message, hint} as err. Returns -1. */
int client_api_error(const js *error, int status, struct err *err);
/* The body of an error answer in the shape of any dialect as err. Returns -1. */
int client_fault(const struct client *c, int status, const char *text, size_t n, struct err *err);

#endif
