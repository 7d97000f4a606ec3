/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "shared/base/util.h"
#include "shared/store/ref.h"
#include "tests/unit/tree_kit.h"

#define NOW ((int64_t)1796025600000) /* 2026-11-30T08:00:00Z */

static void t_parse(void **state)
{
	(void)state;
	static const struct {
		const char *text, *name;
		enum ref_when when;
		uint64_t moves;
		int64_t at;
		const char *path;
	} rows[] = {
		{ "main", "main", REF_NOW, 0, 0, "" },
		{ "main:", "main", REF_NOW, 0, 0, "" },
		{ "a/b:c:d", "a/b", REF_NOW, 0, 0, "c:d" },
		{ "main:x@{1}", "main", REF_NOW, 0, 0, "x@{1}" },
		{ "main@{2}", "main", REF_MOVES, 2, 0, "" },
		{ "main@{0}:etc/x", "main", REF_MOVES, 0, 0, "etc/x" },
		{ "main@{30s}", "main", REF_AT, 30, NOW - 30000, "" },
		{ "main@{1h}", "main", REF_AT, 1, NOW - 3600000, "" },
		{ "main@{2w}:p", "main", REF_AT, 2, NOW - 14 * (int64_t)86400000, "p" },
		{ "main@{2026-11-30T08:00:00Z}", "main", REF_AT, 0, NOW, "" },
		{ "main@{2026-11-30T08:00:00.25Z}:x", "main", REF_AT, 0, NOW + 250, "x" },
		{ "main@{2026-11-30T10:30:00+02:30}", "main", REF_AT, 0, NOW, "" },
		{ "main@{2026-11-30T03:00:00-05:00}", "main", REF_AT, 0, NOW, "" },
		{ "main@{2026-11-30}", "main", REF_AT, 0, NOW - 8 * 3600000, "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ref_spec r;
		struct err err = ERR_INIT;
		if (ref_parse(rows[i].text, NOW, &r, &err) != 0)
			fail_msg("%s: %s", rows[i].text, err.msg);
		assert_string_equal(r.name, rows[i].name);
		assert_string_equal(r.path, rows[i].path);
		assert_int_equal(r.when, rows[i].when);
		if (r.when == REF_MOVES)
			assert_int_equal(r.moves, rows[i].moves);
		if (r.when == REF_AT && r.at != rows[i].at)
			fail_msg("%s: %lld", rows[i].text, (long long)r.at);
		ref_spec_free(&r);
	}
}

static void t_malformed(void **state)
{
	(void)state;
	static const char *const rows[] = { "", ":x", "@{1}", "a@{", "a@{1", "a@{}", "a@{1}x", "a@{-1}", "a@{1y}", "a@{1hh}",
		"a@{h}", "a@{99999999999999999999}", "a@{2026-13-01}", "a@{2026-02-30}", "a@{2026-11-30T}",
		"a@{2026-11-30T08:00:00}", "a@{2026-11-30T25:00:00Z}", "a@{2026-11-30T08:00:00.Z}", "a@{2026-11-30T08:00:00+1:00}",
		"a@{yesterday}" };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ref_spec r;
		struct err err = ERR_INIT;
		if (ref_parse(rows[i], NOW, &r, &err) == 0)
			fail_msg("'%s' was taken", rows[i]);
		assert_int_equal(err.code, ERR_INVALID);
		ref_spec_free(&r);
	}
}

static void move(struct store *s, const char *name, const struct hash *to, enum label_op op, const struct hash *other)
{
	struct label_move m = { .name = name, .to = *to, .op = op, .any = true, .other = other };
	struct hash current;
	struct err err = ERR_INIT;
	bool exists;

	if (label_move(s, &m, &current, &exists, &err) != 0)
		fail_msg("%s", err.msg);
}

static void resolves(struct store *s, const char *text, const struct hash *want, const char *label, const char *path)
{
	struct err err = ERR_INIT;
	struct ref r;

	if (ref_resolve(s, text, &r, &err) != 0)
		fail_msg("%s: %s", text, err.msg);
	if (!hash_eq(&r.tree, want))
		fail_msg("%s is another tree", text);
	assert_string_equal(r.label ? r.label : "", label);
	assert_string_equal(r.path, path);
	ref_free(&r);
}

static void refuses(struct store *s, const char *text, enum err_code code, const char *hint)
{
	struct err err = ERR_INIT;
	struct ref r;

	assert_int_equal(ref_resolve(s, text, &r, &err), -1);
	if (err.code != code || !strstr(err.hint, hint))
		fail_msg("%s: %s (%s) %s", text, err.msg, err.hint, err_name(err.code));
	ref_free(&r);
}

static void t_resolve(void **state)
{
	struct store *s = *state;
	struct hash a = kit_tree(s, "a=1"), b = kit_tree(s, "a=2"), c = kit_tree(s, "a=3");
	struct hash none = { { 0xab, 0xcd, 0xef, 0x12 } };
	char hex[HASH_HEX + 1], prefix[HASH_HEX + 16];

	refuses(s, "main", ERR_NOT_FOUND, "no labels yet");
	move(s, "main", &a, LABEL_PUSH, NULL);
	move(s, "main", &b, LABEL_PUSH, NULL);
	move(s, "main", &c, LABEL_PUSH, NULL);
	resolves(s, "main", &c, "main", "");
	resolves(s, "main:x/y", &c, "main", "x/y");
	resolves(s, "main@{0}", &c, "main", "");
	resolves(s, "main@{1}:z", &b, "main", "z");
	resolves(s, "main@{2}", &a, "main", "");
	resolves(s, "main@{0s}", &c, "main", "");
	resolves(s, "main@{2999-01-01}", &c, "main", "");
	refuses(s, "main@{3}", ERR_NOT_FOUND, "sbx fs log main");
	refuses(s, "main@{1h}", ERR_NOT_FOUND, "begins at 20");
	refuses(s, "mian", ERR_NOT_FOUND, "did you mean 'main'?");
	refuses(s, "main2@{1}", ERR_NOT_FOUND, "did you mean 'main'?");
	refuses(s, "nothing-like-it", ERR_NOT_FOUND, "sbx fs label list");
	refuses(s, "a\\b", ERR_INVALID, "");
	resolves(s, hash_hex(&b, hex), &b, "", "");
	for (char *p = hex; *p; p++)
		*p = *p >= 'a' ? (char)(*p - 32) : *p;
	resolves(s, hex, &b, "", "");
	(void)snprintf(prefix, sizeof(prefix), "%.8s:d", hash_hex(&b, hex));
	resolves(s, prefix, &b, "", "d");
	refuses(s, hash_hex(&none, hex), ERR_NOT_FOUND, "");
	(void)snprintf(prefix, sizeof(prefix), "%.7s", hash_hex(&b, hex));
	refuses(s, prefix, ERR_NOT_FOUND, "8");
	resolves(s, hash_hex(&object_empty, hex), &object_empty, "", "");
	/* A label may look like a prefix: it is one first. */
	(void)snprintf(prefix, sizeof(prefix), "%.10s", hash_hex(&b, hex));
	move(s, prefix, &a, LABEL_PUSH, NULL);
	resolves(s, prefix, &a, prefix, "");
}

/* Two trees whose ids begin alike: their bytes cannot be chosen, but ids that the caller gives are taken as they are. */
static void t_ambiguous(void **state)
{
	struct store *s = *state;
	struct hash x = { { 1, 2, 3, 4, 5 } }, y = { { 1, 2, 3, 4, 6 } }, chunk = { { 1, 2, 3, 4, 7 } };
	struct err err = ERR_INIT;

	assert_int_equal(store_begin(s, true, &err), 0);
	assert_int_equal(store_put(s, OBJECT_TREE, "x", 1, &x, NULL, &err), 0);
	assert_int_equal(store_put(s, OBJECT_CHUNK, "c", 1, &chunk, NULL, &err), 0);
	assert_int_equal(store_end(s, &err), 0);
	resolves(s, "01020304", &x, "", "");
	refuses(s, "0102030407", ERR_NOT_FOUND, "");
	assert_int_equal(store_begin(s, true, &err), 0);
	assert_int_equal(store_put(s, OBJECT_TREE, "y", 1, &y, NULL, &err), 0);
	assert_int_equal(store_end(s, &err), 0);
	refuses(s, "01020304", ERR_CONFLICT, "0102030405");
	resolves(s, "0102030406", &y, "", "");
}

static void base_is(struct store *s, const char *ours, const char *theirs, const struct hash *want)
{
	for (int swap = 0; swap < 2; swap++) {
		struct err err = ERR_INIT;
		struct ref a, b;
		struct hash got;
		assert_int_equal(ref_resolve(s, swap ? theirs : ours, &a, &err), 0);
		assert_int_equal(ref_resolve(s, swap ? ours : theirs, &b, &err), 0);
		int rc = ref_base(s, &a, &b, &got, &err);
		assert_int_equal(rc, want ? 1 : 0);
		if (want && !hash_eq(&got, want))
			fail_msg("%s and %s (%d): another base", ours, theirs, swap);
		ref_free(&a);
		ref_free(&b);
	}
}

static void t_base(void **state)
{
	struct store *s = *state;
	struct hash t[12];

	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		auto_free char *line = mem_printf("f=%u", i);
		t[i] = kit_tree(s, line);
	}
	/* 0 1 2(main); work from 1: 3; then main merges 3 (4), work goes on: 5. */
	move(s, "main", &t[0], LABEL_PUSH, NULL);
	move(s, "main", &t[1], LABEL_PUSH, NULL);
	move(s, "work", &t[1], LABEL_PUSH, NULL);
	move(s, "main", &t[2], LABEL_PUSH, NULL);
	move(s, "work", &t[3], LABEL_PUSH, NULL);
	base_is(s, "main", "work", &t[1]);
	base_is(s, "main", "main", &t[2]);
	base_is(s, "main", "main@{1}", &t[1]);
	move(s, "main", &t[4], LABEL_MERGE, &t[3]);
	base_is(s, "main", "work", &t[3]);
	move(s, "work", &t[5], LABEL_PUSH, NULL);
	base_is(s, "main", "work", &t[3]);
	/* main as it was before it merged */
	base_is(s, "main@{1}", "work", &t[1]);
	/* ids have no history, but may be in one */
	char hex[HASH_HEX + 1];
	base_is(s, "main", hash_hex(&t[1], hex), &t[1]);
	base_is(s, "work", hash_hex(&t[0], hex), NULL);
	/* A reset takes back: what was pushed before no longer counts. */
	move(s, "main", &t[0], LABEL_RESET, NULL);
	move(s, "main", &t[6], LABEL_PUSH, NULL);
	move(s, "side", &t[2], LABEL_PUSH, NULL);
	move(s, "top", &t[0], LABEL_PUSH, NULL);
	base_is(s, "main", "top", &t[0]);
	/* ...unless there is nothing else. */
	base_is(s, "main", "side", &t[2]);
	move(s, "alien", &t[9], LABEL_PUSH, NULL);
	base_is(s, "main", "alien", NULL);
	base_is(s, "alien", "alien", &t[9]);
}

/* One side went back to an older tree by a push (a revert); the other left before that. The base is where it left. */
static void t_base_revert(void **state)
{
	struct store *s = *state;
	struct hash a = kit_tree(s, "f=a"), b = kit_tree(s, "f=b"), c = kit_tree(s, "f=c"), d = kit_tree(s, "f=d");

	move(s, "x", &a, LABEL_PUSH, NULL);
	move(s, "x", &b, LABEL_PUSH, NULL);
	move(s, "y", &b, LABEL_PUSH, NULL);
	move(s, "x", &a, LABEL_PUSH, NULL);
	move(s, "x", &c, LABEL_PUSH, NULL);
	move(s, "y", &d, LABEL_PUSH, NULL);
	base_is(s, "x", "y", &b);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, store_dir_setup, store_dir_teardown)
	const struct CMUnitTest tests[] = { cmocka_unit_test(t_parse), cmocka_unit_test(t_malformed), T(t_resolve), T(t_ambiguous),
		T(t_base), T(t_base_revert) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
