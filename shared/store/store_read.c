/* store: reading. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/store/store_internal.h"

enum { COPIES = 4 };

bool store_has(struct store *s, const struct hash *id)
{
	struct found f;
	if (!store_find(s, id, &f))
		return false;
	pack_unref(f.pack);
	return true;
}

static int not_found(const struct hash *id, struct err *err)
{
	char hex[HASH_HEX + 1];
	return err_set(err, ERR_NOT_FOUND, "object '%s' is not in the store", hash_hex(id, hex));
}

int store_stat(struct store *s, const struct hash *id, struct store_info *out, struct err *err)
{
	struct found f;
	if (!store_find(s, id, &f))
		return not_found(id, err);
	*out = (struct store_info){
		.kind = (enum object_kind)f.e.kind, .size = f.e.plain, .stored = RECORD_HEADER + (uint64_t)f.e.stored
	};
	pack_unref(f.pack);
	return 0;
}

/* Header and body in one call, from the file or from what is not there yet. */
static int read_record(struct store *s, const struct found *f, struct record_header *h, void *body, struct err *err)
{
	if (store_copy_buffered(s, f->pack, f->e.offset, h, sizeof(*h)))
		return store_copy_buffered(s, f->pack, f->e.offset + RECORD_HEADER, body, f->e.stored) ? 0 : 1;
	int fd = pack_fd(s, f->pack);
	if (fd < 0)
		return err_sys(err, errno, "cannot open pack %u of '%s'", f->pack->number, s->path);
	struct iovec iov[2] = { { h, sizeof(*h) }, { body, f->e.stored } };
	size_t want = sizeof(*h) + (size_t)f->e.stored;
	ssize_t got;
	do {
		got = preadv(fd, iov, 2, f->e.offset);
	} while (got < 0 && errno == EINTR);
	/* a short read is rare, but allowed */
	if (got >= 0 && (size_t)got < want && read_at(fd, h, sizeof(*h), f->e.offset) == sizeof(*h)) {
		ssize_t rest = read_at(fd, body, f->e.stored, f->e.offset + (uint64_t)RECORD_HEADER);
		got = rest < 0 ? -1 : rest + RECORD_HEADER;
	}
	int rc = got == (ssize_t)want ? 0 : 1;
	if (got < 0 && errno != EIO)
		rc = err_sys(err, errno, "cannot read pack %u of '%s'", f->pack->number, s->path);
	pack_fd_done(f->pack, fd);
	return rc;
}

/* The object's bytes at dst, checked. 1 when they are damaged. */
static int read_checked(struct store *s, const struct found *f, struct codec *c, void *dst, struct err *err)
{
	struct record_header h;
	const struct idx_entry *e = &f->e;
	bool packed = e->flags & RECORD_ZSTD;
	void *body = packed ? codec_scratch(c, e->stored) : dst;
	if (!body)
		return err_set(err, ERR_IO, "no memory for an object of %u bytes", e->stored);
	if (!packed && e->stored != e->plain)
		return 1;
	int rc = read_record(s, f, &h, body, err);
	if (rc)
		return rc;
	if (h.magic != RECORD_MAGIC || !hash_eq(&h.id, &e->id) || h.plain != e->plain || h.stored != e->stored ||
		h.flags != e->flags)
		return 1;
	if (packed && !codec_expand(c, body, e->stored, dst, e->plain))
		return 1;
	struct hash is;
	hash_of(dst, e->plain, &is);
	return !hash_eq(&is, &e->id);
}

static int read_copy(struct store *s, const struct found *f, struct buf *out, struct err *err)
{
	void *dst = buf_reserve(out, f->e.plain);
	if (!dst)
		return err_set(err, ERR_IO, "no memory for an object of %u bytes", f->e.plain);
	struct codec *c = codec_take(s);
	int rc = read_checked(s, f, c, dst, err);
	codec_give(s, c);
	if (!rc)
		buf_commit(out, f->e.plain);
	else
		out->p[out->len] = '\0';
	return rc > 0 ? store_damaged(err, f) : rc;
}

/* Any whole copy will do. 0, -1 with err, 1 there is none. */
static int get_now(struct store *s, const struct hash *id, struct buf *out, struct err *err)
{
	struct found f[COPIES];
	size_t n = 0, at = SIZE_MAX;
	pthread_rwlock_rdlock(&s->lists);
	while (n < COPIES && store_find_locked(s, id, at, &f[n], &at))
		n++;
	pthread_rwlock_unlock(&s->lists);
	int rc = 1;
	for (size_t i = 0; i < n; i++) {
		if (rc)
			rc = read_copy(s, &f[i], out, err);
		pack_unref(f[i].pack);
	}
	return rc;
}

int store_get(struct store *s, const struct hash *id, struct buf *out, struct err *err)
{
	int rc = get_now(s, id, out, err);
	if (rc == 1) {
		struct found f;
		if (!store_find(s, id, &f))
			return not_found(id, err);
		pack_unref(f.pack);
		rc = get_now(s, id, out, err);
	}
	/* the index may be wrong, or another process has taken back what it had begun to write */
	if (rc && !store_recheck(s, NULL))
		rc = get_now(s, id, out, err);
	return rc == 1 ? not_found(id, err) : rc;
}

/* ---- many ---- */

/* See all: growing packs read to their ends. */
static int look_at_all(struct store *s, struct err *err)
{
	if (atomic_load(&s->w.on))
		return 0;
	if (store_refresh(s, false, err))
		return -1;
	pthread_rwlock_wrlock(&s->lists);
	for (size_t i = 0; i < s->count; i++) {
		pack_verify_index(s, s->packs[i]);
		if (!s->packs[i]->sealed && s->packs[i]->nonce && !s->packs[i]->gone)
			(void)pack_scan_tail(s, s->packs[i], NULL);
	}
	pthread_rwlock_unlock(&s->lists);
	return 0;
}

/* Copies of the entries that pass, so that callbacks may do what they like with the store. Only the copy that reads would take. */
static struct idx_entry *snapshot(struct store *s, const uint8_t *prefix, const uint8_t *mask, size_t *n)
{
	struct idx_entry *v = NULL;
	size_t cap = 0;
	*n = 0;
	pthread_rwlock_rdlock(&s->lists);
	for (size_t i = 0; i < s->count; i++) {
		const struct pack *p = s->packs[i];
		for (uint32_t j = 0; j < p->n && !p->gone; j++) {
			size_t at = i;
			bool pass = true;
			for (size_t k = 0; prefix && pass && k < HASH_LEN && mask[k]; k++)
				pass = (p->v[j].id.b[k] & mask[k]) == prefix[k];
			if (!pass || (s->count > 1 && store_find_locked(s, &p->v[j].id, SIZE_MAX, NULL, &at) && at != i))
				continue;
			if (*n == cap) {
				cap = cap ? cap * 2 : 1024;
				v = mem_grow(v, cap, sizeof(*v));
			}
			v[(*n)++] = p->v[j];
		}
	}
	pthread_rwlock_unlock(&s->lists);
	return v;
}

static int nibble_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int store_prefix(struct store *s, const char *hex, int (*each)(void *arg, const struct hash *id), void *arg)
{
	uint8_t prefix[HASH_LEN] = { 0 }, mask[HASH_LEN] = { 0 };
	size_t len = strlen(hex), n = 0;
	if (len < 4 || len > HASH_HEX)
		return 0;
	for (size_t i = 0; i < len; i++) {
		int v = nibble_of(hex[i]);
		if (v < 0)
			return 0;
		prefix[i / 2] |= (uint8_t)(v << (i % 2 ? 0 : 4));
		mask[i / 2] |= i % 2 ? 0x0f : 0xf0;
	}
	if (look_at_all(s, NULL))
		return 0;
	auto_free struct idx_entry *v = snapshot(s, prefix, mask, &n);
	int rc = 0;
	for (size_t i = 0; i < n && !rc; i++)
		rc = each(arg, &v[i].id);
	return rc;
}

int store_each(
	struct store *s, int (*each)(void *arg, const struct hash *id, const struct store_info *info), void *arg, struct err *err)
{
	size_t n = 0;
	if (look_at_all(s, err))
		return -1;
	auto_free struct idx_entry *v = snapshot(s, NULL, NULL, &n);
	int rc = 0;
	for (size_t i = 0; i < n && !rc; i++) {
		struct store_info info = {
			.kind = (enum object_kind)v[i].kind, .size = v[i].plain, .stored = RECORD_HEADER + (uint64_t)v[i].stored
		};
		rc = each(arg, &v[i].id, &info);
	}
	return rc;
}
