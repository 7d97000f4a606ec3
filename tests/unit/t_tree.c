/* link: shared/store/[chlost]*.c | -lzstd -lpthread */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/store/tree.h"
#include "tests/unit/store_data.h"
#include "tests/unit/store_dir.h"

static void check_id(struct hash h, const char *hex)
{
	char text[HASH_HEX + 1];
	assert_string_equal(hash_hex(&h, text), hex);
}

static struct entry entry_of(uint32_t mode, const char *text)
{
	struct entry e = { .mode = mode, .size = strlen(text), .data = (const uint8_t *)text };
	if (mode == OBJECT_LINK_MODE) {
		e.link = text;
		e.link_len = e.size;
	}
	return e;
}

static struct hash apply(struct store *s, struct hash root, const struct tree_edit *edits, size_t n)
{
	struct err err = ERR_INIT;
	struct hash out;
	assert_int_equal(store_begin(s, true, &err), 0);
	if (tree_apply(s, &root, edits, n, &out, &err) != 0)
		fail_msg("%s", err.msg);
	assert_int_equal(store_end(s, &err), 0);
	return out;
}

static struct hash put(struct store *s, struct hash root, const char *path, const char *text)
{
	struct entry e = entry_of(OBJECT_FILE_MODE, text);
	struct tree_edit edit = { .path = path, .file = &e };
	return apply(s, root, &edit, 1);
}

static struct hash drop(struct store *s, struct hash root, const char *path, bool dir)
{
	struct tree_edit edit = { .path = path, .remove = true, .dir = dir };
	return apply(s, root, &edit, 1);
}

/* The tree in words, one a line: the path, then the content, a folder's slash or a mode. */
static int say(void *arg, const char *path, const struct child *c, bool is_dir, struct err *err)
{
	(void)err;
	struct buf *b = arg;
	buf_fmt(b, "%s", path);
	if (is_dir)
		buf_ch(b, '/');
	if (c->has_file && (!is_dir || entry_is_dir_mode(&c->file)) && c->file.mode != OBJECT_FILE_MODE)
		buf_fmt(b, " %o", c->file.mode);
	if (!is_dir)
		buf_fmt(b, "=%.*s", (int)c->file.size, (const char *)c->file.data);
	buf_ch(b, '\n');
	return 0;
}

static void check_tree(struct store *s, struct hash root, const char *want)
{
	struct err err = ERR_INIT;
	auto_buf b = BUF_INIT;
	assert_int_equal(tree_walk(s, &root, say, &b, &err), 0);
	assert_string_equal(b.p, want);
}

static void published_ids(void **state)
{
	struct store *s = *state;
	struct hash none = object_empty, h;
	check_id(put(s, none, "a", "base"), A_BASE);
	check_id(put(s, none, "data/note.txt", "hello snapshot"), DATA_NOTE);
	check_id(put(s, put(s, none, "b/c.txt", "hello\n"), "a.txt", "A"), A_AND_B_C);
	check_id(put(s, none, "f", ""), EMPTY_FILE);
	h = put(s, put(s, none, "a/b", "y"), "a", "x");
	check_id(h, FILE_AND_DIR);
	check_tree(s, h, "a=x\na/\na/b=y\n");
	struct entry link = entry_of(OBJECT_LINK_MODE, "/t");
	check_id(apply(s, none, &(struct tree_edit){ .path = "link", .file = &link }, 1), LINK_T);
	check_id(apply(s, none, NULL, 0), EMPTY_TREE);
	assert_true(store_has(s, &object_empty));
}

static void paths_are_normalised(void **state)
{
	struct store *s = *state;
	struct hash want = put(s, object_empty, "a/b/c", "x");
	static const char *const same[] = { "/a/b/c", "a//b/c", "./a/./b/c/.", "a/b/c/", "a/b/c//./" };
	static const char *const bad[] = { "..", "a/../b", "../a", "a/.." };
	struct entry e = entry_of(OBJECT_FILE_MODE, "x");
	struct err err = ERR_INIT;
	struct hash out;
	struct tree_at at;
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		struct hash got = put(s, object_empty, same[i], "x");
		assert_true(hash_eq(&got, &want));
		assert_int_equal(tree_find(s, &want, same[i], &at, &err), 0);
		assert_true(at.has_file && !at.has_dir);
		tree_at_free(&at);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(tree_apply(s, &want, &(struct tree_edit){ .path = bad[i], .file = &e }, 1, &out, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_int_equal(tree_find(s, &want, bad[i], &at, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
	}
	auto_free char *name = mem_zalloc(OBJECT_NAME_MAX + 2);
	memset(name, 'n', OBJECT_NAME_MAX + 1);
	assert_int_equal(tree_apply(s, &want, &(struct tree_edit){ .path = name, .file = &e }, 1, &out, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(tree_apply(s, &want, &(struct tree_edit){ .path = "", .file = &e }, 1, &out, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

static void finds_files_and_folders(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	struct tree_at at;
	struct hash root = put(s, put(s, object_empty, "a/b/c", "x"), "a/b", "file");
	assert_int_equal(tree_find(s, &root, "", &at, &err), 0);
	assert_true(at.has_dir && !at.has_file && hash_eq(&at.dir, &root));
	tree_at_free(&at);
	assert_int_equal(tree_find(s, &root, "a/b", &at, &err), 0);
	assert_true(at.has_dir && at.has_file && at.file.size == 4 && memcmp(at.file.data, "file", 4) == 0);
	tree_at_free(&at);
	static const char *const absent[] = { "b", "a/c", "a/b/c/d", "a/b/cc",
		"a/b/"
		"\x01" };
	for (size_t i = 0; i < ARRAY_LEN(absent); i++) {
		assert_int_equal(tree_find(s, &root, absent[i], &at, &err), -1);
		assert_int_equal(err.code, ERR_NOT_FOUND);
		tree_at_free(&at);
	}
	struct hash nowhere = { { 1 } };
	assert_int_equal(tree_find(s, &nowhere, "a", &at, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	/* Bytes that are no node. */
	struct hash chunk;
	assert_int_equal(store_begin(s, true, &err), 0);
	assert_int_equal(store_put(s, OBJECT_CHUNK, "no node", 7, NULL, &chunk, &err), 0);
	assert_int_equal(store_end(s, &err), 0);
	assert_int_equal(tree_find(s, &chunk, "a", &at, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

static void empty_folders(void **state)
{
	struct store *s = *state;
	struct hash root = put(s, put(s, object_empty, "a/b/c", "x"), "d", "y"), got;
	/* What an edit leaves empty goes, up to the top. */
	got = drop(s, root, "a/b/c", false);
	check_tree(s, got, "d=y\n");
	got = drop(s, got, "d", false);
	assert_true(hash_eq(&got, &object_empty));
	/* What was empty before, or is said to be, stays. */
	struct tree_edit keep[] = {
		{ .path = "e/empty", .dir = true, .tree = object_empty },
		{ .path = "e/empty/x", .remove = true },
	};
	got = apply(s, root, keep, 2);
	check_tree(s, got, "a/\na/b/\na/b/c=x\nd=y\ne/\ne/empty/\n");
	assert_true(store_has(s, &object_empty));
	got = drop(s, got, "e/empty/nothing", true);
	check_tree(s, got, "a/\na/b/\na/b/c=x\nd=y\ne/\ne/empty/\n");
	got = put(s, got, "e/empty/z", "z");
	got = drop(s, got, "e/empty/z", false);
	check_tree(s, got, "a/\na/b/\na/b/c=x\nd=y\n");
	got = drop(s, got, "a", true);
	check_tree(s, got, "d=y\n");
	got = apply(s, got, &(struct tree_edit){ .path = "", .dir = true, .tree = root }, 1);
	assert_true(hash_eq(&got, &root));
	got = apply(s, got, &(struct tree_edit){ .path = "", .remove = true, .dir = true }, 1);
	assert_true(hash_eq(&got, &object_empty));
}

static void folder_modes(void **state)
{
	struct store *s = *state;
	struct entry private = entry_of(S_IFDIR | 0700, ""), plain = entry_of(S_IFDIR | 0755, "");
	struct entry run = entry_of(0755, "#!"), fifo = entry_of(S_IFIFO | 0600, "");
	struct tree_edit edits[] = {
		{ .path = "b/x", .file = &run },
		{ .path = "a", .file = &private },
		{ .path = "b", .file = &private },
		{ .path = "c", .file = &plain },
		{ .path = "p", .file = &fifo },
	};
	struct hash root = apply(s, object_empty, edits, ARRAY_LEN(edits));
	check_tree(s, root, "a/ 40700\nb/ 40700\nb/x 755=#!\nc/\np 10600=\n");
	struct hash got = apply(s, root, &(struct tree_edit){ .path = "b", .file = &plain }, 1);
	check_tree(s, got, "a/ 40700\nb/\nb/x 755=#!\nc/\np 10600=\n");
	got = drop(s, root, "b", false);
	check_tree(s, got, "a/ 40700\nb/\nb/x 755=#!\nc/\np 10600=\n");
	/* The mode goes with the folder. */
	got = drop(s, root, "b/x", false);
	check_tree(s, got, "a/ 40700\nc/\np 10600=\n");
	/* A folder becomes a file. */
	struct tree_edit swap = { .path = "b", .remove = true, .dir = true, .file = &run };
	check_tree(s, apply(s, root, &swap, 1), "a/ 40700\nb 755=#!\nc/\np 10600=\n");
}

static void only_changed_spines_are_written(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	struct store_totals before, after;
	char path[64];
	struct hash root = object_empty, got;
	auto_free struct tree_edit *edits = mem_array(1000, sizeof(*edits));
	auto_free char *paths = mem_zalloc(1000 * sizeof(path));
	struct entry e = entry_of(OBJECT_FILE_MODE, "same");
	for (unsigned i = 0; i < 1000; i++) {
		char *p = paths + i * sizeof(path);
		(void)snprintf(p, sizeof(path), "d%u/e%u/f%u", i / 100, i / 10 % 10, i % 10);
		edits[i] = (struct tree_edit){ .path = p, .file = &e };
	}
	root = apply(s, root, edits, 1000);
	assert_int_equal(store_totals(s, &before, &err), 0);
	/* 10 equal folders of 10 equal folders of 10 files: three nodes. */
	assert_int_equal(before.objects, 3);
	got = apply(s, root, edits, 1000);
	assert_true(hash_eq(&got, &root));
	got = put(s, root, "d3/e4/f5", "other");
	assert_int_equal(store_totals(s, &after, &err), 0);
	assert_int_equal(after.objects, before.objects + 3);
	got = put(s, got, "d3/e4/f5", "same");
	assert_true(hash_eq(&got, &root));
}

/* Random edits one after the other give what all that is left gives at once. */
static void random_edits_agree(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	static const char *const names[] = { "a", "a.b", "a-b", "ab", "b", "\xff" };
	enum { N = 6 * 6 * 6 };
	char paths[N][16];
	char texts[N][8] = { { 0 } };
	uint64_t seed = 2024;
	for (unsigned i = 0; i < N; i++)
		(void)snprintf(paths[i], sizeof(paths[i]), "%s/%s/%s", names[i / 36], names[i / 6 % 6], names[i % 6]);
	struct hash root = object_empty;
	assert_int_equal(store_begin(s, true, &err), 0);
	for (unsigned round = 0; round < 300; round++) {
		struct tree_edit edits[40];
		struct entry entries[40];
		size_t n = xorshift(&seed) % 40;
		for (size_t k = 0; k < n; k++) {
			unsigned i = (unsigned)(xorshift(&seed) >> 20) % N;
			bool gone = round % 7 == 6 || xorshift(&seed) % 3 == 0;
			(void)snprintf(texts[i], sizeof(texts[i]), "%s", gone ? "" : xorshift(&seed) % 2 ? "one" : "two");
			entries[k] = entry_of(OBJECT_FILE_MODE, texts[i][0] ? texts[i][1] == 'n' ? "one" : "two" : "");
			edits[k] = (struct tree_edit){ .path = paths[i], .remove = gone, .file = gone ? NULL : &entries[k] };
		}
		assert_int_equal(tree_apply(s, &root, edits, n, &root, &err), 0);
		struct tree_edit all[N];
		struct entry left[N];
		size_t count = 0;
		for (unsigned i = N; i-- > 0;) {
			if (!texts[i][0])
				continue;
			left[count] = entry_of(OBJECT_FILE_MODE, texts[i]);
			all[count] = (struct tree_edit){ .path = paths[i], .file = &left[count] };
			count++;
		}
		struct hash want;
		assert_int_equal(tree_apply(s, &object_empty, all, count, &want, &err), 0);
		assert_true(hash_eq(&want, &root));
	}
	assert_int_equal(store_end(s, &err), 0);
}

struct stop {
	unsigned calls, at;
	int answer;
};

static int stop_at(void *arg, const char *path, const struct child *c, bool is_dir, struct err *err)
{
	(void)path;
	(void)c;
	(void)is_dir;
	(void)err;
	struct stop *st = arg;
	return st->calls++ == st->at ? st->answer : 0;
}

static void walk_stops_and_skips(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	struct hash root = put(s, put(s, object_empty, "a/b/c", "x"), "d", "y");
	struct stop st = { .at = 1, .answer = 7 };
	assert_int_equal(tree_walk(s, &root, stop_at, &st, &err), 7);
	assert_int_equal(st.calls, 2);
	st = (struct stop){ .at = 0, .answer = TREE_SKIP };
	assert_int_equal(tree_walk(s, &root, stop_at, &st, &err), 0);
	assert_int_equal(st.calls, 2); /* a and d */
}

/* Deeper than a stack would bear: read all the same; not made by a path. */
static void deep_trees(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	auto_buf path = BUF_INIT;
	auto_buf b = BUF_INIT;
	struct hash dir = object_empty, out;
	struct child c = { .name = "d", .name_len = 1, .has_dir = true };
	assert_int_equal(store_begin(s, true, &err), 0);
	for (unsigned i = 0; i < 30000; i++) {
		c.dir = dir;
		buf_clear(&b);
		assert_int_equal(node_encode(&c, 1, &b, &err), 0);
		assert_int_equal(store_put(s, OBJECT_TREE, b.p, b.len, NULL, &dir, &err), 0);
		buf_str(&path, "d/");
	}
	assert_int_equal(store_end(s, &err), 0);
	struct stop st = { .at = UINT32_MAX };
	assert_int_equal(tree_walk(s, &dir, stop_at, &st, &err), 0);
	assert_int_equal(st.calls, 30000);
	struct tree_edit edit = { .path = path.p, .dir = true, .tree = object_empty };
	assert_int_equal(tree_apply(s, &object_empty, &edit, 1, &out, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

struct reached {
	unsigned trees, chunks, missing;
};

static int count_object(void *arg, enum object_kind kind, const struct hash *id, struct err *err)
{
	(void)id;
	(void)err;
	struct reached *r = arg;
	r->trees += kind == OBJECT_TREE;
	r->chunks += kind == OBJECT_CHUNK;
	return 0;
}

static void count_missing(void *arg, const struct hash *id)
{
	(void)id;
	((struct reached *)arg)->missing++;
}

static void reaches_each_once(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	struct hash ids[3] = { { { 0 } }, { { 0 } }, { { 9 } } }; /* the last is not there */
	assert_int_equal(store_begin(s, true, &err), 0);
	assert_int_equal(store_put(s, OBJECT_CHUNK, "chunk0", 6, NULL, &ids[0], &err), 0);
	assert_int_equal(store_end(s, &err), 0);
	/* A file whose chunk is a node as well: the node's own children must be found. */
	struct hash inner = put(s, object_empty, "deep/file", "x");
	ids[1] = inner;
	struct entry e = { .mode = 0644, .size = 70000, .chunked = true, .chunks = 3, .data = ids[0].b };
	struct tree_edit edits[] = {
		{ .path = "a", .file = &e },
		{ .path = "b", .file = &e },
		{ .path = "c/d", .dir = true, .tree = inner },
		{ .path = "e", .dir = true, .tree = inner },
		{ .path = "none", .dir = true, .tree = object_empty },
	};
	struct hash root = apply(s, object_empty, edits, ARRAY_LEN(edits));
	struct reached r = { 0 };
	struct hash_set *seen = hash_set_new();
	assert_int_equal(tree_reach(s, &root, seen, count_object, &r, count_missing, &err), 0);
	assert_int_equal(r.trees, 5); /* root, c, inner, deep, the empty one */
	assert_int_equal(r.chunks, 2);
	assert_int_equal(r.missing, 1);
	assert_true(hash_set_has(seen, &inner) && hash_set_has(seen, &ids[0]) && hash_set_has(seen, &root));
	/* Nothing twice. */
	assert_int_equal(tree_reach(s, &root, seen, count_object, &r, count_missing, &err), 0);
	assert_int_equal(r.trees, 5);
	hash_set_free(seen);
	assert_int_equal(tree_reach(s, &root, NULL, count_object, &r, NULL, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	r = (struct reached){ 0 };
	assert_int_equal(tree_reach(s, &ids[2], NULL, count_object, &r, count_missing, &err), 0);
	assert_int_equal(r.missing, 1);
}

static void set_of_hashes(void **state)
{
	(void)state;
	struct hash_set *set = hash_set_new();
	struct hash zero = { { 0 } }, h = { { 0 } };
	assert_false(hash_set_has(set, &zero));
	assert_true(hash_set_add(set, &zero));
	assert_false(hash_set_add(set, &zero));
	/* Differing in one word only, each of the four. */
	for (uint32_t i = 1; i <= 40000; i++) {
		h = zero;
		memcpy(h.b + i % 4 * 8, &i, sizeof(i));
		assert_false(hash_set_has(set, &h));
		assert_true(hash_set_add(set, &h));
	}
	assert_int_equal(hash_set_count(set), 40001);
	for (uint32_t i = 1; i <= 40000; i++) {
		h = zero;
		memcpy(h.b + i % 4 * 8, &i, sizeof(i));
		assert_true(hash_set_has(set, &h));
		assert_false(hash_set_add(set, &h));
	}
	hash_set_free(set);
}

#define WITH_STORE(f) cmocka_unit_test_setup_teardown(f, store_dir_setup, store_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(published_ids),
		WITH_STORE(paths_are_normalised),
		WITH_STORE(finds_files_and_folders),
		WITH_STORE(empty_folders),
		WITH_STORE(folder_modes),
		WITH_STORE(only_changed_spines_are_written),
		WITH_STORE(random_edits_agree),
		WITH_STORE(walk_stops_and_skips),
		WITH_STORE(deep_trees),
		WITH_STORE(reaches_each_once),
		cmocka_unit_test(set_of_hashes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
