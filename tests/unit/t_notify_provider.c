/* link: daemon/notify/[a-z]*.c shared/net/address.c shared/net/crypto.c shared/net/libcurl.c | -luv -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "daemon/notify/provider.h"
#include "daemon/notify/url.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define ID "6f1d3a52-0b5e-4c1f-9a37-2d1f0c8e4b11"
#define WHEN 1795322220123 /* 2026-11-22T04:37:00.123Z */
#define CONFIG(...) ((char *const *)(uintptr_t)(const char *const[]){ __VA_ARGS__, NULL })
#define SLACK "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx"
#define UUID "11111111-2222-4333-8444-555555555555"
#define TEAMS "/webhookb2/" UUID "@" UUID "/IncomingWebhook/0123456789abcdef0123456789abcdef/" UUID

static const struct notify_event created = { .type = "capsule.created",
	.team_id = "team-1",
	.actor_type = "user",
	.actor_id = "u-1",
	.actor_name = "Ann & <!Bob>",
	.resource_id = "cl-1",
	.resource_type = "sandbox",
	.wall_ms = WHEN };
static const struct notify_origins real;
static const struct notify_attempt attempt = { .origins = &real, .wall_ms = WHEN + 60000, .id = ID };

static struct notify_requests make(const char *provider, char *const *config, const struct notify_event *event)
{
	struct notify_requests r;
	struct err err = ERR_INIT;
	if (notify_requests_make(notify_provider_find(provider), config, event, &attempt, &r, &err))
		fail_msg("%s: %s", provider, err.msg);
	return r;
}

static const char *header(const struct notify_request *rq, const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < ARRAY_LEN(rq->headers) && rq->headers[i]; i++)
		if (!strncmp(rq->headers[i], name, n) && !strncmp(rq->headers[i] + n, ": ", 2))
			return rq->headers[i] + n + 2;
	return NULL;
}

/* The one request that a provider makes of an event. */
static void requests(void **state)
{
	(void)state;
#define LINES(before, after)                                                                                                       \
	before "Capsule cl-1 created" after "," before "Event: capsule.created" after "," before "Resource: sandbox cl-1" after    \
	       "," before "Actor: Ann & <!Bob> (u-1)" after "," before "Team: team-1" after "," before                             \
	       "Time: 2026-11-22T04:37:00Z" after
#define TEXT                                                                                                                       \
	"Capsule cl-1 created\\n\\nEvent: capsule.created\\nResource: sandbox cl-1\\nActor: Ann & <!Bob> (u-1)\\nTeam: "           \
	"team-1\\nTime: 2026-11-22T04:37:00Z"
	static const struct {
		const char *provider, *config[3], *method, *url, *body;
	} rows[] = {
		{ "discord", { "webhook_url=https://canary.discord.com/api/webhooks/123/a-B_c" }, "POST",
			"https://discord.com/api/webhooks/123/a-B_c",
			"{\"embeds\":[{\"description\":\"" TEXT "\",\"color\":5298687}]}" },
		{ "slack", { "webhook_url=" SLACK }, "POST", SLACK,
			"{\"text\":\"\",\"attachments\":[{\"text\":\"Capsule cl-1 created\"},{\"text\":\"Event: capsule.created\"},"
			"{\"text\":\"Resource: sandbox cl-1\"},{\"text\":\"Actor: Ann &amp; &lt;!Bob&gt; (u-1)\"},"
			"{\"text\":\"Team: team-1\"},{\"text\":\"Time: 2026-11-22T04:37:00Z\"}]}" },
		{ "teams", { "webhook_url=https://acme.webhook.office.com" TEAMS "/V2more" }, "POST",
			"https://outlook.office.com/webhook/" UUID "@" UUID
			"/IncomingWebhook/0123456789abcdef0123456789abcdef/" UUID,
			"{\"@type\":\"MessageCard\",\"@context\":\"http://schema.org/extensions\",\"markdown\":true,"
			"\"summary\":\"Capsule cl-1 created\\n\",\"sections\":[" LINES(
				"{\"text\":\"", "\",\"startGroup\":false}") "]}" },
		{ "googlechat", { "webhook_url=https://chat.googleapis.com/v1/spaces/A/messages?threadKey=x&key=K%3D&token=T" },
			"POST", "https://chat.googleapis.com/v1/spaces/A/messages?key=K%3D&token=T", "{\"text\":\"" TEXT "\"}" },
		{ "telegram", { "bot_token=42:AA-b_c", "chat_id=-1001234" }, "POST",
			"https://api.telegram.org/bot42:AA-b_c/sendMessage",
			"{\"text\":\"" TEXT "\",\"chat_id\":\"-1001234\",\"disable_web_page_preview\":false,"
			"\"disable_notification\":false,\"reply_to_message_id\":0}" },
		{ "telegram", { "bot_token=42:AA", "chat_id=@room_1:7" }, "POST", "https://api.telegram.org/bot42:AA/sendMessage",
			"{\"text\":\"" TEXT "\",\"chat_id\":\"@room_1\",\"message_thread_id\":7,\"disable_web_page_preview\":false,"
			"\"disable_notification\":false,\"reply_to_message_id\":0}" },
		{ "webhook", { "url=http://example.com:8080/hook?a=b#c", "more=kept" }, "POST",
			"http://example.com:8080/hook?a=b#c",
			"{\"event\":\"capsule.created\",\"timestamp\":\"2026-11-22T04:37:00Z\",\"team_id\":\"team-1\","
			"\"actor\":{\"type\":\"user\",\"id\":\"u-1\",\"name\":\"Ann & <!Bob>\"},"
			"\"resource\":{\"id\":\"cl-1\",\"type\":\"sandbox\"}}" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *const *config = CONFIG(rows[i].config[0], rows[i].config[1]);
		struct notify_requests r = make(rows[i].provider, config, &created);
		assert_int_equal(r.count, 1);
		assert_string_equal(r.items[0].method, rows[i].method);
		assert_string_equal(r.items[0].url, rows[i].url);
		assert_string_equal(r.items[0].body.p, rows[i].body);
		assert_string_equal(header(&r.items[0], "Content-Type"), "application/json");
		notify_requests_release(&r);
	}
}

static void webhook_signature(void **state)
{
	(void)state;
	struct notify_requests r = make("webhook", CONFIG("url=https://example.com/", "secret=s3cret"), &created);
	assert_string_equal(header(&r.items[0], "X-Wrenn-Timestamp"), "2026-11-22T04:38:00Z");
	assert_string_equal(header(&r.items[0], "X-Wrenn-Delivery"), ID);
	/* printf '%s' "2026-11-22T04:38:00Z.$BODY" | openssl dgst -sha256 -hmac s3cret */
	assert_string_equal(header(&r.items[0], "X-WRENN-SIGNATURE"),
		"sha256=878cddbf69f9bd8e1f78565fdea0b429d30d454584886c6013f798826475cdc3");
	notify_requests_release(&r);
	r = make("webhook", CONFIG("url=https://example.com/"), &created);
	assert_null(header(&r.items[0], "X-WRENN-SIGNATURE"));
	notify_requests_release(&r);
}

/* To the configured room, under an id that stays the same for a second attempt and differs for another event. */
static void matrix(void **state)
{
	(void)state;
	static const char before[] =
		"http://matrix.org:8008/base/_matrix/client/r0/rooms/%21a%2Fb%3Amatrix.org/send/m.room.message/";
	char *const *config =
		CONFIG("homeserver_url=http://matrix.org:8008/base/", "access_token=syt_x", "room_id=!a/b:matrix.org");
	struct notify_requests r = make("matrix", config, &created);
	struct notify_attempt later = { .origins = &real, .wall_ms = WHEN + 90000, .id = "other" };
	struct notify_requests again, other;
	struct notify_event e = created;
	e.resource_id = "cl-2";
	assert_int_equal(notify_requests_make(notify_provider_find("matrix"), config, &created, &later, &again, NULL), 0);
	assert_int_equal(notify_requests_make(notify_provider_find("matrix"), config, &e, &later, &other, NULL), 0);
	assert_int_equal(r.count, 1);
	assert_string_equal(r.items[0].method, "PUT");
	assert_int_equal(strncmp(r.items[0].url, before, strlen(before)), 0);
	assert_int_equal(strlen(r.items[0].url), strlen(before) + 32);
	assert_string_equal(header(&r.items[0], "Authorization"), "Bearer syt_x");
	assert_string_equal(r.items[0].url, again.items[0].url);
	assert_string_not_equal(r.items[0].url, other.items[0].url);
	assert_int_equal(strncmp(r.items[0].body.p, "{\"msgtype\":\"m.text\",\"body\":\"Capsule cl-1 created\\n", 50), 0);
	notify_requests_release(&r);
	notify_requests_release(&again);
	notify_requests_release(&other);
}

/* What Discord shows is put together again from the embeds. */
static void discord_splits(void **state)
{
	(void)state;
	auto_free char *name = mem_array(14001, 1);
	auto_buf text = BUF_INIT, shown = BUF_INIT;
	struct notify_event e = created;
	for (size_t i = 0; i < 14000; i += 4)
		memcpy(name + i, "\xf0\x9f\x98\x80", 4); /* 3500 of them, 7000 for UTF-16 */
	e.actor_name = name;
	notify_event_text(&e, &text);
	struct notify_requests r = make("discord", CONFIG("webhook_url=https://discord.com/api/webhooks/1/x"), &e);
	assert_int_equal(r.count, 2);
	for (size_t i = 0; i < r.count; i++) {
		auto_js *doc = js_parse(r.items[i].body.p, r.items[i].body.len, JS_LIMITS_DEFAULT, NULL);
		assert_non_null(doc);
		assert_true(js_count(js_get(doc, "embeds")) <= 3);
		js_each (embed, js_get(doc, "embeds")) {
			const char *part = js_str(js_get(embed, "description"), "");
			assert_true(strlen(part) > 0 && strlen(part) <= 4000);
			buf_str(&shown, part);
		}
	}
	/* line ends at the seams are left out */
	size_t lost = 0;
	for (size_t i = 0, k = 0; i < text.len; i++)
		if (shown.p[k] == text.p[i])
			k++;
		else if (text.p[i] == '\n')
			lost++;
		else
			fail_msg("differs at %zu", i);
	assert_int_equal(shown.len + lost, text.len);
	notify_requests_release(&r);
	r = make("telegram", CONFIG("bot_token=1:a", "chat_id=1"), &e);
	auto_js *doc = js_parse(r.items[0].body.p, r.items[0].body.len, JS_LIMITS_DEFAULT, NULL);
	size_t used = strlen(js_str(js_get(doc, "text"), ""));
	assert_true(used > 4096 && used <= 2 * 4096);
	notify_requests_release(&r);
}

static void other_origins(void **state)
{
	(void)state;
	static const struct notify_origins origins = { "http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3",
		"http://127.0.0.1:4", "http://127.0.0.1:5" };
	static const struct {
		const char *provider, *config, *more, *begins;
	} rows[] = {
		{ "discord", "webhook_url=https://discord.com/api/webhooks/1/x", NULL, "http://127.0.0.1:1/api/webhooks/1/x" },
		{ "slack", "webhook_url=" SLACK, NULL, "http://127.0.0.1:2/services/T0" },
		{ "teams", "webhook_url=https://a.webhook.office.com" TEAMS, NULL, "http://127.0.0.1:3/webhook/" UUID },
		{ "googlechat", "webhook_url=https://chat.googleapis.com/v1/x?key=k&token=t", NULL,
			"http://127.0.0.1:4/v1/x?key=k&token=t" },
		{ "telegram", "bot_token=1:x", "chat_id=1", "http://127.0.0.1:5/bot1:x/sendMessage" },
	};
	struct notify_attempt moved = attempt;
	moved.origins = &origins;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *const *config = CONFIG(rows[i].config, rows[i].more);
		struct notify_requests r;
		assert_int_equal(
			notify_requests_make(notify_provider_find(rows[i].provider), config, &created, &moved, &r, NULL), 0);
		assert_int_equal(strncmp(r.items[0].url, rows[i].begins, strlen(rows[i].begins)), 0);
		notify_requests_release(&r);
	}
}

/* Each error names the field, and no value, which may be a secret. */
static void bad_configs(void **state)
{
	(void)state;
	static const struct {
		const char *provider, *field, *config[3];
	} rows[] = {
		{ "discord", "webhook_url", { NULL } },
		{ "discord", "webhook_url", { "webhook_url=" } },
		{ "discord", "webhook_url", { "webhook_urls=https://discord.com/api/webhooks/1/SECRET" } },
		{ "discord", "webhook_url", { "webhook_url=ftp://discord.com/api/webhooks/1/SECRET" } },
		{ "discord", "webhook_url", { "webhook_url=https://discord.com/api/webhooks/1" } },
		{ "discord", "webhook_url", { "webhook_url=https://discord.com/api/webhooks/1/SECRET/slack" } },
		{ "discord", "webhook_url", { "webhook_url=https://discord.com/api/webhooks//SECRET" } },
		{ "discord", "webhook_url", { "webhook_url=https://discord.com/api/webhooks/1/SECRET%2f.." } },
		{ "slack", "webhook_url", { "webhook_url=https://hooks.slack.com/services/T0/B0/SECRET" } },
		{ "slack", "webhook_url",
			{ "webhook_url=https://hooks.slack.com/services/t00000000/B00000000/abcdefghijklmnopqrstuvwx" } },
		{ "slack", "webhook_url", { "webhook_url=" SLACK "/SECRET" } },
		{ "slack", "webhook_url",
			{ "webhook_url=https://hooks.slack.com/Services/T00000000/B00000000/abcdefghijklmnopqrstuvwx" } },
		{ "teams", "webhook_url", { "webhook_url=https://outlook.office.com/webhook/SECRET" } },
		{ "teams", "webhook_url",
			{ "webhook_url=https://a.office.com/webhook/" UUID "@" UUID "/IncomingWebhook/SECRET/" UUID } },
		{ "teams", "webhook_url",
			{ "webhook_url=https://a.office.com/webhook/" UUID
			  "@11111111-2222-1333-8444-555555555555/IncomingWebhook/0123456789abcdef0123456789abcdef/" UUID } },
		{ "teams", "webhook_url",
			{ "webhook_url=https://a.office.com/webhook/" UUID "@" UUID
			  "/IncomingWebhook/0123456789abcdef0123456789abcdef" } },
		{ "googlechat", "webhook_url", { "webhook_url=https://example.com/v1/x?key=SECRET&token=t" } },
		{ "googlechat", "webhook_url", { "webhook_url=https://chat.googleapis.com.evil.com/v1/x?key=SECRET&token=t" } },
		{ "googlechat", "webhook_url", { "webhook_url=https://chat.googleapis.com@evil.com/v1/x?key=SECRET&token=t" } },
		{ "googlechat", "webhook_url", { "webhook_url=https://chat.googleapis.com/v1/x?key=SECRET&token=" } },
		{ "googlechat", "webhook_url", { "webhook_url=https://chat.googleapis.com/v1/x?akey=SECRET&token=1" } },
		{ "telegram", "chat_id", { "bot_token=1:SECRET" } },
		{ "telegram", "bot_token", { "bot_token=SECRET", "chat_id=1" } },
		{ "telegram", "bot_token", { "bot_token=1:SECRET/../x", "chat_id=1" } },
		{ "telegram", "bot_token", { "bot_token=:SECRET", "chat_id=1" } },
		{ "telegram", "chat_id", { "bot_token=1:SECRET", "chat_id=room" } },
		{ "telegram", "chat_id", { "bot_token=1:SECRET", "chat_id=-" } },
		{ "telegram", "chat_id", { "bot_token=1:SECRET", "chat_id=:1" } },
		{ "telegram", "chat_id", { "bot_token=1:SECRET", "chat_id=1:" } },
		{ "telegram", "chat_id", { "bot_token=1:SECRET", "chat_id=1:x" } },
		{ "matrix", "room_id", { "homeserver_url=https://m.org", "access_token=SECRET" } },
		{ "matrix", "room_id", { "homeserver_url=https://m.org", "access_token=SECRET", "room_id=#a:m.org" } },
		{ "matrix", "homeserver_url", { "homeserver_url=m.org", "access_token=SECRET", "room_id=!a:m.org" } },
		{ "matrix", "homeserver_url", { "homeserver_url=https://u:SECRET@m.org", "access_token=x", "room_id=!a:m.org" } },
		{ "matrix", "homeserver_url", { "homeserver_url=https://m.org/?SECRET", "access_token=x", "room_id=!a:m.org" } },
		{ "matrix", "access_token", { "homeserver_url=https://m.org", "access_token=SECRET\r\nX: y", "room_id=!a:m.org" } },
		{ "webhook", "url", { "secret=SECRET" } },
		{ "webhook", "url", { "url=file:///etc/SECRET" } },
		{ "webhook", "url", { "url=https://" } },
		{ "webhook", "url", { "url=https:///SECRET" } },
		{ "webhook", "url", { "url=https://a b/SECRET" } },
		{ "webhook", "url", { "url=https://a/SECRET\r\n" } },
		{ "webhook", "url", { "url=https://a:0/SECRET" } },
		{ "webhook", "url", { "url=https://a:65536/SECRET" } },
		{ "webhook", "url", { "url=https://a:/SECRET" } },
		{ "webhook", "url", { "url=https://[::1/SECRET" } },
		{ "webhook", "url", { "url=https://[::1]x/SECRET" } },
		{ "webhook", "url", { "url=https://a%2eb/SECRET" } },
		{ "webhook", "url", { "url=https://a\\@b/SECRET" } },
		{ "webhook", "url", { "url=https://\xc3\xa4.de/SECRET" } },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *const *config = CONFIG(rows[i].config[0], rows[i].config[1], rows[i].config[2]);
		struct notify_requests r;
		struct err err = ERR_INIT;
		if (!notify_requests_make(notify_provider_find(rows[i].provider), config, &created, &attempt, &r, &err))
			fail_msg("row %zu was taken: %s", i, r.items[0].url);
		assert_int_equal(err.code, ERR_INVALID);
		assert_int_equal(r.count, 0);
		if (!strstr(err.msg, rows[i].field) || strstr(err.msg, "SECRET"))
			fail_msg("row %zu: %s", i, err.msg);
	}
}

static void required(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	for (size_t i = 0; notify_provider_names[i]; i++) {
		const struct notify_provider *p = notify_provider_find(notify_provider_names[i]);
		assert_non_null(p);
		assert_string_equal(p->name, notify_provider_names[i]);
		assert_int_equal(notify_config_check(p, NULL, &err), -1);
		assert_non_null(strstr(err.msg, p->required[0]));
	}
	assert_null(notify_provider_find("pager"));
	/* the shape of a value is not looked at */
	assert_int_equal(notify_config_check(notify_provider_find("slack"), CONFIG("webhook_url=x"), &err), 0);
	assert_string_equal(notify_config_get(CONFIG("ab=1", "a=2=3", "a=4"), "a"), "2=3");
}

static void judgements(void **state)
{
	(void)state;
	static const struct {
		const char *provider;
		int status;
		const char *body, *why; /* NULL: delivered */
	} rows[] = {
		{ "discord", 204, "", NULL },
		{ "discord", 200, "{}", "discord answered with status 200: {}" },
		{ "discord", 404, "{\"message\":\"Unknown Webhook\",\"code\":10015}",
			"discord answered with status 404: Unknown Webhook" },
		{ "slack", 200, "ok", NULL },
		{ "slack", 200, "ok\n", NULL },
		{ "slack", 200, "", NULL },
		{ "slack", 201, "ok", "slack answered with status 201: ok" },
		{ "slack", 200, "okay", "slack answered with status 200: okay" },
		{ "slack", 403, "invalid_token\r\n", "slack answered with status 403: invalid_token" },
		{ "teams", 200, "1", NULL },
		{ "teams", 202, "", "teams answered with status 202" },
		{ "googlechat", 200, "{}", NULL },
		{ "googlechat", 400, "{\"error\":{\"code\":400,\"message\":\"bad\"}}", "googlechat answered with status 400: bad" },
		{ "telegram", 200, "{\"ok\":true,\"result\":{}}", NULL },
		{ "telegram", 200, "{\"ok\":false,\"description\":\"chat not found\"}",
			"telegram answered with status 200: chat not found" },
		{ "telegram", 200, "{\"ok\":tr", "telegram answered with status 200: {\"ok\":tr" },
		{ "telegram", 500, "{\"ok\":true}", "telegram answered with status 500: {\"ok\":true}" },
		{ "matrix", 200, "{\"event_id\":\"$x\"}", NULL },
		{ "matrix", 302, "", "matrix answered with status 302" },
		{ "matrix", 403, "{\"errcode\":\"M_FORBIDDEN\",\"error\":\"not in room\"}",
			"matrix answered with status 403: not in room" },
		{ "matrix", 404, "internal page", "matrix answered with status 404" },
		{ "webhook", 200, "", NULL },
		{ "webhook", 299, "", NULL },
		{ "webhook", 301, "", "webhook answered with status 301" },
		{ "webhook", 500, "{\"message\":\"private\"}", "webhook answered with status 500" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = ERR_INIT;
		int rc = notify_judge(
			notify_provider_find(rows[i].provider), rows[i].status, rows[i].body, strlen(rows[i].body), &err);
		assert_int_equal(rc, rows[i].why ? -1 : 0);
		assert_int_equal(err.code, rows[i].why ? ERR_PROTOCOL : ERR_OK);
		assert_string_equal(err.msg, rows[i].why ? rows[i].why : "");
	}
	auto_free char *longer = mem_array(5000, 1);
	struct err err = ERR_INIT;
	memset(longer, 'a', 4999);
	memcpy(longer, "a\x1b[31m\xff", 7);
	assert_int_equal(notify_judge(notify_provider_find("slack"), 500, longer, 5000, &err), -1);
	assert_true(strlen(err.msg) < 300);
	assert_non_null(strstr(err.msg, ": a [31m a"));
}

static void urls(void **state)
{
	(void)state;
	struct url u;
	struct url_part p[3], v;
	assert_int_equal(url_split("HTTPS://me:pw@[fe80::1]:8443/a/b/?x=1&y=2#f", "url", &u, NULL), 0);
	assert_true(url_part_is(u.origin, "HTTPS://me:pw@[fe80::1]:8443"));
	assert_true(url_part_is(u.user, "me:pw"));
	assert_true(url_part_is(u.host, "[fe80::1]"));
	assert_true(url_part_is(u.path, "/a/b/"));
	assert_true(url_part_is(u.query, "x=1&y=2"));
	assert_int_equal(url_segments(u.path, p, 3), 3);
	assert_true(url_part_is(p[0], "a") && url_part_is(p[1], "b") && url_part_is(p[2], ""));
	assert_true(url_query(u.query, "y", &v) && url_part_is(v, "2"));
	assert_false(url_query(u.query, "z", &v));
	assert_int_equal(url_split("http://a.b", "url", &u, NULL), 0);
	assert_int_equal(u.path.n + u.query.n + u.user.n, 0);
	assert_int_equal(url_segments(u.path, p, 3), 0);
	auto_free char *longer = mem_printf("http://a/%0*d", URL_TEXT_MAX, 0);
	assert_int_equal(url_split(longer, "url", &u, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(requests), cmocka_unit_test(webhook_signature),
		cmocka_unit_test(matrix), cmocka_unit_test(discord_splits), cmocka_unit_test(other_origins),
		cmocka_unit_test(bad_configs), cmocka_unit_test(required), cmocka_unit_test(judgements), cmocka_unit_test(urls) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
