/* link: daemon/notify/[a-z]*.c shared/net/address.c shared/net/crypto.c shared/net/libcurl.c | -luv -lssl -lcrypto -lpthread */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/notify/deliver.h"
#include "shared/base/mem.h"

#define CONFIG(...) ((char *const *)(uintptr_t)(const char *const[]){ __VA_ARGS__, NULL })
#define DONE "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#define BROKEN "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

static const struct notify_event created = { .type = "capsule.created",
	.team_id = "t",
	.actor_type = "system",
	.resource_id = "cl-1",
	.resource_type = "sandbox",
	.wall_ms = 1795322220000 };

/* ---- a receiver, on the loop of the test ---- */

struct receiver {
	uv_tcp_t server;
	int port;
	const char *answer; /* NULL: hold the connection */
	const char *then;   /* answer to requests after the first, if not NULL */
	bool stays_open;    /* after the answer */
	int connections, requests, ends;
	struct line *held; /* the last that was */
	struct buf last;   /* request */
};

struct line {
	uv_tcp_t tcp;
	struct receiver *r;
	struct buf in;
	char room[4096];
	uv_write_t write;
	bool asked;
};

static void on_line_closed(uv_handle_t *h)
{
	struct line *l = h->data;
	buf_free(&l->in);
	free(l);
}

static void on_room(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	struct line *l = h->data;
	(void)suggested;
	*out = uv_buf_init(l->room, sizeof(l->room));
}

static void end_line(struct line *l)
{
	if (l->r->held == l)
		l->r->held = NULL;
	if (!uv_is_closing((uv_handle_t *)&l->tcp))
		uv_close((uv_handle_t *)&l->tcp, on_line_closed);
}

static void on_written(uv_write_t *write, int status)
{
	struct line *l = write->data;
	(void)status;
	if (!l->r->stays_open)
		end_line(l);
}

static void reply(struct line *l, const char *answer)
{
	uv_buf_t b = uv_buf_init((char *)(uintptr_t)answer, (unsigned)strlen(answer));
	l->write.data = l;
	uv_write(&l->write, (uv_stream_t *)&l->tcp, &b, 1, on_written);
}

/* Is all of the request there? */
static bool is_whole(const struct buf *in)
{
	const char *end = strstr(in->p, "\r\n\r\n"), *length = strstr(in->p, "Content-Length: ");
	return end && length && in->len >= (size_t)(end + 4 - in->p) + strtoul(length + 16, NULL, 10);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct line *l = s->data;
	struct receiver *r = l->r;
	if (n < 0) {
		r->ends++;
		end_line(l);
		return;
	}
	buf_add(&l->in, b->base, (size_t)n);
	if (l->asked || !is_whole(&l->in))
		return;
	l->asked = true;
	r->requests++;
	buf_clear(&r->last);
	buf_add(&r->last, l->in.p, l->in.len);
	const char *answer = r->requests > 1 && r->then ? r->then : r->answer;
	if (answer)
		reply(l, answer);
	else
		r->held = l;
}

static void on_connection(uv_stream_t *server, int status)
{
	struct receiver *r = server->data;
	struct line *l = mem_zalloc(sizeof(*l));
	assert_int_equal(status, 0);
	r->connections++;
	l->r = r;
	l->in = (struct buf)BUF_INIT;
	l->tcp.data = l;
	uv_tcp_init(server->loop, &l->tcp);
	assert_int_equal(uv_accept(server, (uv_stream_t *)&l->tcp), 0);
	uv_read_start((uv_stream_t *)&l->tcp, on_room, on_read);
}

/* ---- the world of a test ---- */

struct world {
	uv_loop_t loop;
	struct notify *n;
	struct receiver a, b;
};

struct outcome {
	int calls;
	struct err err;
};

static void on_outcome(void *arg, const struct err *err)
{
	struct outcome *o = arg;
	o->calls++;
	if (err)
		o->err = *err;
}

static void open_receiver(struct world *w, struct receiver *r, const char *answer)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int n = sizeof(at);
	r->last = (struct buf)BUF_INIT;
	r->answer = answer;
	r->server.data = r;
	assert_int_equal(uv_tcp_init(&w->loop, &r->server), 0);
	assert_int_equal(uv_tcp_bind(&r->server, (struct sockaddr *)&at, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&r->server, 512, on_connection), 0);
	assert_int_equal(uv_tcp_getsockname(&r->server, (struct sockaddr *)&at, &n), 0);
	r->port = ntohs(at.sin_port);
}

static struct world *open_world(const struct notify_config *config)
{
	struct world *w = mem_zalloc(sizeof(*w));
	struct err err = ERR_INIT;
	alarm(60); /* a test that hangs ends */
	assert_int_equal(uv_loop_init(&w->loop), 0);
	w->n = notify_new(&w->loop, config, &err);
	assert_non_null(w->n);
	open_receiver(w, &w->a, DONE);
	open_receiver(w, &w->b, DONE);
	return w;
}

static struct world *private_world(void)
{
	return open_world(&(struct notify_config){ .allow_private = true });
}

static void close_receiver(struct receiver *r)
{
	uv_close((uv_handle_t *)&r->server, NULL);
	if (r->held)
		end_line(r->held);
	buf_free(&r->last);
}

/* Whatever is left over keeps the loop from ending, and its closing from success. */
static void close_world(struct world *w)
{
	notify_close(w->n);
	close_receiver(&w->a);
	close_receiver(&w->b);
	assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	free(w);
}

#define RUN_UNTIL(w, what)                                                                                                         \
	while (!(what))                                                                                                            \
	uv_run(&(w)->loop, UV_RUN_ONCE)

static struct notify_delivery *hook(struct world *w, const char *host, int port, struct outcome *o)
{
	auto_free char *url = mem_printf("url=http://%s:%d/hook", host, port);
	return notify_send(w->n, "webhook", CONFIG(url, "secret=s"), &created, on_outcome, o);
}

static void assert_failed(const struct outcome *o, enum err_code code)
{
	assert_int_equal(o->calls, 1);
	if (o->err.code != code)
		fail_msg("%s instead of %s: %s", err_name(o->err.code), err_name(code), o->err.msg);
	assert_true(o->err.msg[0]);
}

static void assert_delivered(const struct outcome *o)
{
	assert_int_equal(o->calls, 1);
	if (o->err.code != ERR_OK)
		fail_msg("%s: %s", err_name(o->err.code), o->err.msg);
}

/* ---- tests ---- */

static void delivered(void **state)
{
	(void)state;
	struct world *w = private_world();
	struct outcome o = { 0 };
	auto_buf json = BUF_INIT;
	hook(w, "127.0.0.1", w->a.port, &o);
	assert_int_equal(o.calls, 0);
	RUN_UNTIL(w, o.calls);
	assert_delivered(&o);
	assert_int_equal(w->a.requests, 1);
	assert_int_equal(notify_event_json(&created, &json, NULL), 0);
	assert_string_equal(strstr(w->a.last.p, "\r\n\r\n") + 4, json.p);
	static const char *const parts[] = { "POST /hook HTTP/1.1\r\n", "\r\nContent-Type: application/json\r\n",
		"\r\nX-Wrenn-Delivery: ", "\r\nX-Wrenn-Timestamp: 20", "\r\nX-WRENN-SIGNATURE: sha256=" };
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		assert_non_null(strstr(w->a.last.p, parts[i]));
	assert_null(strstr(w->a.last.p, "Expect:"));
	/* a version 4 UUID */
	const char *id = strstr(w->a.last.p, "X-Wrenn-Delivery: ") + 18;
	assert_int_equal(strspn(id, "0123456789abcdef-"), 36);
	assert_true(id[14] == '4' && strchr("89ab", id[19]));
	close_world(w);
}

static void refused_by_receiver(void **state)
{
	(void)state;
	struct world *w = private_world();
	struct outcome o = { 0 }, nobody = { 0 };
	w->a.answer = BROKEN;
	hook(w, "127.0.0.1", w->a.port, &o);
	RUN_UNTIL(w, o.calls);
	assert_failed(&o, ERR_PROTOCOL);
	assert_string_equal(o.err.msg, "webhook answered with status 500");
	/* a port that was free a moment ago and nobody listens on */
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, n) || getsockname(fd, (struct sockaddr *)&at, &n), 0);
	hook(w, "127.0.0.1", ntohs(at.sin_port), &nobody);
	RUN_UNTIL(w, nobody.calls);
	assert_failed(&nobody, ERR_UNAVAILABLE);
	close(fd);
	close_world(w);
}

static void slow_delays_no_other(void **state)
{
	(void)state;
	struct world *w = private_world();
	struct outcome slow = { 0 }, fast = { 0 };
	w->a.answer = NULL;
	hook(w, "127.0.0.1", w->a.port, &slow);
	RUN_UNTIL(w, w->a.held);
	hook(w, "127.0.0.1", w->b.port, &fast);
	RUN_UNTIL(w, fast.calls);
	assert_delivered(&fast);
	assert_int_equal(slow.calls, 0);
	reply(w->a.held, DONE);
	RUN_UNTIL(w, slow.calls);
	assert_delivered(&slow);
	close_world(w);
}

static void time_limit(void **state)
{
	(void)state;
	struct world *w = open_world(&(struct notify_config){ .allow_private = true, .timeout_ms = 50 });
	struct outcome o = { 0 };
	w->a.answer = NULL;
	hook(w, "127.0.0.1", w->a.port, &o);
	RUN_UNTIL(w, o.calls);
	assert_failed(&o, ERR_TIMEOUT);
	close_world(w);
}

/* It has the event and says so; that its answer does not end changes nothing. */
static void endless_answer(void **state)
{
	(void)state;
	struct world *w = open_world(&(struct notify_config){ .allow_private = true, .timeout_ms = 1500 });
	struct outcome o = { 0 };
	w->a.answer = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
	w->a.stays_open = true;
	hook(w, "127.0.0.1", w->a.port, &o);
	RUN_UNTIL(w, o.calls);
	assert_delivered(&o);
	close_world(w);
}

static void redirect(void **state)
{
	(void)state;
	struct world *w = private_world();
	struct outcome o = { 0 };
	auto_free char *answer =
		mem_printf("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n", w->b.port);
	w->a.answer = answer;
	hook(w, "127.0.0.1", w->a.port, &o);
	RUN_UNTIL(w, o.calls);
	assert_failed(&o, ERR_PROTOCOL);
	assert_int_equal(w->a.requests, 1);
	assert_int_equal(w->b.connections, 0);
	close_world(w);
}

/* However the address is spelt. */
static void private_address(void **state)
{
	(void)state;
	static const char *const hosts[] = { "127.0.0.1", "localhost", "LOCALHOST", "127.1", "2130706433", "0x7f.1", "0", "0.0.0.0",
		"[::1]", "[::]", "[::ffff:127.0.0.1]", "[0:0:0:0:0:ffff:7f00:1]", "10.0.0.1", "169.254.169.254", "[fe80::1]",
		"[fd00::1]" };
	struct world *w = open_world(&(struct notify_config){ 0 });
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct outcome o = { 0 };
		hook(w, hosts[i], w->a.port, &o);
		RUN_UNTIL(w, o.calls);
		if (o.err.code != ERR_FORBIDDEN)
			fail_msg("%s: %s %s", hosts[i], err_name(o.err.code), o.err.msg);
		assert_non_null(strstr(o.err.msg, hosts[i]));
	}
	assert_int_equal(w->a.connections, 0);
	close_world(w);
}

static void cancelled(void **state)
{
	(void)state;
	struct world *w = open_world(&(struct notify_config){ .allow_private = true, .in_flight_max = 1 });
	struct outcome flying = { 0 }, waiting = { 0 }, wrong = { 0 }, last = { 0 };
	w->a.answer = NULL;
	struct notify_delivery *first = hook(w, "127.0.0.1", w->a.port, &flying);
	struct notify_delivery *second = hook(w, "127.0.0.1", w->b.port, &waiting);
	RUN_UNTIL(w, w->a.held);
	notify_cancel(second);
	notify_cancel(notify_send(w->n, "pager", NULL, &created, on_outcome, &wrong));
	hook(w, "127.0.0.1", w->b.port, &last);
	notify_cancel(first);
	/* the receiver sees the end, and the one that waited has its turn */
	RUN_UNTIL(w, w->a.ends && last.calls);
	assert_delivered(&last);
	assert_int_equal(w->b.requests, 1);
	close_world(w);
	assert_int_equal(flying.calls + waiting.calls + wrong.calls, 0);
}

static void turns(void **state)
{
	(void)state;
	struct world *w = open_world(&(struct notify_config){ .allow_private = true, .in_flight_max = 2 });
	struct outcome a[2] = { 0 }, b = { 0 };
	w->a.answer = NULL;
	w->a.then = DONE;
	hook(w, "127.0.0.1", w->a.port, &a[0]);
	RUN_UNTIL(w, w->a.held);
	hook(w, "127.0.0.1", w->a.port, &a[1]);
	hook(w, "127.0.0.1", w->b.port, &b);
	/* one place is taken, one gets free */
	RUN_UNTIL(w, b.calls);
	assert_delivered(&a[1]);
	assert_delivered(&b);
	assert_int_equal(a[0].calls, 0);
	reply(w->a.held, DONE);
	RUN_UNTIL(w, a[0].calls);
	close_world(w);
}

static void many(void **state)
{
	(void)state;
	enum { COUNT = 300 };
	struct world *w = private_world();
	struct outcome o = { 0 }, wrong = { 0 };
	for (int i = 0; i < COUNT; i++)
		hook(w, "127.0.0.1", w->a.port, &o);
	RUN_UNTIL(w, o.calls == COUNT);
	assert_int_equal(o.err.code, ERR_OK);
	assert_int_equal(w->a.requests, COUNT);
	/* more than may wait: the rest is told so, and those before are not harmed */
	o.calls = 0;
	for (int i = 0; i < 4096; i++)
		hook(w, "127.0.0.1", w->a.port, &o);
	hook(w, "127.0.0.1", w->a.port, &wrong);
	RUN_UNTIL(w, wrong.calls);
	assert_failed(&wrong, ERR_LIMIT);
	close_world(w);
}

static void bad_configuration(void **state)
{
	(void)state;
	struct world *w = private_world();
	struct outcome unknown = { 0 }, missing = { 0 };
	notify_send(w->n, "pager", CONFIG("url=http://a"), &created, on_outcome, &unknown);
	notify_send(w->n, "slack", CONFIG("webhook_url=http://a"), &created, on_outcome, &missing);
	assert_int_equal(unknown.calls + missing.calls, 0);
	RUN_UNTIL(w, unknown.calls && missing.calls);
	assert_failed(&unknown, ERR_INVALID);
	assert_failed(&missing, ERR_INVALID);
	close_world(w);
	static const char *const wrong[] = { "x", "http://a/b", "ftp://a", "http://a?b" };
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct err err = ERR_INIT;
		assert_null(notify_new(NULL, &(struct notify_config){ .origins.slack = wrong[i] }, &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
}

/* More than 64 KiB is not read: enough where only the status counts, too little where the body does. */
static void long_answer(void **state)
{
	(void)state;
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"ok\":true,\"x\":\"";
	auto_free char *answer = mem_array(1 << 20, 1);
	struct outcome hooked = { 0 }, chat = { 0 }, brief = { 0 };
	struct notify_config config = { .allow_private = true };
	struct world *w = open_world(&config);
	auto_free char *origin = mem_printf("http://127.0.0.1:%d", w->b.port);
	config.origins.telegram = origin;
	notify_close(w->n);
	w->n = notify_new(&w->loop, &config, NULL);
	memset(answer, 'x', (1 << 20) - 1);
	memcpy(answer, head, strlen(head));
	memcpy(answer + (1 << 20) - 3, "\"}", 2);
	w->a.answer = w->b.answer = answer;
	w->b.then = "HTTP/1.1 200 OK\r\n\r\n{\"ok\":true}";
	hook(w, "127.0.0.1", w->a.port, &hooked);
	notify_send(w->n, "telegram", CONFIG("bot_token=1:x", "chat_id=1"), &created, on_outcome, &chat);
	RUN_UNTIL(w, hooked.calls && chat.calls);
	assert_delivered(&hooked);
	assert_failed(&chat, ERR_PROTOCOL);
	notify_send(w->n, "telegram", CONFIG("bot_token=1:x", "chat_id=1"), &created, on_outcome, &brief);
	RUN_UNTIL(w, brief.calls);
	assert_delivered(&brief);
	assert_int_equal(strncmp(w->b.last.p, "POST /bot1:x/sendMessage HTTP/1.1\r\n", 35), 0);
	close_world(w);
}

/* A long text goes to Discord in two requests; when the first fails, there is no second. */
static void several_requests(void **state)
{
	(void)state;
	auto_free char *name = mem_array(9001, 1);
	struct outcome whole = { 0 }, half = { 0 };
	struct notify_config config = { .allow_private = true };
	struct notify_event e = created;
	struct world *w = open_world(&config);
	auto_free char *origin = mem_printf("http://127.0.0.1:%d", w->a.port);
	config.origins.discord = origin;
	notify_close(w->n);
	w->n = notify_new(&w->loop, &config, NULL);
	memset(name, 'n', 9000);
	e.actor_name = name;
	w->a.answer = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
	notify_send(w->n, "discord", CONFIG("webhook_url=https://discord.com/api/webhooks/1/x"), &e, on_outcome, &whole);
	RUN_UNTIL(w, whole.calls);
	assert_delivered(&whole);
	assert_int_equal(w->a.requests, 2);
	assert_non_null(strstr(w->a.last.p, "Team: t"));
	w->a.requests = 0;
	w->a.answer = "HTTP/1.1 429 Slow down\r\nContent-Length: 24\r\n\r\n{\"message\":\"slow\\ndown\"}";
	notify_send(w->n, "discord", CONFIG("webhook_url=https://discord.com/api/webhooks/1/x"), &e, on_outcome, &half);
	RUN_UNTIL(w, half.calls);
	assert_failed(&half, ERR_PROTOCOL);
	assert_string_equal(half.err.msg, "discord answered with status 429: slow down");
	assert_int_equal(w->a.requests, 1);
	close_world(w);
}

static void no_proxy(void **state)
{
	(void)state;
	struct world *w = private_world();
	struct outcome o = { 0 };
	auto_free char *proxy = mem_printf("http://127.0.0.1:%d", w->b.port);
	setenv("http_proxy", proxy, 1);
	setenv("ALL_PROXY", proxy, 1);
	hook(w, "127.0.0.1", w->a.port, &o);
	RUN_UNTIL(w, o.calls);
	assert_delivered(&o);
	assert_int_equal(w->b.connections, 0);
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
	close_world(w);
}

/* ---- what callbacks may do ---- */

struct busy {
	struct world *w;
	struct outcome more;
	struct notify_delivery *other;
	int calls;
};

static void on_busy(void *arg, const struct err *err)
{
	struct busy *b = arg;
	(void)err;
	b->calls++;
	if (b->other)
		notify_cancel(b->other);
	b->other = NULL;
	hook(b->w, "127.0.0.1", b->w->a.port, &b->more);
}

static void on_closing(void *arg, const struct err *err)
{
	struct busy *b = arg;
	(void)err;
	b->calls++;
	notify_close(b->w->n);
	b->w->n = NULL;
}

static void callbacks(void **state)
{
	(void)state;
	struct busy b = { .w = private_world() };
	struct outcome never = { 0 };
	notify_send(b.w->n, "pager", NULL, &created, on_busy, &b);
	b.other = notify_send(b.w->n, "pager", NULL, &created, on_outcome, &never);
	RUN_UNTIL(b.w, b.more.calls);
	assert_delivered(&b.more);
	assert_int_equal(b.calls, 1);
	b.w->a.answer = NULL;
	hook(b.w, "127.0.0.1", b.w->a.port, &never);
	RUN_UNTIL(b.w, b.w->a.held);
	notify_send(b.w->n, "pager", NULL, &created, on_closing, &b);
	notify_send(b.w->n, "pager", NULL, &created, on_outcome, &never);
	RUN_UNTIL(b.w, b.calls == 2);
	close_world(b.w);
	assert_int_equal(never.calls, 0);
}

static void closed(void **state)
{
	(void)state;
	struct world *w = open_world(&(struct notify_config){ .allow_private = true, .in_flight_max = 1 });
	struct outcome never = { 0 };
	w->a.answer = NULL;
	hook(w, "127.0.0.1", w->a.port, &never);
	RUN_UNTIL(w, w->a.held);
	hook(w, "127.0.0.1", w->a.port, &never);
	notify_send(w->n, "pager", NULL, &created, on_outcome, &never);
	close_world(w);
	assert_int_equal(never.calls, 0);
	notify_close(NULL);
}

/* ---- names ---- */

/* In place of libc's, for libcurl as well: stuck.test is looked up until `answers`, inside.test is an address of this machine. */
static struct names {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool answers;
	int asking;
} names = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	(void)hints;
	pthread_mutex_lock(&names.lock);
	names.asking++;
	pthread_cond_broadcast(&names.changed);
	while (!strcmp(name, "stuck.test") && !names.answers)
		pthread_cond_wait(&names.changed, &names.lock);
	names.asking--;
	pthread_cond_broadcast(&names.changed);
	pthread_mutex_unlock(&names.lock);
	if (strcmp(name, "inside.test") != 0)
		return EAI_NONAME;
	/* one block, as libc's: freeaddrinfo frees it */
	struct addrinfo *a = mem_zalloc(sizeof(*a) + sizeof(struct sockaddr_in));
	struct sockaddr_in *in = (struct sockaddr_in *)(a + 1);
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in->sin_port = htons((uint16_t)strtoul(service, NULL, 10));
	*a = (struct addrinfo){
		.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_addrlen = sizeof(*in), .ai_addr = (void *)in
	};
	*out = a;
	return 0;
}

static void wait_asking(int count)
{
	pthread_mutex_lock(&names.lock);
	while (names.asking != count)
		pthread_cond_wait(&names.changed, &names.lock);
	pthread_mutex_unlock(&names.lock);
}

/* What a name stands for counts, not what it looks like. */
static void private_name(void **state)
{
	(void)state;
	struct world *w = open_world(&(struct notify_config){ 0 }), *open = private_world();
	struct outcome refused = { 0 }, taken = { 0 };
	hook(w, "inside.test", w->a.port, &refused);
	RUN_UNTIL(w, refused.calls);
	assert_failed(&refused, ERR_FORBIDDEN);
	assert_int_equal(w->a.connections, 0);
	close_world(w);
	hook(open, "inside.test", open->a.port, &taken);
	RUN_UNTIL(open, taken.calls);
	assert_delivered(&taken);
	close_world(open);
}

/* A name server that does not answer holds nobody: not the loop, not the others, neither at the time limit nor at the end. */
static void stuck_name(void **state)
{
	(void)state;
	struct world *w = open_world(&(struct notify_config){ .allow_private = true, .timeout_ms = 1500 });
	struct outcome late = { 0 }, never = { 0 }, other = { 0 };
	hook(w, "stuck.test", w->a.port, &late);
	struct notify_delivery *d = hook(w, "stuck.test", w->a.port, &never);
	hook(w, "127.0.0.1", w->a.port, &other);
	RUN_UNTIL(w, other.calls);
	assert_delivered(&other);
	wait_asking(2);
	notify_cancel(d);
	RUN_UNTIL(w, late.calls);
	assert_failed(&late, ERR_TIMEOUT);
	hook(w, "stuck.test", w->a.port, &never);
	/* the loop has begun it once it has done another after it */
	hook(w, "127.0.0.1", w->a.port, &other);
	RUN_UNTIL(w, other.calls == 2);
	wait_asking(3);
	close_world(w);
	assert_int_equal(never.calls, 0);
	pthread_mutex_lock(&names.lock);
	names.answers = true;
	pthread_cond_broadcast(&names.changed);
	pthread_mutex_unlock(&names.lock);
	wait_asking(0);
}

/* ---- TLS ---- */

struct tls_receiver {
	int fd, port;
	SSL_CTX *ctx;
	char cert[64]; /* file */
};

/* A certificate for 127.0.0.1 that nobody vouches for but itself. */
static X509 *make_certificate(EVP_PKEY *key)
{
	X509 *x = X509_new();
	X509V3_CTX v3;
	assert_true(x && X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1));
	assert_true(X509_gmtime_adj(X509_getm_notBefore(x), -60) && X509_gmtime_adj(X509_getm_notAfter(x), 3600));
	X509_NAME *name = X509_get_subject_name(x);
	assert_true(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0));
	assert_true(X509_set_issuer_name(x, name) && X509_set_pubkey(x, key));
	X509V3_set_ctx(&v3, x, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &v3, NID_subject_alt_name, "IP:127.0.0.1");
	assert_true(e && X509_add_ext(x, e, -1) && X509_sign(x, key, EVP_sha256()));
	X509_EXTENSION_free(e);
	return x;
}

static void open_tls(struct tls_receiver *t)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = make_certificate(key);
	t->ctx = SSL_CTX_new(TLS_server_method());
	assert_true(SSL_CTX_use_certificate(t->ctx, cert) && SSL_CTX_use_PrivateKey(t->ctx, key));
	snprintf(t->cert, sizeof(t->cert), "/tmp/t_notify_XXXXXX");
	int fd = mkstemp(t->cert);
	FILE *f = fdopen(fd, "w");
	assert_true(f && PEM_write_X509(f, cert) && !fclose(f));
	X509_free(cert);
	EVP_PKEY_free(key);
	t->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
		bind(t->fd, (struct sockaddr *)&at, n) || listen(t->fd, 8) || getsockname(t->fd, (struct sockaddr *)&at, &n), 0);
	t->port = ntohs(at.sin_port);
}

/* One connection. Gives whether a request came through it. */
static void *serve_tls(void *arg)
{
	struct tls_receiver *t = arg;
	char room[4096];
	int fd = accept4(t->fd, NULL, NULL, SOCK_CLOEXEC);
	SSL *ssl = SSL_new(t->ctx);
	bool came = fd >= 0 && SSL_set_fd(ssl, fd) && SSL_accept(ssl) == 1 && SSL_read(ssl, room, sizeof(room)) > 0;
	if (came) {
		SSL_write(ssl, DONE, (int)strlen(DONE));
		SSL_shutdown(ssl);
	}
	SSL_free(ssl);
	close(fd);
	return came ? t : NULL;
}

static void one_tls(struct world *w, struct tls_receiver *t, const char *host, struct outcome *o, bool comes)
{
	pthread_t thread;
	void *came = NULL;
	auto_free char *url = mem_printf("url=https://%s:%d/", host, t->port);
	assert_int_equal(pthread_create(&thread, NULL, serve_tls, t), 0);
	notify_send(w->n, "webhook", CONFIG(url), &created, on_outcome, o);
	RUN_UNTIL(w, o->calls);
	assert_int_equal(pthread_join(thread, &came), 0);
	assert_int_equal(came != NULL, comes);
}

static void certificates(void **state)
{
	(void)state;
	struct world *w = private_world();
	struct tls_receiver t = { 0 };
	struct outcome unknown = { 0 }, known = { 0 }, other_name = { 0 };
	open_tls(&t);
	one_tls(w, &t, "127.0.0.1", &unknown, false);
	assert_failed(&unknown, ERR_UNAVAILABLE);
	assert_non_null(strstr(unknown.err.msg, "certificate"));
	setenv("SSL_CERT_FILE", t.cert, 1);
	one_tls(w, &t, "127.0.0.1", &known, true);
	assert_delivered(&known);
	one_tls(w, &t, "localhost", &other_name, false);
	assert_failed(&other_name, ERR_UNAVAILABLE);
	unsetenv("SSL_CERT_FILE");
	unlink(t.cert);
	close(t.fd);
	SSL_CTX_free(t.ctx);
	close_world(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(delivered), cmocka_unit_test(refused_by_receiver),
		cmocka_unit_test(slow_delays_no_other), cmocka_unit_test(time_limit), cmocka_unit_test(endless_answer),
		cmocka_unit_test(redirect), cmocka_unit_test(private_address), cmocka_unit_test(cancelled), cmocka_unit_test(turns),
		cmocka_unit_test(many), cmocka_unit_test(bad_configuration), cmocka_unit_test(long_answer),
		cmocka_unit_test(several_requests), cmocka_unit_test(no_proxy), cmocka_unit_test(callbacks),
		cmocka_unit_test(closed), cmocka_unit_test(private_name), cmocka_unit_test(stuck_name),
		cmocka_unit_test(certificates) };
	unsetenv("SSL_CERT_FILE");
	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
