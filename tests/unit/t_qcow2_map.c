/* link: daemon/vm/qcow2*.c shared/store/[a-z]*.c | -lzstd -lpthread */
/* Chains of overlays that QEMU's own tools wrote: what the map says of them, made one file or an image in the store, is what those
 * tools read; and files that are none, or damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/vm/qcow2_internal.h"
#include "daemon/vm/qcow2_map.h"
#include "tests/unit/oracle.h"
#include "tests/unit/store_data.h"

static uint64_t below(uint64_t *x, uint64_t n)
{
	return (xorshift(x) >> 11) % n;
}

static bool have_qemu(void)
{
	return oracle_run("/", "qemu-img --version", NULL, NULL) == 0 && oracle_run("/", "qemu-io --version", NULL, NULL) == 0;
}

static int tool(const char *dir, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int tool(const char *dir, const char *fmt, ...)
{
	auto_buf words = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_vfmt(&words, fmt, ap);
	va_end(ap);
	return oracle_run(dir, words.p, NULL, NULL);
}

/* ---- chains by QEMU ---- */

enum { LAYERS = 3 };
static const char *const names[LAYERS] = { "2.qcow2", "1.qcow2", "0.qcow2" }; /* top first */

/* What a guest does: writes, zeros, discards, aligned or not, often where something was before. */
static void write_layer(const char *dir, const char *name, uint64_t size, uint64_t *x)
{
	static const char *const verbs[] = { "write -P %u", "write -P %u", "write -z", "write -z -u", "discard" };
	auto_buf script = BUF_INIT;
	for (unsigned n = 1 + (unsigned)below(x, 30); n > 0; n--) {
		uint64_t unit = size < 65536 || below(x, 2) ? 512 : 65536, at = below(x, size / unit) * unit,
			 len = unit * (1 + below(x, 20));
		const char *verb = verbs[below(x, ARRAY_LEN(verbs))];
		if (len > size - at)
			len = size - at;
		if (strchr(verb, '%'))
			buf_fmt(&script, "write -P %u", 1 + (unsigned)below(x, 255));
		else
			buf_str(&script, verb);
		buf_fmt(&script, " %llu %llu\n", (unsigned long long)at, (unsigned long long)len);
	}
	oracle_write(dir, "script", script.p, script.len);
	auto_free char *words = mem_printf("qemu-io -t unsafe -f qcow2 -d unmap %s", name);
	assert_int_equal(oracle_run(dir, words, "script", NULL), 0);
}

/* A raw base with something in it, and overlays, each over the next. */
static void make_chain(const char *dir, const uint64_t sizes[LAYERS], uint64_t *x)
{
	auto_free char *base = fs_join(dir, "base.raw");
	auto_fd int fd = open(base, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint8_t noise[4096];
	assert_int_equal(ftruncate(fd, (off_t)sizes[LAYERS - 1]), 0);
	for (int i = 0; i < 100; i++) {
		fill_xorshift(noise, sizeof(noise), xorshift(x));
		assert_true(pwrite(fd, noise, 512, (off_t)(below(x, sizes[LAYERS - 1] / 512) * 512)) == 512);
	}
	for (int i = LAYERS - 1; i >= 0; i--) {
		bool lowest = i == LAYERS - 1;
		(void)tool(dir, "rm -f %s", names[i]);
		assert_int_equal(tool(dir, "qemu-img create -q -f qcow2 -F %s -b %s %s %llu", lowest ? "raw" : "qcow2",
					 lowest ? "base.raw" : names[i + 1], names[i], (unsigned long long)sizes[i]),
			0);
		write_layer(dir, names[i], sizes[i], x);
	}
}

static struct qcow2_map *open_chain(const char *dir, size_t n)
{
	struct err err = ERR_INIT;
	char *paths[LAYERS] = { NULL };
	for (size_t i = 0; i < n; i++)
		paths[i] = fs_join(dir, names[i]);
	struct qcow2_map *m = qcow2_map_open((const char *const *)paths, n, &err);
	if (!m)
		fail_msg("open: %s", err.msg);
	for (size_t i = 0; i < n; i++)
		free(paths[i]);
	return m;
}

/* Where the kernel does not copy from one file to the other. */
static void check_other_file_system(const char *dir, const char *path)
{
	struct err err = ERR_INIT;
	auto_buf bytes = BUF_INIT;
	assert_int_equal(fs_read(path, BUF_MAX, &bytes, &err), 0);
	auto_fd int fd = memfd_create("layer", MFD_CLOEXEC);
	assert_int_equal(fs_write_all(fd, bytes.p, bytes.len, &err), 0);
	const struct qcow2_layer layer = { fd, "layer" };
	struct qcow2_map *m = qcow2_map_new(&layer, 1, &err);
	auto_free char *out = fs_join(dir, "twice.qcow2");
	(void)unlink(out);
	assert_int_equal(qcow2_flatten(m, out, "base.raw", "raw", &err), 0);
	assert_int_equal(tool(dir, "cmp flat.qcow2 twice.qcow2"), 0);
	qcow2_map_free(m);
}

static void check_flat(const char *dir, struct qcow2_map *m)
{
	struct err err = ERR_INIT;
	auto_free char *out = fs_join(dir, "flat.qcow2");
	(void)unlink(out);
	if (qcow2_flatten(m, out, "base.raw", "raw", &err))
		fail_msg("flatten: %s", err.msg);
	assert_int_equal(tool(dir, "qemu-img check -q flat.qcow2"), 0);
	assert_int_equal(tool(dir, "qemu-img compare -q -T unsafe -f qcow2 -F qcow2 2.qcow2 flat.qcow2"), 0);
	uint64_t size = 0;
	assert_true(qcow2_size(out, &size, &err) == 0 && size == qcow2_map_size(m));
	/* as good as a first one: made flat again it is the same */
	const char *const again[] = { out };
	struct qcow2_map *flat = qcow2_map_open(again, 1, &err);
	auto_free char *twice = fs_join(dir, "twice.qcow2");
	(void)unlink(twice);
	assert_non_null(flat);
	assert_int_equal(qcow2_flatten(flat, twice, "base.raw", "raw", &err), 0);
	assert_int_equal(tool(dir, "cmp flat.qcow2 twice.qcow2"), 0);
	qcow2_map_free(flat);
	check_other_file_system(dir, out);
}

/* Back out of the store: over the base, and over nothing. */
static void check_image(const char *dir, struct store *s, const struct hash *base, const struct hash *id)
{
	struct err err = ERR_INIT;
	struct blocks_shape shape;
	const struct qcow2_image images[] = { { base, id, "base.raw", "raw" }, { NULL, id, "zeros.raw", "raw" } };
	auto_free char *path = fs_join(dir, "image.qcow2");
	assert_int_equal(blocks_shape(s, id, &shape, &err), 0);
	assert_int_equal(tool(dir, "rm -f zeros.raw"), 0);
	assert_int_equal(tool(dir, "truncate -s %llu zeros.raw", (unsigned long long)shape.size), 0);
	for (size_t i = 0; i < ARRAY_LEN(images); i++) {
		(void)unlink(path);
		int rc = qcow2_from_blocks(s, &images[i], path, &err);
		if (shape.block != QCOW2_CLUSTER) {
			assert_true(rc == -1 && err.code == ERR_INVALID && !fs_exists(path));
			continue;
		}
		if (rc)
			fail_msg("image: %s", err.msg);
		assert_int_equal(tool(dir, "qemu-img check -q image.qcow2"), 0);
		assert_int_equal(tool(dir, "qemu-img compare -q -T unsafe -f qcow2 -F qcow2 2.qcow2 image.qcow2"), 0);
	}
}

/* The base as an image, the news of the chain over it. */
static void check_blocks(const char *dir, struct qcow2_map *m, uint32_t block)
{
	struct err err = ERR_INIT;
	const struct blocks_shape shape = { qcow2_map_size(m), block };
	struct qcow2_news news = { .m = m, .block = block };
	const struct blocks_source source = qcow2_news_source(&news);
	struct hash base, id;
	auto_free char *path = fs_join(dir, "store");
	auto_free char *raw = fs_join(dir, "base.raw");
	auto_free char *out = fs_join(dir, "out.raw");
	auto_fd int in_fd = open(raw, O_RDONLY | O_CLOEXEC);
	auto_fd int out_fd = open(out, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct store *s = store_open(path, true, &err);
	assert_int_equal(store_begin(s, true, &err), 0);
	assert_int_equal(blocks_from_file(s, NULL, &shape, in_fd, &base, &err), 0);
	if (blocks_write(s, &base, &shape, &source, &id, &err))
		fail_msg("write: %s", err.msg);
	assert_int_equal(store_end(s, &err), 0);
	assert_int_equal(blocks_to_file(s, NULL, &id, out_fd, &err), 0);
	check_image(dir, s, &base, &id);
	store_close(s);
	assert_int_equal(tool(dir, "qemu-img compare -q -T unsafe -f qcow2 -F raw 2.qcow2 out.raw"), 0);
}

static void chains(void **state)
{
	static const uint64_t sizes[][LAYERS] = {
		{ 16 << 20, 16 << 20, 16 << 20 },
		{ (20 << 20) + 512, (20 << 20) + 512, (20 << 20) + 512 },
		{ (30 << 20) + 4096, 20 << 20, 10 << 20 },
		{ (uint64_t)2 << 30, (uint64_t)2 << 30, (uint64_t)2 << 30 },
		{ 512, 512, 512 },
	};
	uint64_t x = 20261130;
	if (!have_qemu())
		skip(); /* by longjmp: nothing may be held here */
	for (size_t i = 0; i < 2 * ARRAY_LEN(sizes); i++) {
		make_chain(*state, sizes[i % ARRAY_LEN(sizes)], &x);
		struct qcow2_map *m = open_chain(*state, LAYERS);
		check_flat(*state, m);
		check_blocks(*state, m, i % 3 == 0 ? 65536 : i % 3 == 1 ? 16384 : 4096);
		qcow2_map_free(m);
	}
}

/* More than one refcount block holds: 2 GiB and more of clusters, in a file that is a hole but for its tables. */
static void large(void **state)
{
	struct err err = ERR_INIT;
	const uint64_t size = (uint64_t)5 << 30;
	if (!have_qemu())
		skip();
	auto_free char *path = fs_join(*state, "2.qcow2");
	auto_free char *raw = fs_join(*state, "base.raw");
	auto_fd int fd = open(raw, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	(void)unlink(path);
	assert_int_equal(tool(*state, "qemu-img create -q -f qcow2 -o preallocation=metadata 2.qcow2 5G"), 0);
	struct qcow2_map *m = open_chain(*state, 1);
	struct qcow2_run r;
	uint64_t clusters = 0;
	for (uint64_t at = 0; qcow2_map_next(m, at, &r, &err) == 1; at = r.first + r.count)
		clusters += r.count;
	assert_true(clusters == size / CLUSTER);
	auto_free char *out = fs_join(*state, "flat.qcow2");
	(void)unlink(out);
	assert_int_equal(qcow2_flatten(m, out, "base.raw", "raw", &err), 0);
	assert_int_equal(tool(*state, "qemu-img check -q flat.qcow2"), 0);
	qcow2_map_free(m);
	(void)unlink(out);
}

static void refused_kinds(void **state)
{
	static const char *const options[] = { "compat=0.10", "cluster_size=4096", "extended_l2=on,cluster_size=128k",
		"data_file=ext", "compression_type=zstd" };
	struct err err = ERR_INIT;
	if (!have_qemu())
		skip();
	auto_free char *path = fs_join(*state, "odd.qcow2");
	const char *const paths[] = { path };
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		(void)unlink(path);
		assert_int_equal(tool(*state, "qemu-img create -q -f qcow2 -o %s odd.qcow2 1M", options[i]), 0);
		assert_null(qcow2_map_open(paths, 1, &err));
		assert_int_equal(err.code, ERR_NOT_IMPLEMENTED);
	}
	(void)unlink(path);
	assert_int_equal(tool(*state, "qemu-img create -q -f qcow2 odd.qcow2 1M"), 0);
	assert_int_equal(tool(*state, "qemu-img snapshot -c one odd.qcow2"), 0);
	assert_null(qcow2_map_open(paths, 1, &err));
	assert_int_equal(err.code, ERR_NOT_IMPLEMENTED);
	(void)unlink(path);
	assert_int_equal(tool(*state, "dd status=none if=/dev/zero of=zeros bs=1M count=1"), 0);
	assert_int_equal(tool(*state, "qemu-img convert -c -S 0 -f raw -O qcow2 zeros odd.qcow2"), 0);
	assert_null(qcow2_map_open(paths, 1, &err));
	assert_int_equal(err.code, ERR_NOT_IMPLEMENTED);
}

/* ---- by hand: a disk of 1 GiB, of which clusters 0 and 1 are in the file, and 2 is zero ---- */

enum { L2_AT = 4 * CLUSTER, DATA_AT = 5 * CLUSTER, HAND_SIZE = 7 * CLUSTER };

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (56 - 8 * i));
}

static void make_by_hand(const char *path)
{
	struct err err = ERR_INIT;
	uint8_t l1[8], l2[24];
	(void)unlink(path);
	assert_int_equal(qcow2_overlay(path, "base.raw", "raw", 1 << 30, &err), 0);
	put64(l1, ENTRY_COPIED | L2_AT);
	put64(l2, ENTRY_COPIED | DATA_AT);
	put64(l2 + 8, ENTRY_COPIED | (DATA_AT + CLUSTER));
	put64(l2 + 16, ENTRY_ZERO);
	auto_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(pwrite(fd, l1, sizeof(l1), L1_TABLE) == sizeof(l1) && pwrite(fd, l2, sizeof(l2), L2_AT) == sizeof(l2));
	assert_int_equal(ftruncate(fd, HAND_SIZE - 100), 0);
}

static void poke(const char *path, uint64_t at, uint64_t v, size_t n)
{
	uint8_t b[8];
	put64(b, v);
	auto_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, b + 8 - n, n, (off_t)at), (ssize_t)n);
}

static void by_hand(void **state)
{
	struct err err = ERR_INIT;
	struct qcow2_run r;
	uint8_t b[200];
	auto_free char *path = fs_join(*state, "hand.qcow2");
	make_by_hand(path);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	const struct qcow2_layer layers[] = { { fd, "hand" } };
	struct qcow2_map *m = qcow2_map_new(layers, 1, &err);
	assert_non_null(m);
	assert_int_equal(qcow2_map_next(m, 0, &r, &err), 1);
	assert_true(r.first == 0 && r.count == 2 && !r.zero);
	assert_int_equal(qcow2_map_read(m, r.place + 2 * CLUSTER - sizeof(b), b, sizeof(b), &err), 0);
	assert_int_equal(qcow2_map_next(m, 1, &r, &err), 1);
	assert_true(r.first == 1 && r.count == 1 && !r.zero);
	assert_int_equal(qcow2_map_next(m, 2, &r, &err), 1);
	assert_true(r.first == 2 && r.count == 1 && r.zero);
	assert_int_equal(qcow2_map_next(m, 3, &r, &err), 0);
	assert_int_equal(qcow2_map_next(m, UINT64_MAX, &r, &err), 0);
	assert_int_equal(qcow2_map_read(m, (uint64_t)1 << 56, b, 1, &err), -1);
	qcow2_map_free(m);
	assert_null(qcow2_map_new(layers, 0, &err));
	assert_int_equal(err.code, ERR_LIMIT);
}

static void damage(void **state)
{
	static const struct {
		uint64_t at, v;
		size_t n;
		enum err_code code;
	} cases[] = {
		{ 0, 0, 4, ERR_INVALID },	   /* magic */
		{ 4, 4, 4, ERR_NOT_IMPLEMENTED },  /* version */
		{ 20, 9, 4, ERR_NOT_IMPLEMENTED }, /* cluster bits */
		{ 24, 0, 8, ERR_INVALID },	   /* size */
		{ 24, 1000, 8, ERR_INVALID },
		{ 24, QCOW2_SIZE_MAX + 512, 8, ERR_INVALID },
		{ 24, (uint64_t)1 << 40, 8, ERR_INVALID }, /* more than its L1 table says */
		{ 32, 2, 4, ERR_NOT_IMPLEMENTED },	   /* encryption */
		{ 36, 1, 4, ERR_INVALID },		   /* entries of the L1 table */
		{ 36, 0xffffffff, 4, ERR_OK },		   /* only those that the size needs count */
		{ 40, 0, 8, ERR_INVALID },		   /* place of the L1 table */
		{ 40, L1_TABLE + 8, 8, ERR_INVALID },
		{ 40, (uint64_t)1 << 63, 8, ERR_INVALID },
		{ 40, HAND_SIZE, 8, ERR_INVALID },
		{ 60, 1, 4, ERR_NOT_IMPLEMENTED }, /* snapshots */
		{ 72, 2, 8, ERR_NOT_IMPLEMENTED }, /* "corrupt" */
		{ 100, 72, 4, ERR_INVALID },	   /* length of the header */
		{ L1_TABLE, ENTRY_COPIED, 8, ERR_INVALID },
		{ L1_TABLE, ENTRY_COPIED | L2_AT | 512, 8, ERR_INVALID },
		{ L1_TABLE, ENTRY_COPIED | L2_AT | 1, 8, ERR_INVALID },
		{ L1_TABLE, ENTRY_COPIED | HAND_SIZE, 8, ERR_INVALID },
		{ L1_TABLE, UINT64_C(0x80fffffffff00000), 8, ERR_INVALID },
		{ L2_AT, ENTRY_COPIED, 8, ERR_INVALID },
		{ L2_AT, ENTRY_COPIED | HAND_SIZE, 8, ERR_INVALID },
		{ L2_AT, ENTRY_COPIED | DATA_AT | 1024, 8, ERR_INVALID },
		{ L2_AT, ENTRY_COPIED | DATA_AT | 2, 8, ERR_INVALID },
		{ L2_AT, ENTRY_COMPRESSED | DATA_AT, 8, ERR_NOT_IMPLEMENTED },
		{ L2_AT, DATA_AT | ENTRY_ZERO, 8, ERR_OK },
	};
	auto_free char *path = fs_join(*state, "hand.qcow2");
	const char *const paths[] = { path };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		make_by_hand(path);
		poke(path, cases[i].at, cases[i].v, cases[i].n);
		struct qcow2_map *m = qcow2_map_open(paths, 1, &err);
		if (err.code != cases[i].code || !m != !!err.code)
			fail_msg("case %zu: %s %s", i, err_name(err.code), err.msg);
		qcow2_map_free(m);
	}
}

/* One cluster of the file over and over is more than it can hold; and so is one table. */
static void too_much(void **state)
{
	struct err err = ERR_INIT;
	auto_free char *path = fs_join(*state, "hand.qcow2");
	const char *const paths[] = { path };
	make_by_hand(path);
	for (uint64_t i = 0; i < 6; i++)
		poke(path, L2_AT + 8 * (10 + 2 * i), DATA_AT, 8);
	assert_null(qcow2_map_open(paths, 1, &err));
	assert_int_equal(err.code, ERR_INVALID);
	make_by_hand(path);
	poke(path, 24, QCOW2_SIZE_MAX, 8);
	poke(path, 36, 8192, 4);
	for (uint64_t i = 0; i < 8192; i++)
		poke(path, L1_TABLE + 8 * i, L2_AT, 8);
	assert_null(qcow2_map_open(paths, 1, &err));
	assert_int_equal(err.code, ERR_INVALID);
}

/* Layers of sizes that cannot be, files that are none, and an output that is there already. */
static void other_refusals(void **state)
{
	struct err err = ERR_INIT;
	auto_free char *a = fs_join(*state, "a.qcow2");
	auto_free char *b = fs_join(*state, "b.qcow2");
	auto_free char *c = fs_join(*state, "c.qcow2");
	const char *const up[] = { a, b }, *const down[] = { b, a }, *const odd[] = { b, c }, *const none[] = { *state };
	assert_int_equal(qcow2_overlay(a, "x", "raw", 1 << 20, &err), 0);
	assert_int_equal(qcow2_overlay(b, "x", "raw", 2 << 20, &err), 0);
	assert_int_equal(qcow2_overlay(c, "x", "raw", (1 << 20) + 512, &err), 0);
	assert_null(qcow2_map_open(up, 2, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_null(qcow2_map_open(odd, 2, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_null(qcow2_map_open(none, 1, &err));
	assert_int_equal(err.code, ERR_INVALID);
	struct qcow2_map *m = qcow2_map_open(down, 2, &err);
	assert_non_null(m);
	assert_int_equal(qcow2_flatten(m, c, "x", "raw", &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_true(fs_exists(c));
	qcow2_map_free(m);
	assert_int_equal(unlink(c), 0);
	assert_null(qcow2_map_open(odd, 2, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(chains, oracle_dir, oracle_dir_end),
		cmocka_unit_test_setup_teardown(large, oracle_dir, oracle_dir_end),
		cmocka_unit_test_setup_teardown(refused_kinds, oracle_dir, oracle_dir_end),
		cmocka_unit_test_setup_teardown(by_hand, oracle_dir, oracle_dir_end),
		cmocka_unit_test_setup_teardown(damage, oracle_dir, oracle_dir_end),
		cmocka_unit_test_setup_teardown(too_much, oracle_dir, oracle_dir_end),
		cmocka_unit_test_setup_teardown(other_refusals, oracle_dir, oracle_dir_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
