/* link: daemon/vm/ram.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/vm/ram.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { MIB = 8 };
#define SIZE ((size_t)MIB << 20)

/* Can nobody change it, not even who opens it for writing, as QEMU does? */
static void assert_sealed(int fd)
{
	auto_free char *path = mem_printf("/proc/self/fd/%d", fd);
	auto_fd int again = open(path, O_RDWR | O_CLOEXEC);

	assert_true(again >= 0);
	assert_int_equal(write(again, "x", 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(again, 1), -1);
	assert_true(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) == MAP_FAILED);
	uint8_t *own = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, again, 0);
	assert_true(own != MAP_FAILED);
	uint8_t was = own[5], now = 0;
	own[5] = (uint8_t)~was;
	assert_int_equal(pread(fd, &now, 1, 5), 1);
	assert_int_equal(now, was);
	munmap(own, SIZE);
}

static void empty(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct stat st;
	auto_fd int fd = ram_empty(MIB, &err);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_int_equal(st.st_blocks, 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_sealed(fd);
}

/* A file with holes, data at both ends and in between. */
static void loaded(void **state)
{
	(void)state;
	char path[] = "/tmp/t_ram.XXXXXX";
	struct err err = ERR_INIT;
	struct stat st;
	uint8_t block[4096 + 17];
	static const off_t at[] = { 0, 3 << 20, (3 << 20) + 100000, (off_t)SIZE - (off_t)sizeof(block) };
	auto_fd int file = mkstemp(path);

	assert_true(file >= 0 && ftruncate(file, SIZE) == 0);
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		rand_bytes(block, sizeof(block));
		assert_int_equal(pwrite(file, block, sizeof(block), at[i]), sizeof(block));
	}
	auto_fd int fd = ram_load(path, MIB, &err);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_true(st.st_blocks * 512 < 200000); /* holes stay holes */
	const uint8_t *want = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, file, 0);
	const uint8_t *got = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_true(want != MAP_FAILED && got != MAP_FAILED);
	assert_memory_equal(got, want, SIZE);
	assert_sealed(fd);
	munmap((void *)(uintptr_t)want, SIZE);
	munmap((void *)(uintptr_t)got, SIZE);
	unlink(path);
}

static void another_size(void **state)
{
	(void)state;
	char path[] = "/tmp/t_ram.XXXXXX";
	struct err err = ERR_INIT;
	struct stat st;
	char last = 0;
	auto_fd int file = mkstemp(path);

	assert_true(file >= 0 && pwrite(file, "z", 1, (2 << 20) - 1) == 1);
	auto_fd int larger = ram_load(path, MIB, &err); /* the rest is empty */
	assert_true(larger >= 0);
	assert_int_equal(fstat(larger, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_int_equal(pread(larger, &last, 1, (2 << 20) - 1), 1);
	assert_int_equal(last, 'z');
	auto_fd int smaller = ram_load(path, 1, &err); /* no more than it can hold */
	assert_true(smaller >= 0);
	assert_int_equal(fstat(smaller, &st), 0);
	assert_int_equal(st.st_size, 1 << 20);
	unlink(path);
	assert_int_equal(ram_load(path, MIB, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.msg, path));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(empty), cmocka_unit_test(loaded), cmocka_unit_test(another_size) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
