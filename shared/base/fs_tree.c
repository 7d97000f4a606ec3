/* fs_tree: the two functions of fs.h that take more than a few lines: removal of a tree and the sparse copy. */
#include "shared/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/mem.h"

/*
 * Removal without recursion, so that no depth of nesting (an unpacked archive decides it) costs stack or descriptors:
 * a folder inside a folder is first renamed up to the top one. Everything goes through descriptors opened with
 * O_NOFOLLOW, so a link that is swapped in leads nowhere.
 */
struct removal {
	int top;
	unsigned long lifted; /* for names that are free in top */
	const char *path;     /* for messages */
	struct err *err;
};

/* Safe, as each DIR is one thread's (glibc manual, "Reading/Closing Directory"). */
static struct dirent *next_entry(DIR *d)
{
	return readdir(d); /* NOLINT(concurrency-mt-unsafe) */
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* A folder that cannot be written to (0555 in an image) cannot be emptied either. */
static int open_folder(int dir, const char *name)
{
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && !fstat(fd, &st) && (st.st_mode & 0700) != 0700 && fchmod(fd, 0700)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int lift(struct removal *rm, int dir, const char *name)
{
	for (bool opened = false;;) {
		char fresh[32];
		snprintf(fresh, sizeof(fresh), ".rm-%lu", rm->lifted++);
		if (!renameat(dir, name, rm->top, fresh))
			return 0;
		/* a folder that is moved has to be writable itself, for its ".." changes */
		if (errno == EACCES && !opened) {
			auto_fd int fd = open_folder(dir, name);
			opened = true;
			continue;
		}
		/* a name that exists already: an empty folder there would have been replaced, which is as good */
		if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
			return err_sys(rm->err, errno, "cannot remove '%s' in '%s'", name, rm->path);
	}
}

/* Unlink the files of folder `name` of top, lift its folders, remove it. */
static int remove_folder(struct removal *rm, const char *name)
{
	if (!unlinkat(rm->top, name, AT_REMOVEDIR))
		return 0;
	int fd = open_folder(rm->top, name);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		int sys = errno;
		if (fd >= 0)
			close(fd);
		return err_sys(rm->err, sys, "cannot open '%s' in '%s'", name, rm->path);
	}
	int rc = 0;
	for (struct dirent *e = NULL; !rc && (e = next_entry(d));) {
		if (is_dots(e->d_name) || !unlinkat(fd, e->d_name, 0) || !unlinkat(fd, e->d_name, AT_REMOVEDIR))
			continue;
		rc = lift(rm, fd, e->d_name);
	}
	closedir(d);
	if (!rc && unlinkat(rm->top, name, AT_REMOVEDIR) && errno != ENOTEMPTY)
		rc = err_sys(rm->err, errno, "cannot remove '%s' in '%s'", name, rm->path);
	return rc;
}

/* One pass over top. Lifted folders may or may not show up in it: the caller repeats until nothing is left. */
static int pass(struct removal *rm, DIR *d, bool *any)
{
	rewinddir(d);
	for (struct dirent *e = NULL; (e = next_entry(d));) {
		if (is_dots(e->d_name))
			continue;
		*any = true;
		if (!unlinkat(rm->top, e->d_name, 0) || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM)
			return err_sys(rm->err, errno, "cannot remove '%s' in '%s'", e->d_name, rm->path);
		if (remove_folder(rm, e->d_name))
			return -1;
	}
	return 0;
}

int fs_remove_tree(const char *path, struct err *err)
{
	if (!unlink(path) || errno == ENOENT)
		return 0;
	int sys = errno;
	if (!rmdir(path))
		return 0;
	int fd = open_folder(AT_FDCWD, path);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		/* a file: why it could not be unlinked says more */
		if (errno != ENOTDIR)
			sys = errno;
		if (fd >= 0)
			close(fd);
		return err_sys(err, sys, "cannot remove '%s'", path);
	}
	struct removal rm = { .top = fd, .path = path, .err = err };
	int rc = 0;
	for (bool any = true; !rc && any;) {
		any = false;
		rc = pass(&rm, d, &any);
	}
	closedir(d);
	if (!rc && rmdir(path) && errno != ENOENT)
		rc = err_sys(err, errno, "cannot remove '%s'", path);
	return rc;
}

/* n bytes at `at` of one file to the same place of the other; stops early where the source ends. */
static int copy_range(int from, int to, off_t at, off_t n)
{
	char chunk[65536];
	bool kernel = true;
	for (off_t end = at + n; at < end;) {
		size_t want = end - at > (1 << 30) ? 1 << 30 : (size_t)(end - at);
		off_t in = at, out = at;
		ssize_t done = kernel ? copy_file_range(from, &in, to, &out, want, 0) : -1;
		/* across file systems and on some of them: by hand. 0 at once is what some pseudo files say. */
		if (done <= 0) {
			kernel = false;
			done = pread(from, chunk, want < sizeof(chunk) ? want : sizeof(chunk), at);
			if (done > 0)
				done = pwrite(to, chunk, (size_t)done, at);
		}
		if (done < 0 && errno != EINTR)
			return -1;
		if (done == 0)
			return 0;
		if (done > 0)
			at += done;
	}
	return 0;
}

static int copy_data(int from, int to, off_t size)
{
	if (ftruncate(to, size))
		return -1;
	off_t at = 0;
	while (at < size) {
		off_t data = lseek(from, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0;
		off_t hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
		/* a file system that knows no holes */
		if (hole < 0) {
			data = at;
			hole = size;
		}
		if (copy_range(from, to, data, hole - data))
			return -1;
		at = hole;
	}
	return 0;
}

int fs_copy_sparse(const char *from, const char *to, mode_t mode, struct err *err)
{
	struct stat st;
	auto_fd int in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0 || fstat(in, &st))
		return err_sys(err, errno, "cannot open '%s'", from);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "'%s' is not a regular file", from);
	auto_fd int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		return err_sys(err, errno, "cannot create '%s'", to);
	if (!copy_data(in, out, st.st_size) && !fchmod(out, mode))
		return 0;
	int sys = errno;
	unlink(to);
	return err_sys(err, sys, "cannot copy '%s' to '%s'", from, to);
}

int fs_link_or_copy(const char *from, const char *to, struct err *err)
{
	if (!link(from, to))
		return 0;
	if (errno == ENOENT)
		return err_sys(err, errno, "cannot find '%s'", from);
	return fs_copy_sparse(from, to, 0600, err);
}
