#include "shared/net/fetch.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/base/version.h"
#include "shared/net/libcurl.h"

#define HEADER_MAX ((size_t)8 << 10)
#define FAULT_MAX ((size_t)4 << 10)
enum { CONNECT_S = 30, SILENT_S = 60, HOPS_MAX = 10 };

struct fetch {
	struct libcurl curl;
	CURL *easy;
};

/* One request on its way. */
struct hop {
	struct fetch *f;
	const struct fetch_request *rq;
	struct fetch_answer *out;
	struct buf location;
	struct err stopped; /* what the sink says */
};

struct fetch *fetch_new(struct err *err)
{
	struct fetch *f = mem_zalloc(sizeof(*f));

	if (!libcurl_load(&f->curl, "registries", err)) {
		f->easy = f->curl.easy_init();
		if (f->easy)
			return f;
		err_set(err, ERR_LIMIT, "out of memory");
	}
	fetch_free(f);
	return NULL;
}

void fetch_free(struct fetch *f)
{
	if (!f)
		return;
	if (f->easy)
		f->curl.easy_cleanup(f->easy);
	free(f);
}

void fetch_release(struct fetch_answer *a)
{
	buf_free(&a->challenge);
	buf_free(&a->digest);
	buf_free(&a->type);
	buf_free(&a->fault);
}

bool fetch_is_local(const char *host)
{
	struct in_addr four;
	struct in6_addr six;
	size_t n = strlen(host);
	auto_free char *bare = host[0] == '[' && n > 2 ? mem_strndup(host + 1, n - 2) : mem_strdup(host);

	if (inet_pton(AF_INET, bare, &four) == 1)
		return (ntohl(four.s_addr) >> 24) == 127;
	if (inet_pton(AF_INET6, bare, &six) == 1)
		return IN6_IS_ADDR_LOOPBACK(&six);
	return !strcasecmp(bare, "localhost");
}

/* ---- answers ---- */

static void take_header(struct buf *to, const char *p, size_t n, const char *name, bool join)
{
	size_t name_n = strlen(name);

	if (n <= name_n || p[name_n] != ':' || strncasecmp(p, name, name_n) != 0)
		return;
	for (p += name_n + 1, n -= name_n + 1; n && (*p == ' ' || *p == '\t'); p++, n--)
		;
	while (n && strchr("\r\n \t", p[n - 1]))
		n--;
	if (!join)
		buf_clear(to);
	if (to->len + n > HEADER_MAX)
		return;
	buf_str(to, to->len ? ", " : "");
	buf_add(to, p, n);
}

static size_t on_header(char *p, size_t size, size_t count, void *arg)
{
	struct hop *h = arg;
	size_t n = size * count;
	const char *space = memchr(p, ' ', n);

	if (n > 5 && !strncmp(p, "HTTP/", 5)) { /* the head of an interim answer may have come before */
		buf_clear(&h->out->challenge);
		buf_clear(&h->location);
		h->out->status = 0;
		for (size_t i = space ? (size_t)(space - p) + 1 : n; i < n && p[i] >= '0' && p[i] <= '9' && h->out->status < 1000;
			i++)
			h->out->status = h->out->status * 10 + (p[i] - '0');
		return n;
	}
	take_header(&h->out->challenge, p, n, "WWW-Authenticate", true);
	take_header(&h->out->digest, p, n, "Docker-Content-Digest", false);
	take_header(&h->out->type, p, n, "Content-Type", false);
	take_header(&h->location, p, n, "Location", false);
	return n;
}

static size_t on_body(char *p, size_t size, size_t count, void *arg)
{
	struct hop *h = arg;
	size_t n = size * count;

	if (h->out->status == 200 || h->out->status == 206)
		return h->rq->sink && h->rq->sink(h->rq->arg, h->out->status, p, n, &h->stopped) ? 0 : n;
	buf_add(&h->out->fault, p, n < FAULT_MAX - h->out->fault.len ? n : FAULT_MAX - h->out->fault.len);
	return n;
}

/* ---- addresses ---- */

struct address {
	char *scheme, *host, *port; /* of libcurl */
};

static void address_free(struct fetch *f, struct address *a)
{
	f->curl.free(a->scheme);
	f->curl.free(a->host);
	f->curl.free(a->port);
}

static int address_read(struct fetch *f, const char *url, struct address *out, struct err *err)
{
	CURLU *u = f->curl.url();
	bool ok = u && f->curl.url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK;

	*out = (struct address){ 0 };
	ok = ok && f->curl.url_get(u, CURLUPART_SCHEME, &out->scheme, 0) == CURLUE_OK &&
		f->curl.url_get(u, CURLUPART_HOST, &out->host, 0) == CURLUE_OK &&
		f->curl.url_get(u, CURLUPART_PORT, &out->port, CURLU_DEFAULT_PORT) == CURLUE_OK;
	f->curl.url_cleanup(u);
	if (ok && out->scheme && out->host && out->port && (!strcmp(out->scheme, "https") || !strcmp(out->scheme, "http")))
		return 0;
	address_free(f, out);
	err_set(err, ERR_INVALID, "'%.200s' is no address of http or https", url);
	return -1;
}

static int check_plain(const struct address *a, bool allowed, struct err *err)
{
	if (strcmp(a->scheme, "http") != 0 || allowed || fetch_is_local(a->host))
		return 0;
	err_set(err, ERR_FORBIDDEN, "'%s' would be asked over plain http, where everybody can listen and change", a->host);
	return err_hint(err, "if that is meant, allow it with --plain-http");
}

/* Where an answer sends us; *same tells whether that is the same host. NULL with err. */
static char *next_url(struct fetch *f, const char *url, const char *location, bool plain, bool *same, struct err *err)
{
	struct address from, to;
	char *text = NULL, *copy = NULL;
	CURLU *u = f->curl.url();
	bool ok = u && f->curl.url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
		f->curl.url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK &&
		f->curl.url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK;

	if (ok)
		copy = mem_strdup(text);
	f->curl.free(text);
	f->curl.url_cleanup(u);
	if (!ok || address_read(f, url, &from, NULL)) {
		free(copy);
		err_set(err, ERR_PROTOCOL, "the server redirects to '%.200s', which is no address", location);
		return NULL;
	}
	if (address_read(f, copy, &to, err)) {
		address_free(f, &from);
		free(copy);
		return NULL;
	}
	*same = !strcmp(from.scheme, to.scheme) && !strcasecmp(from.host, to.host) && !strcmp(from.port, to.port);
	int rc = check_plain(&to, plain, err);
	if (!rc && fetch_is_local(to.host) && !fetch_is_local(from.host))
		rc = err_set(err, ERR_FORBIDDEN, "'%s' redirects to this machine itself", from.host);
	if (!rc && !strcmp(from.scheme, "https") && !strcmp(to.scheme, "http"))
		rc = err_set(err, ERR_FORBIDDEN, "'%s' redirects from https to http", from.host);
	address_free(f, &from);
	address_free(f, &to);
	if (!rc)
		return copy;
	free(copy);
	return NULL;
}

/* ---- requests ---- */

static struct curl_slist *add_header(struct fetch *f, struct curl_slist *list, const char *name, const char *value)
{
	if (!value)
		return list;
	auto_free char *line = mem_printf("%s: %s", name, value);
	struct curl_slist *longer = f->curl.slist_append(list, line);
	return longer ? longer : list;
}

static void set_options(struct hop *h, const struct address *a, const char *url)
{
	struct fetch *f = h->f;
	CURL *c = f->easy;
	const char *ca = getenv("SSL_CERT_FILE"); /* NOLINT(concurrency-mt-unsafe): nobody changes the environment */
	auto_free char *agent = mem_printf("sbx/%s", sbx_version);

	f->curl.easy_reset(c);
	f->curl.easy_setopt(c, CURLOPT_URL, url);
	f->curl.easy_setopt(c, CURLOPT_USERAGENT, agent);
	f->curl.easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	f->curl.easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	f->curl.easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
	f->curl.easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	f->curl.easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)SILENT_S);
	f->curl.easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	f->curl.easy_setopt(c, CURLOPT_HEADERDATA, h);
	f->curl.easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	f->curl.easy_setopt(c, CURLOPT_WRITEDATA, h);
	if (fetch_is_local(a->host))
		f->curl.easy_setopt(c, CURLOPT_PROXY, "");
	if (ca && *ca)
		f->curl.easy_setopt(c, CURLOPT_CAINFO, ca);
}

static int failed(struct hop *h, CURLcode code, const struct address *a, struct err *err)
{
	if (h->stopped.code != ERR_OK) {
		if (err)
			*err = h->stopped;
		return -1;
	}
	err_set(err, code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE, "'%s:%s': %s", a->host, a->port,
		h->f->curl.easy_strerror(code));
	if (code == CURLE_PEER_FAILED_VERIFICATION)
		return err_hint(err, "when you know who issued its certificate, name that one: SSL_CERT_FILE=ca.pem");
	return err_hint(err, "check the address, the network, and https_proxy if there is one");
}

static int one_hop(struct hop *h, const char *url, const char *authorization, struct err *err)
{
	struct fetch *f = h->f;
	struct address a;
	struct curl_slist *headers = NULL;
	auto_free char *range = h->rq->offset ? mem_printf("bytes=%llu-", (unsigned long long)h->rq->offset) : NULL;

	if (address_read(f, url, &a, err))
		return -1;
	int rc = check_plain(&a, h->rq->plain_http, err);
	if (!rc) {
		h->out->status = 0;
		buf_clear(&h->out->fault);
		set_options(h, &a, url);
		headers = add_header(f, headers, "Accept", h->rq->accept);
		headers = add_header(f, headers, "Authorization", authorization);
		headers = add_header(f, headers, "Range", range);
		f->curl.easy_setopt(f->easy, CURLOPT_HTTPHEADER, headers);
		CURLcode code = f->curl.easy_perform(f->easy);
		f->curl.slist_free_all(headers);
		rc = code == CURLE_OK ? 0 : failed(h, code, &a, err);
	}
	address_free(f, &a);
	return rc;
}

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

int fetch_get(struct fetch *f, const struct fetch_request *rq, struct fetch_answer *out, struct err *err)
{
	struct hop h = { .f = f, .rq = rq, .out = out, .location = BUF_INIT };
	auto_free char *url = mem_strdup(rq->url);
	const char *authorization = rq->authorization;
	int rc = -1;

	*out = (struct fetch_answer){ .challenge = BUF_INIT, .digest = BUF_INIT, .type = BUF_INIT, .fault = BUF_INIT };
	for (int i = 0; i <= HOPS_MAX; i++) {
		bool same = false;
		rc = one_hop(&h, url, authorization, err);
		if (rc || !is_redirect(out->status) || !h.location.len)
			break;
		char *next = next_url(f, url, h.location.p, rq->plain_http, &same, err);
		rc = next ? 0 : -1;
		if (!next)
			break;
		free(url);
		url = next;
		if (!same)
			authorization = NULL;
		if (i == HOPS_MAX)
			rc = err_set(err, ERR_PROTOCOL, "the server redirects more than %d times", HOPS_MAX);
	}
	buf_free(&h.location);
	return rc;
}
