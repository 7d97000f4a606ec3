/* link: shared/store/[chlost]*.c | -lzstd -lpthread */
/* Trees in a store: a line each, NAME VALUE. Best of several rounds. make, walk and reach: milliseconds for 10,000 files of 1 KiB
 * in 400 folders; edit: milliseconds for one changed file; set: nanoseconds to add a hash; cut and file: GB/s of cutting, and of
 * cutting, hashing and storing what is there already. usage: micro_tree FOLDER (new; it stays) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/chunk.h"
#include "shared/store/tree.h"

#define FILES 10000u
#define ROUNDS 9
#define CONTENT 1024
#define DATA ((size_t)64 << 20)
#define HASHES 1000000u

struct bench {
	struct store *s;
	struct hash root;
	uint8_t *data;
	unsigned turn;
};

static int nothing(void *arg, const char *path, const struct child *c, bool is_dir, struct err *err)
{
	(void)path;
	(void)c;
	(void)is_dir;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static int nothing_more(void *arg, enum object_kind kind, const struct hash *id, struct err *err)
{
	(void)kind;
	(void)id;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static int make(struct bench *b, struct err *err)
{
	auto_free struct tree_edit *edits = mem_array(FILES, sizeof(*edits));
	auto_free struct entry *entries = mem_array(FILES, sizeof(*entries));
	auto_free char *paths = mem_array(FILES, 32);
	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(paths + (size_t)i * 32, 32, "d%02u/e%02u/f%02u", i / 500, i / 25 % 20, i % 25);
		entries[i] =
			(struct entry){ .mode = OBJECT_FILE_MODE, .size = CONTENT, .data = b->data + (size_t)i * 1027 + b->turn };
		edits[i] = (struct tree_edit){ .path = paths + (size_t)i * 32, .file = &entries[i] };
	}
	return tree_apply(b->s, &object_empty, edits, FILES, &b->root, err);
}

static int edit(struct bench *b, struct err *err)
{
	struct hash out;
	struct entry e = { .mode = OBJECT_FILE_MODE, .size = CONTENT, .data = b->data + b->turn };
	struct tree_edit one = { .path = "d07/e07/f07", .file = &e };
	return tree_apply(b->s, &b->root, &one, 1, &out, err);
}

static int walk(struct bench *b, struct err *err)
{
	unsigned n = 0;
	return tree_walk(b->s, &b->root, nothing, &n, err) == 0 && n == FILES + 420 ? 0 : -1;
}

static int reach(struct bench *b, struct err *err)
{
	unsigned n = 0;
	return tree_reach(b->s, &b->root, NULL, nothing_more, &n, NULL, err) == 0 && n == 421 ? 0 : -1;
}

static int cut(struct bench *b, struct err *err)
{
	(void)err;
	for (size_t at = 0; at < DATA;)
		at += chunk_cut(b->data + at, DATA - at);
	return 0;
}

static int file(struct bench *b, struct err *err)
{
	struct entry e;
	struct tree_file *f = tree_file_new(b->s, OBJECT_FILE_MODE);
	int r = 0;
	for (size_t at = 0; r == 0 && at < DATA; at += 1 << 20)
		r = tree_file_add(f, b->data + at, 1 << 20, err);
	if (r == 0)
		r = tree_file_end(f, &e, err);
	tree_file_free(f);
	return r;
}

static int set(struct bench *b, struct err *err)
{
	(void)err;
	struct hash_set *hashes = hash_set_new();
	for (unsigned i = 0; i < HASHES; i++)
		hash_set_add(hashes, (const struct hash *)(const void *)(b->data + (size_t)i * 32));
	hash_set_free(hashes);
	return 0;
}

/* From the microseconds that one took to what is printed. */
enum unit { MS, GBS, NS };
static const struct row {
	const char *name;
	int (*run)(struct bench *b, struct err *err);
	enum unit unit;
} rows[] = {
	{ "make", make, MS },
	{ "walk", walk, MS },
	{ "reach", reach, MS },
	{ "edit", edit, MS },
	{ "set", set, NS },
	{ "cut", cut, GBS },
	{ "file", file, GBS },
};

static double value(enum unit unit, double us)
{
	return unit == MS ? us / 1e3 : unit == GBS ? (double)DATA / 1e3 / us : us * 1e3 / HASHES;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct bench b = { .data = mem_zalloc(DATA + 4096) };
	uint64_t x = 1;
	for (size_t i = 0; i < DATA + 4096; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		b.data[i] = (uint8_t)(x >> 56);
	}
	b.s = argc == 2 ? store_open(argv[1], true, &err) : NULL;
	int r = b.s ? store_begin(b.s, true, &err) : -1;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(rows); i++) {
		int64_t best = INT64_MAX;
		for (unsigned round = 0; r == 0 && round < ROUNDS; round++) {
			b.turn = round;
			int64_t start = clock_mono_us();
			r = rows[i].run(&b, &err);
			int64_t took = clock_mono_us() - start;
			best = took < best ? took : best;
		}
		printf("%-6s %.2f\n", rows[i].name, value(rows[i].unit, (double)(best ? best : 1)));
	}
	if (r == 0)
		r = store_end(b.s, &err);
	if (r != 0)
		(void)fprintf(stderr, "micro_tree: %s\n", argc == 2 ? err.msg : "which folder?");
	if (b.s)
		store_close(b.s);
	free(b.data);
	return r ? 1 : 0;
}
