/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "shared/store/gc.h"
#include "shared/store/label_internal.h"
#include "shared/store/tree.h"
#include "tests/unit/store_kit.h"

/* Tree i on top of root: a small file, and a large one of two chunks, both its own. Within an open write. */
static struct hash make_tree(struct store *s, int i, const struct hash *root)
{
	struct err err = ERR_INIT;
	struct entry small, large;
	struct hash out;
	auto_buf body = BUF_INIT;
	auto_free char *a = mem_printf("d%d/small", i % 7), *b = mem_printf("large%d", i % 3);
	auto_free uint8_t *noise = malloc(300000);
	fill_xorshift(noise, 300000, (uint64_t)i + 5);
	kit_body(i, &body);
	struct tree_file *f = tree_file_new(s, 0644), *g = tree_file_new(s, 0755);
	assert_true(f && g);
	assert_int_equal(tree_file_add(f, body.p, body.len, &err), 0);
	assert_int_equal(tree_file_add(g, noise, 300000, &err), 0);
	assert_int_equal(tree_file_end(f, &small, &err), 0);
	assert_int_equal(tree_file_end(g, &large, &err), 0);
	struct tree_edit edits[] = { { .path = a, .file = &small }, { .path = b, .file = &large } };
	assert_int_equal(tree_apply(s, root, edits, 2, &out, &err), 0);
	tree_file_free(f);
	tree_file_free(g);
	return out;
}

static int set(struct store *s, const char *name, const struct hash *to, bool missing_ok)
{
	struct err err = ERR_INIT;
	struct label_move m = { .name = name, .to = *to, .op = LABEL_PUSH, .any = true, .missing_ok = missing_ok };
	return label_move(s, &m, NULL, NULL, &err);
}

static int fsck(struct kit *k)
{
	struct err err = ERR_INIT;
	uint64_t faults = 0;
	buf_clear(&k->faults);
	if (gc_fsck(k->s, kit_fault, k, &faults, &err))
		fail_msg("fsck: %s", err.msg);
	return (int)faults;
}

static int count_one(void *arg, enum object_kind kind, const struct hash *id, struct err *err)
{
	(void)kind;
	(void)id;
	(void)err;
	++*(int *)arg;
	return 0;
}

/* All that the tree leads to can be read. */
static int reach(struct store *s, const struct hash *root)
{
	struct err err = ERR_INIT;
	int n = 0;
	struct hash_set *seen = hash_set_new();
	if (tree_reach(s, root, seen, count_one, &n, NULL, &err))
		fail_msg("reach: %s", err.msg);
	hash_set_free(seen);
	return n;
}

static void collects(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct store_swept swept;
	struct hash t[6];
	assert_int_equal(store_begin(k->s, true, &err), 0);
	for (int i = 0; i < 6; i++)
		t[i] = make_tree(k->s, i, i ? &t[i - 1] : &object_empty);
	kit_put(k, 0, 50);
	assert_int_equal(set(k->s, "main", &t[1], false), 0);
	assert_int_equal(set(k->s, "main", &t[3], false), 0);
	assert_int_equal(store_end(k->s, &err), 0);
	assert_int_equal(store_pin(k->s, "vm", &t[5], &err), 0);
	assert_int_equal(store_pin(k->s, "blob", &k->ids[7], &err), 0);
	/* a chunk with the bytes of a node, pinned or labelled, is walked like one */
	assert_int_equal(fsck(k), 0);
	assert_int_equal(gc_run(k->s, true, true, &swept, &err), 0);
	uint64_t would = swept.removed;
	assert_true(would >= 49);
	assert_true(store_has(k->s, &k->ids[3]));
	assert_int_equal(gc_run(k->s, false, true, &swept, &err), 0);
	assert_int_equal(swept.removed, would);
	assert_true(swept.freed > 0);
	for (int i = 0; i < 50; i++)
		assert_int_equal(store_has(k->s, &k->ids[i]), i == 7);
	reach(k->s, &t[1]);
	reach(k->s, &t[3]);
	reach(k->s, &t[5]);
	/* t[2] and t[4] were nobody's; t[0] neither */
	assert_false(store_has(k->s, &t[0]) || store_has(k->s, &t[2]) || store_has(k->s, &t[4]));
	assert_int_equal(fsck(k), 0);
	assert_int_equal(store_unpin(k->s, "vm", &err), 0);
	assert_int_equal(gc_run(k->s, false, true, &swept, &err), 0);
	assert_false(store_has(k->s, &t[5]));
	reach(k->s, &t[3]);
	assert_int_equal(label_remove(k->s, "main", NULL, &err), 0);
	assert_int_equal(store_unpin(k->s, "blob", &err), 0);
	assert_int_equal(gc_run(k->s, false, true, &swept, &err), 0);
	assert_int_equal(swept.kept, 0);
	assert_int_equal(fsck(k), 0);
}

static void held_off(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct store_swept swept;
	struct store *other = store_open(store_path(k->s), false, &err);
	kit_fill(k, 0, 5);
	assert_int_equal(store_hold(other, &err), 0);
	assert_int_equal(gc_run(k->s, false, false, &swept, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(gc_run(k->s, true, false, &swept, &err), 0);
	assert_int_equal(swept.removed, 5);
	store_release(other);
	assert_int_equal(store_begin(other, true, &err), 0);
	assert_int_equal(gc_run(k->s, false, false, &swept, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(store_end(other, &err), 0);
	assert_int_equal(gc_run(k->s, false, false, &swept, &err), 0);
	assert_int_equal(swept.removed, 5);
	store_close(other);
}

static void missing_and_damaged(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct store_swept swept;
	struct hash far = { { 1, 2, 3 } }, tree;
	kit_fill(k, 0, 5);
	/* mcp-v8's wire moves labels to what is elsewhere: no fault of ours */
	assert_int_equal(set(k->s, "far", &far, true), 0);
	assert_int_equal(set(k->s, "far", &k->ids[2], true), 0);
	assert_int_equal(fsck(k), 0);
	assert_int_equal(gc_run(k->s, false, true, &swept, &err), 0);
	assert_int_equal(swept.removed, 4);
	assert_int_equal(store_begin(k->s, true, &err), 0);
	tree = make_tree(k->s, 1, &object_empty);
	assert_int_equal(set(k->s, "main", &tree, false), 0);
	assert_int_equal(store_end(k->s, &err), 0);
	/* take a chunk away */
	auto_buf bytes = BUF_INIT;
	struct found f;
	auto_free uint8_t *noise = malloc(300000);
	fill_xorshift(noise, 300000, 6);
	struct tree_at at;
	assert_int_equal(tree_find(k->s, &tree, "large1", &at, &err), 0);
	struct hash chunk;
	memcpy(&chunk, at.file.data, HASH_LEN);
	tree_at_free(&at);
	assert_true(store_find(k->s, &chunk, &f));
	auto_free char *pack = mem_printf("%s/packs/%u.pack", store_path(k->s), f.pack->number),
		       *idx = mem_printf("%s/packs/%u.idx", store_path(k->s), f.pack->number);
	kit_flip(pack, f.e.offset + 10);
	pack_unref(f.pack);
	unlink(idx);
	kit_reopen(k);
	assert_true(fsck(k) >= 2);
	assert_non_null(strstr(k->faults.p, "label 'main', move 1: object "));
	/* a damaged history: what it led to is not known */
	char file[HASH_HEX + 1];
	label_file_name("far", file);
	auto_free char *path = mem_printf("%s/labels/%s", store_path(k->s), file);
	kit_flip(path, 40);
	assert_int_equal(gc_run(k->s, false, true, &swept, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	assert_non_null(strstr(err.msg, "nothing was collected"));
	assert_true(fsck(k) >= 3);
	assert_non_null(strstr(k->faults.p, "label 'far' is damaged"));
}

struct reading {
	char *path;
	struct hash tree;
	_Atomic bool stop;
	int rounds;
};

static void *read_on(void *arg)
{
	struct reading *r = arg;
	struct err err = ERR_INIT;
	struct store *s = store_open(r->path, false, &err);
	while (!atomic_load(&r->stop)) {
		auto_buf out = BUF_INIT;
		assert_true(reach(s, &r->tree) > 3);
		struct hash_set *seen = hash_set_new();
		hash_set_free(seen);
		assert_int_equal(store_get(s, &r->tree, &out, &err), 0);
		r->rounds++;
	}
	store_close(s);
	return NULL;
}

/* A reader sees its tree whole at any time, while gc moves it from pack to pack. */
static void reader_during_gc(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct store_swept swept;
	struct reading r = { .path = mem_strdup(store_path(k->s)) };
	pthread_t t;
	assert_int_equal(store_begin(k->s, true, &err), 0);
	r.tree = make_tree(k->s, 1, &object_empty);
	r.tree = make_tree(k->s, 2, &r.tree);
	assert_int_equal(set(k->s, "main", &r.tree, false), 0);
	assert_int_equal(store_end(k->s, &err), 0);
	assert_int_equal(pthread_create(&t, NULL, read_on, &r), 0);
	for (int i = 0; i < 60; i++) {
		kit_fill(k, i, i + 5);
		assert_int_equal(gc_run(k->s, false, true, &swept, &err), 0);
		assert_true(swept.removed >= 5);
	}
	atomic_store(&r.stop, true);
	pthread_join(t, NULL);
	assert_true(r.rounds > 0);
	assert_int_equal(fsck(k), 0);
	free(r.path);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)
	const struct CMUnitTest tests[] = { T(collects), T(held_off), T(missing_and_damaged), T(reader_during_gc) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
