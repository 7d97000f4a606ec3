/*
 * call: a request that waits for something of core, whose client may go away first.
 */
#ifndef SBX_API_CALL_H
#define SBX_API_CALL_H

#include "daemon/http/http.h"

struct call {
	struct http_req *req; /* NULL: the client went away */
};
/* One of nothing else, begun; free it after call_end. */
struct call *call_new(struct http_req *r);
/* The request's user pointer and on_done are the call's until call_end. */
void call_begin(struct call *c, struct http_req *r);
/* The request, to be answered; NULL when nobody waits any more. */
struct http_req *call_end(struct call *c);

/* One that somebody comes in by: answered with this status when he may. Begun; free it after call_end. */
struct entry_call {
	struct call call; /* first */
	int status;
};
struct entry_call *entry_call_new(struct http_req *r, int status);

#endif
