/* libcurl says which sockets it waits for, and for how long; there is a uv_poll for each and one timer. */
#include "daemon/notify/exchange.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/notify/url.h"
#include "shared/base/mem.h"
#include "shared/base/version.h"
#include "shared/net/address.h"
#include "shared/net/libcurl.h"

struct exchange {
	struct exchanges *all;
	struct exchange *prev, *next;
	const char *url;
	CURL *easy;
	struct curl_slist *headers;
	struct buf answer;
	bool refused, allowed; /* one of the addresses that were to be connected to */
	exchange_cb *cb;
	void *arg;
};

struct exchanges {
	uv_loop_t *loop;
	bool allow_private;
	struct libcurl curl;
	CURLM *multi;
	uv_timer_t timer;
	struct exchange *first;
};

struct watch {
	uv_poll_t poll;
	struct exchanges *all;
	curl_socket_t fd;
};

/* ---- one exchange ---- */

static size_t on_body(char *p, size_t size, size_t count, void *arg)
{
	struct exchange *x = arg;
	size_t n = size * count, room = EXCHANGE_ANSWER_MAX - x->answer.len;
	buf_add(&x->answer, p, n < room ? n : room);
	return n <= room ? n : 0; /* fewer than n ends the transfer */
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct exchange *x = arg;
	(void)purpose;
	if (!x->all->allow_private && (!address_is_public(&to->addr, to->addrlen) || address_is_ours(&to->addr, to->addrlen))) {
		x->refused = true;
		return CURL_SOCKET_BAD;
	}
	x->allowed = true;
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static bool add_headers(struct exchange *x, const struct notify_request *rq)
{
	for (size_t i = 0; i < ARRAY_LEN(rq->headers) && rq->headers[i]; i++) {
		struct curl_slist *longer = x->all->curl.slist_append(x->headers, rq->headers[i]);
		if (!longer)
			return false;
		x->headers = longer;
	}
	return true;
}

/* What holds for every request; false when libcurl does not take one of them. */
static bool set_rules(struct libcurl *curl, CURL *c)
{
	const char *ca = getenv("SSL_CERT_FILE"); /* NOLINT(concurrency-mt-unsafe): nobody changes the environment */
	auto_free char *agent = mem_printf("sbx/%s", sbx_version);
	bool ok = curl->easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
	/* a name server that does not answer must not hold the loop when the request is over */
	ok &= curl->easy_setopt(c, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_USERAGENT, agent) == CURLE_OK;
	/* without a folder of certificates libcurl keeps those of the file; else it reads them each time, 50 ms of the loop */
	ok &= curl->easy_setopt(c, CURLOPT_CAPATH, (char *)NULL) == CURLE_OK;
	if (ca && *ca)
		ok &= curl->easy_setopt(c, CURLOPT_CAINFO, ca) == CURLE_OK;
	return ok;
}

static bool set_request(struct exchange *x, const struct notify_request *rq, int64_t limit_ms)
{
	struct libcurl *curl = &x->all->curl;
	CURL *c = x->easy;
	bool ok = curl->easy_setopt(c, CURLOPT_URL, rq->url) == CURLE_OK;
	if (strcmp(rq->method, "GET") != 0) { /* which has no body, not even an empty one */
		ok &= curl->easy_setopt(c, CURLOPT_POSTFIELDS, rq->body.p) == CURLE_OK;
		ok &= curl->easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body.len) == CURLE_OK;
	}
	ok &= curl->easy_setopt(c, CURLOPT_CUSTOMREQUEST, rq->method) == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_HTTPHEADER, x->headers) == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(limit_ms > 0 ? limit_ms : 1)) == CURLE_OK; /* 0 is no limit */
	ok &= curl->easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_WRITEDATA, x) == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_OPENSOCKETDATA, x) == CURLE_OK;
	ok &= curl->easy_setopt(c, CURLOPT_PRIVATE, x) == CURLE_OK;
	return ok;
}

/* Out of libcurl and of our list. */
static void take_off(struct exchange *x)
{
	x->all->curl.multi_remove_handle(x->all->multi, x->easy);
	if (x->prev)
		x->prev->next = x->next;
	else
		x->all->first = x->next;
	if (x->next)
		x->next->prev = x->prev;
}

static void destroy(struct exchange *x)
{
	struct libcurl *curl = &x->all->curl;
	if (x->easy)
		curl->easy_cleanup(x->easy);
	if (x->headers)
		curl->slist_free_all(x->headers);
	buf_free(&x->answer);
	free(x);
}

struct exchange *exchange_start(
	struct exchanges *all, const struct notify_request *rq, int64_t limit_ms, exchange_cb *cb, void *arg, struct err *err)
{
	struct exchange *x = mem_zalloc(sizeof(*x));
	*x = (struct exchange){ .all = all, .url = rq->url, .answer = BUF_INIT, .cb = cb, .arg = arg };
	x->easy = all->curl.easy_init();
	if (!x->easy || !add_headers(x, rq) || !set_rules(&all->curl, x->easy) || !set_request(x, rq, limit_ms) ||
		all->curl.multi_add_handle(all->multi, x->easy) != CURLM_OK) {
		err_set(err, ERR_INTERNAL, "libcurl does not take a request");
		destroy(x);
		return NULL;
	}
	x->next = all->first;
	if (x->next)
		x->next->prev = x;
	all->first = x;
	return x;
}

void exchange_cancel(struct exchange *x)
{
	take_off(x);
	destroy(x);
}

static int failed(const struct exchange *x, CURLcode code, struct err *err)
{
	struct url url;
	struct url_part host = { "the receiver", strlen("the receiver") };
	if (!url_split(x->url, "url", &url, NULL))
		host = url.host;
	if (x->refused && !x->allowed && code == CURLE_COULDNT_CONNECT)
		return err_set(err, ERR_FORBIDDEN, "'%.*s' is an address of this machine or of a network that is not public",
			URL_FMT(host));
	if (code == CURLE_OPERATION_TIMEDOUT)
		return err_set(err, ERR_TIMEOUT, "'%.*s' did not answer in time", URL_FMT(host));
	return err_set(err, ERR_UNAVAILABLE, "'%.*s': %s", URL_FMT(host), x->all->curl.easy_strerror(code));
}

/* A receiver that has answered has had the request, even if the rest of its answer did not come. */
static void returned(struct exchange *x, CURLcode code)
{
	long status = 0;
	struct err err = ERR_INIT;
	struct exchange_answer answer = { .err = &err };
	if (x->all->curl.easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK || status < 200) {
		failed(x, code, &err);
	} else {
		answer.status = (int)status;
		answer.body = x->answer.p;
		answer.n = x->answer.len;
	}
	take_off(x);
	x->cb(x->arg, &answer);
	destroy(x);
}

/* ---- libcurl on the loop ---- */

static void reap(struct exchanges *all)
{
	int left = 0;
	for (CURLMsg *msg; (msg = all->curl.multi_info_read(all->multi, &left));) {
		char *x = NULL;
		CURLcode code = msg->data.result;
		if (msg->msg == CURLMSG_DONE && all->curl.easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &x) == CURLE_OK && x)
			returned((struct exchange *)(void *)x, code);
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;
	struct exchanges *all = w->all; /* w may be closed after this */
	int running = 0, what = status < 0 ? CURL_CSELECT_ERR : 0;
	what |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
	what |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
	all->curl.multi_socket_action(all->multi, w->fd, what, &running);
	reap(all);
}

static void on_timer(uv_timer_t *timer)
{
	struct exchanges *all = timer->data;
	int running = 0;
	all->curl.multi_socket_action(all->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap(all);
}

static int on_timeout_changed(CURLM *multi, long ms, void *arg)
{
	struct exchanges *all = arg;
	(void)multi;
	if (ms < 0)
		uv_timer_stop(&all->timer);
	else if (!uv_is_closing((uv_handle_t *)&all->timer))
		uv_timer_start(&all->timer, on_timer, (uint64_t)ms, 0);
	return 0;
}

static void on_watch_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static struct watch *make_watch(struct exchanges *all, curl_socket_t fd)
{
	struct watch *w = mem_zalloc(sizeof(*w));
	w->all = all;
	w->fd = fd;
	if (uv_poll_init(all->loop, &w->poll, fd)) {
		free(w); /* the request runs into its time limit */
		return NULL;
	}
	w->poll.data = w;
	all->curl.multi_assign(all->multi, fd, w);
	return w;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned)
{
	struct exchanges *all = arg;
	struct watch *w = assigned;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w)
			uv_close((uv_handle_t *)&w->poll, on_watch_closed);
		all->curl.multi_assign(all->multi, fd, NULL);
		return 0;
	}
	if (!w)
		w = make_watch(all, fd);
	int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
	if (w)
		uv_poll_start(&w->poll, events, on_poll);
	return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

struct exchanges *exchanges_new(uv_loop_t *loop, const char *user, bool allow_private, struct err *err)
{
	struct exchanges *all = mem_zalloc(sizeof(*all));
	all->loop = loop;
	all->allow_private = allow_private;
	if (!libcurl_load(&all->curl, user, err)) {
		all->multi = all->curl.multi_init();
		if (!all->multi)
			err_set(err, ERR_LIMIT, "no memory for libcurl");
	}
	if (!all->multi) {
		free(all);
		return NULL;
	}
	uv_timer_init(loop, &all->timer);
	all->timer.data = all;
	all->curl.multi_setopt(all->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	all->curl.multi_setopt(all->multi, CURLMOPT_SOCKETDATA, all);
	all->curl.multi_setopt(all->multi, CURLMOPT_TIMERFUNCTION, on_timeout_changed);
	all->curl.multi_setopt(all->multi, CURLMOPT_TIMERDATA, all);
	return all;
}

void exchanges_close(struct exchanges *all)
{
	if (!all)
		return;
	for (struct exchange *x = all->first, *next; x; x = next) {
		next = x->next;
		exchange_cancel(x);
	}
	all->curl.multi_cleanup(all->multi);
	uv_close((uv_handle_t *)&all->timer, on_timer_closed);
}
