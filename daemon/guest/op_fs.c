/* Operations on a tree of the host's store that is mounted here: mounting it, and telling what was changed since.
 *
 * The host gives a read-only drive with the tree on it (EROFS). Changes go to a folder of our own disk (the upper layer of an
 * overlay): what is there is what differs. Renames of folders copy (redirect_dir=off), so that each entry of the upper layer says
 * all about its path. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "daemon/guest/op.h"
#include "shared/base/mem.h"
#include "shared/wire/changes.h"

#define DRIVE_SECTORS "134217728" /* 64 GiB, whatever is on it */
#define LOWER "/run/sbx/fs/lower"
#define STATE "/var/lib/sbx/fs"
#define UPPER STATE "/upper"
#define WORK STATE "/work"

/* ---- mount ---- */

static bool reads_as(const char *drive, const char *what, const char *value)
{
	char text[32] = "";
	auto_free char *path = mem_printf("/sys/class/block/%s/%s", drive, what);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return !strcmp(text, value);
}

/* "/dev/NAME" of the host's drive, which is known by its size. Caller frees; NULL when there is none. */
static char *find_drive(void)
{
	DIR *d = opendir("/sys/class/block");
	const struct dirent *e;
	char *found = NULL;

	while (d && !found && (e = readdir(d)))
		if (!strncmp(e->d_name, "vd", 2) && reads_as(e->d_name, "ro", "1") && reads_as(e->d_name, "size", DRIVE_SECTORS))
			found = mem_printf("/dev/%s", e->d_name);
	if (d)
		closedir(d);
	return found;
}

/* What the kernel has read of the drive is from the time when the template was made, and nothing was on it. */
static int forget_cached(struct op *o, const char *drive)
{
	auto_fd int fd = open(drive, O_RDONLY | O_CLOEXEC);

	return fd < 0 || ioctl(fd, BLKFLSBUF, 0) ? op_fail(o, errno, drive) : 0;
}

int op_mount(struct op *o)
{
	static const char *const dirs[] = { LOWER, UPPER, WORK };
	static const char options[] =
		"lowerdir=" LOWER ",upperdir=" UPPER ",workdir=" WORK ",redirect_dir=off,metacopy=off,index=off,xino=off";
	auto_free char *drive = find_drive();

	if (!drive)
		return op_error(o, ENODEV, "there is no drive of the host's");
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (op_parents(o, dirs[i], true))
			return -1;
	/* who may not read the tree shall not find its changes either */
	if (chmod(STATE, 0700))
		return op_fail(o, errno, STATE);
	if (op_parents(o, o->path, true) || forget_cached(o, drive))
		return -1;
	if (mount(drive, LOWER, "erofs", MS_RDONLY | MS_NOATIME, NULL))
		return op_fail(o, errno, LOWER);
	if (mount("sbxfs", o->path, "overlay", MS_NOATIME, options))
		return op_fail(o, errno, o->path);
	return 0;
}

/* ---- changes ---- */

enum {
	FLUSH = 128 * 1024,
	TRIES = 8,
	TICK_MS = 20, /* times of files are not finer than that */
};

struct collector {
	struct op *o;
	struct buf out;
	bool layer; /* the upper layer of an overlay, with its marks */
	size_t root_len;
	uint64_t entries;
};

static int flush(struct collector *c, size_t above)
{
	if (buf_failed(&c->out))
		return op_error(c->o, ENOMEM, "out of memory");
	if (c->out.len <= above)
		return 0;
	if (op_write_all(STDOUT_FILENO, c->out.p, c->out.len))
		return op_fail(c->o, errno, c->o->path);
	buf_clear(&c->out);
	return 0;
}

static int put_entry(struct collector *c, enum change_kind kind, unsigned flags, unsigned mode, const char *path, const char *more)
{
	if (strlen(path) > CHANGES_PATH_MAX)
		return op_fail(c->o, ENAMETOOLONG, path);
	changes_put_path(&c->out, kind, flags, mode, path, more);
	c->entries++;
	return flush(c, FLUSH);
}

static int64_t age_ms(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (now.tv_sec - then->tv_sec) * 1000 + (now.tv_nsec - then->tv_nsec) / 1000000;
}

/* A change within the tick in which it was looked at would not show. */
static void outwait_tick(const struct stat *st)
{
	int64_t age = age_ms(&st->st_ctim);
	const struct timespec tick = { .tv_nsec = TICK_MS * 1000000L };

	if (age >= 0 && age < TICK_MS)
		nanosleep(&tick, NULL);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
		a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int put_data(struct collector *c, int fd, off_t at, off_t end, const char *path)
{
	while (at < end) {
		size_t want = end - at < (off_t)CHANGES_PAYLOAD ? (size_t)(end - at) : CHANGES_PAYLOAD, start = c->out.len;

		/* the header, which gets its length when it is known */
		changes_put(&c->out, CHANGE_DATA, 0, 0, "", 0);
		char *p = buf_reserve(&c->out, want);
		ssize_t n = p ? pread(fd, p, want, at) : -1;
		int sys = p ? errno : ENOMEM;

		c->out.len = n > 0 ? c->out.len : start;
		if (n < 0 && sys == EINTR)
			continue;
		if (n < 0)
			return op_fail(c->o, sys, path);
		if (n == 0)
			return 0; /* it became shorter: whoever compares sees it */
		for (size_t i = 0; i < 4; i++)
			c->out.p[start + 4 + i] = (char)((size_t)n >> (8 * i));
		buf_commit(&c->out, (size_t)n);
		at += n;
		if (flush(c, FLUSH))
			return -1;
	}
	return 0;
}

static int put_content(struct collector *c, int fd, const struct stat *st, const char *path)
{
	bool sparse = st->st_blocks * 512 < st->st_size;

	for (off_t at = 0; at < st->st_size;) {
		off_t data = sparse ? lseek(fd, at, SEEK_DATA) : at;
		off_t end = st->st_size;

		if (data < 0 && errno == ENXIO)
			data = st->st_size;
		if (data < 0)
			return op_fail(c->o, errno, path);
		if (data > at)
			changes_put_number(&c->out, CHANGE_HOLE, (uint64_t)(data - at));
		if (sparse && data < st->st_size)
			end = lseek(fd, data, SEEK_HOLE);
		if (end < 0 || end > st->st_size)
			end = st->st_size;
		if (data < end && put_data(c, fd, data, end, path))
			return -1;
		at = end;
	}
	return 0;
}

/* A file that is open, as it was at one instant: until two looks at it, before and behind its content, are the same. */
static int put_file(struct collector *c, int fd, const char *path)
{
	struct stat before, after;

	if (fstat(fd, &before))
		return op_fail(c->o, errno, path);
	if (put_entry(c, CHANGE_FILE, 0, before.st_mode & 07777, path, NULL))
		return -1;
	for (int i = 0; i < TRIES; i++) {
		outwait_tick(&before);
		if (put_content(c, fd, &before, path))
			return -1;
		if (fstat(fd, &after))
			return op_fail(c->o, errno, path);
		if (same_file(&before, &after)) {
			changes_put(&c->out, CHANGE_DONE, 0, 0, "", 0);
			return flush(c, FLUSH);
		}
		before = after;
		changes_put(&c->out, CHANGE_AGAIN, 0, before.st_mode & 07777, "", 0);
	}
	return op_error(c->o, EBUSY, "'%s' is being written all the time; stop its writer and try again", path);
}

static int put_link(struct collector *c, const char *at, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(at, target, sizeof(target) - 1);

	if (n < 0)
		return errno == ENOENT || errno == EINVAL ? 1 : op_fail(c->o, errno, path);
	target[n] = '\0';
	return put_entry(c, CHANGE_LINK, 0, 0777, path, target);
}

static int put_special(struct collector *c, const struct stat *st, const char *path)
{
	auto_free char *device = mem_printf("%u:%u", major(st->st_rdev), minor(st->st_rdev));

	if (c->layer && S_ISCHR(st->st_mode) && st->st_rdev == 0)
		return put_entry(c, CHANGE_GONE, 0, 0, path, NULL);
	return put_entry(c, CHANGE_SPECIAL, 0, st->st_mode, path, S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode) ? device : "");
}

static int put_dir(struct collector *c, const struct stat *st, const char *at, const char *path)
{
	char mark = 'n';
	bool opaque = c->layer && lgetxattr(at, "trusted.overlay.opaque", &mark, 1) == 1 && mark == 'y';

	return put_entry(c, CHANGE_DIR, opaque ? CHANGE_OPAQUE : 0, st->st_mode & 07777, path, NULL);
}

/* 1: it has become something else meanwhile. */
static int put_once(struct collector *c, const char *at, const char *path)
{
	struct stat st;

	if (lstat(at, &st))
		return errno == ENOENT || errno == ENOTDIR ? 0 : op_fail(c->o, errno, path);
	if (S_ISDIR(st.st_mode))
		return put_dir(c, &st, at, path);
	if (S_ISLNK(st.st_mode))
		return put_link(c, at, path);
	if (!S_ISREG(st.st_mode))
		return put_special(c, &st, path);
	auto_fd int fd = open(at, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENXIO))
		return 1;
	if (fd < 0 || fstat(fd, &st))
		return op_fail(c->o, errno, path);
	return S_ISREG(st.st_mode) ? put_file(c, fd, path) : 1;
}

static int put_any(struct collector *c, const FTSENT *e)
{
	const char *path = e->fts_path + c->root_len;
	int r = 1;

	path += strspn(path, "/");
	for (int i = 0; i < TRIES && r == 1; i++)
		r = put_once(c, e->fts_accpath, path);
	return r == 1 ? op_error(c->o, EBUSY, "'%s' is being replaced all the time; try again", path) : r;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int walk(struct collector *c, FTS *fts)
{
	const FTSENT *e;
	int r = 0;

	for (errno = 0; r == 0 && (e = fts_read(fts)); errno = 0) {
		bool failed = e->fts_info == FTS_ERR || e->fts_info == FTS_DNR || e->fts_info == FTS_NS;

		if (e->fts_info == FTS_DP || (e->fts_level == 0 && !failed) ||
			(failed && e->fts_level > 0 && e->fts_errno == ENOENT))
			continue;
		r = failed ? op_fail(c->o, e->fts_errno, e->fts_path) : put_any(c, e);
	}
	return r == 0 && errno ? op_fail(c->o, errno, c->o->path) : r;
}

static int collect(struct collector *c, char *root)
{
	char *roots[] = { root, NULL };
	/* other file systems below are not of this folder */
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_XDEV, by_name);
	int r;

	if (!fts)
		return op_fail(c->o, errno, root);
	c->root_len = strlen(root);
	op_started(c->o);
	r = walk(c, fts);
	fts_close(fts);
	if (r == 0) {
		changes_put_number(&c->out, CHANGE_END, c->entries);
		r = flush(c, 0);
	}
	return r;
}

int op_changes(struct op *o)
{
	auto_free char *name = wire_rec_get_str(o->r.p, o->r.n, WT_NAME);
	bool layer = name && !strcmp(name, "mount");
	auto_free char *root = layer ? mem_strdup(UPPER) : realpath(o->path, NULL);
	struct collector c = { .o = o, .layer = layer };
	struct stat st;

	if (!root || stat(root, &st))
		return op_fail(o, errno, layer ? UPPER : o->path);
	if (!S_ISDIR(st.st_mode))
		return op_fail(o, ENOTDIR, o->path);
	buf_init(&c.out);
	int r = collect(&c, root);
	buf_free(&c.out);
	return r;
}
