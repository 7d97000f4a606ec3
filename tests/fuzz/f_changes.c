/* link: shared/wire/changes.c daemon/core/change_tree.c shared/store/tree*.c shared/store/store*.c shared/store/label*.c shared/store/crc.c shared/store/object.c shared/store/chunk.c shared/store/hash*.c | -lzstd -lpthread */
/* Arbitrary bytes as what a guest says it changed: what is accepted is a tree that can be read to its last byte, with nothing in it
 * that is a file and a folder at once, and the same one however the bytes come. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/change_tree.h"
#include "shared/store/tree.h"
#include "shared/wire/changes.h"
#include "tests/fuzz/store_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLES_MAX ((uint64_t)8 << 20) /* a valid long hole only takes time */

static int ignore_data(void *arg, const void *data, size_t n, struct err *err)
{
	(void)data;
	(void)err;
	*(uint64_t *)arg += n;
	return 0;
}

static int look(void *arg, const char *path, const struct child *c, bool is_dir, struct err *err)
{
	CHECK(*path && *path != '/' && !strstr(path, "//"));
	CHECK(!c->has_file || !c->has_dir || entry_is_dir_mode(&c->file));
	if (is_dir || !c->has_file || entry_is_dir_mode(&c->file))
		return 0;
	uint64_t n = 0;
	CHECK(tree_read(arg, &c->file, 0, UINT64_MAX, ignore_data, &n, err) == 0);
	CHECK(n == c->file.size);
	return 0;
}

static bool has_long_hole(const uint8_t *data, size_t size)
{
	struct changes_rx rx;
	struct change c;
	struct err err = ERR_INIT;
	uint64_t holes = 0;
	changes_rx_init(&rx);
	changes_rx_add(&rx, data, size);
	while (changes_rx_next(&rx, &c, &err) > 0)
		holes += c.kind == CHANGE_HOLE ? c.hole : 0;
	changes_rx_free(&rx);
	return holes > HOLES_MAX;
}

static bool make_tree(struct store *s, const struct hash *base, const uint8_t *data, size_t size, size_t step, struct hash *out)
{
	struct err err = ERR_INIT;
	struct change_tree *c = change_tree_new(base);
	int r = 0;
	CHECK(store_begin(s, true, &err) == 0);
	for (size_t at = 0; r == 0 && at < size; at += step)
		r = change_tree_add(c, s, data + at, size - at < step ? size - at : step, &err);
	if (r == 0)
		r = change_tree_end(c, s, &err);
	CHECK(r == 0 || err.code != ERR_OK);
	*out = change_tree_result(c)->tree;
	change_tree_free(c);
	if (r == 0)
		CHECK(store_end(s, &err) == 0);
	else
		store_abort(s);
	return r == 0;
}

static struct hash base_tree(struct store *s)
{
	static const struct entry file = { .mode = 0644, .size = 1, .data = (const uint8_t *)"x" };
	static const struct entry mode = { .mode = S_IFDIR | 0700, .data = (const uint8_t *)"" };
	const struct tree_edit edits[] = { { .path = "a", .file = &file }, { .path = "d/e/f", .file = &file },
		{ .path = "d", .file = &mode } };
	struct err err = ERR_INIT;
	struct hash out;
	CHECK(store_begin(s, true, &err) == 0);
	CHECK(tree_apply(s, &object_empty, edits, 3, &out, &err) == 0);
	CHECK(store_end(s, &err) == 0);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store *s = store_of_now("changes");
	struct err err = ERR_INIT;
	struct hash whole, pieces;
	if (has_long_hole(data, size))
		return 0;
	struct hash base = base_tree(s);
	bool ok = make_tree(s, &base, data, size, size + 1, &whole);
	CHECK(make_tree(s, &base, data, size, size % 7 + 1, &pieces) == ok);
	if (!ok)
		return 0;
	CHECK(hash_eq(&whole, &pieces));
	CHECK(tree_walk(s, &whole, look, s, &err) == 0);
	return 0;
}
