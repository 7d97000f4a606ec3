/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
/* Images against a plain copy in memory: what is written, read, told as different; that an image has one tree; hostile trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/store/blocks_internal.h"
#include "shared/store/gc.h"
#include "shared/store/store_internal.h"
#include "tests/unit/oracle.h"
#include "tests/unit/store_data.h"
#include "tests/unit/store_dir.h"

static uint64_t below(uint64_t *x, uint64_t n)
{
	return (xorshift(x) >> 11) % n;
}

/* ---- a model: the bytes, and a source that gives random runs of them ---- */

struct model {
	struct blocks_shape shape;
	uint64_t blocks;
	uint8_t *bytes; /* whole blocks */
};

static void model_init(struct model *m, uint64_t size, uint32_t block)
{
	m->shape = (struct blocks_shape){ size, block };
	m->blocks = (size + block - 1) / block;
	m->bytes = mem_zalloc((size_t)m->blocks * block + 1);
}

struct giver {
	const struct model *m;
	const uint8_t *mask; /* 1: read it, 2: say that it is zero */
	uint64_t at;
};

static int give_next(void *arg, struct blocks_run *run, struct err *err)
{
	struct giver *g = arg;
	(void)err;
	while (g->at < g->m->blocks && !g->mask[g->at])
		g->at++;
	uint64_t first = g->at;
	while (g->at < g->m->blocks && g->mask[g->at] == g->mask[first])
		g->at++;
	*run = (struct blocks_run){ .first = first,
		.count = g->at - first,
		.zero = g->at > first && g->mask[first] == 2,
		.place = first * g->m->shape.block };
	return g->at > first;
}

static int give_read(void *arg, uint64_t place, void *data, size_t n, struct err *err)
{
	const struct giver *g = arg;
	(void)err;
	assert_true(place + n <= g->m->shape.size);
	memcpy(data, g->m->bytes + place, n);
	return 0;
}

static struct hash write_model(struct store *s, const struct hash *base, const struct model *m, const uint8_t *mask)
{
	struct giver g = { .m = m, .mask = mask };
	const struct blocks_source source = { give_next, give_read, &g };
	struct err err = ERR_INIT;
	struct hash id;
	bool own;
	assert_int_equal(store_enter(s, &own, &err), 0);
	if (blocks_write(s, base, &m->shape, &source, &id, &err))
		fail_msg("write: %s", err.msg);
	assert_int_equal(store_leave(s, own, 0, &err), 0);
	return id;
}

/* Everything, said to be news. */
static struct hash write_whole(struct store *s, const struct model *m)
{
	auto_free uint8_t *mask = mem_zalloc((size_t)m->blocks + 1);
	memset(mask, 1, (size_t)m->blocks);
	return write_model(s, NULL, m, mask);
}

/* Change some blocks: noise, zeros (read or told), or told as news though they are not. */
static void change(struct model *m, uint8_t *mask, uint64_t *x)
{
	memset(mask, 0, (size_t)m->blocks + 1);
	for (uint64_t n = below(x, 40); n > 0; n--) {
		uint64_t at = below(x, m->blocks), len = 1 + below(x, 1 + below(x, 40));
		unsigned what = (unsigned)below(x, 4);
		for (; len && at < m->blocks; len--, at++) {
			uint64_t from = at * m->shape.block;
			uint64_t n_bytes = m->shape.size - from < m->shape.block ? m->shape.size - from : m->shape.block;
			mask[at] = what == 0 ? 2 : 1;
			if (what < 2)
				memset(m->bytes + from, 0, (size_t)n_bytes);
			else if (what == 2)
				fill_xorshift(m->bytes + from, (size_t)n_bytes, xorshift(x));
		}
	}
}

/* ---- readers ---- */

struct reader {
	uint8_t *bytes;
	uint64_t blocks;
	uint32_t block;
	uint8_t *told; /* by block: how often; each block is one thread's */
};

static int take(void *arg, const struct blocks_run *run, const uint8_t *data, struct err *err)
{
	struct reader *r = arg;
	(void)err;
	if (run->first + run->count > r->blocks || run->place != run->first * r->block || run->zero != !data)
		return err_set(err, ERR_INTERNAL, "a run that cannot be");
	for (uint64_t i = 0; i < run->count; i++) {
		r->told[run->first + i]++;
		if (data)
			memcpy(r->bytes + run->place + i * r->block, data + i * r->block, r->block);
		else
			memset(r->bytes + run->place + i * r->block, 0, r->block);
	}
	return 0;
}

static int note(void *arg, const struct blocks_run *run, struct err *err)
{
	struct reader *r = arg;
	(void)err;
	assert_true(run->count > 0 && run->first + run->count <= r->blocks);
	assert_true(run->place == run->first * r->block);
	for (uint64_t i = 0; i < run->count; i++)
		r->told[run->first + i] = run->zero ? 2 : 1;
	return 0;
}

/* What blocks_each and blocks_diff tell of the way from one to the other is exactly what differs. */
static void check_between(
	struct store *s, const struct hash *a, const struct model *from, const struct hash *b, const struct model *to)
{
	struct err err = ERR_INIT;
	uint32_t block = to->shape.block;
	struct reader r = { .blocks = to->blocks, .block = block };
	auto_free uint8_t *bytes = mem_zalloc((size_t)to->blocks * block + 1);
	auto_free uint8_t *told = mem_zalloc((size_t)to->blocks + 1);
	auto_free uint8_t *noted = mem_zalloc((size_t)to->blocks + 1);
	if (from)
		memcpy(bytes, from->bytes, (size_t)from->blocks * block);
	r.bytes = bytes;
	r.told = told;
	if (blocks_each(s, a, b, take, &r, &err))
		fail_msg("each: %s", err.msg);
	assert_memory_equal(bytes, to->bytes, (size_t)to->blocks * block);
	r.told = noted;
	assert_int_equal(blocks_diff(s, a, b, note, &r, &err), 0);
	for (uint64_t i = 0; i < to->blocks; i++) {
		const uint8_t *now = to->bytes + i * block;
		bool zero = blocks_all_zero(now, block);
		bool same = from && i < from->blocks ? !memcmp(now, from->bytes + i * block, block) : zero;
		assert_int_equal(told[i], !same);
		assert_int_equal(noted[i], same ? 0 : zero ? 2 : 1);
	}
}

static void check_sound(struct store *s, const struct hash *id)
{
	struct err err = ERR_INIT;
	struct blocks_shape shape;
	uint64_t faults = 0;
	assert_int_equal(store_pin(s, "image", id, &err), 0);
	assert_int_equal(gc_fsck(s, NULL, NULL, &faults, &err), 0);
	assert_int_equal(faults, 0);
	assert_int_equal(blocks_shape(s, id, &shape, &err), 0);
}

static const struct blocks_shape shapes[] = {
	{ 1 << 20, 4096 },
	{ (3 << 20) + 512, 4096 },
	{ 4096, 4096 },
	{ 5 << 20, 16384 },
	{ (uint64_t)16384 * 16 * 16, 16384 },
	{ (uint64_t)16384 * (16 * 16 + 1), 16384 },
	{ 1, 16384 },
	{ (9 << 20) + 1000, 65536 },
};

static void random_images(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	uint64_t x = 0x5eed1234567;
	/* a write for each shape, so that there is little to wait for */
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		struct model m, before;
		model_init(&m, shapes[i].size, shapes[i].block);
		model_init(&before, shapes[i].size, shapes[i].block);
		auto_free uint8_t *mask = mem_zalloc((size_t)m.blocks + 1);
		assert_int_equal(store_begin(s, true, &err), 0);
		struct hash id = write_whole(s, &m);
		for (int round = 0; round < 12; round++) {
			struct hash last = id;
			memcpy(before.bytes, m.bytes, (size_t)m.blocks * m.shape.block);
			change(&m, mask, &x);
			id = write_model(s, &last, &m, mask);
			struct hash again = write_whole(s, &m);
			assert_memory_equal(&id, &again, sizeof(id));
			check_between(s, &last, &before, &id, &m);
			check_between(s, &id, &m, &last, &before);
			check_between(s, NULL, NULL, &id, &m);
		}
		assert_int_equal(store_end(s, &err), 0);
		check_sound(s, &id);
		free(m.bytes);
		free(before.bytes);
	}
}

/* A larger image over a smaller one: by one block, by levels. */
static void grown_images(void **state)
{
	static const uint64_t sizes[] = { 0, 4096, 4096 * 32, 4096 * 33, 4096 * 32 * 17, (uint64_t)4096 * 32 * 16 * 17,
		4096 * 32 * 16 * 40 };
	struct store *s = *state;
	struct err err = ERR_INIT;
	uint64_t x = 77;
	assert_int_equal(store_begin(s, true, &err), 0);
	for (size_t i = 0; i + 1 < ARRAY_LEN(sizes); i++) {
		for (size_t j = i + 1; j < ARRAY_LEN(sizes); j++) {
			struct model a, b;
			model_init(&a, sizes[i], 4096);
			model_init(&b, sizes[j], 4096);
			auto_free uint8_t *mask = mem_zalloc((size_t)b.blocks + 1);
			if (a.blocks)
				change(&a, mask, &x);
			struct hash small = write_whole(s, &a);
			memcpy(b.bytes, a.bytes, (size_t)sizes[i]);
			change(&b, mask, &x);
			struct hash large = write_model(s, &small, &b, mask), again = write_whole(s, &b);
			assert_memory_equal(&large, &again, sizeof(large));
			check_between(s, &small, &a, &large, &b);
			assert_int_equal(blocks_diff(s, &large, &small, note, NULL, &err), -1);
			assert_int_equal(err.code, ERR_INVALID);
			free(a.bytes);
			free(b.bytes);
		}
	}
	assert_int_equal(store_end(s, &err), 0);
}

/* ---- files: cmp is the judge ---- */

static void put_file(const char *dir, const char *name, const struct model *m, uint64_t *x)
{
	auto_free char *path = fs_join(dir, name);
	auto_fd int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, (off_t)m->shape.size), 0);
	for (uint64_t i = 0; i < m->blocks; i++) {
		uint64_t at = i * m->shape.block, n = m->shape.size - at < m->shape.block ? m->shape.size - at : m->shape.block;
		/* zeros as holes or written */
		if (!blocks_all_zero(m->bytes + at, (size_t)n) || below(x, 2))
			assert_int_equal(pwrite(fd, m->bytes + at, (size_t)n, (off_t)at), (ssize_t)n);
	}
}

static struct hash import(
	struct store *s, const char *dir, const char *name, const struct hash *base, const struct blocks_shape *shape)
{
	struct err err = ERR_INIT;
	struct hash id;
	bool own;
	auto_free char *path = fs_join(dir, name);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(store_enter(s, &own, &err), 0);
	if (blocks_from_file(s, base, shape, fd, &id, &err))
		fail_msg("import: %s", err.msg);
	assert_int_equal(store_leave(s, own, 0, &err), 0);
	return id;
}

static void export(struct store *s, const char *dir, const char *name, const struct hash *from, const struct hash *to)
{
	struct err err = ERR_INIT;
	auto_free char *path = fs_join(dir, name);
	auto_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (blocks_to_file(s, from, to, fd, &err))
		fail_msg("export: %s", err.msg);
}

static void files(void **state)
{
	struct store *s = *state;
	void *dir = NULL;
	struct err err = ERR_INIT;
	uint64_t x = 4711;
	assert_int_equal(oracle_dir(&dir), 0);
	assert_int_equal(store_begin(s, true, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		struct model m;
		struct hash last, id;
		model_init(&m, shapes[i].size, shapes[i].block);
		auto_free uint8_t *mask = mem_zalloc((size_t)m.blocks + 1);
		auto_free char *out = fs_join(dir, "out");
		(void)unlink(out);
		for (int round = 0; round < 6; round++) {
			change(&m, mask, &x);
			put_file(dir, "in", &m, &x);
			id = import(s, dir, "in", round ? &last : NULL, &m.shape);
			struct hash again = write_whole(s, &m);
			assert_memory_equal(&id, &again, sizeof(id));
			export(s, dir, "out", round ? &last : NULL, &id);
			assert_int_equal(oracle_run(dir, "cmp in out", NULL, NULL), 0);
			last = id;
		}
		(void)unlink(out);
		export(s, dir, "out", NULL, &id);
		assert_int_equal(oracle_run(dir, "cmp in out", NULL, NULL), 0);
		free(m.bytes);
	}
	assert_int_equal(store_end(s, &err), 0);
	assert_int_equal(oracle_dir_end(&dir), 0);
}

/* Of an image that is a hole but for little, little is written out, too; and a file that is short counts as zeros behind its end.
 */
static void holes(void **state)
{
	struct store *s = *state;
	void *dir = NULL;
	const struct blocks_shape shape = { (uint64_t)1 << 36, 65536 };
	struct stat st;
	assert_int_equal(oracle_dir(&dir), 0);
	oracle_write(dir, "in", "only this", 9);
	auto_free char *in = fs_join(dir, "in");
	auto_free char *out = fs_join(dir, "out");
	struct hash id = import(s, dir, "in", NULL, &shape);
	export(s, dir, "out", NULL, &id);
	assert_int_equal(stat(out, &st), 0);
	assert_true((uint64_t)st.st_size == shape.size && st.st_blocks <= 256);
	assert_int_equal(truncate(out, 9), 0);
	assert_int_equal(oracle_run(dir, "cmp in out", NULL, NULL), 0);
	/* the rest goes, too */
	assert_int_equal(truncate(in, 0), 0);
	struct hash none = import(s, dir, "in", &id, &shape);
	export(s, dir, "out", &id, &none);
	assert_int_equal(stat(out, &st), 0);
	assert_int_equal(st.st_blocks, 0);
	assert_int_equal(oracle_dir_end(&dir), 0);
	struct err err = ERR_INIT;
	auto_fd int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(blocks_from_file(s, NULL, &shape, fd, &id, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

/* ---- what it costs ---- */

static void scattered_pages_are_cheap(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	struct model m;
	struct store_totals before, after;
	uint64_t x = 99;
	model_init(&m, 64 << 20, 4096);
	fill_xorshift(m.bytes, 64 << 20, 5);
	auto_free uint8_t *mask = mem_zalloc((size_t)m.blocks + 1);
	struct hash base = write_whole(s, &m);
	assert_int_equal(store_totals(s, &before, &err), 0);
	for (int i = 0; i < 100; i++) {
		uint64_t at = below(&x, m.blocks);
		mask[at] = 1;
		fill_xorshift(m.bytes + at * 4096, 4096, xorshift(&x));
	}
	(void)write_model(s, &base, &m, mask);
	assert_int_equal(store_totals(s, &after, &err), 0);
	/* noise: the pages themselves are 400 KiB; what leads to them less than half of that */
	assert_true(after.stored - before.stored < 100 * 4096 + 200 * 1024);
	free(m.bytes);
}

/* ---- more leaves than are kept in memory ---- */

struct fixed {
	const struct blocks_run *runs;
	size_t n;
};

static int fixed_next(void *arg, struct blocks_run *run, struct err *err)
{
	struct fixed *f = arg;
	(void)err;
	if (!f->n)
		return 0;
	*run = *f->runs++;
	f->n--;
	return 1;
}

enum { MANY = (1 << 16) + 100, LEAF = 32 };

struct many {
	uint64_t leaf, end;
};

static int many_next(void *arg, struct blocks_run *run, struct err *err)
{
	struct many *m = arg;
	(void)err;
	*run = (struct blocks_run){ .first = m->leaf * LEAF, .count = 1 };
	return m->leaf++ < m->end;
}

static int many_read(void *arg, uint64_t place, void *data, size_t n, struct err *err)
{
	(void)arg, (void)place, (void)err;
	memset(data, 7, n);
	return 0;
}

static int add_up(void *arg, const struct blocks_run *run, struct err *err)
{
	(void)err;
	*(uint64_t *)arg += run->count;
	return 0;
}

/* At once, and in two parts. */
static void many_leaves(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	const struct blocks_shape shape = { (uint64_t)MANY * LEAF * 4096, 4096 };
	struct many parts[] = { { 0, MANY }, { 0, MANY / 3 }, { MANY / 3, MANY } };
	struct hash ids[3];
	uint64_t n = 0;
	assert_int_equal(store_begin(s, true, &err), 0);
	for (int i = 0; i < 3; i++) {
		const struct blocks_source source = { many_next, many_read, &parts[i] };
		assert_int_equal(blocks_write(s, i == 2 ? &ids[1] : NULL, &shape, &source, &ids[i], &err), 0);
	}
	assert_int_equal(store_end(s, &err), 0);
	assert_memory_equal(&ids[0], &ids[2], sizeof(ids[0]));
	assert_int_equal(blocks_diff(s, NULL, &ids[0], add_up, &n, &err), 0);
	assert_int_equal(n, MANY);
}

/* To say that terabytes of nothing are zero is no work. */
static void vast_zeros(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	const struct blocks_shape shape = { BLOCKS_SIZE_MAX, 4096 };
	const uint64_t blocks = BLOCKS_SIZE_MAX / 4096, middle = blocks / 3;
	const struct blocks_run runs[][2] = {
		{ { middle, 1, false, 0 }, { blocks - 1, 1, false, 0 } },
		{ { 0, middle, true, 0 }, { middle + 1, blocks - middle - 1, true, 0 } },
		{ { 0, 1, true, 0 }, { 1, blocks - 1, true, 0 } },
	};
	struct hash ids[3];
	uint64_t n = 0;
	assert_int_equal(store_begin(s, true, &err), 0);
	for (int i = 0; i < 3; i++) {
		struct fixed f = { runs[i], 2 };
		const struct blocks_source source = { fixed_next, many_read, &f };
		assert_int_equal(blocks_write(s, i ? &ids[i - 1] : NULL, &shape, &source, &ids[i], &err), 0);
		n = 0;
		assert_int_equal(blocks_diff(s, NULL, &ids[i], add_up, &n, &err), 0);
		assert_int_equal(n, 2 - i);
	}
	assert_int_equal(store_end(s, &err), 0);
}

/* ---- sources that fail or lie ---- */

static int bad_read(void *arg, uint64_t place, void *data, size_t n, struct err *err)
{
	(void)arg, (void)data, (void)n;
	return err_set(err, ERR_IO, "no block at %llu", (unsigned long long)place);
}

static void bad_sources(void **state)
{
	static const struct blocks_run whole[] = { { 0, 1000, false, 0 } };
	static const struct blocks_run beyond[] = { { 990, 11, true, 0 } };
	static const struct blocks_run far[] = { { UINT64_MAX, 2, true, 0 } };
	static const struct blocks_run back[] = { { 5, 5, true, 0 }, { 9, 1, true, 0 } };
	static const struct fixed bad[] = { { whole, 1 }, { beyond, 1 }, { far, 1 }, { back, 2 } };
	const struct blocks_shape shape = { 1000 * 4096, 4096 };
	struct store *s = *state;
	struct hash id;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = ERR_INIT;
		struct fixed f = bad[i];
		const struct blocks_source source = { fixed_next, bad_read, &f };
		assert_int_equal(store_begin(s, true, &err), 0);
		assert_int_equal(blocks_write(s, NULL, &shape, &source, &id, &err), -1);
		assert_int_equal(err.code, i ? ERR_INVALID : ERR_IO);
		store_abort(s);
	}
	static const struct blocks_shape no[] = { { 1, 0 }, { 1, 2048 }, { 1, 4097 }, { 1, 1 << 21 },
		{ BLOCKS_SIZE_MAX + 1, 4096 } };
	for (size_t i = 0; i < ARRAY_LEN(no); i++) {
		struct err err = ERR_INIT;
		struct fixed f = { NULL, 0 };
		const struct blocks_source source = { fixed_next, bad_read, &f };
		assert_int_equal(blocks_write(s, NULL, &no[i], &source, &id, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
	}
}

static int stop_at_once(void *arg, const struct blocks_run *run, const uint8_t *data, struct err *err)
{
	(void)arg, (void)run, (void)data;
	return err_set(err, ERR_NO_SPACE, "enough");
}

static int seven(void *arg, const struct blocks_run *run, struct err *err)
{
	(void)arg, (void)run, (void)err;
	return 7;
}

static void readers_that_stop(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	struct model m;
	model_init(&m, 8 << 20, 4096);
	fill_xorshift(m.bytes, 8 << 20, 8);
	struct hash id = write_whole(s, &m);
	assert_int_equal(blocks_each(s, NULL, &id, stop_at_once, NULL, &err), -1);
	assert_int_equal(err.code, ERR_NO_SPACE);
	assert_int_equal(blocks_diff(s, NULL, &id, seven, NULL, &err), 7);
	free(m.bytes);
}

/* ---- hostile trees ---- */

struct hostile {
	const char *meta, *path;
	int leaf; /* what is at path: see put_hostile */
	enum err_code code;
};
enum { NOTHING, GOOD_LEAF, TEXT, SHORT_LEAF, BAD_BLOCK, LOST_BLOCK, BLOCK_BEYOND };

static struct hash put_hostile(struct store *s, const struct hostile *h)
{
	struct err err = ERR_INIT;
	static const uint8_t noise[4096] = { 1 }, small[100] = { 2 };
	struct hash ids[32], good, bad, root;
	struct tree_edit edits[2] = { 0 };
	struct entry meta = { .mode = 0644, .size = strlen(h->meta), .data = (const uint8_t *)h->meta };
	struct entry leaf = { .mode = 0644, .size = 32 * 4096, .chunked = true, .chunks = 32, .data = ids[0].b };
	assert_int_equal(store_begin(s, true, &err), 0);
	assert_int_equal(store_put(s, OBJECT_CHUNK, noise, sizeof(noise), NULL, &good, &err), 0);
	assert_int_equal(store_put(s, OBJECT_CHUNK, small, sizeof(small), NULL, &bad, &err), 0);
	for (unsigned i = 0; i < 32; i++)
		blocks_zero_id(4096, &ids[i]);
	ids[0] = h->leaf == BAD_BLOCK ? bad : good;
	if (h->leaf == LOST_BLOCK)
		memset(ids[0].b, 7, HASH_LEN);
	if (h->leaf == BLOCK_BEYOND)
		ids[31] = good;
	if (h->leaf == SHORT_LEAF) {
		leaf.chunks = 31;
		leaf.size = 31 * 4096;
	}
	edits[0] = (struct tree_edit){ .path = "blocks", .file = &meta };
	edits[1] = (struct tree_edit){ .path = h->path, .file = h->leaf == TEXT ? &meta : &leaf };
	assert_int_equal(tree_apply(s, &object_empty, edits, h->leaf == NOTHING ? 1 : 2, &root, &err), 0);
	assert_int_equal(store_end(s, &err), 0);
	return root;
}

#define META(size) "sbx-blocks 1\nblock 4096\nsize " size "\n"

static void hostile_trees(void **state)
{
	static const struct hostile cases[] = {
		{ META("131072"), "data/blocks", GOOD_LEAF, ERR_OK },
		{ META("1000000"), "data/0/blocks", GOOD_LEAF, ERR_OK },
		{ META("1152921504606846976"), "data/0/blocks", GOOD_LEAF, ERR_INVALID },
		{ META("17592186044416"), "data/0/0/0/0/0/0/0/blocks", GOOD_LEAF, ERR_OK },
		{ META("17592186044416"), "data/0/0/0/0/0/0/blocks", GOOD_LEAF, ERR_INVALID },
		{ META("17592186044416"), "data/0/0/0/0/0/0/0/0/blocks", GOOD_LEAF, ERR_INVALID },
		{ META("131072"), "data/0/blocks", GOOD_LEAF, ERR_INVALID },
		{ META("131072"), "data/blocks", TEXT, ERR_INVALID },
		{ META("131072"), "data", TEXT, ERR_INVALID },
		{ META("131072"), "data/other", GOOD_LEAF, ERR_INVALID },
		{ META("131072"), "else", GOOD_LEAF, ERR_INVALID },
		{ META("131072"), "data/blocks", SHORT_LEAF, ERR_INVALID },
		{ META("131072"), "data/blocks", BAD_BLOCK, ERR_IO },
		{ META("131072"), "data/blocks", LOST_BLOCK, ERR_NOT_FOUND },
		{ META("131071"), "data/blocks", BLOCK_BEYOND, ERR_OK },
		{ META("126976"), "data/blocks", BLOCK_BEYOND, ERR_INVALID },
		{ META("1000000"), "data/8/blocks", GOOD_LEAF, ERR_INVALID },
		{ META("1000000"), "data/A/blocks", GOOD_LEAF, ERR_INVALID },
		{ META("1000000"), "data/00/blocks", GOOD_LEAF, ERR_INVALID },
		{ META("1000000"), "data/0", GOOD_LEAF, ERR_INVALID },
		{ META("0"), "data/blocks", GOOD_LEAF, ERR_INVALID },
		{ META("0"), "", NOTHING, ERR_OK },
		{ META("00"), "", NOTHING, ERR_INVALID },
		{ META("-1"), "", NOTHING, ERR_INVALID },
		{ META("18446744073709551616"), "", NOTHING, ERR_INVALID },
		{ META("131072") "\n", "", NOTHING, ERR_INVALID },
		{ "sbx-blocks 2\nblock 4096\nsize 0\n", "", NOTHING, ERR_INVALID },
		{ "sbx-blocks 1\nblock 4294971392\nsize 0\n", "", NOTHING, ERR_INVALID },
		{ "sbx-blocks 1\nblock 512\nsize 0\n", "", NOTHING, ERR_INVALID },
		{ "", "", NOTHING, ERR_INVALID },
	};
	struct store *s = *state;
	const struct blocks_run one[] = { { 0, 1, true, 0 } };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		struct hash id = put_hostile(s, &cases[i]);
		uint8_t told[512] = { 0 };
		auto_free uint8_t *bytes = mem_zalloc(512 * 4096);
		struct reader r = { .bytes = bytes, .blocks = 512, .block = 4096, .told = told };
		int rc = blocks_each(s, NULL, &id, take, &r, &err);
		if (rc != (cases[i].code == ERR_OK ? 0 : -1) || (rc && err.code != cases[i].code))
			fail_msg("case %zu: %d %s %s", i, rc, err_name(err.code), err.msg);
		/* as the base of a write: an error or not, but an end */
		struct blocks_shape shape;
		struct fixed f = { one, 1 };
		const struct blocks_source source = { fixed_next, bad_read, &f };
		struct hash out;
		assert_int_equal(store_begin(s, true, &err), 0);
		if (!blocks_shape(s, &id, &shape, &err) && shape.size)
			(void)blocks_write(s, &id, &shape, &source, &out, &err);
		store_abort(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_images, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(grown_images, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(files, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(holes, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(scattered_pages_are_cheap, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(many_leaves, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(vast_zeros, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(bad_sources, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(readers_that_stop, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(hostile_trees, store_dir_setup, store_dir_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
