/* link: shared/store/object.c shared/store/hash*.c | */
/* Arbitrary bytes as a tree node: what is accepted is written again as the same bytes, and all of it can be read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/store/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                                                   \
	do {                                                                                                                       \
		if (!(x))                                                                                                          \
			abort();                                                                                                   \
	} while (0)

static void look_at(const struct node *node, const struct child *c)
{
	struct hash id, again;
	struct buf b = BUF_INIT;

	CHECK(object_name_ok(c->name, c->name_len));
	CHECK(node_find(node, c->name, c->name_len) == c);
	CHECK(c->has_file || c->has_dir);
	CHECK(child_eq(c, c));
	if (!c->has_file)
		return;
	CHECK(entry_is_file(&c->file) + entry_is_link(&c->file) + entry_is_special(&c->file) + entry_is_dir_mode(&c->file) == 1);
	entry_id(&c->file, &id);
	entry_encode(&c->file, &b);
	CHECK(!buf_failed(&b));
	hash_of(b.p, b.len, &again);
	CHECK(hash_eq(&id, &again));
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct node node;
	struct err err = ERR_INIT;
	struct buf b = BUF_INIT;

	if (node_decode(data, size, &node, &err) != 0) {
		CHECK(err.code == ERR_INVALID);
		return 0;
	}
	for (uint32_t i = 0; i < node.count; i++)
		look_at(&node, &node.children[i]);
	CHECK(node_encode(node.children, node.count, &b, &err) == 0);
	CHECK(b.len == size && memcmp(b.p, data, size) == 0);
	buf_free(&b);
	node_free(&node);
	return 0;
}
