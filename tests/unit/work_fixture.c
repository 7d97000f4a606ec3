#include "tests/unit/work_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"

static void warn(void *arg, const char *text)
{
	struct fixture *f = arg;
	buf_fmt(&f->said, "%s\n", text);
}

int fixture_setup(void **state)
{
	char name[] = "/tmp/sbx-t_work-XXXXXX";
	struct fixture *f = mem_zalloc(sizeof(*f));
	*state = f;
	buf_init(&f->said);
	f->root = mkdtemp(name) ? mem_strdup(name) : NULL;
	if (!f->root)
		return -1;
	auto_free char *path = fs_join(f->root, "store");
	f->s = store_open(path, true, &f->err);
	f->o.warn = warn;
	f->o.arg = f;
	umask(022);
	return f->s ? 0 : -1;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	store_close(f->s);
	int rc = fs_remove_tree(f->root, &f->err);
	free(f->root);
	buf_free(&f->said);
	free(f);
	return rc;
}

char *at(struct fixture *f, const char *path)
{
	return fs_join(f->root, path);
}

static char *at_made(struct fixture *f, const char *path)
{
	char *full = at(f, path);
	char *slash = strrchr(full, '/');
	*slash = '\0';
	assert_int_equal(fs_mkdirs(full, 0755, NULL), 0);
	*slash = '/';
	return full;
}

void put_bytes(struct fixture *f, const char *path, const void *data, size_t n)
{
	auto_free char *full = at_made(f, path);
	auto_fd int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, data, n, NULL), 0);
}

void put_file(struct fixture *f, const char *path, const char *text, mode_t mode)
{
	auto_free char *full = at(f, path);
	put_bytes(f, path, text, strlen(text));
	assert_int_equal(chmod(full, mode), 0);
}

void put_link(struct fixture *f, const char *path, const char *to)
{
	auto_free char *full = at_made(f, path);
	assert_int_equal(symlink(to, full), 0);
}

void put_dir(struct fixture *f, const char *path, mode_t mode)
{
	auto_free char *full = at_made(f, path);
	assert_int_equal(fs_mkdirs(full, 0755, NULL), 0);
	assert_int_equal(chmod(full, mode), 0);
}

void check_file(struct fixture *f, const char *path, const char *text)
{
	auto_free char *full = at(f, path);
	auto_buf b = BUF_INIT;
	assert_int_equal(fs_read(full, 1 << 20, &b, NULL), 0);
	assert_string_equal(b.p, text);
}

bool there(struct fixture *f, const char *path)
{
	auto_free char *full = at(f, path);
	return fs_exists(full);
}

mode_t mode_at(struct fixture *f, const char *path)
{
	struct stat st;
	auto_free char *full = at(f, path);
	assert_int_equal(lstat(full, &st), 0);
	return st.st_mode;
}

int push(struct fixture *f, const char *folder, struct hash *id)
{
	auto_free char *full = at(f, folder);
	buf_clear(&f->said);
	assert_int_equal(store_begin(f->s, true, &f->err), 0);
	int rc = work_push(f->s, full, &f->o, id, &f->done, &f->err);
	if (rc)
		store_abort(f->s);
	else
		assert_int_equal(store_end(f->s, &f->err), 0);
	return rc;
}

const char *pushed(struct fixture *f, const char *folder)
{
	struct hash id;
	char hex[HASH_HEX + 1];
	if (push(f, folder, &id))
		fail_msg("push: %s", f->err.msg);
	buf_add(&f->said, hash_hex(&id, hex), HASH_HEX);
	return f->said.p + f->said.len - HASH_HEX;
}

int checkout(struct fixture *f, const struct hash *id, const char *folder)
{
	auto_free char *full = at(f, folder);
	buf_clear(&f->said);
	return work_checkout(f->s, id, full, &f->o, &f->done, &f->err);
}

static int note(void *arg, const struct diff_item *item, struct err *err)
{
	struct fixture *f = arg;
	(void)err;
	buf_fmt(&f->said, "%c %s\n", "ARCMN"[item->kind], item -> path);
	return 0;
}

const char *status(struct fixture *f, const struct hash *id, const char *folder)
{
	auto_free char *full = at(f, folder);
	buf_clear(&f->said);
	if (work_status(f->s, id, full, &f->o, note, f, &f->err))
		fail_msg("status: %s", f->err.msg);
	return f->said.p;
}

/* The clock of the stamps runs behind by a tick or, on a busy machine, more. */
void settle(void)
{
	struct timespec start, now;
	clock_gettime(CLOCK_REALTIME, &start);
	do {
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (now.tv_sec < start.tv_sec || (now.tv_sec == start.tv_sec && now.tv_nsec <= start.tv_nsec));
}

static const char *const listing = "import os,sys,stat,hashlib\n"
				   "def look(top):\n"
				   "  out=[]\n"
				   "  for d,ds,fs in os.walk(os.fsencode(top)):\n"
				   "    for n in ds+fs:\n"
				   "      p=os.path.join(d,n); s=os.lstat(p); r=os.path.relpath(p,os.fsencode(top)); x=b''\n"
				   "      if stat.S_ISLNK(s.st_mode): x=os.readlink(p)\n"
				   "      elif stat.S_ISREG(s.st_mode): x=hashlib.sha256(open(p,'rb').read()).digest()\n"
				   "      elif stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode): x=b'%d'%s.st_rdev\n"
				   "      out.append((r,s.st_mode,x))\n"
				   "  return sorted(out)\n"
				   "a,b=look(sys.argv[1]),look(sys.argv[2])\n"
				   "for x in sorted(set(a)^set(b))[:5]: print(x)\n"
				   "sys.exit(a!=b)\n";

void check_same(struct fixture *f, const char *a, const char *b)
{
	auto_free char *script = at(f, "look.py");
	auto_free char *one = at(f, a);
	auto_free char *two = at(f, b);
	auto_buf cmd = BUF_INIT;
	assert_int_equal(fs_write_atomic(script, listing, strlen(listing), 0644, NULL), 0);
	buf_fmt(&cmd,
		"python3 %s %s %s && tar -C %s --sort=name --mtime=@0 --hard-dereference -cf %s.1.tar . 2>/dev/null; tar -C %s "
		"--sort=name --mtime=@0 --hard-dereference -cf "
		"%s.2.tar . 2>/dev/null; tar tvf %s.1.tar > %s.1.txt; tar tvf %s.2.tar > %s.2.txt; python3 %s %s %s && cmp "
		"%s.1.txt %s.2.txt",
		script, one, two, one, script, two, script, script, script, script, script, script, one, two, script, script);
	assert_int_equal(system(cmd.p), 0);
}

void xorshift(uint8_t *out, size_t n, uint64_t seed)
{
	uint64_t x = seed;
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		out[i] = (uint8_t)(x >> 24);
	}
}
