#include "cli/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define DEPTH_MAX 1024
#define TEMP_LEN 16

/* Mode and time of a folder, set when all is in it. */
struct folder {
	char *path;
	mode_t mode;
	struct timespec mtime;
};

struct unpacker {
	const struct unpack_target *target;
	const struct unpack_ops *ops;
	struct archive *a;
	struct err *err;
	bool read_failed;
	struct buf parent; /* path of parent_fd within the folder */
	int parent_fd;	   /* -1 = none is open */
	struct folder *folders;
	size_t folder_count;
};

/* One entry: its place below dir_fd, split. */
struct place {
	struct buf path; /* "a/b/c", normalised; "" = the folder itself */
	const char *base;
	int dir; /* descriptor of its parent, borrowed */
};

static la_ssize_t on_read(struct archive *a, void *arg, const void **data)
{
	struct unpacker *u = arg;
	ssize_t n = u->ops->read(u->ops->arg, data, u->err);
	if (n >= 0)
		return n;
	u->read_failed = true;
	archive_set_error(a, EIO, "the stream broke");
	return -1;
}

static int archive_failed(struct unpacker *u)
{
	if (u->read_failed)
		return -1;
	return err_set(u->err, ERR_PROTOCOL, "bad archive: %s", archive_error_string(u->a));
}

static int hostile(struct unpacker *u, const char *path)
{
	err_set(u->err, ERR_PROTOCOL, "the archive holds '%s', which lies outside of what was asked for", path);
	return err_hint(u->err, "nothing was written there; do not trust this sandbox");
}

/* Path of an archive entry as a path below the target: top replaced by name, "." and double slashes dropped. */
static int normalise(struct unpacker *u, const char *path, struct buf *out)
{
	const struct unpack_target *t = u->target;
	unsigned depth = 0;
	bool first = true;
	if (!path || *path == '/')
		return hostile(u, path ? path : "");
	for (const char *at = path; *at;) {
		size_t n = strcspn(at, "/");
		const char *part = at;
		at += n + (at[n] == '/');
		if (n == 0 || (n == 1 && part[0] == '.'))
			continue;
		if ((n == 2 && part[0] == '.' && part[1] == '.') || ++depth > DEPTH_MAX)
			return hostile(u, path);
		if (!first) {
			buf_str(out, out->len ? "/" : "");
			buf_add(out, part, n);
			continue;
		}
		if (n != strlen(t->top) || memcmp(part, t->top, n) != 0)
			return hostile(u, path);
		buf_str(out, t->name ? t->name : "");
		first = false;
	}
	if (first || buf_failed(out))
		return hostile(u, path);
	return 0;
}

/* ---- folders on the way, never through a symlink ---- */

static int enter(int dir, const char *name)
{
	return openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Open the folder at path, making what is missing. Returns a descriptor to close. */
static int open_folder(struct unpacker *u, const char *path)
{
	int fd = fcntl(u->target->dir_fd, F_DUPFD_CLOEXEC, 0);
	auto_free char *copy = mem_strdup(path);
	char *rest = copy, *part;
	while (fd >= 0 && (part = strsep(&rest, "/")) && *part) {
		int next = enter(fd, part);
		if (next < 0 && errno == ENOENT && mkdirat(fd, part, 0755) == 0)
			next = enter(fd, part);
		int sys = errno;
		close(fd);
		errno = sys;
		fd = next;
	}
	if (fd >= 0)
		return fd;
	if (errno == ENOTDIR || errno == ELOOP)
		return err_set(u->err, ERR_CONFLICT, "'%s' is in the way: a file or link, no folder", path);
	return err_sys(u->err, errno, "cannot open '%s'", path);
}

/* Split the place and open its parent; the last one is kept open, as entries of a folder come together. */
static int find_parent(struct unpacker *u, struct place *p)
{
	const char *slash = strrchr(p->path.p, '/');
	size_t n = slash ? (size_t)(slash - p->path.p) : 0;
	p->base = slash ? slash + 1 : p->path.p;
	if (u->parent_fd < 0 || u->parent.len != n || memcmp(u->parent.p, p->path.p, n) != 0) {
		if (u->parent_fd >= 0)
			close(u->parent_fd);
		buf_clear(&u->parent);
		buf_add(&u->parent, p->path.p, n);
		u->parent_fd = open_folder(u, u->parent.p);
		if (u->parent_fd < 0)
			return -1;
	}
	p->dir = u->parent_fd;
	return 0;
}

/* ---- entries ---- */

static struct timespec entry_mtime(struct archive_entry *e)
{
	if (!archive_entry_mtime_is_set(e))
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	long nsec = archive_entry_mtime_nsec(e);
	return (struct timespec){ .tv_sec = archive_entry_mtime(e), .tv_nsec = nsec >= 0 && nsec < 1000000000 ? nsec : 0 };
}

static void temp_name(char out[TEMP_LEN + 8])
{
	char id[TEMP_LEN + 1];
	rand_id(id, TEMP_LEN - 4);
	(void)snprintf(out, TEMP_LEN + 8, ".sbx-%s", id);
}

/* Put the finished temporary in its place. A folder there stays. */
static int commit(struct unpacker *u, const struct place *p, const char *temp)
{
	if (renameat(p->dir, temp, p->dir, p->base) == 0)
		return 0;
	int sys = errno;
	unlinkat(p->dir, temp, 0);
	if (sys == EISDIR || sys == ENOTEMPTY || sys == EEXIST)
		return err_set(u->err, ERR_CONFLICT, "cannot put a file in place of the folder '%s'", p->path.p);
	return err_sys(u->err, sys, "cannot write '%s'", p->path.p);
}

static int write_block(int fd, const char *data, size_t n, off_t at)
{
	while (n) {
		ssize_t w = pwrite(fd, data, n, at);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -1;
		data += w;
		at += w;
		n -= (size_t)w;
	}
	return 0;
}

static int write_content(struct unpacker *u, const struct place *p, struct archive_entry *e, int fd)
{
	const void *data;
	size_t n;
	la_int64_t at;
	int rc;
	while ((rc = archive_read_data_block(u->a, &data, &n, &at)) == ARCHIVE_OK || rc == ARCHIVE_WARN)
		if (write_block(fd, data, n, (off_t)at))
			return err_sys(u->err, errno, "cannot write '%s'", p->path.p);
	if (rc != ARCHIVE_EOF)
		return archive_failed(u);
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, entry_mtime(e) };
	/* the size counts where the end of a sparse file is a hole */
	if (ftruncate(fd, (off_t)archive_entry_size(e)) || fchmod(fd, archive_entry_perm(e) & 0777) || futimens(fd, times))
		return err_sys(u->err, errno, "cannot write '%s'", p->path.p);
	return 0;
}

static int unpack_file(struct unpacker *u, const struct place *p, struct archive_entry *e)
{
	char temp[TEMP_LEN + 8];
	temp_name(temp);
	int fd = openat(p->dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(u->err, errno, "cannot write '%s'", p->path.p);
	int rc = write_content(u, p, e, fd);
	if (close(fd) && rc == 0)
		rc = err_sys(u->err, errno, "cannot write '%s'", p->path.p);
	if (rc) {
		unlinkat(p->dir, temp, 0);
		return -1;
	}
	return commit(u, p, temp);
}

static int unpack_symlink(struct unpacker *u, const struct place *p, struct archive_entry *e)
{
	char temp[TEMP_LEN + 8];
	temp_name(temp);
	const char *to = archive_entry_symlink(e);
	if (!to || !*to)
		return err_set(u->err, ERR_PROTOCOL, "bad archive: the link '%s' points nowhere", p->path.p);
	if (symlinkat(to, p->dir, temp))
		return err_sys(u->err, errno, "cannot make the link '%s'", p->path.p);
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, entry_mtime(e) };
	(void)utimensat(p->dir, temp, times, AT_SYMLINK_NOFOLLOW); /* not every file system keeps times of links */
	return commit(u, p, temp);
}

/* A second name of a file of this archive. Both ends lie within the target and no link is followed on the way. */
static int unpack_hardlink(struct unpacker *u, const struct place *p, struct archive_entry *e)
{
	auto_buf from = BUF_INIT;
	if (normalise(u, archive_entry_hardlink(e), &from))
		return -1;
	const char *slash = strrchr(from.p, '/');
	auto_free char *folder = mem_strndup(from.p, slash ? (size_t)(slash - from.p) : 0);
	auto_fd int dir = open_folder(u, folder);
	if (dir < 0)
		return -1;
	char temp[TEMP_LEN + 8];
	temp_name(temp);
	if (linkat(dir, slash ? slash + 1 : from.p, p->dir, temp, 0))
		return err_sys(u->err, errno, "cannot link '%s' to '%s'", p->path.p, from.p);
	int rc = commit(u, p, temp);
	/* rename does nothing when both are the same file already, and leaves the temporary */
	unlinkat(p->dir, temp, 0);
	return rc;
}

static int unpack_folder(struct unpacker *u, const struct place *p, struct archive_entry *e)
{
	struct stat st;
	if (mkdirat(p->dir, p->base, 0700)) {
		if (errno != EEXIST || fstatat(p->dir, p->base, &st, AT_SYMLINK_NOFOLLOW))
			return err_sys(u->err, errno, "cannot make the folder '%s'", p->path.p);
		if (!S_ISDIR(st.st_mode))
			return err_set(u->err, ERR_CONFLICT, "cannot put a folder in place of '%s'", p->path.p);
	}
	if ((u->folder_count & (u->folder_count - 1)) == 0)
		u->folders = mem_grow(u->folders, u->folder_count ? u->folder_count * 2 : 1, sizeof(*u->folders));
	u->folders[u->folder_count++] = (struct folder){ mem_strdup(p->path.p), archive_entry_perm(e) & 01777, entry_mtime(e) };
	return 0;
}

static int unpack_entry(struct unpacker *u, struct archive_entry *e)
{
	struct place p = { .path = BUF_INIT, .dir = -1 };
	int rc = normalise(u, archive_entry_pathname(e), &p.path);
	/* the top of a folder whose contents were asked for: it keeps its own mode and time */
	if (rc || p.path.len == 0) {
		buf_free(&p.path);
		return rc;
	}
	mode_t type = archive_entry_filetype(e);
	rc = find_parent(u, &p);
	if (rc == 0 && archive_entry_hardlink(e))
		rc = unpack_hardlink(u, &p, e);
	else if (rc == 0 && type == AE_IFREG)
		rc = unpack_file(u, &p, e);
	else if (rc == 0 && type == AE_IFDIR)
		rc = unpack_folder(u, &p, e);
	else if (rc == 0 && type == AE_IFLNK)
		rc = unpack_symlink(u, &p, e);
	else if (rc == 0)
		u->ops->skipped(u->ops->arg, p.path.p, type == AE_IFIFO ? "a fifo" : "a device or something unknown");
	buf_free(&p.path);
	return rc;
}

/* Deepest last in, first done, so that making one read-only does not shut out those below it. */
static int finish_folders(struct unpacker *u)
{
	for (size_t i = u->folder_count; i-- > 0;) {
		const struct folder *f = &u->folders[i];
		auto_fd int fd = open_folder(u, f->path);
		if (fd < 0)
			return -1;
		struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, f->mtime };
		if (fchmod(fd, f->mode) || futimens(fd, times))
			return err_sys(u->err, errno, "cannot finish the folder '%s'", f->path);
	}
	return 0;
}

static int unpack_all(struct unpacker *u)
{
	if (archive_read_support_format_tar(u->a) || archive_read_open(u->a, u, NULL, on_read, NULL))
		return archive_failed(u);
	for (size_t entries = 0;; entries++) {
		struct archive_entry *e;
		int rc = archive_read_next_header(u->a, &e);
		if (rc == ARCHIVE_EOF)
			return entries ? finish_folders(u) : err_set(u->err, ERR_PROTOCOL, "the archive is empty");
		/* a warning is about names in another character set, which are bytes to us */
		if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
			return archive_failed(u);
		if (unpack_entry(u, e))
			return -1;
	}
}

int unpack_tree(const struct unpack_target *target, const struct unpack_ops *ops, struct err *err)
{
	struct unpacker u = { .target = target, .ops = ops, .err = err, .parent = BUF_INIT, .parent_fd = -1 };
	u.a = archive_read_new();
	int rc = u.a ? unpack_all(&u) : err_set(err, ERR_LIMIT, "out of memory");
	if (u.a)
		archive_read_free(u.a);
	if (u.parent_fd >= 0)
		close(u.parent_fd);
	for (size_t i = 0; i < u.folder_count; i++)
		free(u.folders[i].path);
	free(u.folders);
	buf_free(&u.parent);
	return rc;
}
