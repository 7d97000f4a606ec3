/* link: daemon/notify/event.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "daemon/notify/event.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"

#define WHEN 1795322220123 /* 2026-11-22T04:37:00.123Z */

static const struct notify_event created = { .type = "capsule.created",
	.team_id = "team-1",
	.actor_type = "api_key",
	.actor_id = "key-1",
	.actor_name = "ci \"main\"",
	.resource_id = "cl-1",
	.resource_type = "sandbox",
	.wall_ms = WHEN };
static const struct notify_event down = { .type = "host.down",
	.team_id = "team-1",
	.actor_type = "system",
	.resource_id = "host-1",
	.resource_type = "host",
	.wall_ms = WHEN };

static void json(void **state)
{
	(void)state;
	auto_buf out = BUF_INIT;
	struct err err = ERR_INIT;
	assert_int_equal(notify_event_json(&created, &out, &err), 0);
	assert_string_equal(out.p,
		"{\"event\":\"capsule.created\",\"timestamp\":\"2026-11-22T04:37:00Z\",\"team_id\":\"team-1\","
		"\"actor\":{\"type\":\"api_key\",\"id\":\"key-1\",\"name\":\"ci \\\"main\\\"\"},"
		"\"resource\":{\"id\":\"cl-1\",\"type\":\"sandbox\"}}");
	buf_clear(&out);
	assert_int_equal(notify_event_json(&down, &out, &err), 0);
	assert_string_equal(out.p,
		"{\"event\":\"host.down\",\"timestamp\":\"2026-11-22T04:37:00Z\",\"team_id\":\"team-1\","
		"\"actor\":{\"type\":\"system\"},\"resource\":{\"id\":\"host-1\",\"type\":\"host\"}}");
}

static void too_large(void **state)
{
	(void)state;
	auto_buf out = BUF_INIT;
	struct err err = ERR_INIT;
	auto_free char *name = mem_array(NOTIFY_EVENT_MAX + 1, 1);
	memset(name, 'n', NOTIFY_EVENT_MAX);
	struct notify_event e = created;
	e.actor_name = name;
	assert_int_equal(notify_event_json(&e, &out, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	buf_clear(&out);
	notify_event_text(&e, &out);
	assert_int_equal(out.len, NOTIFY_TEXT_MAX);
	assert_int_equal(strlen(out.p), NOTIFY_TEXT_MAX);
	/* never in the midst of a character */
	for (size_t i = 0; i + 3 < NOTIFY_EVENT_MAX; i += 3)
		memcpy(name + i, "\xe2\x82\xac", 3);
	buf_clear(&out);
	notify_event_text(&e, &out);
	assert_true(out.len <= NOTIFY_TEXT_MAX && out.len > NOTIFY_TEXT_MAX - 3);
	assert_int_equal(utf8_len(out.p + out.len - 3, 3), 3);
}

static void there_and_back(void **state)
{
	(void)state;
	const struct notify_event *const events[] = { &created, &down };
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		auto_buf out = BUF_INIT, again = BUF_INIT;
		struct err err = ERR_INIT;
		assert_int_equal(notify_event_json(events[i], &out, &err), 0);
		auto_free struct notify_event *e = notify_event_parse(out.p, out.len, &err);
		assert_non_null(e);
		assert_int_equal(e->wall_ms, WHEN / 1000 * 1000);
		assert_string_equal(e->type, events[i]->type);
		assert_string_equal(e->resource_type, events[i]->resource_type);
		assert_true(!e->actor_name == !events[i]->actor_name);
		assert_int_equal(notify_event_json(e, &again, &err), 0);
		assert_string_equal(again.p, out.p);
	}
}

static void bad_json(void **state)
{
	(void)state;
#define REST ",\"team_id\":\"t\",\"actor\":{\"type\":\"user\"},\"resource\":{\"id\":\"r\",\"type\":\"s\"}}"
	static const char *const texts[] = { "", "{", "[]", "null", "{}", "{\"event\":\"e\"" REST,
		"{\"timestamp\":\"2026-11-22T04:37:00Z\"" REST, "{\"event\":1,\"timestamp\":\"2026-11-22T04:37:00Z\"" REST,
		"{\"event\":\"e\",\"timestamp\":\"2026-11-22\"" REST,
		"{\"event\":\"e\",\"timestamp\":\"2026-11-31T04:37:00Z\"" REST,
		"{\"event\":\"e\",\"timestamp\":\"2026-11-22T04:37:00.5Z\"" REST,
		"{\"event\":\"e\",\"timestamp\":\" 2026-11-22T04:37:00Z\"" REST,
		"{\"event\":\"e\",\"timestamp\":\"1969-11-22T04:37:00Z\"" REST,
		"{\"event\":\"e\",\"timestamp\":\"2026-11-22T04:37:00Z\",\"team_id\":\"t\",\"actor\":\"user\",\"resource\":{}}",
		"{\"event\":\"e\",\"timestamp\":\"2026-11-22T04:37:00Z\"" REST "x" };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct err err = ERR_INIT;
		if (notify_event_parse(texts[i], strlen(texts[i]), &err))
			fail_msg("taken: %s", texts[i]);
		assert_int_equal(err.code, ERR_INVALID);
		assert_true(err.msg[0]);
	}
	static const char good[] = "{\"event\":\"e\",\"timestamp\":\"2026-11-22T04:37:00Z\"" REST;
	auto_free struct notify_event *e = notify_event_parse(good, strlen(good), NULL);
	assert_non_null(e);
}

static void text(void **state)
{
	(void)state;
	auto_buf out = BUF_INIT;
	notify_event_text(&created, &out);
	assert_string_equal(out.p,
		"Capsule cl-1 created\n\nEvent: capsule.created\nResource: sandbox cl-1\nActor: api_key ci \"main\" (key-1)\n"
		"Team: team-1\nTime: 2026-11-22T04:37:00Z");
	buf_clear(&out);
	notify_event_text(&down, &out);
	assert_string_equal(out.p,
		"Host host-1 is down\n\nEvent: host.down\nResource: host host-1\nActor: system\nTeam: team-1\n"
		"Time: 2026-11-22T04:37:00Z");
}

static void actors(void **state)
{
	(void)state;
	static const struct {
		const char *type, *id, *name, *line;
	} rows[] = {
		{ "user", "u-1", "Ann", "\nActor: Ann (u-1)\n" },
		{ "user", "u-1", NULL, "\nActor: u-1\n" },
		{ "user", NULL, "Ann", "\nActor: Ann\n" },
		{ "user", NULL, NULL, "\nActor: user\n" },
		{ "api_key", "k-1", NULL, "\nActor: api_key k-1\n" },
		{ "system", NULL, NULL, "\nActor: system\n" },
		{ "user", "u-1", "a\nTeam: other\xc2\x85\xe2\x80\xa8\x7f\xff", "\nActor: a Team: other   \xef\xbf\xbd (u-1)\n" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_buf out = BUF_INIT;
		struct notify_event e = created;
		e.actor_type = rows[i].type;
		e.actor_id = rows[i].id;
		e.actor_name = rows[i].name;
		notify_event_text(&e, &out);
		if (!strstr(out.p, rows[i].line))
			fail_msg("no '%s' in '%s'", rows[i].line, out.p);
	}
}

/* Every type has words of its own; any other is said as it is. */
static void summaries(void **state)
{
	(void)state;
	for (size_t i = 0; notify_event_types[i]; i++) {
		auto_buf out = BUF_INIT;
		struct notify_event e = created;
		e.type = notify_event_types[i];
		notify_event_text(&e, &out);
		assert_true(notify_event_known(e.type));
		assert_int_not_equal(strncmp(out.p, e.type, strlen(e.type)), 0);
	}
	auto_buf out = BUF_INIT;
	struct notify_event e = created;
	e.type = "moon.rose";
	notify_event_text(&e, &out);
	assert_int_equal(strncmp(out.p, "moon.rose cl-1\n\n", 16), 0);
	assert_false(notify_event_known(e.type));
	assert_false(notify_event_known(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(json), cmocka_unit_test(too_large), cmocka_unit_test(there_and_back),
		cmocka_unit_test(bad_json), cmocka_unit_test(text), cmocka_unit_test(actors), cmocka_unit_test(summaries) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
