/* tree: new content. Bytes wait until the longest chunk could be cut from them, so that the cuts are those of the whole file; large
 * pieces are cut where they are. */
#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/store/chunk.h"
#include "shared/store/tree_internal.h"

#define WAITING_MAX (2 * CHUNK_MAX)
#define WAITING_FIRST ((size_t)4096)

struct tree_file {
	struct store *s;
	uint32_t mode;
	uint64_t size;
	uint8_t *waiting; /* [start, len) has no chunk yet */
	size_t start, len, room;
	struct buf ids;
	size_t zero_tail; /* so many bytes at the end of what waits are zeros that tree_file_zeros gave (or more) */
	size_t zero_cut;  /* a long run of zeros is cut into chunks of so many bytes (0: not known yet) with this id */
	struct hash zero_id;
};

struct tree_file *tree_file_new(struct store *s, uint32_t mode)
{
	struct tree_file *f = mem_zalloc(sizeof(*f));
	f->s = s;
	f->mode = mode;
	buf_init(&f->ids);
	return f;
}

void tree_file_free(struct tree_file *f)
{
	if (!f)
		return;
	free(f->waiting);
	buf_free(&f->ids);
	free(f);
}

static int add_id(struct tree_file *f, const struct hash *id, struct err *err)
{
	buf_add(&f->ids, id->b, HASH_LEN);
	return buf_failed(&f->ids) ? err_set(err, ERR_TOO_LARGE, "a file has too many chunks") : 0;
}

/* The first chunk of these bytes; its length, 0 on failure. */
static size_t put_chunk(struct tree_file *f, const uint8_t *p, size_t n, struct err *err)
{
	struct hash id;
	size_t cut = chunk_cut(p, n);
	hash_of(p, cut, &id);
	if (store_put(f->s, OBJECT_CHUNK, p, cut, &id, NULL, err) != 0 || add_id(f, &id, err) != 0)
		return 0;
	return cut;
}

/* Cut off chunks while at least `keep` bytes wait. */
static int cut_waiting(struct tree_file *f, size_t keep, struct err *err)
{
	while (f->len > f->start && f->len - f->start >= keep) {
		size_t cut = put_chunk(f, f->waiting + f->start, f->len - f->start, err);
		if (!cut)
			return -1;
		f->start += cut;
	}
	if (f->start) {
		memmove(f->waiting, f->waiting + f->start, f->len - f->start);
		f->len -= f->start;
		f->start = 0;
	}
	return 0;
}

/* Room for n more bytes that wait; what there is at most when n is more. */
static size_t make_room(struct tree_file *f, size_t n)
{
	size_t want = n < WAITING_MAX - f->len ? f->len + n : WAITING_MAX;
	if (want > f->room) {
		size_t room = f->room ? f->room : WAITING_FIRST;
		while (room < want)
			room *= 2;
		f->waiting = mem_grow(f->waiting, room, 1);
		f->room = room;
	}
	return want - f->len;
}

int tree_file_add(struct tree_file *f, const void *data, size_t n, struct err *err)
{
	const uint8_t *p = data;
	f->size += n;
	f->zero_tail = n ? 0 : f->zero_tail;
	while (n) {
		size_t took;
		if (f->len == 0 && n >= CHUNK_MAX) {
			took = put_chunk(f, p, n, err);
			if (!took)
				return -1;
		} else {
			took = make_room(f, n);
			memcpy(f->waiting + f->len, p, took);
			f->len += took;
			if (f->len == WAITING_MAX && cut_waiting(f, CHUNK_MAX, err) != 0)
				return -1;
		}
		p += took;
		n -= took;
	}
	return 0;
}

/* How long zeros are cut, and the chunk itself into the store. */
static int learn_zeros(struct tree_file *f, struct err *err)
{
	if (f->zero_cut)
		return 0;
	auto_free uint8_t *zeros = mem_zalloc(CHUNK_MAX);
	size_t cut = chunk_cut(zeros, CHUNK_MAX);
	hash_of(zeros, cut, &f->zero_id);
	if (store_put(f->s, OBJECT_CHUNK, zeros, cut, &f->zero_id, NULL, err) != 0)
		return -1;
	f->zero_cut = cut;
	return 0;
}

int tree_file_zeros(struct tree_file *f, uint64_t n, struct err *err)
{
	static const uint8_t zeros[65536];
	/* What waits may have other bytes in front: feed zeros until the chunk with the last of them is cut. */
	while (n && (f->zero_tail < f->len || f->len + n < CHUNK_MAX)) {
		size_t tail = f->zero_tail, take = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);
		if (tree_file_add(f, zeros, take, err) != 0)
			return -1;
		f->zero_tail = tail + take;
		n -= take;
		if (f->zero_tail < f->len && f->len >= CHUNK_MAX && cut_waiting(f, CHUNK_MAX, err) != 0)
			return -1;
	}
	if (!n)
		return 0;
	if (learn_zeros(f, err) != 0)
		return -1;
	uint64_t run = f->len + n;
	f->size += n;
	for (; run >= CHUNK_MAX; run -= f->zero_cut) {
		if (add_id(f, &f->zero_id, err) != 0)
			return -1;
	}
	f->len = 0;
	if (run) {
		make_room(f, (size_t)run);
		memset(f->waiting, 0, (size_t)run);
	}
	f->len = f->zero_tail = (size_t)run;
	return 0;
}

int tree_file_end(struct tree_file *f, struct entry *entry, struct err *err)
{
	*entry = (struct entry){ .mode = f->mode, .size = f->size };
	if (f->size <= OBJECT_INLINE_MAX) {
		entry->data = f->waiting;
		if (f->mode == OBJECT_LINK_MODE) {
			entry->link = f->size ? (const char *)f->waiting : "";
			entry->link_len = (size_t)f->size;
		}
		return 0;
	}
	if (f->mode == OBJECT_LINK_MODE)
		return err_set(err, ERR_TOO_LARGE, "a link target of %llu bytes is too long", (unsigned long long)f->size);
	if (cut_waiting(f, 0, err) != 0)
		return -1;
	size_t chunks = f->ids.len / HASH_LEN;
	entry->chunked = true;
	entry->chunks = (uint32_t)chunks;
	entry->data = (const uint8_t *)f->ids.p;
	return 0;
}
