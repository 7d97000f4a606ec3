#include "daemon/hosts/carriers.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/authority.h"
#include "daemon/hosts/words.h"
#include "daemon/net/ask.h"
#include "daemon/net/join.h"
#include "daemon/net/tls_pipe.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum {
	RENEW_MS = CA_CONTROL_LIFE_S * 1000 / 2,
	CALLS_MAX = 256,    /* under way to one host: three descriptors each, and what it says can cause some */
	PATIENCE_MS = 3000, /* for a connection that broke to say why: it hears its peer out before */
};

struct carry {
	struct carriers *all;
	struct carry *prev, *next;
	struct carry_ask ask;  /* verb and texts, which are its own */
	struct tls_pipe *pipe; /* NULL: ended */
	struct ask *call;      /* NULL: answered */
	struct join *join;     /* of a stream, whose first bytes came with the answer */
	struct heard heard;
	struct err why;	      /* the connection or the call broke */
	uv_timer_t *patience; /* with the pipe, which says better why */
	carry_cb *cb;	      /* NULL: told, or cancelled */
	void *arg;
};

struct carriers {
	struct carrier port;
	uv_loop_t *loop;
	struct core *core;
	struct tls_ctx *ctx;
	int64_t renewed_ms;
	struct carry *first;
};

static int send_request(struct carry *c, const struct carry_ask *ask, const char *cursor, struct err *err);

/* ---- its own certificate ---- */

/* A new one at half of the life of the old. */
static int prepare(struct carriers *all, struct err *err)
{
	auto_ca_pem own = CA_PEM_INIT;
	auto_buf ca = BUF_INIT;
	int64_t now = clock_wall_ms(), age = now - all->renewed_ms; /* as certificates count: a machine may have slept */
	if (all->ctx && age >= 0 && age < RENEW_MS)
		return 0;
	if (authority_control(all->core, &own, &ca, err))
		return -1;
	const struct tls_pem pem = { .ca = ca.p, .cert = own.cert.p, .key = own.key.p };
	if (all->ctx ? tls_ctx_renew(all->ctx, &pem, err) : !(all->ctx = tls_ctx_new(&pem, err)))
		return -1;
	all->renewed_ms = now;
	return 0;
}

/* ---- the end of one ---- */

/* When it has neither an owner nor a connection. */
static void let_go(struct carry *c)
{
	if (c->cb || c->call || c->pipe || c->join)
		return;
	*(c->prev ? &c->prev->next : &c->all->first) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	heard_free(&c->heard);
	char *const texts[] = { (char *)(uintptr_t)c->ask.host, (char *)(uintptr_t)c->ask.address, (char *)(uintptr_t)c->ask.id,
		(char *)(uintptr_t)c->ask.name, (char *)(uintptr_t)c->ask.range };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	free(c);
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle);
}

/* What comes over it, or would, nobody needs. */
static void disconnect(struct carry *c)
{
	if (c->patience)
		uv_close((uv_handle_t *)mem_steal(&c->patience), on_timer_closed);
	join_cut(mem_steal(&c->join));
	if (c->pipe)
		tls_pipe_cut(mem_steal(&c->pipe));
}

static void tell(struct carry *c, const struct err *err, bool heard, int fd)
{
	carry_cb *cb = c->cb;
	const struct carry_answer answer = { .err = err,
		.heard = heard,
		.boxes = c->heard.boxes,
		.box_count = c->heard.box_count,
		.shot = &c->heard.shot,
		.points = c->heard.points,
		.point_count = c->heard.point_count,
		.uses = c->heard.uses,
		.use_count = c->heard.use_count,
		.fd = fd };
	if (fd < 0)
		disconnect(c);
	c->cb = NULL;
	cb(c->arg, &answer);
	let_go(c);
}

/* No answer came, or not all of it. */
static void tell_broken(struct carry *c)
{
	if (c->why.code != ERR_TIMEOUT && c->why.code != ERR_PROTOCOL)
		c->why.code = ERR_UNAVAILABLE;
	err_prefix(&c->why, "host '%s'", c->ask.host);
	tell(c, &c->why, false, -1);
}

static void on_pipe_end(void *arg, const struct err *why)
{
	struct carry *c = arg;
	c->pipe = NULL;
	if (why) {
		c->why = *why;
		c->why.code = ERR_UNAVAILABLE;
	}
	if (c->patience)
		tell_broken(c);
	else
		let_go(c);
}

static const struct tls_pipe_ops pipe_ops = { .on_end = on_pipe_end };

static void on_patience(uv_timer_t *timer)
{
	tell_broken(timer->data);
}

static void wait_for_pipe(struct carry *c)
{
	c->patience = mem_zalloc(sizeof(*c->patience));
	uv_timer_init(c->all->loop, c->patience);
	c->patience->data = c;
	uv_timer_start(c->patience, on_patience, PATIENCE_MS, 0);
}

/* ---- the answer ---- */

static void on_join_end(void *arg)
{
	struct carry *c = arg;
	c->join = NULL;
	let_go(c);
}

/* The connection that it was switched to, with what has come of it already. -1 with err. */
static int take_stream(struct carry *c, struct ask_answer *a, struct err *err)
{
	int ends[2];
	if (a->early->len == 0)
		return a->fd;
	if (tls_pipe_pair(ends, err)) {
		close(a->fd);
		return -1;
	}
	c->join = join_start(c->all->loop, a->fd, ends[0], a->early->p, a->early->len, on_join_end, c, err);
	if (c->join)
		return ends[1];
	close(ends[1]);
	return -1;
}

static void on_answer(void *arg, struct ask_answer *a)
{
	struct carry *c = arg;
	struct err err = ERR_INIT;
	c->call = NULL;
	if (a->status == 0) {
		if (!c->why.code)
			c->why = *a->err;
		if (c->pipe && c->why.code == ERR_UNAVAILABLE)
			wait_for_pipe(c);
		else
			tell_broken(c);
		return;
	}
	if (a->status == 101) {
		int fd = take_stream(c, a, &err);
		tell(c, fd < 0 ? &err : NULL, true, fd);
		return;
	}
	int rc = words_hear(&c->ask, a->status, a->body, a->n, &c->heard, &err);
	if (rc == 0 && c->heard.cursor) {
		if (send_request(c, &c->ask, c->heard.cursor, &err) == 0)
			return;
		rc = -1;
	}
	tell(c, rc ? &err : NULL, true, -1);
}

/* ---- asking ---- */

static int send_request(struct carry *c, const struct carry_ask *ask, const char *cursor, struct err *err)
{
	int ends[2];
	struct words words;
	auto_free char *team = mem_printf("X-Sbx-Team: %lld", (long long)ask->team);
	const char *const headers[] = { ask->team == TEAM_ANY ? NULL : team, NULL };
	disconnect(c); /* of the page before: all of it has come */
	if (tls_pipe_pair(ends, err))
		return -1;
	const struct tls_pipe_spec spec = { .ctx = c->all->ctx, .peer = ask->host, .ops = &pipe_ops, .arg = c };
	c->pipe = tls_pipe_connect(c->all->loop, &spec, ask->address, ends[0], err);
	if (!c->pipe) {
		close(ends[1]);
		return -1;
	}
	words_say(ask, cursor, &words);
	const struct ask_spec rq = { .method = words.method,
		.path = words.path.p,
		.headers = headers,
		.type = words.body.len ? "application/json" : NULL,
		.body = words.body.len ? words.body.p : NULL,
		.n = words.body.len,
		.upgrade = words.upgrade ? HOST_PROTOCOL : NULL,
		.limit_ms = words.limit_ms };
	c->call = ask_start(c->all->loop, ends[1], &rq, on_answer, c, err);
	words_free(&words);
	if (c->call)
		return 0;
	disconnect(c);
	return -1;
}

static const char *copy(const char *text)
{
	return text ? mem_strdup(text) : NULL;
}

static int check_calls(const struct carriers *all, const char *host, struct err *err)
{
	size_t n = 0;
	for (const struct carry *c = all->first; c; c = c->next)
		n += c->cb && !strcmp(c->ask.host, host);
	if (n < CALLS_MAX)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "host '%s' has %d calls to answer already", host, CALLS_MAX);
}

static struct carry *start(void *self, const struct carry_ask *ask, carry_cb *cb, void *arg, struct err *err)
{
	struct carriers *all = self;
	if (check_calls(all, ask->host, err) || prepare(all, err))
		return NULL;
	struct carry *c = mem_zalloc(sizeof(*c));
	*c = (struct carry){ .all = all,
		.next = all->first,
		.ask = { .verb = ask->verb,
			.host = copy(ask->host),
			.address = copy(ask->address),
			.team = ask->team,
			.id = copy(ask->id),
			.name = copy(ask->name),
			.range = copy(ask->range) },
		.cb = cb,
		.arg = arg };
	if (c->next)
		c->next->prev = c;
	all->first = c;
	if (send_request(c, ask, NULL, err) == 0)
		return c;
	c->cb = NULL;
	let_go(c);
	return NULL;
}

static void cancel(void *self, struct carry *c)
{
	(void)self;
	c->cb = NULL;
	ask_cancel(mem_steal(&c->call));
	disconnect(c);
	let_go(c);
}

struct carriers *carriers_new(uv_loop_t *loop, struct core *core)
{
	struct carriers *all = mem_zalloc(sizeof(*all));
	*all = (struct carriers){ .port = { .self = all, .start = start, .cancel = cancel }, .loop = loop, .core = core };
	return all;
}

const struct carrier *carriers_port(const struct carriers *all)
{
	return &all->port;
}

void carriers_close(struct carriers *all)
{
	if (!all)
		return;
	while (all->first)
		cancel(all, all->first);
	tls_ctx_free(all->ctx);
	free(all);
}
