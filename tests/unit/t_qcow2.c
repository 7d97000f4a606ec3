/* link: daemon/vm/qcow2.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/vm/qcow2.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

static int make_dir(void **state)
{
	char template[] = "/tmp/t_qcow2.XXXXXX";
	assert_non_null(mkdtemp(template));
	*state = mem_strdup(template);
	return 0;
}

static int remove_dir(void **state)
{
	fs_remove_tree(*state, NULL);
	free(*state);
	return 0;
}

static uint64_t be(const char *p, size_t n)
{
	uint64_t v = 0;
	while (n--)
		v = v << 8 | (uint8_t)*p++;
	return v;
}

static void layout(void **state)
{
	struct err err = ERR_INIT;
	auto_free char *path = fs_join(*state, "a.qcow2");
	auto_buf b = BUF_INIT;
	uint64_t size = 0;

	assert_int_equal(qcow2_overlay(path, "base.raw", "raw", (uint64_t)2 << 30, &err), 0);
	assert_int_equal(qcow2_size(path, &size, &err), 0);
	assert_true(size == (uint64_t)2 << 30);
	assert_int_equal(fs_read(path, 1 << 20, &b, &err), 0);
	assert_int_equal(b.len, 4 * 65536);
	assert_memory_equal(b.p, "QFI\xfb\0\0\0\3", 8);
	size_t name = be(b.p + 8, 8);
	assert_int_equal(be(b.p + 16, 4), strlen("base.raw"));
	assert_memory_equal(b.p + name, "base.raw", 8);
	assert_int_equal(be(b.p + 20, 4), 16);	      /* cluster bits */
	assert_int_equal(be(b.p + 36, 4), 4);	      /* L1 entries: 512 MiB each */
	assert_int_equal(be(b.p + 40, 8), 3 * 65536); /* L1 table */
	assert_int_equal(be(b.p + 48, 8), 65536);     /* refcount table */
	assert_int_equal(be(b.p + 65536, 8), 2 * 65536);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(be(b.p + 2 * 65536 + 2 * i, 2), 1);
	assert_int_equal(be(b.p + 2 * 65536 + 8, 2), 0);
	assert_int_equal(be(b.p + 104, 4), 0xe2792aca); /* format of the backing file */
	assert_memory_equal(b.p + 112, "raw\0\0\0\0\0", 8);
}

static void grows(void **state)
{
	struct err err = ERR_INIT;
	auto_free char *path = fs_join(*state, "g.qcow2");
	auto_buf b = BUF_INIT;
	uint64_t size = 0;

	assert_int_equal(qcow2_overlay(path, "base.raw", "raw", (uint64_t)1 << 20, &err), 0);
	assert_int_equal(qcow2_grow(path, (uint64_t)3 << 30, &err), 0);
	assert_int_equal(qcow2_size(path, &size, &err), 0);
	assert_true(size == (uint64_t)3 << 30);
	assert_int_equal(fs_read(path, 1 << 20, &b, &err), 0);
	assert_int_equal(be(b.p + 36, 4), 6); /* L1 entries */
	assert_int_equal(be(b.p + 32, 4), 0); /* not encrypted */
	assert_int_equal(qcow2_grow(path, (uint64_t)3 << 30, &err), 0);
	assert_int_equal(qcow2_grow(path, (uint64_t)2 << 30, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(qcow2_grow(path, QCOW2_SIZE_MAX + 512, &err), -1);
	assert_int_equal(qcow2_grow(path, ((uint64_t)3 << 30) + 1, &err), -1);
	assert_int_equal(qcow2_grow("/nonexistent", 512, &err), -1);
}

static void refusals(void **state)
{
	struct err err = ERR_INIT;
	auto_free char *path = fs_join(*state, "b.qcow2");
	auto_free char *raw = fs_join(*state, "raw");
	auto_free char *far = mem_zalloc(2000);
	uint64_t size = 0;

	memset(far, 'x', 1024);
	assert_int_equal(qcow2_overlay(path, far, "raw", 4096, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(qcow2_overlay(path, "b", "vmdk", 4096, &err), -1);
	assert_int_equal(qcow2_overlay(path, "b", "raw", 0, &err), -1);
	assert_int_equal(qcow2_overlay(path, "b", "raw", 513, &err), -1);
	assert_int_equal(qcow2_overlay(path, "b", "raw", QCOW2_SIZE_MAX + 512, &err), -1);
	assert_false(fs_exists(path));
	far[1023] = '\0';
	assert_int_equal(qcow2_overlay(path, far, "qcow2", QCOW2_SIZE_MAX, &err), 0);
	assert_int_equal(qcow2_overlay(path, far, "qcow2", 4096, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(fs_write_atomic(raw, "no such disk, but long enough to be a header", 44, 0600, &err), 0);
	assert_int_equal(qcow2_size(raw, &size, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

static int run(char *const argv[])
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stdout))
			_exit(126);
		execvp(argv[0], argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The judge is QEMU's own tool, where there is one. */
static void qemu_agrees(void **state)
{
	struct err err = ERR_INIT;
	char tool[] = "qemu-img", check[] = "check", version[] = "--version", compare[] = "compare";
	char *const ask[] = { tool, version, NULL };
	if (run(ask) != 0)
		skip(); /* by longjmp: nothing may be held here */
	auto_free char *base = fs_join(*state, "base.raw");
	auto_free char *path = fs_join(*state, "c.qcow2");
	char *const judge[] = { tool, check, path, NULL };
	char *const same[] = { tool, compare, base, path, NULL };

	assert_int_equal(fs_write_atomic(base, "contents", 8, 0600, &err), 0);
	assert_int_equal(truncate(base, 64 << 20), 0);
	assert_int_equal(qcow2_overlay(path, "base.raw", "raw", 64 << 20, &err), 0);
	assert_int_equal(run(judge), 0);
	assert_int_equal(run(same), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(layout, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(grows, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(refusals, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(qemu_agrees, make_dir, remove_dir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
