/* link: tests/unit/work_fixture.c shared/store/[a-z]*.c | -lzstd -lpthread */
#include "tests/unit/work_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"

static void put_odd_names(struct fixture *f)
{
	char name[300];
	put_file(f, "w/a\nb", "newline", 0644);
	put_file(f, "w/\xff\xfe", "not UTF-8", 0644);
	put_file(f, "w/ ", "space", 0644);
	put_file(f, "w/-rf", "dash", 0644);
	put_file(f, "w/a", "before a.b", 0644);
	put_file(f, "w/a.b/c", "folder with a dot", 0644);
	put_file(f, "w/.sbx", "dot", 0644);
	memset(name, 'n', sizeof(name));
	memcpy(name, "w/", 2);
	name[2 + 255] = '\0';
	put_file(f, name, "255 bytes", 0644);
}

static void put_odd_kinds(struct fixture *f)
{
	auto_free char *fifo = at(f, "w/kinds/fifo");
	auto_free char *sock = at(f, "w/kinds/sock");
	auto_free char *null = at(f, "w/kinds/null");
	auto_free char *one = at(f, "w/kinds/hard1");
	auto_free char *two = at(f, "w/kinds/hard2");
	put_file(f, "w/kinds/hard1", "the same", 0640);
	assert_int_equal(link(one, two), 0);
	assert_int_equal(mkfifo(fifo, 0620), 0);
	assert_int_equal(mknod(sock, S_IFSOCK | 0700, 0), 0);
	if (geteuid() == 0)
		assert_int_equal(mknod(null, S_IFCHR | 0666, makedev(1, 3)), 0);
	put_link(f, "w/kinds/dangling", "no/where");
	put_link(f, "w/kinds/absolute", "/etc/passwd");
	put_link(f, "w/kinds/loop", "loop");
	put_link(f, "w/kinds/up", "../../..");
}

static void put_modes(struct fixture *f)
{
	put_file(f, "w/modes/x", "#!/bin/sh\n", 0755);
	put_file(f, "w/modes/suid", "s", 04755);
	put_file(f, "w/modes/sgid", "s", 02750);
	put_file(f, "w/modes/none", "s", 0);
	put_file(f, "w/modes/all", "s", 0777);
	put_dir(f, "w/modes/empty", 0755);
	put_dir(f, "w/modes/private", 0700);
	put_file(f, "w/modes/sticky/f", "s", 0600);
	put_dir(f, "w/modes/sticky", 01777);
	put_file(f, "w/modes/shut/f", "s", 0444);
	put_dir(f, "w/modes/shut", 0555);
}

static void put_sizes(struct fixture *f)
{
	auto_free uint8_t *big = mem_zalloc(9 << 20);
	xorshift(big, 9 << 20, 99);
	put_bytes(f, "w/sizes/65536", big, 65536);
	put_bytes(f, "w/sizes/65537", big, 65537);
	put_bytes(f, "w/sizes/9M", big, 9 << 20);
	memset(big, 0, 3 << 20);
	put_bytes(f, "w/sizes/zeros first", big, 9 << 20);
	put_file(f, "w/sizes/empty", "", 0644);
}

static void everything_comes_back(void **state)
{
	struct fixture *f = *state;
	struct hash id;
	put_odd_names(f);
	put_odd_kinds(f);
	put_modes(f);
	put_sizes(f);
	assert_int_equal(push(f, "w", &id), 0);
	umask(077);
	assert_int_equal(checkout(f, &id, "new/out"), 0);
	umask(022);
	check_same(f, "w", "new/out");
	assert_string_equal(pushed(f, "new/out"), pushed(f, "w"));
	/* what was too new to be trusted is read again, once */
	settle();
	assert_string_equal(status(f, &id, "new/out"), "");
	settle();
	assert_int_equal(checkout(f, &id, "new/out"), 0);
	assert_int_equal(f->done.new_files, 0);
}

static void deep_folders(void **state)
{
	struct fixture *f = *state;
	struct hash id, again;
	put_dir(f, "w", 0755);
	auto_free char *top = at(f, "w");
	int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 1000; i++) {
		char name[64];
		snprintf(name, sizeof(name), "level-%d-of-a-path-that-gets-longer-than-any-path", i);
		assert_int_equal(mkdirat(fd, name, 0755), 0);
		int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	int file = openat(fd, "bottom", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(file, "x", 1), 1);
	close(file);
	close(fd);
	assert_int_equal(push(f, "w", &id), 0);
	assert_int_equal(checkout(f, &id, "out"), 0);
	assert_int_equal(push(f, "out", &again), 0);
	assert_true(hash_eq(&id, &again));
	assert_int_equal(f->done.files, 1);
}

static void sparse_files(void **state)
{
	struct fixture *f = *state;
	struct hash id, again;
	struct stat st;
	put_dir(f, "w", 0755);
	auto_free char *path = at(f, "w/disk");
	auto_free char *out = at(f, "out/disk");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	const off_t size = ((off_t)300 << 20) + 12345;
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(pwrite(fd, "head", 4, 0), 4);
	assert_int_equal(pwrite(fd, "middle", 6, (100 << 20) + 777), 6);
	assert_int_equal(push(f, "w", &id), 0);
	/* the holes were not read */
	assert_true(f->done.new_bytes < 32 << 20);
	assert_int_equal(checkout(f, &id, "out"), 0);
	assert_int_equal(stat(out, &st), 0);
	assert_int_equal(st.st_size, size);
	assert_true(st.st_blocks * 512 < 1 << 20);
	check_same(f, "w", "out");
	/* the same bytes without holes have the same id */
	assert_int_equal(fallocate(fd, 0, 0, size), 0);
	close(fd);
	f->o.threads = 1;
	assert_int_equal(push(f, "w", &again), 0);
	assert_true(hash_eq(&id, &again));
}

static void only_differences_are_written(void **state)
{
	struct fixture *f = *state;
	struct hash one, two;
	for (int i = 0; i < 40; i++) {
		char name[64];
		snprintf(name, sizeof(name), "w/d%d/f%d", i % 5, i);
		put_file(f, name, name, 0644);
	}
	put_dir(f, "w/d9", 0700);
	assert_int_equal(push(f, "w", &one), 0);
	assert_int_equal(checkout(f, &one, "out"), 0);
	put_file(f, "w/d1/f1", "changed", 0644);
	put_file(f, "w/d2/f2", "w/d2/f2", 0755);
	put_file(f, "w/new/deep/file", "new", 0644);
	put_dir(f, "w/d3", 0711);
	auto_free char *gone = at(f, "w/d4");
	assert_int_equal(fs_remove_tree(gone, NULL), 0);
	assert_int_equal(push(f, "w", &two), 0);
	assert_string_equal(status(f, &two, "out"),
		"C d1/f1\nM d2/f2\nM d3\n"
		"A d4/f14\nA d4/f19\nA d4/f24\nA d4/f29\nA d4/f34\nA d4/f39\nA d4/f4\nA d4/f9\n"
		"R new/deep/file\n");
	f->o.dry = true;
	assert_int_equal(checkout(f, &two, "out"), 0);
	assert_int_equal(f->done.new_files, 3);
	f->o.dry = false;
	assert_int_equal(checkout(f, &two, "out"), 0);
	assert_int_equal(f->done.new_files, 3);
	assert_false(there(f, "out/d4"));
	check_same(f, "w", "out");
	assert_string_equal(status(f, &two, "out"), "");
	assert_int_equal(checkout(f, &one, "out"), 0);
	assert_string_equal(status(f, &one, "out"), "");
}

static void local_changes_are_safe(void **state)
{
	struct fixture *f = *state;
	struct hash one, two;
	put_file(f, "w/keep", "1", 0644);
	put_file(f, "w/edit", "1", 0644);
	put_file(f, "w/gone", "1", 0644);
	put_file(f, "w/dir/a", "1", 0644);
	assert_int_equal(push(f, "w", &one), 0);
	assert_int_equal(checkout(f, &one, "out"), 0);
	put_file(f, "w/edit", "2", 0644);
	put_file(f, "w/fresh", "2", 0644);
	auto_free char *gone = at(f, "w/gone");
	auto_free char *dir = at(f, "w/dir");
	assert_int_equal(unlink(gone), 0);
	assert_int_equal(fs_remove_tree(dir, NULL), 0);
	put_file(f, "w/dir", "now a file", 0644);
	assert_int_equal(push(f, "w", &two), 0);
	/* edited, edited though it is to go, new where something is to come, new in a folder that is to be a file */
	put_file(f, "out/edit", "mine", 0644);
	put_file(f, "out/gone", "mine", 0644);
	put_file(f, "out/fresh", "mine", 0644);
	put_file(f, "out/dir/mine", "mine", 0644);
	put_file(f, "out/keep", "mine", 0644);
	put_file(f, "out/extra/file", "mine", 0644);
	assert_int_equal(checkout(f, &two, "out"), -1);
	assert_int_equal(f->err.code, ERR_CONFLICT);
	assert_non_null(strstr(f->err.msg, "'dir', 'edit', 'fresh', 'gone', 'keep'"));
	assert_non_null(strstr(f->err.hint, "5"));
	check_file(f, "out/edit", "mine");
	check_file(f, "out/dir/a", "1");
	f->o.force = true;
	assert_int_equal(checkout(f, &two, "out"), 0);
	check_file(f, "out/edit", "2");
	check_file(f, "out/dir", "now a file");
	check_file(f, "out/keep", "1");
	assert_false(there(f, "out/gone"));
	/* what was never pushed is nobody's business */
	check_file(f, "out/extra/file", "mine");
	assert_string_equal(status(f, &two, "out"), "A extra/file\n");
	f->o.force = false;
	assert_int_equal(checkout(f, &one, "out"), 0);
	check_file(f, "out/dir/a", "1");
	check_file(f, "out/extra/file", "mine");
}

/* Without an index everything that is there and differs is a local change. */
static void strange_folder(void **state)
{
	struct fixture *f = *state;
	struct hash id;
	put_file(f, "w/a", "1", 0644);
	put_file(f, "w/b", "1", 0644);
	assert_int_equal(push(f, "w", &id), 0);
	put_file(f, "out/a", "other", 0644);
	put_file(f, "out/b", "1", 0644);
	put_file(f, "out/c", "1", 0644);
	assert_int_equal(checkout(f, &id, "out"), -1);
	assert_non_null(strstr(f->err.msg, "'a'"));
	assert_null(strstr(f->err.msg, "'b'"));
	put_file(f, "out/a", "1", 0644);
	assert_int_equal(checkout(f, &id, "out"), 0);
	assert_true(there(f, "out/c"));
}

static void hostile_links(void **state)
{
	struct fixture *f = *state;
	struct hash one, two;
	put_file(f, "w/d/f", "1", 0644);
	put_dir(f, "elsewhere", 0755);
	assert_int_equal(push(f, "w", &one), 0);
	assert_int_equal(checkout(f, &one, "out"), 0);
	put_file(f, "w/d/f", "2", 0644);
	put_file(f, "w/d/g", "2", 0644);
	assert_int_equal(push(f, "w", &two), 0);
	/* the folder becomes a link out: nothing is written through it */
	auto_free char *d = at(f, "out/d");
	auto_free char *out = at(f, "elsewhere");
	assert_int_equal(fs_remove_tree(d, NULL), 0);
	assert_int_equal(symlink(out, d), 0);
	assert_int_equal(checkout(f, &two, "out"), -1);
	assert_int_equal(f->err.code, ERR_CONFLICT);
	f->o.force = true;
	assert_int_equal(checkout(f, &two, "out"), 0);
	assert_false(there(f, "elsewhere/f"));
	assert_true(S_ISDIR(mode_at(f, "out/d")));
	check_same(f, "w", "out");
}

/* A tree made by hand: id of one child. */
static void one_child(struct fixture *f, const struct child *c, struct hash *id)
{
	auto_buf node = BUF_INIT;
	assert_int_equal(node_encode(c, 1, &node, &f->err), 0);
	assert_int_equal(store_begin(f->s, true, &f->err), 0);
	assert_int_equal(store_put(f->s, OBJECT_TREE, node.p, node.len, NULL, id, &f->err), 0);
	assert_int_equal(store_end(f->s, &f->err), 0);
}

static void trees_that_disks_cannot_hold(void **state)
{
	struct fixture *f = *state;
	struct hash id;
	struct child c = { .name = "a", .name_len = 1, .has_file = true, .has_dir = true, .dir = object_empty };
	c.file = (struct entry){ .mode = 0644, .size = 1, .data = (const uint8_t *)"x" };
	one_child(f, &c, &id);
	assert_int_equal(checkout(f, &id, "both"), -1);
	assert_non_null(strstr(f->err.msg, "both a file and a folder"));
	/* chunks that do not make up the size */
	uint8_t hash[HASH_LEN] = { 9 };
	c.has_dir = false;
	c.file = (struct entry){ .mode = 0644, .size = 70000, .chunked = true, .data = hash, .chunks = 1 };
	one_child(f, &c, &id);
	assert_int_equal(checkout(f, &id, "lost"), -1);
	assert_int_equal(f->err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(f->err.msg, "lost/a"));
	auto_free char *lost = at(f, "lost");
	assert_int_equal(rmdir(lost), 0); /* nothing was left behind */
	/* no such tree: no folder either */
	assert_int_equal(checkout(f, &(struct hash){ .b = { 7 } }, "never"), -1);
	assert_int_equal(f->err.code, ERR_NOT_FOUND);
	assert_false(there(f, "never"));
}

static void ignored_files_are_left_alone(void **state)
{
	struct fixture *f = *state;
	struct hash one, two;
	put_file(f, "w/.sbxignore", "*.log\n", 0644);
	put_file(f, "w/a", "1", 0644);
	put_file(f, "w/d/b", "1", 0644);
	assert_int_equal(push(f, "w", &one), 0);
	assert_int_equal(checkout(f, &one, "out"), 0);
	put_file(f, "out/x.log", "mine", 0644);
	put_file(f, "out/d/y.log", "mine", 0644);
	auto_free char *d = at(f, "w/d");
	assert_int_equal(fs_remove_tree(d, NULL), 0);
	put_file(f, "w/x.log", "theirs", 0644);
	put_file(f, "w/new/z.log", "theirs", 0644);
	f->o.no_ignore_files = true;
	assert_int_equal(push(f, "w", &two), 0);
	f->o.no_ignore_files = false;
	assert_int_equal(checkout(f, &two, "out"), 0);
	check_file(f, "out/x.log", "mine");
	check_file(f, "out/d/y.log", "mine");
	assert_false(there(f, "out/d/b"));
	assert_false(there(f, "out/new/z.log"));
}

/* Cancelled at some moment: what has its final name is whole. */
static void cancel_leaves_whole_files(void **state)
{
	struct fixture *f = *state;
	struct hash id;
	auto_free uint8_t *big = mem_zalloc(2 << 20);
	xorshift(big, 2 << 20, 5);
	for (int i = 0; i < 60; i++) {
		char name[64];
		snprintf(name, sizeof(name), "w/d%d/f%d", i % 9, i);
		put_bytes(f, name, big + i, (size_t)(i % 3 ? 3000 : 1 << 20));
	}
	assert_int_equal(push(f, "w", &id), 0);
	for (int round = 0; round < 20; round++) {
		pid_t child = fork();
		auto_free char *out = at(f, "out");
		if (child == 0) {
			/* the store's lock and threads stay the parent's: reading needs neither */
			(void)work_checkout(f->s, &id, out, &f->o, NULL, &f->err);
			_exit(0);
		}
		usleep((useconds_t)(round * 700));
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		if (!there(f, "out"))
			continue;
		/* temporary files may be there; the rest is as in the tree or not there */
		const char *line = status(f, &id, "out");
		for (const char *p = line; *p; p = strchr(p, '\n') + 1)
			assert_true(p[0] == 'R' || strstr(p, ".sbx-tmp-"));
		assert_int_equal(fs_remove_tree(out, NULL), 0);
	}
}

static void as_nobody(void **state)
{
	struct fixture *f = *state;
	struct hash one, two;
	put_file(f, "w/shut/f", "1", 0444);
	put_file(f, "w/shut/g", "1", 0444);
	put_dir(f, "w/shut", 0555);
	assert_int_equal(push(f, "w", &one), 0);
	put_file(f, "w/shut/f", "2", 0444);
	auto_free char *g = at(f, "w/shut/g");
	assert_int_equal(unlink(g), 0);
	assert_int_equal(push(f, "w", &two), 0);
	auto_free char *out = at(f, "home/out");
	auto_free char *home = at(f, "home");
	put_dir(f, "home", 0777);
	pid_t child = fork();
	if (child == 0) {
		if (chmod(f->root, 0755) || (geteuid() == 0 && (setgid(65534) || setuid(65534))))
			_exit(9);
		if (work_checkout(f->s, &one, out, &f->o, NULL, &f->err))
			_exit(1);
		/* the index cannot be written to somebody else's store, so this is a strange folder: force */
		f->o.force = true;
		_exit(work_checkout(f->s, &two, out, &f->o, NULL, &f->err) ? 2 : 0);
	}
	int code = -1;
	assert_int_equal(waitpid(child, &code, 0), child);
	assert_true(WIFEXITED(code));
	assert_int_equal(WEXITSTATUS(code), 0);
	check_file(f, "home/out/shut/f", "2");
	assert_int_equal(mode_at(f, "home/out/shut") & 07777, 0555);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = { T(everything_comes_back), T(deep_folders), T(sparse_files),
		T(only_differences_are_written), T(local_changes_are_safe), T(strange_folder), T(hostile_links),
		T(trees_that_disks_cannot_hold), T(ignored_files_are_left_alone), T(cancel_leaves_whole_files), T(as_nobody) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
