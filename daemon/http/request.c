#include "daemon/http/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- a client that goes away while we make it wait ---- */

static void on_watch_closed(uv_handle_t *handle)
{
	struct req_watch *w = handle->data;
	struct http_server *s = w->s;
	close(w->fd);
	free(w);
	server_handle_closed(s);
}

static void watch_close(struct http_req *r)
{
	if (!r->watch)
		return;
	r->watch->r = NULL;
	uv_close((uv_handle_t *)&r->watch->poll, on_watch_closed);
	r->watch = NULL;
}

static void on_watch(uv_poll_t *poll, int status, int events)
{
	struct req_watch *w = poll->data;
	(void)status;
	(void)events;
	uv_poll_stop(poll);
	if (!w->r)
		return;
	w->r->gone = true;
	if (w->r->suspended)
		req_kill(w->r);
}

/* MHD takes a suspended connection out of its own epoll set and sees nothing; a duplicate in the loop's set does. */
static void watch_open(struct http_req *r)
{
	if (r->watch)
		return;
	int fd = fcntl(req_socket(r), F_DUPFD_CLOEXEC, 0);
	if (fd < 0) {
		log_warn("http", "cannot watch a client: %s", uv_strerror(uv_translate_sys_error(errno)));
		return;
	}
	struct req_watch *w = mem_zalloc(sizeof(*w));
	if (uv_poll_init(r->s->loop, &w->poll, fd) != 0) {
		close(fd);
		free(w);
		return;
	}
	r->s->handles++;
	w->poll.data = w;
	w->fd = fd;
	w->s = r->s;
	w->r = r;
	r->watch = w;
	uv_poll_start(&w->poll, UV_DISCONNECT, on_watch);
}

int req_socket(const struct http_req *r)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	return info ? info->connect_fd : -1;
}

void req_suspend(struct http_req *r)
{
	if (r->gone)
		r->dead = true;
	if (r->dead)
		return;
	watch_open(r);
	r->suspended = true;
	MHD_suspend_connection(r->conn);
}

void req_wake(struct http_req *r)
{
	if (!r->suspended)
		return;
	r->suspended = false;
	MHD_resume_connection(r->conn);
	server_kick(r->s);
}

void req_kill(struct http_req *r)
{
	if (r->dead || r->upgraded)
		return;
	r->dead = true;
	if (r->suspended)
		req_wake(r);
	else
		shutdown(req_socket(r), SHUT_RDWR); /* MHD may be waiting for it to become writable */
}

/* ---- the headers ---- */

static enum MHD_Result on_header(
	void *cls, enum MHD_ValueKind kind, const char *key, size_t key_len, const char *value, size_t value_len)
{
	static const char *const names[HDR_COUNT] = {
		[HDR_HOST] = "Host",
		[HDR_CONTENT_LENGTH] = "Content-Length",
		[HDR_TRANSFER_ENCODING] = "Transfer-Encoding",
		[HDR_CONTENT_TYPE] = "Content-Type",
		[HDR_ORIGIN] = "Origin",
		[HDR_API_KEY] = "X-API-Key",
		[HDR_AUTHORIZATION] = "Authorization",
		[HDR_EXPECT] = "Expect",
		[HDR_TEAM] = "X-Sbx-Team",
	};
	struct req_headers *h = cls;
	(void)kind;
	(void)value_len;
	/* "Content-Length : 5" would hide from MHD and from us, but perhaps not from what stands before us */
	if (key_len == 0 || key[key_len - 1] == ' ' || key[key_len - 1] == '\t')
		h->bad_name = true;
	for (size_t i = 0; i < HDR_COUNT; i++) {
		if (strcasecmp(key, names[i]) == 0) {
			h->value[i] = value;
			h->count[i]++;
			break;
		}
	}
	return MHD_YES;
}

static int check_framing(struct http_req *r, struct err *err)
{
	const struct req_headers *h = &r->h;
	if (h->count[HDR_CONTENT_LENGTH] > 1 || h->count[HDR_TRANSFER_ENCODING] > 1 ||
		(h->count[HDR_CONTENT_LENGTH] && h->count[HDR_TRANSFER_ENCODING]))
		err_set(err, ERR_INVALID, "request has more than one length");
	else if (h->count[HDR_TRANSFER_ENCODING] && strcasecmp(h->value[HDR_TRANSFER_ENCODING], "chunked") != 0)
		err_set(err, ERR_INVALID, "transfer encoding is not 'chunked'");
	else if (h->count[HDR_HOST] > 1 || (h->count[HDR_HOST] == 0 && r->http11))
		err_set(err, ERR_INVALID, "request must have one 'Host'");
	else if (h->bad_name || strchr(r->path, ' '))
		err_set(err, ERR_INVALID, "malformed request");
	else
		return 0;
	r->must_close = true; /* where the next request begins is anybody's guess */
	return -1;
}

static void read_headers(struct http_req *r)
{
	MHD_get_connection_values_n(r->conn, MHD_HEADER_KIND, on_header, &r->h);
	if (r->h.count[HDR_TRANSFER_ENCODING])
		r->body_left = UINT64_MAX;
	else if (r->h.count[HDR_CONTENT_LENGTH])
		r->body_left = strtoull(r->h.value[HDR_CONTENT_LENGTH], NULL, 10); /* MHD refused what is no number */
	r->has_body = r->body_left != 0;
	r->expect = r->http11 && r->h.value[HDR_EXPECT] && strcasecmp(r->h.value[HDR_EXPECT], "100-continue") == 0;
}

/* ---- which operation ---- */

/* Find the operation. When none fits, r->d is the dialect in whose shape the error goes out. */
static int match(struct http_req *r, struct err *err)
{
	const char *method = r->head ? "GET" : r->method;
	int rc = router_match(r->s->router, method, r->path, &r->match, err);
	r->d = &r->s->config.dialects[r->match.contract];
	if (rc != 0)
		return -1;
	r->op_index = r->match.op;
	r->op = &r->d->contract->ops[r->match.op];
	return 0;
}

/* A credential that was presented, and where. */
struct credential {
	const char *where, *value;
};

/* What the header of a scheme holds; value NULL: nothing. */
static struct credential of_scheme(struct http_req *r, const struct ct_scheme *s)
{
	const struct contract *c = r->d->contract;
	struct credential cred = { ct_s(c, s->name), NULL };
	if (s->kind == CT_SCHEME_BEARER)
		cred = (struct credential){ "Authorization", check_bearer(r->h.value[HDR_AUTHORIZATION]) };
	else if (s->kind == CT_SCHEME_KEY && s->in == CT_IN_HEADER && !s->routing)
		cred.value = http_header(r, cred.where);
	if (cred.value && !*cred.value)
		cred.value = NULL;
	return cred;
}

static struct credential presented(struct http_req *r)
{
	const struct contract *c = r->d->contract;
	for (uint32_t i = 0; i < r->op->security_count; i++) {
		struct credential cred = of_scheme(r, &c->schemes[c->index_pool[r->op->security + i] & ~CT_SCHEME_AND]);
		if (cred.value)
			return cred;
	}
	/* wherever else clients of other dialects put it */
	if (r->h.value[HDR_API_KEY] && *r->h.value[HDR_API_KEY])
		return (struct credential){ "X-API-Key", r->h.value[HDR_API_KEY] };
	if (check_bearer(r->h.value[HDR_AUTHORIZATION]))
		return (struct credential){ "Authorization", check_bearer(r->h.value[HDR_AUTHORIZATION]) };
	/* in the address it ends up in logs and histories: only for browsers' WebSockets, which can send no header */
	for (size_t i = 0; check_token(http_header(r, "Upgrade"), "websocket") && i < r->query_count; i++) {
		if (params_is_credential(r->query[i].key))
			return (struct credential){ "query", r->query[i].value };
	}
	return (struct credential){ NULL, NULL };
}

/* Web pages of other sites must not reach us through the user's browser, by a request or by a name that was pointed at us. */
static int check_site(struct http_req *r, struct err *err)
{
	if (!r->origin && !check_host(r->h.value[HDR_HOST]))
		return err_set(err, ERR_FORBIDDEN, "'Host' must be an address or localhost");
	if (!check_origin(r->h.value[HDR_ORIGIN], r->h.value[HDR_HOST]))
		return err_set(err, ERR_FORBIDDEN, "requests from other sites are refused");
	return 0;
}

const struct identity http_operator = { .kind = IDENTITY_LOCAL, .role = ROLE_OWNER, .admin = true, .id = "local", .name = "local" };

/* The team that the control plane asks for, in place of its own. */
static int name_team(struct http_req *r, struct err *err)
{
	if (r->who.kind != IDENTITY_CONTROL)
		return 0;
	r->who.team = TEAM_LOCAL;
	if (r->h.count[HDR_TEAM] == 0)
		return 0;
	if (r->h.count[HDR_TEAM] > 1 || !r->h.value[HDR_TEAM])
		return err_set(err, ERR_INVALID, "request must have one 'X-Sbx-Team'");
	if (parse_int(r->h.value[HDR_TEAM], "X-Sbx-Team", 0, TEAM_CARRIED - 1, &r->who.team, err))
		return -1;
	r->who.team += TEAM_CARRIED;
	return 0;
}

static int authorize(struct http_req *r, struct err *err)
{
	const struct http_config *config = &r->s->config;
	r->who = http_operator;
	if (r->op->flags & CT_OP_PUBLIC)
		return 0;
	struct credential cred = presented(r);
	if (r->origin && !cred.value) {
		r->who = r->origin->who;
		if (name_team(r, err))
			return -1;
	} else if (config->authenticate(config->arg, cred.where, cred.value, &r->who, err) != 0) {
		return -1;
	}
	const char *id = ct_s(r->d->contract, r->op->id);
	if ((r->op->flags & CT_OP_LOCAL) && !r->local)
		return err_set(err, ERR_FORBIDDEN, "'%s' is only served on the Unix socket", id);
	if (!identity_is_operator(&r->who) && !(r->op->flags & CT_OP_TEAMS)) {
		err_set(err, ERR_FORBIDDEN, "'%s' is only for the operator of this daemon", id);
		return err_hint(err, "that is who uses its socket without a login: there, try: sbx logout");
	}
	return 0;
}

/* ---- the body ---- */

static bool takes(const struct contract *c, const struct ct_content *content, const char *given)
{
	if (strcmp(ct_s(c, content->media), "*/*") == 0)
		return true;
	switch ((enum ct_body)content->kind) {
	case CT_BODY_NONE:
		return true;
	case CT_BODY_JSON:
		return c->any_media || check_json(given);
	case CT_BODY_STREAM:
		/* Bytes are bytes (curl --data-binary calls them a form), but an envelope around them would be stored with them. */
		return !check_media(given, "multipart/form-data");
	case CT_BODY_MULTIPART:
		return check_media(given, "multipart/form-data");
	}
	return false;
}

/* Which of the operation's content types it is: the very one, else one that takes it too. False when none does. */
static bool pick_content(struct http_req *r)
{
	const struct contract *c = r->d->contract;
	const struct ct_content *all = c->contents + r->op->bodies;
	const char *given = r->h.value[HDR_CONTENT_TYPE];
	uint32_t n = r->op->body_count;
	r->content = ct_body(c, r->op);
	if (n == 0 || !given || !r->has_body)
		return true;
	for (uint32_t i = 0; i < 2 * n; i++) {
		r->content = &all[i % n];
		if (i < n ? check_media(given, ct_s(c, r->content->media)) : takes(c, r->content, given))
			return true;
	}
	return false;
}

/* Of a body that is read whole. */
static size_t body_limit(const struct http_req *r)
{
	return r->op->body_limit ? r->op->body_limit : HTTP_MAX_JSON;
}

static int check_body(struct http_req *r, struct err *err)
{
	if (!pick_content(r)) {
		err_set(err, ERR_MEDIA_TYPE, "content type '%s' is not accepted here", r->h.value[HDR_CONTENT_TYPE]);
		return err_hint(err, "send %s", ct_media(r->d->contract, r->op));
	}
	uint8_t kind = r->content ? r->content->kind : CT_BODY_NONE;
	bool stream = kind == CT_BODY_STREAM || kind == CT_BODY_MULTIPART;
	if (!stream && r->body_left != UINT64_MAX && r->body_left > body_limit(r))
		return err_set(err, ERR_TOO_LARGE, "body is larger than %zu bytes", body_limit(r));
	r->mode = stream ? MODE_SINK : kind == CT_BODY_JSON ? MODE_JSON : MODE_DROP;
	return 0;
}

/* The whole JSON body is there: read and check it. 0, or -1 when the error has been answered. */
static int parse_body(struct http_req *r)
{
	struct err e = ERR_INIT;
	bool empty = r->in.len == 0;
	if (!r->content || r->content->kind != CT_BODY_JSON || (empty && !(r->op->flags & CT_OP_BODY_REQUIRED)))
		return 0;
	if (empty)
		err_set(&e, ERR_INVALID, "a JSON body is required");
	else
		r->json = js_parse(r->in.p, r->in.len, JS_LIMITS_DEFAULT, &e);
	buf_free(&r->in);
	if (!r->json)
		reply_fault(r, e.code == ERR_INVALID ? "syntax" : NULL, &e);
	else if (ct_validate(r->d->contract, r->content->schema, r->json, &e) != 0)
		reply_fault(r, "schema", &e);
	return r->a.set ? -1 : 0;
}

static void run_handler(struct http_req *r)
{
	struct err e = ERR_INIT;
	http_handler *handler = r->d->handlers[r->op_index];
	if (handler) {
		handler(r);
		return;
	}
	err_set(&e, ERR_NOT_IMPLEMENTED, "'%s' is not implemented", ct_s(r->d->contract, r->op->id));
	http_reply_err(r, &e);
}

void http_again(struct http_req *r)
{
	run_handler(r);
}

/* An answer came before the end of the upload. A little more is read and dropped, and the connection goes on; else the answer
 * goes out at once and the rest of the upload is not waited for. A streamed answer begins when the upload is through. */
static void answer_early(struct http_req *r)
{
	if (!r->a.set || r->a.stream || r->mode == MODE_LINGER)
		return;
	if (r->body_left <= HTTP_DRAIN && !r->must_close) {
		r->mode = MODE_DROP;
		return;
	}
	answer_raw(r);
	r->mode = MODE_LINGER;
}

void req_answered(struct http_req *r)
{
	if (r->in_callback)
		return;
	if (r->phase == REQ_BODY)
		answer_early(r);
	if (r->phase != REQ_BODY || !r->a.stream)
		req_wake(r);
}

static size_t sink(struct http_req *r, const char *data, size_t n)
{
	size_t taken = 0;
	while (taken < n && r->on_data) {
		r->resume_asked = false;
		size_t k = r->on_data(r, data + taken, n - taken);
		taken += k < n - taken ? k : n - taken;
		if ((r->a.set && !r->a.stream) || (taken < n && !r->resume_asked))
			break;
	}
	return taken;
}

static void collect(struct http_req *r, const char *data, size_t n)
{
	struct err e;
	err_clear(&e);
	if (r->in.len + n > body_limit(r)) {
		err_set(&e, ERR_TOO_LARGE, "body is larger than %zu bytes", body_limit(r));
	} else {
		buf_add(&r->in, data, n);
		if (!buf_failed(&r->in))
			return;
		err_set(&e, ERR_UNAVAILABLE, "no memory for the body");
	}
	buf_free(&r->in);
	r->must_close = true;
	http_reply_err(r, &e);
	answer_early(r);
}

static enum MHD_Result on_body(struct http_req *r, const char *data, size_t *size)
{
	size_t taken = *size;
	if (r->mode == MODE_JSON) {
		collect(r, data, taken);
	} else if (r->mode == MODE_SINK) {
		taken = sink(r, data, taken);
	} else {
		r->lingered += taken;
		if (r->lingered > HTTP_LINGER)
			return MHD_NO;
	}
	if (r->body_left != UINT64_MAX)
		r->body_left -= taken < r->body_left ? taken : r->body_left;
	answer_early(r);
	if (r->mode != MODE_SINK)
		taken = *size;
	*size -= taken;
	if (*size > 0)
		req_suspend(r);
	return r->dead ? MHD_NO : MHD_YES;
}

/* ---- MHD's callbacks ---- */

/* The headers are in. Ends with an answer (a refusal) or with r->mode set; streamed uploads have their handler running. */
static void on_headers(struct http_req *r)
{
	struct err e = ERR_INIT;
	read_headers(r);
	/* each step needs the ones before; authentication comes before anything the client could make us work for */
	if (match(r, &e) != 0) {
		reply_fault(r, e.code == ERR_NOT_FOUND ? "route" : e.code == ERR_INVALID ? "parameter" : NULL, &e);
	} else if (check_framing(r, &e) != 0 || check_site(r, &e) != 0) {
		http_reply_err(r, &e);
	} else {
		int bad_query = params_read(r, &e);
		struct err denied = ERR_INIT;
		if (authorize(r, &denied) != 0)
			http_reply_err(r, &denied);
		else if (r->d->admit && r->d->handlers[r->op_index] && !r->d->admit(r))
			; /* it has answered */
		else if (bad_query != 0 || params_check(r, &e) != 0)
			reply_fault(r, "parameter", &e);
		else if (check_body(r, &e) != 0)
			http_reply_err(r, &e);
	}
	if (!r->a.set && r->mode == MODE_SINK)
		run_handler(r);
}

/* May the body come? */
static enum MHD_Result leave_head(struct http_req *r)
{
	if (r->dead)
		return MHD_NO;
	if (r->a.set && !r->a.stream && r->has_body) {
		/* MHD closes the connection after an answer that is queued here, and sends no "100 Continue" */
		if (r->expect || r->must_close)
			return answer_queue(r);
		answer_early(r);
	} else if (!r->a.set && r->mode == MODE_SINK && !r->on_data) {
		req_suspend(r);
		return r->dead ? MHD_NO : MHD_YES;
	}
	if (r->a.set && !r->on_data && r->mode == MODE_SINK)
		r->mode = MODE_DROP;
	r->phase = REQ_BODY;
	return MHD_YES;
}

static enum MHD_Result on_full(struct http_req *r)
{
	if (r->dead || r->mode == MODE_LINGER)
		return MHD_NO;
	if (r->phase == REQ_BODY) {
		r->phase = REQ_FULL;
		r->body_left = 0;
		if (r->a.set && !r->a.stream)
			return answer_queue(r);
		if (r->mode == MODE_SINK) {
			if (r->on_end)
				r->on_end(r);
		} else if (!r->a.set && parse_body(r) == 0) {
			run_handler(r);
		}
	}
	if (r->a.set)
		return answer_queue(r);
	req_suspend(r);
	return r->dead ? MHD_NO : MHD_YES;
}

static struct http_req *req_new(struct http_server *s, struct MHD_Connection *conn)
{
	struct http_req *r = mem_zalloc(sizeof(*r));
	r->s = s;
	r->conn = conn;
	r->start_us = clock_mono_us();
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	r->origin = info ? info->socket_context : NULL;
	r->local = r->origin && r->origin->local;
	buf_init(&r->in);
	buf_init(&r->out.b);
	buf_init(&r->a.body);
	r->next = s->reqs;
	r->pprev = &s->reqs;
	if (r->next)
		r->next->pprev = &r->next;
	s->reqs = r;
	return r;
}

/* NOLINTNEXTLINE(readability-function-size): the prototype is MHD's */
enum MHD_Result req_access(void *cls, struct MHD_Connection *conn, const char *url, const char *method, const char *version,
	const char *data, size_t *size, void **ctx)
{
	struct http_server *s = cls;
	struct http_req *r = *ctx;
	enum MHD_Result rc;
	if (!r) {
		if (s->closing)
			return MHD_NO;
		r = req_new(s, conn);
		*ctx = r;
		r->in_callback = true;
		r->method = method;
		r->path = url;
		r->head = strcmp(method, "HEAD") == 0;
		r->http11 = strcmp(version, "HTTP/1.1") == 0;
		on_headers(r);
		rc = leave_head(r);
	} else {
		r->in_callback = true;
		if (r->phase == REQ_HEAD)
			rc = leave_head(r);
		else if (*size > 0)
			rc = r->dead ? MHD_NO : on_body(r, data, size);
		else
			rc = on_full(r);
	}
	r->in_callback = false;
	return rc;
}

static void req_free(struct http_req *r)
{
	*r->pprev = r->next;
	if (r->next)
		r->next->pprev = r->pprev;
	ct_match_free(&r->match);
	for (size_t i = 0; i < r->query_count; i++) {
		free(r->query[i].key);
		free(r->query[i].value);
	}
	free(r->query);
	buf_free(&r->in);
	buf_free(&r->out.b);
	js_free(r->json);
	answer_free(&r->a);
	free(r);
}

void req_over(struct http_req *r, bool delivered)
{
	log_debug("http", "%s %s -> %d%s in %lld us", r->method, r->path, r->a.status, delivered ? "" : " (cut)",
		(long long)(clock_mono_us() - r->start_us));
	watch_close(r);
	void (*on_done)(struct http_req *, bool) = r->on_done;
	r->on_done = NULL;
	r->dead = true;
	if (on_done)
		on_done(r, delivered);
}

void req_completed(void *cls, struct MHD_Connection *conn, void **ctx, enum MHD_RequestTerminationCode how)
{
	(void)cls;
	struct http_req *r = *ctx;
	if (!r)
		return;
	*ctx = NULL;
	/* After an upgrade MHD holds its lock here: nothing of it may be called. */
	if (!r->upgraded) {
		bool ok = r->phase == REQ_ANSWERED && how == MHD_REQUEST_TERMINATED_COMPLETED_OK;
		if (ok && r->a.stream)
			MHD_set_connection_option(conn, MHD_CONNECTION_OPTION_TIMEOUT, HTTP_READ_TIMEOUT_S);
		req_over(r, r->raw_sent ? r->raw_ok : ok);
		if (r->ws)
			ws_break(r->ws);
		if (r->take)
			take_failed(r->take);
	}
	req_free(r);
}

void http_body_sink(
	struct http_req *r, size_t (*on_data)(struct http_req *r, const void *data, size_t n), void (*on_end)(struct http_req *r))
{
	r->on_data = on_data;
	r->on_end = on_end;
	if (!r->in_callback)
		req_wake(r);
}

void http_body_resume(struct http_req *r)
{
	r->resume_asked = true;
	if (!r->in_callback && r->phase == REQ_BODY)
		req_wake(r);
}
