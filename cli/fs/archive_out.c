#include "cli/fs/archive_out.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

#define BLOCK (128 << 10)

struct exporter {
	struct store *s;
	const struct export_sink *sink;
	enum export_format format;
	struct archive *a;
	struct archive_entry *entry;
	struct err *err;
	bool stopped; /* err says what the sink said */
};

static la_ssize_t on_write(struct archive *a, void *arg, const void *data, size_t n)
{
	struct exporter *x = arg;
	x->stopped = x->sink->write(x->sink->arg, data, n, x->err) != 0;
	if (!x->stopped)
		return (la_ssize_t)n;
	archive_set_error(a, EIO, "stopped");
	return -1;
}

static int failed(struct exporter *x, const char *path)
{
	if (x->stopped)
		return -1;
	return err_set(x->err, ERR_IO, "cannot write '%s' to the archive: %s", path, archive_error_string(x->a));
}

static int skip(struct exporter *x, const char *path, const char *why)
{
	x->sink->skipped(x->sink->arg, path, why);
	return 0;
}

static int put_piece(void *arg, const void *data, size_t n, struct err *err)
{
	struct exporter *x = arg;
	(void)err;
	return archive_write_data(x->a, data, n) == (la_ssize_t)n ? 0 : failed(x, archive_entry_pathname(x->entry));
}

static int put_header(struct exporter *x, const char *path)
{
	int rc = archive_write_header(x->a, x->entry);
	return rc == ARCHIVE_OK || rc == ARCHIVE_WARN ? 0 : failed(x, path);
}

static void begin_entry(struct exporter *x, const char *path, uint32_t mode)
{
	archive_entry_clear(x->entry);
	archive_entry_set_pathname(x->entry, path);
	archive_entry_set_mode(x->entry, mode);
	archive_entry_set_uid(x->entry, 0);
	archive_entry_set_gid(x->entry, 0);
	archive_entry_set_mtime(x->entry, 0, 0);
	archive_entry_set_size(x->entry, 0);
}

static int put_folder(struct exporter *x, const char *path, const struct child *c)
{
	auto_free char *name = mem_printf("%s/", path);
	uint32_t bits = c->has_file && entry_is_dir_mode(&c->file) ? c->file.mode & 07777 : OBJECT_DIR_MODE;
	if (c->has_file && !entry_is_dir_mode(&c->file)) {
		err_set(x->err, ERR_INVALID, "'%s' is a file and a folder in this tree: no archive can say that", path);
		return err_hint(x->err, "export one of them: REF:PATH");
	}
	begin_entry(x, name, S_IFDIR | bits);
	return put_header(x, path);
}

/* Content of a device: "MAJOR:MINOR". */
static void put_device_number(struct exporter *x, const struct entry *e)
{
	auto_free char *text = mem_strndup((const char *)e->data, (size_t)e->size);
	char *minor = strchr(text, ':');
	int64_t a = 0, b = 0;
	if (minor)
		*minor++ = '\0';
	if (minor && parse_int(text, "major", 0, UINT32_MAX, &a, NULL) == 0 &&
		parse_int(minor, "minor", 0, UINT32_MAX, &b, NULL) == 0)
		archive_entry_set_rdev(x->entry, makedev((unsigned)a, (unsigned)b));
}

static int put_special(struct exporter *x, const char *path, const struct entry *e)
{
	if (S_ISSOCK(e->mode))
		return skip(x, path, "a socket");
	if (x->format == EXPORT_ZIP)
		return skip(x, path, S_ISFIFO(e->mode) ? "a fifo" : "a device");
	begin_entry(x, path, e->mode);
	if (!S_ISFIFO(e->mode) && !e->chunked)
		put_device_number(x, e);
	return put_header(x, path);
}

static int put_link(struct exporter *x, const char *path, const struct entry *e)
{
	auto_free char *target = mem_strndup(e->link, e->link_len);
	begin_entry(x, path, OBJECT_LINK_MODE);
	archive_entry_set_symlink(x->entry, target);
	return put_header(x, path);
}

static int on_entry(void *arg, const char *path, const struct child *c, bool is_dir, struct err *err)
{
	struct exporter *x = arg;
	const struct entry *e = &c->file;
	if (is_dir)
		return put_folder(x, path, c);
	if (entry_is_link(e))
		return put_link(x, path, e);
	if (entry_is_special(e))
		return put_special(x, path, e);
	begin_entry(x, path, S_IFREG | (e->mode & 07777));
	archive_entry_set_size(x->entry, (la_int64_t)e->size);
	return put_header(x, path) ? -1 : tree_read(x->s, e, 0, e->size, put_piece, x, err);
}

static int open_archive(struct exporter *x)
{
	struct archive *a = x->a;
	int rc = ARCHIVE_OK;
	if (x->format == EXPORT_TAR_GZ) /* no time in its header */
		rc = archive_write_add_filter_gzip(a) | archive_write_set_filter_option(a, "gzip", "timestamp", NULL);
	else if (x->format == EXPORT_TAR_ZST)
		rc = archive_write_add_filter_zstd(a);
	if (x->format == EXPORT_ZIP)
		rc |= archive_write_set_format_zip(a);
	else /* a name that is no UTF-8 is written as bytes */
		rc |= archive_write_set_format_pax_restricted(a);
	rc |= archive_write_set_bytes_per_block(a, BLOCK) | archive_write_set_bytes_in_last_block(a, 1);
	if (rc == ARCHIVE_OK && archive_write_open2(a, x, NULL, on_write, NULL, NULL) == ARCHIVE_OK)
		return 0;
	return err_set(x->err, ERR_INTERNAL, "cannot begin the archive: %s", archive_error_string(a));
}

static int export_all(struct exporter *x, const struct hash *tree)
{
	x->a = archive_write_new();
	x->entry = archive_entry_new();
	if (!x->a || !x->entry)
		return err_set(x->err, ERR_LIMIT, "out of memory");
	if (open_archive(x) || tree_walk(x->s, tree, on_entry, x, x->err))
		return -1;
	return archive_write_close(x->a) == ARCHIVE_OK ? 0 : failed(x, "the end");
}

int archive_export(
	struct store *s, const struct hash *tree, enum export_format format, const struct export_sink *sink, struct err *err)
{
	struct exporter x = { .s = s, .sink = sink, .format = format, .err = err };
	/* libarchive asks the locale what names are: it shall be the same one everywhere */
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
	locale_t before = utf8 ? uselocale(utf8) : NULL;
	int rc = export_all(&x, tree);
	if (x.a) {
		if (rc)
			archive_write_fail(x.a); /* freeing must not write the rest */
		archive_write_free(x.a);
	}
	archive_entry_free(x.entry);
	if (utf8) {
		uselocale(before);
		freelocale(utf8);
	}
	return rc;
}
