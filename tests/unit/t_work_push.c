/* link: tests/unit/work_fixture.c shared/store/[a-z]*.c | -lzstd -lpthread */
#include "tests/unit/work_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"

/* Source: reference/mcp-v8.md 2.5. */
static void ids_are_mcp_v8s(void **state)
{
	struct fixture *f = *state;
	put_dir(f, "empty", 0755);
	assert_string_equal(pushed(f, "empty"), "71e0a99173564931c0b8acc52d2685a8e39c64dc52e3d02390fdac2a12b155cb");
	put_file(f, "v1/a", "base", 0644);
	assert_string_equal(pushed(f, "v1"), "c06627dd74ab42c0281ff0047ce5c0aad554fa7aca333f308fb0e0cfe50680f6");
	put_file(f, "v2/data/note.txt", "hello snapshot", 0644);
	assert_string_equal(pushed(f, "v2"), "705b51e8486197313cdbb2125bedd77ed9006f8d811a4c455a0068ded70d6ae1");
	put_file(f, "v3/a.txt", "A", 0644);
	put_file(f, "v3/b/c.txt", "hello\n", 0644);
	assert_string_equal(pushed(f, "v3"), "692bc828361fce9e296ae58ab491218c604177c0e0a91c040c1c7f8e4125b185");
	put_file(f, "v4/f", "", 0644);
	assert_string_equal(pushed(f, "v4"), "bb6a3e81d15d95124669027a100c86024a9406adbf6878da6aa3027d9a3c4f2d");
	put_link(f, "v5/link", "/t");
	assert_string_equal(pushed(f, "v5"), "297dbd9095fcd2633cf949de1ebc615371411e52714b71a9a73f133b0d588cbd");
	auto_free uint8_t *big = mem_zalloc(3 << 20);
	put_bytes(f, "v6/z", big, 65536);
	assert_string_equal(pushed(f, "v6"), "1eb54ff954ada01ef1130cf135dc41bd6fece6625b326d2d3766fb631e2a133a");
	put_bytes(f, "v7/z", big, 65537);
	assert_string_equal(pushed(f, "v7"), "1952eb2d5496120295809fd5ef3001fa9102cfdac27feee072d4b937f45d1581");
	xorshift(big, 3 << 20, 0x1235);
	put_bytes(f, "v8/big.bin", big, 3 << 20);
	assert_string_equal(pushed(f, "v8"), "d5742dc9a5c6154c88d75d9c310de8db2287dc16ea50c5424022975c0f5046e7");
}

static void unchanged_is_not_read(void **state)
{
	struct fixture *f = *state;
	struct hash first, again;
	for (int i = 0; i < 50; i++) {
		char name[64];
		snprintf(name, sizeof(name), "w/d%d/e/f%d", i % 7, i);
		put_file(f, name, name, i & 1 ? 0644 : 0755);
	}
	put_link(f, "w/l", "nowhere");
	auto_free uint8_t *big = mem_zalloc(1 << 20);
	put_bytes(f, "w/d1/big", big, 1 << 20);
	settle();
	assert_int_equal(push(f, "w", &first), 0);
	assert_int_equal(f->done.files, 52);
	assert_int_equal(f->done.new_files, 51);
	assert_int_equal(push(f, "w", &again), 0);
	assert_true(hash_eq(&first, &again));
	assert_int_equal(f->done.files, 52);
	assert_int_equal(f->done.new_files, 0);
	assert_int_equal(f->done.new_bytes, 0);
	/* one file: only it is read, also beside a large one */
	put_file(f, "w/d1/new", "n", 0644);
	settle();
	assert_int_equal(push(f, "w", &again), 0);
	assert_false(hash_eq(&first, &again));
	assert_int_equal(f->done.new_files, 1);
	assert_string_equal(status(f, &first, "w"), "A d1/new\n");
	auto_free char *path = at(f, "w/d1/new");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(push(f, "w", &again), 0);
	assert_true(hash_eq(&first, &again));
	assert_int_equal(f->done.new_files, 0);
}

/* Also a large one, and however long after it was written. */
static void changed_large_files_are_seen(void **state)
{
	struct fixture *f = *state;
	struct hash a, b;
	auto_free uint8_t *big = mem_zalloc(2 << 20);
	put_bytes(f, "w/d/big", big, 2 << 20);
	put_file(f, "w/d/small", "s", 0644);
	for (uint8_t i = 1; i < 5; i++) {
		settle();
		assert_int_equal(push(f, "w", &a), 0);
		big[1 << 20] = i;
		put_bytes(f, "w/d/big", big, 2 << 20);
		settle();
		assert_string_equal(status(f, &a, "w"), "C d/big\n");
		assert_int_equal(push(f, "w", &b), 0);
		assert_false(hash_eq(&a, &b));
		assert_int_equal(f->done.new_files, 1);
	}
}

/* Same size, same mtime, written in the same tick as the push: it has to be seen all the same. */
static void racy_writes_are_seen(void **state)
{
	struct fixture *f = *state;
	struct hash a, b;
	for (int i = 0; i < 30; i++) {
		put_file(f, "r/f", "one", 0644);
		assert_int_equal(push(f, "r", &a), 0);
		put_file(f, "r/f", "two", 0644);
		assert_int_equal(push(f, "r", &b), 0);
		assert_false(hash_eq(&a, &b));
	}
	/* back to an old time: ctime tells */
	put_file(f, "r/f", "old", 0644);
	settle();
	assert_int_equal(push(f, "r", &a), 0);
	auto_free char *path = at(f, "r/f");
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	settle();
	put_file(f, "r/f", "new", 0644);
	struct timespec times[2] = { st.st_atim, st.st_mtim };
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	assert_int_equal(push(f, "r", &b), 0);
	assert_false(hash_eq(&a, &b));
}

static void damaged_index_is_no_matter(void **state)
{
	struct fixture *f = *state;
	struct hash a, b;
	put_file(f, "w/f", "text", 0644);
	settle();
	assert_int_equal(push(f, "w", &a), 0);
	auto_free char *folder = at(f, "store/index");
	auto_buf cmd = BUF_INIT;
	buf_fmt(&cmd, "for f in %s/*.stat; do printf X | dd of=$f bs=1 seek=150 conv=notrunc status=none; done", folder);
	assert_int_equal(system(cmd.p), 0);
	assert_int_equal(push(f, "w", &b), 0);
	assert_true(hash_eq(&a, &b));
	assert_int_equal(f->done.new_files, 1);
	assert_int_equal(push(f, "w", &b), 0);
	assert_int_equal(f->done.new_files, 0);
	/* nor one that names a tree that was never written */
	put_file(f, "w/f", "other", 0644);
	auto_free char *full = at(f, "w");
	assert_int_equal(store_begin(f->s, true, &f->err), 0);
	assert_int_equal(work_push(f->s, full, &f->o, &b, NULL, &f->err), 0);
	store_abort(f->s);
	store_close(f->s);
	auto_free char *path = at(f, "store");
	f->s = store_open(path, false, &f->err);
	assert_non_null(f->s);
	assert_int_equal(push(f, "w", &b), 0);
	assert_true(store_has(f->s, &b));
	auto_buf node = BUF_INIT;
	assert_int_equal(store_get(f->s, &b, &node, &f->err), 0);
}

static bool keep_nodes(void *arg, const struct hash *id)
{
	struct store_info info;
	return !store_stat(arg, id, &info, NULL) && info.kind == OBJECT_TREE;
}

/* A collection took the chunks and, for some reason, left the nodes: what the index says is not to be believed. */
static void collected_objects_are_read_again(void **state)
{
	struct fixture *f = *state;
	struct hash a, b;
	struct store_swept swept;
	auto_free uint8_t *big = mem_zalloc(1 << 20);
	auto_buf out = BUF_INIT;
	xorshift(big, 1 << 20, 3);
	put_bytes(f, "w/d/big", big, 1 << 20);
	put_file(f, "w/small", "s", 0644);
	settle();
	assert_int_equal(push(f, "w", &a), 0);
	assert_int_equal(push(f, "w", &b), 0);
	assert_int_equal(f->done.new_files, 0);
	assert_int_equal(store_sweep(f->s, keep_nodes, f->s, false, true, &swept, &f->err), 0);
	assert_true(swept.removed > 0);
	assert_true(store_has(f->s, &a));
	assert_int_equal(push(f, "w", &b), 0);
	assert_true(hash_eq(&a, &b));
	assert_int_equal(f->done.new_files, 2);
	struct tree_at found;
	assert_int_equal(tree_find(f->s, &b, "d/big", &found, &f->err), 0);
	assert_int_equal(tree_read_all(f->s, &found.file, 1 << 20, &out, &f->err), 0);
	assert_memory_equal(out.p, big, 1 << 20);
	tree_at_free(&found);
}

static void dry_writes_nothing(void **state)
{
	struct fixture *f = *state;
	struct hash dry, wet;
	auto_free uint8_t *big = mem_zalloc(1 << 20);
	auto_free char *full = at(f, "w");
	xorshift(big, 1 << 20, 7);
	put_bytes(f, "w/a/big", big, 1 << 20);
	put_file(f, "w/small", "s", 0600);
	f->o.dry = true;
	assert_int_equal(work_push(f->s, full, &f->o, &dry, NULL, &f->err), 0);
	assert_false(store_has(f->s, &dry));
	assert_false(there(f, "store/index"));
	f->o.dry = false;
	assert_int_equal(push(f, "w", &wet), 0);
	assert_true(hash_eq(&dry, &wet));
}

struct scribbler {
	char *path;
	atomic_bool stop;
};

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	auto_fd int fd = open(s->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	while (!atomic_load(&s->stop))
		if (write(fd, "more\n", 5) != 5)
			break;
	return NULL;
}

/* However the two threads are scheduled: it fails at some time, and what does not fail is one state of the file. */
static void changing_files(void **state)
{
	struct fixture *f = *state;
	struct hash id;
	pthread_t thread;
	struct scribbler s = { .path = at(f, "w/log") };
	auto_free uint8_t *big = mem_zalloc(5 << 20);
	put_bytes(f, "w/log", big, 5 << 20);
	assert_int_equal(pthread_create(&thread, NULL, scribble, &s), 0);
	int rc = 0;
	for (int i = 0; i < 1000 && !rc; i++) {
		struct tree_at found;
		rc = push(f, "w", &id);
		if (rc)
			break;
		assert_int_equal(tree_find(f->s, &id, "log", &found, &f->err), 0);
		assert_int_equal(found.file.size % 5, 0);
		tree_at_free(&found);
	}
	atomic_store(&s.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(rc, -1);
	assert_int_equal(f->err.code, ERR_CONFLICT);
	assert_non_null(strstr(f->err.msg, s.path));
	free(s.path);
}

/* Files of /proc are longer than they say: as if they grew, each time. */
static void growing_files(void **state)
{
	struct fixture *f = *state;
	struct hash id;
	f->o.dry = true;
	assert_int_equal(work_push(f->s, "/proc/self/fdinfo", &f->o, &id, NULL, &f->err), -1);
	assert_int_equal(f->err.code, ERR_CONFLICT);
	assert_non_null(strstr(f->err.msg, "/proc/self/fdinfo/"));
	f->o.skip_unreadable = true;
	assert_int_equal(work_push(f->s, "/proc/self/fdinfo", &f->o, &id, NULL, &f->err), 0);
	assert_non_null(strstr(f->said.p, "/proc/self/fdinfo/0"));
	assert_true(hash_eq(&id, &object_empty));
}

static int cancelled_push(struct fixture *f, const volatile bool *cancel)
{
	struct hash id;
	f->o.cancel = cancel;
	int rc = push(f, "w", &id);
	f->o.cancel = NULL;
	return rc;
}

static void cancel_stops(void **state)
{
	struct fixture *f = *state;
	volatile bool now = true;
	put_file(f, "w/f", "x", 0644);
	assert_int_equal(cancelled_push(f, &now), -1);
	assert_int_equal(f->err.sys, EINTR);
	now = false;
	assert_int_equal(cancelled_push(f, &now), 0);
}

static void bad_folders(void **state)
{
	struct fixture *f = *state;
	struct hash id;
	assert_int_equal(push(f, "none", &id), -1);
	assert_int_equal(f->err.code, ERR_NOT_FOUND);
	put_file(f, "file", "x", 0644);
	assert_int_equal(push(f, "file", &id), -1);
	assert_int_equal(push(f, "store", &id), -1);
	assert_non_null(strstr(f->err.msg, "store itself"));
	/* the store below the folder is left out, and the folder may be pushed again and again */
	struct hash again;
	assert_int_equal(push(f, "", &id), 0);
	assert_int_equal(push(f, "", &again), 0);
	assert_true(hash_eq(&id, &again));
}

/* As somebody whom modes stop. */
static void unreadable_files(void **state)
{
	struct fixture *f = *state;
	put_file(f, "w/open", "x", 0644);
	put_file(f, "w/shut", "x", 0);
	put_file(f, "w/dir/f", "x", 0644);
	auto_free char *dir = at(f, "w/dir");
	auto_free char *full = at(f, "w");
	assert_int_equal(chmod(dir, 0), 0);
	pid_t child = fork();
	if (child == 0) {
		struct hash id;
		int rc = 0;
		if (chmod(f->root, 0755) || (geteuid() == 0 && (setgid(65534) || setuid(65534))))
			_exit(9);
		f->o.dry = true;
		if (!work_push(f->s, full, &f->o, &id, NULL, &f->err) || f->err.code != ERR_FORBIDDEN || !f->err.hint[0])
			rc = 1;
		f->o.skip_unreadable = true;
		if (work_push(f->s, full, &f->o, &id, NULL, &f->err) || !strstr(f->said.p, "w/shut") || !strstr(f->said.p, "w/dir"))
			rc = 2;
		_exit(rc);
	}
	int code = -1;
	assert_int_equal(waitpid(child, &code, 0), child);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_true(WIFEXITED(code));
	assert_int_equal(WEXITSTATUS(code), 0);
}

static void ignored_names(void **state)
{
	struct fixture *f = *state;
	struct hash id;
	const char *const excludes[] = { "*.o", NULL };
	put_file(f, "w/a.o", "x", 0644);
	put_file(f, "w/d/b.o", "x", 0644);
	put_file(f, "w/d/keep.log", "x", 0644);
	put_file(f, "w/e/drop.log", "x", 0644);
	put_file(f, "w/e/.sbxignore", "*.log\nbuild/\n", 0644);
	put_file(f, "w/e/build/x", "x", 0644);
	put_file(f, "w/e/g/build", "x", 0644);
	put_dir(f, "none", 0755);
	f->o.excludes = excludes;
	assert_int_equal(push(f, "w", &id), 0);
	f->o.excludes = NULL;
	assert_int_equal(checkout(f, &id, "out"), 0);
	assert_true(there(f, "out/d/keep.log"));
	assert_true(there(f, "out/e/.sbxignore"));
	assert_true(there(f, "out/e/g/build"));
	assert_false(there(f, "out/a.o"));
	assert_false(there(f, "out/d/b.o"));
	assert_false(there(f, "out/e/drop.log"));
	assert_false(there(f, "out/e/build"));
	f->o.no_ignore_files = true;
	assert_string_equal(status(f, &id, "w"), "A a.o\nA d/b.o\nA e/build/x\nA e/drop.log\n");
}

static void progress(void *arg, const struct work_progress *p)
{
	struct fixture *f = arg;
	assert_true(p->new_files <= p->files);
	buf_ch(&f->said, '.');
}

static void progress_is_told(void **state)
{
	struct fixture *f = *state;
	struct hash id;
	put_file(f, "w/f", "x", 0644);
	f->o.progress = progress;
	f->o.threads = 1;
	assert_int_equal(push(f, "w", &id), 0);
	assert_true(f->said.len > 0);
}

static void origins(void **state)
{
	struct fixture *f = *state;
	struct work_origin o;
	struct hash id = { .b = { 1, 2, 3 } };
	put_dir(f, "w", 0755);
	auto_free char *full = at(f, "w");
	auto_free char *slashed = at(f, "w/../w/");
	assert_int_equal(work_origin(f->s, full, &o, &f->err), -1);
	assert_int_equal(f->err.code, ERR_NOT_FOUND);
	assert_int_equal(work_set_origin(f->s, full, "main", &id, &f->err), 0);
	assert_int_equal(work_origin(f->s, slashed, &o, &f->err), 0);
	assert_string_equal(o.label, "main");
	assert_true(hash_eq(&o.tree, &id));
	free(o.label);
	assert_int_equal(work_set_origin(f->s, full, NULL, &id, &f->err), 0);
	assert_int_equal(work_origin(f->s, full, &o, &f->err), 0);
	assert_null(o.label);
	auto_free char *none = at(f, "none");
	assert_int_equal(work_set_origin(f->s, none, "main", &id, &f->err), -1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = { T(ids_are_mcp_v8s), T(unchanged_is_not_read), T(changed_large_files_are_seen),
		T(racy_writes_are_seen), T(damaged_index_is_no_matter), T(collected_objects_are_read_again), T(dry_writes_nothing),
		T(changing_files), T(growing_files), T(cancel_stops), T(bad_folders), T(unreadable_files), T(ignored_names),
		T(progress_is_told), T(origins) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
