/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
/*
 * The store alone: objects made of a folder's files (small ones of a folder together, as a tree node has them; large ones in
 * chunks) put by two threads, read again, opened; and label moves. usage: micro_store FOLDER [STORE]
 */
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/chunk.h"
#include "shared/store/label.h"
#include "shared/store/store_internal.h"

enum { THREADS = 2, MOVES = 200, WRITERS = 32 };

struct list {
	char **v;
	size_t n, cap;
};
static struct list files;
struct work {
	struct store *s;
	_Atomic size_t next;
	_Atomic uint64_t bytes;
};

static int note(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	if (type != FTW_F || !S_ISREG(st->st_mode))
		return 0;
	if (files.n == files.cap) {
		files.cap = files.cap ? files.cap * 2 : 1024;
		files.v = mem_grow(files.v, files.cap, sizeof(char *));
	}
	files.v[files.n++] = mem_strdup(path);
	return 0;
}

static void put(struct store *s, const void *p, size_t n)
{
	struct err err = ERR_INIT;
	if (n && store_put(s, OBJECT_CHUNK, p, n, NULL, NULL, &err))
		fprintf(stderr, "micro_store: %s\n", err.msg);
}

static bool same_folder(const char *a, const char *b)
{
	size_t n = (size_t)(strrchr(a, '/') - a);
	return n == (size_t)(strrchr(b, '/') - b) && !strncmp(a, b, n);
}

static void *put_files(void *arg)
{
	struct work *w = arg;
	auto_buf node = BUF_INIT;
	for (;;) {
		size_t from = atomic_fetch_add(&w->next, 64), to = from + 64 < files.n ? from + 64 : files.n;
		if (from >= files.n)
			break;
		for (size_t i = from; i < to; i++) {
			auto_buf data = BUF_INIT;
			if (fs_read(files.v[i], BUF_MAX, &data, NULL))
				continue;
			atomic_fetch_add(&w->bytes, data.len);
			if (data.len <= OBJECT_INLINE_MAX)
				buf_add(&node, data.p, data.len);
			for (size_t at = 0, n; data.len > OBJECT_INLINE_MAX && at < data.len; at += n) {
				n = chunk_cut((const uint8_t *)data.p + at, data.len - at);
				put(w->s, data.p + at, n);
			}
			if (i + 1 == to || !same_folder(files.v[i], files.v[i + 1])) {
				put(w->s, node.p, node.len);
				buf_clear(&node);
			}
		}
	}
	return NULL;
}

static int read_one(void *arg, const struct hash *id, const struct store_info *info)
{
	struct store *s = arg;
	auto_buf out = BUF_INIT;
	(void)info;
	return store_get(s, id, &out, NULL);
}

static double since(int64_t start)
{
	return (double)(clock_mono_us() - start) / 1e6;
}

static void moves(struct store *s)
{
	struct hash id;
	store_begin(s, true, NULL);
	store_put(s, OBJECT_BLOB, "x", 1, NULL, &id, NULL);
	store_end(s, NULL);
	struct label_move m = { .name = "main", .to = id, .op = LABEL_PUSH, .any = true };
	int64_t start = clock_mono_us();
	for (int i = 0; i < MOVES; i++)
		label_move(s, &m, NULL, NULL, NULL);
	printf("label moves, one by one: %.0f/s\n", MOVES / since(start));
	start = clock_mono_us();
	for (int i = 0; i < MOVES; i++) {
		store_begin(s, true, NULL);
		for (int j = 0; j < WRITERS; j++)
			label_move(s, &m, NULL, NULL, NULL);
		store_end(s, NULL);
	}
	printf("label moves, %d a write: %.0f/s\n", WRITERS, MOVES * WRITERS / since(start));
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	char dir[] = "/tmp/micro_store-XXXXXX";
	const char *path = argc > 2 ? argv[2] : mkdtemp(dir);
	if (argc < 2 || !path || nftw(argv[1], note, 64, FTW_PHYS)) {
		fprintf(stderr, "usage: micro_store FOLDER [STORE]\n");
		return 2;
	}
	struct store *s = store_open(path, true, &err);
	struct work w = { .s = s };
	pthread_t t[THREADS];
	int64_t start = clock_mono_us();
	if (!s || store_begin(s, true, &err))
		return 1;
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, put_files, &w);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	double put_time = since(start);
	if (store_end(s, &err))
		return 1;
	double end_time = since(start) - put_time;
	struct store_totals totals;
	store_totals(s, &totals, &err);
	printf("put %zu files, %.1f MB: %.3f s, end %.3f s; %llu objects, stored %.1f MB\n", files.n,
		(double)atomic_load(&w.bytes) / 1e6, put_time, end_time, (unsigned long long)totals.objects,
		(double)totals.stored / 1e6);
	start = clock_mono_us();
	for (int i = 0; i < 100; i++) {
		store_close(store_open(path, false, &err));
	}
	printf("open: %.3f ms\n", since(start) * 10);
	start = clock_mono_us();
	store_each(s, read_one, s, &err);
	printf("get all, one thread: %.3f s\n", since(start));
	uint64_t faults;
	start = clock_mono_us();
	store_check(s, NULL, NULL, &faults, &err);
	printf("check: %.3f s, %llu faults\n", since(start), (unsigned long long)faults);
	moves(s);
	store_close(s);
	if (argc <= 2)
		fs_remove_tree(path, NULL);
	for (size_t i = 0; i < files.n; i++)
		free(files.v[i]);
	free(files.v);
	return 0;
}
