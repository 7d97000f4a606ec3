/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
/*
 * Images in the store: a file (a RAM image, a disk) goes in, with fdatasync; 100 pages of it change, as an idle VM's do; what that
 * costs, finding it, reading it back. usage: micro_blocks FILE [STORE [BLOCK [SIZE-IN-MIB]]]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/blocks.h"

enum { PAGES = 100, FORKS = 100, PAGE = 4096 };

static struct err err = ERR_INIT;

static void must(int rc, const char *what)
{
	if (rc == 0)
		return;
	(void)fprintf(stderr, "micro_blocks: %s: %s\n", what, err.msg);
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t stored(struct store *s)
{
	struct store_totals t;
	must(store_totals(s, &t, &err), "totals");
	return t.disk;
}

/* Pages with a little of their content changed. */
struct dirty {
	int fd;
	struct blocks_shape shape;
	uint64_t block[PAGES], page[PAGES]; /* of the image, ascending; number of the page that is changed */
	size_t n, at;
	uint64_t salt;
};

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* The pages that have something in them: those are what a VM writes to. */
static uint64_t *used_pages(int fd, uint64_t *n)
{
	uint8_t page[PAGE], zero[PAGE] = { 0 };
	struct stat st;
	must(fstat(fd, &st), "file");
	uint64_t *v = mem_array((size_t)st.st_size / PAGE + 1, sizeof(*v));
	*n = 0;
	for (uint64_t at = 0; pread(fd, page, PAGE, (off_t)(at * PAGE)) == PAGE; at++)
		if (memcmp(page, zero, PAGE) != 0)
			v[(*n)++] = at;
	return v;
}

static void scatter(struct dirty *d, const uint64_t *pages, uint64_t pages_n, uint64_t salt)
{
	d->salt = salt;
	for (size_t i = 0; i < PAGES; i++)
		d->page[i] = pages[(salt = salt * 6364136223846793005u + 1442695040888963407u) % pages_n];
	qsort(d->page, PAGES, sizeof(*d->page), by_number);
	d->n = d->at = 0;
	for (size_t i = 0; i < PAGES; i++) {
		uint64_t b = d->page[i] * PAGE / d->shape.block;
		if (!d->n || d->block[d->n - 1] != b)
			d->block[d->n++] = b;
	}
}

static int dirty_next(void *arg, struct blocks_run *run, struct err *e)
{
	struct dirty *d = arg;
	(void)e;
	if (d->at == d->n)
		return 0;
	*run = (struct blocks_run){ .first = d->block[d->at], .count = 1, .place = d->block[d->at] * d->shape.block };
	d->at++;
	return 1;
}

static int dirty_read(void *arg, uint64_t place, void *data, size_t n, struct err *e)
{
	const struct dirty *d = arg;
	if (pread(d->fd, data, n, (off_t)place) != (ssize_t)n)
		return err_set(e, ERR_IO, "cannot read the image");
	for (size_t i = 0; i < PAGES; i++)
		if (d->page[i] * PAGE >= place && d->page[i] * PAGE < place + n)
			memcpy((uint8_t *)data + (d->page[i] * PAGE - place) + 64 * (i % 32), &d->salt, sizeof(d->salt));
	return 0;
}

static int nothing(void *arg, const struct blocks_run *run, const uint8_t *data, struct err *e)
{
	(void)arg, (void)run, (void)data, (void)e;
	return 0;
}

static int count(void *arg, const struct blocks_run *run, struct err *e)
{
	(void)e;
	*(uint64_t *)arg += run->count;
	return 0;
}

static void forks(struct store *s, const struct hash *base, struct dirty *d)
{
	uint64_t pages_n;
	auto_free uint64_t *pages = used_pages(d->fd, &pages_n);
	struct hash last = *base, id;
	const struct blocks_source source = { dirty_next, dirty_read, d };
	double t = now();
	uint64_t before = stored(s), differ = 0;
	for (int i = 0; i < FORKS; i++) {
		scatter(d, pages, pages_n, (uint64_t)i + 1);
		must(store_begin(s, true, &err), "begin");
		must(blocks_write(s, base, &d->shape, &source, &id, &err), "write");
		must(store_end(s, &err), "end");
		if (i + 1 < FORKS)
			last = id;
	}
	printf("%d forks of %d pages: %.1f ms each, %.0f KB each\n", FORKS, PAGES, (now() - t) * 1e3 / FORKS,
		(double)(stored(s) - before) / 1e3 / FORKS);
	t = now();
	must(blocks_diff(s, &last, &id, count, &differ, &err), "diff");
	printf("diff of two of them: %.1f ms, %llu blocks\n", (now() - t) * 1e3, (unsigned long long)differ);
}

static void run(struct store *s, int fd, const char *out, const struct blocks_shape *shape)
{
	struct hash base, again;
	struct stat st;
	uint64_t before = stored(s);
	must(fstat(fd, &st), "file");
	double mb = (double)st.st_blocks * 512 / 1e6, t = now();
	must(store_begin(s, true, &err), "begin");
	must(blocks_from_file(s, NULL, shape, fd, &base, &err), "import");
	double put = now() - t;
	must(store_end(s, &err), "end");
	double all = now() - t;
	printf("import %.0f MB (of %.0f): %.3f s, durable %.3f s, stored %.1f MB\n", mb, (double)shape->size / 1e6, put, all,
		(double)(stored(s) - before) / 1e6);
	t = now();
	must(store_begin(s, true, &err), "begin");
	must(blocks_from_file(s, &base, shape, fd, &again, &err), "import again");
	must(store_end(s, &err), "end");
	printf("import again over itself: %.3f s, %s\n", now() - t, hash_eq(&base, &again) ? "same" : "DIFFERENT");
	t = now();
	must(blocks_each(s, NULL, &base, nothing, NULL, &err), "read");
	printf("read back: %.3f s\n", now() - t);
	auto_fd int to = open(out, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	t = now();
	must(blocks_to_file(s, NULL, &base, to, &err), "export");
	printf("to a file: %.3f s, %.0f MB allocated\n", now() - t, (double)fs_allocated(out) / 1e6);
	struct dirty d = { .fd = fd, .shape = *shape };
	forks(s, &base, &d);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		(void)fprintf(stderr, "usage: micro_blocks FILE [STORE [BLOCK [SIZE-IN-MIB]]]\n");
		return 2;
	}
	char template[] = "/tmp/micro_blocks.XXXXXX";
	struct stat st;
	auto_free char *dir = mem_strdup(argc > 2 ? argv[2] : mkdtemp(template));
	auto_free char *out = mem_printf("%s.out", dir);
	auto_fd int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	must(fd < 0 || fstat(fd, &st) ? err_set(&err, ERR_IO, "no such file") : 0, argv[1]);
	struct blocks_shape shape = { (uint64_t)st.st_size, argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 16384 };
	if (argc > 4)
		shape.size = strtoull(argv[4], NULL, 10) << 20;
	struct store *s = store_open(dir, true, &err);
	must(s ? 0 : -1, "store");
	run(s, fd, out, &shape);
	store_close(s);
	(void)unlink(out);
	must(fs_remove_tree(dir, &err), "clean up");
	return 0;
}
