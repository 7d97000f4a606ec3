/* link: daemon/notify/[a-z]*.c shared/net/address.c shared/net/crypto.c shared/net/libcurl.c | -luv -lcrypto */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/notify/provider.h"
#include "daemon/notify/url.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read is written as the same bytes again, however often. */
static void event(const char *text, size_t n)
{
	struct err err = ERR_INIT;
	auto_buf once = BUF_INIT, twice = BUF_INIT, words = BUF_INIT;
	auto_free struct notify_event *e = notify_event_parse(text, n, &err);
	if (!e) {
		if (err.code != ERR_INVALID || !err.msg[0])
			abort();
		return;
	}
	notify_event_text(e, &words);
	if (words.len > NOTIFY_TEXT_MAX || strspn(words.p, "\n") == words.len)
		abort();
	if (notify_event_json(e, &once, NULL))
		return; /* escapes made it longer than is allowed */
	auto_free struct notify_event *again = notify_event_parse(once.p, once.len, NULL);
	if (!again || notify_event_json(again, &twice, NULL) || strcmp(once.p, twice.p) != 0)
		abort();
}

/* Nothing that was configured ends a header or gets out of the place that it has in the URL. */
static void request(const struct notify_provider *p, const struct notify_request *rq)
{
	static const struct {
		const char *name, *begins;
	} fixed[] = { { "discord", "https://discord.com/api/webhooks/" }, { "slack", "https://hooks.slack.com/services/" },
		{ "teams", "https://outlook.office.com/webhook/" }, { "googlechat", "https://chat.googleapis.com" },
		{ "telegram", "https://api.telegram.org/bot" } };
	struct url url;
	if (url_split(rq->url, "url", &url, NULL) && strcmp(p->name, "matrix") != 0) /* a room's id makes it longer */
		abort();
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		if (!strcmp(p->name, fixed[i].name) && (!str_starts(rq->url, fixed[i].begins) || url.user.n))
			abort();
	if (!strcmp(p->name, "googlechat") && !url_host_is(&url, "chat.googleapis.com"))
		abort();
	for (size_t i = 0; i < ARRAY_LEN(rq->headers) && rq->headers[i]; i++)
		if (strpbrk(rq->headers[i], "\r\n"))
			abort();
	auto_js *doc = js_parse(rq->body.p, rq->body.len, JS_LIMITS_DEFAULT, NULL);
	if (!doc)
		abort();
}

/* A line each: K=V. */
static void config(const struct notify_provider *p, char *text)
{
	static const struct notify_origins real;
	static const struct notify_event created = {
		.type = "capsule.created", .team_id = "t", .actor_type = "system", .resource_id = "cl-1", .resource_type = "sandbox"
	};
	const struct notify_attempt attempt = { .origins = &real, .id = "6f1d3a52-0b5e-4c1f-9a37-2d1f0c8e4b11" };
	char *items[8] = { NULL };
	struct notify_requests r;
	struct err err = ERR_INIT;
	for (size_t i = 0; i + 1 < ARRAY_LEN(items) && text; i++)
		items[i] = strsep(&text, "\n");
	if (notify_requests_make(p, items, &created, &attempt, &r, &err)) {
		if (err.code != ERR_INVALID || !err.msg[0] || r.count)
			abort();
		return;
	}
	if (r.count == 0)
		abort();
	for (size_t i = 0; i < r.count; i++)
		request(p, &r.items[i]);
	notify_requests_release(&r);
}

/* No control characters come into what a person reads. */
static void answer(const struct notify_provider *p, int status, const char *body, size_t n)
{
	struct err err = ERR_INIT;
	int rc = notify_judge(p, status, body, n, &err);
	if ((rc == 0) != (err.code == ERR_OK) || (rc == 0 && (status < 200 || status > 299)))
		abort();
	for (const char *c = err.msg; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	const struct notify_provider *p = notify_provider_find(notify_provider_names[data[1] % 7]);
	auto_free char *text = mem_strndup((const char *)data + 2, size - 2);
	switch (data[0] % 3) {
	case 0:
		event((const char *)data + 2, size - 2);
		break;
	case 1:
		config(p, text);
		break;
	default:
		answer(p, data[0] / 3 * 10, (const char *)data + 2, size - 2);
	}
	return 0;
}
