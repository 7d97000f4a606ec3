#include "tests/unit/http_fixture.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/http/internal.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

/* ---- the contract, made at start from a table ---- */

enum { S_ANY, S_INT, S_STR, S_OBJ, S_LIST, S_DEF, S_INTS };

static const struct fx_param {
	const char *name;
	uint8_t in;
	bool required;
	uint32_t schema;
} params_def[] = {
	{ "n", CT_IN_QUERY, false, S_INT },
	{ "mode", CT_IN_QUERY, false, S_STR },
	{ "refuse", CT_IN_QUERY, false, S_INT },
	{ "need", CT_IN_QUERY, true, S_INT },
	{ "list", CT_IN_QUERY, false, S_LIST },
	{ "limit", CT_IN_QUERY, false, S_DEF },
	{ "id", CT_IN_PATH, true, S_STR },
	{ "ints", CT_IN_QUERY, false, S_INTS },
};

static http_handler h_quit, h_ping, h_stream, h_later, h_never, h_echo, h_upload, h_ws, h_flood, h_item, h_take;

/* sorted by name, as the trie wants it */
/* clang-format off */
static const struct fx_op {
	const char *name, *method;
	uint16_t flags;
	uint8_t body;
	http_handler *handler;
	unsigned first_param, param_count;
} ops_def[] = {
	{ "echo", "POST", CT_OP_BODY_REQUIRED, CT_BODY_JSON, h_echo, 0, 0 },
	{ "flood", "GET", CT_OP_WEBSOCKET, CT_BODY_NONE, h_flood, 0, 2 },
	{ "later", "GET", 0, CT_BODY_NONE, h_later, 0, 0 },
	{ "local", "GET", CT_OP_LOCAL, CT_BODY_NONE, h_ping, 0, 0 },
	{ "need", "GET", 0, CT_BODY_NONE, h_ping, 3, 3 },
	{ "never", "GET", 0, CT_BODY_NONE, h_never, 0, 0 },
	{ "operator", "GET", CT_OP_TEAMS, CT_BODY_NONE, h_ping, 0, 0 }, /* not for teams: see make_ops */
	{ "ping", "GET", 0, CT_BODY_NONE, h_ping, 0, 0 },
	{ "public", "GET", CT_OP_PUBLIC, CT_BODY_NONE, h_ping, 0, 0 },
	{ "quit", "GET", 0, CT_BODY_NONE, h_quit, 0, 0 },
	{ "stream", "GET", 0, CT_BODY_NONE, h_stream, 0, 2 },
	{ "take", "GET", 0, CT_BODY_NONE, h_take, 0, 2 },
	{ "undone", "GET", 0, CT_BODY_NONE, NULL, 0, 0 },
	{ "upload", "PUT", 0, CT_BODY_STREAM, h_upload, 2, 1 },
	{ "ws", "GET", CT_OP_WEBSOCKET, CT_BODY_NONE, h_ws, 0, 2 },
	{ "ints", "GET", 0, CT_BODY_NONE, h_ping, 7, 1 },
	{ "any", "PUT", 0, CT_BODY_STREAM, NULL, 0, 0 }, /* under any content type */
	{ "takeup", "POST", 0, CT_BODY_STREAM, h_take, 0, 2 },
	{ "items", "GET", 0, CT_BODY_NONE, h_item, 6, 1 }, /* last: /t/v1/items/{id} */
};
/* clang-format on */
#define OPS ARRAY_LEN(ops_def)

struct world {
	struct fx fx;
	uv_loop_t loop;
	uv_async_t stop, adopt;
	const struct identity *guest; /* of the connection to be adopted */
	int guest_fd, guest_rc;
	sem_t guest_done;
	pthread_t thread;
	char pool[4096];
	size_t pool_len;
	struct contract contract;
	struct ct_schema schemas[7];
	struct ct_field fields[1];
	struct ct_param params[ARRAY_LEN(params_def)];
	struct ct_op ops[OPS];
	struct ct_content contents[OPS];
	http_handler *handlers[OPS];
	struct http_dialect dialect;
};

static ct_str put(struct world *w, const char *s)
{
	size_t at = w->pool_len;
	size_t n = strlen(s) + 1;
	if (n == 1)
		return 0;
	memcpy(w->pool + at, s, n);
	w->pool_len += n;
	return (ct_str)at;
}

static void make_schemas(struct world *w)
{
	static const uint8_t types[] = { CT_ANY, CT_INTEGER, CT_STRING, CT_OBJECT, CT_ARRAY, CT_INTEGER, CT_ARRAY };
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		w->schemas[i] = (struct ct_schema){ .type = types[i], .max_len = UINT32_MAX, .items = CT_NONE };
	w->schemas[S_OBJ].flags = CT_CLOSED;
	w->schemas[S_OBJ].field_count = 1;
	w->schemas[S_LIST].items = S_STR;
	w->schemas[S_INTS].items = S_INT;
	w->schemas[S_DEF].flags = CT_HAS_DEFAULT;
	w->schemas[S_DEF].def = put(w, "20");
	w->fields[0] = (struct ct_field){ .name = put(w, "name"), .schema = S_STR, .required = true };
	for (size_t i = 0; i < ARRAY_LEN(params_def); i++) {
		const struct fx_param *p = &params_def[i];
		w->params[i] = (struct ct_param){
			.name = put(w, p->name), .in = p->in, .required = p->required, .explode = true, .schema = p->schema
		};
	}
}

static void make_ops(struct world *w)
{
	static const char *const media[] = { "", "application/json", "application/octet-stream", "multipart/form-data" };
	for (uint32_t i = 0; i < OPS; i++) {
		const struct fx_op *d = &ops_def[i];
		char path[64];
		snprintf(path, sizeof(path), "/t/v1/%s%s", d->name, i == OPS - 1 ? "/{id}" : "");
		w->contents[i] = (struct ct_content){ .media = put(w, strcmp(d->name, "any") == 0 ? "*/*" : media[d->body]),
			.kind = d->body,
			.schema = d->body == CT_BODY_JSON ? S_OBJ : CT_NONE };
		w->ops[i] = (struct ct_op){
			.id = put(w, d->name),
			.method = put(w, d->method),
			.path = put(w, path),
			.flags = (uint16_t)(d->flags ^ CT_OP_TEAMS), /* all but the one that has it here */
			.bodies = i,
			.body_count = d->body != CT_BODY_NONE,
			.params = d->first_param,
			.param_count = d->param_count,
		};
		w->handlers[i] = d->handler;
	}
}

static int authenticate(void *arg, const char *where, const char *key, struct identity *who, struct err *err)
{
	(void)arg;
	(void)where;
	if (!key || strcmp(key, FX_KEY) != 0)
		return err_set(err, ERR_UNAUTHORIZED, "a valid key is needed");
	*who = (struct identity){ .kind = IDENTITY_KEY, .team = 7 };
	return 0;
}

static void make_contract(struct world *w)
{
	w->pool_len = 1;
	make_schemas(w);
	make_ops(w);
	w->contract = (struct contract){
		.name = "test",
		.title = "test",
		.version = "1",
		.base_path = "/t/v1",
		.pool = w->pool,
		.schemas = w->schemas,
		.fields = w->fields,
		.params = w->params,
		.ops = w->ops,
		.contents = w->contents,
		.fault_shape = "{\"test_error\":\"$code\",\"message\":\"$message\"}",
		.schema_count = ARRAY_LEN(w->schemas),
		.op_count = OPS,
	};
	w->dialect = (struct http_dialect){ .contract = &w->contract, .handlers = w->handlers };
}

/* ---- handlers ---- */

static void note_max(atomic_size_t *max, size_t n)
{
	if (n > atomic_load(max))
		atomic_store(max, n);
}

static void count_done(struct http_req *r, bool delivered)
{
	struct fx *f = http_app(r);
	atomic_fetch_add(delivered ? &f->done_true : &f->done_false, 1);
}

static void h_ping(struct http_req *r)
{
	struct buf b = BUF_INIT;
	const char *limit = http_query(r, "limit"), *list = http_query(r, "list");
	buf_fmt(&b, "{\"account\":%lld,\"limit\":\"%s\",\"list\":\"%s\"}", (long long)http_team(r), limit ? limit : "",
		list ? list : "");
	http_add_header(r, "X-Test", "yes");
	http_reply_json(r, 200, &b);
}

static void h_item(struct http_req *r)
{
	struct buf b = BUF_INIT;
	buf_str(&b, http_param(r, "id"));
	http_reply(r, 200, "text/plain", &b);
}

static void h_echo(struct http_req *r)
{
	struct buf b = BUF_INIT;
	struct jw j;
	jw_init(&j, &b);
	jw_js(&j, http_body(r));
	http_reply_json(r, 201, &b);
}

static void on_closed(void *arg)
{
	struct fx *f = arg;
	atomic_store(&f->closed, 1);
}

/* Answers and stops the server: the answer has to arrive all the same. */
static void h_quit(struct http_req *r)
{
	struct world *w = http_app(r);
	struct buf b = BUF_INIT;
	buf_str(&b, "{}");
	http_reply_json(r, 202, &b);
	http_server_close(w->fx.server, on_closed, &w->fx);
	w->fx.server = NULL;
}

struct later {
	uv_timer_t timer;
	struct http_req *r; /* NULL when it is over */
};

static void free_handle(uv_handle_t *handle)
{
	free(handle->data);
}

static void later_done(struct http_req *r, bool delivered)
{
	struct later *l = http_user(r);
	count_done(r, delivered);
	l->r = NULL;
}

static void on_later(uv_timer_t *timer)
{
	struct later *l = timer->data;
	if (l->r)
		http_reply_empty(l->r, 204);
	uv_close((uv_handle_t *)timer, free_handle);
}

static void h_later(struct http_req *r)
{
	struct world *w = http_app(r);
	struct later *l = mem_zalloc(sizeof(*l));
	l->r = r;
	uv_timer_init(&w->loop, &l->timer);
	l->timer.data = l;
	http_set_user(r, l);
	http_on_done(r, later_done);
	uv_timer_start(&l->timer, on_later, 20, 0);
	struct fx *fx = http_app(r);
	atomic_fetch_add(&fx->started, 1);
}

static void h_never(struct http_req *r)
{
	http_on_done(r, count_done);
	struct fx *fx = http_app(r);
	atomic_fetch_add(&fx->started, 1);
}

struct pour {
	size_t left;
	unsigned char next;
	bool abort;
};

static void pour_on(struct http_req *r)
{
	struct fx *f = http_app(r);
	struct pour *p = http_user(r);
	char block[20000];
	size_t queued = 0;
	while (p->left > 0 && queued <= HTTP_HIGH) {
		size_t n = p->left < sizeof(block) ? p->left : sizeof(block);
		for (size_t i = 0; i < n; i++)
			block[i] = (char)p->next++;
		p->left -= n;
		queued = http_stream_write(r, block, n);
		note_max(&f->max_queued, queued);
	}
	if (p->left == 0 && p->abort)
		http_stream_abort(r);
	else if (p->left == 0)
		http_stream_end(r);
}

static void pour_done(struct http_req *r, bool delivered)
{
	count_done(r, delivered);
	free(http_user(r));
}

static void h_stream(struct http_req *r)
{
	struct pour *p = mem_zalloc(sizeof(*p));
	const char *mode = http_query(r, "mode");
	p->left = (size_t)http_query_int(r, "n", 1000);
	p->abort = mode && strcmp(mode, "abort") == 0;
	int64_t length = mode && strcmp(mode, "length") == 0 ? (int64_t)p->left : -1;
	http_set_user(r, p);
	http_on_done(r, pour_done);
	http_stream_begin(r, 200, "application/octet-stream", length, pour_on);
	pour_on(r);
	struct fx *fx = http_app(r);
	atomic_fetch_add(&fx->started, 1);
}

/* Takes an upload in gulps with a rest in between. */
struct gulp {
	uv_timer_t timer;
	struct http_req *r;
	size_t total, since;
	bool refuse, refuse_late;
};

static void gulp_done(struct http_req *r, bool delivered)
{
	struct gulp *g = http_user(r);
	count_done(r, delivered);
	uv_close((uv_handle_t *)&g->timer, free_handle);
}

static void refuse(struct http_req *r)
{
	struct err e;
	err_clear(&e);
	err_set(&e, ERR_NO_SPACE, "no room");
	http_reply_err(r, &e);
}

static void on_rested(uv_timer_t *timer)
{
	struct gulp *g = timer->data;
	g->since = 0;
	if (g->refuse_late)
		refuse(g->r);
	else
		http_body_resume(g->r);
}

static size_t gulp_data(struct http_req *r, const void *data, size_t n)
{
	struct gulp *g = http_user(r);
	(void)data;
	if (g->since > 4000000) {
		uv_timer_start(&g->timer, on_rested, 5, 0);
		return 0;
	}
	size_t k = n > 30000 ? 30000 : n;
	if (k < n)
		http_body_resume(r); /* also legal from inside */
	g->total += k;
	g->since += k;
	if (g->refuse && g->total > FX_REFUSE_AT)
		refuse(r);
	return k;
}

static void gulp_end(struct http_req *r)
{
	struct gulp *g = http_user(r);
	struct fx *f = http_app(r);
	atomic_store(&f->uploaded, g->total);
	struct buf b = BUF_INIT;
	buf_fmt(&b, "%zu", g->total);
	http_reply(r, 200, "text/plain", &b);
}

static void h_upload(struct http_req *r)
{
	struct world *w = http_app(r);
	struct gulp *g = mem_zalloc(sizeof(*g));
	g->r = r;
	g->refuse = http_query_int(r, "refuse", 0) == 1;
	g->refuse_late = http_query_int(r, "refuse", 0) == 2;
	uv_timer_init(&w->loop, &g->timer);
	g->timer.data = g;
	if (g->refuse_late)
		uv_timer_start(&g->timer, on_rested, 20, 0);
	http_set_user(r, g);
	http_on_done(r, gulp_done);
	http_body_sink(r, gulp_data, gulp_end);
	struct fx *fx = http_app(r);
	atomic_fetch_add(&fx->started, 1);
}

struct chat {
	struct fx *f;
	size_t left;
	bool closed;
};

static void chat_message(void *arg, struct ws *ws, bool text, const uint8_t *data, size_t n)
{
	struct chat *c = arg;
	if (c->closed)
		atomic_fetch_add(&c->f->after_close, 1);
	if (text && n == 3 && memcmp(data, "bye", 3) == 0) {
		ws_close(ws, 4000, "as you wish");
		ws_send(ws, true, "late", 4);
		c->closed = true;
		return;
	}
	if (text && n == 4 && memcmp(data, "ring", 4) == 0) {
		ws_alarm(ws, 30);
		return;
	}
	if (text && n == 4 && memcmp(data, "wait", 4) == 0) {
		ws_hold(ws, true);
		ws_alarm(ws, 250);
		return;
	}
	ws_send(ws, text, data, n);
}

static void chat_alarm(void *arg, struct ws *ws)
{
	(void)arg;
	ws_hold(ws, false);
	ws_send(ws, true, "now", 3);
}

static void chat_close(void *arg, struct ws *ws)
{
	struct chat *c = arg;
	atomic_store(&c->f->ws_sent, ws_sent(ws));
	atomic_fetch_add(&c->f->ws_closed, 1);
	free(c);
}

static void h_ws(struct http_req *r)
{
	static const struct ws_ops ops = { .on_message = chat_message, .on_close = chat_close, .on_alarm = chat_alarm };
	struct chat *c = mem_zalloc(sizeof(*c));
	c->f = http_app(r);
	http_on_done(r, count_done);
	if (!http_upgrade(r, &ops, c))
		free(c);
}

static void flood_on(void *arg, struct ws *ws)
{
	struct chat *c = arg;
	static const char block[32768];
	while (c->left > 0) {
		size_t n = c->left < sizeof(block) ? c->left : sizeof(block);
		c->left -= n;
		size_t queued = ws_send_channel(ws, 1, block, n);
		note_max(&c->f->max_queued, queued);
		if (queued > HTTP_HIGH)
			return;
	}
	if (!c->closed) {
		c->closed = true;
		ws_close(ws, 1000, "done");
	}
}

static void h_flood(struct http_req *r)
{
	static const struct ws_ops ops = { .on_drain = flood_on, .on_close = chat_close };
	struct chat *c = mem_zalloc(sizeof(*c));
	c->f = http_app(r);
	c->left = (size_t)http_query_int(r, "n", 1000);
	struct ws *ws = http_upgrade(r, &ops, c);
	if (ws)
		flood_on(c, ws);
	else
		free(c);
}

static void on_taken(void *arg, int fd, const void *early, size_t n)
{
	struct fx *f = arg;
	if (n > 0)
		memcpy(f->early, early, n < sizeof(f->early) ? n : sizeof(f->early));
	atomic_store(&f->early_len, n);
	atomic_store(&f->taken_fd, fd);
	atomic_fetch_add(&f->taken, 1);
}

static void take(struct http_req *r)
{
	struct world *w = http_app(r);
	if (!http_take(r, "sbx-raw", on_taken, &w->fx))
		atomic_fetch_add(&w->fx.started, 1);
}

static void on_take_later(uv_timer_t *timer)
{
	struct later *l = timer->data;
	if (l->r)
		take(l->r);
	uv_close((uv_handle_t *)timer, free_handle);
}

/* At once, later, or when it is too late: the client has gone without its being known yet, or has; the server closes. */
static void h_take(struct http_req *r)
{
	struct world *w = http_app(r);
	const char *mode = http_query(r, "mode");
	if (mode && strcmp(mode, "later") == 0) {
		h_later(r);
		struct later *l = http_user(r);
		uv_timer_start(&l->timer, on_take_later, 20, 0);
		return;
	}
	http_on_done(r, count_done);
	if (mode && strcmp(mode, "gone") == 0)
		shutdown(req_socket(r), SHUT_RDWR);
	if (mode && strcmp(mode, "dead") == 0)
		req_kill(r);
	take(r);
	if (mode && strcmp(mode, "close") == 0) {
		http_server_close(w->fx.server, on_closed, &w->fx);
		w->fx.server = NULL;
	}
}

/* ---- the thread ---- */

static void on_stop(uv_async_t *async)
{
	struct world *w = async->data;
	if (w->fx.server)
		http_server_close(w->fx.server, on_closed, &w->fx);
	uv_close((uv_handle_t *)&w->adopt, NULL);
	uv_close((uv_handle_t *)async, NULL);
}

static void on_adopt(uv_async_t *async)
{
	struct world *w = async->data;
	w->guest_rc = http_adopt(w->fx.server, w->guest_fd, w->guest, NULL);
	sem_post(&w->guest_done);
}

int fx_adopt(struct fx *f, int fd, const struct identity *who)
{
	struct world *w = (struct world *)f;
	w->guest_fd = fd;
	w->guest = who;
	uv_async_send(&w->adopt);
	sem_wait(&w->guest_done);
	return w->guest_rc;
}

static void *run(void *arg)
{
	struct world *w = arg;
	uv_run(&w->loop, UV_RUN_DEFAULT);
	return NULL;
}

static struct world *make_world(void)
{
	struct world *w = mem_zalloc(sizeof(*w));
	make_contract(w);
	assert_int_equal(uv_loop_init(&w->loop), 0);
	struct http_config config = { .dialects = &w->dialect, .dialect_count = 1, .authenticate = authenticate, .arg = w };
	w->fx.server = http_server_new(&w->loop, &config, NULL);
	assert_non_null(w->fx.server);
	return w;
}

struct fx *fx_inline(void)
{
	return &make_world()->fx;
}

void fx_converse(struct fx *f, const void *data, size_t n)
{
	struct world *w = (struct world *)f;
	int pair[2];
	char answer[4096];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(http_adopt(f->server, pair[1], &http_operator, NULL), 0);
	for (size_t at = 0; at < n;) {
		ssize_t k = send(pair[0], (const char *)data + at, n - at, MSG_NOSIGNAL);
		at += k > 0 ? (size_t)k : n - at;
		uv_run(&w->loop, UV_RUN_NOWAIT);
	}
	for (int i = 0; i < 4; i++) {
		uv_run(&w->loop, UV_RUN_NOWAIT);
		while (recv(pair[0], answer, sizeof(answer), 0) > 0)
			;
	}
	close(pair[0]);
	for (int i = 0; i < 1000 && (f->server->connections > 0 || f->server->takes); i++)
		uv_run(&w->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->server->connections, 0);
	assert_null(f->server->reqs);
	assert_null(f->server->sockets);
	assert_null(f->server->takes);
	if (atomic_exchange(&f->taken, 0) > 0 && atomic_load(&f->taken_fd) >= 0)
		close(atomic_load(&f->taken_fd));
}

struct fx *fx_start(unsigned ping, unsigned dead, unsigned close_limit)
{
	struct world *w = make_world();
	struct err e = ERR_INIT;
	snprintf(w->fx.dir, sizeof(w->fx.dir), "/tmp/sbx-http-XXXXXX");
	assert_non_null(mkdtemp(w->fx.dir));
	snprintf(w->fx.sock, sizeof(w->fx.sock), "%s/sock", w->fx.dir);
	uv_async_init(&w->loop, &w->stop, on_stop);
	uv_async_init(&w->loop, &w->adopt, on_adopt);
	sem_init(&w->guest_done, 0, 0);
	w->stop.data = w->adopt.data = w;
	w->fx.server->times.ping = ping;
	w->fx.server->times.dead = dead;
	w->fx.server->times.close = close_limit;
	assert_int_equal(http_listen_unix(w->fx.server, w->fx.sock, &e), 0);
	assert_int_equal(http_listen_tcp(w->fx.server, "127.0.0.1:0", &w->fx.port, &e), 0);
	assert_int_equal(pthread_create(&w->thread, NULL, run, w), 0);
	return &w->fx;
}

void fx_stop(struct fx *f)
{
	struct world *w = (struct world *)f;
	uv_async_send(&w->stop);
	pthread_join(w->thread, NULL);
	assert_int_equal(atomic_load(&f->closed), 1);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	sem_destroy(&w->guest_done);
	assert_int_equal(access(f->sock, F_OK), -1);
	assert_int_equal(fs_remove_tree(f->dir, NULL), 0);
	free(w);
}
