/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shared/base/util.h"
#include "shared/store/label_internal.h"
#include "tests/unit/store_kit.h"

static int setup(void **state)
{
	if (kit_setup(state))
		return -1;
	kit_fill(*state, 0, 20);
	return 0;
}

static void names(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	static const char *const good[] = { "a", "main", "team/x", "a.b", "..a/b..", "\xc3\xa9t\xc3\xa9", "a b", "x@y", "a{b",
		"0123abcd", "a-", "\xf0\x9f\x98\x80" };
	static const char *const bad[] = { "", ".", "..", "a/../b", "a//b", "/a", "a/", "a/.", "-a", "@a", "a@{1}", "a:b", "a\\b",
		"a?", "a*", "a[", " a", "a ", "a\nb", "a\x7f", "\xc2\x85", "\xff", "a\xc3", "\xed\xa0\x80",
		"71e0a99173564931c0b8acc52d2685a8e39c64dc52e3d02390fdac2a12b155cb",
		"71E0A99173564931C0B8ACC52D2685A8E39C64DC52E3D02390FDAC2A12B155CB" };
	char longest[LABEL_MAX + 2];
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(label_check(good[i], &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&err);
		if (!label_check(bad[i], &err))
			fail_msg("'%s' was accepted", bad[i]);
		assert_int_equal(err.code, ERR_INVALID);
	}
	memset(longest, 'x', sizeof(longest));
	longest[LABEL_MAX + 1] = '\0';
	assert_int_equal(label_check(longest, &err), -1);
	longest[LABEL_MAX] = '\0';
	assert_int_equal(label_check(longest, &err), 0);
	assert_string_equal(label_op_name(LABEL_MERGE), "merge");
	assert_string_equal(label_op_name(LABEL_CREATE), "create");
	assert_string_equal(label_op_name((enum label_op)77), "unknown");
}

static int move(struct kit *k, const char *name, int to, int expected, struct hash *current, bool *exists)
{
	struct err err = ERR_INIT;
	struct label_move m = { .name = name,
		.to = k->ids[to],
		.op = LABEL_PUSH,
		.expected = expected >= 0 ? &k->ids[expected] : NULL,
		.absent = expected == -1,
		.any = expected == -2 };
	return label_move(k->s, &m, current, exists, &err);
}

static void assert_head(struct kit *k, const char *name, int want)
{
	struct err err = ERR_INIT;
	struct hash head;
	if (want < 0) {
		assert_int_equal(label_head(k->s, name, &head, &err), -1);
		assert_int_equal(err.code, ERR_NOT_FOUND);
		return;
	}
	assert_int_equal(label_head(k->s, name, &head, &err), 0);
	assert_true(hash_eq(&head, &k->ids[want]));
}

static void moves(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct hash current;
	bool exists;
	assert_head(k, "main", -1);
	assert_int_equal(move(k, "main", 0, 1, &current, &exists), 1);
	assert_false(exists);
	assert_int_equal(move(k, "main", 0, -1, &current, &exists), 0);
	/* the loser of the race learns the true head */
	assert_int_equal(move(k, "main", 1, -1, &current, &exists), 1);
	assert_true(exists && hash_eq(&current, &k->ids[0]));
	assert_int_equal(move(k, "main", 1, 0, &current, &exists), 0);
	assert_int_equal(move(k, "main", 2, 0, &current, &exists), 1);
	assert_true(hash_eq(&current, &k->ids[1]));
	assert_int_equal(move(k, "main", 1, 1, NULL, NULL), 0);
	assert_int_equal(move(k, "main", 3, -2, NULL, NULL), 0);
	kit_reopen(k);
	assert_head(k, "main", 3);
	struct label_move m = { .name = "main",
		.to = k->ids[4],
		.op = LABEL_MERGE,
		.expected = &k->ids[3],
		.other = &k->ids[9],
		.message = "two into one" };
	assert_int_equal(label_move(k->s, &m, NULL, NULL, &err), 0);
	struct label_log log;
	assert_int_equal(label_log(k->s, "main", SIZE_MAX, &log, &err), 0);
	assert_int_equal(log.n, 5);
	assert_int_equal(log.v[0].op, LABEL_CREATE);
	assert_false(log.v[0].has_from);
	assert_null(log.v[0].message);
	assert_int_equal(log.v[1].op, LABEL_PUSH);
	assert_true(hash_eq(&log.v[1].from, &k->ids[0]) && hash_eq(&log.v[1].to, &k->ids[1]));
	assert_string_equal(log.v[4].message, "two into one");
	assert_true(log.v[4].has_other && hash_eq(&log.v[4].other, &k->ids[9]));
	assert_true(log.v[4].at > 1700000000000);
	label_log_free(&log);
	assert_int_equal(label_log(k->s, "main", 2, &log, &err), 0);
	assert_int_equal(log.n, 2);
	assert_int_equal(log.v[1].op, LABEL_MERGE);
	label_log_free(&log);
	assert_int_equal(label_knows(k->s, "main", &k->ids[0], &err), 1);
	assert_int_equal(label_knows(k->s, "main", &k->ids[9], &err), 0);
	assert_int_equal(label_knows(k->s, "none", &k->ids[9], &err), -1);
	assert_int_equal(label_log(k->s, "none", 1, &log, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void refusals(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct hash none = { { 9 } };
	auto_free char *text = malloc(LABEL_MESSAGE_MAX + 2);
	memset(text, 'm', LABEL_MESSAGE_MAX + 1);
	text[LABEL_MESSAGE_MAX + 1] = '\0';
	struct label_move m = { .name = "a", .to = k->ids[0], .op = LABEL_PUSH, .absent = true, .message = text };
	assert_int_equal(label_move(k->s, &m, NULL, NULL, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	m.message = "\xff";
	assert_int_equal(label_move(k->s, &m, NULL, NULL, &err), -1);
	text[LABEL_MESSAGE_MAX] = '\0';
	m.message = text;
	m.name = "a:b";
	assert_int_equal(label_move(k->s, &m, NULL, NULL, &err), -1);
	m.name = "a";
	m.to = none;
	assert_int_equal(label_move(k->s, &m, NULL, NULL, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_head(k, "a", -1);
	m.missing_ok = true;
	assert_int_equal(label_move(k->s, &m, NULL, NULL, &err), 0);
	m.to = k->ids[0];
	m.absent = false;
	m.any = true;
	m.op = LABEL_RESET;
	assert_int_equal(label_move(k->s, &m, NULL, NULL, &err), 0);
	assert_head(k, "a", 0);
	struct hash head;
	assert_int_equal(label_head(k->s, "..", &head, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

/* Moves of an open write are seen by it, durable with it, and gone with it. */
static void in_a_write(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct label_log log;
	struct store *other = store_open(store_path(k->s), false, &err);
	struct hash head;
	assert_int_equal(move(k, "old", 0, -1, NULL, NULL), 0);
	assert_int_equal(store_begin(k->s, true, &err), 0);
	kit_put(k, 30, 31);
	for (int i = 0; i < 10; i++)
		assert_int_equal(move(k, "main", i, i - 1, NULL, NULL), 0);
	assert_int_equal(move(k, "main", 30, 9, NULL, NULL), 0);
	assert_int_equal(move(k, "main", 5, 9, NULL, NULL), 1);
	assert_int_equal(move(k, "old", 30, 0, NULL, NULL), 0);
	assert_head(k, "main", 30);
	assert_int_equal(label_head(other, "main", &head, &err), -1);
	store_abort(k->s);
	assert_head(k, "main", -1);
	assert_head(k, "old", 0);
	assert_int_equal(store_begin(k->s, true, &err), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(move(k, "main", i, i - 1, NULL, NULL), 0);
	assert_int_equal(move(k, "old", 1, 0, NULL, NULL), 0);
	assert_int_equal(store_end(k->s, &err), 0);
	assert_int_equal(label_head(other, "main", &head, &err), 0);
	assert_true(hash_eq(&head, &k->ids[9]));
	store_close(other);
	assert_int_equal(label_log(k->s, "main", SIZE_MAX, &log, &err), 0);
	assert_int_equal(log.n, 10);
	label_log_free(&log);
	/* what must see the disk puts the moves there */
	struct label_list list;
	assert_int_equal(store_begin(k->s, true, &err), 0);
	assert_int_equal(move(k, "third", 1, -1, NULL, NULL), 0);
	assert_int_equal(label_list(k->s, &list, &err), 0);
	assert_int_equal(list.n, 3);
	assert_string_equal(list.v[0].name, "main");
	assert_string_equal(list.v[1].name, "old");
	assert_string_equal(list.v[2].name, "third");
	label_list_free(&list);
	assert_int_equal(label_rename(k->s, "third", "fourth", &err), 0);
	assert_int_equal(move(k, "fourth", 2, 1, NULL, NULL), 0);
	assert_int_equal(label_remove(k->s, "main", NULL, &err), 0);
	assert_int_equal(store_end(k->s, &err), 0);
	assert_head(k, "fourth", 2);
	assert_head(k, "third", -1);
	assert_head(k, "main", -1);
}

static void remove_and_rename(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct label_log log;
	move(k, "a", 0, -1, NULL, NULL);
	move(k, "a", 1, 0, NULL, NULL);
	move(k, "b", 2, -1, NULL, NULL);
	assert_int_equal(label_rename(k->s, "a", "b", &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(label_rename(k->s, "none", "c", &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(label_rename(k->s, "a", "a:", &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(label_rename(k->s, "a", "c/d", &err), 0);
	assert_head(k, "a", -1);
	assert_head(k, "c/d", 1);
	assert_int_equal(move(k, "c/d", 3, 1, NULL, NULL), 0);
	assert_int_equal(label_log(k->s, "c/d", SIZE_MAX, &log, &err), 0);
	assert_int_equal(log.n, 4);
	assert_int_equal(log.v[2].op, LABEL_RENAME);
	assert_true(hash_eq(&log.v[2].from, &log.v[2].to));
	label_log_free(&log);
	/* and back, and a new one of the old name */
	assert_int_equal(label_rename(k->s, "c/d", "a", &err), 0);
	assert_int_equal(move(k, "c/d", 7, -1, NULL, NULL), 0);
	assert_head(k, "a", 3);
	assert_int_equal(label_remove(k->s, "a", &k->ids[1], &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(label_remove(k->s, "a", &k->ids[3], &err), 0);
	assert_int_equal(label_remove(k->s, "a", NULL, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(move(k, "a", 5, -1, NULL, NULL), 0);
	struct label_list list;
	assert_int_equal(label_list(k->s, &list, &err), 0);
	assert_int_equal(list.n, 3);
	label_list_free(&list);
}

static char *file_of(struct kit *k, const char *name)
{
	char file[HASH_HEX + 1];
	label_file_name(name, file);
	return mem_printf("%s/labels/%s", store_path(k->s), file);
}

/* A rename that was killed between its two steps never was. */
static void half_rename(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct label_list list;
	move(k, "a", 0, -1, NULL, NULL);
	move(k, "a", 1, 0, NULL, NULL);
	assert_int_equal(label_rename(k->s, "a", "b", &err), 0);
	auto_free char *a = file_of(k, "a"), *b = file_of(k, "b");
	assert_int_equal(rename(b, a), 0);
	assert_head(k, "a", 1);
	assert_head(k, "b", -1);
	assert_int_equal(label_list(k->s, &list, &err), 0);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.v[0].name, "a");
	label_list_free(&list);
	assert_int_equal(move(k, "a", 2, 1, NULL, NULL), 0);
	struct label_log log;
	assert_int_equal(label_log(k->s, "a", SIZE_MAX, &log, &err), 0);
	assert_int_equal(log.n, 3);
	label_log_free(&log);
	assert_int_equal(label_rename(k->s, "a", "b", &err), 0);
	assert_head(k, "b", 2);
}

static void torn(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	auto_free char *path = file_of(k, "main");
	auto_buf whole = BUF_INIT;
	move(k, "main", 0, -1, NULL, NULL);
	off_t before = kit_size(path);
	struct label_move m = { .name = "main", .to = k->ids[1], .op = LABEL_PUSH, .any = true, .message = "a message" };
	assert_int_equal(label_move(k->s, &m, NULL, NULL, &err), 0);
	assert_int_equal(fs_read(path, 1 << 20, &whole, &err), 0);
	for (size_t n = 0; n < whole.len; n++) {
		auto_fd int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
		assert_int_equal(fs_write_all(fd, whole.p, n, &err), 0);
		/* zeros are torn, too */
		if (n % 4 == 0 && n + 2 < whole.len)
			assert_int_equal(ftruncate(fd, (off_t)whole.len + 16), 0);
		assert_head(k, "main", n < (size_t)before ? -1 : 0);
		struct label_list list;
		assert_int_equal(label_list(k->s, &list, &err), 0);
		assert_int_equal(list.n, n >= (size_t)before);
		label_list_free(&list);
		if (n % 5)
			continue;
		assert_int_equal(move(k, "main", 3, n < (size_t)before ? -1 : 0, NULL, NULL), 0);
		assert_head(k, "main", 3);
		struct label_log log;
		assert_int_equal(label_log(k->s, "main", SIZE_MAX, &log, &err), 0);
		assert_int_equal(log.n, n < (size_t)before ? 1 : 2);
		label_log_free(&log);
	}
}

/* A flip in the last record is never taken for a torn one: that would undo what was acknowledged. */
static void flips(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	auto_free char *path = file_of(k, "main");
	auto_buf whole = BUF_INIT;
	move(k, "main", 0, -1, NULL, NULL);
	move(k, "main", 1, 0, NULL, NULL);
	off_t last = kit_size(path);
	move(k, "main", 2, 1, NULL, NULL);
	assert_int_equal(fs_read(path, 1 << 20, &whole, &err), 0);
	for (size_t at = 0; at < whole.len; at++) {
		kit_flip(path, (off_t)at);
		struct hash head;
		err_clear(&err);
		int rc = label_head(k->s, "main", &head, &err);
		if (at >= (size_t)last) {
			if (rc != -1 || err.code != ERR_IO)
				fail_msg("byte %zu: %d %s", at, rc, err.msg);
			assert_non_null(strstr(err.msg, "'main'"));
			struct label_list list;
			assert_int_equal(label_list(k->s, &list, &err), -1);
			assert_int_equal(move(k, "main", 4, 1, NULL, NULL), -1);
			/* mended by whoever sets it */
			if (at % 9 == 0) {
				assert_int_equal(move(k, "main", 4, -2, NULL, NULL), 0);
				assert_head(k, "main", 4);
				auto_fd int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
				assert_int_equal(fs_write_all(fd, whole.p, whole.len, &err), 0);
				continue;
			}
		} else {
			assert_int_equal(rc, 0);
			assert_true(hash_eq(&head, &k->ids[2]));
			struct label_log log;
			assert_int_equal(label_log(k->s, "main", SIZE_MAX, &log, &err), 0);
			assert_int_equal(log.n, 2);
			label_log_free(&log);
		}
		kit_flip(path, (off_t)at);
	}
	/* a file under another's name */
	auto_free char *other = file_of(k, "other");
	assert_int_equal(rename(path, other), 0);
	struct hash head;
	assert_int_equal(label_head(k->s, "other", &head, &err), -1);
	assert_int_equal(err.code, ERR_IO);
}

/* What the daemon does for many pushers: the moves that wait go into one write. */
static void group_commit(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	enum { WRITERS = 32, ROUNDS = 200 };
	int head = 0;
	move(k, "main", 0, -1, NULL, NULL);
	int64_t start = clock_mono_us();
	for (int r = 0; r < ROUNDS; r++) {
		int won = 0;
		assert_int_equal(store_begin(k->s, true, &err), 0);
		for (int w = 0; w < WRITERS; w++)
			won += !move(k, "main", (head + 1 + w) % 20, head, NULL, NULL) && (head = (head + 1 + w) % 20, 1);
		assert_int_equal(store_end(k->s, &err), 0);
		assert_true(won >= 1);
		struct hash is;
		assert_int_equal(label_head(k->s, "main", &is, &err), 0);
		assert_true(hash_eq(&is, &k->ids[head]));
	}
	double seconds = (double)(clock_mono_us() - start) / 1e6;
	print_message("%d moves in %.3f s: %.0f a second\n", WRITERS * ROUNDS, seconds, WRITERS * ROUNDS / seconds);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, kit_teardown)
	const struct CMUnitTest tests[] = { T(names), T(moves), T(refusals), T(in_a_write), T(remove_and_rename), T(half_rename),
		T(torn), T(flips), T(group_commit) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
