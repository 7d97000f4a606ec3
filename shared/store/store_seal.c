/* store: what a writer does to packs and indexes beyond appending: mending them after a crash, bringing an index up to date,
 * sealing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/crc.h"
#include "shared/store/store_internal.h"

/* Entries [from, p->n) as the index file has them, after its head when it is new. */
static void render_entries(const struct pack *p, uint32_t from, bool head, struct buf *out)
{
	struct file_header h;
	if (head) {
		file_header_fill(&h, GROW_MAGIC, p->number, p->nonce);
		buf_add(out, &h, sizeof(h));
	}
	for (uint32_t i = from; i < p->n; i++) {
		struct grow_entry g = { .e = p->v[i], .crc = crc32c(0, &p->v[i], sizeof(p->v[i])) };
		buf_add(out, &g, sizeof(g));
	}
}

int store_append_index(struct store *s, struct pack *p)
{
	char name[32];
	struct stat st;
	auto_buf text = BUF_INIT;
	pack_file_name(p->number, "idx", name);
	auto_fd int fd = openat(s->packs_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || fstat(fd, &st))
		return -1;
	/* behind what we know (somebody removed it), or with half an entry at its end */
	if ((uint64_t)st.st_size < p->idx_end)
		p->idx_end = 0;
	if ((uint64_t)st.st_size > p->idx_end && ftruncate(fd, (off_t)p->idx_end))
		return -1;
	render_entries(p, p->idx_end ? p->indexed : 0, !p->idx_end, &text);
	if (buf_failed(&text) || pwrite(fd, text.p, text.len, (off_t)p->idx_end) != (ssize_t)text.len)
		return -1;
	p->idx_end += text.len;
	p->indexed = p->n;
	p->idx_bad = false;
	p->idx_covers = FILE_HEADER;
	if (p->n)
		p->idx_covers = p->v[p->n - 1].offset + RECORD_HEADER + (uint64_t)p->v[p->n - 1].stored;
	return 0;
}

/* The index may be lost with the machine's power, since it is not synced: then it is made again. */
static int write_sorted(struct store *s, const struct pack *p, const struct sort_head *h, size_t size, struct err *err)
{
	char unique[9], name[32];
	rand_id(unique, 8);
	auto_free char *tmp = mem_printf("tmp/idx-%u-%s", p->number, unique), *to = NULL;
	pack_file_name(p->number, "idx", name);
	to = mem_printf("packs/%s", name);
	auto_fd int fd = openat(s->dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(err, errno, "cannot write the index of pack %u", p->number);
	int rc = fs_write_all(fd, h, size, err);
	if (rc)
		err_prefix(err, "cannot write the index of pack %u", p->number);
	else if (renameat(s->dir_fd, tmp, s->dir_fd, to))
		rc = err_sys(err, errno, "cannot replace the index of pack %u", p->number);
	if (rc)
		unlinkat(s->dir_fd, tmp, 0);
	return rc;
}

int store_seal(struct store *s, struct pack *p, struct err *err)
{
	size_t size = 0;
	struct sort_head *h = sort_build(p, p->v, p->n, p->scanned, &size);
	if (!h)
		return err_set(err, ERR_IO, "no memory for the index of pack %u", p->number);
	if (write_sorted(s, p, h, size, err)) {
		free(h);
		return -1;
	}
	pthread_rwlock_wrlock(&s->lists);
	pack_take_sorted(p, h);
	pthread_rwlock_unlock(&s->lists);
	return 0;
}

/* ---- mending ---- */

/* A pack whose maker was killed before its head was written: there is nothing in it. */
static int make_head(struct store *s, struct pack *p, int fd, struct err *err)
{
	struct file_header h;
	rand_bytes(&p->nonce, sizeof(p->nonce));
	file_header_fill(&h, PACK_MAGIC, p->number, p->nonce);
	if (ftruncate(fd, 0) || pwrite(fd, &h, sizeof(h), 0) != sizeof(h)) {
		p->nonce = 0;
		return err_sys(err, errno, "cannot write pack %u of '%s'", p->number, s->path);
	}
	p->loaded = true;
	p->idx_bad = true;
	return 0;
}

/* Take in what the index does not have, and cut what is not whole at the end. */
static int mend_tail(struct pack *p, int fd, uint64_t *size, struct err *err)
{
	struct scan sc;
	enum scan_kind kind = SCAN_END;
	uint32_t before = p->n;
	int rc = 0;
	scan_init(&sc, p, fd, p->scanned, *size, true);
	while (!(rc = scan_next(&sc, &kind, err)) && kind != SCAN_END && kind != SCAN_TORN) {
		struct idx_entry e = scan_entry(&sc);
		if (kind != SCAN_RECORD || !pack_entry_sane(&e))
			continue;
		pack_insert(p, &e);
		p->scanned = sc.pos;
	}
	scan_free(&sc);
	if (!rc && kind == SCAN_TORN) {
		*size = sc.at;
		if (ftruncate(fd, (off_t)sc.at))
			rc = err_sys(err, errno, "cannot cut the end of pack %u", p->number);
	}
	/* nobody waited for these to be durable; now something may come to rely on them */
	if (!rc && p->n > before && fdatasync(fd))
		rc = err_sys(err, errno, "cannot sync pack %u", p->number);
	return rc;
}

/* Bring a growing pack and its index in order. *size is its length afterwards. */
static int mend(struct store *s, struct pack *p, int fd, uint64_t *size, struct err *err)
{
	if (!p->nonce && !p->head_bad) {
		if (make_head(s, p, fd, err))
			return -1;
		*size = FILE_HEADER;
		s->w.new_file = true;
	}
	/* records that were found as a reader: only their heads were looked at */
	if (p->n > p->indexed)
		pack_cut(p, p->indexed);
	p->scanned = p->idx_covers;
	if (*size < p->idx_covers) {
		/* somebody cut the pack: what is gone must not look as if it were there */
		pack_cut(p, 0);
		p->indexed = 0;
		p->idx_end = 0;
		p->idx_bad = true;
		p->scanned = p->idx_covers = FILE_HEADER;
	}
	if (*size > p->scanned && mend_tail(p, fd, size, err))
		return -1;
	if (p->n > p->indexed || p->idx_bad)
		(void)store_append_index(s, p);
	return 0;
}

static int recover_pack(struct store *s, struct pack *p, bool last, struct err *err)
{
	struct writer *w = &s->w;
	char name[32];
	struct stat st;
	if (p->head_bad && !p->nonce)
		return 0;
	pack_file_name(p->number, "pack", name);
	auto_fd int fd = openat(s->packs_fd, name, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return err_sys(err, errno, "cannot open pack %u of '%s'", p->number, s->path);
	uint64_t size = (uint64_t)st.st_size;
	pthread_rwlock_wrlock(&s->lists);
	int rc = mend(s, p, fd, &size, err);
	pthread_rwlock_unlock(&s->lists);
	if (rc)
		return -1;
	if (!last || p->head_bad || size >= PACK_LIMIT || p->n >= PACK_OBJECTS)
		return store_seal(s, p, err);
	w->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (w->fd < 0)
		return err_sys(err, errno, "cannot open pack %u of '%s'", p->number, s->path);
	w->pack = p;
	w->flushed = w->pushed = w->durable = size;
	w->durable_n = p->n;
	w->len = 0;
	p->scanned = size;
	return 0;
}

int store_recover(struct store *s, struct err *err)
{
	struct writer *w = &s->w;
	struct pack *last = s->count ? s->packs[s->count - 1] : NULL;
	struct stat st;
	/* nothing happened since our last write */
	if (w->pack && w->pack == last && !fstat(w->fd, &st) && (uint64_t)st.st_size == w->durable && w->pack->n == w->durable_n &&
		w->pack->n == w->pack->indexed)
		return 0;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	w->pack = NULL;
	for (size_t i = 0; i < s->count; i++)
		if (!s->packs[i]->sealed && recover_pack(s, s->packs[i], s->packs[i] == last, err))
			return -1;
	return 0;
}
