#include "daemon/hosts/carriers.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/authority.h"
#include "daemon/hosts/words.h"
#include "daemon/net/ask.h"
#include "daemon/net/tls_pipe.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { RENEW_MS = CA_CONTROL_LIFE_S * 1000 / 2 };

struct carry {
	struct carriers *all;
	struct carry *prev, *next;
	struct carry_ask ask; /* verb and texts, which are its own */
	struct tls_pipe *pipe; /* NULL: ended */
	struct ask *call;      /* NULL: answered */
	struct heard heard;
	struct err why; /* the connection or the call broke */
	bool waiting;	/* for the pipe, which says better why */
	carry_cb *cb;	/* NULL: told, or cancelled */
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
	int64_t now = clock_mono_ms();
	if (all->ctx && now - all->renewed_ms < RENEW_MS)
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
	if (c->cb || c->call || c->pipe)
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
		.fd = fd };
	c->cb = NULL;
	if (cb)
		cb(c->arg, &answer);
	else if (fd >= 0)
		close(fd);
	let_go(c);
}

static void on_pipe_end(void *arg, const struct err *why)
{
	struct carry *c = arg;
	c->pipe = NULL;
	if (c->waiting) {
		c->waiting = false;
		if (why)
			c->why = *why;
		err_prefix(&c->why, "host '%s'", c->ask.host);
		c->why.code = ERR_UNAVAILABLE;
		tell(c, &c->why, false, -1);
	} else {
		let_go(c);
	}
}

static const struct tls_pipe_ops pipe_ops = { .on_end = on_pipe_end };

/* ---- the answer ---- */

static void on_answer(void *arg, struct ask_answer *a)
{
	struct carry *c = arg;
	struct err err = ERR_INIT;
	c->call = NULL;
	if (a->status == 0) {
		c->why = *a->err;
		c->waiting = c->pipe && a->err->code == ERR_UNAVAILABLE;
		if (!c->waiting)
			tell(c, &c->why, false, -1);
		return;
	}
	if (a->status == 101) {
		tell(c, NULL, true, a->fd);
		return;
	}
	int rc = words_hear(&c->ask, a->status, a->body, a->n, &c->heard, &err);
	if (rc == 0 && c->heard.cursor && c->cb) {
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
	const char *const headers[] = { team, NULL };
	if (c->pipe)
		tls_pipe_cut(c->pipe); /* of the page before: all of it has come */
	c->pipe = NULL;
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
	tls_pipe_cut(c->pipe);
	c->pipe = NULL;
	return -1;
}

static const char *copy(const char *text)
{
	return text ? mem_strdup(text) : NULL;
}

static struct carry *start(void *self, const struct carry_ask *ask, carry_cb *cb, void *arg, struct err *err)
{
	struct carriers *all = self;
	if (prepare(all, err))
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
	c->waiting = false;
	ask_cancel(c->call);
	c->call = NULL;
	if (c->pipe)
		tls_pipe_cut(c->pipe);
	c->pipe = NULL;
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
