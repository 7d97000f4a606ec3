/*
 * store: writing. Objects are compressed by whoever puts them; then they go, one after the other, to the buffer of the growing
 * pack. The end of a write is one fdatasync of that pack (one more, of the folder, when the pack is new), and only then what leads
 * to the objects: index entries, which may be lost, and label moves.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/store/crc.h"
#include "shared/store/store_internal.h"

enum { BUFFER = 1 << 20, DIRECT = 128 << 10, PUSH = 8 << 20 };

int store_need_write(struct store *s, struct err *err)
{
	return s->read_only ? err_set(err, ERR_FORBIDDEN, "the store '%s' is read-only", s->path) : 0;
}

/* ---- the buffer (the caller holds `put`) ---- */

/* From now on this write can only be given up. */
static int write_failed(struct store *s, int sys, const char *what, struct err *err)
{
	s->w.failed = true;
	err_sys(&s->w.err, sys, "%s pack %u of '%s'", what, s->w.pack ? s->w.pack->number : 0, s->path);
	if (err)
		*err = s->w.err;
	return -1;
}

static int write_out(struct store *s, struct iovec *iov, int n, struct err *err)
{
	struct writer *w = &s->w;
	while (n) {
		ssize_t r = pwritev(w->fd, iov, n, (off_t)w->flushed);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return write_failed(s, errno, "cannot write", err);
		w->flushed += (uint64_t)r;
		for (; n && (size_t)r >= iov->iov_len; iov++, n--)
			r -= (ssize_t)iov->iov_len;
		if (n) {
			iov->iov_base = (char *)iov->iov_base + r;
			iov->iov_len -= (size_t)r;
		}
	}
	/* let the disk begin, so that the fdatasync at the end finds less to do */
	if (w->flushed - w->pushed >= PUSH) {
		sync_file_range(w->fd, (off_t)w->pushed, (off_t)(w->flushed - w->pushed), SYNC_FILE_RANGE_WRITE);
		w->pushed = w->flushed;
	}
	return 0;
}

static int flush(struct store *s, struct err *err)
{
	struct iovec iov = { s->w.buf, s->w.len };
	if (!s->w.len)
		return 0;
	if (write_out(s, &iov, 1, err))
		return -1;
	s->w.len = 0;
	return 0;
}

bool store_copy_buffered(struct store *s, const struct pack *p, uint64_t offset, void *out, size_t n)
{
	if (!atomic_load(&s->w.on))
		return false;
	pthread_mutex_lock(&s->put);
	const struct writer *w = &s->w;
	bool is = p == w->pack && offset >= w->flushed && offset + n <= w->flushed + w->len;
	if (is)
		memcpy(out, w->buf + (offset - w->flushed), n);
	pthread_mutex_unlock(&s->put);
	return is;
}

/* ---- packs ---- */

int store_start_pack(struct store *s, struct err *err)
{
	struct writer *w = &s->w;
	struct file_header h;
	uint32_t number = s->count ? s->packs[s->count - 1]->number + 1 : 1;
	struct pack *p = pack_new(s, number, err);
	if (!p)
		return -1;
	file_header_fill(&h, PACK_MAGIC, number, p->nonce);
	w->fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 0);
	if (w->fd < 0 || pwrite(w->fd, &h, sizeof(h), 0) != sizeof(h)) {
		char name[32];
		err_sys(err, errno, "cannot write pack %u of '%s'", number, s->path);
		pack_file_name(number, "pack", name);
		unlinkat(s->packs_fd, name, 0);
		pack_unref(p);
		return -1;
	}
	w->flushed = w->pushed = w->durable = FILE_HEADER;
	w->durable_n = 0;
	w->len = 0;
	w->new_file = true;
	pthread_rwlock_wrlock(&s->lists);
	s->packs = mem_grow(s->packs, s->count + 1, sizeof(struct pack *));
	s->packs[s->count++] = p;
	w->pack = p;
	pthread_rwlock_unlock(&s->lists);
	return 0;
}

/* What was put so far becomes durable, and the index learns of it (which may fail: it is made again from the pack). */
static int make_durable(struct store *s, struct err *err)
{
	struct writer *w = &s->w;
	if (w->failed) {
		if (err)
			*err = w->err;
		return -1;
	}
	if (w->pack && flush(s, err))
		return -1;
	if (w->pack && w->dirty && fdatasync(w->fd))
		return write_failed(s, errno, "cannot sync", err);
	if (w->new_file && fsync(s->packs_fd))
		return write_failed(s, errno, "cannot sync the folder of", err);
	w->new_file = false;
	if (w->pack && w->dirty) {
		w->durable = w->flushed;
		w->durable_n = w->pack->n;
		(void)store_append_index(s, w->pack);
	}
	w->dirty = false;
	return 0;
}

static int finish_pack(struct store *s, struct err *err)
{
	struct writer *w = &s->w;
	if (make_durable(s, err))
		return -1;
	if (store_seal(s, w->pack, &w->err)) {
		w->failed = true;
		if (err)
			*err = w->err;
		return -1;
	}
	close(w->fd);
	w->fd = -1;
	w->pack = NULL;
	return 0;
}

static int append_locked(struct store *s, struct record_header *h, const void *body, struct err *err)
{
	struct writer *w = &s->w;
	if (w->failed) {
		if (err)
			*err = w->err;
		return -1;
	}
	if (!w->buf && !(w->buf = mem_try(BUFFER)))
		return err_set(err, ERR_IO, "no memory for the buffer of the store");
	if (!w->pack && store_start_pack(s, err))
		return -1;
	/* another thread may have put it meanwhile; only writers change the table, and they have the lock */
	if (pack_find(w->pack, &h->id))
		return 0;
	size_t total = sizeof(*h) + (size_t)h->stored;
	uint64_t offset = w->flushed + w->len;
	h->header_crc = record_crc(w->pack, offset, h);
	if (h->stored >= DIRECT) {
		struct iovec iov[3] = { { w->buf, w->len }, { h, sizeof(*h) }, { (void *)(uintptr_t)body, h->stored } };
		if (write_out(s, iov, 3, err))
			return -1;
		w->len = 0;
	} else {
		if (w->len + total > BUFFER && flush(s, err))
			return -1;
		memcpy(w->buf + w->len, h, sizeof(*h));
		if (h->stored)
			memcpy(w->buf + w->len + sizeof(*h), body, h->stored);
		w->len += total;
	}
	w->dirty = true;
	struct idx_entry e = {
		.id = h->id, .offset = (uint32_t)offset, .plain = h->plain, .stored = h->stored, .kind = h->kind, .flags = h->flags
	};
	pthread_rwlock_wrlock(&s->lists);
	pack_insert(w->pack, &e);
	w->pack->scanned = w->flushed + w->len;
	pthread_rwlock_unlock(&s->lists);
	return w->pack->scanned >= PACK_LIMIT || w->pack->n >= PACK_OBJECTS ? finish_pack(s, err) : 0;
}

int store_append(struct store *s, const struct record_header *h, const void *body, struct err *err)
{
	struct record_header copy = *h;
	copy.magic = RECORD_MAGIC;
	copy.body_crc = crc32c(0, body, h->stored);
	pthread_mutex_lock(&s->put);
	int rc = append_locked(s, &copy, body, err);
	pthread_mutex_unlock(&s->put);
	return rc;
}

static int no_write_open(struct err *err)
{
	return err_set(err, ERR_STATE, "no write is open");
}

/* NOLINTNEXTLINE(readability-function-size): the contract in store.h has seven parameters */
int store_put(struct store *s, enum object_kind kind, const void *data, size_t n, const struct hash *id, struct hash *out,
	struct err *err)
{
	struct hash own;
	if (!atomic_load(&s->w.on))
		return no_write_open(err);
	if (n > OBJECT_MAX)
		return err_set(err, ERR_TOO_LARGE, "an object of %zu bytes is too large (max %zu)", n, OBJECT_MAX);
	if (!id) {
		hash_of(data, n, &own);
		id = &own;
	}
	if (out)
		*out = *id;
	if (store_has(s, id))
		return 0;
	struct codec *c = codec_take(s);
	size_t stored = n;
	const void *packed = codec_compress(c, data, n, &stored);
	struct record_header h = { .plain = (uint32_t)n,
		.stored = (uint32_t)stored,
		.kind = (uint8_t)kind,
		.flags = packed ? RECORD_ZSTD : 0,
		.id = *id };
	int rc = store_append(s, &h, packed ? packed : data, err);
	codec_give(s, c);
	return rc;
}

/* ---- begin and end ---- */

static void let_go(struct store *s)
{
	atomic_store(&s->w.on, false);
	flock(s->lock_fd, LOCK_UN);
}

int store_begin(struct store *s, bool wait, struct err *err)
{
	if (atomic_load(&s->w.on))
		return err_set(err, ERR_STATE, "a write is open already");
	if (store_need_write(s, err) || store_open_lock(s, "lock", &s->lock_fd, err) ||
		store_flock(s, s->lock_fd, LOCK_EX, wait, "writes to", err))
		return -1;
	s->w.failed = s->w.dirty = s->w.new_file = false;
	int rc = store_refresh(s, true, err);
	atomic_store(&s->w.on, true);
	if (!rc && !store_recover(s, err))
		return 0;
	let_go(s);
	return -1;
}

void store_abort(struct store *s)
{
	struct writer *w = &s->w;
	if (!atomic_load(&w->on))
		return;
	label_drop(s);
	pthread_mutex_lock(&s->put);
	w->len = 0;
	if (w->pack && w->dirty) {
		pthread_rwlock_wrlock(&s->lists);
		pack_cut(w->pack, w->durable_n);
		w->pack->scanned = w->durable;
		pthread_rwlock_unlock(&s->lists);
		/* when this fails, the next writer takes it as what a crash left */
		if (w->flushed > w->durable)
			(void)!ftruncate(w->fd, (off_t)w->durable);
		w->flushed = w->pushed = w->durable;
	}
	pthread_mutex_unlock(&s->put);
	let_go(s);
}

int store_checkpoint(struct store *s, struct err *err)
{
	if (!atomic_load(&s->w.on))
		return no_write_open(err);
	pthread_mutex_lock(&s->put);
	int rc = make_durable(s, err);
	pthread_mutex_unlock(&s->put);
	return rc ? rc : label_flush(s, err);
}

int store_end(struct store *s, struct err *err)
{
	if (!atomic_load(&s->w.on))
		return no_write_open(err);
	if (store_checkpoint(s, err)) {
		store_abort(s);
		return -1;
	}
	let_go(s);
	return 0;
}

int store_enter(struct store *s, bool *own, struct err *err)
{
	*own = !atomic_load(&s->w.on);
	return *own ? store_begin(s, true, err) : 0;
}

int store_leave(struct store *s, bool own, int rc, struct err *err)
{
	if (!own)
		return rc;
	if (rc) {
		store_abort(s);
		return rc;
	}
	return store_end(s, err);
}
