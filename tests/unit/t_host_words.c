/* link: daemon/hosts/words.c shared/store/hash*.c | */
/* words: what is asked of a host, and what is believed of its answers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/core/sandbox.h"
#include "daemon/hosts/words.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define TREE "b10c000000000000000000000000000000000000000000000000000000000001"

/* Core's, without all of core. */
char *net_text(const struct db_sandbox *row)
{
	return mem_strdup(row->net == NET_FULL ? "full" : "none");
}

/* ---- what is asked ---- */

static char id[] = "abc", name[] = "web", base[] = "base", snapshot[] = SNAPSHOT_IMAGE "keep.1";
static char plain[] = "A=1", twice[] = "B=x=y", bare[] = "C";
static char *env[] = { plain, twice, bare, NULL };
static const struct db_sandbox row = {
	.id = id, .name = name, .image = base, .vcpus = 2, .memory_mb = 512, .net = NET_FULL, .env = env
};
static const struct db_sandbox frozen = { .id = id, .image = snapshot, .vcpus = 2, .memory_mb = 512 };
static const struct db_sandbox resized = { .id = id, .vcpus = 4, .memory_mb = 1024, .disk_mb = 2048 };

static void assert_says(const struct carry_ask *ask, const char *cursor, const char *line, const char *body)
{
	struct words w;
	words_say(ask, cursor, &w);
	auto_free char *said = mem_printf("%s %s", w.method, w.path.p);
	assert_string_equal(said, line);
	assert_string_equal(w.body.p, body);
	assert_true(w.limit_ms > 0);
	assert_int_equal(w.upgrade, ask->verb == CARRY_AGENT);
	words_free(&w);
}

static void test_every_verb_is_asked(void **state)
{
	(void)state;
	const struct {
		struct carry_ask ask;
		const char *line, *body;
	} all[] = {
		{ { .verb = CARRY_CREATE, .id = "abc", .row = &row }, "POST /sbx/v1/sandboxes",
			"{\"id\":\"abc\",\"name\":\"web\",\"image\":\"base\",\"vcpus\":2,\"memoryMb\":512,\"net\":\"full\","
			"\"env\":{\"A\":\"1\",\"B\":\"x=y\",\"C\":\"\"}}" },
		{ { .verb = CARRY_CREATE, .id = "abc", .row = &frozen }, "POST /sbx/v1/sandboxes",
			"{\"id\":\"abc\",\"snapshot\":\"keep.1\",\"net\":\"none\"}" },
		{ { .verb = CARRY_PAUSE, .id = "abc" }, "POST /sbx/v1/sandboxes/abc/pause", "" },
		{ { .verb = CARRY_RESUME, .id = "abc" }, "POST /sbx/v1/sandboxes/abc/resume", "" },
		{ { .verb = CARRY_STOP, .id = "abc", .force = true }, "POST /sbx/v1/sandboxes/abc/stop", "{\"force\":true}" },
		{ { .verb = CARRY_STOP, .id = "abc" }, "POST /sbx/v1/sandboxes/abc/stop", "{\"force\":false}" },
		{ { .verb = CARRY_START, .id = "abc" }, "POST /sbx/v1/sandboxes/abc/start", "" },
		{ { .verb = CARRY_RESIZE, .id = "abc", .row = &resized }, "PATCH /sbx/v1/sandboxes/abc",
			"{\"vcpus\":4,\"memoryMb\":1024,\"diskMb\":2048}" },
		{ { .verb = CARRY_DELETE, .id = "abc" }, "DELETE /sbx/v1/sandboxes/abc", "" },
		{ { .verb = CARRY_SNAPSHOT, .id = "abc", .name = "keep.1", .replace = true },
			"POST /sbx/v1/sandboxes/abc/snapshots", "{\"name\":\"keep.1\",\"replace\":true}" },
		{ { .verb = CARRY_UNSNAPSHOT, .name = "keep.1" }, "DELETE /sbx/v1/snapshots/keep.1", "" },
		{ { .verb = CARRY_LIST }, "GET /sbx/v1/sandboxes?limit=100", "" },
		{ { .verb = CARRY_POINTS, .id = "abc", .range = "2h" }, "GET /sbx/v1/sandboxes/abc/metrics?range=2h", "" },
		{ { .verb = CARRY_AGENT, .id = "abc" }, "GET /sbx/v1/sandboxes/abc/agent", "" },
		{ { .verb = CARRY_USES }, "GET /sbx/v1/stats", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		assert_says(&all[i].ask, NULL, all[i].line, all[i].body);
	const struct carry_ask list = { .verb = CARRY_LIST };
	assert_says(&list, "c1_-", "GET /sbx/v1/sandboxes?limit=100&cursor=c1_-", "");
}

/* ---- what is answered ---- */

struct hearing {
	struct carry_ask ask;
	struct heard heard;
	struct err err;
};

static int hear(struct hearing *h, int status, const char *body)
{
	err_clear(&h->err);
	int rc = words_hear(&h->ask, status, body, strlen(body), &h->heard, &h->err);
	assert_int_equal(rc, h->err.code ? -1 : 0);
	return rc;
}

static void assert_odd(const struct carry_ask *ask, int status, const char *body)
{
	struct hearing h = { .ask = *ask };
	if (hear(&h, status, body) == 0)
		print_error("taken: %d %s\n", status, body);
	assert_int_equal(h.err.code, ERR_PROTOCOL);
	assert_string_equal(h.err.msg, "the host's answer is not as it must be");
	heard_free(&h.heard);
}

#define BOX "\"id\":\"abc\",\"state\":\"running\",\"vcpus\":2,\"memoryMb\":512"

static const enum carry_verb boxed[] = { CARRY_CREATE, CARRY_PAUSE, CARRY_RESUME, CARRY_STOP, CARRY_START, CARRY_RESIZE };

static void test_a_sandbox(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(boxed); i++) {
		struct hearing h = { .ask = { .verb = boxed[i], .id = "abc" } };
		hear(&h, 201,
			"{" BOX ",\"reason\":null,\"acceleration\":\"kvm\",\"imageDigest\":\"d1\",\"mac\":\"02:00\",\"new\":[1]}");
		assert_int_equal(h.err.code, ERR_OK);
		assert_int_equal(h.heard.box_count, 1);
		const struct carry_box *b = h.heard.boxes;
		assert_string_equal(b->id, "abc");
		assert_string_equal(b->state, "running");
		assert_null(b->reason);
		assert_string_equal(b->accel, "kvm");
		assert_string_equal(b->digest, "d1");
		assert_string_equal(b->mac, "02:00");
		assert_true(b->vcpus == 2 && b->memory_mb == 512 && b->run_vcpus == 2 && b->run_memory_mb == 512);
		heard_free(&h.heard);
	}
}

static void test_a_sandbox_that_runs_with_another_shape(void **state)
{
	struct hearing h = { .ask = { .verb = CARRY_RESIZE, .id = "abc" } };
	(void)state;
	hear(&h, 200, "{" BOX ",\"runsWith\":{\"vcpus\":1,\"memoryMb\":256}}");
	assert_true(h.heard.boxes[0].vcpus == 2 && h.heard.boxes[0].run_vcpus == 1 && h.heard.boxes[0].run_memory_mb == 256);
	heard_free(&h.heard);
}

static void test_a_sandbox_that_cannot_be(void **state)
{
	static const char *const bodies[] = {
		"",
		"[]",
		"null",
		"\"abc\"",
		"{}",
		"{" BOX,
		"{" BOX "} ?",
		"{\"id\":\"other\",\"state\":\"running\",\"vcpus\":2,\"memoryMb\":512}",
		"{\"id\":7,\"state\":\"running\",\"vcpus\":2,\"memoryMb\":512}",
		"{\"state\":\"running\",\"vcpus\":2,\"memoryMb\":512}",
		"{\"id\":\"abc\",\"vcpus\":2,\"memoryMb\":512}",
		"{\"id\":\"abc\",\"state\":null,\"vcpus\":2,\"memoryMb\":512}",
		"{\"id\":\"abc\",\"state\":\"running\",\"memoryMb\":512}",
		"{\"id\":\"abc\",\"state\":\"running\",\"vcpus\":\"2\",\"memoryMb\":512}",
		"{\"id\":\"abc\",\"state\":\"running\",\"vcpus\":0,\"memoryMb\":512}",
		"{\"id\":\"abc\",\"state\":\"running\",\"vcpus\":-2,\"memoryMb\":512}",
		"{\"id\":\"abc\",\"state\":\"running\",\"vcpus\":2.5,\"memoryMb\":512}",
		"{\"id\":\"abc\",\"state\":\"running\",\"vcpus\":2,\"memoryMb\":9007199254740991}",
		"{\"id\":\"abc\",\"state\":\"running\",\"vcpus\":9007199254740991,\"memoryMb\":512}",
		"{" BOX ",\"id\":\"abc\"}",
		"{" BOX ",\"runsWith\":{\"vcpus\":-1,\"memoryMb\":256}}",
		"{" BOX ",\"runsWith\":{\"vcpus\":1,\"memoryMb\":9007199254740991}}",
		"{" BOX ",\"runsWith\":{}}",
		"{" BOX ",\"reason\":\"two\\nlines\"}",
		"{" BOX ",\"reason\":\"\\u001b[2J\"}",
		"{" BOX ",\"reason\":\"\\u009b2J\"}",
		"{" BOX ",\"reason\":\"a\\u0000b\"}",
		"{" BOX ",\"mac\":\"\\u007f\"}",
		"{" BOX ",\"acceleration\":\"\\r\"}",
		"{" BOX ",\"imageDigest\":\"\\t\"}",
	};
	(void)state;
	for (size_t v = 0; v < ARRAY_LEN(boxed); v++)
		for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
			assert_odd(&(struct carry_ask){ .verb = boxed[v], .id = "abc" }, 200, bodies[i]);
}

static void test_a_long_text_is_odd(void **state)
{
	char reason[600];
	(void)state;
	for (size_t n = 512; n <= 513; n++) {
		memset(reason, 'x', n);
		reason[n] = '\0';
		struct hearing h = { .ask = { .verb = CARRY_STOP, .id = "abc" } };
		auto_free char *body = mem_printf("{" BOX ",\"reason\":\"%s\"}", reason);
		assert_int_equal(hear(&h, 200, body), n == 512 ? 0 : -1);
		heard_free(&h.heard);
	}
}

static void test_what_was_removed_needs_no_words(void **state)
{
	static const enum carry_verb verbs[] = { CARRY_DELETE, CARRY_UNSNAPSHOT };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		struct hearing h = { .ask = { .verb = verbs[i], .id = "abc", .name = "abc" } };
		assert_int_equal(hear(&h, 204, ""), 0);
		assert_int_equal(hear(&h, 200, "?"), 0);
		assert_int_equal(h.heard.box_count, 0);
		heard_free(&h.heard);
	}
}

static void test_an_agent_is_a_connection_or_nothing(void **state)
{
	const struct carry_ask ask = { .verb = CARRY_AGENT, .id = "abc" };
	(void)state;
	assert_odd(&ask, 200, "{}");
	assert_odd(&ask, 204, "");
}

/* ---- lists ---- */

static const struct carry_ask list_ask = { .verb = CARRY_LIST };

static void test_a_list_in_pages(void **state)
{
	struct hearing h = { .ask = list_ask };
	(void)state;
	hear(&h, 200, "{\"sandboxes\":[{" BOX ",\"carried\":true},{\"id\":\"its-own\"}],\"nextCursor\":\"abc\"}");
	assert_int_equal(h.heard.box_count, 1);
	assert_string_equal(h.heard.cursor, "abc");
	hear(&h, 200,
		"{\"sandboxes\":[{\"id\":\"def\",\"state\":\"paused\",\"vcpus\":1,\"memoryMb\":64,\"carried\":true}],"
		"\"nextCursor\":null}");
	assert_null(h.heard.cursor);
	assert_int_equal(h.heard.box_count, 2);
	assert_string_equal(h.heard.boxes[0].id, "abc");
	assert_string_equal(h.heard.boxes[1].id, "def");
	assert_string_equal(h.heard.boxes[1].state, "paused");
	heard_free(&h.heard);
}

static void test_a_list_that_cannot_be(void **state)
{
	static const char *const bodies[] = {
		"{}",
		"{\"sandboxes\":{}}",
		"{\"sandboxes\":null}",
		"{\"sandboxes\":[{\"carried\":true}]}",
		"{\"sandboxes\":[{\"carried\":true," BOX "},{\"carried\":true}]}",
		"{\"sandboxes\":[{\"carried\":true,\"id\":\"../hosts\",\"state\":\"running\",\"vcpus\":2,\"memoryMb\":512}]}",
		"{\"sandboxes\":[{\"carried\":true,\"id\":\"a b\",\"state\":\"running\",\"vcpus\":2,\"memoryMb\":512}]}",
		"{\"sandboxes\":[{\"carried\":true,\"id\":\"a?x=1\",\"state\":\"running\",\"vcpus\":2,\"memoryMb\":512}]}",
		"{\"sandboxes\":[{\"carried\":true,\"id\":\"a\\r\\nX: y\",\"state\":\"running\",\"vcpus\":2,\"memoryMb\":512}]}",
		"{\"sandboxes\":[{\"carried\":true,\"id\":\"\",\"state\":\"running\",\"vcpus\":2,\"memoryMb\":512}]}",
		"{\"sandboxes\":[],\"nextCursor\":\"\"}",
		"{\"sandboxes\":[],\"nextCursor\":\"a b\"}",
		"{\"sandboxes\":[],\"nextCursor\":\"a&limit=1\"}",
		"{\"sandboxes\":[],\"nextCursor\":\"a\\r\\nX: y\"}",
		"{\"sandboxes\":[],\"nextCursor\":\"0123456789012345678901234567890123456789012345678901234567890123x\"}",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		assert_odd(&list_ask, 200, bodies[i]);
}

static void test_a_page_of_more_than_was_asked_for(void **state)
{
	(void)state;
	for (int n = 100; n <= 101; n++) {
		auto_buf body = BUF_INIT;
		struct hearing h = { .ask = list_ask };
		buf_str(&body, "{\"sandboxes\":[{}");
		for (int i = 1; i < n; i++)
			buf_str(&body, ",{}");
		buf_str(&body, "]}");
		assert_int_equal(hear(&h, 200, body.p), n == 100 ? 0 : -1);
		heard_free(&h.heard);
	}
}

static void test_a_list_without_an_end(void **state)
{
	struct hearing h = { .ask = list_ask };
	int pages = 0;
	(void)state;
	while (hear(&h, 200, "{\"sandboxes\":[],\"nextCursor\":\"on\"}") == 0)
		assert_true(++pages < 1000);
	assert_int_equal(h.err.code, ERR_PROTOCOL);
	assert_true(pages > 100);
	heard_free(&h.heard);
}

/* ---- snapshots ---- */

static const struct carry_ask shot_ask = { .verb = CARRY_SNAPSHOT, .id = "abc", .name = "keep" };
#define SHOT "\"name\":\"keep\",\"tree\":\"" TREE "\",\"createdAt\":\"2026-11-22T04:37:00.123Z\""

static void test_a_snapshot(void **state)
{
	struct hearing h = { .ask = shot_ask };
	char hex[HASH_HEX + 1];
	(void)state;
	hear(&h, 201,
		"{" SHOT ",\"image\":\"base\",\"parent\":null,\"acceleration\":\"tcg\",\"vcpus\":2,\"memoryMb\":512,\"diskMb\":3}");
	assert_int_equal(h.err.code, ERR_OK);
	const struct snapshot *s = &h.heard.shot;
	assert_string_equal(s->name, "keep");
	assert_string_equal(hash_hex(&s->tree, hex), TREE);
	assert_string_equal(s->image, "base");
	assert_null(s->parent);
	assert_string_equal(s->accel, "tcg");
	assert_true(s->vcpus == 2 && s->memory_mb == 512 && s->disk == 3u << 20 && s->created_ms > 0);
	heard_free(&h.heard);
	h = (struct hearing){ .ask = shot_ask };
	hear(&h, 201, "{" SHOT ",\"diskMb\":null}");
	assert_int_equal(h.heard.shot.disk, 0);
	heard_free(&h.heard);
}

static void test_a_snapshot_that_cannot_be(void **state)
{
	static const char *const bodies[] = {
		"{}",
		"{\"name\":\"other\",\"tree\":\"" TREE "\",\"createdAt\":\"2026-11-22T04:37:00Z\"}",
		"{\"tree\":\"" TREE "\",\"createdAt\":\"2026-11-22T04:37:00Z\"}",
		"{\"name\":\"keep\",\"tree\":\"beef\",\"createdAt\":\"2026-11-22T04:37:00Z\"}",
		"{\"name\":\"keep\",\"createdAt\":\"2026-11-22T04:37:00Z\"}",
		"{\"name\":\"keep\",\"tree\":\"" TREE "\",\"createdAt\":\"yesterday\"}",
		"{\"name\":\"keep\",\"tree\":\"" TREE "\"}",
		"{" SHOT ",\"diskMb\":-1}",
		"{" SHOT ",\"diskMb\":9007199254740991}",
		"{" SHOT ",\"vcpus\":-1}",
		"{" SHOT ",\"memoryMb\":9007199254740991}",
		"{" SHOT ",\"image\":\"\\u001b]0;x\"}",
		"{" SHOT ",\"parent\":\"a\\nb\"}",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		assert_odd(&shot_ask, 201, bodies[i]);
}

/* ---- figures ---- */

static const struct carry_ask points_ask = { .verb = CARRY_POINTS, .id = "abc", .range = "10m" };

static void test_points(void **state)
{
	struct hearing h = { .ask = points_ask };
	(void)state;
	hear(&h, 200,
		"{\"points\":[{\"time\":\"1970-01-01T00:00:01Z\",\"cpuPercent\":150.5,\"diskKb\":null},"
		"{\"time\":\"1970-01-01T00:00:02Z\",\"cpuPercent\":-1,\"diskKb\":1e300,\"sentBytesPerSecond\":\"7\"}]}");
	assert_int_equal(h.heard.point_count, 2);
	const struct point *p = h.heard.points;
	assert_true(p[0].wall_ms == 1000 && p[1].wall_ms == 2000);
	assert_true(p[0].v[FIGURE_CPU] == 150.5f);
	assert_true(isnan(p[0].v[FIGURE_DISK]) && isnan(p[0].v[FIGURE_READ]));
	assert_true(isnan(p[1].v[FIGURE_CPU]) && isnan(p[1].v[FIGURE_DISK]) && isnan(p[1].v[FIGURE_SENT]));
	hear(&h, 200, "{\"points\":[]}");
	assert_int_equal(h.heard.point_count, 0);
	heard_free(&h.heard);
	assert_odd(&points_ask, 200, "{}");
	assert_odd(&points_ask, 200, "{\"points\":7}");
	assert_odd(&points_ask, 200, "{\"points\":[{}]}");
	assert_odd(&points_ask, 200, "{\"points\":[{\"time\":\"1970-01-01T00:00:01Z\"},7]}");
}

static void test_uses(void **state)
{
	static const struct carry_ask ask = { .verb = CARRY_USES };
	struct hearing h = { .ask = ask };
	(void)state;
	hear(&h, 200,
		"{\"time\":\"1970-01-01T00:00:01Z\",\"sandboxes\":[{\"id\":\"a\",\"cpuPercent\":7,\"diskKb\":null},"
		"{\"id\":\"b\",\"cpuPercent\":-1}]}\n");
	assert_int_equal(h.heard.use_count, 2);
	const struct carry_use *u = h.heard.uses;
	assert_string_equal(u[0].id, "a");
	assert_true(u[0].now.v[FIGURE_CPU] == 7 && isnan(u[0].now.v[FIGURE_DISK]) && isnan(u[0].now.v[FIGURE_SENT]));
	assert_string_equal(u[1].id, "b");
	assert_true(isnan(u[1].now.v[FIGURE_CPU]));
	hear(&h, 200, "{\"sandboxes\":[]}");
	assert_int_equal(h.heard.use_count, 0);
	heard_free(&h.heard);
	assert_odd(&ask, 200, "{}");
	assert_odd(&ask, 200, "{\"sandboxes\":{}}");
	assert_odd(&ask, 200, "{\"sandboxes\":[7]}");
	assert_odd(&ask, 200, "{\"sandboxes\":[{\"id\":\"a b\"}]}");
}

/* ---- refusals ---- */

static void test_a_refusal_in_its_words(void **state)
{
	struct hearing h = { .ask = { .verb = CARRY_DELETE, .id = "abc" } };
	(void)state;
	hear(&h, 404, "{\"error\":{\"code\":\"not_found\",\"message\":\"no sandbox 'abc'\",\"hint\":\"see: sbx ls\"}}");
	assert_int_equal(h.err.code, ERR_NOT_FOUND);
	assert_string_equal(h.err.msg, "no sandbox 'abc'");
	assert_string_equal(h.err.hint, "see: sbx ls");
	hear(&h, 507, "{\"code\":\"no_space\",\"message\":\"the disk is full\"}");
	assert_int_equal(h.err.code, ERR_NO_SPACE);
	assert_string_equal(h.err.hint, "");
	heard_free(&h.heard);
}

static void test_a_refusal_without_words(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum err_code code;
	} all[] = {
		{ 404, "", ERR_NOT_FOUND },
		{ 404, "<html>", ERR_NOT_FOUND },
		{ 503, "{}", ERR_UNAVAILABLE },
		{ 418, "[]", ERR_INVALID },
		{ 599, "null", ERR_INTERNAL },
		{ 500, "{\"error\":{\"code\":\"new_word\"}}", ERR_INTERNAL },
		{ 500, "{\"error\":{\"code\":\"io\",\"message\":\"a\\nb\"}}", ERR_IO },
		{ 500, "{\"error\":{\"code\":\"io\",\"message\":\"\"}}", ERR_IO },
		{ 500, "{\"error\":{\"code\":\"io\",\"message\":7}}", ERR_IO },
		/* between the two daemons: nobody who asked here lacks a key */
		{ 401, "", ERR_UNAVAILABLE },
		{ 403, "{\"error\":{\"code\":\"forbidden\"}}", ERR_UNAVAILABLE },
		{ 500, "{\"error\":{\"code\":\"unauthorized\"}}", ERR_UNAVAILABLE },
	};
	(void)state;
	for (size_t v = 0; v < CARRY_VERBS; v++)
		for (size_t i = 0; i < ARRAY_LEN(all); i++) {
			struct hearing h = { .ask = { .verb = (enum carry_verb)v, .id = "abc", .name = "keep" } };
			assert_int_equal(hear(&h, all[i].status, all[i].body), -1);
			assert_int_equal(h.err.code, all[i].code);
			assert_string_equal(h.err.msg, "refused by the host");
			heard_free(&h.heard);
		}
}

static void test_a_refusal_keeps_its_word_without_a_bad_hint(void **state)
{
	struct hearing h = { .ask = { .verb = CARRY_START, .id = "abc" } };
	(void)state;
	hear(&h, 409, "{\"error\":{\"code\":\"invalid_state\",\"message\":\"it runs\",\"hint\":\"\\u001b[31m\"}}");
	assert_string_equal(h.err.msg, "it runs");
	assert_string_equal(h.err.hint, "");
	heard_free(&h.heard);
}

static void test_no_refusal_is_none(void **state)
{
	(void)state;
	for (size_t v = 0; v < CARRY_VERBS; v++) {
		const struct carry_ask ask = { .verb = (enum carry_verb)v, .id = "abc", .name = "keep" };
		assert_odd(&ask, 500, "{\"error\":{\"code\":\"ok\",\"message\":\"all is well\"}}");
		assert_odd(&ask, 302, "");
		assert_odd(&ask, 302, "{\"error\":{\"code\":\"not_found\"}}");
		assert_odd(&ask, 304, "{" BOX "}");
	}
}

/* Every prefix of good answers. */
static void test_truncated(void **state)
{
	static const struct {
		struct carry_ask ask;
		const char *body;
	} all[] = {
		{ { .verb = CARRY_CREATE, .id = "abc" }, "{" BOX ",\"reason\":\"x\"}" },
		{ { .verb = CARRY_LIST }, "{\"sandboxes\":[{" BOX ",\"carried\":true}],\"nextCursor\":\"abc\"}" },
		{ { .verb = CARRY_SNAPSHOT, .id = "abc", .name = "keep" }, "{" SHOT "}" },
		{ { .verb = CARRY_POINTS, .id = "abc" }, "{\"points\":[{\"time\":\"1970-01-01T00:00:01Z\"}]}" },
		{ { .verb = CARRY_USES }, "{\"sandboxes\":[{\"id\":\"abc\",\"cpuPercent\":1}]}" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		for (size_t n = 0; n < strlen(all[i].body); n++) {
			auto_free char *part = mem_strndup(all[i].body, n);
			assert_odd(&all[i].ask, 200, part);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_verb_is_asked),
		cmocka_unit_test(test_a_sandbox),
		cmocka_unit_test(test_a_sandbox_that_runs_with_another_shape),
		cmocka_unit_test(test_a_sandbox_that_cannot_be),
		cmocka_unit_test(test_a_long_text_is_odd),
		cmocka_unit_test(test_what_was_removed_needs_no_words),
		cmocka_unit_test(test_an_agent_is_a_connection_or_nothing),
		cmocka_unit_test(test_a_list_in_pages),
		cmocka_unit_test(test_a_list_that_cannot_be),
		cmocka_unit_test(test_a_page_of_more_than_was_asked_for),
		cmocka_unit_test(test_a_list_without_an_end),
		cmocka_unit_test(test_a_snapshot),
		cmocka_unit_test(test_a_snapshot_that_cannot_be),
		cmocka_unit_test(test_points),
		cmocka_unit_test(test_uses),
		cmocka_unit_test(test_a_refusal_in_its_words),
		cmocka_unit_test(test_a_refusal_without_words),
		cmocka_unit_test(test_a_refusal_keeps_its_word_without_a_bad_hint),
		cmocka_unit_test(test_no_refusal_is_none),
		cmocka_unit_test(test_truncated),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
