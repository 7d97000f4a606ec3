#include "daemon/http/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"

/* MHD splits the query; decoding is ours, so that a bad escape is seen. */
static size_t keep_escapes(void *cls, struct MHD_Connection *conn, char *s)
{
	(void)cls;
	(void)conn;
	return strlen(s);
}

static void __attribute__((format(printf, 2, 0))) on_mhd_log(void *cls, const char *fmt, va_list ap)
{
	(void)cls;
	char text[512];
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		return;
	text[strcspn(text, "\n")] = '\0';
	log_debug("http", "libmicrohttpd: %s", text);
}

void server_connection_closed(struct http_server *s)
{
	s->connections--;
	listeners_update(s);
}

static void on_connection(void *cls, struct MHD_Connection *conn, void **ctx, enum MHD_ConnectionNotificationCode what)
{
	struct http_server *s = cls;
	(void)conn;
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		s->connections++;
		*ctx = s->arriving;
		s->arriving = NULL; /* once: the next is nobody's until it is said whose */
		return;
	}
	free(*ctx);
	*ctx = NULL;
	server_connection_closed(s);
}

static void pump(struct http_server *s);

static void on_timer(uv_timer_t *timer)
{
	struct http_server *s = timer->data;
	s->deadline = 0;
	pump(s);
}

/* Set the timer to MHD's next timeout; it is left alone when it comes early enough already. */
static void arm_timer(struct http_server *s)
{
	MHD_UNSIGNED_LONG_LONG wait = 0;
	if (MHD_get_timeout(s->mhd, &wait) != MHD_YES)
		return;
	if (wait == 0) {
		server_kick(s);
		return;
	}
	uint64_t at = uv_now(s->loop) + wait;
	if (s->deadline != 0 && s->deadline <= at)
		return;
	s->deadline = at;
	uv_timer_start(&s->timer, on_timer, wait, 0);
}

static void free_server(struct http_server *s)
{
	void (*done_cb)(void *arg) = s->done_cb;
	void *arg = s->done_arg;
	free(s->scratch);
	router_free(s->router);
	free(s);
	if (done_cb)
		done_cb(arg);
}

void server_handle_closed(struct http_server *s)
{
	if (--s->handles == 0 && s->stopping)
		free_server(s);
}

static void on_handle_closed(uv_handle_t *handle)
{
	server_handle_closed(handle->data);
}

static void stop(struct http_server *s)
{
	s->stopping = true;
	listeners_close(s); /* the close may have been asked for by the very request that ends in this round */
	/* MHD aborts the process when a connection is still suspended */
	for (struct http_req *r = s->reqs; r; r = r->next)
		req_kill(r);
	uv_close((uv_handle_t *)&s->poll, on_handle_closed);
	uv_close((uv_handle_t *)&s->timer, on_handle_closed);
	uv_close((uv_handle_t *)&s->retry, on_handle_closed);
	uv_close((uv_handle_t *)&s->idle, on_handle_closed);
	MHD_stop_daemon(s->mhd);
	s->mhd = NULL;
}

/* May the answers that are on their way still go out? */
static bool draining(const struct http_server *s)
{
	for (const struct http_req *r = s->reqs; r; r = r->next) {
		if (!r->dead && !r->upgraded && (r->a.set || r->phase == REQ_ANSWERED))
			return true;
	}
	return s->sockets || s->takes;
}

static void pump(struct http_server *s)
{
	if (s->stopping)
		return;
	MHD_run(s->mhd);
	if (s->closing && !draining(s)) {
		stop(s);
		return;
	}
	arm_timer(s);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	pump(poll->data);
}

static void on_drain_limit(uv_timer_t *timer)
{
	struct http_server *s = timer->data;
	for (struct http_req *r = s->reqs; r; r = r->next)
		req_kill(r);
	ws_shutdown_all(s);
	server_kick(s);
}

/* Requests that wait for something, and streams that have not ended, are cut; whole answers get a moment to leave. */
static void begin_close(struct http_server *s)
{
	listeners_close(s);
	for (struct http_req *r = s->reqs; r; r = r->next) {
		if (!r->a.set || (r->a.stream && !r->out_ended))
			req_kill(r);
	}
	ws_shutdown_all(s);
	uv_timer_start(&s->retry, on_drain_limit, s->times.drain, 0);
}

static void on_idle(uv_idle_t *idle)
{
	struct http_server *s = idle->data;
	uv_idle_stop(idle);
	s->kicked = false;
	if (s->stopping)
		return;
	ws_run_dirty(s);
	takes_run(s);
	pump(s);
}

static void on_idle_close(uv_idle_t *idle)
{
	struct http_server *s = idle->data;
	begin_close(s);
	on_idle(idle);
}

void server_kick(struct http_server *s)
{
	if (s->kicked || s->stopping)
		return;
	s->kicked = true;
	uv_idle_start(&s->idle, on_idle);
}

void http_server_close(struct http_server *s, void (*done_cb)(void *arg), void *arg)
{
	if (s->closing)
		return;
	s->closing = true;
	s->done_cb = done_cb;
	s->done_arg = arg;
	/* never in the middle of one of MHD's callbacks */
	uv_idle_stop(&s->idle);
	s->kicked = true;
	uv_idle_start(&s->idle, on_idle_close);
}

/* Clients must not take the descriptors that the VMs need. */
static unsigned max_connections(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / 2 > HTTP_MAX_CONNECTIONS)
		return HTTP_MAX_CONNECTIONS;
	return (unsigned)limit.rlim_cur / 2;
}

static struct MHD_Daemon *start_mhd(struct http_server *s)
{
	const unsigned flags =
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG;
	/* one more than we accept, so that MHD itself never refuses; not strict, as what MHD then refuses (a missing Host, for
	 * which it sends its header twice) check_framing refuses better */
	return MHD_start_daemon(flags, 0, NULL, NULL, req_access, s, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, s,
		MHD_OPTION_NOTIFY_COMPLETED, req_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
		MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, s, MHD_OPTION_CONNECTION_LIMIT, s->max_connections + 1,
		MHD_OPTION_CONNECTION_TIMEOUT, HTTP_READ_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, HTTP_POOL, MHD_OPTION_END);
}

static struct router *make_router(const struct http_config *config, struct err *err)
{
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	auto_free const struct contract **contracts = mem_array(config->dialect_count, sizeof(*contracts));
	for (size_t i = 0; i < config->dialect_count; i++)
		contracts[i] = config->dialects[i].contract;
	return router_new(contracts, config->dialect_count, err);
}

struct http_server *http_server_new(uv_loop_t *loop, const struct http_config *config, struct err *err)
{
	if (config->dialect_count == 0) {
		err_set(err, ERR_INTERNAL, "no contract to serve");
		return NULL;
	}
	struct router *router = make_router(config, err);
	if (!router)
		return NULL;
	struct http_server *s = mem_zalloc(sizeof(*s));
	s->loop = loop;
	s->config = *config;
	s->router = router;
	s->max_connections = max_connections();
	s->times.ping = 30000;
	s->times.dead = 90000;
	s->times.close = 2000;
	s->times.drain = 1000;
	s->mhd = start_mhd(s);
	const union MHD_DaemonInfo *info = s->mhd ? MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info || uv_poll_init(loop, &s->poll, info->epoll_fd) != 0) {
		err_set(err, ERR_INTERNAL, "cannot start the HTTP server");
		if (s->mhd)
			MHD_stop_daemon(s->mhd);
		router_free(router);
		free(s);
		return NULL;
	}
	s->scratch = mem_array(HTTP_SCRATCH, 1);
	uv_timer_init(loop, &s->timer);
	uv_timer_init(loop, &s->retry);
	uv_idle_init(loop, &s->idle);
	s->poll.data = s->timer.data = s->retry.data = s->idle.data = s;
	s->handles = 4;
	uv_poll_start(&s->poll, UV_READABLE, on_readable);
	return s;
}
