/*
 * Reading: the files of one folder, and the node that they make. Small files are read whole into one buffer and stand in the node;
 * what the index knows to be unchanged is taken from the folder's old node in the store. Large files: work_big.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/store/work_internal.h"

#define TRIES 4
#define NO_CONTENT SIZE_MAX

/* One folder on its way to a node. */
struct reading {
	struct worker *wk;
	struct dir *d;
	int fd;
	struct child *children;
	size_t *at; /* where the content of each child begins in wk->content, or NO_CONTENT */
	uint32_t count;
	struct tree_node old;
	bool has_old;
	uint64_t new_files, new_bytes;
};

/* 0 and the bytes behind wk->content, 1 when the file changes under our hands, -1 with errno. */
static int read_once(struct buf *content, int fd, size_t size)
{
	size_t start = content->len;
	for (;;) {
		/* one byte more than there should be tells a file that grew */
		size_t want = size + 1 - (content->len - start);
		char *p = buf_reserve(content, want);
		if (!p) {
			errno = ENOMEM;
			return -1;
		}
		ssize_t n = pread(fd, p, want, (off_t)(content->len - start));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		buf_commit(content, (size_t)n);
		if (content->len - start > size)
			return 1;
		/* a short read of a file is its end, but for those of network file systems */
		if (n == 0 || content->len - start == size)
			return content->len - start == size ? 0 : 1;
	}
}

int work_busy(struct err *err, const struct dir *d, const char *name)
{
	auto_free char *path = dir_show(d, name);
	err_set(err, ERR_CONFLICT, "'%s' changes while it is read", path);
	return err_hint(err, "try again when nothing writes to it");
}

/* The content of a regular file that fits into the node. 0, 1 to leave it out, -1. */
static int read_small(struct reading *r, struct item *it, struct err *err)
{
	struct buf *content = &r->wk->content;
	struct pool *pool = &r->d->work->pool;
	size_t start = content->len;
	auto_fd int fd = openat(r->fd, it->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		int sys = errno;
		if (sys == ENOENT)
			return 1;
		work_sys(err, sys, r->d, it->name, "open");
		return pool_skip(pool, err) ? 1 : -1;
	}
	for (int tries = 0; tries < TRIES; tries++) {
		struct timespec now = work_now();
		struct stat st;
		content->len = start;
		int rc = read_once(content, fd, it->stamp.size);
		if (rc < 0 || fstat(fd, &st)) {
			work_sys(err, errno, r->d, it->name, "read");
			return pool_skip(pool, err) ? 1 : -1;
		}
		struct stamp after;
		stamp_of(&st, &after);
		bool same = !rc && stamp_eq(&after, &it->stamp);
		it->stamp = after;
		it->stamp.known = same && !stamp_racy(&after, &now);
		if (same)
			return 0;
		/* another kind of file now, or a large one: whoever tries again finds it so from the start */
		if (!S_ISREG(st.st_mode) || st.st_size > OBJECT_INLINE_MAX)
			break;
	}
	work_busy(err, r->d, it->name);
	return pool_skip(pool, err) ? 1 : -1;
}

static int read_link(struct reading *r, struct item *it, struct err *err)
{
	struct buf *content = &r->wk->content;
	char *p = buf_reserve(content, PATH_MAX);
	ssize_t n = p ? readlinkat(r->fd, it->name, p, PATH_MAX) : -1;
	if (n < 0 && p && errno == ENOENT)
		return 1;
	if (n < 0)
		return work_sys(err, p ? errno : ENOMEM, r->d, it->name, "read link");
	buf_commit(content, (size_t)n);
	/* a link is never rewritten, only replaced: another inode or time */
	struct timespec now = work_now();
	it->stamp.known = !stamp_racy(&it->stamp, &now);
	return 0;
}

static void read_device(struct reading *r, struct item *it)
{
	struct stat st;
	bool has = (S_ISCHR(it->stamp.mode) || S_ISBLK(it->stamp.mode)) && !fstatat(r->fd, it->name, &st, AT_SYMLINK_NOFOLLOW);
	if (has)
		buf_fmt(&r->wk->content, "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	it->stamp.known = !has; /* the numbers are not in the stamp */
}

/* Content is known by its offset until all is read, for the buffer moves as it grows. */
static void set_content(struct reading *r, struct child *c, size_t start)
{
	c->file.size = r->wk->content.len - start;
	r->at[r->count] = start;
}

static void fix_content(struct reading *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		struct entry *e = &r->children[i].file;
		if (r->at[i] == NO_CONTENT)
			continue;
		e->data = (const uint8_t *)r->wk->content.p + r->at[i];
		if (S_ISLNK(e->mode)) {
			e->link = (const char *)e->data;
			e->link_len = e->size;
		}
	}
}

/* The entry that the index says is this file's, from the node that the folder had. */
static int take_old(struct reading *r, const struct item *it, struct child *c, struct err *err)
{
	const struct child *old = r->has_old ? node_find(&r->old.node, it->name, it->len) : NULL;
	if (old && work_file(old)) {
		c->file = old->file;
		return 0;
	}
	/* the store lost it: once more, from the files alone */
	atomic_store(&r->d->work->distrust, true);
	auto_free char *path = dir_show(r->d, it->name);
	return err_set(err, ERR_IO, "the store lost what it knew of '%s'", path);
}

static int read_file(struct reading *r, struct item *it, struct child *c, struct err *err)
{
	size_t start = r->wk->content.len;
	c->has_file = true;
	if (it->big) {
		c->file = (struct entry){ .mode = it->stamp.mode & 07777,
			.size = it->stamp.size,
			.chunked = true,
			.data = (const uint8_t *)it->big->ids,
			.chunks = (uint32_t)it->big->ids_n };
		return 0;
	}
	if (it->stamp.known)
		return take_old(r, it, c, err);
	int rc = 0;
	if (S_ISREG(it->stamp.mode)) {
		rc = read_small(r, it, err);
		c->file.mode = it->stamp.mode & 07777;
		r->new_files += !rc;
		r->new_bytes += rc ? 0 : it->stamp.size;
	} else if (S_ISLNK(it->stamp.mode)) {
		rc = read_link(r, it, err);
		c->file.mode = OBJECT_LINK_MODE;
	} else {
		read_device(r, it);
		c->file.mode = it->stamp.mode & (S_IFMT | 07777);
	}
	if (rc)
		r->wk->content.len = start;
	set_content(r, c, start);
	return rc;
}

static void set_folder(const struct item *it, struct child *c)
{
	uint32_t bits = it->dir->mode & 07777;
	c->has_dir = true;
	c->dir = it->dir->id;
	if (bits != OBJECT_DIR_MODE) {
		c->has_file = true;
		c->file = (struct entry){ .mode = S_IFDIR | bits, .data = NULL };
	}
}

static int read_items(struct reading *r, struct err *err)
{
	struct dir *d = r->d;
	for (uint32_t i = 0; i < d->count; i++) {
		struct item *it = &d->items[i];
		struct child *c = &r->children[r->count];
		if (it->flags & ITEM_GONE)
			continue;
		*c = (struct child){ .name = it->name, .name_len = it->len };
		r->at[r->count] = NO_CONTENT;
		int rc = 0;
		if (it->dir)
			set_folder(it, c);
		else
			rc = read_file(r, it, c, err);
		if (rc < 0)
			return -1;
		if (rc > 0)
			it->flags |= ITEM_GONE;
		else
			r->count++;
		if (!(i & 63) && pool_stopped(&d->work->pool))
			return err_sys(err, EINTR, "stopped");
	}
	if (buf_failed(&r->wk->content)) {
		auto_free char *path = dir_show(d, NULL);
		return err_set(err, ERR_TOO_LARGE, "the small files of folder '%s' take too much memory", path);
	}
	fix_content(r);
	return 0;
}

static void keep_node(struct work *w, const struct hash *id, struct buf *bytes)
{
	struct kept k = { .id = *id, .bytes = *bytes };
	buf_init(bytes);
	pthread_mutex_lock(&w->lock);
	/* room by powers of two */
	if (!(w->kept_n & (w->kept_n + 1)))
		w->kept = mem_grow(w->kept, 2 * (w->kept_n + 1), sizeof(*w->kept));
	w->kept[w->kept_n++] = k;
	pthread_mutex_unlock(&w->lock);
}

static int make_node(struct reading *r, struct err *err)
{
	struct work *w = r->d->work;
	struct buf *node = &r->wk->node;
	buf_clear(node);
	if (node_encode(r->children, r->count, node, err) || buf_failed(node)) {
		auto_free char *path = dir_show(r->d, NULL);
		if (!buf_failed(node))
			return err_prefix(err, "'%s'", path);
		err_set(err, ERR_TOO_LARGE, "the small files of folder '%s' are too large for one node", path);
		return err_hint(err, "spread them over several folders");
	}
	hash_of(node->p, node->len, &r->d->id);
	if (w->put)
		return store_put(w->store, OBJECT_TREE, node->p, node->len, &r->d->id, NULL, err);
	if (w->keep && !store_has(w->store, &r->d->id))
		keep_node(w, &r->d->id, node);
	return 0;
}

int read_folder(struct worker *wk, struct dir *d, struct err *err)
{
	bool own = false;
	struct work *w = d->work;
	struct reading r = { .wk = wk, .d = d, .fd = dir_open(d, &own) };
	if (r.fd < 0)
		return work_sys(err, errno, d, NULL, "open folder");
	bool any_old = false;
	for (uint32_t i = 0; i < d->count && !any_old; i++)
		any_old = !d->items[i].dir && d->items[i].stamp.known && !d->items[i].big;
	r.has_old = any_old && d->old && !tree_load(w->store, &d->old->id, &r.old, NULL);
	buf_clear(&wk->content);
	r.children = worker_children(wk, d->count);
	r.at = mem_array(d->count, sizeof(*r.at));
	int rc = read_items(&r, err);
	if (!rc)
		rc = make_node(&r, err);
	if (r.has_old)
		tree_unload(&r.old);
	if (own)
		close(r.fd);
	free(r.at);
	worker_trim(wk);
	atomic_fetch_add_explicit(&w->pool.new_files, r.new_files, memory_order_relaxed);
	atomic_fetch_add_explicit(&w->pool.new_bytes, r.new_bytes, memory_order_relaxed);
	return rc;
}
