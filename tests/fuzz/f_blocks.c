/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
/* Trees that claim to be images, made by rules that the input sets: what one reader tells of them, the other tells too, and written
 * over they are images still, or they are refused. Or the input is the top node itself. */
#include <stdint.h>
#include <string.h>

#include "shared/store/blocks_internal.h"
#include "tests/fuzz/store_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EDITS_MAX = 24, META_MAX = 64, BLOCK = 4096 };

struct input {
	const uint8_t *p;
	size_t n;
};

static uint8_t byte(struct input *in)
{
	if (!in->n)
		return 0;
	in->n--;
	return *in->p++;
}

/* ---- a tree ---- */

static struct hash noise_id(struct store *s, uint8_t with, size_t n)
{
	uint8_t block[2 * BLOCK] = { with };
	struct hash id;
	CHECK(store_put(s, OBJECT_CHUNK, block, n, NULL, &id, NULL) == 0);
	return id;
}

/* A path of digits, mostly right ones. */
static void make_path(struct input *in, char *out)
{
	char *p = stpcpy(out, byte(in) % 16 ? "data" : "date");
	for (unsigned n = byte(in) % 9; n; n--) {
		uint8_t b = byte(in);
		*p++ = '/';
		*p++ = "0123456789abcdefg"[b % 17];
	}
	(void)stpcpy(p, byte(in) % 16 ? "/blocks" : "");
}

static void make_leaf(struct store *s, struct input *in, struct hash ids[33], struct entry *out)
{
	uint8_t kind = byte(in), at = byte(in) % 32;
	for (unsigned i = 0; i < 33; i++)
		blocks_zero_id(BLOCK, &ids[i]);
	ids[at] = noise_id(s, byte(in), kind % 8 == 1 ? 2 * BLOCK : BLOCK);
	unsigned n = kind % 8 == 2 ? 31 : kind % 8 == 3 ? 33 : 32;
	*out = (struct entry){
		.mode = kind % 8 == 4 ? 0755 : 0644, .size = (uint64_t)n * BLOCK, .chunked = true, .chunks = n, .data = ids[0].b
	};
	if (kind % 8 == 5)
		memset(ids[at].b, kind, HASH_LEN);
}

static void make_meta(struct input *in, char *out, size_t room)
{
	struct blocks_shape shape = { .block = BLOCK };
	uint8_t kind = byte(in);
	for (unsigned i = 0; i < 8; i++)
		shape.size |= (uint64_t)byte(in) << (8 * i);
	shape.size >>= kind % 64;
	if (kind & 0x80)
		shape.block <<= byte(in) % 10;
	size_t n = blocks_meta(&shape, out, room);
	if ((kind & 0x40) && byte(in) % 2)
		out[byte(in) % n] = (char)byte(in);
}

static struct hash make_tree(struct store *s, struct input *in)
{
	char meta[META_MAX], paths[EDITS_MAX][32];
	struct hash ids[EDITS_MAX][33], root;
	struct entry entries[EDITS_MAX];
	struct tree_edit edits[EDITS_MAX];
	make_meta(in, meta, sizeof(meta));
	entries[0] = (struct entry){ .mode = 0644, .size = strlen(meta), .data = (const uint8_t *)meta };
	edits[0] = (struct tree_edit){ .path = "blocks", .file = &entries[0] };
	size_t n = 1;
	for (; n < EDITS_MAX && in->n; n++) {
		make_path(in, paths[n]);
		make_leaf(s, in, ids[n], &entries[n]);
		edits[n] = (struct tree_edit){ .path = paths[n], .file = &entries[n] };
	}
	CHECK(tree_apply(s, &object_empty, edits, n, &root, NULL) == 0);
	return root;
}

/* ---- what is told of it ---- */

struct sum {
	_Atomic uint64_t blocks, places;
	uint64_t all; /* blocks that can be */
};

static int add_data(void *arg, const struct blocks_run *run, const uint8_t *bytes, struct err *err)
{
	struct sum *sum = arg;
	(void)err;
	CHECK(run->zero == !bytes && run->count && run->count <= sum->all && run->first <= sum->all - run->count);
	sum->blocks += run->count;
	for (uint64_t i = 0; i < run->count; i++)
		sum->places += run->first + i;
	return 0;
}

static int add_diff(void *arg, const struct blocks_run *run, struct err *err)
{
	static const uint8_t none;
	return add_data(arg, run, run->zero ? NULL : &none, err);
}

/* 0 when it can be read. */
static int read_it(struct store *s, const struct hash *from, const struct hash *id, const struct blocks_shape *shape)
{
	struct sum data = { .all = (shape->size + shape->block - 1) / shape->block }, diff = { .all = data.all };
	struct err err = ERR_INIT;
	int a = blocks_each(s, from, id, add_data, &data, &err);
	CHECK(a == 0 || err.code == ERR_INVALID || err.code == ERR_IO || err.code == ERR_NOT_FOUND);
	int b = blocks_diff(s, from, id, add_diff, &diff, &err);
	CHECK(b == 0 || a != 0);
	CHECK(a != 0 || (data.blocks == diff.blocks && data.places == diff.places));
	return a;
}

/* ---- changing it ---- */

static int once(void *arg, struct blocks_run *run, struct err *err)
{
	(void)err;
	*run = *(struct blocks_run *)arg;
	((struct blocks_run *)arg)->count = 0;
	return run->count > 0;
}

static int ones(void *arg, uint64_t place, void *out, size_t n, struct err *err)
{
	(void)arg, (void)place, (void)err;
	memset(out, 1, n);
	return 0;
}

static void change(struct store *s, const struct hash *id, const struct blocks_shape *shape, struct input *in)
{
	struct blocks_shape larger = *shape;
	struct hash out;
	larger.size += (uint64_t)byte(in) << (byte(in) % 40);
	uint64_t blocks = (larger.size + larger.block - 1) / larger.block;
	if (!blocks || larger.size > BLOCKS_SIZE_MAX)
		return;
	struct blocks_run run = { .first = ((uint64_t)byte(in) << (byte(in) % 32)) % blocks, .zero = byte(in) % 2 };
	run.count = 1 + byte(in) % 64;
	if (run.count > blocks - run.first)
		run.count = blocks - run.first;
	const struct blocks_source source = { once, ones, &run };
	if (blocks_write(s, id, &larger, &source, &out, NULL) == 0)
		CHECK(read_it(s, NULL, &out, &larger) == 0 || read_it(s, NULL, id, shape) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store *s = store_of_now("blocks");
	struct input in = { data, size };
	struct blocks_shape shape;
	struct hash id;
	CHECK(store_begin(s, true, NULL) == 0);
	if (byte(&in) % 8 == 0)
		CHECK(store_put(s, OBJECT_TREE, in.p, in.n, NULL, &id, NULL) == 0);
	else
		id = make_tree(s, &in);
	if (blocks_shape(s, &id, &shape, NULL) == 0) {
		CHECK(shape.size <= BLOCKS_SIZE_MAX && shape.block >= BLOCKS_MIN && shape.block <= BLOCKS_MAX);
		(void)read_it(s, NULL, &id, &shape);
		CHECK(read_it(s, &id, &id, &shape) == 0);
		change(s, &id, &shape, &in);
	}
	store_abort(s);
	return 0;
}
