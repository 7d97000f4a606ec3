/* blocks: the shape of the trie, and its nodes. Writing is in blocks_write.c, reading in blocks_read.c, files in blocks_file.c. */
#include "shared/store/blocks_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/base/mem.h"

enum { META_MAX = 128 };

int layout_of(const struct blocks_shape *shape, struct layout *out, struct err *err)
{
	uint32_t block = shape->block;
	if (block < BLOCKS_MIN || block > BLOCKS_MAX || (block & (block - 1)))
		return err_set(err, ERR_INVALID, "an image cannot have blocks of %u bytes", block);
	if (shape->size > BLOCKS_SIZE_MAX)
		return err_set(err, ERR_INVALID, "an image cannot have %" PRIu64 " bytes", shape->size);
	*out = (struct layout){ .shape = *shape, .per_leaf = (size_t)block * FAN > OBJECT_INLINE_MAX ? FAN : 2 * FAN };
	out->blocks = (shape->size + block - 1) / block;
	out->leaves = (out->blocks + out->per_leaf - 1) / out->per_leaf;
	while (out->leaves > (uint64_t)1 << (out->levels * FAN_BITS))
		out->levels++;
	return 0;
}

static int no_image(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "the tree is no block image: %s", what);
}

int layout_beyond(struct err *err)
{
	return no_image(err, "it has blocks beyond its size");
}

/* Exactly the text that blocks_write writes. */
static bool meta_parse(const struct entry *e, struct blocks_shape *out)
{
	char text[META_MAX], again[META_MAX];
	if (e->chunked || e->link || e->mode != OBJECT_FILE_MODE || e->size >= sizeof(text))
		return false;
	memcpy(text, e->data, (size_t)e->size);
	text[e->size] = '\0';
	const char *block = strstr(text, "block "), *size = strstr(text, "size ");
	if (!block || !size)
		return false;
	out->block = (uint32_t)strtoull(block + strlen("block "), NULL, 10);
	out->size = strtoull(size + strlen("size "), NULL, 10);
	(void)blocks_meta(out, again, sizeof(again));
	return strlen(text) == e->size && strcmp(text, again) == 0;
}

size_t blocks_meta(const struct blocks_shape *shape, char *out, size_t room)
{
	return (size_t)snprintf(out, room, "sbx-blocks 1\nblock %" PRIu32 "\nsize %" PRIu64 "\n", shape->block, shape->size);
}

static int layout_parse(const struct node *node, struct layout *out, struct err *err)
{
	const struct child *meta = node_find(node, BLOCKS_META, strlen(BLOCKS_META));
	const struct child *data = node_find(node, BLOCKS_DATA, strlen(BLOCKS_DATA));
	struct blocks_shape shape;
	if (!meta || !meta->has_file || meta->has_dir || !meta_parse(&meta->file, &shape))
		return no_image(err, "its file '" BLOCKS_META "' does not say so");
	if (node->count != (data ? 2 : 1) || (data && (data->has_file || !data->has_dir)))
		return no_image(err, "it has other files");
	if (layout_of(&shape, out, err))
		return -1;
	if (data && !out->blocks)
		return layout_beyond(err);
	out->has_data = data != NULL;
	if (data)
		out->data = data->dir;
	return 0;
}

int layout_load(struct store *s, const struct hash *id, struct layout *out, struct err *err)
{
	struct tree_node t;
	if (!id) {
		struct blocks_shape shape = out->shape;
		return layout_of(&shape, out, err);
	}
	if (tree_load(s, id, &t, err))
		return -1;
	int rc = layout_parse(&t.node, out, err);
	tree_unload(&t);
	return rc;
}

int layout_fits(const struct layout *from, const struct layout *to, struct err *err)
{
	if (from->shape.block != to->shape.block)
		return err_set(
			err, ERR_INVALID, "the images have blocks of %u and of %u bytes", from->shape.block, to->shape.block);
	if (from->shape.size > to->shape.size)
		return err_set(err, ERR_INVALID, "the image it is based on is larger: %" PRIu64 " bytes, not %" PRIu64,
			from->shape.size, to->shape.size);
	return 0;
}

int blocks_shape(struct store *s, const struct hash *id, struct blocks_shape *out, struct err *err)
{
	struct layout l = { .shape.block = 0 };
	if (layout_load(s, id, &l, err))
		return -1;
	*out = l.shape;
	return 0;
}

/* ---- nodes ---- */

void blocks_zero_id(uint32_t n, struct hash *out)
{
	auto_free uint8_t *zeros = mem_zalloc(n);
	hash_of(zeros, n, out);
}

bool blocks_all_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static int leaf_parse(const struct node *node, const struct layout *l, struct leaf *out, struct err *err)
{
	const struct child *c = node->count == 1 ? &node->children[0] : NULL;
	if (!c || c->has_dir || c->name_len != strlen(BLOCKS_LEAF) || memcmp(c->name, BLOCKS_LEAF, c->name_len) != 0)
		return no_image(err, "there should be the file of a leaf");
	const struct entry *e = &c->file;
	if (e->mode != OBJECT_FILE_MODE || !e->chunked || e->chunks != l->per_leaf ||
		e->size != (uint64_t)l->per_leaf * l->shape.block)
		return no_image(err, "a leaf has another size");
	memcpy(out->id, e->data, (size_t)l->per_leaf * HASH_LEN);
	return 0;
}

/* NOLINTNEXTLINE(readability-function-size): what to read, by which rules and where to are no more than they are */
int leaf_load(
	struct store *s, const struct hash *id, const struct layout *l, const struct hash *zero, struct leaf *out, struct err *err)
{
	struct tree_node t;
	for (unsigned i = 0; !id && i < l->per_leaf; i++)
		out->id[i] = *zero;
	if (!id)
		return 0;
	if (tree_load(s, id, &t, err))
		return -1;
	int rc = leaf_parse(&t.node, l, out, err);
	tree_unload(&t);
	return rc;
}

int leaf_put(struct store *s, const struct leaf *leaf, const struct layout *l, struct hash *out, struct err *err)
{
	auto_buf b = BUF_INIT;
	const struct child c = { .name = BLOCKS_LEAF,
		.name_len = (uint16_t)strlen(BLOCKS_LEAF),
		.has_file = true,
		.file = { .mode = OBJECT_FILE_MODE,
			.size = (uint64_t)l->per_leaf * l->shape.block,
			.chunked = true,
			.chunks = l->per_leaf,
			.data = leaf->id[0].b } };
	if (node_encode(&c, 1, &b, err))
		return -1;
	hash_of(b.p, b.len, out);
	return store_put(s, OBJECT_TREE, b.p, b.len, out, NULL, err);
}

static int digit_of(const struct child *c)
{
	if (c->name_len != 1 || c->has_file || !c->has_dir)
		return -1;
	char d = c->name[0];
	return d >= '0' && d <= '9' ? d - '0' : d >= 'a' && d <= 'f' ? d - 'a' + 10 : -1;
}

int fan_load(struct store *s, const struct hash *id, struct fan *out, struct err *err)
{
	struct tree_node t;
	int rc = 0;
	out->has = 0;
	if (tree_load(s, id, &t, err))
		return -1;
	for (uint32_t i = 0; !rc && i < t.node.count; i++) {
		const struct child *c = &t.node.children[i];
		int digit = digit_of(c);
		if (digit < 0) {
			rc = no_image(err, "a folder has something else than folders named by a digit");
			break;
		}
		out->has |= 1u << digit;
		out->id[digit] = c->dir;
	}
	tree_unload(&t);
	return rc;
}
