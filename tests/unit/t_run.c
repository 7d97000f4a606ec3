/* link: daemon/image/run.c daemon/image/sparse.c daemon/image/hash.c | -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/image/hash.h"
#include "daemon/image/run.h"
#include "daemon/image/sparse.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

static int sh(const char *script, int timeout_ms, size_t max, struct buf *out, struct err *err)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	struct run run = { .argv = argv, .dir = "/tmp", .timeout_ms = timeout_ms, .max_output = max };
	return run_capture(&run, out, err);
}

static void runs(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	auto_buf out = BUF_INIT;

	assert_int_equal(sh("pwd; echo noise >&2; cat; echo $LC_ALL", 5000, 1000, &out, &err), 0);
	assert_string_equal(out.p, "/tmp\nC\n");
	assert_int_equal(sh("echo first >&2; echo ' the reason' >&2; exit 3", 5000, 1000, &out, &err), -1);
	assert_string_equal(err.msg, "'sh' ended with code 3:  the reason");
	assert_int_equal(sh("kill -9 $$", 5000, 1000, NULL, &err), -1);
	assert_non_null(strstr(err.msg, "signal"));
	assert_int_equal(sh("yes | head -c 5000", 5000, 1000, NULL, &err), -1);
	assert_non_null(strstr(err.msg, "too much"));
	const char *const missing[] = { "sbx-no-such-program", NULL };
	struct run run = { .argv = missing, .timeout_ms = 1000 };
	assert_int_equal(run_capture(&run, NULL, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void deadline(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	int64_t before = clock_mono_ms();

	/* the whole process group goes, also when it holds the pipe or has closed it */
	assert_int_equal(sh("sleep 30 & sleep 30", 100, 1000, NULL, &err), -1);
	assert_non_null(strstr(err.msg, "too long"));
	assert_int_equal(sh("exec >&- 2>&-; sleep 30", 100, 1000, NULL, &err), -1);
	assert_in_range(clock_mono_ms() - before, 199, 5000);
}

static void punches(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	char path[] = "/tmp/t_run.XXXXXX";
	enum { SIZE = 3 << 20 };
	auto_free char *data = mem_zalloc(SIZE);
	auto_fd int fd = mkostemp(path, O_CLOEXEC);
	auto_buf back = BUF_INIT;

	data[0] = 1;
	data[4096 * 7 + 4095] = 1;
	data[SIZE - 1] = 1;
	assert_int_equal(fs_write_all(fd, data, SIZE, &err), 0);
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(sparse_punch(fd, &err), 0);
	assert_int_equal(sparse_punch(fd, &err), 0); /* again: nothing left to do */
	assert_int_equal(fs_read(path, SIZE, &back, &err), 0);
	assert_int_equal(back.len, SIZE);
	assert_memory_equal(back.p, data, SIZE);
	if (lseek(fd, 0, SEEK_HOLE) != SIZE) /* else a file system without holes */
		assert_in_range(fs_allocated(path), 4096, 8 * 4096);
	unlink(path);
}

/* Blocks that a file was promised read as zeros, like a hole, but are taken from the disk. */
static void punches_promised(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	char path[] = "/tmp/t_run.XXXXXX";
	enum { SIZE = 1 << 20 };
	auto_fd int fd = mkostemp(path, O_CLOEXEC);

	unlink(path);
	if (fallocate(fd, 0, 0, SIZE))
		skip(); /* not on this file system */
	assert_int_equal(pwrite(fd, "x", 1, SIZE / 2), 1);
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(sparse_punch(fd, &err), 0);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_in_range(st.st_blocks * 512, 512, 2 * 4096);
}

static void hashes(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	char sum[HASH_HEX];

	hash_bytes("abc", 3, sum); /* FIPS 180-2, appendix B.1 */
	assert_string_equal(sum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(hash_file("/dev/null", sum, &err), 0);
	assert_string_equal(sum, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_int_equal(hash_file("/nonexistent", sum, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(runs), cmocka_unit_test(deadline), cmocka_unit_test(punches),
		cmocka_unit_test(punches_promised), cmocka_unit_test(hashes) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
