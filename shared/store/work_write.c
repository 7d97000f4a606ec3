#include "shared/store/work_write.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"

#define BLOCK 4096u
#define TEMP_LEN 48

struct big_out {
	struct pool_job job;
	struct dir *dir;
	uint32_t item;
	struct entry entry; /* points into the dir's node, which stays until all of it is written */
};

int write_open_up(struct dir *d, int fd, struct err *err)
{
	if ((d->mode & 0300) == 0300 || geteuid() == 0)
		return 0;
	if (fchmod(fd, (d->mode & 07777) | 0700))
		return work_sys(err, errno, d, NULL, "write to folder");
	if (!d->set_mode) {
		d->set_mode = true;
		d->want_mode = d->mode & 07777;
	}
	d->mode |= 0700;
	return 0;
}

bool write_still_there(int fd, const struct item *it)
{
	struct stat st;
	struct stamp now;
	if (fstatat(fd, it->name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT;
	stamp_of(&st, &now);
	return stamp_eq(&now, &it->stamp);
}

static bool was_there(const struct item *it)
{
	return it->stamp.mode && !S_ISDIR(it->stamp.mode);
}

/* Where an item is written first: a name beside its own. */
struct target {
	int dir;
	char temp[TEMP_LEN];
};

static void target_init(struct target *t, struct dir *d, int dir)
{
	*t = (struct target){ .dir = dir };
	unsigned long n = atomic_fetch_add_explicit(&d->work->temp_n, 1, memory_order_relaxed);
	snprintf(t->temp, sizeof(t->temp), WORK_TEMP "%s-%lx", d->work->temp_id, n);
}

/* To its final name. Nothing that came there since the plan was made is replaced. */
static int target_commit(struct target *t, struct dir *d, const struct item *it, struct err *err)
{
	if (was_there(it)) {
		if (!write_still_there(t->dir, it))
			return work_busy(err, d, it->name);
		return renameat(t->dir, t->temp, t->dir, it->name) ? work_sys(err, errno, d, it->name, "replace") : 0;
	}
	int rc = renameat2(t->dir, t->temp, t->dir, it->name, RENAME_NOREPLACE);
	if (rc && errno == EINVAL) /* a file system that does not know it */
		rc = renameat(t->dir, t->temp, t->dir, it->name);
	return rc ? work_sys(err, errno, d, it->name, "create") : 0;
}

static void target_undo(const struct target *t)
{
	int saved = errno;
	unlinkat(t->dir, t->temp, 0);
	errno = saved;
}

/* The mode, whatever the umask said, and the stamp. -1 with errno. */
static int settle(int fd, uint32_t mode, struct item *it)
{
	struct stat st;
	if (fstat(fd, &st))
		return -1;
	if ((st.st_mode & 07777) != mode && (fchmod(fd, mode) || fstat(fd, &st)))
		return -1;
	stamp_of(&st, &it->stamp);
	return 0;
}

static void count(struct dir *d, uint64_t bytes)
{
	struct pool *p = &d->work->pool;
	atomic_fetch_add_explicit(&p->new_files, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->new_bytes, bytes, memory_order_relaxed);
	if (!d->fresh)
		return;
	atomic_fetch_add_explicit(&p->files, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->bytes, bytes, memory_order_relaxed);
}

/* Commit and settle an open file; nothing is left behind when that fails. */
static int complete(struct target *t, int fd, struct dir *d, struct item *it, const struct entry *e, struct err *err)
{
	if (target_commit(t, d, it, err)) {
		target_undo(t);
		return -1;
	}
	if (settle(fd, e->mode & 07777, it))
		return work_sys(err, errno, d, it->name, "set the mode of");
	count(d, e->size);
	return 0;
}

static int create(struct target *t, struct dir *d, const struct item *it, const struct entry *e, struct err *err)
{
	int fd = openat(t->dir, t->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (e->mode & 0777) | 0200);
	return fd < 0 ? work_sys(err, errno, d, it->name, "create") : fd;
}

static int write_regular(struct target *t, struct dir *d, struct item *it, const struct entry *e, struct err *err)
{
	auto_fd int fd = create(t, d, it, e, err);
	if (fd < 0)
		return -1;
	if (e->size && fs_write_all(fd, e->data, e->size, err)) {
		target_undo(t);
		auto_free char *path = dir_show(d, it->name);
		return err_prefix(err, "'%s'", path);
	}
	return complete(t, fd, d, it, e, err);
}

/* For what cannot be opened to be looked at. */
static int complete_name(struct target *t, struct dir *d, struct item *it, const struct entry *e, struct err *err)
{
	struct stat st;
	char self[32];
	if (target_commit(t, d, it, err)) {
		target_undo(t);
		return -1;
	}
	auto_fd int fd = openat(t->dir, it->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return work_sys(err, errno, d, it->name, "look at");
	if (!S_ISLNK(st.st_mode) && (st.st_mode & 07777) != (e->mode & 07777)) {
		snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		if (chmod(self, e->mode & 07777) || fstat(fd, &st))
			return work_sys(err, errno, d, it->name, "set the mode of");
	}
	stamp_of(&st, &it->stamp);
	count(d, e->size);
	return 0;
}

static int write_symlink(struct target *t, struct dir *d, struct item *it, const struct entry *e, struct err *err)
{
	auto_free char *to = mem_strndup(e->link, e->link_len);
	if (strlen(to) != e->link_len || !e->link_len || e->link_len >= PATH_MAX) {
		auto_free char *path = dir_show(d, it->name);
		return err_set(err, ERR_INVALID, "'%s' is a link with a target that no link on disk can have", path);
	}
	if (symlinkat(to, t->dir, t->temp))
		return work_sys(err, errno, d, it->name, "create link");
	return complete_name(t, d, it, e, err);
}

/* "MAJOR:MINOR", nothing else. */
static bool parse_device(const struct entry *e, dev_t *out)
{
	char text[32];
	char *end = NULL;
	if (e->size >= sizeof(text))
		return false;
	memcpy(text, e->data, e->size);
	text[e->size] = '\0';
	unsigned long high = strtoul(text, &end, 10);
	if (end == text || *end != ':' || high > UINT32_MAX)
		return false;
	const char *second = end + 1;
	unsigned long low = strtoul(second, &end, 10);
	if (end == second || *end || low > UINT32_MAX)
		return false;
	*out = makedev((unsigned)high, (unsigned)low);
	return true;
}

static int write_special(struct target *t, struct dir *d, struct item *it, const struct entry *e, struct err *err)
{
	dev_t dev = 0;
	bool device = S_ISCHR(e->mode) || S_ISBLK(e->mode);
	if (device && !parse_device(e, &dev)) {
		auto_free char *path = dir_show(d, it->name);
		return err_set(err, ERR_INVALID, "'%s' is a device without numbers in this tree", path);
	}
	if (!mknodat(t->dir, t->temp, e->mode & (S_IFMT | 0777), dev))
		return complete_name(t, d, it, e, err);
	work_sys(err, errno, d, it->name, device ? "create device" : "create");
	if (err->sys != EPERM || !pool_skip(&d->work->pool, err))
		return -1;
	it->stamp = (struct stamp){ 0 };
	it->flags = ITEM_LEFT;
	return 0;
}

int write_small(struct dir *d, struct item *it, const struct entry *e, struct err *err)
{
	struct target t;
	bool own = false;
	int dir = dir_open(d, &own);
	if (dir < 0)
		return work_sys(err, errno, d, NULL, "open folder");
	target_init(&t, d, dir);
	int rc = 0;
	if (entry_is_link(e))
		rc = write_symlink(&t, d, it, e, err);
	else if (entry_is_special(e))
		rc = write_special(&t, d, it, e, err);
	else
		rc = write_regular(&t, d, it, e, err);
	if (own)
		close(dir);
	return rc;
}

/* ---- files of chunks ---- */

static bool is_zero(const char *p, size_t n)
{
	return !p[0] && !memcmp(p, p + 1, n - 1);
}

/* How many bytes from here to the end of the block of the file. */
static size_t to_edge(uint64_t at, size_t left)
{
	size_t n = BLOCK - (size_t)(at % BLOCK);
	return n < left ? n : left;
}

/* The new file is all zeros where nothing is written. -1 with errno. */
static int write_sparse(int fd, const char *p, size_t n, uint64_t at)
{
	size_t i = 0;
	while (i < n) {
		size_t step = to_edge(at + i, n - i);
		if (is_zero(p + i, step)) {
			i += step;
			continue;
		}
		size_t end = i + step;
		while (end < n) {
			step = to_edge(at + end, n - end);
			if (is_zero(p + end, step))
				break;
			end += step;
		}
		while (i < end) {
			ssize_t done = pwrite(fd, p + i, end - i, (off_t)(at + i));
			if (done < 0 && errno != EINTR)
				return -1;
			i += done < 0 ? 0 : (size_t)done;
		}
	}
	return 0;
}

static int write_chunk(struct worker *wk, struct big_out *b, int fd, const struct hash *id, uint64_t *at, struct err *err)
{
	struct work *w = b->dir->work;
	buf_clear(&wk->content);
	if (store_get(w->store, id, &wk->content, err))
		return -1;
	if (wk->content.len > b->entry.size - *at)
		return err_set(err, ERR_IO, "its chunks are longer than it should be");
	if (write_sparse(fd, wk->content.p, wk->content.len, *at))
		return err_sys(err, errno, "cannot write");
	*at += wk->content.len;
	return 0;
}

static int write_chunks(struct worker *wk, struct big_out *b, int fd, struct err *err)
{
	struct work *w = b->dir->work;
	const struct hash *ids = (const void *)b->entry.data;
	uint64_t at = 0;
	bool zeros = false; /* a chunk that repeats is likely that of a hole: it is told by its id then */
	for (uint32_t i = 0; i < b->entry.chunks; i++) {
		if (pool_stopped(&w->pool))
			return err_sys(err, EINTR, "stopped");
		if (i && !zeros && hash_eq(&ids[i], &ids[i - 1])) {
			if (work_zero_chunk(w, err))
				return -1;
			zeros = true;
		}
		if (zeros && hash_eq(&ids[i], &w->zero_id) && w->zero_len <= b->entry.size - at)
			at += w->zero_len;
		else if (write_chunk(wk, b, fd, &ids[i], &at, err))
			return -1;
	}
	if (at != b->entry.size)
		return err_set(err, ERR_IO, "its chunks are shorter than it should be");
	return ftruncate(fd, (off_t)at) ? err_sys(err, errno, "cannot set its size") : 0;
}

static int write_big(struct worker *wk, struct big_out *b, int dir, struct err *err)
{
	struct dir *d = b->dir;
	struct item *it = &d->next[b->item];
	struct target t;
	target_init(&t, d, dir);
	auto_fd int fd = create(&t, d, it, &b->entry, err);
	if (fd < 0)
		return -1;
	if (write_chunks(wk, b, fd, err)) {
		target_undo(&t);
		auto_free char *path = dir_show(d, it->name);
		return err_prefix(err, "'%s'", path);
	}
	return complete(&t, fd, d, it, &b->entry, err);
}

static void big_drop(struct pool_job *job)
{
	free(job);
}

static void big_job(struct worker *wk, struct pool_job *job)
{
	struct big_out *b = (struct big_out *)job;
	struct dir *d = b->dir;
	struct err err = ERR_INIT;
	bool own = false;
	int dir = dir_open(d, &own);
	int rc = dir < 0 ? work_sys(&err, errno, d, NULL, "open folder") : write_big(wk, b, dir, &err);
	if (own)
		close(dir);
	free(b);
	if (rc)
		pool_fail(&d->work->pool, &err);
	else
		write_done(d);
}

struct pool_job *write_big_new(struct dir *d, uint32_t item, const struct entry *e)
{
	struct big_out *b = mem_zalloc(sizeof(*b));
	b->job.run = big_job;
	b->job.drop = big_drop;
	b->dir = d;
	b->item = item;
	b->entry = *e;
	return &b->job;
}
