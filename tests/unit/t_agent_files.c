/* link: shared/wire/wire.c shared/wire/record.c tests/unit/agent_host.c | */
/* sbx-agent over a socket: file operations. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "tests/unit/agent_host.h"

struct fixture {
	struct host *h;
	char dir[64];
	char path[512]; /* of the last call of at() */
};

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	f->h = host_new();
	snprintf(f->dir, sizeof(f->dir), "/tmp/t_agent_files.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0755), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	auto_free char *rm = mem_printf("rm -rf '%s'", f->dir);

	assert_int_equal(host_wait(f->h, host_sh(f->h, rm)), 0);
	host_free(f->h);
	free(f);
	return 0;
}

static const char *at(struct fixture *f, const char *name)
{
	snprintf(f->path, sizeof(f->path), "%s/%s", f->dir, name);
	return f->path;
}

/* Run a script in the fixture's folder (through the agent) and want 0. */
static void sh(struct fixture *f, const char *script)
{
	auto_free char *whole = mem_printf("cd '%s' && %s", f->dir, script);
	struct host_stream *s = host_sh(f->h, whole);

	if (host_wait(f->h, s))
		fail_msg("%s: %s%s", script, s->out[WIRE_STDOUT].p, s->out[WIRE_STDERR].p);
}

static void want_error(struct fixture *f, struct host_stream *s, int sys, const char *text)
{
	host_wait(f->h, s);
	if (!strstr(host_message(s), text))
		fail_msg("no '%s' in '%s'", text, host_message(s));
	assert_int_equal(host_exit_u64(s, WT_ERRNO), sys);
}

static struct host_stream *put(struct fixture *f, const char *path, const void *data, size_t n, int64_t mode)
{
	struct buf rec = BUF_INIT;
	struct host_stream *s;

	wire_rec_u64(&rec, WT_OP, WIRE_OP_WRITE);
	wire_rec_str(&rec, WT_PATH, path);
	if (mode >= 0)
		wire_rec_u64(&rec, WT_MODE, (uint64_t)mode);
	s = host_open(f->h, &rec);
	host_input(f->h, s, data, n, true);
	return s;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode;
}

static void test_write_read(void **state)
{
	struct fixture *f = *state;
	size_t n = 3u << 20;
	char *data = malloc(n);
	struct buf rec = BUF_INIT;
	struct host_stream *s;

	rand_bytes(data, n);
	assert_int_equal(host_wait(f->h, put(f, at(f, "a/b/file"), data, n, -1)), 0);
	assert_int_equal(mode_of(at(f, "a/b/file")), S_IFREG | 0644);
	assert_int_equal(mode_of(at(f, "a")), S_IFDIR | 0755);
	s = host_op(f->h, WIRE_OP_READ, at(f, "a/b/file"));
	assert_int_equal(host_wait(f->h, s), 0);
	assert_true(s->started);
	assert_int_equal(s->out[WIRE_STDOUT].len, n);
	assert_memory_equal(s->out[WIRE_STDOUT].p, data, n);
	wire_rec_u64(&rec, WT_OP, WIRE_OP_READ);
	wire_rec_str(&rec, WT_PATH, at(f, "a/b/file"));
	wire_rec_u64(&rec, WT_OFFSET, 1000);
	wire_rec_u64(&rec, WT_LENGTH, 10);
	s = host_open(f->h, &rec);
	assert_int_equal(host_wait(f->h, s), 0);
	assert_int_equal(s->out[WIRE_STDOUT].len, 10);
	assert_memory_equal(s->out[WIRE_STDOUT].p, data + 1000, 10);
	/* an empty file, and one of /proc, which has no size */
	assert_int_equal(host_wait(f->h, put(f, at(f, "empty"), "", 0, 0600)), 0);
	assert_int_equal(mode_of(at(f, "empty")), S_IFREG | 0600);
	s = host_op(f->h, WIRE_OP_READ, "/proc/version");
	assert_int_equal(host_wait(f->h, s), 0);
	assert_memory_equal(s->out[WIRE_STDOUT].p, "Linux", 5);
	free(data);
}

static void test_write_replaces(void **state)
{
	struct fixture *f = *state;
	struct host_stream *s;

	sh(f, "echo old > x; chmod 0741 x; ln -s x link; ln x hard");
	assert_int_equal(host_wait(f->h, put(f, at(f, "x"), "new\n", 4, -1)), 0);
	assert_int_equal(mode_of(at(f, "x")), S_IFREG | 0741);
	sh(f, "test \"$(cat x)\" = new && test \"$(cat hard)\" = old");
	/* through a link, which stays */
	assert_int_equal(host_wait(f->h, put(f, at(f, "link"), "newer\n", 6, -1)), 0);
	sh(f, "test \"$(cat x)\" = newer && test -L link");
	/* half an upload changes nothing and leaves nothing */
	s = put(f, at(f, "x"), "", 0, -1);
	host_wait(f->h, s);
	sh(f, "echo whole > x");
	{
		struct buf rec = BUF_INIT;

		wire_rec_u64(&rec, WT_OP, WIRE_OP_WRITE);
		wire_rec_str(&rec, WT_PATH, at(f, "x"));
		s = host_open(f->h, &rec);
		host_input(f->h, s, "half", 4, false);
		host_wait_started(f->h, s);
		usleep(20000);
		host_frame(f->h, s, WIRE_CLOSE, NULL, 0);
		usleep(50000);
	}
	sh(f, "test \"$(cat x)\" = whole && test \"$(ls -A | tr '\\n' ' ')\" = 'hard link x '");
}

/* The path behind the data, as the length says. */
static struct host_stream *put_late(struct fixture *f, const char *where, const char *data, const char *path, uint32_t length)
{
	struct buf rec = BUF_INIT, in = BUF_INIT;
	struct host_stream *s;

	wire_rec_u64(&rec, WT_OP, WIRE_OP_WRITE);
	wire_rec_str(&rec, WT_PATH, where);
	wire_rec_u64(&rec, WT_LATE, 1);
	s = host_open(f->h, &rec);
	buf_str(&in, data);
	buf_str(&in, path);
	for (unsigned i = 0; i < 4; i++)
		buf_ch(&in, (char)(length >> (8 * i)));
	host_input(f->h, s, in.p, in.len, true);
	buf_free(&in);
	return s;
}

static int late(struct fixture *f, const char *where, const char *data, const char *path)
{
	return host_wait(f->h, put_late(f, where, data, path, (uint32_t)strlen(path)));
}

static void test_write_late(void **state)
{
	struct fixture *f = *state;
	char long_path[PATH_MAX + 1];
	struct host_stream *s;

	assert_int_equal(late(f, f->dir, "data", at(f, "a/b/new")), 0);
	assert_int_equal(mode_of(at(f, "a/b/new")), S_IFREG | 0644);
	assert_int_equal(mode_of(at(f, "a")), S_IFDIR | 0755);
	sh(f, "test \"$(cat a/b/new)\" = data; echo old > x; chmod 0741 x; ln -s x link; rm -r a");
	assert_int_equal(late(f, f->dir, "", at(f, "link")), 0);
	assert_int_equal(mode_of(at(f, "x")), S_IFREG | 0741);
	sh(f, "test ! -s x && test -L link");
	/* what waits on another file system is copied */
	assert_int_equal(late(f, "/dev/shm/waits", "copied", at(f, "x")), 0);
	sh(f, "test \"$(cat x)\" = copied && mkfifo p");
	{
		auto_free char *script = mem_printf("cat '%s/p'", f->dir);

		s = host_sh(f->h, script);
		assert_int_equal(late(f, f->dir, "through", at(f, "p")), 0);
		assert_int_equal(host_wait(f->h, s), 0);
		assert_string_equal(s->out[WIRE_STDOUT].p, "through");
	}
	want_error(f, put_late(f, f->dir, "data", f->dir, (uint32_t)strlen(f->dir)), EISDIR, "is a directory");
	want_error(f, put_late(f, f->dir, "data", "", 0), EINVAL, "no path");
	want_error(f, put_late(f, f->dir, "data", "x", 6), EINVAL, "no path");
	want_error(f, put_late(f, f->dir, "data", "x", UINT32_MAX), EINVAL, "no path");
	memset(long_path, 'x', PATH_MAX);
	long_path[PATH_MAX] = '\0';
	want_error(f, put_late(f, f->dir, "data", long_path, PATH_MAX), ENAMETOOLONG, "longer than 4095");
	s = put_late(f, f->dir, "data", "/", 1);
	want_error(f, s, EISDIR, "is a directory");
	assert_true(s->started);
	sh(f, "test \"$(cat x)\" = copied && test \"$(ls -A | tr '\\n' ' ')\" = 'link p x '");
}

static void test_write_into_fifo(void **state)
{
	struct fixture *f = *state;
	struct host_stream *reader;

	sh(f, "mkfifo p");
	reader = host_sh(f->h, "true");
	host_wait(f->h, reader);
	{
		auto_free char *script = mem_printf("cat '%s/p'", f->dir);

		reader = host_sh(f->h, script);
	}
	assert_int_equal(host_wait(f->h, put(f, at(f, "p"), "through", 7, -1)), 0);
	assert_int_equal(host_wait(f->h, reader), 0);
	assert_string_equal(reader->out[WIRE_STDOUT].p, "through");
	sh(f, "test -p p");
}

/* An operation that hangs is only its own stream's trouble. */
static void test_hang(void **state)
{
	struct fixture *f = *state;
	struct host_stream *s;

	sh(f, "mkfifo p");
	s = host_op(f->h, WIRE_OP_READ, at(f, "p"));
	assert_int_equal(host_wait(f->h, host_sh(f->h, "exit 3")), 3);
	assert_false(s->started || s->exited);
	host_frame(f->h, s, WIRE_CLOSE, NULL, 0);
	assert_int_equal(host_wait(f->h, host_sh(f->h, "exit 4")), 4);
}

static void test_errors(void **state)
{
	struct fixture *f = *state;
	auto_free char *missing = mem_printf("no such file or directory: '%s/missing'", f->dir);
	struct buf rec = BUF_INIT;
	struct host_stream *s;

	s = host_op(f->h, WIRE_OP_READ, at(f, "missing"));
	want_error(f, s, ENOENT, missing);
	assert_false(s->started);
	want_error(f, host_op(f->h, WIRE_OP_STAT, at(f, "missing")), ENOENT, missing);
	want_error(f, host_op(f->h, WIRE_OP_LIST, at(f, "missing")), ENOENT, missing);
	want_error(f, host_op(f->h, WIRE_OP_REMOVE, at(f, "missing")), ENOENT, missing);
	want_error(f, host_op(f->h, WIRE_OP_TAR, at(f, "missing")), ENOENT, missing);
	want_error(f, host_op(f->h, WIRE_OP_READ, f->dir), EISDIR, "is a directory");
	want_error(f, host_op(f->h, WIRE_OP_WRITE, f->dir), EISDIR, "is a directory");
	want_error(f, host_op(f->h, WIRE_OP_LIST, "/etc/passwd"), ENOTDIR, "not a directory: '/etc/passwd'");
	want_error(f, host_op(f->h, WIRE_OP_REMOVE, "/"), EPERM, "refusing");
	want_error(f, host_op(f->h, WIRE_OP_REMOVE, ""), EINVAL, "no path");
	wire_rec_u64(&rec, WT_OP, WIRE_OP_WRITE);
	wire_rec_str(&rec, WT_PATH, at(f, "x"));
	wire_rec_str(&rec, WT_USER, "nobody");
	s = host_open(f->h, &rec);
	want_error(f, s, EACCES, "permission denied");
}

static void test_mkdir_remove(void **state)
{
	struct fixture *f = *state;
	struct buf rec = BUF_INIT;

	assert_int_equal(host_wait(f->h, host_op(f->h, WIRE_OP_MKDIR, at(f, "d"))), 0);
	want_error(f, host_op(f->h, WIRE_OP_MKDIR, at(f, "d")), EEXIST, "file exists");
	want_error(f, host_op(f->h, WIRE_OP_MKDIR, at(f, "x/y/z")), ENOENT, "no such file");
	for (int i = 0; i < 2; i++) {
		wire_rec_u64(&rec, WT_OP, WIRE_OP_MKDIR);
		wire_rec_str(&rec, WT_PATH, at(f, "x/y/z/"));
		wire_rec_u64(&rec, WT_PARENTS, 1);
		wire_rec_u64(&rec, WT_MODE, 01777);
		assert_int_equal(host_wait(f->h, host_open(f->h, &rec)), 0);
	}
	assert_int_equal(mode_of(at(f, "x/y/z")), S_IFDIR | 01777);
	sh(f, "touch x/y/file keep; ln -s ../keep x/link; ln -s x to-x");
	want_error(f, host_op(f->h, WIRE_OP_REMOVE, at(f, "x")), ENOTEMPTY, "not empty");
	assert_int_equal(host_wait(f->h, host_op(f->h, WIRE_OP_REMOVE, at(f, "to-x"))), 0);
	assert_int_equal(host_wait(f->h, host_op(f->h, WIRE_OP_REMOVE, at(f, "x/y/z"))), 0);
	wire_rec_u64(&rec, WT_OP, WIRE_OP_REMOVE);
	wire_rec_str(&rec, WT_PATH, at(f, "x"));
	wire_rec_u64(&rec, WT_RECURSIVE, 1);
	assert_int_equal(host_wait(f->h, host_open(f->h, &rec)), 0);
	sh(f, "test ! -e x && test -e keep");
}

static js *parse(const char *text, size_t n)
{
	struct err err = ERR_INIT;
	js *v = js_parse(text, n, JS_LIMITS_DEFAULT, &err);

	if (!v)
		fail_msg("%s: %.*s", err.msg, (int)n, text);
	return v;
}

static void test_stat(void **state)
{
	struct fixture *f = *state;
	struct host_stream *s;

	sh(f, "printf 12345 > x; chmod 4751 x; chown 65534:65534 x; touch -d @1000000000.5 x; ln -s x link");
	s = host_op(f->h, WIRE_OP_STAT, at(f, "x"));
	assert_int_equal(host_wait(f->h, s), 0);
	assert_true(s->started);
	{
		auto_js *v = parse(s->out[WIRE_STDOUT].p, s->out[WIRE_STDOUT].len - 1);

		assert_string_equal(js_str(js_get(v, "name"), ""), "x");
		assert_string_equal(js_str(js_get(v, "path"), ""), at(f, "x"));
		assert_string_equal(js_str(js_get(v, "type"), ""), "file");
		assert_int_equal(js_num(js_get(v, "size"), 0), 5);
		/* chown took the set-user bit away */
		assert_int_equal(js_num(js_get(v, "mode"), 0), 0751);
		assert_string_equal(js_str(js_get(v, "permissions"), ""), "-rwxr-x--x");
		assert_string_equal(js_str(js_get(v, "owner"), ""), "nobody");
		assert_string_equal(js_str(js_get(v, "group"), ""), "nogroup");
		assert_int_equal(js_num(js_get(v, "uid"), 0), 65534);
		assert_true(js_num(js_get(v, "modifiedWallMs"), 0) == 1000000000500.0);
		assert_int_equal(js_num(js_get(v, "links"), 0), 1);
	}
	s = host_op(f->h, WIRE_OP_STAT, at(f, "link"));
	assert_int_equal(host_wait(f->h, s), 0);
	assert_non_null(strstr(s->out[WIRE_STDOUT].p, "\"type\":\"symlink\""));
	assert_non_null(strstr(s->out[WIRE_STDOUT].p, "\"target\":\"x\""));
	assert_null(strstr(s->out[WIRE_STDOUT].p, "resolved"));
	s = host_op(f->h, WIRE_OP_STAT, "/tmp");
	assert_int_equal(host_wait(f->h, s), 0);
	assert_non_null(strstr(s->out[WIRE_STDOUT].p, "\"permissions\":\"drwxrwxrwt\""));
}

static void test_resolve(void **state)
{
	struct fixture *f = *state;
	static const enum wire_op ops[] = { WIRE_OP_LIST, WIRE_OP_STAT };

	sh(f, "mkdir d; printf 1 > f; chmod 2750 f; ln -s ../f d/1; ln -s 1 d/2; ln -s nowhere d/3");
	for (size_t i = 0; i < 2; i++) {
		auto_free char *real = NULL;
		auto_free char *want = NULL;
		struct buf rec = BUF_INIT;
		struct host_stream *s;

		wire_rec_u64(&rec, WT_OP, ops[i]);
		wire_rec_str(&rec, WT_PATH, at(f, i ? "d/2" : "d"));
		wire_rec_u64(&rec, WT_RESOLVE, 1);
		s = host_open(f->h, &rec);
		assert_int_equal(host_wait(f->h, s), 0);
		real = realpath(at(f, "f"), NULL);
		want = mem_printf("\"target\":\"1\",\"resolved\":\"%s\",\"resolvedType\":\"file\",\"resolvedMode\":1512,", real);
		assert_non_null(strstr(s->out[WIRE_STDOUT].p, want));
		assert_true(ops[i] != WIRE_OP_LIST || strstr(s->out[WIRE_STDOUT].p, "\"target\":\"nowhere\",\"device\""));
	}
}

static void names(struct fixture *f, const char *path, uint64_t depth, struct buf *out)
{
	struct buf rec = BUF_INIT;
	struct host_stream *s;
	char *line, *rest;

	wire_rec_u64(&rec, WT_OP, WIRE_OP_LIST);
	wire_rec_str(&rec, WT_PATH, path);
	if (depth)
		wire_rec_u64(&rec, WT_DEPTH, depth);
	s = host_open(f->h, &rec);
	assert_int_equal(host_wait(f->h, s), 0);
	rest = s->out[WIRE_STDOUT].p;
	while ((line = strsep(&rest, "\n")) && *line) {
		auto_js *v = parse(line, strlen(line));

		buf_fmt(out, "%s;", js_str(js_get(v, "path"), "") + strlen(f->dir));
	}
}

static void test_list(void **state)
{
	struct fixture *f = *state;
	struct buf out = BUF_INIT;
	struct host_stream *s;

	sh(f, "mkdir -p B/c/d a; touch B/z B/c/x b; mkfifo p; ln -s B link");
	names(f, f->dir, 0, &out);
	assert_string_equal(out.p, "/B;/a;/b;/link;/p;");
	buf_clear(&out);
	names(f, f->dir, 2, &out);
	assert_string_equal(out.p, "/B;/B/c;/B/z;/a;/b;/link;/p;");
	buf_clear(&out);
	names(f, f->dir, 100, &out);
	assert_string_equal(out.p, "/B;/B/c;/B/c/d;/B/c/x;/B/z;/a;/b;/link;/p;");
	buf_clear(&out);
	names(f, at(f, "link/"), 1, &out);
	assert_string_equal(out.p, "/link/c;/link/z;");
	buf_free(&out);
	sh(f, "mkdir odd; touch \"odd/$(printf 'a\\377b')\" 'odd/new\nline\"quote'");
	s = host_op(f->h, WIRE_OP_LIST, at(f, "odd"));
	assert_int_equal(host_wait(f->h, s), 0);
	assert_non_null(strstr(s->out[WIRE_STDOUT].p, "\"nameBase64\":\"Yf9i\""));
	assert_non_null(strstr(s->out[WIRE_STDOUT].p, "new\\nline\\\"quote"));
	/* many */
	sh(f, "mkdir many && cd many && seq 1 3000 | xargs touch");
	s = host_op(f->h, WIRE_OP_LIST, at(f, "many"));
	assert_int_equal(host_wait(f->h, s), 0);
}

/* A tree with everything that a tar should keep. */
static void make_tree(struct fixture *f)
{
	sh(f,
		"mkdir -p tree/sub/deep tree/empty; echo one > tree/one; ln tree/one tree/sub/hard; ln -s ../one tree/sub/soft; "
		"ln -s /nowhere tree/dangling; mkfifo tree/fifo; head -c 300000 /dev/urandom > tree/sub/deep/big; chmod 0751 "
		"tree/one; "
		"chmod 02750 tree/sub; chmod 01777 tree/empty; truncate -s 5M tree/sparse; echo x | dd of=tree/sparse bs=1 "
		"seek=3000000 "
		"conv=notrunc 2>/dev/null; touch -d @1234567890.25 tree/one; touch -d @1000000000 tree/empty; "
		"chown 65534:65534 tree/sub/deep/big; touch \"tree/$(printf 'n\\303\\244me')\" \"tree/$(seq -s x 1 60)\"");
}

static struct host_stream *untar(struct fixture *f, const char *path, const void *data, size_t n, bool owners)
{
	struct buf rec = BUF_INIT;
	struct host_stream *s;

	wire_rec_u64(&rec, WT_OP, WIRE_OP_UNTAR);
	wire_rec_str(&rec, WT_PATH, path);
	if (owners)
		wire_rec_u64(&rec, WT_OWNERS, 1);
	s = host_open(f->h, &rec);
	host_input(f->h, s, data, n, true);
	return s;
}

#define SHOW "find . ! -type s -printf '%p %y %m %U %G %n %T@ %l\\n' | sort | sed 's/\\.[0-9][0-9]* / /'"

static void test_tar(void **state)
{
	struct fixture *f = *state;
	struct host_stream *s, *u;
	int fd;

	make_tree(f);
	s = host_op(f->h, WIRE_OP_TAR, at(f, "tree"));
	assert_int_equal(host_wait(f->h, s), 0);
	/* plain tar reads what we wrote */
	fd = open(at(f, "t.tar"), O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, s->out[WIRE_STDOUT].p, s->out[WIRE_STDOUT].len), s->out[WIRE_STDOUT].len);
	close(fd);
	sh(f, "mkdir by-tar && tar x -p -C by-tar -f t.tar && diff -r --no-dereference -x fifo tree by-tar/tree");
	sh(f, "test \"$(stat -c %b tree/sparse)\" -lt 1000 && test \"$(stat -c %b by-tar/tree/sparse)\" -lt 1000");
	/* so do we, owners and times included */
	u = untar(f, at(f, "new/place"), s->out[WIRE_STDOUT].p, s->out[WIRE_STDOUT].len, true);
	assert_int_equal(host_wait(f->h, u), 0);
	sh(f, "diff -r --no-dereference -x fifo tree new/place/tree");
	sh(f, "(cd tree; " SHOW ") > a; (cd new/place/tree; " SHOW ") > b; diff a b; (cd by-tar/tree; " SHOW ") > c; diff a c");
	/* without owners, everything is the user's */
	u = untar(f, at(f, "mine"), s->out[WIRE_STDOUT].p, s->out[WIRE_STDOUT].len, false);
	assert_int_equal(host_wait(f->h, u), 0);
	sh(f, "test \"$(stat -c %U mine/tree/sub/deep/big)\" = root");
}

static void test_tar_names(void **state)
{
	struct fixture *f = *state;
	struct buf rec = BUF_INIT;
	struct host_stream *s, *u;

	sh(f, "mkdir -p tree/sub; echo one > tree/sub/file");
	wire_rec_u64(&rec, WT_OP, WIRE_OP_TAR);
	wire_rec_str(&rec, WT_PATH, at(f, "tree/"));
	wire_rec_str(&rec, WT_NAME, "other");
	s = host_open(f->h, &rec);
	assert_int_equal(host_wait(f->h, s), 0);
	u = untar(f, f->dir, s->out[WIRE_STDOUT].p, s->out[WIRE_STDOUT].len, false);
	assert_int_equal(host_wait(f->h, u), 0);
	sh(f, "diff -r tree other");
	wire_rec_u64(&rec, WT_OP, WIRE_OP_TAR);
	wire_rec_str(&rec, WT_PATH, at(f, "tree"));
	wire_rec_str(&rec, WT_NAME, ".");
	s = host_open(f->h, &rec);
	assert_int_equal(host_wait(f->h, s), 0);
	u = untar(f, at(f, "flat"), s->out[WIRE_STDOUT].p, s->out[WIRE_STDOUT].len, false);
	assert_int_equal(host_wait(f->h, u), 0);
	sh(f, "diff -r tree flat");
	/* a single file, renamed */
	wire_rec_u64(&rec, WT_OP, WIRE_OP_TAR);
	wire_rec_str(&rec, WT_PATH, at(f, "tree/sub/file"));
	wire_rec_str(&rec, WT_NAME, "renamed");
	s = host_open(f->h, &rec);
	assert_int_equal(host_wait(f->h, s), 0);
	u = untar(f, f->dir, s->out[WIRE_STDOUT].p, s->out[WIRE_STDOUT].len, false);
	assert_int_equal(host_wait(f->h, u), 0);
	sh(f, "cmp renamed tree/sub/file");
}

/* Read a file of the fixture whole. */
static void load(struct fixture *f, const char *name, struct buf *out)
{
	int fd = open(at(f, name), O_RDONLY);
	ssize_t n;

	assert_true(fd >= 0);
	buf_clear(out);
	while ((n = read(fd, buf_reserve(out, 65536), 65536)) > 0)
		buf_commit(out, (size_t)n);
	close(fd);
}

static void test_untar_compressed(void **state)
{
	struct fixture *f = *state;
	struct buf data = BUF_INIT;

	make_tree(f);
	sh(f,
		"rm tree/fifo; tar czf t.gz tree; tar c tree | zstd -q > t.zst 2>/dev/null || tar cf t.zst tree; tar cf t.empty -T "
		"/dev/null");
	load(f, "t.gz", &data);
	assert_int_equal(host_wait(f->h, untar(f, at(f, "gz"), data.p, data.len, false)), 0);
	sh(f, "diff -r --no-dereference tree gz/tree");
	load(f, "t.zst", &data);
	assert_int_equal(host_wait(f->h, untar(f, at(f, "zst"), data.p, data.len, false)), 0);
	sh(f, "diff -r --no-dereference tree zst/tree");
	load(f, "t.empty", &data);
	assert_int_equal(host_wait(f->h, untar(f, at(f, "empty"), data.p, data.len, false)), 0);
	assert_int_equal(host_wait(f->h, untar(f, at(f, "empty"), "", 0, false)), 0);
	/* cut in the middle, and no archive at all */
	load(f, "t.gz", &data);
	want_error(f, untar(f, at(f, "cut"), data.p, data.len / 2, false), EINVAL, "");
	memset(data.p, 'x', 5000);
	want_error(f, untar(f, at(f, "no"), data.p, 5000, false), EINVAL, "not a tar archive");
	buf_free(&data);
}

static const char hostile[] =
	"cat > make.py <<'END'\n"
	"import tarfile, io\n"
	"def make(name, members):\n"
	"    with tarfile.open(name, 'w') as t:\n"
	"        for kind, path, arg in members:\n"
	"            i = tarfile.TarInfo(path)\n"
	"            if kind == 'file': i.size = len(arg); t.addfile(i, io.BytesIO(arg)); continue\n"
	"            i.type = {'sym': tarfile.SYMTYPE, 'hard': tarfile.LNKTYPE, 'dir': tarfile.DIRTYPE}[kind]\n"
	"            i.linkname = arg or ''; i.mode = 0o755; t.addfile(i)\n"
	"import os\n"
	"d = os.getcwd()\n"
	"make('absolute.tar', [('file', d + '/out/evil', b'x')])\n"
	"make('dotdot.tar', [('file', '../out/evil', b'x')])\n"
	"make('inner.tar', [('dir', 'a', None), ('file', 'a/../../out/evil', b'x')])\n"
	"make('symlink.tar', [('sym', 'l', d + '/out'), ('file', 'l/evil', b'x')])\n"
	"make('symfile.tar', [('sym', 'l', d + '/out/victim'), ('file', 'l', b'evil')])\n"
	"make('hard.tar', [('hard', 'h', d + '/out/victim'), ('file', 'h', b'evil')])\n"
	"make('hardup.tar', [('hard', 'h', '../out/victim'), ('file', 'h', b'evil')])\n"
	"make('chain.tar', [('sym', 'a', '.'), ('sym', 'a/b', '..'), ('file', 'a/b/out/evil', b'x')])\n"
	"END\n"
	"mkdir out && echo safe > out/victim && python3 make.py";

static void test_hostile_archives(void **state)
{
	static const char *const bad[] = { "absolute", "dotdot", "inner", "symlink", "hard", "hardup", "chain" };
	struct fixture *f = *state;
	struct buf data = BUF_INIT;

	sh(f, hostile);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_free char *tar = mem_printf("%s.tar", bad[i]);
		struct host_stream *s;

		load(f, tar, &data);
		s = untar(f, at(f, "in"), data.p, data.len, true);
		if (host_wait(f->h, s) == 0)
			fail_msg("%s was unpacked", bad[i]);
		assert_non_null(strstr(host_message(s), "cannot unpack '"));
		sh(f, "test \"$(ls out)\" = victim && test \"$(cat out/victim)\" = safe && rm -rf in");
	}
	/* a file where a link was: the link is replaced, not followed */
	load(f, "symfile.tar", &data);
	host_wait(f->h, untar(f, at(f, "in"), data.p, data.len, false));
	sh(f, "test \"$(cat out/victim)\" = safe");
	/* a link that is there already is not followed either */
	sh(f, "rm -rf in; mkdir in; ln -s ../out in/l");
	load(f, "symlink.tar", &data);
	host_wait(f->h, untar(f, at(f, "in"), data.p, data.len, false));
	sh(f, "test ! -e out/evil");
	buf_free(&data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_write_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_replaces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_into_fifo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hang, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mkdir_remove, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stat, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resolve, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tar, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tar_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_untar_compressed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_archives, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
