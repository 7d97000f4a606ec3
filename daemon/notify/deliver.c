/*
 * A delivery goes from the list `waiting` to `flying` to `done`. Callers are called back from one place only (on_soon), with
 * nothing of libcurl on the stack, so that they may send, cancel and close as they like.
 */
#include "daemon/notify/deliver.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/notify/exchange.h"
#include "daemon/notify/url.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { TIMEOUT_MS = 10000, FLYING_MAX = 256, WAITING_MAX = 4096 };

struct list {
	struct notify_delivery *first, *last;
	size_t count;
};

struct notify_delivery {
	struct notify *n;
	struct list *list; /* the one it stands in */
	struct notify_delivery *prev, *next;
	const struct notify_provider *provider;
	struct notify_requests requests;
	size_t request; /* that is on its way */
	int64_t deadline;
	struct exchange *exchange; /* or NULL */
	struct err err;
	notify_cb *cb;
	void *arg;
};

struct notify {
	uv_loop_t *loop;
	struct notify_config config;
	char *origins[5];	     /* what config.origins points to */
	struct exchanges *exchanges; /* NULL until the first delivery */
	uv_idle_t soon;		     /* runs while there is something to begin or to call back */
	struct list waiting, flying, done;
};

static void on_soon(uv_idle_t *idle);

/* ---- the lists ---- */

static void enter(struct notify_delivery *d, struct list *list)
{
	d->list = list;
	d->next = NULL;
	d->prev = list->last;
	if (list->last)
		list->last->next = d;
	else
		list->first = d;
	list->last = d;
	list->count++;
}

static void leave(struct notify_delivery *d)
{
	if (d->prev)
		d->prev->next = d->next;
	else
		d->list->first = d->next;
	if (d->next)
		d->next->prev = d->prev;
	else
		d->list->last = d->prev;
	d->list->count--;
}

static struct notify_delivery *take_first(struct list *list)
{
	struct notify_delivery *d = list->first;
	if (!d)
		return NULL;
	list->first = d->next;
	if (d->next)
		d->next->prev = NULL;
	else
		list->last = NULL;
	list->count--;
	return d;
}

/* It stands in no list any more. */
static void destroy(struct notify_delivery *d)
{
	if (d->exchange)
		exchange_cancel(d->exchange);
	notify_requests_release(&d->requests);
	free(d);
}

/* ---- under way ---- */

static void on_answer(void *arg, const struct exchange_answer *answer);

/* d->err says how it went. */
static void finish(struct notify_delivery *d)
{
	leave(d);
	enter(d, &d->n->done);
	uv_idle_start(&d->n->soon, on_soon);
}

static void launch(struct notify_delivery *d)
{
	d->exchange = exchange_start(
		d->n->exchanges, &d->requests.items[d->request], d->deadline - clock_mono_ms(), on_answer, d, &d->err);
	if (!d->exchange)
		finish(d);
}

static void on_answer(void *arg, const struct exchange_answer *answer)
{
	struct notify_delivery *d = arg;
	d->exchange = NULL;
	if (answer->status == 0)
		d->err = *answer->err;
	else if (!notify_judge(d->provider, answer->status, answer->body, answer->n, &d->err) && ++d->request < d->requests.count) {
		launch(d);
		return;
	}
	finish(d);
}

static void begin(struct notify_delivery *d)
{
	struct notify *n = d->n;
	enter(d, &n->flying);
	d->deadline = clock_mono_ms() + n->config.timeout_ms;
	if (!n->exchanges)
		n->exchanges = exchanges_new(n->loop, "channels", n->config.allow_private, &d->err);
	if (n->exchanges)
		launch(d);
	else
		finish(d);
}

static void call_back(struct notify_delivery *d)
{
	struct err err = d->err;
	notify_cb *cb = d->cb;
	void *arg = d->arg;
	destroy(d);
	cb(arg, err.code == ERR_OK ? NULL : &err);
}

static void on_soon(uv_idle_t *idle)
{
	struct notify *n = idle->data;
	struct notify_delivery *d;
	/* those that callbacks add come in the next round; when one closes us, the lists are empty */
	for (size_t left = n->done.count; left && (d = take_first(&n->done)); left--)
		call_back(d);
	while (n->flying.count < n->config.in_flight_max && (d = take_first(&n->waiting)))
		begin(d);
	if (!n->done.count)
		uv_idle_stop(&n->soon);
}

/* ---- what callers do ---- */

/* A UUID of random bits (RFC 9562, version 4). */
static void make_id(char out[NOTIFY_ID_LEN + 1])
{
	unsigned char b[16];
	rand_bytes(b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(out, NOTIFY_ID_LEN + 1, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
		b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static int prepare(struct notify_delivery *d, const char *provider, char *const *config, const struct notify_event *event)
{
	char id[NOTIFY_ID_LEN + 1];
	make_id(id);
	struct notify_attempt attempt = { .origins = &d->n->config.origins, .wall_ms = clock_wall_ms(), .id = id };
	d->provider = notify_provider_find(provider);
	if (!d->provider)
		return err_set(&d->err, ERR_INVALID, "no provider is called '%.64s'", provider);
	if (d->n->waiting.count >= WAITING_MAX)
		return err_set(&d->err, ERR_LIMIT, "%d notifications wait already", WAITING_MAX);
	return notify_requests_make(d->provider, config, event, &attempt, &d->requests, &d->err);
}

struct notify_delivery *notify_send(
	struct notify *n, const char *provider, char *const *config, const struct notify_event *event, notify_cb *cb, void *arg)
{
	struct notify_delivery *d = mem_zalloc(sizeof(*d));
	*d = (struct notify_delivery){ .n = n, .cb = cb, .arg = arg };
	enter(d, prepare(d, provider, config, event) ? &n->done : &n->waiting);
	uv_idle_start(&n->soon, on_soon);
	return d;
}

void notify_cancel(struct notify_delivery *d)
{
	struct notify *n = d->n;
	leave(d);
	destroy(d);
	uv_idle_start(&n->soon, on_soon); /* its place is free for one that waits */
}

static int take_origin(struct notify *n, size_t i, const char **origin, struct err *err)
{
	struct url url;
	if (!*origin)
		return 0;
	if (url_split(*origin, *origin, &url, err))
		return -1;
	if (url.path.n || url.query.n)
		return err_set(err, ERR_INVALID, "'%.200s' has more than a scheme, a host and a port", *origin);
	n->origins[i] = mem_strdup(*origin);
	*origin = n->origins[i];
	return 0;
}

static void release(struct notify *n)
{
	for (size_t i = 0; i < ARRAY_LEN(n->origins); i++)
		free(n->origins[i]);
	free(n);
}

struct notify *notify_new(uv_loop_t *loop, const struct notify_config *config, struct err *err)
{
	struct notify *n = mem_zalloc(sizeof(*n));
	n->loop = loop;
	n->config = *config;
	n->config.timeout_ms = config->timeout_ms ? config->timeout_ms : TIMEOUT_MS;
	n->config.in_flight_max = config->in_flight_max ? config->in_flight_max : FLYING_MAX;
	struct notify_origins *o = &n->config.origins;
	const char **origins[] = { &o->discord, &o->slack, &o->teams, &o->googlechat, &o->telegram };
	for (size_t i = 0; i < ARRAY_LEN(origins); i++)
		if (take_origin(n, i, origins[i], err)) {
			release(n);
			return NULL;
		}
	uv_idle_init(loop, &n->soon);
	n->soon.data = n;
	return n;
}

static void on_soon_closed(uv_handle_t *handle)
{
	release(handle->data);
}

void notify_close(struct notify *n)
{
	if (!n)
		return;
	struct list *lists[] = { &n->waiting, &n->flying, &n->done };
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (struct notify_delivery *d; (d = take_first(lists[i]));)
			destroy(d);
	exchanges_close(n->exchanges);
	uv_close((uv_handle_t *)&n->soon, on_soon_closed);
}
