/*
 * Large files: one thread reads into a window and cuts; chunks are hashed, compressed and put by threads that have nothing else to
 * do, or by the reader itself when there are none. Memory: a few windows, whatever the size. Holes are not read: a chunk that lies
 * in one whole is the chunk of zeros, known once and for all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/store/chunk.h"
#include "shared/store/work_internal.h"

#define TRIES 4
#define HELPERS_MAX 4 /* chunks of one file that others work on at a time, each may hold a window */
#define READ_MAX ((size_t)1 << 20)

/* A chunk for somebody else. */
struct piece {
	struct pool_job job;
	struct big *big;
	struct work_window *window;
	const uint8_t *data;
	size_t len, number;
};

static struct work_window *window_new(void)
{
	struct work_window *w = mem_try(sizeof(*w) + WINDOW_SIZE);
	if (w) {
		atomic_init(&w->refs, 1);
		w->at = w->len = 0;
	}
	return w;
}

void work_window_drop(struct work_window *w)
{
	if (w && atomic_fetch_sub(&w->refs, 1) == 1)
		free(w);
}

static int put_chunk(struct big *b, const void *data, size_t n, size_t number, struct err *err)
{
	struct work *w = b->dir->work;
	hash_of(data, n, &b->ids[number]);
	atomic_fetch_add_explicit(&w->pool.new_bytes, n, memory_order_relaxed);
	return w->put ? store_put(w->store, OBJECT_CHUNK, data, n, &b->ids[number], NULL, err) : 0;
}

int work_zero_chunk(struct work *w, struct err *err)
{
	int rc = 0;
	pthread_mutex_lock(&w->lock);
	if (!w->zero_len) {
		uint8_t *zeros = calloc(1, CHUNK_MAX);
		size_t n = zeros ? chunk_cut(zeros, CHUNK_MAX) : 0;
		if (!zeros)
			rc = err_set(err, ERR_TOO_LARGE, "no memory for a chunk");
		else
			hash_of(zeros, n, &w->zero_id);
		if (!rc && w->put)
			rc = store_put(w->store, OBJECT_CHUNK, zeros, n, &w->zero_id, NULL, err);
		if (!rc)
			w->zero_len = n;
		free(zeros);
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

static void big_done(struct worker *wk, struct big *b);

static void fail(struct big *b, const struct err *err)
{
	pool_fail(&b->dir->work->pool, err);
}

static void piece_drop(struct pool_job *job)
{
	struct piece *p = (struct piece *)job;
	work_window_drop(p->window);
	free(p);
}

static void piece_job(struct worker *wk, struct pool_job *job)
{
	struct piece *p = (struct piece *)job;
	struct big *b = p->big;
	struct err err = ERR_INIT;
	int rc = put_chunk(b, p->data, p->len, p->number, &err);
	piece_drop(job);
	if (rc)
		fail(b, &err);
	else
		big_done(wk, b);
}

/* The chunk at the window's place: to another thread when one waits. */
static int hand_out(struct worker *wk, struct big *b, size_t n, struct err *err)
{
	struct work_window *win = wk->window;
	const uint8_t *data = win->data + win->at;
	struct pool *pool = &b->dir->work->pool;
	size_t number = b->ids_n++;
	if (atomic_load(&pool->idle) <= 0 || atomic_load(&b->pending) > HELPERS_MAX)
		return put_chunk(b, data, n, number, err);
	struct piece *p = mem_zalloc(sizeof(*p));
	*p = (struct piece){
		.job = { .run = piece_job, .drop = piece_drop }, .big = b, .window = win, .data = data, .len = n, .number = number
	};
	atomic_fetch_add(&win->refs, 1);
	atomic_fetch_add(&b->pending, 1);
	pool_add(pool, &p->job);
	return 0;
}

/* Have at least need bytes (CHUNK_MAX or the rest) behind the window's place. 0, 1 the file ends before, -1 with errno. */
static int fill(struct worker *wk, struct big *b, size_t need, uint64_t size)
{
	struct work_window *win = wk->window;
	size_t have = win ? win->len - win->at : 0;
	if (have >= need)
		return 0;
	if (!win || atomic_load(&win->refs) > 1) {
		struct work_window *fresh = window_new();
		if (!fresh) {
			errno = ENOMEM;
			return -1;
		}
		if (have)
			memcpy(fresh->data, win->data + win->at, have);
		work_window_drop(win);
		wk->window = win = fresh;
	} else if (have) {
		memmove(win->data, win->data + win->at, have);
	}
	win->at = 0;
	win->len = have;
	uint64_t left = size - b->at - have;
	size_t end = left < WINDOW_SIZE - have ? have + (size_t)left : WINDOW_SIZE;
	while (win->len < end) {
		size_t want = end - win->len < READ_MAX ? end - win->len : READ_MAX;
		ssize_t n = pread(b->fd, win->data + win->len, want, (off_t)(b->at + win->len));
		if (n == 0)
			return 1;
		if (n < 0 && errno != EINTR)
			return -1;
		win->len += n < 0 ? 0 : (size_t)n;
	}
	return 0;
}

/* Is all of [at, at + CHUNK_MAX) a hole? Then *rc is what came of noting its chunk. */
static bool in_hole(struct worker *wk, struct big *b, uint64_t size, int *rc, struct err *err)
{
	if (!b->sparse || size - b->at < CHUNK_MAX)
		return false;
	if (b->data_at <= b->at) {
		off_t data = lseek(b->fd, (off_t)b->at, SEEK_DATA);
		if (data < 0 && errno != ENXIO) {
			b->sparse = false; /* no such thing on this file system */
			return false;
		}
		b->data_at = data < 0 ? size : (uint64_t)data;
	}
	if (b->data_at < b->at + CHUNK_MAX)
		return false;
	struct work *w = b->dir->work;
	*rc = work_zero_chunk(w, err);
	if (!*rc) {
		b->ids[b->ids_n++] = w->zero_id;
		b->at += w->zero_len;
		if (wk->window)
			wk->window->at = wk->window->len = 0;
	}
	return true;
}

/* 0, 1 the file is not as it was, -1. */
static int cut(struct worker *wk, struct big *b, uint64_t size, struct err *err)
{
	int rc = 0;
	if (wk->window)
		wk->window->at = wk->window->len = 0;
	while (!rc && b->at < size) {
		if (pool_stopped(&b->dir->work->pool))
			return err_sys(err, EINTR, "stopped");
		if (in_hole(wk, b, size, &rc, err))
			continue;
		size_t need = size - b->at < CHUNK_MAX ? (size_t)(size - b->at) : CHUNK_MAX;
		rc = fill(wk, b, need, size);
		if (rc < 0)
			return work_sys(err, errno, b->dir, b->dir->items[b->item].name, "read");
		if (rc > 0)
			return 1;
		struct work_window *win = wk->window;
		size_t n = chunk_cut(win->data + win->at, win->len - win->at);
		rc = hand_out(wk, b, n, err);
		win->at += n;
		b->at += n;
	}
	return rc;
}

/* 0; 1 left out; -1. */
static int big_open(struct big *b, struct err *err)
{
	struct dir *d = b->dir;
	struct item *it = &d->items[b->item];
	bool own = false;
	int dir = dir_open(d, &own);
	if (dir < 0)
		return work_sys(err, errno, d, NULL, "open folder");
	b->fd = openat(dir, it->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int sys = errno;
	if (own)
		close(dir);
	if (b->fd >= 0)
		return 0;
	if (sys == ENOENT)
		return 1;
	work_sys(err, sys, d, it->name, "open");
	return pool_skip(&d->work->pool, err) ? 1 : -1;
}

static int big_begin(struct big *b, struct err *err)
{
	struct item *it = &b->dir->items[b->item];
	struct stat st;
	if (b->fd < 0) {
		int rc = big_open(b, err);
		if (rc)
			return rc;
	}
	if (fstat(b->fd, &st))
		return work_sys(err, errno, b->dir, it->name, "look at");
	stamp_of(&st, &it->stamp);
	if (!S_ISREG(st.st_mode) || st.st_size <= OBJECT_INLINE_MAX) {
		work_busy(err, b->dir, it->name);
		return pool_skip(&b->dir->work->pool, err) ? 1 : -1;
	}
	size_t max = it->stamp.size / CHUNK_MIN + 2;
	if (max > b->ids_max) {
		free(b->ids);
		/* untouched pages cost nothing */
		b->ids = max < SIZE_MAX / HASH_LEN ? mem_try(max * HASH_LEN) : NULL;
		b->ids_max = max;
	}
	if (!b->ids) {
		err_set(err, ERR_TOO_LARGE, "no memory for the chunks of a file");
		return -1;
	}
	b->sparse = (uint64_t)st.st_blocks * 512 < it->stamp.size;
	b->at = b->data_at = 0;
	b->ids_n = 0;
	b->read_at = work_now();
	return 0;
}

static void leave_out(struct worker *wk, struct big *b)
{
	b->dir->items[b->item].flags |= ITEM_GONE;
	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
	scan_done(wk, b->dir);
}

void read_big_job(struct worker *wk, struct pool_job *job)
{
	struct big *b = (struct big *)job;
	struct err err = ERR_INIT;
	atomic_store(&b->pending, 1);
	int rc = big_begin(b, &err);
	if (rc > 0) {
		leave_out(wk, b);
		return;
	}
	if (!rc)
		rc = cut(wk, b, b->dir->items[b->item].stamp.size, &err);
	/* a file that got shorter (1) is found out by its stamp, too */
	if (rc < 0)
		fail(b, &err);
	else
		big_done(wk, b);
}

/* The reader or a helper is done; the last one sees whether the file stayed what it was. */
static void big_done(struct worker *wk, struct big *b)
{
	if (atomic_fetch_sub(&b->pending, 1) != 1)
		return;
	struct dir *d = b->dir;
	struct item *it = &d->items[b->item];
	struct stat st;
	struct stamp after;
	struct err err = ERR_INIT;
	if (fstat(b->fd, &st)) {
		work_sys(&err, errno, d, it->name, "look at");
		fail(b, &err);
		return;
	}
	stamp_of(&st, &after);
	if (stamp_eq(&after, &it->stamp) && b->at == it->stamp.size) {
		it->stamp.known = !stamp_racy(&after, &b->read_at);
		atomic_fetch_add_explicit(&d->work->pool.new_files, 1, memory_order_relaxed);
		close(b->fd);
		b->fd = -1;
		scan_done(wk, d);
	} else if (++b->tries < TRIES) {
		b->job.next = NULL;
		pool_add(&d->work->pool, &b->job);
	} else {
		work_busy(&err, d, it->name);
		if (pool_skip(&d->work->pool, &err))
			leave_out(wk, b);
		else
			fail(b, &err);
	}
}
