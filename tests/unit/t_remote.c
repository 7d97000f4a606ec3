/* link: shared/store/remote*.c shared/store/tree*.c shared/store/store*.c shared/store/label*.c shared/store/crc.c shared/store/object.c shared/store/chunk.c shared/store/hash*.c | -lzstd -lpthread */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/store/remote.h"
#include "tests/unit/store_data.h"
#include "tests/unit/store_dir.h"

/* Two stores and what goes from one to the other. */
struct kit {
	void *from_state, *to_state;
	struct store *from, *to;
	struct buf stream;
	struct remote_haver *haver;
	unsigned asked, rounds;
};

static int setup(void **state)
{
	struct kit *k = mem_zalloc(sizeof(*k));
	*state = k;
	buf_init(&k->stream);
	if (store_dir_setup(&k->from_state) || store_dir_setup(&k->to_state))
		return -1;
	k->from = k->from_state;
	k->to = k->to_state;
	k->haver = remote_haver_new(k->to);
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;
	remote_haver_free(k->haver);
	int rc = store_dir_teardown(&k->from_state) | store_dir_teardown(&k->to_state);
	buf_free(&k->stream);
	free(k);
	return rc;
}

static struct hash tree_of(struct store *s, const struct hash *root, const struct tree_edit *edits, size_t n)
{
	struct err err = ERR_INIT;
	struct hash out;
	assert_int_equal(store_begin(s, true, &err), 0);
	if (tree_apply(s, root, edits, n, &out, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(store_end(s, &err), 0);
	return out;
}

static struct hash put_text(struct store *s, struct hash root, const char *path, const char *text)
{
	struct entry e = { .mode = OBJECT_FILE_MODE, .size = strlen(text), .data = (const uint8_t *)text };
	struct tree_edit edit = { .path = path, .file = &e };
	return tree_of(s, &root, &edit, 1);
}

static struct hash put_noise(struct store *s, struct hash root, const char *path, size_t n, uint64_t seed)
{
	struct err err = ERR_INIT;
	struct hash out;
	struct entry e;
	uint8_t *data = mem_zalloc(n);
	fill_xorshift(data, n, seed);
	assert_int_equal(store_begin(s, true, &err), 0);
	struct tree_file *f = tree_file_new(s, OBJECT_FILE_MODE);
	assert_int_equal(tree_file_add(f, data, n, &err), 0);
	assert_int_equal(tree_file_end(f, &e, &err), 0);
	struct tree_edit edit = { .path = path, .file = &e };
	assert_int_equal(tree_apply(s, &root, &edit, 1, &out, &err), 0);
	tree_file_free(f);
	assert_int_equal(store_end(s, &err), 0);
	free(data);
	return out;
}

/* A tree with all there is: nested folders, chunked and shared files, an empty folder. */
static struct hash example(struct store *s)
{
	struct hash t = put_text(s, object_empty, "a.txt", "A");
	t = put_text(s, t, "b/c.txt", "hello\n");
	t = put_text(s, t, "b/d/e/f/g", "deep");
	t = put_noise(s, t, "big", 3 << 20, 0x1235);
	t = put_noise(s, t, "b/same", 3 << 20, 0x1235);
	t = put_noise(s, t, "b/other", 100000, 7);
	struct tree_edit empty = { .path = "none", .dir = true, .tree = object_empty };
	return tree_of(s, &t, &empty, 1);
}

static int to_buf(void *arg, const void *data, size_t n, struct err *err)
{
	struct kit *k = arg;
	(void)err;
	buf_add(&k->stream, data, n);
	return 0;
}

static int ask(void *arg, const struct hash *ids, size_t n, bool *have, struct err *err)
{
	struct kit *k = arg;
	k->rounds++;
	k->asked += (unsigned)n;
	assert_true(n > 0 && n <= REMOTE_ASK_MAX);
	return remote_have(k->haver, ids, n, have, err);
}

static struct remote_counts send(struct kit *k, struct hash root)
{
	struct err err = ERR_INIT;
	struct remote_counts c;
	buf_clear(&k->stream);
	k->asked = k->rounds = 0;
	if (remote_send(k->from, &root, 1, &(struct remote_peer){ ask, to_buf, k }, &c, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(c.bytes, k->stream.len);
	return c;
}

/* Feed [p, p + n) in pieces of `piece` bytes; 0 or -1. */
static int feed(struct kit *k, const char *p, size_t n, size_t piece, struct remote_counts *c, struct err *err)
{
	struct remote_receiver *r = remote_receiver_new(k->to, err);
	assert_non_null(r);
	int rc = 0;
	for (size_t at = 0; rc == 0 && at < n; at += piece)
		rc = remote_receiver_add(r, p + at, n - at < piece ? n - at : piece, err);
	if (rc == 0)
		rc = remote_receiver_end(r, c, err);
	remote_receiver_free(r);
	return rc;
}

static void receive(struct kit *k, size_t piece)
{
	struct err err = ERR_INIT;
	struct remote_counts c;
	if (feed(k, k->stream.p, k->stream.len, piece, &c, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(c.bytes, k->stream.len);
}

static int count(void *arg, enum object_kind kind, const struct hash *id, struct err *err)
{
	(void)kind;
	(void)err;
	*(unsigned *)arg += !hash_eq(id, &object_empty); /* which need not be there */
	return 0;
}

static unsigned reach(struct store *s, struct hash root)
{
	struct err err = ERR_INIT;
	unsigned n = 0;
	if (tree_reach(s, &root, NULL, count, &n, NULL, &err))
		fail_msg("%s", err.msg);
	return n;
}

static bool has_whole(struct kit *k, struct hash root)
{
	struct err err = ERR_INIT;
	struct remote_haver *h = remote_haver_new(k->to);
	bool have = false;
	assert_int_equal(remote_have(h, &root, 1, &have, &err), 0);
	remote_haver_free(h);
	return have;
}

static void renew_haver(struct kit *k)
{
	remote_haver_free(k->haver);
	k->haver = remote_haver_new(k->to);
}

static void test_whole_tree(void **state)
{
	struct kit *k = *state;
	struct hash t = example(k->from);
	struct remote_counts c = send(k, t);
	receive(k, k->stream.len);
	assert_true(has_whole(k, t));
	assert_int_equal(c.objects, reach(k->to, t));
	assert_int_equal(reach(k->from, t), reach(k->to, t));
}

static void test_pieces_of_any_size(void **state)
{
	struct kit *k = *state;
	struct hash t = put_text(k->from, object_empty, "b/c.txt", "hello\n");
	t = put_noise(k->from, t, "b/other", 70000, 7);
	send(k, t);
	receive(k, 1);
	assert_true(has_whole(k, t));
}

static void test_second_time_sends_nothing(void **state)
{
	struct kit *k = *state;
	struct hash t = example(k->from);
	send(k, t);
	receive(k, 4096);
	renew_haver(k);
	struct remote_counts c = send(k, t);
	assert_int_equal(c.objects, 0);
	assert_int_equal(k->asked, 1);
	receive(k, 4096);
}

static void test_only_what_is_new(void **state)
{
	struct kit *k = *state;
	struct hash t = example(k->from);
	send(k, t);
	receive(k, 4096);
	renew_haver(k);
	struct hash u = put_text(k->from, t, "b/d/e/f/g", "changed");
	struct remote_counts c = send(k, u);
	assert_int_equal(c.objects, 5); /* the folders on the way */
	receive(k, 4096);
	assert_true(has_whole(k, u));
	assert_int_equal(reach(k->to, u), reach(k->from, u));
}

static void test_empty_tree(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	send(k, object_empty);
	receive(k, 7);
	assert_true(has_whole(k, object_empty));
	struct remote_counts c;
	buf_clear(&k->stream);
	assert_int_equal(remote_send(k->from, NULL, 0, &(struct remote_peer){ ask, to_buf, k }, &c, &err), 0);
	receive(k, 7);
}

/* Cut anywhere, what came whole stays, and the second try asks for the rest only. */
static void test_cut_and_resume(void **state)
{
	struct kit *k = *state;
	struct hash t = example(k->from);
	size_t whole = send(k, t).objects;
	for (size_t cut = 1; cut < k->stream.len / 8 * 7; cut += k->stream.len / 8) {
		struct err err = ERR_INIT;
		struct remote_counts c;
		assert_int_equal(feed(k, k->stream.p, cut, 1000, &c, &err), -1);
		assert_int_equal(err.code, ERR_PROTOCOL);
	}
	renew_haver(k);
	struct remote_counts c = send(k, t);
	assert_true(c.objects > 0 && c.objects < whole);
	receive(k, 1000);
	assert_true(has_whole(k, t));
}

/* A folder of which something is missing does not count as there. */
static void test_incomplete_is_not_had(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct hash t = example(k->from);
	auto_buf bytes = BUF_INIT;
	assert_int_equal(store_get(k->from, &t, &bytes, &err), 0);
	assert_int_equal(store_begin(k->to, true, &err), 0);
	assert_int_equal(store_put(k->to, OBJECT_TREE, bytes.p, bytes.len, NULL, NULL, &err), 0);
	assert_int_equal(store_end(k->to, &err), 0);
	assert_true(store_has(k->to, &t));
	assert_false(has_whole(k, t));
	send(k, t);
	receive(k, 4096);
	assert_true(has_whole(k, t));
}

static void test_missing_at_the_sender(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct hash t = { { 1, 2, 3 } };
	struct remote_counts c;
	assert_int_equal(remote_send(k->from, &t, 1, &(struct remote_peer){ ask, to_buf, k }, &c, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(k->stream.len, 0);
}

/* Any changed byte is noticed, whatever it is. */
static void test_flipped_bytes(void **state)
{
	struct kit *k = *state;
	struct hash t = put_text(k->from, object_empty, "b/c.txt", "hello hello hello hello hello hello hello hello hello\n");
	send(k, t);
	for (size_t i = 0; i < k->stream.len; i++) {
		struct err err = ERR_INIT;
		struct remote_counts c;
		k->stream.p[i] ^= 0x41;
		assert_int_equal(feed(k, k->stream.p, k->stream.len, 64, &c, &err), -1);
		assert_true(err.code == ERR_PROTOCOL || err.code == ERR_INVALID);
		assert_true(err.msg[0]);
		k->stream.p[i] ^= 0x41;
	}
	receive(k, 64);
	assert_true(has_whole(k, t));
}

static void test_trailing_bytes(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct remote_counts c;
	send(k, put_text(k->from, object_empty, "a", "b"));
	buf_ch(&k->stream, 'x');
	assert_int_equal(feed(k, k->stream.p, k->stream.len, 4096, &c, &err), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
}

/* A node that is what its name says, but no node. */
static void test_bad_node(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct hash id;
	struct remote_counts c;
	assert_int_equal(store_begin(k->from, true, &err), 0);
	assert_int_equal(store_put(k->from, OBJECT_TREE, "no node", 7, NULL, &id, &err), 0);
	assert_int_equal(store_end(k->from, &err), 0);
	assert_int_equal(remote_send_objects(k->from, &id, 1, &(struct remote_peer){ .write = to_buf, .arg = k }, &c, &err), 0);
	assert_int_equal(feed(k, k->stream.p, k->stream.len, 4096, &c, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_false(store_has(k->to, &id));
}

static void test_objects_alone(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct remote_counts c;
	struct hash t = example(k->from);
	assert_int_equal(remote_send_objects(k->from, &t, 1, &(struct remote_peer){ .write = to_buf, .arg = k }, &c, &err), 0);
	assert_int_equal(c.objects, 1);
	receive(k, 4096);
	assert_true(store_has(k->to, &t));
	assert_false(has_whole(k, t));
}

/* Between pieces others can write. */
static void test_pause(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct remote_counts c;
	struct hash t = example(k->from);
	send(k, t);
	struct remote_receiver *r = remote_receiver_new(k->to, &err);
	struct store *other = store_open(store_path(k->to), false, &err);
	assert_non_null(other);
	for (size_t at = 0; at < k->stream.len; at += 500000) {
		size_t n = k->stream.len - at < 500000 ? k->stream.len - at : 500000;
		assert_int_equal(remote_receiver_add(r, k->stream.p + at, n, &err), 0);
		assert_int_equal(remote_receiver_pause(r, &err), 0);
		assert_int_equal(store_begin(other, false, &err), 0);
		assert_int_equal(store_end(other, &err), 0);
	}
	assert_true(remote_receiver_done(r));
	assert_int_equal(remote_receiver_end(r, &c, &err), 0);
	remote_receiver_free(r);
	store_close(other);
	assert_true(has_whole(k, t));
}

static void test_hostile_lengths(void **state)
{
	struct kit *k = *state;
	struct remote_counts c;
	static const struct {
		uint8_t kind, flags;
		uint32_t plain, stored;
	} cases[] = {
		{ 1, 0, UINT32_MAX, UINT32_MAX },
		{ 2, 0, (4u << 20) + 1, (4u << 20) + 1 },
		{ 1, 1, 10, 10 },
		{ 1, 0, 10, 9 },
		{ 4, 0, 1, 1 },
		{ 1, 2, 2, 1 },
		{ 0, 0, 1, 1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		char head[42] = { 0 };
		head[0] = (char)cases[i].kind;
		memcpy(head + 1, &cases[i].plain, 4);
		memcpy(head + 5, &cases[i].stored, 4);
		head[9] = (char)cases[i].flags;
		buf_clear(&k->stream);
		buf_str(&k->stream, "SBXPACK1");
		buf_add(&k->stream, head, sizeof(head));
		assert_int_equal(feed(k, k->stream.p, k->stream.len, 4096, &c, &err), -1);
		assert_int_equal(err.code, ERR_PROTOCOL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_whole_tree),
		T(test_pieces_of_any_size),
		T(test_second_time_sends_nothing),
		T(test_only_what_is_new),
		T(test_empty_tree),
		T(test_cut_and_resume),
		T(test_incomplete_is_not_had),
		T(test_missing_at_the_sender),
		T(test_flipped_bytes),
		T(test_trailing_bytes),
		T(test_bad_node),
		T(test_objects_alone),
		T(test_pause),
		T(test_hostile_lengths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
