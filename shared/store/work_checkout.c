/*
 * Checkout: scan what is there, plan (work_plan.c), remove what has to go, then write with all threads, one job a folder and one a
 * large file.
 *
 * A file gets its final name when it is whole: it is written beside it and renamed, also in a folder that is new, so that a
 * checkout that was killed can be run again. Everything happens relative to descriptors of folders that were opened without
 * following links. No fsync: the tree is in the store, and can be checked out again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/work_checkout.h"
#include "shared/store/work_write.h"

/* ---- removing, one after the other ---- */

struct cursor {
	struct dir *dir;
	int fd;
	bool own;
};

static void cursor_close(struct cursor *c)
{
	if (c->own)
		close(c->fd);
	*c = (struct cursor){ .fd = -1 };
}

static int cursor_at(struct cursor *c, struct dir *d, struct err *err)
{
	if (c->dir == d)
		return 0;
	cursor_close(c);
	c->fd = dir_open(d, &c->own);
	if (c->fd < 0)
		return work_sys(err, errno, d, NULL, "open folder");
	c->dir = d;
	return write_open_up(d, c->fd, err);
}

static int remove_one(struct cursor *c, const struct removal *r, struct err *err)
{
	const struct item *it = &r->dir->items[r->item];
	if (cursor_at(c, r->dir, err))
		return -1;
	if (r->folder) {
		if (!unlinkat(c->fd, it->name, AT_REMOVEDIR) || errno == ENOENT)
			return 0;
		/* what was never pushed, or is ignored, keeps a folder alive */
		if (!r->must && (errno == ENOTEMPTY || errno == EEXIST))
			return 0;
		return work_sys(err, errno, r->dir, it->name, "remove folder");
	}
	if (!write_still_there(c->fd, it))
		return work_busy(err, r->dir, it->name);
	if (unlinkat(c->fd, it->name, 0) && errno != ENOENT)
		return work_sys(err, errno, r->dir, it->name, "remove");
	return 0;
}

static int remove_all(struct plan *p, struct err *err)
{
	struct cursor c = { .fd = -1 };
	int rc = 0;
	for (size_t i = 0; !rc && i < p->removals_n; i++) {
		rc = remove_one(&c, &p->removals[i], err);
		if (!rc && pool_stopped(&p->w->pool))
			rc = err_sys(err, EINTR, "stopped");
	}
	cursor_close(&c);
	return rc;
}

/* ---- writing, with all threads ---- */

static void folder_job(struct worker *wk, struct pool_job *job);

static int write_all(struct plan *p, struct err *err)
{
	struct pool_job *jobs = NULL;
	for (size_t i = p->touched_n; i-- > 0;) {
		struct dir *d = p->touched[i];
		atomic_store(&d->pending, 1);
		d->job = (struct pool_job){ .run = folder_job, .next = jobs };
		jobs = &d->job;
	}
	pool_add(&p->w->pool, jobs);
	return jobs ? pool_run(&p->w->pool, err) : 0;
}

/* -1 with errno. */
static int change_mode(struct dir *d)
{
	bool own = false;
	int fd = dir_open(d, &own);
	int rc = fd < 0 ? -1 : fchmod(fd, d->want_mode);
	int sys = errno;
	if (own)
		close(fd);
	errno = sys;
	return rc;
}

/* The folder and all that was to be made in it is done. */
static int finish(struct dir *d, struct err *err)
{
	/* write bits that may be wanted away stay until now */
	if (d->fresh && d->set_mode && change_mode(d))
		return work_sys(err, errno, d, NULL, "set the mode of folder");
	tree_unload(d->node);
	free(d->node);
	d->node = NULL;
	dir_close(d);
	return 0;
}

void write_done(struct dir *d)
{
	while (d && atomic_fetch_sub(&d->pending, 1) == 1) {
		struct err err = ERR_INIT;
		struct dir *above = d->fresh ? d->parent : NULL;
		if (pool_stopped(&d->work->pool))
			return;
		if (finish(d, &err)) {
			pool_fail(&d->work->pool, &err);
			return;
		}
		d = above;
	}
}

static int make(struct dir *d, struct err *err)
{
	bool own = false;
	struct stat st;
	int above = dir_open(d->parent, &own);
	if (above < 0)
		return work_sys(err, errno, d->parent, NULL, "open folder");
	const char *name = d->parent->next[d->in_parent].name;
	int rc = mkdirat(above, name, (d->want_mode & 0777) | 0700);
	int fd = rc ? -1 : openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int sys = errno;
	if (own)
		close(above);
	if (fd < 0)
		return work_sys(err, sys, d, NULL, "create folder");
	dir_keep_open(d, fd);
	if (fstat(fd, &st))
		return work_sys(err, errno, d, NULL, "look at folder");
	d->set_mode = (st.st_mode & 07777) != d->want_mode;
	return 0;
}

static int open_there(struct dir *d, struct err *err)
{
	bool own = false;
	int fd = dir_open(d, &own);
	if (fd < 0)
		return work_sys(err, errno, d, NULL, "open folder");
	if (own)
		dir_keep_open(d, fd);
	return write_open_up(d, fd, err);
}

/* Everything in a folder that was just made has to be written. */
static int plan_fresh(struct dir *d, struct err *err)
{
	struct work *w = d->work;
	dir_set_next(d, &d->node->node);
	for (uint32_t i = 0; i < d->next_count; i++) {
		struct item *it = &d->next[i];
		const struct child *c = &d->node->node.children[i];
		if (atomic_load(&w->has_rules)) {
			auto_free char *path = dir_path(d, it->name);
			if (work_ignored(w, path, c->has_dir)) {
				it->flags |= ITEM_LEFT;
				continue;
			}
		}
		if (work_file(c) && c->has_dir) {
			auto_free char *path = dir_show(d, it->name);
			return err_set(err, ERR_STATE,
				"'%s' is both a file and a folder in this tree: a folder on disk cannot have both", path);
		}
		if (!c->has_dir) {
			it->flags |= ITEM_WRITE;
			continue;
		}
		it->dir = dir_new(w, d, i);
		it->dir->moved = it->dir->fresh = true;
		it->dir->id = c->dir;
		it->dir->want_mode = work_dir_mode(c);
		it->dir->mode = S_IFDIR | it->dir->want_mode;
	}
	return 0;
}

/* Write the small files; jobs for the rest. */
static int fill(struct dir *d, struct pool_job **jobs, struct err *err)
{
	struct pool_job *folders = NULL, *files = NULL;
	for (uint32_t i = d->next_count; i-- > 0;) {
		struct item *it = &d->next[i];
		const struct child *c = &d->node->node.children[i];
		if (pool_stopped(&d->work->pool))
			return err_sys(err, EINTR, "stopped");
		if (it->dir && it->dir->fresh) {
			atomic_store(&it->dir->pending, 1);
			it->dir->job = (struct pool_job){ .run = folder_job, .next = folders };
			folders = &it->dir->job;
			atomic_fetch_add(&d->pending, 1);
		} else if (!(it->flags & ITEM_WRITE)) {
			continue;
		} else if (c->file.chunked) {
			struct pool_job *job = write_big_new(d, i, &c->file);
			job->next = files;
			files = job;
			atomic_fetch_add(&d->pending, 1);
		} else if (write_small(d, it, &c->file, err)) {
			return -1;
		}
	}
	struct pool_job **end = &files;
	while (*end)
		end = &(*end)->next;
	*end = folders;
	*jobs = files;
	return 0;
}

static void drop_jobs(struct pool_job *job)
{
	while (job) {
		struct pool_job *next = job->next;
		if (job->drop)
			job->drop(job);
		job = next;
	}
}

static void folder_job(struct worker *wk, struct pool_job *job)
{
	struct dir *d = (struct dir *)job;
	struct err err = ERR_INIT;
	struct pool_job *jobs = NULL;
	struct tree_node node;
	(void)wk;
	int rc = d->fresh ? make(d, &err) : open_there(d, &err);
	if (!rc)
		rc = tree_load(d->work->store, &d->id, &node, &err);
	if (!rc) {
		d->node = mem_zalloc(sizeof(*d->node));
		*d->node = node;
		rc = d->fresh ? plan_fresh(d, &err) : 0;
	}
	if (!rc)
		rc = fill(d, &jobs, &err);
	if (rc) {
		drop_jobs(jobs);
		pool_fail(&d->work->pool, &err);
		return;
	}
	if (jobs)
		dir_close_if_many(d);
	pool_add(&d->work->pool, jobs);
	write_done(d);
}

/* Folders that were there before: a mode that is to change, or was opened up for writing. */
static int set_modes(struct work *w, struct err *err)
{
	for (struct dir *d = w->all; d; d = d->all) {
		if (d->fresh || !d->set_mode)
			continue;
		/* one that went with the removals is not there any more */
		if (change_mode(d) && errno != ENOENT && errno != ENOTDIR)
			return work_sys(err, errno, d, NULL, "set the mode of folder");
		d->mode = S_IFDIR | d->want_mode;
	}
	return 0;
}

static int apply(struct work *w, struct plan *p, struct err *err)
{
	w->writing = true;
	rand_id(w->temp_id, sizeof(w->temp_id) - 1);
	int rc = remove_all(p, err);
	if (!rc)
		rc = write_all(p, err);
	/* also after a failure: no folder stays open wider than it was */
	if (set_modes(w, rc ? NULL : err))
		rc = -1;
	return rc;
}

static int update(struct work *w, const struct hash *tree, struct err *err)
{
	struct plan p;
	bool same = w->index && hash_eq(&w->top->id, tree) && hash_eq(index_tree(w->index), tree) && !atomic_load(&w->changed);
	if (same)
		return 0;
	/* what was read to compare is not what is written */
	atomic_store(&w->pool.new_files, 0);
	atomic_store(&w->pool.new_bytes, 0);
	int rc = plan_make(&p, w, tree, err);
	if (!rc && !w->o->dry) {
		rc = apply(w, &p, err);
		if (!rc && !store_read_only(w->store))
			index_save(w->store, w->folder, w->top, NULL);
	}
	plan_free(&p);
	return rc;
}

static int count(void *arg, const char *path, const struct child *child, bool folder, struct err *err)
{
	struct work_progress *done = arg;
	(void)path;
	(void)err;
	if (!folder && work_file(child)) {
		done->files++;
		done->new_files++;
		done->bytes += child->file.size;
		done->new_bytes += child->file.size;
	}
	return 0;
}

int work_checkout(struct store *s, const struct hash *tree, const char *folder, const struct work_options *o,
	struct work_progress *done, struct err *err)
{
	struct work_progress own = { 0 };
	struct work_progress *progress = done ? done : &own;
	struct work w;
	*progress = (struct work_progress){ 0 };
	if (!fs_exists(folder)) {
		if (o->dry)
			return tree_walk(s, tree, count, progress, err);
		/* not before it is known that there is something to put there */
		struct tree_node top;
		if (tree_load(s, tree, &top, err))
			return -1;
		tree_unload(&top);
		if (fs_mkdirs(folder, OBJECT_DIR_MODE, err))
			return -1;
	}
	int rc = work_scan_apart(&w, s, folder, o, true, err);
	if (!rc)
		rc = update(&w, tree, err);
	pool_progress(&w.pool, progress);
	work_free(&w);
	return rc;
}
