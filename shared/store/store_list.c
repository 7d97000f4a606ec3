/* store: which packs there are, and in which of them an object is. */
#include "shared/store/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/mem.h"

/* The clock of file times goes in ticks; a folder listed within two of them may change again without showing it. */
enum { TICK_NS = 20 * 1000 * 1000 };

struct numbers {
	uint32_t *v;
	size_t n, cap;
};

/* "12.pack" */
static bool pack_number(const char *name, uint32_t *out)
{
	char *end = NULL;
	if (name[0] < '1' || name[0] > '9')
		return false;
	errno = 0;
	unsigned long v = strtoul(name, &end, 10);
	if (errno || v > UINT32_MAX - 1 || strcmp(end, ".pack") != 0)
		return false;
	*out = (uint32_t)v;
	return true;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static int list_numbers(struct store *s, struct numbers *out, struct err *err)
{
	int fd = openat(s->packs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		err_sys(err, errno, "cannot list the packs of '%s'", s->path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	const struct dirent *e;
	uint32_t number;
	while ((e = readdir(d)) != NULL) { /* NOLINT(concurrency-mt-unsafe): the stream is ours */
		if (!pack_number(e->d_name, &number))
			continue;
		if (out->n == out->cap) {
			out->cap = out->cap ? out->cap * 2 : 64;
			out->v = mem_grow(out->v, out->cap, sizeof(*out->v));
		}
		out->v[out->n++] = number;
	}
	closedir(d);
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), by_number);
	return 0;
}

/* Has another process sealed it, or made its head, since we looked? */
static bool outdated(struct store *s, const struct pack *p)
{
	if (p->sealed)
		return false;
	if (!p->nonce)
		return true;
	char name[32];
	struct file_header h;
	pack_file_name(p->number, "idx", name);
	auto_fd int fd = openat(s->packs_fd, name, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read_at(fd, &h, sizeof(h), 0) == sizeof(h) && !memcmp(h.magic, SORT_MAGIC, sizeof(h.magic));
}

/* Forget a pack; between two writes it may be the one that was appended to. */
static void drop_pack(struct store *s, struct pack *p)
{
	if (p == s->w.pack) {
		s->w.pack = NULL;
		close(s->w.fd);
		s->w.fd = -1;
	}
	pack_unref(p);
}

/* Merge the sorted list of files into the sorted list of packs. */
static int take_list(struct store *s, const struct numbers *now, bool drop, struct err *err)
{
	size_t n = 0, old = 0;
	struct pack **list = mem_array(now->n + s->count, sizeof(struct pack *));
	int rc = 0;
	for (size_t i = 0; i < now->n || old < s->count;) {
		struct pack *p = old < s->count ? s->packs[old] : NULL;
		if (p && (i == now->n || p->number < now->v[i])) {
			/* gc took its files away */
			p->gone = true;
			old++;
			if (drop)
				drop_pack(s, p);
			else
				list[n++] = p;
			continue;
		}
		if (p && p->number == now->v[i]) {
			old++;
			if (outdated(s, p)) {
				drop_pack(s, p);
				p = NULL;
			}
		} else {
			p = NULL;
		}
		struct err why = ERR_INIT;
		if (!p)
			p = pack_open(s, now->v[i], &why);
		if (p)
			list[n++] = p;
		else if (why.sys != ENOENT) {
			rc = -1;
			if (err)
				*err = why;
		}
		i++;
	}
	free(s->packs);
	s->packs = list;
	s->count = n;
	return rc;
}

static bool later_by_tick(const struct timespec *now, const struct timespec *then)
{
	return (now->tv_sec - then->tv_sec) * 1000000000LL + (now->tv_nsec - then->tv_nsec) > TICK_NS;
}

/* List the folder when it changed. */
static int refresh_list(struct store *s, bool drop, struct err *err)
{
	struct stat st;
	struct timespec now;
	bool gone = false;
	if (fstat(s->packs_fd, &st))
		return err_sys(err, errno, "cannot look at the packs of '%s'", s->path);
	for (size_t i = 0; i < s->count; i++)
		gone = gone || s->packs[i]->gone;
	if (s->listed_clean && st.st_mtim.tv_sec == s->listed.tv_sec && st.st_mtim.tv_nsec == s->listed.tv_nsec && !(drop && gone))
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	struct numbers list = { 0 };
	int rc = list_numbers(s, &list, err) || take_list(s, &list, drop, err);
	free(list.v);
	s->listed = st.st_mtim;
	s->listed_clean = !rc && later_by_tick(&now, &st.st_mtim);
	return rc ? -1 : 0;
}

/* Nobody knows better than we what is in it. */
static bool writing(const struct store *s, const struct pack *p)
{
	return p == s->w.pack && atomic_load(&s->w.on);
}

int store_refresh(struct store *s, bool drop, struct err *err)
{
	pthread_rwlock_wrlock(&s->lists);
	int rc = refresh_list(s, drop, err);
	for (size_t i = 0; !rc && i < s->count; i++)
		if (!s->packs[i]->sealed && !s->packs[i]->gone && s->packs[i]->nonce && !writing(s, s->packs[i]))
			rc = pack_load(s, s->packs[i], err);
	pthread_rwlock_unlock(&s->lists);
	return rc;
}

bool store_find_locked(struct store *s, const struct hash *id, size_t before, struct found *out, size_t *at)
{
	/* newest first: a copy that was written again because the old one was damaged is found first */
	for (size_t i = before < s->count ? before : s->count; i-- > 0;) {
		const struct idx_entry *e = pack_find(s->packs[i], id);
		if (!e)
			continue;
		if (out) {
			out->pack = s->packs[i];
			out->e = *e;
			atomic_fetch_add(&out->pack->refs, 1);
		}
		if (at)
			*at = i;
		return true;
	}
	return false;
}

/* trusted: false when the entry is of an index that was never checked. */
static bool find_now(struct store *s, const struct hash *id, struct found *out, bool *trusted)
{
	pthread_rwlock_rdlock(&s->lists);
	bool hit = store_find_locked(s, id, SIZE_MAX, out, NULL);
	*trusted = !hit || !out->pack->sealed || out->pack->checked;
	pthread_rwlock_unlock(&s->lists);
	return hit;
}

static bool all_loaded(struct store *s)
{
	bool yes = true;
	pthread_rwlock_rdlock(&s->lists);
	for (size_t i = 0; i < s->count; i++)
		yes = yes && (s->packs[i]->sealed ? s->packs[i]->checked : s->packs[i]->loaded);
	pthread_rwlock_unlock(&s->lists);
	return yes;
}

/* The long way of a miss: check indexes that were never checked, and look at the ends of packs that are behind their index. */
static int look_closer(struct store *s, bool tails)
{
	int changed = 0;
	pthread_rwlock_wrlock(&s->lists);
	for (size_t i = 0; i < s->count; i++) {
		struct pack *p = s->packs[i];
		uint32_t n = p->n;
		changed |= pack_verify_index(s, p);
		if (tails && !p->sealed && !writing(s, p))
			changed |= !pack_scan_tail(s, p, NULL) && p->n != n;
	}
	pthread_rwlock_unlock(&s->lists);
	return changed;
}

bool store_find(struct store *s, const struct hash *id, struct found *out)
{
	bool trusted;
	if (find_now(s, id, out, &trusted)) {
		if (trusted)
			return true;
		pack_unref(out->pack);
		(void)look_closer(s, false);
		if (find_now(s, id, out, &trusted))
			return true;
	}
	if (atomic_load(&s->w.on))
		return !all_loaded(s) && look_closer(s, false) && find_now(s, id, out, &trusted);
	if (!store_refresh(s, false, NULL) && find_now(s, id, out, &trusted))
		return true;
	return look_closer(s, true) && find_now(s, id, out, &trusted);
}

int store_damaged(struct err *err, const struct found *f)
{
	char hex[HASH_HEX + 1];
	err_set(err, ERR_IO, "object '%s' is damaged (pack %u, offset %u)", hash_hex(&f->e.id, hex), f->pack->number, f->e.offset);
	return err_hint(err, "'sbx fs fsck' lists all that is damaged");
}

int store_recheck(struct store *s, struct err *err)
{
	pthread_rwlock_wrlock(&s->lists);
	for (size_t i = 0; i < s->count; i++) {
		struct pack *p = s->packs[i];
		if (p->sealed)
			continue;
		pack_cut(p, 0);
		p->indexed = 0;
		p->idx_end = p->looked = 0;
		p->idx_covers = p->scanned = FILE_HEADER;
		p->idx_bad = false;
	}
	pthread_rwlock_unlock(&s->lists);
	if (store_refresh(s, false, err))
		return -1;
	look_closer(s, true);
	return 0;
}

int store_list(struct store *s, struct err *err)
{
	return refresh_list(s, true, err);
}
