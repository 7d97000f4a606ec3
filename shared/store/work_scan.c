/*
 * Scanning: one job a folder. It lists the folder, looks at each name once (fstatat; a subfolder's own job does that), compares
 * with the stat index, queues the subfolders and the large files that must be read. When the last of these is done the folder is
 * made into a node, unless nothing in it changed: then its id is the index's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/store/work_internal.h"

#define LIST_SIZE 32768
#define GROUP_MAX 0xfffffff0u

/* A name as it is listed. */
struct listed {
	uint32_t name;
	uint16_t len;
	uint8_t type;
};

/* The name of a file that a checkout writes, or was writing when it was killed. */
static bool is_temp(const struct work *w, int fd, const char *name)
{
	if (strncmp(name, WORK_TEMP, sizeof(WORK_TEMP) - 1) != 0)
		return false;
	if (w->sweep)
		(void)unlinkat(fd, name, 0); /* what cannot be removed is in nobody's way */
	return true;
}

static int list_folder(struct worker *wk, const struct work *w, int fd, struct buf *rows)
{
	buf_clear(&wk->names);
	buf_clear(&wk->content);
	char *room = buf_reserve(&wk->content, LIST_SIZE);
	for (;;) {
		ssize_t n = room ? getdents64(fd, room, LIST_SIZE) : -1;
		if (n <= 0)
			return n < 0 ? -1 : 0;
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *e = (const void *)(room + at);
			at += e->d_reclen;
			size_t len = strlen(e->d_name);
			if (len <= 2 && e->d_name[0] == '.' && (len == 1 || e->d_name[1] == '.'))
				continue;
			if (is_temp(w, fd, e->d_name))
				continue;
			struct listed row = { .name = (uint32_t)wk->names.len, .len = (uint16_t)len, .type = e->d_type };
			buf_add(rows, &row, sizeof(row));
			buf_add(&wk->names, e->d_name, len + 1);
		}
		if (buf_failed(rows) || buf_failed(&wk->names)) {
			errno = ENOMEM;
			return -1;
		}
	}
}

static int item_order(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

/* Give d its names, sorted. The type of each stands in stamp.mode where the listing tells it. */
static void take_names(struct worker *wk, struct dir *d, const struct buf *rows)
{
	const struct listed *row = (const void *)rows->p;
	size_t n = rows->len / sizeof(*row);
	d->names = mem_array(wk->names.len + 1, 1);
	memcpy(d->names, wk->names.p, wk->names.len);
	d->items = mem_array(n, sizeof(*d->items));
	d->count = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		d->items[i] = (struct item){ .name = d->names + row[i].name, .len = row[i].len, .stamp.mode = DTTOIF(row[i].type) };
	if (n)
		qsort(d->items, n, sizeof(*d->items), item_order);
}

static bool is_dir(const struct item *it)
{
	return S_ISDIR(it->stamp.mode);
}

/* What the index knows of each item: two sorted rows side by side. */
static void match_index(struct dir *d)
{
	const struct index *ix = d->work->index;
	if (!d->old)
		return;
	const struct index_item *old = index_items(ix, d->old), *end = old + d->old->count;
	for (uint32_t i = 0; i < d->count && old < end;) {
		int c = strcmp(d->items[i].name, index_name(ix, old));
		if (c == 0)
			d->items[i].old = old;
		i += c <= 0;
		old += c >= 0;
	}
}

/* The names that are left out: those that rules cover. */
static int drop_ignored(struct dir *d, int fd, struct err *err)
{
	struct work *w = d->work;
	static const char rules[] = ".sbxignore";
	if (!w->o->no_ignore_files && dir_find(d, rules, sizeof(rules) - 1) && work_add_rules(d, fd, err))
		return -1;
	if (!atomic_load(&w->has_rules))
		return 0;
	uint32_t left = 0;
	for (uint32_t i = 0; i < d->count; i++) {
		struct item *it = &d->items[i];
		struct stat st;
		/* rules may be for folders only */
		if (!it->stamp.mode && !fstatat(fd, it->name, &st, AT_SYMLINK_NOFOLLOW))
			it->stamp.mode = st.st_mode;
		auto_free char *path = dir_path(d, it->name);
		if (!work_ignored(w, path, is_dir(it)))
			d->items[left++] = *it;
	}
	d->count = left;
	return 0;
}

/* -1 with errno; what vanished since it was listed is left out. */
static int look(struct item *it, int fd)
{
	if (is_dir(it))
		return 0;
	struct stat st;
	if (!fstatat(fd, it->name, &st, AT_SYMLINK_NOFOLLOW)) {
		stamp_of(&st, &it->stamp);
		it->stamp.known = it->old && it->old->stamp.known && stamp_eq(&it->stamp, &it->old->stamp);
		return 0;
	}
	if (errno != ENOENT)
		return -1;
	it->flags |= ITEM_GONE;
	return 0;
}

static void push_job(struct pool_job **list, struct pool_job *job)
{
	job->next = *list;
	*list = job;
}

static void scan_folder(struct worker *wk, struct pool_job *job);

static struct pool_job *queue_folder(struct dir *d, uint32_t i)
{
	struct item *it = &d->items[i];
	it->dir = dir_new(d->work, d, i);
	it->dir->job.run = scan_folder;
	atomic_store(&it->dir->pending, 1);
	if (it->old && it->old->dir)
		it->dir->old = index_dir(d->work->index, it->old->dir);
	return &it->dir->job;
}

static struct pool_job *queue_big(struct dir *d, uint32_t i)
{
	struct big *b = mem_zalloc(sizeof(*b));
	d->items[i].big = b;
	b->job.run = read_big_job;
	b->dir = d;
	b->item = i;
	b->fd = -1;
	return &b->job;
}

static int look_at_all(struct dir *d, int fd, struct pool_job **jobs, struct err *err)
{
	struct pool_job *folders = NULL, *files = NULL;
	uint64_t bytes = 0, count = 0;
	for (uint32_t i = d->count; i-- > 0;) {
		struct item *it = &d->items[i];
		if (look(it, fd))
			return work_sys(err, errno, d, it->name, "look at");
		if (it->flags & ITEM_GONE)
			continue;
		if (is_dir(it)) {
			push_job(&folders, queue_folder(d, i));
			atomic_fetch_add(&d->pending, 1);
			continue;
		}
		count++;
		if (!S_ISREG(it->stamp.mode))
			continue;
		bytes += it->stamp.size;
		if (!it->stamp.known && it->stamp.size > OBJECT_INLINE_MAX) {
			push_job(&files, queue_big(d, i));
			atomic_fetch_add(&d->pending, 1);
		}
	}
	atomic_fetch_add_explicit(&d->work->pool.files, count, memory_order_relaxed);
	atomic_fetch_add_explicit(&d->work->pool.bytes, bytes, memory_order_relaxed);
	/* large files first: they take longest */
	struct pool_job **end = &files;
	while (*end)
		end = &(*end)->next;
	*end = folders;
	*jobs = files;
	return 0;
}

/* 0; 1: it is to be left out; -1. */
static int open_folder(struct dir *d, struct err *err)
{
	struct work *w = d->work;
	bool own = false;
	struct stat st;
	int fd = dir_open(d, &own);
	if (fd < 0 || fstat(fd, &st)) {
		int sys = errno;
		if (fd >= 0)
			close(fd);
		/* vanished, or became something else, since the folder above was listed */
		if (d->parent && sys == ENOENT)
			return 1;
		work_sys(err, sys, d, NULL, "open folder");
		return d->parent && (sys == EACCES || sys == EPERM) && pool_skip(&w->pool, err) ? 1 : -1;
	}
	dir_keep_open(d, fd);
	d->mode = st.st_mode;
	if (st.st_dev == w->store_dev && st.st_ino == w->store_ino) {
		auto_free char *path = dir_show(d, NULL);
		err_set(err, ERR_INVALID, "'%s' is the store itself", path);
		if (!d->parent)
			return -1;
		/* not an error: nobody wants it there */
		err_prefix(err, "left out");
		pool_warn(&w->pool, err->msg);
		return 1;
	}
	return 0;
}

static int scan(struct worker *wk, struct dir *d, struct pool_job **jobs, struct err *err)
{
	auto_buf rows = BUF_INIT;
	if (list_folder(wk, d->work, d->fd, &rows))
		return work_sys(err, errno, d, NULL, "list folder");
	take_names(wk, d, &rows);
	if (drop_ignored(d, d->fd, err))
		return -1;
	match_index(d);
	return look_at_all(d, d->fd, jobs, err);
}

static void scan_folder(struct worker *wk, struct pool_job *job)
{
	struct dir *d = (struct dir *)job;
	struct err err = ERR_INIT;
	struct pool_job *jobs = NULL;
	int rc = open_folder(d, &err);
	if (rc > 0) {
		d->parent->items[d->in_parent].flags |= ITEM_GONE;
		dir_close(d);
	} else if (!rc) {
		rc = scan(wk, d, &jobs, &err);
		if (jobs)
			dir_close_if_many(d);
	}
	if (rc < 0) {
		pool_fail(&d->work->pool, &err);
		return;
	}
	pool_add(&d->work->pool, jobs);
	scan_done(wk, d);
}

/* Nothing is new: same names, same files, same folders. */
static bool unchanged(const struct dir *d)
{
	if (!d->old || d->old->count != d->count)
		return false;
	for (uint32_t i = 0; i < d->count; i++) {
		const struct item *it = &d->items[i];
		if (!it->old || (it->flags & ITEM_GONE))
			return false;
		/* a large one that was read is known by now, but not to be the same */
		if (!it->dir && (!it->stamp.known || it->big))
			return false;
		if (it->dir && (it->dir->mode != it->old->stamp.mode || !it->dir->old || !hash_eq(&it->dir->id, &it->dir->old->id)))
			return false;
	}
	return true;
}

static int finish(struct worker *wk, struct dir *d, struct err *err)
{
	/* a folder that was left out */
	if (d->parent && (d->parent->items[d->in_parent].flags & ITEM_GONE))
		return 0;
	if (unchanged(d)) {
		d->id = d->old->id;
	} else {
		atomic_store(&d->work->changed, true);
		if (read_folder(wk, d, err))
			return -1;
	}
	work_drop_rules(d);
	dir_close(d);
	return 0;
}

void scan_done(struct worker *wk, struct dir *d)
{
	struct err err = ERR_INIT;
	while (d && atomic_fetch_sub(&d->pending, 1) == 1) {
		if (pool_stopped(&d->work->pool))
			return;
		if (finish(wk, d, &err)) {
			pool_fail(&d->work->pool, &err);
			return;
		}
		d = d->parent;
	}
}

int work_scan(struct work *w, struct err *err)
{
	w->index = index_load(w->store, w->folder);
	w->top = dir_new(w, NULL, 0);
	w->top->job.run = scan_folder;
	atomic_store(&w->top->pending, 1);
	w->top->old = w->index ? index_dir(w->index, 0) : NULL;
	pool_add(&w->pool, &w->top->job);
	return pool_run(&w->pool, err);
}
