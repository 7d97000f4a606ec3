/* Operations on one file: read, write, mkdir, remove. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "daemon/guest/op.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define COPY_CHUNK 65536
#define STEP_MAX (1u << 20)

static uint64_t number(const struct op *o, enum wire_tag tag, uint64_t def)
{
	return wire_rec_get_u64(o->r.p, o->r.n, tag, def);
}

/* Bytes from in to out until its end or `left` are moved. 0 or -1 with errno. */
static int copy(int in, int out, uint64_t left)
{
	char data[COPY_CHUNK];

	while (left) {
		ssize_t n = read(in, data, left < sizeof(data) ? (size_t)left : sizeof(data));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		if (op_write_all(out, data, (size_t)n))
			return -1;
		left -= (uint64_t)n;
	}
	return 0;
}

/* As copy, without a buffer of ours where the kernel can do that. */
static int copy_fast(int in, int out, uint64_t left, bool to_pipe)
{
	while (left) {
		size_t step = left < STEP_MAX ? (size_t)left : STEP_MAX;
		ssize_t n = to_pipe ? sendfile(out, in, NULL, step) : splice(in, NULL, out, NULL, step, SPLICE_F_MOVE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
			return copy(in, out, left);
		if (n <= 0)
			return (int)n;
		left -= (uint64_t)n;
	}
	return 0;
}

int op_read(struct op *o)
{
	auto_fd int fd = open(o->path, O_RDONLY | O_CLOEXEC);
	uint64_t offset = number(o, WT_OFFSET, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return op_fail(o, errno, o->path);
	if (S_ISDIR(st.st_mode))
		return op_fail(o, EISDIR, o->path);
	if (offset > INT64_MAX)
		return op_fail(o, EINVAL, o->path);
	if (offset && lseek(fd, (off_t)offset, SEEK_SET) < 0)
		return op_fail(o, errno, o->path);
	op_started(o);
	if (copy_fast(fd, STDOUT_FILENO, number(o, WT_LENGTH, UINT64_MAX), true))
		return op_fail(o, errno, o->path);
	return 0;
}

/* ---- write ---- */

/* A file being written beside its target. name is set while it has one. */
struct temp {
	int fd;
	char *dir, *name;
};

static char *temp_name(const char *dir)
{
	char id[13];

	rand_id(id, sizeof(id) - 1);
	return mem_printf("%s/.sbx-%s", dir, id);
}

/* Without a name if the file system can do that: then nothing is left behind by a kill. */
static int temp_open(struct temp *t, const char *target)
{
	auto_free char *copied = mem_strdup(target);

	t->dir = mem_strdup(dirname(copied));
	t->name = NULL;
	t->fd = open(t->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (t->fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT))
		return t->fd < 0 ? -1 : 0;
	t->name = temp_name(t->dir);
	t->fd = open(t->name, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0600);
	return t->fd < 0 ? -1 : 0;
}

static int temp_commit(struct temp *t, const char *target)
{
	if (!t->name) {
		char proc[32];

		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", t->fd);
		/* a new file needs no second name */
		if (linkat(AT_FDCWD, proc, AT_FDCWD, target, AT_SYMLINK_FOLLOW) == 0)
			return 0;
		if (errno != EEXIST)
			return -1;
		t->name = temp_name(t->dir);
		if (linkat(AT_FDCWD, proc, AT_FDCWD, t->name, AT_SYMLINK_FOLLOW))
			return -1;
	}
	if (rename(t->name, target))
		return -1;
	free(t->name);
	t->name = NULL;
	return 0;
}

static void temp_free(struct temp *t)
{
	if (t->fd >= 0)
		close(t->fd);
	if (t->name)
		unlink(t->name);
	free(t->name);
	free(t->dir);
}

/* Mode and owner: asked for, or those of the file that is replaced, or 0644. */
static int temp_attributes(const struct op *o, const struct temp *t, const struct stat *old)
{
	mode_t mode = old ? old->st_mode & 07777 : 0644;

	if (old && geteuid() == 0 && fchown(t->fd, old->st_uid, old->st_gid))
		return -1;
	return fchmod(t->fd, (mode_t)(number(o, WT_MODE, mode) & 07777));
}

/* What a file is to hold. */
struct source {
	int fd;
	bool spooled; /* in a file that has no name yet */
};

/* Give the spooled file its name. 1: it cannot have one there, being of another file system. */
static int place(struct op *o, int fd, const char *target, const struct stat *old)
{
	auto_free char *copied = mem_strdup(target);
	struct temp t = { .fd = fd, .dir = mem_strdup(dirname(copied)) };
	int r = 0;

	if (temp_attributes(o, &t, old) || temp_commit(&t, target))
		r = errno == EXDEV || errno == ENOENT ? 1 : op_fail(o, errno, target);
	t.fd = -1;
	temp_free(&t);
	return r;
}

static int replace(struct op *o, const struct source *in, const char *target, const struct stat *old)
{
	struct temp t;
	int r = in->spooled ? place(o, in->fd, target, old) : 1;

	if (r <= 0)
		return r;
	r = -1;
	if (temp_open(&t, target)) {
		op_fail(o, errno, target);
	} else {
		op_started(o);
		if (copy_fast(in->fd, t.fd, UINT64_MAX, false) || temp_attributes(o, &t, old) || temp_commit(&t, target))
			op_fail(o, errno, target);
		else
			r = 0;
	}
	temp_free(&t);
	return r;
}

static int write_into(struct op *o, const struct source *in, const char *path)
{
	auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return op_fail(o, errno, path);
	op_started(o);
	return copy(in->fd, fd, UINT64_MAX) ? op_fail(o, errno, path) : 0;
}

static int write_path(struct op *o, const struct source *in, const char *path)
{
	auto_free char *real = NULL;
	struct stat st;

	if (path[strlen(path) - 1] == '/')
		return op_fail(o, EISDIR, path);
	if (op_parents(o, path, false))
		return -1;
	if (stat(path, &st))
		return errno == ENOENT ? replace(o, in, path, NULL) : op_fail(o, errno, path);
	if (S_ISDIR(st.st_mode))
		return op_fail(o, EISDIR, path);
	if (!S_ISREG(st.st_mode))
		return write_into(o, in, path);
	/* through a symlink: the file it names is replaced, not the link */
	real = realpath(path, NULL);
	return replace(o, in, real ? real : path, &st);
}

/* Cut the path off the end of what was spooled. Caller frees; NULL with the error noted. */
static char *cut_path(struct op *o, int fd)
{
	char path[PATH_MAX];
	uint8_t tail[4];
	off_t end = lseek(fd, 0, SEEK_END) - (off_t)sizeof(tail);
	size_t n = end > 0 && pread(fd, tail, sizeof(tail), end) == (ssize_t)sizeof(tail) ? wire_get_u32(tail) : 0;

	if (n == 0 || (off_t)n > end)
		op_error(o, EINVAL, "no path given");
	else if (n >= sizeof(path))
		op_error(o, ENAMETOOLONG, "path is longer than %zu bytes", sizeof(path) - 1);
	else if (pread(fd, path, n, end - (off_t)n) != (ssize_t)n || ftruncate(fd, end - (off_t)n) || lseek(fd, 0, SEEK_SET))
		op_fail(o, errno, o->path);
	else if (memchr(path, '\0', n))
		op_error(o, EINVAL, "path holds a NUL");
	return o->failed ? NULL : mem_strndup(path, n);
}

/* The data comes before its path: until then it waits in a file without a name, of which a kill leaves nothing. */
static int write_late(struct op *o)
{
	auto_free char *path = NULL;
	struct temp t;
	int r = -1;

	if (temp_open(&t, o->path)) {
		op_fail(o, errno, o->path);
	} else {
		if (t.name)
			unlink(t.name);
		op_started(o);
		if (copy_fast(STDIN_FILENO, t.fd, UINT64_MAX, false))
			op_fail(o, errno, o->path);
		else
			path = cut_path(o, t.fd);
	}
	if (path)
		r = write_path(o, &(struct source){ t.fd, true }, path);
	temp_free(&t);
	return r;
}

int op_write(struct op *o)
{
	return number(o, WT_LATE, 0) ? write_late(o) : write_path(o, &(struct source){ STDIN_FILENO, false }, o->path);
}

/* ---- mkdir, remove ---- */

int op_mkdir(struct op *o)
{
	mode_t mode = (mode_t)(number(o, WT_MODE, 0755) & 07777);
	size_t n = strlen(o->path);
	struct stat st;

	while (n > 1 && o->path[n - 1] == '/')
		o->path[--n] = '\0';
	if (!number(o, WT_PARENTS, 0)) {
		if (mkdir(o->path, mode) || chmod(o->path, mode))
			return op_fail(o, errno, o->path);
		return 0;
	}
	if (op_parents(o, o->path, false))
		return -1;
	if (mkdir(o->path, mode) == 0)
		return chmod(o->path, mode) ? op_fail(o, errno, o->path) : 0;
	if (errno != EEXIST || stat(o->path, &st))
		return op_fail(o, errno, o->path);
	return S_ISDIR(st.st_mode) ? 0 : op_fail(o, ENOTDIR, o->path);
}

int op_remove(struct op *o)
{
	struct err err = ERR_INIT;
	struct stat st;

	if (!o->path[strspn(o->path, "/.")])
		return op_error(o, EPERM, "refusing to remove: '%s'", o->path);
	if (lstat(o->path, &st))
		return op_fail(o, errno, o->path);
	if (!S_ISDIR(st.st_mode))
		return unlink(o->path) ? op_fail(o, errno, o->path) : 0;
	if (!number(o, WT_RECURSIVE, 0))
		return rmdir(o->path) ? op_fail(o, errno, o->path) : 0;
	op_started(o); /* it may take longer than the host waits for a first word */
	if (fs_remove_tree(o->path, &err))
		return op_error(o, err.sys, "%s", err.msg);
	return 0;
}
