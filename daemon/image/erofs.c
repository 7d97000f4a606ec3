#include "daemon/image/erofs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/mem.h"

/*
 * The format (Linux, fs/erofs/erofs_fs.h), as far as it is used here. All numbers little endian.
 * Superblock at 1024. An inode is known by its nid, its place divided by 32 (meta_blkaddr is 0). Layout "plain": content in blocks
 * from raw_blkaddr on; "inline": the last, partial block's bytes stand behind the inode, in the same block as it.
 * A folder's content are blocks of entries (nid, place of the name, type), sorted by name, then their names; so are "." and "..".
 * The root's nid has 16 bits only: its inode stands behind the superblock.
 */
enum {
	BLOCK = 4096,
	SUPER_AT = 1024,
	SUPER_SIZE = 128,
	ROOT_AT = SUPER_AT + SUPER_SIZE,
	SLOT = 32,
	COMPACT = 32,
	EXTENDED = 64,
	DIRENT = 12,
	INLINE_MAX = 3072, /* a longer tail would leave most of two blocks empty */
	META_SIZE = 64 * 1024,
	DATA_SIZE = 256 * 1024,
	HOLE_SIZE = 64 * 1024, /* so many zeros are left out */
	LAYOUT_PLAIN = 0,
	LAYOUT_INLINE = 2,
};
#define MAGIC 0xe0f5e1e2u
#define NAME_MAX_LEN 255u

enum type { TYPE_FILE = 1, TYPE_DIR, TYPE_CHAR, TYPE_BLOCK, TYPE_FIFO, TYPE_SOCKET, TYPE_LINK };

struct dirent_row {
	size_t name, len; /* in names */
	uint64_t nid;
	uint8_t type;
};

struct folder {
	struct folder *up;
	uint64_t at; /* of its inode */
	mode_t mode;
	uint32_t links;
	struct buf names;
	struct dirent_row *rows;
	size_t count, cap;
	bool dotted[2]; /* "." and ".." are in rows */
};

struct inode {
	mode_t mode;
	uint64_t size;
	uint32_t links, where /* first block, or device */;
	unsigned layout;
	bool extended;
};

struct erofs {
	int fd;
	uint64_t max, next /* free byte, at a block */;
	int64_t time_s;
	uint32_t inodes;
	struct folder *dir;
	uint64_t meta_at; /* extent of inodes that is being filled */
	size_t meta_used;
	uint8_t meta[META_SIZE];
	uint64_t data_at; /* where data goes */
	size_t data_len;
	uint8_t data[DATA_SIZE];
	/* the file that is open */
	struct inode file;
	struct erofs_name name;
	uint64_t left, tail_from; /* bytes to come; of which so many last ones stand behind the inode */
	size_t tail_len;
	uint8_t tail[INLINE_MAX];
};

static uint8_t *put(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		*p++ = (uint8_t)(v >> (8 * i));
	return p;
}

static int write_at(struct erofs *e, const void *data, size_t n, uint64_t at, struct err *err)
{
	const char *p = data;
	while (n) {
		ssize_t w = pwrite(e->fd, p, n, (off_t)at);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return err_sys(err, w < 0 ? errno : ENOSPC, "cannot write a file system image");
		p += w;
		n -= (size_t)w;
		at += (uint64_t)w;
	}
	return 0;
}

static int allocate(struct erofs *e, uint64_t bytes, uint64_t *at, struct err *err)
{
	uint64_t whole = bytes > e->max ? bytes : (bytes + BLOCK - 1) / BLOCK * BLOCK;
	if (whole > e->max || e->next > e->max - whole) {
		err_set(err, ERR_TOO_LARGE, "the tree is larger than %llu GiB", (unsigned long long)(e->max >> 30));
		return err_hint(err, "mount a folder of it: LABEL:FOLDER");
	}
	*at = e->next;
	e->next += whole;
	return 0;
}

/* ---- content ---- */

static bool all_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static int flush_data(struct erofs *e, struct err *err)
{
	for (size_t at = 0; at < e->data_len; at += HOLE_SIZE) {
		size_t n = e->data_len - at < HOLE_SIZE ? e->data_len - at : HOLE_SIZE;
		if (!all_zero(e->data + at, n) && write_at(e, e->data + at, n, e->data_at + at, err))
			return -1;
	}
	e->data_at += e->data_len;
	e->data_len = 0;
	return 0;
}

/* What is written next begins at a place of its own. */
static int seek_data(struct erofs *e, uint64_t at, struct err *err)
{
	uint64_t end = e->data_at + e->data_len;
	if (at >= end && at - end < BLOCK && at - e->data_at <= DATA_SIZE) {
		memset(e->data + e->data_len, 0, (size_t)(at - end));
		e->data_len += (size_t)(at - end);
		return 0;
	}
	if (flush_data(e, err))
		return -1;
	e->data_at = at;
	return 0;
}

static int add_data(struct erofs *e, const uint8_t *p, size_t n, struct err *err)
{
	while (n) {
		size_t k = n < DATA_SIZE - e->data_len ? n : DATA_SIZE - e->data_len;
		memcpy(e->data + e->data_len, p, k);
		e->data_len += k;
		p += k;
		n -= k;
		if (e->data_len == DATA_SIZE && flush_data(e, err))
			return -1;
	}
	return 0;
}

/* ---- inodes ---- */

static int flush_meta(struct erofs *e, struct err *err)
{
	size_t n = e->meta_used;
	e->meta_used = 0;
	return n ? write_at(e, e->meta, META_SIZE, e->meta_at, err) : 0;
}

/* A place for an inode of n bytes, with what stands behind it: within one block. */
static int place_meta(struct erofs *e, size_t n, uint64_t *at, struct err *err)
{
	size_t used = (e->meta_used + SLOT - 1) / SLOT * SLOT;
	if (used % BLOCK + n > BLOCK)
		used = (used + BLOCK - 1) / BLOCK * BLOCK;
	if (e->meta_used == 0 || used + n > META_SIZE) {
		if (flush_meta(e, err) || allocate(e, META_SIZE, &e->meta_at, err))
			return -1;
		memset(e->meta, 0, META_SIZE);
		used = 0;
	}
	*at = e->meta_at + used;
	e->meta_used = used + n;
	return 0;
}

static int put_meta(struct erofs *e, uint64_t at, const void *data, size_t n, struct err *err)
{
	if (!e->meta_used || at < e->meta_at || at >= e->meta_at + META_SIZE)
		return write_at(e, data, n, at, err);
	memcpy(e->meta + (at - e->meta_at), data, n);
	return 0;
}

/* Returns its length. */
static size_t encode_inode(struct erofs *e, const struct inode *in, uint8_t out[EXTENDED])
{
	uint8_t *p = put(out, (in->extended ? 1u : 0u) | in->layout << 1, 2);
	p = put(p, 0, 2);
	p = put(p, in->mode, 2);
	p = put(p, in->extended ? 0 : in->links, 2);
	p = put(p, in->size, in->extended ? 8 : 4);
	if (!in->extended)
		p = put(p, 0, 4);
	p = put(p, in->where, 4);
	p = put(p, ++e->inodes, 4);
	if (!in->extended)
		return (size_t)(put(p, 0, 8) - out); /* owners */
	p = put(p, 0, 8);
	p = put(p, (uint64_t)e->time_s, 8);
	p = put(p, 0, 4);
	p = put(p, in->links, 4);
	memset(p, 0, 16);
	return EXTENDED;
}

static int add_row(struct erofs *e, struct erofs_name name, uint64_t at, enum type type, struct err *err);

/* An inode with the bytes behind it, and its entry in the folder that is open. */
static int add_inode(struct erofs *e, const struct inode *in, const void *tail, size_t n, enum type type, struct err *err)
{
	uint8_t raw[EXTENDED];
	uint64_t at;
	size_t len = encode_inode(e, in, raw);
	if (place_meta(e, len + n, &at, err) || put_meta(e, at, raw, len, err) || put_meta(e, at + len, tail, n, err))
		return -1;
	return add_row(e, e->name, at, type, err);
}

/* ---- folders ---- */

static void push_row(struct folder *d, struct erofs_name name, uint64_t at, enum type type)
{
	if (!d->rows || d->count == d->cap) {
		d->cap = d->cap ? 2 * d->cap : 16;
		d->rows = mem_grow(d->rows, d->cap, sizeof(*d->rows));
	}
	d->rows[d->count++] = (struct dirent_row){ d->names.len, name.n, at / SLOT, (uint8_t)type };
	buf_add(&d->names, name.p, name.n);
}

static int name_order(struct erofs_name a, struct erofs_name b)
{
	int r = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
	return r ? r : (a.n > b.n) - (a.n < b.n);
}

/* "." and "..", which stand among the others: `before` is the name that comes next, NULL when none does. */
static void add_dots(struct folder *d, const struct erofs_name *before)
{
	for (size_t i = 0; i < 2; i++) {
		struct erofs_name dots = { "..", i + 1 };
		if (d->dotted[i] || (before && name_order(dots, *before) > 0))
			continue;
		d->dotted[i] = true;
		push_row(d, dots, i && d->up ? d->up->at : d->at, TYPE_DIR);
	}
}

static int add_row(struct erofs *e, struct erofs_name name, uint64_t at, enum type type, struct err *err)
{
	struct folder *d = e->dir;
	if (name.n == 0 || name.n > NAME_MAX_LEN || memchr(name.p, '\0', name.n) || memchr(name.p, '/', name.n))
		return err_set(err, ERR_INVALID, "a name of %zu bytes that no file can have", name.n);
	add_dots(d, &name);
	const struct dirent_row *last = d->count ? &d->rows[d->count - 1] : NULL;
	if (last && name_order((struct erofs_name){ d->names.p + last->name, last->len }, name) >= 0)
		return err_set(err, ERR_INVALID, "names that are out of order: '%.*s'", (int)name.n, name.p);
	push_row(d, name, at, type);
	return buf_failed(&d->names) ? err_set(err, ERR_TOO_LARGE, "a folder has too many names") : 0;
}

/* How many rows from `from` on go into one block, and the bytes they take. */
static size_t rows_of_block(const struct folder *d, size_t from, size_t *bytes)
{
	size_t n = 0;
	*bytes = 0;
	while (from + n < d->count && *bytes + DIRENT + d->rows[from + n].len <= BLOCK)
		*bytes += DIRENT + d->rows[from + n++].len;
	return n;
}

static void encode_block(const struct folder *d, size_t from, size_t n, uint8_t block[BLOCK])
{
	uint8_t *row = block, *name = block + n * DIRENT;
	for (size_t i = from; i < from + n; i++) {
		const struct dirent_row *r = &d->rows[i];
		row = put(row, r->nid, 8);
		row = put(row, (uint64_t)(name - block), 2);
		row = put(row, r->type, 2);
		memcpy(name, d->names.p + r->name, r->len);
		name += r->len;
	}
}

/* The blocks of a folder's entries. */
static int write_rows(struct erofs *e, const struct folder *d, struct inode *in, struct err *err)
{
	uint64_t at = 0, blocks = 0;
	size_t bytes = 0, n;
	for (size_t i = 0; i < d->count; i += n, blocks++)
		n = rows_of_block(d, i, &bytes);
	in->size = (blocks - 1) * BLOCK + bytes;
	if (allocate(e, blocks * BLOCK, &at, err) || seek_data(e, at, err))
		return -1;
	in->where = (uint32_t)(at / BLOCK);
	for (size_t i = 0; i < d->count; i += n) {
		uint8_t block[BLOCK] = { 0 };
		n = rows_of_block(d, i, &bytes);
		encode_block(d, i, n, block);
		if (add_data(e, block, BLOCK, err))
			return -1;
	}
	return 0;
}

static struct folder *folder_new(struct folder *up, uint64_t at, mode_t mode)
{
	struct folder *d = mem_zalloc(sizeof(*d));
	*d = (struct folder){ .up = up, .at = at, .mode = mode, .links = 2 };
	buf_init(&d->names);
	return d;
}

static void folder_free(struct folder *d)
{
	buf_free(&d->names);
	free(d->rows);
	free(d);
}

static int end_folder(struct erofs *e, struct folder *d, struct err *err)
{
	uint8_t raw[EXTENDED];
	struct inode in = { .mode = S_IFDIR | (d->mode & 07777), .links = d->links, .layout = LAYOUT_PLAIN, .extended = true };
	add_dots(d, NULL);
	if (write_rows(e, d, &in, err))
		return -1;
	return put_meta(e, d->at, raw, encode_inode(e, &in, raw), err);
}

int erofs_dir_begin(struct erofs *e, struct erofs_name name, mode_t mode, struct err *err)
{
	uint64_t at;
	if (place_meta(e, EXTENDED, &at, err) || add_row(e, name, at, TYPE_DIR, err))
		return -1;
	e->dir->links++;
	e->dir = folder_new(e->dir, at, mode);
	return 0;
}

int erofs_dir_end(struct erofs *e, struct err *err)
{
	struct folder *d = e->dir;
	int r = end_folder(e, d, err);
	e->dir = d->up;
	folder_free(d);
	return r;
}

/* ---- what is in folders ---- */

int erofs_file_begin(struct erofs *e, struct erofs_name name, mode_t mode, uint64_t size, struct err *err)
{
	uint64_t tail = size % BLOCK <= INLINE_MAX ? size % BLOCK : 0, at = 0;
	e->file = (struct inode){ .mode = S_IFREG | (mode & 07777),
		.size = size,
		.links = 1,
		.layout = tail ? LAYOUT_INLINE : LAYOUT_PLAIN,
		.extended = size > UINT32_MAX };
	e->name = name;
	e->left = size;
	e->tail_from = tail;
	e->tail_len = 0;
	if (size > tail && (allocate(e, size - tail, &at, err) || seek_data(e, at, err)))
		return -1;
	e->file.where = (uint32_t)(at / BLOCK);
	return 0;
}

int erofs_file_data(struct erofs *e, const void *data, size_t n, struct err *err)
{
	const uint8_t *p = data;
	if (n > e->left)
		return err_set(err, ERR_IO, "a file has more content than its size says");
	size_t tail = e->left - n < e->tail_from ? (size_t)(e->tail_from - (e->left - n)) - e->tail_len : 0;
	e->left -= n;
	if (add_data(e, p, n - tail, err))
		return -1;
	memcpy(e->tail + e->tail_len, p + n - tail, tail);
	e->tail_len += tail;
	return 0;
}

int erofs_file_end(struct erofs *e, struct err *err)
{
	if (e->left)
		return err_set(err, ERR_IO, "a file has less content than its size says");
	return add_inode(e, &e->file, e->tail, e->tail_len, TYPE_FILE, err);
}

int erofs_link(struct erofs *e, struct erofs_name name, struct erofs_name target, struct err *err)
{
	struct inode in = { .mode = S_IFLNK | 0777, .size = target.n, .links = 1, .layout = LAYOUT_INLINE };
	if (target.n == 0 || target.n >= BLOCK - COMPACT || memchr(target.p, '\0', target.n)) {
		err_set(err, ERR_INVALID, "'%.*s' is a symlink to a path of %zu bytes", (int)name.n, name.p, target.n);
		return err_hint(err, "a file system cannot hold such a link");
	}
	e->name = name;
	return add_inode(e, &in, target.p, target.n, TYPE_LINK, err);
}

int erofs_special(struct erofs *e, struct erofs_name name, mode_t mode, dev_t rdev, struct err *err)
{
	enum type type = S_ISCHR(mode) ? TYPE_CHAR : S_ISBLK(mode) ? TYPE_BLOCK : S_ISFIFO(mode) ? TYPE_FIFO : TYPE_SOCKET;
	struct inode in = { .mode = mode, .links = 1, .layout = LAYOUT_PLAIN };
	if (type == TYPE_CHAR || type == TYPE_BLOCK)
		in.where = (minor(rdev) & 0xff) | (major(rdev) & 0xfff) << 8 | (minor(rdev) & ~0xffu) << 12;
	e->name = name;
	return add_inode(e, &in, "", 0, type, err);
}

/* ---- the whole ---- */

struct erofs *erofs_new(int fd, uint64_t max, int64_t time_s)
{
	struct erofs *e = mem_zalloc(sizeof(*e));
	e->fd = fd;
	e->max = max < (uint64_t)UINT32_MAX * BLOCK ? max : (uint64_t)UINT32_MAX * BLOCK;
	e->time_s = time_s;
	e->next = e->data_at = BLOCK;
	e->dir = folder_new(NULL, ROOT_AT, 0755);
	return e;
}

void erofs_free(struct erofs *e)
{
	while (e && e->dir) {
		struct folder *up = e->dir->up;
		folder_free(e->dir);
		e->dir = up;
	}
	free(e);
}

static int write_super(struct erofs *e, struct err *err)
{
	uint8_t raw[SUPER_SIZE] = { 0 };
	uint8_t *p = put(raw, MAGIC, 4);
	p = put(p, 0, 8);  /* no checksum, no features */
	p = put(p, 12, 2); /* the block size's bits */
	p = put(p, ROOT_AT / SLOT, 2);
	p = put(p, e->inodes, 8);
	p = put(p, (uint64_t)e->time_s, 8);
	p = put(p, 0, 4);
	put(p, e->next / BLOCK, 4);
	return write_at(e, raw, sizeof(raw), SUPER_AT, err);
}

int erofs_end(struct erofs *e, uint64_t *size, struct err *err)
{
	if (end_folder(e, e->dir, err) || flush_data(e, err) || flush_meta(e, err) || write_super(e, err))
		return -1;
	*size = e->next;
	if (ftruncate(e->fd, (off_t)*size))
		return err_sys(err, errno, "cannot write a file system image");
	return 0;
}
