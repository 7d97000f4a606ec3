/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
/*
 * The bytes of a pack and of its index. Byte 0 chooses: whether they are taken as they are, or as changes (XOR at places) to the
 * files of a small good store, growing or sealed, so that the checksums in front do not keep the fuzzer out. Whatever they are:
 * opening, reading, checking and writing on neither crash nor hang, what is read has the hash it was asked for, and what is written
 * is there.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/store/store_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                                                   \
	do {                                                                                                                       \
		if (!(x))                                                                                                          \
			abort();                                                                                                   \
	} while (0)

enum { OBJECTS = 6 };
struct good {
	struct buf pack, idx[2]; /* growing, sealed */
	struct hash ids[OBJECTS];
	char dir[40];
};

static void body_of(int i, char out[600], size_t *n)
{
	*n = (size_t)i * 100;
	for (size_t j = 0; j < *n; j++)
		out[j] = (char)(i % 2 ? 'a' : (int)(j * 7919 >> 3) ^ i);
}

static void write_file(const char *dir, const char *name, const void *p, size_t n)
{
	auto_free char *path = fs_join(dir, name);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	CHECK(fd >= 0 && !fs_write_all(fd, p, n, NULL));
}

static void read_file(const char *dir, const char *name, struct buf *out)
{
	auto_free char *path = fs_join(dir, name);
	buf_init(out);
	CHECK(!fs_read(path, 1 << 20, out, NULL));
}

static struct good g;

static void clean_up(void)
{
	fs_remove_tree(g.dir, NULL);
}

static const struct good *make_good(void)
{
	if (g.dir[0])
		return &g;
	snprintf(g.dir, sizeof(g.dir), "%s/sbx-f_pack-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	CHECK(mkdtemp(g.dir) && !atexit(clean_up));
	struct store *s = store_open(g.dir, true, NULL);
	CHECK(s && !store_begin(s, true, NULL));
	for (int i = 0; i < OBJECTS; i++) {
		char body[600];
		size_t n;
		body_of(i, body, &n);
		CHECK(!store_put(s, OBJECT_CHUNK, body, n, NULL, &g.ids[i], NULL));
	}
	CHECK(!store_end(s, NULL));
	read_file(g.dir, "packs/1.pack", &g.pack);
	read_file(g.dir, "packs/1.idx", &g.idx[0]);
	CHECK(!store_begin(s, true, NULL) && !store_seal(s, s->w.pack, NULL));
	read_file(g.dir, "packs/1.idx", &g.idx[1]);
	s->w.pack = NULL;
	store_abort(s);
	store_close(s);
	return &g;
}

/* Three bytes a change: place, value. */
static void apply(struct buf *b, const uint8_t *data, size_t size)
{
	for (; size >= 3; data += 3, size -= 3) {
		size_t at = (size_t)(data[0] | data[1] << 8);
		if (at >= 0xff00)
			b->len = b->len > (at & 0xff) ? b->len - (at & 0xff) : 0;
		else if (b->len)
			b->p[at % b->len] = (char)(b->p[at % b->len] ^ data[2]);
	}
}

static int check_each(void *arg, const struct hash *id, const struct store_info *info)
{
	struct store *s = arg;
	struct err err = ERR_INIT;
	auto_buf out = BUF_INIT;
	if (!store_get(s, id, &out, &err)) {
		struct hash is;
		hash_of(out.p, out.len, &is);
		CHECK(hash_eq(&is, id) && out.len == info->size);
	} else {
		CHECK(err.code == ERR_IO || err.code == ERR_NOT_FOUND);
	}
	return 0;
}

static bool keep_all(void *arg, const struct hash *id)
{
	(void)arg;
	(void)id;
	return true;
}

static void use(const struct good *good)
{
	struct err err = ERR_INIT;
	uint64_t faults;
	struct store *s = store_open(good->dir, false, &err);
	if (!s)
		return;
	for (int i = 0; i < OBJECTS; i++) {
		struct store_info info;
		if (!store_stat(s, &good->ids[i], &info, NULL))
			check_each(s, &good->ids[i], &info);
	}
	(void)store_each(s, check_each, s, &err);
	(void)store_check(s, NULL, NULL, &faults, &err);
	if (!store_begin(s, true, &err)) {
		struct hash id;
		struct store_swept swept;
		CHECK(!store_put(s, OBJECT_CHUNK, "written on", 10, NULL, &id, &err) && !store_end(s, &err));
		CHECK(store_has(s, &id));
		(void)store_sweep(s, keep_all, NULL, false, true, &swept, &err);
		CHECK(store_has(s, &id));
	}
	store_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct good *good = make_good();
	if (size < 3)
		return 0;
	auto_buf pack = BUF_INIT;
	auto_buf idx = BUF_INIT;
	size_t cut = data[1] * (size - 2) / 255;
	const uint8_t *a = data + 2, *b = a + cut;
	size_t an = cut, bn = size - 2 - cut;
	if (data[0] & 1) {
		buf_add(&pack, a, an);
		buf_add(&idx, b, bn);
	} else {
		const struct buf *from = &good->idx[data[0] >> 1 & 1];
		buf_add(&pack, good->pack.p, good->pack.len);
		buf_add(&idx, from->p, from->len);
		apply(&pack, a, an);
		apply(&idx, b, bn);
	}
	for (int i = 2; i < 4; i++) {
		auto_free char *p = mem_printf("%s/packs/%d.pack", good->dir, i), *x = mem_printf("%s/packs/%d.idx", good->dir, i);
		unlink(p);
		unlink(x);
	}
	write_file(good->dir, "packs/1.pack", pack.p, pack.len);
	if (data[0] & 4) {
		auto_free char *x = mem_printf("%s/packs/1.idx", good->dir);
		unlink(x);
	} else {
		write_file(good->dir, "packs/1.idx", idx.p, idx.len);
	}
	use(good);
	return 0;
}
