#include "cli/fs/archive_in.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "shared/base/mem.h"

#define BATCH_BYTES ((size_t)32 << 20) /* of edits that wait */
#define BATCH_EDITS 50000u
#define SWELL_FROM ((uint64_t)1 << 30)
#define SWELL 1000u

/* An edit with its own copy of all that it points to. */
struct pending {
	char *path;
	struct entry e;
	uint8_t *data;
};

struct hard_link {
	char *path, *target;
};

struct importer {
	struct store *s;
	const struct import_source *source;
	struct archive *a;
	struct err *err;
	bool stopped; /* err says what the source said */
	bool slashes; /* a leading one was dropped, and said so */
	struct hash root;
	struct pending *batch;
	size_t batch_n, batch_bytes;
	struct hard_link *links;
	size_t link_n;
	struct import_counts counts;
};

static la_ssize_t on_read(struct archive *a, void *arg, const void **data)
{
	struct importer *m = arg;
	ssize_t n = m->source->read(m->source->arg, data, m->err);
	if (n >= 0)
		return n;
	m->stopped = true;
	archive_set_error(a, EIO, "stopped");
	return -1;
}

static la_int64_t on_seek(struct archive *a, void *arg, la_int64_t offset, int whence)
{
	struct importer *m = arg;
	int64_t at = m->source->seek(m->source->arg, offset, whence);
	if (at < 0)
		archive_set_error(a, EIO, "cannot seek");
	return at < 0 ? ARCHIVE_FATAL : at;
}

static int bad_archive(struct importer *m)
{
	if (m->stopped)
		return -1;
	err_set(m->err, ERR_PROTOCOL, "bad archive: %s", archive_error_string(m->a) ? archive_error_string(m->a) : "unknown");
	return m->counts.entries ? -1 : err_hint(m->err, "it must be tar (also .gz, .bz2, .xz, .zst) or zip");
}

/* ---- the batch ---- */

static void batch_clear(struct importer *m)
{
	for (size_t i = 0; i < m->batch_n; i++) {
		free(m->batch[i].path);
		free(m->batch[i].data);
	}
	m->batch_n = m->batch_bytes = 0;
}

static int batch_flush(struct importer *m)
{
	auto_free struct tree_edit *edits = mem_array(m->batch_n + 1, sizeof(*edits));
	for (size_t i = 0; i < m->batch_n; i++)
		edits[i] = (struct tree_edit){ .path = m->batch[i].path, .file = &m->batch[i].e };
	struct hash out;
	int rc = m->batch_n ? tree_apply(m->s, &m->root, edits, m->batch_n, &out, m->err) : 0;
	if (rc == 0 && m->batch_n)
		m->root = out;
	batch_clear(m);
	return rc;
}

/* The entry is copied. Edits of one path are done in their order, so the last entry of a name counts. */
static int batch_add(struct importer *m, const char *path, const struct entry *e)
{
	size_t n = e->chunked ? (size_t)e->chunks * HASH_LEN : (size_t)e->size;
	struct pending p = { .path = mem_strdup(path), .e = *e, .data = mem_array(n + 1, 1) };
	if (n)
		memcpy(p.data, e->data, n);
	p.e.data = p.data;
	if (e->link)
		p.e.link = (const char *)p.data;
	if ((m->batch_n & (m->batch_n - 1)) == 0)
		m->batch = mem_grow(m->batch, m->batch_n ? m->batch_n * 2 : 1, sizeof(*m->batch));
	m->batch[m->batch_n++] = p;
	m->batch_bytes += n + strlen(path);
	return m->batch_bytes >= BATCH_BYTES || m->batch_n >= BATCH_EDITS ? batch_flush(m) : 0;
}

/* ---- names and limits ---- */

/* The path below the tree's top, or an error for one that leads out. */
static int safe_path(struct importer *m, const char *path, struct buf *out)
{
	if (!path)
		return err_set(m->err, ERR_INVALID, "the archive has a name that cannot be read");
	if (*path == '/' && !m->slashes) {
		m->slashes = true;
		m->source->skipped(m->source->arg, path, "leading slashes of names");
	}
	for (const char *at = path; *at;) {
		size_t n = strcspn(at, "/");
		const char *part = at;
		at += n + (at[n] == '/');
		if (n == 0 || (n == 1 && part[0] == '.'))
			continue;
		if (n == 2 && part[0] == '.' && part[1] == '.') {
			err_set(m->err, ERR_INVALID, "the archive holds '%s', which leads out of it", path);
			return err_hint(m->err, "nothing was imported; do not trust this archive");
		}
		buf_str(out, out->len ? "/" : "");
		buf_add(out, part, n);
	}
	return buf_failed(out) ? err_set(m->err, ERR_LIMIT, "out of memory") : 0;
}

static int too_large(struct importer *m, uint64_t limit)
{
	err_set(m->err, ERR_TOO_LARGE, "the archive swells to more than %llu bytes", (unsigned long long)limit);
	return err_hint(m->err, "if that is right, allow more with --max-size");
}

/* more: bytes that are about to come. */
static int check_size(struct importer *m, uint64_t more)
{
	uint64_t limit = m->source->size_max ? m->source->size_max : IMPORT_SIZE_MAX;
	if (more > limit || m->counts.bytes > limit - more)
		return too_large(m, limit);
	m->counts.bytes += more;
	uint64_t in = (uint64_t)archive_filter_bytes(m->a, -1);
	if (!m->source->size_max && m->counts.bytes > SWELL_FROM && m->counts.bytes / SWELL > in)
		return too_large(m, m->counts.bytes - more);
	return 0;
}

/* ---- entries ---- */

static int read_content(struct importer *m, struct archive_entry *ae, struct tree_file *f)
{
	const void *data;
	size_t n;
	la_int64_t at, pos = 0;
	int rc;
	while ((rc = archive_read_data_block(m->a, &data, &n, &at)) == ARCHIVE_OK || rc == ARCHIVE_WARN) {
		if (at < pos)
			return err_set(m->err, ERR_PROTOCOL, "bad archive: pieces of a file are out of order");
		uint64_t hole = (uint64_t)(at - pos);
		if (check_size(m, hole) || check_size(m, n) || tree_file_zeros(f, hole, m->err) ||
			tree_file_add(f, data, n, m->err) || m->source->step(m->source->arg, &m->counts, m->err))
			return -1;
		pos = at + (la_int64_t)n;
	}
	if (rc != ARCHIVE_EOF)
		return bad_archive(m);
	/* a hole at the end */
	la_int64_t size = archive_entry_size_is_set(ae) ? archive_entry_size(ae) : pos;
	if (size <= pos)
		return 0;
	return check_size(m, (uint64_t)(size - pos)) || tree_file_zeros(f, (uint64_t)(size - pos), m->err) ? -1 : 0;
}

static int import_file(struct importer *m, const char *path, struct archive_entry *ae)
{
	struct tree_file *f = tree_file_new(m->s, archive_entry_perm(ae) & 07777);
	struct entry e;
	int rc = read_content(m, ae, f);
	rc = rc ? rc : tree_file_end(f, &e, m->err);
	rc = rc ? rc : batch_add(m, path, &e);
	tree_file_free(f);
	return rc;
}

static int import_link(struct importer *m, const char *path, struct archive_entry *ae)
{
	const char *target = archive_entry_symlink(ae);
	if (!target || !*target)
		return err_set(m->err, ERR_PROTOCOL, "bad archive: the link '%s' points nowhere", path);
	size_t n = strlen(target);
	struct entry e = { .mode = OBJECT_LINK_MODE, .size = n, .data = (const uint8_t *)target, .link = target, .link_len = n };
	if (n > OBJECT_INLINE_MAX)
		return err_set(m->err, ERR_INVALID, "the target of the link '%s' is too long", path);
	return batch_add(m, path, &e);
}

static int import_device(struct importer *m, const char *path, struct archive_entry *ae, mode_t type)
{
	if (!m->source->devices) {
		m->source->skipped(m->source->arg, path, "a device");
		return 0;
	}
	auto_free char *number = mem_printf("%u:%u", major(archive_entry_rdev(ae)), minor(archive_entry_rdev(ae)));
	struct entry e = {
		.mode = type | (archive_entry_perm(ae) & 07777), .size = strlen(number), .data = (const uint8_t *)number
	};
	return batch_add(m, path, &e);
}

/* At the end, when all that it may be a link to has come. */
static int import_hard_link(struct importer *m, const char *path, struct archive_entry *ae)
{
	auto_buf target = BUF_INIT;
	if (safe_path(m, archive_entry_hardlink(ae), &target))
		return -1;
	if ((m->link_n & (m->link_n - 1)) == 0)
		m->links = mem_grow(m->links, m->link_n ? m->link_n * 2 : 1, sizeof(*m->links));
	m->links[m->link_n++] = (struct hard_link){ mem_strdup(path), mem_strdup(target.p) };
	return 0;
}

static int import_typed(struct importer *m, const char *path, struct archive_entry *ae)
{
	mode_t type = archive_entry_filetype(ae), bits = archive_entry_perm(ae) & 07777;
	struct entry e = { .mode = type | bits, .data = (const uint8_t *)"" };
	if (archive_entry_hardlink(ae))
		return import_hard_link(m, path, ae);
	switch (type) {
	case AE_IFREG:
		return import_file(m, path, ae);
	case AE_IFLNK:
		return import_link(m, path, ae);
	case AE_IFDIR:
	case AE_IFIFO:
		return batch_add(m, path, &e);
	case AE_IFCHR:
	case AE_IFBLK:
		return import_device(m, path, ae, type);
	default:
		m->source->skipped(m->source->arg, path, "of an unknown kind");
		return 0;
	}
}

static int import_entry(struct importer *m, struct archive_entry *ae)
{
	auto_buf path = BUF_INIT;
	if (++m->counts.entries > IMPORT_ENTRIES_MAX)
		return err_set(m->err, ERR_TOO_LARGE, "the archive has more than %u entries", IMPORT_ENTRIES_MAX);
	if (safe_path(m, archive_entry_pathname(ae), &path) || m->source->step(m->source->arg, &m->counts, m->err))
		return -1;
	return path.len ? import_typed(m, path.p, ae) : 0;
}

/* ---- the whole ---- */

static int link_one(struct importer *m, const struct hard_link *l)
{
	struct tree_at at = { 0 };
	int rc = tree_find(m->s, &m->root, l->target, &at, m->err);
	if (rc && m->err->code == ERR_NOT_FOUND) /* perhaps one of the links before it */
		rc = batch_flush(m) || tree_find(m->s, &m->root, l->target, &at, m->err) ? -1 : 0;
	if (rc || !at.has_file || entry_is_dir_mode(&at.file)) {
		err_set(m->err, ERR_INVALID, "the archive has a hard link '%s' to '%s', which is no file of it", l->path,
			l->target);
		return err_hint(m->err, "nothing was imported");
	}
	rc = batch_add(m, l->path, &at.file);
	tree_at_free(&at);
	return rc;
}

static int link_all(struct importer *m)
{
	if (batch_flush(m))
		return -1;
	for (size_t i = 0; i < m->link_n; i++)
		if (link_one(m, &m->links[i]))
			return -1;
	return batch_flush(m);
}

static int refuse_clash(void *arg, const char *path, const struct child *c, bool is_dir, struct err *err)
{
	(void)arg;
	if (!is_dir || !c->has_file || entry_is_dir_mode(&c->file))
		return 0;
	err_set(err, ERR_INVALID, "the archive has '%s' as a %s and as a folder", path, entry_is_link(&c->file) ? "link" : "file");
	return err_hint(err, "nothing was imported; do not trust this archive");
}

static int open_archive(struct importer *m)
{
	m->a = archive_read_new();
	if (!m->a)
		return err_set(m->err, ERR_LIMIT, "out of memory");
	archive_read_support_format_tar(m->a);
	archive_read_support_format_zip_streamable(m->a);
	if (m->source->seek) { /* the modes of a zip are at its end */
		archive_read_support_format_zip_seekable(m->a);
		archive_read_set_seek_callback(m->a, on_seek);
	}
	archive_read_support_filter_gzip(m->a);
	archive_read_support_filter_bzip2(m->a);
	archive_read_support_filter_xz(m->a);
	archive_read_support_filter_zstd(m->a);
	return archive_read_open(m->a, m, NULL, on_read, NULL) == ARCHIVE_OK ? 0 : bad_archive(m);
}

static int import_all(struct importer *m)
{
	if (open_archive(m))
		return -1;
	for (;;) {
		struct archive_entry *ae;
		int rc = archive_read_next_header(m->a, &ae);
		if (rc == ARCHIVE_EOF)
			break;
		/* a warning is about names in another character set, which are bytes to us */
		if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
			return bad_archive(m);
		if (import_entry(m, ae))
			return -1;
	}
	return link_all(m) || tree_walk(m->s, &m->root, refuse_clash, NULL, m->err) ? -1 : 0;
}

int archive_import(
	struct store *s, const struct import_source *source, struct hash *out, struct import_counts *counts, struct err *err)
{
	struct importer m = { .s = s, .source = source, .err = err, .root = object_empty };
	/* libarchive asks the locale what names are */
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
	locale_t before = utf8 ? uselocale(utf8) : NULL;
	int rc = import_all(&m);
	if (m.a)
		archive_read_free(m.a);
	if (utf8) {
		uselocale(before);
		freelocale(utf8);
	}
	batch_clear(&m);
	free(m.batch);
	for (size_t i = 0; i < m.link_n; i++) {
		free(m.links[i].path);
		free(m.links[i].target);
	}
	free(m.links);
	*out = m.root;
	*counts = m.counts;
	return rc;
}
