/* link: */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"

/* Each test has a folder of its own as *state. */
static int setup(void **state)
{
	char name[] = "/tmp/sbx-t_fs-XXXXXX";
	*state = mkdtemp(name) ? mem_strdup(name) : NULL;
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	struct err err = ERR_INIT;
	int rc = fs_remove_tree(*state, &err);
	free(*state);
	return rc;
}

static mode_t mode_of(const char *path)
{
	struct stat st;
	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void write_and_read(void **state)
{
	struct err err = ERR_INIT;
	auto_buf b = BUF_INIT;
	auto_free char *path = fs_join(*state, "f");
	assert_int_equal(fs_write_atomic(path, "one", 3, 0640, &err), 0);
	assert_int_equal(fs_write_atomic(path, "second", 6, 0600, &err), 0);
	assert_int_equal(mode_of(path), 0600);
	buf_str(&b, ">");
	assert_int_equal(fs_read(path, 6, &b, &err), 0);
	assert_string_equal(b.p, ">second");
	assert_int_equal(fs_read(path, 5, &b, &err), -1);
	assert_int_equal(err.code, ERR_TOO_LARGE);
	auto_free char *none = fs_join(*state, "none");
	assert_int_equal(fs_read(none, 5, &b, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.msg, none));
	auto_free char *deep = fs_join(none, "f");
	assert_int_equal(fs_write_atomic(deep, "x", 1, 0600, &err), -1);
	/* no temporary is left behind, also not when the rename fails */
	auto_free char *dir = fs_join(*state, "d");
	assert_int_equal(fs_mkdirs(dir, 0755, &err), 0);
	assert_int_equal(fs_write_atomic(dir, "x", 1, 0600, &err), -1);
	assert_int_equal(unlink(path) | rmdir(dir), 0);
	assert_int_equal(rmdir(*state), 0);
	assert_int_equal(mkdir(*state, 0700), 0);
}

static void sweep(void **state)
{
	static const struct {
		const char *name;
		bool old, stays;
	} files[] = {
		{ "a.tmp-abcDEF", true, false },
		{ "b.tmp-abcDEF", false, true }, /* somebody writes it now */
		{ ".tmp-abcDEF", true, true },
		{ "a.tmp-abcDE", true, true },
		{ "a.tmp-abcDEFG", true, true },
		{ "a", true, true },
	};
	static const struct timespec past[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	struct err err = ERR_INIT;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_free char *path = fs_join(*state, files[i].name);
		assert_int_equal(fs_write_atomic(path, "x", 1, 0600, &err), 0);
		assert_int_equal(files[i].old ? utimensat(AT_FDCWD, path, past, 0) : 0, 0);
	}
	fs_sweep_temporaries(*state);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_free char *path = fs_join(*state, files[i].name);
		assert_int_equal(fs_exists(path), files[i].stays);
	}
	auto_free char *none = fs_join(*state, "none");
	fs_sweep_temporaries(none);
}

static void big_file(void **state)
{
	struct err err = ERR_INIT;
	auto_buf b = BUF_INIT;
	auto_buf back = BUF_INIT;
	auto_free char *path = fs_join(*state, "big");
	for (int i = 0; i < 300000; i++)
		buf_ch(&b, (char)(i * 7));
	assert_int_equal(fs_write_atomic(path, b.p, b.len, 0600, &err), 0);
	assert_int_equal(fs_read(path, b.len, &back, &err), 0);
	assert_int_equal(back.len, b.len);
	assert_memory_equal(back.p, b.p, b.len);
	assert_true(fs_allocated(path) >= 300000);
	buf_clear(&back);
	assert_int_equal(fs_read("/proc/self/stat", 65536, &back, &err), 0);
	assert_true(back.len > 0);
}

static void folders(void **state)
{
	struct err err = ERR_INIT;
	auto_free char *path = fs_join(*state, "a/b//c/");
	auto_free char *a = fs_join(*state, "a");
	assert_int_equal(fs_mkdirs(path, 0700, &err), 0);
	assert_int_equal(fs_mkdirs(path, 0700, &err), 0);
	assert_int_equal(mode_of(path), 0700);
	assert_int_equal(mode_of(a), 0700);
	auto_free char *open = fs_join(*state, "x/y");
	auto_free char *x = fs_join(*state, "x");
	assert_int_equal(fs_mkdirs(open, 01777, &err), 0);
	assert_int_equal(mode_of(open), 01777);
	assert_int_equal(mode_of(x), 0755);
	auto_free char *file = fs_join(*state, "file");
	assert_int_equal(fs_write_atomic(file, "", 0, 0600, &err), 0);
	assert_int_equal(fs_mkdirs(file, 0700, &err), -1);
	auto_free char *below = fs_join(file, "sub");
	assert_int_equal(fs_mkdirs(below, 0700, &err), -1);
	assert_int_equal(fs_mkdirs("", 0700, &err), -1);
	assert_int_equal(fs_mkdirs("/", 0700, &err), 0);
}

static void remove_follows_no_link(void **state)
{
	struct err err = ERR_INIT;
	auto_free char *keep = fs_join(*state, "keep");
	auto_free char *kept = fs_join(keep, "file");
	auto_free char *tree = fs_join(*state, "tree");
	auto_free char *sub = fs_join(tree, "s/u/b");
	auto_free char *link1 = fs_join(sub, "link");
	auto_free char *link2 = fs_join(*state, "toplink");
	auto_free char *taken = fs_join(tree, ".rm-0");
	assert_int_equal(fs_mkdirs(keep, 0700, &err) | fs_mkdirs(sub, 0700, &err), 0);
	assert_int_equal(fs_write_atomic(kept, "x", 1, 0600, &err), 0);
	assert_int_equal(fs_write_atomic(taken, "x", 1, 0600, &err), 0);
	assert_int_equal(symlink(keep, link1) | symlink(keep, link2), 0);
	assert_int_equal(chmod(sub, 0500), 0);
	assert_int_equal(fs_remove_tree(tree, &err), 0);
	assert_false(fs_exists(tree));
	assert_int_equal(fs_remove_tree(link2, &err), 0);
	assert_false(fs_exists(link2));
	assert_true(fs_exists(kept));
	assert_int_equal(fs_remove_tree(kept, &err), 0);
	assert_int_equal(fs_remove_tree(kept, &err), 0);
	assert_true(fs_exists(keep));
}

/* Deeper than paths, descriptors and any sensible stack would take. */
static void remove_is_not_recursive(void **state)
{
	struct err err = ERR_INIT;
	auto_free char *top = fs_join(*state, "deep");
	assert_int_equal(mkdir(top, 0700), 0);
	int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(mkdirat(fd, "d", 0700), 0);
		int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	close(fd);
	assert_int_equal(fs_remove_tree(top, &err), 0);
	assert_false(fs_exists(top));
}

static void sparse_copy(void **state)
{
	struct err err = ERR_INIT;
	auto_free char *from = fs_join(*state, "from");
	auto_free char *to = fs_join(*state, "to");
	int fd = open(from, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "begin", 5, 0), 5);
	assert_int_equal(pwrite(fd, "middle", 6, 4 << 20), 6);
	assert_int_equal(ftruncate(fd, 16 << 20), 0);
	close(fd);
	assert_int_equal(fs_copy_sparse(from, to, 0440, &err), 0);
	assert_int_equal(mode_of(to), 0440);
	assert_true(fs_allocated(to) < 1 << 20);
	auto_buf a = BUF_INIT;
	auto_buf b = BUF_INIT;
	assert_int_equal(fs_read(from, 32 << 20, &a, &err) | fs_read(to, 32 << 20, &b, &err), 0);
	assert_int_equal(a.len, 16 << 20);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.p, b.p, a.len);
	assert_int_equal(fs_copy_sparse(from, to, 0600, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(fs_copy_sparse(*state, to, 0600, &err), -1);
}

static void locks(void **state)
{
	struct err err = ERR_INIT;
	auto_free char *path = fs_join(*state, "lock");
	int fd = fs_lock(path, false, &err);
	assert_true(fd >= 0);
	assert_int_equal(mode_of(path), 0600);
	assert_int_equal(fs_lock(path, false, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	close(fd);
	fd = fs_lock(path, true, &err);
	assert_true(fd >= 0);
	close(fd);
}

static void homes(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	setenv("SBX_HOME", "/x/y//", 1);
	setenv("SBX_CACHE", "rel", 1);
	auto_free char *home = fs_sbx_home(&err);
	auto_free char *cache = fs_sbx_cache(&err);
	auto_free char *cwd = getcwd(NULL, 0);
	auto_free char *want = fs_join(cwd, "rel");
	assert_string_equal(home, "/x/y");
	assert_string_equal(cache, want);
	setenv("SBX_CACHE", "", 1);
	setenv("HOME", "/h", 1);
	auto_free char *standard = fs_sbx_cache(&err);
	assert_string_equal(standard, "/h/.cache/sbx");
	unsetenv("HOME");
	assert_null(fs_sbx_cache(&err));
	assert_non_null(strstr(err.hint, "SBX_CACHE"));
	auto_free char *dir = fs_exe_dir(&err);
	assert_non_null(dir);
	assert_int_equal(dir[0], '/');
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(write_and_read),
		TEST(sweep),
		TEST(big_file),
		TEST(folders),
		TEST(remove_follows_no_link),
		TEST(remove_is_not_recursive),
		TEST(sparse_copy),
		TEST(locks),
		TEST(homes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
