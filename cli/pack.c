#include "cli/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/mem.h"

#define BLOCK ((size_t)128 * 1024)

struct packer {
	const struct pack_ops *ops;
	struct archive *a;
	struct archive_entry_linkresolver *links;
	int stopped;	 /* what ops->write returned */
	char *block;	 /* BLOCK */
	struct buf path; /* of the current entry within the archive */
	struct err *err;
};

static la_ssize_t on_write(struct archive *a, void *arg, const void *data, size_t n)
{
	struct packer *p = arg;
	p->stopped = p->ops->write(p->ops->arg, data, n, p->err);
	if (p->stopped == 0)
		return (la_ssize_t)n;
	archive_set_error(a, EIO, "stopped");
	return -1;
}

static int failed(struct packer *p)
{
	if (p->stopped)
		return p->stopped;
	return err_set(p->err, ERR_IO, "cannot pack '%s': %s", p->path.p, archive_error_string(p->a));
}

static void skip(struct packer *p, const char *why)
{
	p->ops->skipped(p->ops->arg, p->path.p, why);
}

static int write_header(struct packer *p, struct archive_entry *e)
{
	int rc = archive_write_header(p->a, e);
	return rc == ARCHIVE_OK || rc == ARCHIVE_WARN ? 0 : failed(p);
}

/* size bytes as the header promised: a file that shrank is filled up with zeros (by libarchive), one that grew is cut. */
static int write_data(struct packer *p, int fd, off_t size)
{
	off_t left = size;
	while (left > 0) {
		size_t want = left < (off_t)BLOCK ? (size_t)left : BLOCK;
		ssize_t n = read(fd, p->block, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(p->err, errno, "cannot read '%s'", p->path.p);
		if (n == 0) {
			skip(p, "it shrank while it was read");
			return 0;
		}
		if (archive_write_data(p->a, p->block, (size_t)n) != n)
			return failed(p);
		left -= n;
	}
	return 0;
}

static void fill(struct archive_entry *e, const char *path, const struct stat *st)
{
	archive_entry_copy_stat(e, st);
	archive_entry_set_pathname(e, path);
	archive_entry_unset_atime(e);
	archive_entry_unset_ctime(e);
	archive_entry_unset_birthtime(e);
}

/* Turns the entry into a hard link when its file has been packed before. */
static void resolve_link(struct packer *p, struct archive_entry **e)
{
	struct archive_entry *spare = NULL;
	archive_entry_linkify(p->links, e, &spare);
}

static int pack_file(struct packer *p, int dir, const char *name)
{
	auto_fd int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st)) {
		skip(p, strerror(errno));
		return 0;
	}
	if (!S_ISREG(st.st_mode)) {
		skip(p, "it changed while it was read");
		return 0;
	}
	struct archive_entry *e = archive_entry_new();
	fill(e, p->path.p, &st);
	resolve_link(p, &e);
	bool link = archive_entry_hardlink(e) != NULL;
	int rc = write_header(p, e);
	if (rc == 0 && !link)
		rc = write_data(p, fd, st.st_size);
	archive_entry_free(e);
	return rc;
}

static int pack_symlink(struct packer *p, int dir, const char *name, const struct stat *st)
{
	char target[4096];
	ssize_t n = readlinkat(dir, name, target, sizeof(target));
	if (n < 0 || (size_t)n == sizeof(target)) {
		skip(p, n < 0 ? strerror(errno) : "its target is too long");
		return 0;
	}
	target[n] = '\0';
	struct archive_entry *e = archive_entry_new();
	fill(e, p->path.p, st);
	archive_entry_set_symlink(e, target);
	archive_entry_set_size(e, 0);
	int rc = write_header(p, e);
	archive_entry_free(e);
	return rc;
}

static int pack_entry(struct packer *p, int dir, const char *name, bool follow);

static int pack_children(struct packer *p, DIR *d) /* NOLINT(misc-no-recursion) */
{
	size_t len = p->path.len;
	struct dirent *child;
	int rc = 0;
	while (rc == 0 && (errno = 0, child = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): a DIR of our own */
		if (strcmp(child->d_name, ".") == 0 || strcmp(child->d_name, "..") == 0)
			continue;
		buf_fmt(&p->path, "/%s", child->d_name);
		rc = pack_entry(p, dirfd(d), child->d_name, false);
		p->path.len = len;
		p->path.p[len] = '\0';
	}
	if (rc == 0 && errno)
		skip(p, strerror(errno));
	return rc;
}

static int pack_folder(struct packer *p, int dir, const char *name, bool follow) /* NOLINT(misc-no-recursion) */
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | (follow ? 0 : O_NOFOLLOW) | O_CLOEXEC);
	struct stat st;
	DIR *d = fd >= 0 && fstat(fd, &st) == 0 ? fdopendir(fd) : NULL;
	if (!d) {
		skip(p, strerror(errno));
		if (fd >= 0)
			close(fd);
		return 0;
	}
	struct archive_entry *e = archive_entry_new();
	fill(e, p->path.p, &st);
	archive_entry_set_size(e, 0);
	int rc = write_header(p, e);
	archive_entry_free(e);
	if (rc == 0)
		rc = pack_children(p, d);
	closedir(d);
	return rc;
}

static int pack_entry(struct packer *p, int dir, const char *name, bool follow) /* NOLINT(misc-no-recursion) */
{
	struct stat st;
	if (fstatat(dir, name, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW)) {
		skip(p, strerror(errno));
		return 0;
	}
	if (S_ISDIR(st.st_mode))
		return pack_folder(p, dir, name, follow);
	if (S_ISREG(st.st_mode))
		return pack_file(p, dir, name);
	if (S_ISLNK(st.st_mode))
		return pack_symlink(p, dir, name, &st);
	skip(p, S_ISSOCK(st.st_mode) ? "a socket" : S_ISFIFO(st.st_mode) ? "a fifo" : "a device");
	return 0;
}

static int begin(struct packer *p)
{
	p->a = archive_write_new();
	p->links = archive_entry_linkresolver_new();
	p->block = mem_try(BLOCK);
	if (!p->a || !p->links || !p->block)
		return err_set(p->err, ERR_LIMIT, "out of memory");
	archive_entry_linkresolver_set_strategy(p->links, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE);
	/* names are bytes: no conversion to any character set */
	if (archive_write_set_format_pax(p->a) || archive_write_set_options(p->a, "hdrcharset=BINARY") ||
		archive_write_set_bytes_per_block(p->a, BLOCK) || archive_write_set_bytes_in_last_block(p->a, 1) ||
		archive_write_open2(p->a, p, NULL, on_write, NULL, NULL))
		return err_set(p->err, ERR_INTERNAL, "cannot pack: %s", archive_error_string(p->a));
	return 0;
}

int pack_tree(const struct pack_source *source, const struct pack_ops *ops, struct err *err)
{
	struct packer p = { .ops = ops, .path = BUF_INIT, .err = err };
	int rc = begin(&p);
	if (rc == 0) {
		buf_str(&p.path, source->top);
		rc = pack_entry(&p, source->dir_fd, source->name, source->follow);
	}
	if (rc == 0 && archive_write_close(p.a) != ARCHIVE_OK)
		rc = failed(&p);
	if (p.a) {
		/* after a failure, freeing must not try to write the rest */
		if (rc)
			archive_write_fail(p.a);
		archive_write_free(p.a);
	}
	if (p.links)
		archive_entry_linkresolver_free(p.links);
	free(p.block);
	buf_free(&p.path);
	return rc;
}
