/*
 * store: sweeping. What lives in the packs that are to go is appended to the growing pack as it is, made durable, and only then the
 * old files go: a crash in between leaves copies, which the next sweep takes away.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/store/crc.h"
#include "shared/store/store_internal.h"

#define SMALL_PACK ((uint64_t)64 << 20) /* cheap to write again, whatever is dead in it */
enum { DEAD_PERCENT = 20, MANY_SMALL = 8 };

struct sweep {
	struct store *s;
	bool (*keep)(void *arg, const struct hash *id);
	void *arg;
	struct store_swept *out;
	struct codec *codec;
	uint64_t copied;
};
struct plan {
	struct pack *pack;
	uint64_t disk, live_bytes;
	uint32_t live, dead;
	bool rewrite, stays;
};

/* The record as it is, checked. NULL when it is damaged; *h is its head. */
static void *read_raw(struct sweep *w, const struct pack *p, const struct idx_entry *e, struct record_header *h)
{
	void *body = codec_scratch(w->codec, e->stored);
	int fd = body ? pack_fd(w->s, p) : -1;
	bool ok = fd >= 0 && read_at(fd, h, sizeof(*h), e->offset) == sizeof(*h) &&
		read_at(fd, body, e->stored, e->offset + (uint64_t)RECORD_HEADER) == (ssize_t)e->stored;
	pack_fd_done(p, fd);
	ok = ok && record_header_ok(p, e->offset, h) && hash_eq(&h->id, &e->id) && h->stored == e->stored &&
		crc32c(0, body, e->stored) == h->body_crc;
	return ok ? body : NULL;
}

/* Does it live, here? Of several copies the newest does, if it is whole. */
static bool lives(struct sweep *w, size_t at, const struct idx_entry *e)
{
	struct store *s = w->s;
	struct found f;
	struct record_header h;
	size_t first = at;
	if (!w->keep(w->arg, &e->id))
		return false;
	if (s->count == 1 || !store_find_locked(s, &e->id, SIZE_MAX, &f, &first))
		return true;
	bool other = first != at && (store_copy_buffered(s, f.pack, f.e.offset, &h, sizeof(h)) || read_raw(w, f.pack, &f.e, &h));
	pack_unref(f.pack);
	return !other;
}

static uint64_t disk_of(struct store *s, const struct pack *p)
{
	static const char *const suffixes[] = { "pack", "idx" };
	uint64_t total = 0;
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char name[32];
		struct stat st;
		pack_file_name(p->number, suffixes[i], name);
		if (!fstatat(s->packs_fd, name, &st, 0))
			total += (uint64_t)st.st_size;
	}
	return total;
}

static void make_plan(struct sweep *w, struct plan *plans, size_t n)
{
	size_t small = 0;
	for (size_t i = 0; i < n; i++) {
		struct plan *l = &plans[i];
		l->pack = w->s->packs[i];
		l->disk = disk_of(w->s, l->pack);
		for (uint32_t j = 0; j < l->pack->n; j++) {
			bool alive = lives(w, i, &l->pack->v[j]);
			l->live += alive;
			l->dead += !alive;
			l->live_bytes += alive ? RECORD_HEADER + (uint64_t)l->pack->v[j].stored : 0;
		}
		uint64_t dead_bytes = l->disk > l->live_bytes ? l->disk - l->live_bytes : 0;
		l->rewrite = l->dead && (l->disk < SMALL_PACK || !l->live || dead_bytes * 100 >= l->disk * DEAD_PERCENT);
		small += l->pack->sealed && l->disk < SMALL_PACK && !l->rewrite;
	}
	for (size_t i = 0; i < n && small >= MANY_SMALL; i++)
		plans[i].rewrite = plans[i].rewrite || (plans[i].pack->sealed && plans[i].disk < SMALL_PACK);
}

static int by_offset(const void *a, const void *b)
{
	const struct idx_entry *x = a, *y = b;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

static int copy_live(struct sweep *w, size_t at, struct plan *l, struct err *err)
{
	uint32_t n = l->pack->n;
	auto_free struct idx_entry *v = mem_array(n, sizeof(*v));
	if (n) {
		memcpy(v, l->pack->v, (size_t)n * sizeof(*v));
		qsort(v, n, sizeof(*v), by_offset);
	}
	for (uint32_t i = 0; i < n; i++) {
		struct record_header h;
		if (!lives(w, at, &v[i]))
			continue;
		const void *body = read_raw(w, l->pack, &v[i], &h);
		if (!body) {
			/* a damaged object that lives: leave the pack for whoever can mend it */
			l->stays = true;
			return 0;
		}
		if (store_append(w->s, &h, body, err))
			return -1;
		w->copied += RECORD_HEADER + (uint64_t)h.stored;
	}
	return 0;
}

static int remove_files(struct store *s, const struct pack *p, struct err *err)
{
	static const char *const suffixes[] = { "idx", "pack" };
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char name[32];
		pack_file_name(p->number, suffixes[i], name);
		if (unlinkat(s->packs_fd, name, 0) && errno != ENOENT)
			return err_sys(err, errno, "cannot remove '%s' of '%s'", name, s->path);
	}
	return 0;
}

/* What killed writers left. */
static void clean_tmp(struct store *s)
{
	int fd = openat(s->dir_fd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	while (d && (e = readdir(d)) != NULL) /* NOLINT(concurrency-mt-unsafe): the stream is ours */
		if (!strncmp(e->d_name, "idx-", 4))
			unlinkat(fd, e->d_name, 0);
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
}

/* Nothing is appended to a pack that goes, and numbers only grow: whoever knows an old one never takes a new one for it. */
static int leave_growing(struct store *s, const struct plan *plans, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (!plans[i].rewrite || (plans[i].pack != s->w.pack && i + 1 != n))
			continue;
		if (store_checkpoint(s, err))
			return -1;
		if (s->w.fd >= 0)
			close(s->w.fd);
		s->w.fd = -1;
		s->w.pack = NULL;
		return store_start_pack(s, err);
	}
	return 0;
}

static int carry_out(struct sweep *w, struct plan *plans, size_t n, struct err *err)
{
	struct store *s = w->s;
	if (leave_growing(s, plans, n, err))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (plans[i].rewrite && copy_live(w, i, &plans[i], err))
			return -1;
	if (store_checkpoint(s, err))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (plans[i].rewrite && !plans[i].stays && remove_files(s, plans[i].pack, err))
			return -1;
	if (fsync(s->packs_fd))
		return err_sys(err, errno, "cannot sync the packs of '%s'", s->path);
	clean_tmp(s);
	return 0;
}

static void count(const struct sweep *w, const struct plan *plans, size_t n, bool dry)
{
	uint64_t gone = 0, stay = w->copied;
	for (size_t i = 0; i < n; i++) {
		bool goes = plans[i].rewrite && !plans[i].stays;
		w->out->kept += plans[i].live + (goes ? 0 : plans[i].dead);
		w->out->removed += goes ? plans[i].dead : 0;
		gone += goes ? plans[i].disk : 0;
		stay += goes && dry ? plans[i].live_bytes : 0;
	}
	w->out->freed = gone > stay ? gone - stay : 0;
}

static int sweep(struct sweep *w, bool dry, struct err *err)
{
	size_t n = w->s->count;
	auto_free struct plan *plans = mem_array(n, sizeof(*plans));
	make_plan(w, plans, n);
	int rc = dry ? 0 : carry_out(w, plans, n, err);
	if (!rc)
		count(w, plans, n, dry);
	return rc;
}

/* NOLINTNEXTLINE(readability-function-size): the contract in store.h has seven parameters */
int store_sweep(struct store *s, bool (*keep)(void *arg, const struct hash *id), void *arg, bool dry, bool wait,
	struct store_swept *out, struct err *err)
{
	struct sweep w = { .s = s, .keep = keep, .arg = arg, .out = out };
	bool own_gc = !dry && !s->gc, own = false;
	*out = (struct store_swept){ 0 };
	if (own_gc && store_gc_lock(s, wait, err))
		return -1;
	int rc = dry ? store_refresh(s, true, err) : store_enter(s, &own, err);
	if (!rc) {
		w.codec = codec_take(s);
		rc = sweep(&w, dry, err);
		codec_give(s, w.codec);
		if (!dry)
			rc = store_leave(s, own, rc, err);
	}
	if (!rc && !dry)
		rc = store_refresh(s, true, err);
	if (own_gc)
		store_gc_unlock(s);
	return rc;
}
