/* tree: new content. The chunk that is coming in waits until its end is known; a chunk whose beginning and end come in one piece
 * is taken from where it is. */
#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/store/chunk.h"
#include "shared/store/tree_internal.h"

#define WAITING_FIRST ((size_t)4096)
#define STEP ((size_t)128 << 10) /* copied before a look for the end of the chunk: what is behind it was copied for nothing */

struct tree_file {
	struct store *s;
	uint32_t mode;
	uint64_t size;
	uint8_t *waiting; /* the beginning of a chunk, less than CHUNK_MAX */
	size_t len, room;
	struct chunk_scan scan; /* of it */
	struct buf ids;
	uint64_t zero_tail; /* so many bytes at the end of what waits are zeros that tree_file_zeros gave (or more) */
	size_t zero_cut;    /* a long run of zeros is cut into chunks of so many bytes (0: not known yet) with this id */
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

static int put_chunk(struct tree_file *f, const uint8_t *p, size_t n, struct err *err)
{
	struct hash id;
	hash_of(p, n, &id);
	f->scan = (struct chunk_scan){ 0 };
	return store_put(f->s, OBJECT_CHUNK, p, n, &id, NULL, err) != 0 ? -1 : add_id(f, &id, err);
}

static void wait_for_more(struct tree_file *f, const uint8_t *p, size_t n)
{
	if (f->len + n > f->room) {
		size_t room = f->room ? f->room : WAITING_FIRST;
		while (room < f->len + n)
			room *= 2;
		f->waiting = mem_grow(f->waiting, room, 1);
		f->room = room;
	}
	memcpy(f->waiting + f->len, p, n);
	f->len += n;
}

/* Some bytes behind those that wait. *took: how many are done with. */
static int add_waiting(struct tree_file *f, const uint8_t *p, size_t n, size_t *took, struct err *err)
{
	size_t before = f->len, take = n < STEP ? n : STEP;
	if (take > CHUNK_MAX - before)
		take = CHUNK_MAX - before;
	wait_for_more(f, p, take);
	*took = take;
	size_t cut = chunk_scan(&f->scan, f->waiting, f->len);
	if (!cut)
		return 0;
	if (put_chunk(f, f->waiting, cut, err) != 0)
		return -1;
	if (cut >= before) {
		*took = cut - before;
		f->len = 0;
	} else {
		/* Bytes are looked at in pairs: one that had no partner yet may be behind the cut. */
		memmove(f->waiting, f->waiting + cut, f->len - cut);
		f->len -= cut;
	}
	return 0;
}

int tree_file_add(struct tree_file *f, const void *data, size_t n, struct err *err)
{
	const uint8_t *p = data;
	f->size += n;
	f->zero_tail = n ? 0 : f->zero_tail;
	while (n) {
		size_t took = 0;
		if (f->len) {
			if (add_waiting(f, p, n, &took, err) != 0)
				return -1;
		} else {
			took = chunk_scan(&f->scan, p, n);
			if (took && put_chunk(f, p, took, err) != 0)
				return -1;
			if (!took) {
				wait_for_more(f, p, n);
				took = n;
			}
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
	auto_free uint8_t *zeros = mem_zalloc(CHUNK_MAX); /* untouched pages: the kernel's one zero page */
	size_t cut = chunk_cut(zeros, CHUNK_MAX);
	hash_of(zeros, cut, &f->zero_id);
	if (store_put(f->s, OBJECT_CHUNK, zeros, cut, &f->zero_id, NULL, err) != 0)
		return -1;
	f->zero_cut = cut;
	return 0;
}

static int add_zeros(struct tree_file *f, uint64_t n, struct err *err)
{
	static const uint8_t zeros[65536];
	uint64_t tail = f->zero_tail + n;
	for (size_t take; n; n -= take) {
		take = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);
		if (tree_file_add(f, zeros, take, err) != 0)
			return -1;
	}
	f->zero_tail = tail;
	return 0;
}

int tree_file_zeros(struct tree_file *f, uint64_t n, struct err *err)
{
	/* What waits may have other bytes in front: give zeros until the chunk with the last of them is done. */
	while (n && f->zero_tail < f->len) {
		uint64_t take = n < STEP ? n : STEP;
		if (add_zeros(f, take, err) != 0)
			return -1;
		n -= take;
	}
	if (n < CHUNK_MAX)
		return add_zeros(f, n, err);
	if (learn_zeros(f, err) != 0)
		return -1;
	uint64_t run = f->len + n;
	f->size += n;
	for (; run >= CHUNK_MAX; run -= f->zero_cut) {
		if (add_id(f, &f->zero_id, err) != 0)
			return -1;
	}
	/* What is left begins a chunk. */
	f->len = 0;
	f->scan = (struct chunk_scan){ 0 };
	f->size -= run;
	f->zero_tail = 0;
	return add_zeros(f, run, err);
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
	if (f->len && put_chunk(f, f->waiting, f->len, err) != 0)
		return -1;
	f->len = 0;
	size_t chunks = f->ids.len / HASH_LEN;
	entry->chunked = true;
	entry->chunks = (uint32_t)chunks;
	entry->data = (const uint8_t *)f->ids.p;
	return 0;
}
