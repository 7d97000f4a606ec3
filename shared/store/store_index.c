/* store: packs and their indexes. A full pack's index is sorted and mapped; the growing one's is read into a table. */
#include "shared/store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/crc.h"

void pack_file_name(uint32_t number, const char *suffix, char out[32])
{
	snprintf(out, 32, "%u.%s", number, suffix);
}

void pack_unref(struct pack *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	if (p->fd >= 0)
		close(p->fd);
	if (p->mapped)
		munmap((void *)(uintptr_t)p->head, p->mapped);
	else
		free((void *)(uintptr_t)p->head);
	free(p->own);
	free(p->table);
	free(p);
}

int pack_fd(struct store *s, const struct pack *p)
{
	if (p->fd >= 0)
		return p->fd;
	char name[32];
	pack_file_name(p->number, "pack", name);
	return openat(s->packs_fd, name, O_RDONLY | O_CLOEXEC);
}

void pack_fd_done(const struct pack *p, int fd)
{
	if (fd >= 0 && fd != p->fd)
		close(fd);
}

bool pack_entry_sane(const struct idx_entry *e)
{
	return e->offset >= FILE_HEADER && e->plain <= OBJECT_MAX && e->stored <= OBJECT_MAX && e->stored <= e->plain;
}

/* ---- the sorted index ---- */

static bool sorted_sane(const struct sort_head *h, size_t size)
{
	if (h->fanout_crc != crc32c(0, h->fanout, sizeof(h->fanout)) || h->h.count != h->fanout[255] ||
		size != sizeof(*h) + (size_t)h->h.count * sizeof(struct idx_entry))
		return false;
	for (int i = 1; i < 256; i++)
		if (h->fanout[i - 1] > h->fanout[i])
			return false;
	return true;
}

/* 0: mapped; 1: there is no good sorted index; -1 err. */
static int map_sorted(struct store *s, struct pack *p, struct err *err)
{
	char name[32];
	struct stat st;
	pack_file_name(p->number, "idx", name);
	auto_fd int fd = openat(s->packs_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || st.st_size < (off_t)sizeof(struct sort_head))
		return 1;
	size_t size = (size_t)st.st_size;
	struct file_header h;
	if (read_at(fd, &h, sizeof(h), 0) != sizeof(h))
		return 1;
	int rc = file_header_check(&h, SORT_MAGIC, name, err);
	if (rc || h.nonce != p->nonce)
		return rc ? rc : 1;
	/* it is only ever replaced by rename, never cut */
	void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return 1;
	if (!sorted_sane(map, size)) {
		munmap(map, size);
		return 1;
	}
	p->head = map;
	p->mapped = size;
	p->v = (const struct idx_entry *)(p->head + 1);
	p->n = h.count;
	p->sealed = true;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct idx_entry *x = a, *y = b;
	int c = hash_cmp(&x->id, &y->id);
	return c ? c : (x->offset > y->offset) - (x->offset < y->offset);
}

struct sort_head *sort_build(const struct pack *p, const struct idx_entry *v, uint32_t n, uint64_t end, size_t *size)
{
	*size = sizeof(struct sort_head) + (size_t)n * sizeof(*v);
	struct sort_head *h = mem_try(*size);
	if (!h)
		return NULL;
	memset(h, 0, sizeof(*h));
	struct idx_entry *out = (struct idx_entry *)(h + 1);
	if (n) {
		memcpy(out, v, (size_t)n * sizeof(*v));
		qsort(out, n, sizeof(*out), by_id);
	}
	for (uint32_t i = 0; i < n; i++)
		h->fanout[out[i].id.b[0]]++;
	for (int i = 1; i < 256; i++)
		h->fanout[i] += h->fanout[i - 1];
	file_header_fill(&h->h, SORT_MAGIC, p->number, p->nonce);
	h->h.count = n;
	h->h.end = (uint32_t)end;
	h->h.crc = crc32c(0, &h->h, offsetof(struct file_header, crc));
	h->fanout_crc = crc32c(0, h->fanout, sizeof(h->fanout));
	h->entries_crc = crc32c(0, out, (size_t)n * sizeof(*out));
	return h;
}

void pack_take_sorted(struct pack *p, struct sort_head *head)
{
	if (p->mapped)
		munmap((void *)(uintptr_t)p->head, p->mapped);
	else
		free((void *)(uintptr_t)p->head);
	free(p->own);
	free(p->table);
	p->own = NULL;
	p->table = NULL;
	p->mapped = 0;
	p->head = head;
	p->v = (const struct idx_entry *)(head + 1);
	p->n = head->h.count;
	p->sealed = p->checked = p->loaded = true;
}

int pack_verify_index(struct store *s, struct pack *p)
{
	if (!p->sealed || p->checked)
		return 0;
	p->checked = true;
	if (p->head->entries_crc == crc32c(0, p->v, (size_t)p->n * sizeof(*p->v)))
		return 0;
	struct pack fresh = { .number = p->number, .nonce = p->nonce, .fd = p->fd, .loaded = true, .scanned = FILE_HEADER };
	size_t size;
	struct sort_head *h = NULL;
	if (!pack_scan_tail(s, &fresh, NULL))
		h = sort_build(&fresh, fresh.v, fresh.n, fresh.scanned, &size);
	free(fresh.own);
	free(fresh.table);
	if (h)
		pack_take_sorted(p, h);
	return h != NULL;
}

static const struct idx_entry *find_sorted(const struct pack *p, const struct hash *id)
{
	uint32_t lo = id->b[0] ? p->head->fanout[id->b[0] - 1] : 0, hi = p->head->fanout[id->b[0]];
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int c = hash_cmp(&p->v[mid].id, id);
		if (!c)
			return &p->v[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* ---- the growing one ---- */

/* Whoever sends objects can choose ids that begin alike: the pack's secret nonce spreads them. */
static uint32_t slot_of(const struct pack *p, const struct hash *id)
{
	uint64_t w[2];
	memcpy(w, id->b + 8, sizeof(w));
	unsigned __int128 m = (unsigned __int128)(w[0] ^ p->nonce) * (w[1] ^ ~p->nonce);
	return ((uint32_t)m ^ (uint32_t)(m >> 64)) & p->mask;
}

static void table_put(struct pack *p, uint32_t position)
{
	uint32_t at = slot_of(p, &p->own[position].id);
	while (p->table[at])
		at = (at + 1) & p->mask;
	p->table[at] = position + 1;
}

static void table_build(struct pack *p, uint32_t room)
{
	uint32_t size = 1024;
	while (size < room * 2)
		size *= 2;
	free(p->table);
	p->table = mem_array(size, sizeof(*p->table));
	p->mask = size - 1;
	for (uint32_t i = 0; i < p->n; i++)
		table_put(p, i);
}

void pack_insert(struct pack *p, const struct idx_entry *e)
{
	if (p->n == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 512;
		p->own = mem_grow(p->own, p->cap, sizeof(*p->own));
		p->v = p->own;
	}
	p->own[p->n++] = *e;
	if (!p->table || p->n * 2 > p->mask + 1)
		table_build(p, p->cap);
	else
		table_put(p, p->n - 1);
}

void pack_cut(struct pack *p, uint32_t n)
{
	if (n < p->n) {
		p->n = n;
		table_build(p, p->cap);
	}
}

const struct idx_entry *pack_find(const struct pack *p, const struct hash *id)
{
	if (p->sealed)
		return find_sorted(p, id);
	if (!p->table)
		return NULL;
	for (uint32_t at = slot_of(p, id); p->table[at]; at = (at + 1) & p->mask)
		if (hash_eq(&p->own[p->table[at] - 1].id, id))
			return &p->own[p->table[at] - 1];
	return NULL;
}

/* Take the entries that are whole and follow each other; what is after the first bad one is found in the pack itself. */
static void take_entries(struct pack *p, const struct grow_entry *g, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct idx_entry *e = &g[i].e;
		if (g[i].crc != crc32c(0, e, sizeof(*e)) || !pack_entry_sane(e) || e->offset < p->idx_covers) {
			p->idx_bad = true;
			return;
		}
		p->idx_covers = e->offset + RECORD_HEADER + (uint64_t)e->stored;
		p->idx_end += sizeof(*g);
		pack_insert(p, e);
	}
}

static void load_entries(struct pack *p, int fd, uint64_t size)
{
	enum { BATCH = 1024 };
	struct grow_entry *g = mem_array(BATCH, sizeof(*g));
	while (!p->idx_bad && p->idx_end + sizeof(*g) <= size) {
		size_t n = (size_t)((size - p->idx_end) / sizeof(*g));
		ssize_t r = read_at(fd, g, (n < BATCH ? n : BATCH) * sizeof(*g), p->idx_end);
		if (r < (ssize_t)sizeof(*g))
			break;
		take_entries(p, g, (size_t)r / sizeof(*g));
	}
	free(g);
}

/* Read what the index has more than last time. An index that is not there, or not ours, is as an empty one. */
int pack_load(struct store *s, struct pack *p, struct err *err)
{
	char name[32];
	struct stat st;
	struct file_header h;
	pack_file_name(p->number, "idx", name);
	auto_fd int fd = openat(s->packs_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || st.st_size < FILE_HEADER) {
		p->loaded = true;
		return 0;
	}
	/* entries that were found in the pack only are forgotten: the index has them now, or whoever wrote them gave up */
	if (p->n > p->indexed && (uint64_t)st.st_size > p->idx_end) {
		pack_cut(p, p->indexed);
		p->scanned = p->idx_covers;
	}
	if (!p->idx_end) {
		if (read_at(fd, &h, sizeof(h), 0) != sizeof(h))
			return err_sys(err, errno, "cannot read the index of pack %u", p->number);
		int rc = file_header_check(&h, GROW_MAGIC, name, err);
		if (rc < 0)
			return -1;
		p->idx_bad = rc || h.nonce != p->nonce;
		p->idx_end = p->idx_bad ? 0 : FILE_HEADER;
	}
	if (!p->idx_bad && p->n == p->indexed) {
		load_entries(p, fd, (uint64_t)st.st_size);
		p->indexed = p->n;
	}
	p->scanned = p->scanned > p->idx_covers ? p->scanned : p->idx_covers;
	p->loaded = true;
	return 0;
}

/* Records that the index does not have (yet): their headers only, since reading an object checks it. */
int pack_scan_tail(struct store *s, struct pack *p, struct err *err)
{
	struct stat st;
	int fd = pack_fd(s, p);
	if (fd < 0 || fstat(fd, &st)) {
		err_sys(err, errno, "cannot read pack %u", p->number);
		pack_fd_done(p, fd);
		return -1;
	}
	struct scan sc;
	enum scan_kind kind = SCAN_END;
	scan_init(&sc, p, fd, p->scanned, (uint64_t)st.st_size, false);
	int rc = 0;
	bool news = p->scanned < (uint64_t)st.st_size && p->looked != (uint64_t)st.st_size;
	p->looked = (uint64_t)st.st_size;
	while (news && !(rc = scan_next(&sc, &kind, err)) && kind != SCAN_END && kind != SCAN_TORN) {
		struct idx_entry e = scan_entry(&sc);
		if (kind == SCAN_RECORD && pack_entry_sane(&e))
			pack_insert(p, &e);
		/* a gap at the end may be a record that is being written: look again next time */
		if (kind == SCAN_RECORD)
			p->scanned = sc.pos;
	}
	scan_free(&sc);
	pack_fd_done(p, fd);
	return rc;
}

/* ---- opening ---- */

static struct pack *pack_alloc(uint32_t number)
{
	struct pack *p = mem_zalloc(sizeof(*p));
	p->number = number;
	p->fd = -1;
	p->scanned = p->idx_covers = FILE_HEADER;
	atomic_init(&p->refs, 1);
	return p;
}

struct pack *pack_open(struct store *s, uint32_t number, struct err *err)
{
	struct pack *p = pack_alloc(number);
	char name[32];
	struct stat st = { 0 };
	struct file_header h = { 0 };
	pack_file_name(number, "pack", name);
	int fd = openat(s->packs_fd, name, O_RDONLY | O_CLOEXEC);
	int rc = -1;
	if (fd < 0 || fstat(fd, &st)) {
		err_sys(err, errno, "cannot open pack %u of '%s'", number, s->path);
	} else {
		ssize_t got = read_at(fd, &h, sizeof(h), 0);
		rc = got == FILE_HEADER ? file_header_check(&h, PACK_MAGIC, name, err)
			: got < 0	? err_sys(err, errno, "cannot read pack %u", number)
					: 1;
	}
	p->inode = st.st_ino;
	p->nonce = rc ? 0 : h.nonce;
	/* of a pack with a damaged head the index still tells the nonce, so that its records can be told from copies */
	p->head_bad = rc == 1 && st.st_size >= FILE_HEADER;
	if (rc == 1) {
		char idx[32];
		pack_file_name(number, "idx", idx);
		auto_fd int ifd = openat(s->packs_fd, idx, O_RDONLY | O_CLOEXEC);
		struct file_header ih;
		if (ifd >= 0 && read_at(ifd, &ih, sizeof(ih), 0) == sizeof(ih) &&
			ih.crc == crc32c(0, &ih, offsetof(struct file_header, crc)))
			p->nonce = ih.nonce;
		rc = 0;
	}
	if (!rc)
		rc = map_sorted(s, p, err);
	p->fd = s->count < EAGER_PACKS ? fd : -1;
	if (fd >= 0 && p->fd < 0)
		close(fd);
	if (rc >= 0)
		return p;
	pack_unref(p);
	return NULL;
}

struct pack *pack_new(struct store *s, uint32_t number, struct err *err)
{
	struct pack *p = pack_alloc(number);
	struct stat st;
	char name[32];
	pack_file_name(number, "pack", name);
	p->fd = openat(s->packs_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (p->fd < 0 || fstat(p->fd, &st)) {
		err_sys(err, errno, "cannot make pack %u of '%s'", number, s->path);
		pack_unref(p);
		return NULL;
	}
	p->inode = st.st_ino;
	rand_bytes(&p->nonce, sizeof(p->nonce));
	p->loaded = true;
	return p;
}
