/* link: daemon/vm/keep.c daemon/vm/info.c daemon/vm/accel.c daemon/vm/probe.c daemon/vm/boot.c daemon/vm/qemu.c daemon/vm/group.c daemon/vm/qmp.c daemon/vm/proc.c daemon/vm/spawn.c daemon/vm/jail*.c daemon/vm/ram.c shared/net/sock.c daemon/image/run.c daemon/vm/machine.c shared/wire/[a-z]*.c daemon/vm/stream.c daemon/vm/qcow2*.c shared/store/[a-z]*.c | -luv -lzstd -lpthread */
/* Machines that were made up, into the store and out of it: memory and disk are what cmp and qemu-img say, and the devices are
 * those that went in. And trees that are no machine. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/vm/keep.h"
#include "daemon/vm/qcow2.h"
#include "daemon/vm/stream.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/store/blocks.h"
#include "shared/store/gc.h"
#include "shared/store/vmstate.h"
#include "shared/store/tree.h"
#include "tests/unit/oracle.h"
#include "tests/unit/store_data.h"

enum { MEMORY_MB = 4, PAGES = (MEMORY_MB << 20) / 4096 };
#define DISK ((uint64_t)8 << 20)
static const char devices[] = "what the devices say";

struct made {
	char *dir;
	struct store *s;
};

static char *path_of(const struct made *m, const char *name)
{
	return fs_join(m->dir, name);
}

static int setup(void **state)
{
	struct err err = ERR_INIT;
	struct made *m = mem_zalloc(sizeof(*m));
	void *dir;
	if (oracle_dir(&dir))
		return -1;
	m->dir = dir;
	auto_free char *store = path_of(m, "store");
	m->s = store_open(store, true, &err);
	*state = m;
	return m->s && !store_hold(m->s, &err) ? 0 : -1;
}

static int teardown(void **state)
{
	struct made *m = *state;
	void *dir = m->dir;
	store_release(m->s);
	store_close(m->s);
	free(m);
	return oracle_dir_end(&dir);
}

static int tool(const struct made *m, const char *words)
{
	return oracle_run(m->dir, words, NULL, NULL);
}

/* A file of so many bytes with noise here and there. */
static void sparse(const struct made *m, const char *name, uint64_t size, uint64_t seed)
{
	auto_free char *path = path_of(m, name);
	auto_fd int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint8_t noise[10000];
	assert_true(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	for (int i = 0; i < 20; i++) {
		fill_xorshift(noise, sizeof(noise), seed + (uint64_t)i);
		uint64_t at = (seed * 7919 + (uint64_t)i * 104729 * 4096) % (size - sizeof(noise));
		assert_true(pwrite(fd, noise, sizeof(noise), (off_t)at) == (ssize_t)sizeof(noise));
	}
}

/* A base: ram, and a disk of two layers as a template has it. */
static void make_base(const struct made *m)
{
	assert_int_equal(tool(m, "mkdir base"), 0);
	sparse(m, "base/ram", (uint64_t)MEMORY_MB << 20, 3);
	sparse(m, "base/rootfs.ext4", DISK, 5);
	assert_int_equal(tool(m, "qemu-img create -q -f qcow2 -b rootfs.ext4 -F raw base/disk.qcow2"), 0);
	static const char script[] = "write -P 31 0 4096\nwrite -P 32 5000000 300000\n";
	oracle_write(m->dir, "base.script", script, strlen(script));
	assert_int_equal(oracle_run(m->dir, "qemu-io -f qcow2 base/disk.qcow2", "base.script", NULL), 0);
}

/* The changed pages of a machine as a stream, and its whole memory as a file to compare with: over the base's, or over zeros. */
static int make_memory(const struct made *m, bool booted, const char *expected)
{
	auto_buf out = BUF_INIT;
	auto_free char *path = path_of(m, expected);
	uint8_t page[4096];
	auto_free char *words =
		booted ? mem_printf("truncate -s %dM %s", MEMORY_MB, expected) : mem_printf("cp base/ram %s", expected);
	assert_int_equal(tool(m, words), 0);
	auto_fd int whole = open(path, O_RDWR | O_CLOEXEC);
	stream_begin(&out, (uint64_t)MEMORY_MB << 20);
	bool first = true;
	/* both halves of a block, one of them, neither; some become zero; the last page */
	for (unsigned i = 0; i < PAGES; i++) {
		if (i % 7 > 2 && i != PAGES - 1)
			continue;
		fill_xorshift(page, sizeof(page), i + 77);
		if (i % 21 == 1)
			memset(page, 0, sizeof(page));
		stream_page(&out, (uint64_t)i * 4096, page, first);
		first = false;
		assert_true(pwrite(whole, page, sizeof(page), (off_t)i * 4096) == (ssize_t)sizeof(page));
	}
	stream_end(&out);
	buf_str(&out, devices);
	int fd = memfd_create("t_keep", MFD_CLOEXEC);
	assert_true(fd >= 0 && write(fd, out.p, out.len) == (ssize_t)out.len);
	return fd;
}

static void make_disk(const struct made *m)
{
	static const char script[] =
		"write -P 11 0 70000\nwrite -P 12 1000000 512\nwrite -z 2000000 200000\nwrite -P 13 8388096 512\n";
	static const char lower[] = "write -P 21 65536 65536\nwrite -P 22 3000000 100000\nwrite -z -u 131072 65536\n";
	oracle_write(m->dir, "script", script, strlen(script));
	oracle_write(m->dir, "lower", lower, strlen(lower));
	assert_int_equal(tool(m, "qemu-img create -q -f qcow2 -b base/disk.qcow2 -F qcow2 1.qcow2"), 0);
	assert_int_equal(oracle_run(m->dir, "qemu-io -f qcow2 1.qcow2", "lower", NULL), 0);
	assert_int_equal(tool(m, "qemu-img create -q -f qcow2 -b 1.qcow2 -F qcow2 0.qcow2"), 0);
	assert_int_equal(oracle_run(m->dir, "qemu-io -f qcow2 0.qcow2", "script", NULL), 0);
	assert_int_equal(tool(m, "qemu-img convert -O raw 0.qcow2 disk.expected"), 0);
}

static char *const env[] = { (char *)(uintptr_t) "A=1", (char *)(uintptr_t) "B=two words", NULL };
static const struct vm_info info = { .image = (char *)(uintptr_t) "base",
	.qemu = (char *)(uintptr_t) "7.2",
	.vcpus = 2,
	.memory_mb = MEMORY_MB,
	.machine = 3,
	.created_ms = 1234567890123,
	.name = (char *)(uintptr_t) "one",
	.env = (char **)(uintptr_t)env };

static void put(const struct made *m, const char *base, bool booted, const char *expected, struct hash *id)
{
	struct err err = ERR_INIT;
	auto_free char *dir = path_of(m, base), *top = path_of(m, "0.qcow2"), *low = path_of(m, "1.qcow2");
	const char *const disks[] = { top, low };
	auto_fd int fd = make_memory(m, booted, expected);
	struct vm_info with = info;
	const struct keep k = { dir, booted, fd, disks, ARRAY_LEN(disks), &with };
	uint64_t disk = 0;
	assert_int_equal(store_begin(m->s, true, &err), 0);
	assert_int_equal(keep_put(m->s, &k, id, &disk, &err), 0);
	assert_int_equal(store_end(m->s, &err), 0);
	assert_int_equal(disk, DISK);
}

static int add_stored(void *arg, enum object_kind kind, const struct hash *id, struct err *err)
{
	const struct made *m = ((void **)arg)[0];
	uint64_t *sum = ((void **)arg)[1];
	struct store_info object;
	(void)kind;
	assert_int_equal(store_stat(m->s, id, &object, err), 0);
	*sum += object.stored;
	return 0;
}

/* It says of itself what all of it takes, but for the folder with its description. */
static void check_stored(const struct made *m, const struct hash *id, int64_t said)
{
	struct err err = ERR_INIT;
	uint64_t sum = 0;
	void *arg[] = { (void *)(uintptr_t)m, &sum };
	assert_int_equal(tree_reach(m->s, id, NULL, add_stored, arg, NULL, &err), 0);
	assert_in_range(said, sum - 1024, sum + 1024);
}

/* Out of the store again: memory, disk, devices and description. */
static void take(const struct made *m, const struct hash *id, const char *into, const char *memory)
{
	struct err err = ERR_INIT;
	struct vm_info got;
	uint64_t disk = 0;
	auto_buf state = BUF_INIT;
	auto_free char *dir = path_of(m, into), *state_path = fs_join(dir, "state"), *json = fs_join(dir, "base.json");
	auto_free char *same_ram = mem_printf("cmp %s %s/ram", memory, into);
	auto_free char *same_disk = mem_printf("cmp disk.expected %s/disk.raw", into);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(keep_take(m->s, id, dir, &err), 0);
	assert_int_equal(tool(m, same_ram), 0);
	assert_int_equal(tool(m, same_disk), 0);
	assert_int_equal(fs_read(state_path, 1 << 20, &state, &err), 0);
	auto_buf want = BUF_INIT;
	stream_begin(&want, (uint64_t)MEMORY_MB << 20);
	stream_end(&want);
	buf_str(&want, devices);
	assert_int_equal(state.len, want.len);
	assert_memory_equal(state.p, want.p, want.len);
	assert_int_equal(vm_info_load(json, &got, &err), 0);
	assert_string_equal(got.name, "one");
	assert_string_equal(got.env[1], "B=two words");
	assert_null(got.env[2]);
	vm_info_free(&got);
	assert_int_equal(keep_info(m->s, id, &got, &disk, &err), 0);
	assert_int_equal(disk, DISK);
	assert_int_equal(got.vcpus, 2);
	assert_true(got.created_ms == info.created_ms);
	check_stored(m, id, got.stored);
	vm_info_free(&got);
}

static void round_trips(void **state)
{
	struct made *m = *state;
	struct hash from_template, booted, again, swept_away;
	struct err err = ERR_INIT;
	struct store_swept swept;
	make_base(m);
	make_disk(m);
	put(m, "base", false, "ram.expected", &from_template);
	take(m, &from_template, "t", "ram.expected");
	/* its memory began empty: the base's must not shine through */
	put(m, "base", true, "ram.booted", &booted);
	take(m, &booted, "b", "ram.booted");
	assert_true(!hash_eq(&from_template, &booted));
	/* the same machine is the same tree, also when what is remembered of the base has been swept away */
	put(m, "base", false, "ram.again", &again);
	assert_true(hash_eq(&from_template, &again));
	store_release(m->s);
	assert_int_equal(gc_run(m->s, false, true, &swept, &err), 0);
	assert_int_equal(store_hold(m->s, &err), 0);
	put(m, "base", false, "ram.swept", &swept_away);
	assert_true(hash_eq(&from_template, &swept_away));
	take(m, &swept_away, "s", "ram.expected");
}

/* A snapshot of what came from a snapshot: its base has one raw disk. */
static void of_a_snapshot(void **state)
{
	struct made *m = *state;
	struct hash first, second;
	make_base(m);
	make_disk(m);
	put(m, "base", false, "ram.expected", &first);
	take(m, &first, "from", "ram.expected");
	assert_int_equal(tool(m, "rm -r base 0.qcow2 1.qcow2"), 0);
	assert_int_equal(tool(m, "mv from base"), 0);
	assert_int_equal(tool(m, "qemu-img create -q -f qcow2 -b disk.raw -F raw base/disk.qcow2"), 0);
	make_disk(m);
	assert_int_equal(tool(m, "rm base/disk.qcow2"), 0);
	put(m, "base", false, "ram.second", &second);
	take(m, &second, "to", "ram.second");
}

/* ---- what is no machine ---- */

static struct hash image(struct store *s, uint64_t size)
{
	struct err err = ERR_INIT;
	auto_fd int fd = memfd_create("image", MFD_CLOEXEC);
	const struct blocks_shape shape = { .size = size, .block = 8192 };
	struct hash id;
	assert_true(fd >= 0 && write(fd, "x", 1) == 1);
	assert_int_equal(blocks_from_file(s, NULL, &shape, fd, &id, &err), 0);
	return id;
}

static void refuse(const struct made *m, const struct hash *id, enum err_code code)
{
	struct err err = ERR_INIT;
	struct vm_info got;
	auto_free char *dir = path_of(m, "never"), *json = fs_join(dir, "base.json");
	uint64_t disk;
	assert_int_equal(keep_info(m->s, id, &got, &disk, &err), -1);
	assert_int_equal(err.code, code);
	vm_info_free(&got);
	assert_true(mkdir(dir, 0700) == 0 || errno == EEXIST);
	err_clear(&err);
	assert_int_equal(keep_take(m->s, id, dir, &err), -1);
	assert_int_equal(err.code, code);
	assert_false(fs_exists(json));
}

static void hostile(void **state)
{
	struct made *m = *state;
	struct err err = ERR_INIT;
	struct hash id;
	static const struct {
		const char *json;
		uint64_t ram, disk; /* 0: none */
		bool devices;
	} cases[] = {
		{ "", 4 << 20, 1 << 20, true },
		{ "[]", 4 << 20, 1 << 20, true },
		{ "{\"vcpus\":1,\"memoryMb\":4}", 4 << 20, 1 << 20, true },
		{ "{\"vcpus\":0,\"memoryMb\":4,\"machine\":1}", 4 << 20, 1 << 20, true },
		{ "{\"vcpus\":1,\"memoryMb\":-4,\"machine\":1}", 4 << 20, 1 << 20, true },
		{ "{\"vcpus\":1,\"memoryMb\":17592186044416,\"machine\":1}", 4 << 20, 1 << 20, true },
		{ "{\"vcpus\":1,\"memoryMb\":4,\"machine\":1}", 0, 1 << 20, true },
		{ "{\"vcpus\":1,\"memoryMb\":4,\"machine\":1}", 4 << 20, 0, true },
		{ "{\"vcpus\":1,\"memoryMb\":4,\"machine\":1}", 4 << 20, 1 << 20, false },
		{ "{\"vcpus\":1,\"memoryMb\":4,\"machine\":1}", 8 << 20, 1 << 20, true },
		{ "{\"vcpus\":1,\"memoryMb\":4,\"machine\":1}", 4096, 1 << 20, true },
		{ "{\"vcpus\":1,\"memoryMb\":4,\"machine\":1}", 4 << 20, 1000, true },
		{ "{\"vcpus\":1,\"memoryMb\":4,\"machine\":1}", 4 << 20, QCOW2_SIZE_MAX + 512, true },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct vmstate v = { .info = BUF_INIT, .state = BUF_INIT, .has_ram = cases[i].ram, .has_disk = cases[i].disk };
		assert_int_equal(store_begin(m->s, true, &err), 0);
		if (v.has_ram)
			v.ram = image(m->s, cases[i].ram);
		if (v.has_disk)
			v.disk = image(m->s, cases[i].disk);
		buf_str(&v.info, cases[i].json);
		if (cases[i].devices)
			buf_str(&v.state, devices);
		assert_int_equal(vmstate_put(m->s, &v, &id, &err), 0);
		assert_int_equal(store_end(m->s, &err), 0);
		refuse(m, &id, ERR_INVALID);
		vmstate_free(&v);
	}
	refuse(m, &object_empty, ERR_INVALID);
	memset(&id, 9, sizeof(id));
	refuse(m, &id, ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_trips, setup, teardown),
		cmocka_unit_test_setup_teardown(of_a_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
