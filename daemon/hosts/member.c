#include "daemon/hosts/member.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "daemon/core/accept.h"
#include "daemon/core/host.h"
#include "daemon/core/sandbox.h"
#include "daemon/hosts/credentials.h"
#include "daemon/net/tls_pipe.h"
#include "daemon/notify/exchange.h"
#include "daemon/notify/url.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/ca.h"
#include "shared/net/fetch.h"
#include "shared/net/tcp.h"

enum { CALL_MS = 20000, CONNECTIONS_MAX = 4096, AGAIN_MS = 5000 };
#define LOOPBACK "127.0.0.1"
#define HERE LOOPBACK ":0"

static const struct identity control_plane = {
	.kind = IDENTITY_CONTROL, .role = ROLE_OWNER, .admin = true, .id = "control", .name = "control plane"
};

struct door {
	struct door *prev, *next;
	struct member *m;
	struct tls_pipe *pipe;
	int end; /* the server's, until it has it */
};

struct member {
	uv_loop_t *loop;
	struct member_config config;
	struct core *core;
	struct http_server *server;
	const struct member_ops *ops;
	void *arg;
	struct credentials own;
	struct tls_ctx *ctx;
	struct acceptor *acceptor;
	struct door *doors;
	struct exchanges *exchanges;
	struct exchange *call;
	struct notify_request rq; /* of call */
	uv_timer_t timer;
	bool ready, ended;
	bool refused;	/* the credentials were, and are being renewed */
	bool unproven;	/* they are new, and no heartbeat has been taken since */
	struct err why; /* ended */
};

static void beat(struct member *m);
static void renew(struct member *m);
static void enroll(struct member *m);

/* ---- the control plane comes in ---- */

static void close_door(struct door *d)
{
	struct member *m = d->m;
	*(d->prev ? &d->prev->next : &m->doors) = d->next;
	if (d->next)
		d->next->prev = d->prev;
	if (d->end >= 0)
		close(d->end);
	free(d);
	if (m->acceptor)
		acceptor_done(m->acceptor);
}

static void on_shaken(void *arg, const struct tls_peer *peer)
{
	struct door *d = arg;
	struct err err = ERR_INIT;
	(void)peer; /* it is who it must be: the pipe has seen to that */
	if (http_adopt(d->m->server, d->end, &control_plane, &err))
		log_warn("member", "%s", err.msg);
	d->end = -1;
}

static void on_ended(void *arg, const struct err *why)
{
	if (why)
		log_debug("member", "%s", why->msg);
	close_door(arg);
}

static const struct tls_pipe_ops door_ops = { .on_ready = on_shaken, .on_end = on_ended };

static void on_knock(void *arg, int fd)
{
	struct member *m = arg;
	struct err err = ERR_INIT;
	int ends[2];
	if (!m->ctx || tls_pipe_pair(ends, &err)) {
		close(fd);
		acceptor_done(m->acceptor);
		return;
	}
	struct door *d = mem_zalloc(sizeof(*d));
	*d = (struct door){ .m = m, .next = m->doors, .end = ends[1] };
	if (d->next)
		d->next->prev = d;
	m->doors = d;
	const struct tls_pipe_spec spec = { .ctx = m->ctx, .peer = CA_CONTROL_NAME, .ops = &door_ops, .arg = d };
	d->pipe = tls_pipe_accept(m->loop, &spec, fd, ends[0], &err);
	if (d->pipe)
		return;
	log_warn("member", "%s", err.msg);
	close_door(d);
}

/* address: where it listened before, or is to. */
static int listen_at(struct member *m, const char *address, struct err *err)
{
	int port = 0;
	int fd = tcp_listen(address, TCP_ANYWHERE, &port, err);
	if (fd < 0)
		return -1;
	const char *colon = strrchr(address, ':');
	auto_free char *ip = colon && colon > address ? mem_strndup(address, (size_t)(colon - address)) : mem_strdup(LOOPBACK);
	char *bound = mem_printf("%s:%d", ip, port);
	free(m->own.address);
	m->own.address = bound;
	m->acceptor = acceptor_new(m->loop, fd, CONNECTIONS_MAX, on_knock, m, err);
	return m->acceptor ? 0 : -1;
}

static int use_certificate(struct member *m, struct err *err)
{
	const struct tls_pem pem = { .ca = m->own.ca, .cert = m->own.cert, .key = m->own.key };
	if (m->ctx)
		return tls_ctx_renew(m->ctx, &pem, err);
	m->ctx = tls_ctx_new(&pem, err);
	return m->ctx ? 0 : -1;
}

/* ---- its end ---- */

static void on_over_due(uv_timer_t *timer)
{
	struct member *m = timer->data;
	m->ops->on_over(m->arg, &m->why);
}

/* Told from the loop: the owner closes us then, which must happen neither in member_new nor in the callback of an exchange. */
static void over(struct member *m, const struct err *why)
{
	m->ended = true;
	m->why = *why;
	uv_timer_start(&m->timer, on_over_due, 0, 0);
}

/* What runs for the control plane has no owner any more. */
static void end_carried(struct member *m)
{
	for (size_t i = sandbox_count(m->core); i-- > 0;) {
		struct sandbox *sb = sandbox_at(m->core, i);
		enum sandbox_state state = sandbox_state(sb);
		if (sandbox_row(sb)->host == HOST_CONTROL && state != SANDBOX_PAUSED && state != SANDBOX_STOPPED)
			sandbox_delete(sb, NULL, NULL);
	}
}

static void removed(struct member *m)
{
	struct err err = ERR_INIT;
	end_carried(m);
	if (credentials_remove(core_config(m->core)->home, &err))
		log_warn("member", "%s", err.msg);
	err_set(&err, ERR_NOT_FOUND, "the control plane does not know this host any more");
	over(m, &err);
}

static void worthless(struct member *m)
{
	struct err err = ERR_INIT;
	if (m->config.token) {
		enroll(m);
		return;
	}
	err_set(&err, ERR_UNAUTHORIZED, "the control plane refuses this host's credentials");
	err_hint(&err, "once it counts as unreachable, have a new token with: sbx host token %s; and give it with --token",
		m->own.id ? m->own.id : "ID");
	over(m, &err);
}

/* ---- calls to the control plane ---- */

static void free_call(struct member *m)
{
	free(m->rq.url);
	for (size_t i = 0; i < ARRAY_LEN(m->rq.headers); i++)
		free(m->rq.headers[i]);
	buf_free(&m->rq.body);
	m->rq = (struct notify_request){ .body = BUF_INIT };
	m->call = NULL;
}

/* What our control plane refuses, it says in its own words. Whoever else answers at its address (a proxy before it, whatever was
 * started there meanwhile) does not get sandboxes ended or credentials thrown away. */
static bool refuses(const struct exchange_answer *answer, const char *code)
{
	auto_js *doc = js_parse(answer->body ? answer->body : "", answer->n, JS_LIMITS_DEFAULT, NULL);
	return str_same(js_str(js_get(js_get(doc, "error"), "code"), NULL), code);
}

static bool is_removal(const struct exchange_answer *answer)
{
	return answer->status == 404 && refuses(answer, "not_found");
}

static bool is_refusal(const struct exchange_answer *answer)
{
	return (answer->status == 401 && refuses(answer, "unauthorized")) ||
		(answer->status == 403 && refuses(answer, "forbidden"));
}

/* rq's headers and body are set already. */
static void post(struct member *m, const char *path, exchange_cb *cb)
{
	struct err err = ERR_INIT;
	m->rq.method = "POST";
	m->rq.url = mem_printf("%s%s", m->own.control, path);
	m->call = exchange_start(m->exchanges, &m->rq, CALL_MS, cb, m, &err);
	if (m->call)
		return;
	free_call(m);
	over(m, &err);
}

static void on_timer(uv_timer_t *timer)
{
	beat(timer->data);
}

static void wait_for(struct member *m, int64_t ms)
{
	if (m->ended)
		return;
	uv_timer_start(&m->timer, on_timer, (uint64_t)ms, 0);
}

static void become_ready(struct member *m)
{
	if (m->ready)
		return;
	m->ready = true;
	m->ops->on_ready(m->arg);
}

/* ---- heartbeats ---- */

static bool is_due(const struct member *m)
{
	return m->own.request || clock_wall_ms() - m->own.issued_ms > (int64_t)CA_HOST_LIFE_S * 1000 / 2;
}

/* In a circle, a control plane whose clock or key is wrong would be asked as fast as it answers. */
static void renew_refused(struct member *m)
{
	m->refused = true;
	if (m->unproven) {
		m->unproven = false;
		log_warn("member", "the control plane refuses the credentials that it has just given");
		wait_for(m, AGAIN_MS);
	} else {
		renew(m);
	}
}

static void on_beaten(void *arg, const struct exchange_answer *answer)
{
	struct member *m = arg;
	int status = answer->status;
	bool gone = is_removal(answer), refused = is_refusal(answer);
	if (status == 0)
		log_warn("member", "%s", answer->err->msg);
	free_call(m);
	if (gone) {
		removed(m);
		return;
	}
	if (refused) {
		renew_refused(m);
		return;
	}
	if (status == 204)
		m->unproven = false;
	else if (status != 0)
		log_warn("member", "the control plane answers a heartbeat with %d", status);
	become_ready(m); /* out of reach is no reason not to serve: it may come to us */
	if (status == 204 && is_due(m))
		renew(m);
	else
		wait_for(m, m->config.beat_ms);
}

static void beat(struct member *m)
{
	auto_free char *path = mem_printf("/v1/hosts/%s/heartbeat", m->own.id);
	m->rq.headers[0] = mem_printf("X-Host-Token: %s", m->own.token);
	post(m, path, on_beaten);
}

/* ---- credentials ---- */

/* What an answer brings is on the disk before it is used, and not on the disk when it cannot be. On failure all is as it was. */
static int take(struct member *m, const struct exchange_answer *answer, struct err *err)
{
	auto_js *doc = js_parse(answer->body ? answer->body : "", answer->n, JS_LIMITS_DEFAULT, err);
	struct credentials news = { .control = mem_strdup(m->own.control), .address = mem_strdup(m->own.address) };
	struct tls_ctx *trial = NULL;
	int rc = doc ? credentials_take(&news, doc, err) : -1;
	if (rc == 0) {
		const struct tls_pem pem = { .ca = news.ca, .cert = news.cert, .key = news.key };
		trial = tls_ctx_new(&pem, err);
		rc = trial ? credentials_write(core_config(m->core)->home, &news, err) : -1;
	}
	tls_ctx_free(trial);
	if (rc == 0) {
		struct credentials old = m->own;
		m->own = news;
		news = old;
		rc = use_certificate(m, err);
	}
	credentials_free(&news);
	return rc;
}

/* Asked for again, by the same name. */
static void not_renewed(struct member *m)
{
	become_ready(m);
	wait_for(m, AGAIN_MS);
}

static void on_renewed(void *arg, const struct exchange_answer *answer)
{
	struct member *m = arg;
	int status = answer->status;
	struct err err = ERR_INIT;
	bool unknown = is_refusal(answer) || (is_removal(answer) && m->refused);
	if (status == 0)
		log_warn("member", "%s", answer->err->msg);
	else if (status == 200 && take(m, answer, &err))
		log_warn("member", "the new credentials cannot be taken: %s", err.msg);
	else if (status != 200 && !unknown)
		log_warn("member", "the control plane answers a renewal with %d", status);
	free_call(m);
	if (unknown) {
		worthless(m);
		return;
	}
	if (status != 200 || err.code) {
		not_renewed(m);
		return;
	}
	m->refused = false;
	m->unproven = true;
	log_info("member", "has new credentials");
	beat(m);
}

/* The name of the exchange is on the disk before anybody hears of it. */
static void renew(struct member *m)
{
	char request[25];
	struct err err = ERR_INIT;
	if (!m->own.request) {
		rand_id(request, sizeof(request) - 1);
		m->own.request = mem_strdup(request);
		if (credentials_write(core_config(m->core)->home, &m->own, &err)) { /* a full disk: later, then */
			log_warn("member", "%s", err.msg);
			free(mem_steal(&m->own.request));
			not_renewed(m);
			return;
		}
	}
	struct jw w;
	jw_init(&w, &m->rq.body);
	jw_obj(&w);
	jw_kstr(&w, "refresh_token", m->own.refresh_token);
	jw_obj_end(&w);
	m->rq.headers[0] = mem_printf("Content-Type: application/json");
	m->rq.headers[1] = mem_printf("Idempotency-Key: %s", m->own.request);
	post(m, "/v1/hosts/auth/refresh", on_renewed);
}

/* ---- registration ---- */

static void write_machine(struct member *m, struct jw *w)
{
	struct utsname system;
	struct statvfs disk;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	jw_kstr(w, "address", m->own.address);
	if (uname(&system) == 0)
		jw_kstr(w, "arch", system.machine);
	if (cpus > 0)
		jw_kint(w, "cpu_cores", cpus);
	if (pages > 0 && page > 0)
		jw_kint(w, "memory_mb", (int64_t)pages * page >> 20);
	if (statvfs(core_config(m->core)->home, &disk) == 0)
		jw_kint(w, "disk_gb", (int64_t)((uint64_t)disk.f_blocks * disk.f_frsize >> 30));
}

/* On a terminal, that of whoever starts us. */
static bool is_printable(const char *s)
{
	for (; *s; s++)
		if (*s < ' ' || *s > '~')
			return false;
	return true;
}

static void refused_token(const struct exchange_answer *answer, struct err *err)
{
	auto_js *doc = js_parse(answer->body ? answer->body : "", answer->n, JS_LIMITS_DEFAULT, NULL);
	const char *said = js_str(js_get(js_get(doc, "error"), "message"), NULL);
	enum err_code code = answer->status < 400 ? ERR_PROTOCOL : err_from_status(answer->status);
	if (said && is_printable(said))
		err_set(err, code, "the control plane does not register this host: %s", said);
	else
		err_set(err, code, "the control plane does not register this host (%d)", answer->status);
	err_hint(err, "a token is good for an hour and one use; have another with: sbx host add, or sbx host token ID");
}

static void on_enrolled(void *arg, const struct exchange_answer *answer)
{
	struct member *m = arg;
	struct err err = ERR_INIT;
	if (answer->status == 0)
		err = *answer->err;
	else if (answer->status != 201)
		refused_token(answer, &err);
	else
		take(m, answer, &err);
	free_call(m);
	m->config.token = NULL; /* it is used up, or no good */
	if (err.code) {
		over(m, &err);
		return;
	}
	m->refused = false;
	m->unproven = true;
	log_info("member", "registered as %s, reached at %s", m->own.id, m->own.address);
	become_ready(m);
	wait_for(m, m->config.beat_ms);
}

static void enroll(struct member *m)
{
	struct jw w;
	jw_init(&w, &m->rq.body);
	jw_obj(&w);
	jw_kstr(&w, "token", m->config.token);
	write_machine(m, &w);
	jw_obj_end(&w);
	m->rq.headers[0] = mem_strdup("Content-Type: application/json");
	post(m, "/v1/hosts/register", on_enrolled);
}

/* ---- start ---- */

/* Keys come over this connection. */
static int check_control(const char *control, struct err *err)
{
	struct url url;
	if (url_split(control, "--control", &url, err))
		return -1;
	auto_free char *host = mem_strndup(url.host.p, url.host.n);
	if (str_starts(control, "https://") || fetch_is_local(host))
		return 0;
	err_set(err, ERR_USAGE, "'%s' would send this host's keys over the network in the clear", control);
	return err_hint(err, "use an https:// address, or a tunnel to this machine");
}

/* What it knew, and what it is told now. */
static int find_itself(struct member *m, bool *known, struct err *err)
{
	int found = credentials_read(core_config(m->core)->home, &m->own, err);
	*known = found == 1;
	if (found < 0)
		return -1;
	if (!*known && (!m->config.control || !m->config.token)) {
		err_set(err, ERR_USAGE, "a host that was not registered yet needs --control URL and --token TOKEN");
		return err_hint(err, "a token is what this prints, there: sbx host add");
	}
	if (m->config.control) {
		size_t n = strlen(m->config.control);
		while (n > 0 && m->config.control[n - 1] == '/')
			n--;
		free(m->own.control);
		m->own.control = mem_strndup(m->config.control, n);
	}
	return check_control(m->own.control, err);
}

/* Everywhere is no place to be reached at. */
static int check_reachable(const char *address, struct err *err)
{
	struct in_addr four;
	struct in6_addr six;
	size_t n = strcspn(address, "]");
	const char *colon = strrchr(address, ':');
	auto_free char *host =
		address[0] == '[' ? mem_strndup(address + 1, n - 1) : mem_strndup(address, colon ? (size_t)(colon - address) : n);
	bool any = (inet_pton(AF_INET, host, &four) == 1 && four.s_addr == 0) ||
		(inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_UNSPECIFIED(&six));
	if (!any)
		return 0;
	err_set(err, ERR_USAGE, "'%s' is where to listen, but not where the control plane reaches this host", address);
	return err_hint(err, "give the address that this machine has on their network");
}

/* Where it is reached: as it told when it registered, which nothing can change; else as asked. */
static int choose_address(struct member *m, bool known, char **out, struct err *err)
{
	struct url url;
	const char *asked = m->config.address;
	*out = NULL;
	if (known && asked && strcmp(asked, m->own.address) != 0 && !str_ends(asked, ":0")) {
		err_set(err, ERR_USAGE, "the control plane knows this host at '%s'", m->own.address);
		return err_hint(err, "leave --address out; or remove the host there, and register it anew at '%s'", asked);
	}
	if (!known && asked && check_reachable(asked, err))
		return -1;
	if (known || asked) {
		*out = mem_strdup(known ? m->own.address : asked);
		return 0;
	}
	if (url_split(m->own.control, "--control", &url, err))
		return -1;
	auto_free char *host = mem_strndup(url.host.p, url.host.n);
	if (!fetch_is_local(host)) {
		err_set(err, ERR_USAGE, "a control plane on another machine needs to know where this host is reached");
		return err_hint(err, "say so with: --address IP:PORT");
	}
	*out = mem_strdup(HERE);
	return 0;
}

static int begin(struct member *m, struct err *err)
{
	bool known;
	auto_free char *address = NULL;
	if (find_itself(m, &known, err) || choose_address(m, known, &address, err) || !address)
		return -1;
	m->exchanges = exchanges_new(m->loop, "control planes", true, err);
	if (!m->exchanges || listen_at(m, address, err))
		return -1;
	if (known && use_certificate(m, err))
		return -1;
	if (known)
		beat(m);
	else
		enroll(m);
	return 0;
}

bool member_registered(const char *home)
{
	return credentials_exist(home);
}

struct member *member_new(const struct member_config *config, struct core *core, struct http_server *server,
	const struct member_ops *ops, void *arg, struct err *err)
{
	struct member *m = mem_zalloc(sizeof(*m));
	uv_loop_t *loop = core_config(core)->loop;
	*m = (struct member){ .loop = loop, .config = *config, .core = core, .server = server, .ops = ops, .arg = arg };
	m->rq.body = (struct buf)BUF_INIT;
	if (!m->config.beat_ms)
		m->config.beat_ms = HOST_BEAT_MS;
	uv_timer_init(loop, &m->timer);
	m->timer.data = m;
	if (begin(m, err) == 0)
		return m;
	member_close(m);
	return NULL;
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void member_close(struct member *m)
{
	if (!m)
		return;
	struct acceptor *acceptor = mem_steal(&m->acceptor);
	for (struct door *d = m->doors, *next; d; d = next) {
		next = d->next;
		tls_pipe_cut(d->pipe);
		close_door(d);
	}
	acceptor_free(acceptor);
	exchanges_close(m->exchanges);
	free_call(m);
	tls_ctx_free(m->ctx);
	credentials_free(&m->own);
	uv_close((uv_handle_t *)&m->timer, on_timer_closed);
}
