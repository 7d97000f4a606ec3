#include "daemon/api/points.h"

#include <stdlib.h>

#include "daemon/api/call.h"
#include "daemon/core/metrics.h"
#include "shared/base/mem.h"

struct points_call {
	struct call call; /* first */
	api_points_cb *reply;
};

static void on_told(void *arg, const struct point *list, size_t n, const struct err *err)
{
	struct points_call *c = arg;
	struct http_req *r = call_end(&c->call);
	api_points_cb *reply = c->reply;
	free(c);
	if (r)
		reply(r, NULL, list, n, err);
}

static void ask_host(struct http_req *r, const struct sandbox *sb, const char *range, api_points_cb *reply)
{
	struct err err = ERR_INIT;
	struct points_call *c = mem_zalloc(sizeof(*c));
	c->reply = reply;
	call_begin(&c->call, r);
	if (metrics_ask(sb, range, on_told, c, &err))
		on_told(c, NULL, 0, &err);
}

struct gathered {
	struct point *v;
	size_t n, cap;
};

static void gather(void *arg, const struct point *p)
{
	struct gathered *all = arg;
	if (all->n == all->cap) {
		all->cap = all->cap ? 2 * all->cap : 256;
		all->v = mem_grow(all->v, all->cap, sizeof(*all->v));
	}
	all->v[all->n++] = *p;
}

void api_points(struct http_req *r, const struct sandbox *sb, const char *range, api_points_cb *reply)
{
	enum series_tier tier = SERIES_FINE;
	int64_t range_ms = 0;
	struct gathered all = { 0 };
	struct err err = ERR_INIT;
	if (metrics_range(range, &tier, &range_ms)) { /* not while the contracts and core have the same words */
		err_set(&err, ERR_INVALID, "'range' is not one that is kept: '%s'", range);
		reply(r, sb, NULL, 0, &err);
	} else if (sandbox_host(sb)) {
		ask_host(r, sb, range, reply);
	} else {
		metrics_each(sb, tier, range_ms, gather, &all);
		reply(r, sb, all.v, all.n, NULL);
		free(all.v);
	}
}
