#include "daemon/notify/provider.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/notify/internal.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/crypto.h"

#define QUOTE_MAX ((size_t)200)

const char *const notify_provider_names[] = { "discord", "slack", "teams", "googlechat", "telegram", "matrix", "webhook", NULL };

static const char *const needs_url[] = { "url", NULL };
static const char *const needs_webhook_url[] = { "webhook_url", NULL };
static const char *const needs_telegram[] = { "bot_token", "chat_id", NULL };
static const char *const needs_matrix[] = { "homeserver_url", "access_token", "room_id", NULL };

static int make_webhook(struct notify_making *m);

static const struct notify_provider providers[] = {
	{ "discord", needs_webhook_url, notify_make_discord, notify_accepts_discord, NOTIFY_QUOTE_ALL },
	{ "slack", needs_webhook_url, notify_make_slack, notify_accepts_slack, NOTIFY_QUOTE_ALL },
	{ "teams", needs_webhook_url, notify_make_teams, notify_accepts_teams, NOTIFY_QUOTE_ALL },
	{ "googlechat", needs_webhook_url, notify_make_googlechat, notify_accepts_2xx, NOTIFY_QUOTE_ALL },
	{ "telegram", needs_telegram, notify_make_telegram, notify_accepts_telegram, NOTIFY_QUOTE_ALL },
	{ "matrix", needs_matrix, notify_make_matrix, notify_accepts_2xx, NOTIFY_QUOTE_FAULT },
	{ "webhook", needs_url, make_webhook, notify_accepts_2xx, NOTIFY_QUOTE_NONE },
};

const struct notify_provider *notify_provider_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(providers); i++)
		if (!strcmp(providers[i].name, name))
			return &providers[i];
	return NULL;
}

const char *notify_config_get(char *const *config, const char *key)
{
	size_t n = strlen(key);
	for (; config && *config; config++)
		if (!strncmp(*config, key, n) && (*config)[n] == '=')
			return *config + n + 1;
	return NULL;
}

int notify_config_check(const struct notify_provider *provider, char *const *config, struct err *err)
{
	for (const char *const *key = provider->required; *key; key++) {
		const char *value = notify_config_get(config, *key);
		if (!value || !*value)
			return err_set(err, ERR_INVALID, "a channel of %s needs '%s' in its configuration", provider->name, *key);
	}
	return 0;
}

/* ---- requests ---- */

void notify_add_header(struct notify_request *rq, const char *name, const char *value)
{
	for (size_t i = 0; i < ARRAY_LEN(rq->headers); i++)
		if (!rq->headers[i]) {
			rq->headers[i] = mem_printf("%s: %s", name, value);
			return;
		}
}

struct notify_request *notify_add_request(struct notify_making *m, const char *method, const char *url, ...)
{
	struct notify_requests *out = m->out;
	auto_buf text = BUF_INIT;
	va_list ap;
	va_start(ap, url);
	buf_vfmt(&text, url, ap);
	va_end(ap);
	out->items = mem_grow(out->items, out->count + 1, sizeof(*out->items));
	struct notify_request *rq = &out->items[out->count++];
	*rq = (struct notify_request){ .method = method, .url = buf_take(&text, NULL), .body = BUF_INIT };
	notify_add_header(rq, "Content-Type", "application/json");
	return rq;
}

const char *notify_origin(const char *given, const char *real)
{
	return given ? given : real;
}

size_t notify_head(const char *s, size_t max)
{
	size_t n = strlen(s), at = 0;
	for (size_t used = 0; at < n;) {
		size_t len = utf8_len(s + at, n - at);
		used += len == 4 ? 2 : 1;
		if (used > max)
			break;
		at += len ? len : 1;
	}
	return at;
}

void notify_requests_release(struct notify_requests *r)
{
	for (size_t i = 0; i < r->count; i++) {
		free(r->items[i].url);
		for (size_t k = 0; k < ARRAY_LEN(r->items[i].headers); k++)
			free(r->items[i].headers[k]);
		buf_free(&r->items[i].body);
	}
	free(r->items);
	*r = (struct notify_requests){ 0 };
}

/* The receiver can tell by it that the bytes are ours and, by the time in it, that they are fresh. */
static int sign(struct notify_request *rq, const char *secret, const char *when, struct err *err)
{
	uint8_t mac[CRYPTO_MAC];
	auto_buf text = BUF_INIT, value = BUF_INIT;
	buf_fmt(&text, "%s.", when);
	buf_add(&text, rq->body.p, rq->body.len);
	if (buf_failed(&text))
		return err_set(err, ERR_LIMIT, "no memory to sign the event");
	crypto_hmac(secret, strlen(secret), text.p, text.len, mac);
	buf_str(&value, "sha256=");
	buf_hex(&value, mac, sizeof(mac));
	notify_add_header(rq, "X-WRENN-SIGNATURE", value.p);
	return 0;
}

static int make_webhook(struct notify_making *m)
{
	const char *url = notify_config_get(m->config, "url"), *secret = notify_config_get(m->config, "secret");
	char when[NOTIFY_TIME_LEN];
	struct url parts;
	if (url_split(url, "url", &parts, m->err))
		return -1;
	struct notify_request *rq = notify_add_request(m, "POST", "%s", url);
	notify_add_header(rq, "X-Wrenn-Timestamp", notify_time(m->attempt->wall_ms, when));
	notify_add_header(rq, "X-Wrenn-Delivery", m->attempt->id);
	if (notify_event_json(m->event, &rq->body, m->err))
		return -1;
	return secret && *secret ? sign(rq, secret, when, m->err) : 0;
}

static int check_memory(const struct notify_requests *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (!r->items[i].url || buf_failed(&r->items[i].body))
			return -1;
	return 0;
}

int notify_requests_make(const struct notify_provider *provider, char *const *config, const struct notify_event *event,
	const struct notify_attempt *attempt, struct notify_requests *out, struct err *err)
{
	auto_buf text = BUF_INIT;
	*out = (struct notify_requests){ 0 };
	if (notify_config_check(provider, config, err))
		return -1;
	notify_event_text(event, &text);
	struct notify_making m = { .config = config, .event = event, .text = text.p, .attempt = attempt, .out = out, .err = err };
	int rc = provider->make(&m);
	if (!rc && (buf_failed(&text) || check_memory(out)))
		rc = err_set(err, ERR_LIMIT, "no memory for a message to %s", provider->name);
	if (rc)
		notify_requests_release(out);
	return rc;
}

/* ---- answers ---- */

bool notify_accepts_2xx(const struct notify_answer *a)
{
	return a->status >= 200 && a->status < 300;
}

/* The member by which a service says what is wrong; NULL when there is none. */
static const char *fault_in(const js *doc)
{
	static const char *const members[] = { "message", "description", "error" };
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const js *v = js_get(doc, members[i]);
		const char *text = js_str(js_type(v) == JS_OBJECT ? js_get(v, "message") : v, NULL);
		if (text && *text)
			return text;
	}
	return NULL;
}

/* One line of printable characters. */
static void add_quote(struct buf *out, const char *s, size_t n)
{
	buf_str(out, ": ");
	for (size_t i = 0, len; i < n && out->len < QUOTE_MAX; i += len ? len : 1) {
		len = utf8_len(s + i, n - i);
		if (len == 0 || (len == 1 && ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)))
			buf_ch(out, ' ');
		else
			buf_add(out, s + i, len);
	}
	while (out->len && out->p[out->len - 1] == ' ')
		out->p[--out->len] = '\0';
}

static void quote(enum notify_quote how, const struct notify_answer *a, struct buf *out)
{
	const struct js_limits limits = { .bytes = (size_t)64 << 10, .depth = 16, .members = 1000 };
	if (how == NOTIFY_QUOTE_NONE || a->n == 0)
		return;
	auto_js *doc = js_parse(a->body, a->n, limits, NULL);
	const char *fault = fault_in(doc);
	if (fault)
		add_quote(out, fault, strlen(fault));
	else if (how == NOTIFY_QUOTE_ALL)
		add_quote(out, a->body, a->n);
}

int notify_judge(const struct notify_provider *provider, int status, const char *body, size_t n, struct err *err)
{
	struct notify_answer answer = { .status = status, .body = body, .n = n };
	if (provider->accepts(&answer))
		return 0;
	auto_buf said = BUF_INIT;
	quote(provider->quote, &answer, &said);
	return err_set(err, ERR_PROTOCOL, "%s answered with status %d%s", provider->name, status, said.p);
}
