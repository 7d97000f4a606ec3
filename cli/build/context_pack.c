/* context: the tar that goes into the sandbox. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/build/context.h"
#include "shared/base/mem.h"

#define BLOCK ((size_t)128 * 1024)

struct packer {
	context_write *write;
	void *arg;
	struct archive *a;
	int stopped; /* what write returned */
	struct err *err;
};

static la_ssize_t on_write(struct archive *a, void *arg, const void *data, size_t n)
{
	struct packer *p = arg;
	p->stopped = p->write(p->arg, data, n, p->err);
	if (p->stopped == 0)
		return (la_ssize_t)n;
	archive_set_error(a, EIO, "stopped");
	return -1;
}

static int failed(const struct packer *p, const char *what)
{
	if (p->stopped)
		return p->stopped;
	return err_set(p->err, ERR_IO, "cannot pack '%s': %s", what, archive_error_string(p->a));
}

static int begin(struct packer *p)
{
	p->a = archive_write_new();
	if (!p->a)
		return err_set(p->err, ERR_LIMIT, "out of memory");
	/* names are bytes: no conversion to any character set */
	if (archive_write_set_format_pax(p->a) || archive_write_set_options(p->a, "hdrcharset=BINARY") ||
		archive_write_set_bytes_per_block(p->a, BLOCK) || archive_write_set_bytes_in_last_block(p->a, 1) ||
		archive_write_open2(p->a, p, NULL, on_write, NULL, NULL))
		return err_set(p->err, ERR_INTERNAL, "cannot pack: %s", archive_error_string(p->a));
	return 0;
}

static int end(struct packer *p, int rc)
{
	if (rc == 0 && archive_write_close(p->a) != ARCHIVE_OK)
		rc = failed(p, "the end");
	if (p->a) {
		/* after a failure, freeing must not try to write the rest */
		if (rc)
			archive_write_fail(p->a);
		archive_write_free(p->a);
	}
	return rc;
}

static int write_data(struct packer *p, const struct context_file *f)
{
	auto_fd int fd = open(f->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	auto_free char *block = mem_array(BLOCK, 1);
	int64_t left = f->size;
	if (fd < 0)
		return err_sys(p->err, errno, "cannot read '%s'", f->path);
	while (left > 0) {
		ssize_t n = read(fd, block, left < (int64_t)BLOCK ? (size_t)left : BLOCK);
		if (n < 0)
			return err_sys(p->err, errno, "cannot read '%s'", f->path);
		if (n == 0)
			return err_set(p->err, ERR_IO, "'%s' shrank while it was read", f->path);
		if (archive_write_data(p->a, block, (size_t)n) != n)
			return failed(p, f->path);
		left -= n;
	}
	return 0;
}

static int write_entry(struct packer *p, const struct context_file *f, const struct context_owner *owner)
{
	struct archive_entry *e = archive_entry_new();
	bool chmod = owner->mode >= 0 && !f->target;
	archive_entry_set_pathname(e, f->name);
	archive_entry_set_mode(e, chmod ? (f->mode & S_IFMT) | (mode_t)owner->mode : f->mode);
	archive_entry_set_uid(e, owner->uid);
	archive_entry_set_gid(e, owner->gid);
	archive_entry_set_mtime(e, f->mtime, 0);
	archive_entry_set_size(e, f->size);
	if (f->target)
		archive_entry_set_symlink(e, f->target);
	int rc = archive_write_header(p->a, e);
	archive_entry_free(e);
	if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
		return failed(p, f->path);
	return S_ISREG(f->mode) ? write_data(p, f) : 0;
}

int context_pack(const struct context_pick *pick, const struct context_goal *goal, context_write *write, void *arg, struct err *err)
{
	struct packer p = { .write = write, .arg = arg, .err = err };
	char here[] = ".";
	const struct context_file folder = { .path = here, .name = here, .mode = S_IFDIR | 0755 };
	const struct context_owner its = { .uid = goal->owner.uid, .gid = goal->owner.gid, .mode = -1 };
	int rc = begin(&p);
	if (rc == 0 && goal->top)
		rc = write_entry(&p, &folder, &its);
	for (size_t i = 0; rc == 0 && i < pick->n; i++) {
		struct context_file f = pick->v[i];
		if (goal->as)
			f.name = (char *)(uintptr_t)goal->as;
		rc = write_entry(&p, &f, &goal->owner);
	}
	return end(&p, rc);
}

/* ---- archives that are unpacked ---- */

static struct archive *open_archive(const char *path)
{
	struct archive *a = archive_read_new();
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_format_tar(a);
	if (archive_read_open_filename(a, path, BLOCK) == ARCHIVE_OK)
		return a;
	archive_read_free(a);
	return NULL;
}

bool context_is_archive(const char *path)
{
	struct archive *a = open_archive(path);
	struct archive_entry *e;
	bool is = a && archive_read_next_header(a, &e) == ARCHIVE_OK;
	archive_read_free(a);
	return is;
}

/* Holes of the source become zeros. */
static int fill(const struct packer *p, int64_t n)
{
	auto_free char *zeros = mem_array(BLOCK, 1);
	for (int64_t take; n > 0; n -= take) {
		take = n < (int64_t)BLOCK ? n : (int64_t)BLOCK;
		if (archive_write_data(p->a, zeros, (size_t)take) != take)
			return -1;
	}
	return 0;
}

static int copy_entry(struct packer *p, struct archive *from, struct archive_entry *e, const char *path)
{
	const void *data;
	size_t n;
	la_int64_t at, pos = 0;
	archive_entry_sparse_clear(e);
	int rc = archive_write_header(p->a, e);
	if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
		return failed(p, path);
	while ((rc = archive_read_data_block(from, &data, &n, &at)) == ARCHIVE_OK) {
		if (fill(p, at - pos) || (n && archive_write_data(p->a, data, n) != (la_ssize_t)n))
			return failed(p, path);
		pos = at + (la_int64_t)n;
	}
	return rc == ARCHIVE_EOF ? 0 : err_set(p->err, ERR_IO, "cannot read '%s': %s", path, archive_error_string(from));
}

int context_unpack(const char *path, context_write *write, void *arg, struct err *err)
{
	struct packer p = { .write = write, .arg = arg, .err = err };
	struct archive *from = open_archive(path);
	struct archive_entry *e;
	int more = ARCHIVE_OK, rc = from ? begin(&p) : err_set(err, ERR_IO, "cannot read '%s'", path);
	while (rc == 0 && (more = archive_read_next_header(from, &e)) == ARCHIVE_OK)
		rc = copy_entry(&p, from, e, path);
	if (rc == 0 && more != ARCHIVE_EOF)
		rc = err_set(err, ERR_IO, "cannot read '%s': %s", path, archive_error_string(from));
	archive_read_free(from);
	return from ? end(&p, rc) : rc;
}
