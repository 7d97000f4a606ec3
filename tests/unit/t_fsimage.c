/* link: daemon/image/erofs.c daemon/image/fsimage.c shared/store/[a-z]*.c | -lzstd -lpthread */
/* Images of trees, read back by erofs-utils. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/image/fsimage.h"
#include "shared/store/work.h"
#include "tests/unit/store_data.h"
#include "tests/unit/tree_kit.h"

static int shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int shell(const char *fmt, ...)
{
	auto_buf b = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_vfmt(&b, fmt, ap);
	va_end(ap);
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/bash", "bash", "-euc", b.p, (char *)NULL);
		_exit(127);
	}
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Names, types, permission bits, targets and contents of what lies below two folders. */
static void assert_same(const char *a, const char *b)
{
	assert_int_equal(
		shell("look() { cd \"$1\"; find . -mindepth 1 -printf '%%p %%y %%m %%l %%U %%G\\0' | sort -z | tr '\\0' '\\n'; "
		      "find . -type f -print0 | sort -z | xargs -0r sha256sum; "
		      "find . -type c -exec stat -c '%%n %%t:%%T' {} +; }; diff <(look '%s') <(look '%s')",
			a, b),
		0);
}

static struct hash push(struct store *s, const char *dir)
{
	struct err err = ERR_INIT;
	struct work_options o = { 0 };
	struct work_progress done;
	struct hash id;
	assert_int_equal(store_begin(s, true, &err), 0);
	if (work_push(s, dir, &o, &id, &done, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(store_end(s, &err), 0);
	return id;
}

static void make(struct store *s, const struct hash *id)
{
	struct err err = ERR_INIT;
	if (fsimage_make(store_path(s), s, id, NULL, NULL, &err))
		fail_msg("%s", err.msg);
}

/* The image, taken apart into a folder of that name. */
static void extract(struct store *s, const struct hash *id, const char *to)
{
	auto_free char *path = fsimage_path(store_path(s), id);
	assert_int_equal(shell("fsck.erofs --extract='%s' --preserve '%s' >/dev/null", to, path), 0);
}

static void round_trip(struct store *s, const char *script)
{
	auto_free char *dir = mem_printf("%s/in", store_path(s));
	auto_free char *out = mem_printf("%s/out", store_path(s));
	assert_int_equal(shell("rm -rf '%s' '%s'; mkdir '%s' && cd '%s' && %s", dir, out, dir, dir, script), 0);
	struct hash id = push(s, dir);
	make(s, &id);
	extract(s, &id, out);
	assert_same(dir, out);
}

static void all_kinds(void **state)
{
	round_trip(*state,
		"mkdir -p a/b/c empty; mkdir -m 0700 private; mkdir -m 1777 tmp; echo x >a/b/c/f; : >none; "
		"echo run >run; chmod 0755 run; echo s >s; chmod 0511 s; echo k >private/k; chmod 0600 private/k; "
		"ln -s a/b link; ln -s /nowhere dangling; ln -s $(printf 'x%.0s' $(seq 900)) long; "
		"mkfifo -m 0640 pipe; [ $(id -u) -ne 0 ] || mknod -m 0660 dev c 300 70000");
}

/* Names before, between and behind "." and "..", with bytes of all kinds. */
static void names(void **state)
{
	round_trip(*state,
		"touch -- '!' -x .. ... .a '.!' '..!' ..a $'\\xff\\xfe' $'new\\nline' 'a b' $'\\x01' '~' "
		"$(printf 'n%.0s' $(seq 255)); mkdir -- $'-d\\x80' '.!d'; touch -- $'-d\\x80/!' ");
}

/* Contents that end at, before and behind the ends of blocks and of what stands behind an inode. */
static void sizes(void **state)
{
	round_trip(*state,
		"for n in 1 31 32 3071 3072 3073 4031 4032 4063 4064 4065 4095 4096 4097 7168 7169 8191 8192 8193 65535 65536 "
		"65537 "
		"262143 262144 262145 3000000; do head -c $n /dev/urandom >f$n; done; "
		"head -c 3000 /dev/zero >z; truncate -s 5M holes; printf x | dd of=holes bs=1 seek=3000000 conv=notrunc "
		"status=none; truncate -s 70000000 hole");
}

static void many(void **state)
{
	round_trip(*state,
		"mkdir many deep; cd many; for i in $(seq 2500); do echo $i >file-with-a-name-$i; done; cd ../deep; "
		"for i in $(seq 150); do mkdir d$i; cd d$i; echo $i >f; done");
}

static void nothing(void **state)
{
	round_trip(*state, ":");
	auto_free char *out = mem_printf("%s/out2", store_path(*state));
	make(*state, &object_empty);
	extract(*state, &object_empty, out);
	assert_int_equal(rmdir(out), 0);
}

/* Any tree gives the image that its checkout gives. */
static void random_trees(void **state)
{
	uint64_t seed = 42;
	for (int round = 0; round < 12; round++) {
		auto_buf script = BUF_INIT;
		for (int i = 0; i < 60; i++) {
			unsigned n = (unsigned)(xorshift(&seed) % 40);
			buf_fmt(&script, "mkdir -p d%u/e%u; head -c %u /dev/urandom >d%u/e%u/f%u; ", n % 7, n % 5,
				(unsigned)(xorshift(&seed) % 9000), n % 7, n % 5, n);
		}
		buf_str(&script, ":");
		round_trip(*state, script.p);
	}
}

static void file_and_folder(void **state)
{
	struct err err = ERR_INIT;
	struct hash id = kit_tree(*state, "a=one a/b=two");
	assert_int_equal(fsimage_make(store_path(*state), *state, &id, NULL, NULL, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.msg, "'a' is a file and a folder"));
	assert_false(fsimage_ready(store_path(*state), &id));
}

static bool stop_at(void *arg)
{
	return --*(int *)arg <= 0;
}

/* Called off at any time: an error, and nothing is left. */
static void stopped(void **state)
{
	struct hash id = kit_tree(*state, "a=1 b/c=2 d=3");
	int pieces = 0, left = 1000;
	struct err err = ERR_INIT;
	do {
		left = ++pieces;
		assert_false(fsimage_ready(store_path(*state), &id));
		assert_true(pieces < 100);
	} while (fsimage_make(store_path(*state), *state, &id, stop_at, &left, &err) && err.code == ERR_UNAVAILABLE);
	assert_true(pieces > 4);
	assert_true(fsimage_ready(store_path(*state), &id));
	auto_free char *tmp = mem_printf("%s/fs", store_path(*state));
	assert_int_equal(shell("test $(ls '%s' | wc -l) -eq 1", tmp), 0);
}

static void length_is_fixed(void **state)
{
	struct stat st;
	struct hash id = kit_tree(*state, "a=one");
	make(*state, &id);
	auto_free char *path = fsimage_path(store_path(*state), &id);
	assert_int_equal(stat(path, &st), 0);
	assert_true((uint64_t)st.st_size == FSIMAGE_SIZE);
	assert_true(st.st_blocks * 512 < 1 << 20);
}

static void age(const char *path, int64_t minutes)
{
	struct timespec now[2];
	clock_gettime(CLOCK_REALTIME, &now[0]);
	now[0].tv_sec -= 60 * minutes;
	now[1] = now[0];
	assert_int_equal(utimensat(AT_FDCWD, path, now, 0), 0);
}

/* The ones that were used longest ago go, but none that may be about to be used. */
static void pruning(void **state)
{
	static const char *const lines[] = { "a=1", "a=2", "a=3" };
	const char *cache = store_path(*state);
	struct hash ids[3];
	for (size_t i = 0; i < 3; i++) {
		ids[i] = kit_tree(*state, lines[i]);
		make(*state, &ids[i]);
		auto_free char *path = fsimage_path(cache, &ids[i]);
		age(path, i == 0 ? 30 : i == 1 ? 60 : 1);
	}
	auto_free char *second = fsimage_path(cache, &ids[0]);
	uint64_t each = (uint64_t)fs_allocated(second);
	fsimage_prune(cache, 3 * each);
	assert_true(fs_exists(second));
	fsimage_prune(cache, 2 * each);
	assert_true(fs_exists(second));
	assert_false(fsimage_ready(cache, &ids[1]));
	fsimage_prune(cache, 0);
	assert_false(fsimage_ready(cache, &ids[0]));
	assert_true(fsimage_ready(cache, &ids[2]));
}

/* What a sandbox has stays. */
static void linked(void **state)
{
	struct hash id = kit_tree(*state, "a=1");
	make(*state, &id);
	auto_free char *path = fsimage_path(store_path(*state), &id);
	auto_free char *other = mem_printf("%s/other", store_path(*state));
	age(path, 60);
	assert_int_equal(link(path, other), 0);
	fsimage_prune(store_path(*state), 0);
	assert_true(fs_exists(path));
	assert_int_equal(unlink(other), 0);
	fsimage_prune(store_path(*state), 0);
	assert_false(fs_exists(path));
}

/* A use makes it young again. */
static void used_again(void **state)
{
	struct hash id = kit_tree(*state, "a=1");
	make(*state, &id);
	auto_free char *path = fsimage_path(store_path(*state), &id);
	age(path, 60);
	assert_true(fsimage_ready(store_path(*state), &id));
	fsimage_prune(store_path(*state), 0);
	assert_true(fs_exists(path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_kinds, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(names, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(sizes, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(many, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(nothing, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(random_trees, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(file_and_folder, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(stopped, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(length_is_fixed, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(pruning, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(linked, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(used_again, store_dir_setup, store_dir_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
