#include "daemon/api/call.h"

#include "shared/base/mem.h"

static void on_gone(struct http_req *r, bool delivered)
{
	(void)delivered;
	((struct call *)http_user(r))->req = NULL;
}

void call_begin(struct call *c, struct http_req *r)
{
	c->req = r;
	http_set_user(r, c);
	http_on_done(r, on_gone);
}

struct call *call_new(struct http_req *r)
{
	struct call *c = mem_zalloc(sizeof(*c));
	call_begin(c, r);
	return c;
}

struct http_req *call_end(struct call *c)
{
	if (c->req)
		http_on_done(c->req, NULL);
	return c->req;
}

struct entry_call *entry_call_new(struct http_req *r, int status)
{
	struct entry_call *c = mem_zalloc(sizeof(*c));
	c->status = status;
	call_begin(&c->call, r);
	return c;
}
