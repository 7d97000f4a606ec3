/* label: the files. Only the last record decides; it is found from the end of the file, since each record ends with its length. */
#include "shared/store/label_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/store/crc.h"

enum { TAIL = 1024, FIXED = sizeof(struct label_fixed), CRC_FROM = offsetof(struct label_fixed, op) };
_Static_assert(sizeof(struct label_fixed) == 32, "this is on disk");

void label_file_name(const char *name, char out[HASH_HEX + 1])
{
	struct hash h;
	hash_of(name, strlen(name), &h);
	hash_hex(&h, out);
}

void label_record_render(const struct label_record *r, struct buf *out)
{
	size_t start = out->len;
	struct label_fixed f = { .op = r->op,
		.flags = r->flags,
		.name_len = (uint8_t)r->name_len,
		.message_len = (uint16_t)r->message_len,
		.at = r->at };
	f.len = (uint32_t)(FIXED + HASH_LEN * (1u + (r->from != NULL) + (r->other != NULL)) + r->name_len + r->message_len + 4);
	f.len_check = f.len ^ LABEL_LEN_MASK;
	buf_add(out, &f, FIXED);
	if (r->from)
		buf_add(out, r->from, HASH_LEN);
	buf_add(out, r->to, HASH_LEN);
	if (r->other)
		buf_add(out, r->other, HASH_LEN);
	buf_add(out, r->name, r->name_len);
	if (r->message_len)
		buf_add(out, r->message, r->message_len);
	buf_add(out, &f.len, 4);
	if (buf_failed(out))
		return;
	uint32_t crc = crc32c(0, out->p + start + CRC_FROM, f.len - CRC_FROM);
	memcpy(out->p + start + offsetof(struct label_fixed, crc), &crc, 4);
}

/* A whole record at pos of n bytes? */
static bool parse(const char *p, size_t n, size_t pos, struct label_record *out)
{
	struct label_fixed f;
	uint32_t tail;
	if (n - pos < FIXED + HASH_LEN + 4)
		return false;
	memcpy(&f, p + pos, FIXED);
	if (f.len_check != (f.len ^ LABEL_LEN_MASK) || f.len > n - pos || f.len < FIXED + HASH_LEN + 4 || f.len > LABEL_RECORD_MAX)
		return false;
	memcpy(&tail, p + pos + f.len - 4, 4);
	size_t hashes = 1u + !!(f.flags & LABEL_FROM) + !!(f.flags & LABEL_OTHER);
	if (tail != f.len || crc32c(0, p + pos + CRC_FROM, f.len - CRC_FROM) != f.crc || f.op > LABEL_RENAME ||
		f.len != FIXED + hashes * HASH_LEN + f.name_len + (size_t)f.message_len + 4)
		return false;
	const char *at = p + pos + FIXED;
	*out = (struct label_record){ .pos = pos,
		.len = f.len,
		.at = f.at,
		.op = f.op,
		.flags = f.flags,
		.name_len = f.name_len,
		.message_len = f.message_len };
	if (f.flags & LABEL_FROM)
		out->from = (const struct hash *)at;
	at += f.flags & LABEL_FROM ? HASH_LEN : 0;
	out->to = (const struct hash *)at;
	at += HASH_LEN;
	if (f.flags & LABEL_OTHER)
		out->other = (const struct hash *)at;
	at += f.flags & LABEL_OTHER ? HASH_LEN : 0;
	out->name = at;
	out->message = at + f.name_len;
	return true;
}

static bool named(const struct label_record *r, const char *file)
{
	struct hash h;
	char hex[HASH_HEX + 1];
	hash_of(r->name, r->name_len, &h);
	return !strcmp(hash_hex(&h, hex), file);
}

/*
 * What a writer that was killed leaves is the beginning of a record; some file systems leave zeros after it when the power fails. A
 * bit that flipped never looks like that: the two lengths disagree, or the record has its length; and zeros must be many, since a
 * record ends with two of them.
 */
static bool torn(const char *p, size_t n, size_t pos)
{
	enum { ZEROS = 8 };
	uint32_t len, check;
	size_t end = n;
	while (end > pos && !p[end - 1])
		end--;
	if (n - end < ZEROS)
		end = n;
	if (end - pos < 8)
		return true;
	memcpy(&len, p + pos, 4);
	memcpy(&check, p + pos + 4, 4);
	return check == (len ^ LABEL_LEN_MASK) && len <= LABEL_RECORD_MAX && len > end - pos;
}

/* After a damaged place: where the next record is. */
static size_t resync(const char *p, size_t n, size_t pos)
{
	struct label_record r;
	while (++pos < n && !parse(p, n, pos, &r))
		;
	return pos;
}

static void split(struct label_file *f, const char *file)
{
	size_t cap = 0, n = f->bytes.len, pos = 0;
	const char *p = f->bytes.p;
	f->keep = n;
	while (pos < n) {
		struct label_record r;
		f->damaged_last = false;
		if (!parse(p, n, pos, &r)) {
			if (torn(p, n, pos)) {
				f->keep = pos;
				break;
			}
			f->damaged_at = f->damaged ? f->damaged_at : pos;
			f->damaged = f->damaged_last = true;
			pos = resync(p, n, pos);
			continue;
		}
		if (f->n == cap) {
			cap = cap ? cap * 2 : 16;
			f->v = mem_grow(f->v, cap, sizeof(*f->v));
		}
		f->v[f->n++] = r;
		pos += r.len;
	}
	/* a rename that was not finished never was */
	if (f->n && !f->damaged_last && f->v[f->n - 1].op == LABEL_RENAME && !named(&f->v[f->n - 1], file))
		f->keep = f->v[--f->n].pos;
	if (f->n && !named(&f->v[f->n - 1], file)) {
		f->damaged_at = f->damaged ? f->damaged_at : f->v[f->n - 1].pos;
		f->damaged = f->damaged_last = true;
	}
}

static int open_file(struct store *s, const char *file, struct stat *st, struct err *err)
{
	int fd = openat(s->labels_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && !fstat(fd, st))
		return fd;
	int sys = errno;
	if (fd >= 0)
		close(fd);
	errno = sys;
	if (sys != ENOENT)
		err_sys(err, sys, "cannot open the label file '%s' of '%s'", file, s->path);
	return sys == ENOENT ? -2 : -1;
}

static int read_part(struct store *s, int fd, uint64_t from, size_t n, struct buf *out, struct err *err)
{
	char *room = buf_reserve(out, n);
	ssize_t got = room ? read_at(fd, room, n, from) : -1;
	if (got < 0)
		return err_sys(err, room ? errno : ENOMEM, "cannot read a label of '%s'", s->path);
	buf_commit(out, (size_t)got);
	return 0;
}

int label_file_read(struct store *s, const char *file, struct label_file *out, struct err *err)
{
	struct stat st;
	*out = (struct label_file){ .bytes = BUF_INIT };
	auto_fd int fd = open_file(s, file, &st, err);
	if (fd < 0)
		return fd == -2 ? 1 : -1;
	if (read_part(s, fd, 0, (size_t)st.st_size, &out->bytes, err))
		return -1;
	split(out, file);
	return out->n || out->damaged ? 0 : 1;
}

void label_file_free(struct label_file *f)
{
	buf_free(&f->bytes);
	free(f->v);
	f->v = NULL;
	f->n = 0;
}

int label_file_last(struct store *s, const char *file, struct buf *bytes, struct label_record *out, uint64_t *keep, struct err *err)
{
	struct stat st;
	auto_fd int fd = open_file(s, file, &st, err);
	*keep = 0;
	if (fd < 0)
		return fd == -2 ? 1 : -1;
	*keep = (uint64_t)st.st_size;
	if (!st.st_size)
		return 1;
	size_t n = st.st_size < TAIL ? (size_t)st.st_size : TAIL;
	if (read_part(s, fd, (uint64_t)st.st_size - n, n, bytes, err))
		return -1;
	uint32_t len = 0;
	if (bytes->len >= 4)
		memcpy(&len, bytes->p + bytes->len - 4, 4);
	if (len > bytes->len || !len || !parse(bytes->p, bytes->len, bytes->len - len, out) || out->len != len || !named(out, file))
		return 2;
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int label_files(struct store *s, char ***names, size_t *n, struct err *err)
{
	struct hash h;
	size_t cap = 0;
	*names = NULL;
	*n = 0;
	int fd = openat(s->labels_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		err_sys(err, errno, "cannot list the labels of '%s'", s->path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	const struct dirent *e;
	while ((e = readdir(d)) != NULL) { /* NOLINT(concurrency-mt-unsafe): the stream is ours */
		if (!hash_parse(e->d_name, &h))
			continue;
		if (*n == cap) {
			cap = cap ? cap * 2 : 64;
			*names = mem_grow(*names, cap, sizeof(char *));
		}
		(*names)[(*n)++] = mem_strdup(e->d_name);
	}
	closedir(d);
	if (*n)
		qsort(*names, *n, sizeof(char *), by_text);
	return 0;
}

int label_damaged(struct store *s, const char *name, const char *file, uint64_t at, struct err *err)
{
	err_set(err, ERR_IO, "label '%s' is damaged (file 'labels/%s' of '%s', offset %llu)", name, file, s->path,
		(unsigned long long)at);
	return err_hint(err, "set it again with --force, or remove it; 'sbx fs fsck' lists all that is damaged");
}
