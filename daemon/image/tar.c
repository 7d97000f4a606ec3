#include "daemon/image/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

#define XATTRS_MAX 32u
#define XATTR_BYTES_MAX ((size_t)60 << 10)

/*
 * Two readers of libarchive: one only unpacks ("raw"), so that the unpacked bytes can be counted and hashed; the other reads the
 * tar in them.
 */
struct tar {
	tar_read *read;
	void *arg;
	struct archive *outer, *inner;
	struct archive_entry *entry; /* of inner */
	struct hash_run *hash;
	uint64_t bytes;
	struct err stopped; /* what the source, or we, say beneath libarchive */
	locale_t utf8, before;
	struct ext4_xattr xattrs[XATTRS_MAX];
	size_t xattr_count;
};

static int bad(struct tar *t, struct archive *a, struct err *err)
{
	const char *why = archive_error_string(a);

	if (t->stopped.code != ERR_OK) {
		if (err)
			*err = t->stopped;
		return -1;
	}
	return err_set(err, ERR_INVALID, "bad archive: %s", why ? why : "unknown");
}

static la_ssize_t on_outer(struct archive *a, void *arg, const void **data)
{
	struct tar *t = arg;
	ssize_t n = t->read(t->arg, data, &t->stopped);

	if (n < 0)
		archive_set_error(a, EIO, "stopped");
	return n;
}

static la_ssize_t on_inner(struct archive *a, void *arg, const void **data)
{
	struct tar *t = arg;
	size_t n = 0;
	la_int64_t at;
	int rc = archive_read_data_block(t->outer, data, &n, &at);

	if (rc == ARCHIVE_EOF)
		return 0;
	if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
		bad(t, t->outer, &t->stopped);
		archive_set_error(a, EIO, "stopped");
		return -1;
	}
	t->bytes += n;
	if (t->bytes > TAR_BYTES_MAX) {
		err_set(&t->stopped, ERR_TOO_LARGE, "the archive swells to more than %llu bytes",
			(unsigned long long)TAR_BYTES_MAX);
		archive_set_error(a, EIO, "stopped");
		return -1;
	}
	hash_add(t->hash, *data, n);
	return (la_ssize_t)n;
}

static int open_outer(struct tar *t, bool *empty, struct err *err)
{
	struct archive_entry *e;

	archive_read_support_format_raw(t->outer);
	archive_read_support_format_empty(t->outer);
	archive_read_support_filter_gzip(t->outer);
	archive_read_support_filter_bzip2(t->outer);
	archive_read_support_filter_xz(t->outer);
	archive_read_support_filter_zstd(t->outer);
	if (archive_read_open(t->outer, t, NULL, on_outer, NULL) != ARCHIVE_OK)
		return bad(t, t->outer, err);
	int rc = archive_read_next_header(t->outer, &e);
	*empty = rc == ARCHIVE_EOF;
	return rc == ARCHIVE_OK || *empty ? 0 : bad(t, t->outer, err);
}

struct tar *tar_open(tar_read *read, void *arg, struct err *err)
{
	struct tar *t = mem_zalloc(sizeof(*t));
	bool empty = false;

	t->read = read;
	t->arg = arg;
	/* libarchive asks the locale what names are */
	t->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
	t->before = t->utf8 ? uselocale(t->utf8) : NULL;
	t->hash = hash_begin();
	t->outer = archive_read_new();
	t->inner = archive_read_new();
	int rc = t->outer && t->inner ? open_outer(t, &empty, err) : err_set(err, ERR_LIMIT, "out of memory");
	if (!rc && empty)
		rc = err_set(err, ERR_INVALID, "the archive is empty");
	if (!rc) {
		archive_read_support_format_tar(t->inner);
		archive_read_support_format_empty(t->inner);
		if (archive_read_open(t->inner, t, NULL, on_inner, NULL) != ARCHIVE_OK)
			rc = bad(t, t->inner, err);
	}
	if (!rc)
		return t;
	tar_free(t);
	return NULL;
}

static void drop_xattrs(struct tar *t)
{
	for (size_t i = 0; i < t->xattr_count; i++) {
		free(t->xattrs[i].name);
		free(t->xattrs[i].value);
	}
	t->xattr_count = 0;
}

void tar_free(struct tar *t)
{
	if (!t)
		return;
	drop_xattrs(t);
	if (t->inner)
		archive_read_free(t->inner);
	if (t->outer)
		archive_read_free(t->outer);
	hash_end(t->hash, NULL);
	if (t->utf8) {
		uselocale(t->before);
		freelocale(t->utf8);
	}
	free(t);
}

/* Those that mean something to a guest of ours. */
static void take_xattrs(struct tar *t)
{
	const char *name;
	const void *value;
	size_t n, bytes = 0;

	drop_xattrs(t);
	archive_entry_xattr_reset(t->entry);
	while (t->xattr_count < XATTRS_MAX && archive_entry_xattr_next(t->entry, &name, &value, &n) == ARCHIVE_OK) {
		bool wanted = name && (!strcmp(name, "security.capability") || str_starts(name, "user."));
		if (!wanted || strlen(name) > 255 || n > XATTR_BYTES_MAX - bytes)
			continue;
		struct ext4_xattr *x = &t->xattrs[t->xattr_count++];
		*x = (struct ext4_xattr){ mem_strdup(name), mem_array(n + 1, 1), n };
		memcpy(x->value, value, n);
		bytes += n;
	}
}

static uint32_t owner(la_int64_t id)
{
	return id < 0 || id > UINT32_MAX - 1 ? 0 : (uint32_t)id;
}

int tar_next(struct tar *t, struct tar_entry *out, struct err *err)
{
	int rc = archive_read_next_header(t->inner, &t->entry);

	if (rc == ARCHIVE_EOF)
		return 0;
	/* a warning is about names in another character set, which are bytes to us */
	if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
		return bad(t, t->inner, err);
	take_xattrs(t);
	*out = (struct tar_entry){
		.path = archive_entry_pathname(t->entry),
		.symlink = archive_entry_symlink(t->entry),
		.hard_link = archive_entry_hardlink(t->entry),
		.meta = { .mode = archive_entry_filetype(t->entry) | (archive_entry_perm(t->entry) & 07777),
			.uid = owner(archive_entry_uid(t->entry)),
			.gid = owner(archive_entry_gid(t->entry)),
			.mtime = archive_entry_mtime(t->entry),
			.rdev = archive_entry_rdev(t->entry),
			.xattrs = t->xattrs,
			.xattr_count = t->xattr_count },
	};
	la_int64_t size = archive_entry_size(t->entry);
	if (size < 0 || !out->path)
		return err_set(err, ERR_INVALID, "bad archive: an entry whose name or size cannot be read");
	out->size = (uint64_t)size;
	return 1;
}

int tar_data(struct tar *t, const void **data, size_t *n, uint64_t *offset, struct err *err)
{
	la_int64_t at = 0;
	int rc = archive_read_data_block(t->inner, data, n, &at);

	if (rc == ARCHIVE_EOF)
		return 0;
	if ((rc != ARCHIVE_OK && rc != ARCHIVE_WARN) || at < 0)
		return bad(t, t->inner, err);
	*offset = (uint64_t)at;
	return 1;
}

int tar_end(struct tar *t, char sha[HASH_HEX], struct err *err)
{
	const void *data;
	la_ssize_t n;

	while ((n = on_inner(t->inner, t, &data)) > 0)
		;
	if (n < 0)
		return bad(t, t->inner, err);
	hash_end(t->hash, sha);
	t->hash = NULL;
	return 0;
}

uint64_t tar_bytes(const struct tar *t)
{
	return t->bytes;
}
