/*
 * Watching a file or a folder: one JSON object a line for each change, by inotify.
 *
 * Nothing is lost silently. A folder that appears is watched first and listed then: what the listing finds is told as created, and
 * the events of the same creations, which may be in the queue too, are dropped by a list of what was told (`told`), kept until the
 * queue was seen empty. When the kernel's queue runs over, because events come faster than the host takes lines, that is an event
 * itself, and so is a folder that cannot be watched any more.
 * Folders know their parent and their own name, so that one that moves takes those below it along.
 */
#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <poll.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/queue.h>
#include <unistd.h>

#include "daemon/guest/op.h"
#include "daemon/guest/text.h"
#include "shared/base/b64.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"

#define OUT_FLUSH 32768
#define QUEUE_SIZE 65536
#define PAIR_MS 10 /* both halves of a move are queued by the same call: the second is there, or never comes */
#define CHANGES (IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO)
#define ROOT_CHANGES (CHANGES | IN_DELETE_SELF | IN_MOVE_SELF)

struct dir {
	int wd;
	struct dir *parent; /* NULL: the root, whose name is its path */
	char *name;
	LIST_ENTRY(dir) sibling;
	LIST_HEAD(dir_list, dir) below;
};

/* A name in a folder, as a key. */
struct told {
	int wd;
	char *name;
};

struct watching {
	struct op *op;
	int fd;
	bool recursive, over;
	const char *only; /* of the root's entries, this one alone; NULL = all */
	struct dir *root;
	void *dirs; /* tsearch: struct dir by wd */
	void *told; /* tsearch: struct told */
	unsigned n_dirs;
	struct buf out;
	struct { /* the first half of a move; name NULL = none */
		uint32_t cookie;
		struct dir *dir;
		char *name;
		bool is_dir;
	} from;
};

/* ---- folders ---- */

static int by_wd(const void *a, const void *b)
{
	const struct dir *x = a, *y = b;

	return (x->wd > y->wd) - (x->wd < y->wd);
}

static int by_told(const void *a, const void *b)
{
	const struct told *x = a, *y = b;

	if (x->wd != y->wd)
		return x->wd < y->wd ? -1 : 1;
	return strcmp(x->name, y->name);
}

static struct dir *dir_of(const struct watching *w, int wd)
{
	struct dir key = { .wd = wd };
	struct dir **at = tfind(&key, &w->dirs, by_wd);

	return at ? *at : NULL;
}

static void add_path(struct buf *out, const struct dir *d)
{
	if (d->parent)
		add_path(out, d->parent);
	if (d->parent && out->len && out->p[out->len - 1] != '/')
		buf_ch(out, '/');
	buf_str(out, d->name);
}

/* Of an entry of d; name "" is d itself. Caller frees. */
static char *path_of(const struct dir *d, const char *name)
{
	auto_buf path = BUF_INIT;

	add_path(&path, d);
	if (*name && path.len && path.p[path.len - 1] != '/')
		buf_ch(&path, '/');
	buf_str(&path, name);
	return mem_strdup(path.p);
}

static void place(struct dir *d, struct dir *parent, const char *name)
{
	char *copy = mem_strdup(name);

	if (d->parent)
		LIST_REMOVE(d, sibling);
	free(d->name);
	d->parent = parent;
	d->name = copy;
	if (parent)
		LIST_INSERT_HEAD(&parent->below, d, sibling);
}

static struct dir *dir_add(struct watching *w, int wd, struct dir *parent, const char *name)
{
	struct dir *d = dir_of(w, wd);

	if (!d) {
		d = mem_zalloc(sizeof(*d));
		d->wd = wd;
		LIST_INIT(&d->below);
		if (!tsearch(d, &w->dirs, by_wd))
			op_error(w->op, ENOMEM, "out of memory"); /* pump ends */
		w->n_dirs++;
	}
	if (d != w->root)
		place(d, parent, name);
	return d;
}

/* Forget d and all below it; their watches go too, unless the kernel has taken them back itself. */
static void dir_drop(struct watching *w, struct dir *d)
{
	struct dir *child;

	while ((child = LIST_FIRST(&d->below))) {
		LIST_REMOVE(child, sibling);
		child->parent = NULL;
		dir_drop(w, child);
	}
	if (d->parent)
		LIST_REMOVE(d, sibling);
	tdelete(d, &w->dirs, by_wd);
	w->n_dirs--;
	inotify_rm_watch(w->fd, d->wd);
	free(d->name);
	free(d);
}

static struct dir *child_of(const struct dir *d, const char *name)
{
	struct dir *c;

	LIST_FOREACH(c, &d->below, sibling)
	if (!strcmp(c->name, name))
		return c;
	return NULL;
}

/* ---- lines ---- */

static void flush(struct watching *w)
{
	if (w->out.len && op_write_all(STDOUT_FILENO, w->out.p, w->out.len))
		w->over = true; /* nobody listens */
	buf_clear(&w->out);
}

static void put_path(struct jw *w, const char *key, const char *path)
{
	size_t n = strlen(path);

	jw_kstr(w, key, path);
	for (size_t at = 0, one; at < n; at += one) {
		one = utf8_len(path + at, n - at);
		if (!one) {
			auto_free char *raw_key = mem_printf("%sBase64", key);
			auto_buf raw = BUF_INIT;

			b64_encode(&raw, path, n);
			jw_kstr(w, raw_key, raw.p);
			return;
		}
	}
}

static void begin(struct watching *w, struct jw *j, const char *event, const struct dir *d, const char *name)
{
	auto_free char *path = path_of(d, name);

	jw_init(j, &w->out);
	jw_obj(j);
	jw_kstr(j, "event", event);
	put_path(j, "path", path);
}

static void end(struct watching *w, struct jw *j)
{
	jw_obj_end(j);
	buf_ch(&w->out, '\n');
	if (w->out.len >= OUT_FLUSH)
		flush(w);
}

/* name "": d itself. */
static void tell(struct watching *w, const char *event, const struct dir *d, const char *name, bool is_dir)
{
	struct jw j;

	if (w->only && (d != w->root || strcmp(name, w->only) != 0))
		return;
	begin(w, &j, event, d, name);
	jw_kbool(&j, "directory", is_dir);
	end(w, &j);
}

static void tell_overflow(struct watching *w, const struct dir *d, const char *name, const char *reason)
{
	struct jw j;

	begin(w, &j, "overflow", d, name);
	jw_kstr(&j, "reason", reason);
	end(w, &j);
}

/* ---- new folders ---- */

static void remember_told(struct watching *w, const struct dir *d, const char *name)
{
	struct told *e = mem_zalloc(sizeof(*e));
	struct told **at;

	*e = (struct told){ d->wd, mem_strdup(name) };
	at = tsearch(e, &w->told, by_told);
	if (!at || *at != e) {
		free(e->name);
		free(e);
	}
}

static void told_free(void *p)
{
	struct told *e = p;

	free(e->name);
	free(e);
}

static void forget_told(struct watching *w)
{
	tdestroy(w->told, told_free);
	w->told = NULL;
}

static bool was_told(struct watching *w, const struct dir *d, const char *name)
{
	struct told key = { d->wd, mem_strdup(name) };
	struct told **at = tfind(&key, &w->told, by_told), *e = at ? *at : NULL;

	if (e) {
		tdelete(&key, &w->told, by_told);
		told_free(e);
	}
	free(key.name);
	return e != NULL;
}

/* Watch a folder below the root. NULL when it is gone, not ours to see, or one too many (which is told). */
static struct dir *watch_dir(struct watching *w, struct dir *parent, const char *name, const char *path)
{
	int wd = inotify_add_watch(w->fd, path, CHANGES | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK);

	if (wd >= 0)
		return dir_add(w, wd, parent, name);
	if (errno == ENOSPC || errno == ENOMEM)
		tell_overflow(w, parent, name, "the limit of watched folders is reached (fs.inotify.max_user_watches)");
	return NULL;
}

/* One step of the walk of a folder; top is the one that has begun it. Folders found keep their struct dir in fts_pointer. */
static void visit(struct watching *w, FTS *fts, FTSENT *e, struct dir *top, bool loud)
{
	struct dir *parent = e->fts_level > 0 ? e->fts_parent->fts_pointer : NULL;
	bool is_dir = e->fts_info == FTS_D;

	if (e->fts_level == 0) {
		e->fts_pointer = top;
		return;
	}
	if (e->fts_info == FTS_DP || !parent)
		return;
	if (is_dir) {
		e->fts_pointer = watch_dir(w, parent, e->fts_name, e->fts_accpath);
		if (!e->fts_pointer)
			fts_set(fts, e, FTS_SKIP);
	}
	if (loud) {
		remember_told(w, parent, e->fts_name);
		tell(w, "create", parent, e->fts_name, is_dir);
	}
}

/* Watch all folders below one that is watched. loud: it is new, and so is what is in it. */
static void watch_below(struct watching *w, struct dir *top, bool loud)
{
	auto_free char *path = path_of(top, "");
	char *roots[] = { path, NULL };
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR | FTS_XDEV, NULL);
	FTSENT *e;

	while (fts && !w->over && (e = fts_read(fts)))
		visit(w, fts, e, top, loud);
	if (fts)
		fts_close(fts);
}

/* A folder has appeared. */
static void adopt(struct watching *w, struct dir *parent, const char *name)
{
	auto_free char *path = path_of(parent, name);
	struct dir *d = w->recursive ? watch_dir(w, parent, name, path) : NULL;

	if (d)
		watch_below(w, d, true);
}

/* ---- events ---- */

/* The first half of a move without its second: it went to where we do not look. */
static void went_away(struct watching *w)
{
	struct dir *moved = w->from.name && w->from.is_dir ? child_of(w->from.dir, w->from.name) : NULL;

	if (!w->from.name)
		return;
	tell(w, "delete", w->from.dir, w->from.name, w->from.is_dir);
	if (moved)
		dir_drop(w, moved);
	free(w->from.name);
	w->from.name = NULL;
}

static void arrived(struct watching *w, struct dir *d, const struct inotify_event *e)
{
	bool is_dir = e->mask & IN_ISDIR, paired = w->from.name && w->from.cookie == e->cookie;
	bool wanted = !w->only || (d == w->root && (!strcmp(e->name, w->only) || (paired && !strcmp(w->from.name, w->only))));
	struct dir *moved, *replaced;
	struct jw j;

	if (!paired) {
		if (was_told(w, d, e->name))
			return;
		tell(w, "create", d, e->name, is_dir);
		if (is_dir)
			adopt(w, d, e->name);
		return;
	}
	if (wanted) {
		auto_free char *from = path_of(w->from.dir, w->from.name);

		begin(w, &j, "move", d, e->name);
		put_path(&j, "from", from);
		jw_kbool(&j, "directory", is_dir);
		end(w, &j);
	}
	moved = is_dir ? child_of(w->from.dir, w->from.name) : NULL;
	replaced = is_dir ? child_of(d, e->name) : NULL;
	if (replaced && replaced != moved)
		dir_drop(w, replaced);
	if (moved)
		place(moved, d, e->name);
	else if (is_dir)
		adopt(w, d, e->name); /* it moved before it was watched */
	free(w->from.name);
	w->from.name = NULL;
}

static void on_root_gone(struct watching *w)
{
	if (!w->only)
		tell(w, "delete", w->root, "", true);
	else
		tell(w, "delete", w->root, w->only, false);
	w->over = true;
}

static void on_change(struct watching *w, struct dir *d, const struct inotify_event *e)
{
	bool is_dir = e->mask & IN_ISDIR;
	/* what is created after a deletion is another one than that which was told */
	bool told = e->mask & (IN_CREATE | IN_DELETE | IN_MOVED_FROM) && was_told(w, d, e->name);

	if (e->mask & IN_CREATE) {
		if (told)
			return;
		tell(w, "create", d, e->name, is_dir);
		if (is_dir)
			adopt(w, d, e->name);
	} else if (e->mask & IN_DELETE) {
		tell(w, "delete", d, e->name, is_dir);
	} else if (e->mask & IN_MODIFY) {
		tell(w, "modify", d, e->name, is_dir);
	} else if (e->mask & IN_ATTRIB) {
		tell(w, "attrib", d, e->name, is_dir);
	} else if (e->mask & IN_MOVED_FROM) {
		w->from.cookie = e->cookie;
		w->from.dir = d;
		w->from.name = mem_strdup(e->name);
		w->from.is_dir = is_dir;
	}
}

/* Folders that were made meanwhile are watched from now on. */
static void on_overflow(struct watching *w)
{
	tell_overflow(w, w->root, "", "changes came faster than they were read");
	forget_told(w);
	if (w->recursive)
		watch_below(w, w->root, false);
}

static void on_event(struct watching *w, const struct inotify_event *e)
{
	struct dir *d = e->mask & IN_Q_OVERFLOW ? NULL : dir_of(w, e->wd);

	if (w->from.name && !(e->mask & IN_MOVED_TO && e->cookie == w->from.cookie)) {
		went_away(w);
		d = dir_of(w, e->wd); /* it may have been dropped just now */
	}
	if (e->mask & IN_Q_OVERFLOW)
		on_overflow(w);
	if (!d)
		return; /* of a folder that we have let go */
	if (d == w->root && e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED))
		on_root_gone(w);
	else if (e->mask & IN_IGNORED)
		dir_drop(w, d);
	else if (e->mask & IN_MOVED_TO)
		arrived(w, d, e);
	else if (e->len > 0)
		on_change(w, d, e);
	else if (d == w->root)
		tell(w, "attrib", d, "", true); /* of the others their parents tell the same */
}

/* Wait for events; true when there are some. While half a move is there, its other half is waited for no longer than PAIR_MS. */
static bool wait_events(struct watching *w)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };
	int n = poll(&p, 1, 0);

	if (n > 0)
		return true;
	if (w->from.name) {
		if (poll(&p, 1, PAIR_MS) > 0)
			return true;
		went_away(w);
	}
	forget_told(w);
	flush(w);
	return !w->over && poll(&p, 1, -1) > 0;
}

static int pump(struct watching *w)
{
	char queue[QUEUE_SIZE] __attribute__((aligned(__alignof__(struct inotify_event))));

	while (!w->over && !w->op->failed) {
		if (!wait_events(w))
			continue;
		ssize_t n = read(w->fd, queue, sizeof(queue));

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return op_fail(w->op, errno, w->op->path);
		for (ssize_t at = 0; at < n && !w->over;) {
			const struct inotify_event *e = (const void *)(queue + at);

			on_event(w, e);
			at += (ssize_t)(sizeof(*e) + e->len);
		}
		if (buf_failed(&w->out))
			return op_error(w->op, ENOMEM, "out of memory");
	}
	flush(w);
	return w->op->failed ? -1 : 0;
}

/* ---- start ---- */

static int fail_add(struct op *o, int sys)
{
	if (sys == ENOSPC)
		return op_error(o, sys, "the limit of watched folders is reached (fs.inotify.max_user_watches)");
	return op_fail(o, sys, o->path);
}

/* A file is watched by its folder, so that one that is replaced by another of its name is seen too. path is cut to the folder. */
static int watch_root(struct watching *w, char *path)
{
	int wd = inotify_add_watch(w->fd, path, ROOT_CHANGES | IN_ONLYDIR | IN_EXCL_UNLINK);

	if (wd < 0 && errno == ENOTDIR && !access(path, F_OK)) {
		char *slash = strrchr(path, '/');

		w->only = slash + 1;
		w->recursive = false;
		*slash = '\0';
		wd = inotify_add_watch(w->fd, slash == path ? "/" : path, ROOT_CHANGES | IN_ONLYDIR | IN_EXCL_UNLINK);
	}
	if (wd < 0)
		return fail_add(w->op, errno);
	w->root = dir_add(w, wd, NULL, *path ? path : "/");
	return 0;
}

int op_watch(struct op *o)
{
	auto_free char *path = op_absolute(o->path);
	auto_fd int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct watching w = { .op = o, .fd = fd, .recursive = wire_rec_get_u64(o->r.p, o->r.n, WT_RECURSIVE, 0) };
	struct jw j;
	int r;

	if (fd < 0)
		return op_error(o, errno, errno == EMFILE ? "too many watches are under way" : "this kernel cannot watch files");
	buf_init(&w.out);
	if (watch_root(&w, path))
		return -1;
	op_started(o);
	if (w.recursive)
		watch_below(&w, w.root, false);
	begin(&w, &j, "ready", w.root, w.only ? w.only : "");
	jw_kint(&j, "folders", w.n_dirs);
	end(&w, &j);
	flush(&w);
	r = pump(&w);
	buf_free(&w.out); /* the folders go with this process */
	return r;
}
