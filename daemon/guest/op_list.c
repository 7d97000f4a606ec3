/* Operations that describe files: list, stat. One JSON object a line. */
#include <errno.h>
#include <fts.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "daemon/guest/op.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"

#define OUT_FLUSH 32768

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFBLK:
		return "block";
	default:
		return "character";
	}
}

/* As ls prints it: "-rwsr-xr-t". */
static void permissions(mode_t mode, char out[11])
{
	static const struct {
		mode_t type;
		char c;
	} types[] = { { S_IFREG, '-' }, { S_IFDIR, 'd' }, { S_IFLNK, 'l' }, { S_IFIFO, 'p' }, { S_IFSOCK, 's' }, { S_IFBLK, 'b' },
		{ S_IFCHR, 'c' } };

	out[0] = '?';
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if ((mode & S_IFMT) == types[i].type)
			out[0] = types[i].c;
	for (unsigned i = 0; i < 9; i++)
		out[i + 1] = mode & (0400u >> i) ? "rwx"[i % 3] : '-';
	if (mode & S_ISUID)
		out[3] = mode & S_IXUSR ? 's' : 'S';
	if (mode & S_ISGID)
		out[6] = mode & S_IXGRP ? 's' : 'S';
	if (mode & S_ISVTX)
		out[9] = mode & S_IXOTH ? 't' : 'T';
	out[10] = '\0';
}

static void base64(struct buf *out, const char *s, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *)s;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);

		buf_ch(out, digits[v >> 18]);
		buf_ch(out, digits[v >> 12 & 63]);
		buf_ch(out, i + 1 < n ? digits[v >> 6 & 63] : '=');
		buf_ch(out, i + 2 < n ? digits[v & 63] : '=');
	}
}

static int64_t ms(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

/* What is being written: lines go out when there is enough of them. */
struct lister {
	struct buf out;
	bool resolve;
	struct user_cache users;
};

static struct lister lister_of(const struct op *o)
{
	return (struct lister){ .out = BUF_INIT, .resolve = wire_rec_get_u64(o->r.p, o->r.n, WT_RESOLVE, 0) != 0 };
}

static void put_owner(struct lister *l, struct jw *w, const struct stat *st)
{
	const char *owner = user_name(&l->users, st->st_uid), *group = user_group_name(&l->users, st->st_gid);
	char id[16];

	snprintf(id, sizeof(id), "%u", st->st_uid);
	jw_kstr(w, "owner", *owner ? owner : id);
	snprintf(id, sizeof(id), "%u", st->st_gid);
	jw_kstr(w, "group", *group ? group : id);
	jw_kint(w, "uid", st->st_uid);
	jw_kint(w, "gid", st->st_gid);
}

static void put_target(struct jw *w, const char *access_path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(access_path, target, sizeof(target));

	jw_key(w, "target");
	if (n < 0)
		jw_null(w);
	else
		jw_strn(w, target, (size_t)n);
}

/* Where a link leads in the end, and what is there; nothing when it leads nowhere. */
static void put_resolved(struct jw *w, const char *access_path)
{
	auto_free char *real = realpath(access_path, NULL);
	struct stat st;

	if (!real || stat(real, &st))
		return;
	jw_kstr(w, "resolved", real);
	jw_kstr(w, "resolvedType", type_name(st.st_mode));
	jw_kint(w, "resolvedMode", st.st_mode & 07777);
}

/* One line. access_path: how the file can be reached now; path: what it is called. */
static void describe(struct lister *l, const char *name, const char *path, const char *access_path, const struct stat *st)
{
	char text[11];
	struct jw w;

	jw_init(&w, &l->out);
	jw_obj(&w);
	jw_kstr(&w, "name", name);
	if (!utf8_valid(name, strlen(name))) {
		auto_buf raw = BUF_INIT;

		base64(&raw, name, strlen(name));
		jw_kstr(&w, "nameBase64", raw.p);
	}
	jw_kstr(&w, "path", path);
	jw_kstr(&w, "type", type_name(st->st_mode));
	jw_kint(&w, "size", st->st_size);
	jw_kint(&w, "mode", st->st_mode & 07777);
	permissions(st->st_mode, text);
	jw_kstr(&w, "permissions", text);
	put_owner(l, &w, st);
	jw_kint(&w, "modifiedWallMs", ms(&st->st_mtim));
	jw_kint(&w, "accessedWallMs", ms(&st->st_atim));
	jw_kint(&w, "changedWallMs", ms(&st->st_ctim));
	jw_kint(&w, "inode", (int64_t)st->st_ino);
	jw_kint(&w, "links", (int64_t)st->st_nlink);
	if (S_ISLNK(st->st_mode))
		put_target(&w, access_path);
	if (S_ISLNK(st->st_mode) && l->resolve)
		put_resolved(&w, access_path);
	jw_kint(&w, "device", (int64_t)(S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode) ? st->st_rdev : st->st_dev));
	jw_obj_end(&w);
	buf_ch(&l->out, '\n');
}

static int flush(struct op *o, struct lister *l, size_t more_than)
{
	if (buf_failed(&l->out))
		return op_error(o, ENOMEM, "out of memory");
	if (l->out.len <= more_than)
		return 0;
	if (op_write_all(STDOUT_FILENO, l->out.p, l->out.len))
		return op_error(o, errno, "cannot write: %s", strerror(errno));
	buf_clear(&l->out);
	return 0;
}

char *op_absolute(const char *path)
{
	char cwd[PATH_MAX];
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	if (path[0] == '/' || !getcwd(cwd, sizeof(cwd)))
		return mem_strndup(path, n);
	return mem_printf("%s/%.*s", strcmp(cwd, "/") ? cwd : "", (int)n, path);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

int op_stat(struct op *o)
{
	auto_free char *path = op_absolute(o->path);
	struct lister l = lister_of(o);
	struct stat st;
	int r;

	if (lstat(o->path, &st))
		return op_fail(o, errno, o->path);
	describe(&l, base_name(path), path, o->path, &st);
	r = flush(o, &l, 0);
	buf_free(&l.out);
	user_cache_free(&l.users);
	return r;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* One step of the walk. 0 or -1. */
static int visit(struct op *o, struct lister *l, FTS *fts, FTSENT *e, int64_t depth)
{
	switch (e->fts_info) {
	case FTS_DP:
		return 0;
	case FTS_ERR:
	case FTS_DNR:
	case FTS_NS:
		if (e->fts_level > 0 && (e->fts_errno == ENOENT || e->fts_errno == EACCES))
			return 0; /* vanished meanwhile, or not ours to see */
		return op_fail(o, e->fts_errno, e->fts_path);
	default:
		break;
	}
	if (e->fts_level == 0)
		return 0;
	if (e->fts_info == FTS_D && e->fts_level >= depth && fts_set(fts, e, FTS_SKIP))
		return op_fail(o, errno, e->fts_path);
	describe(l, e->fts_name, e->fts_path, e->fts_accpath, e->fts_statp);
	return flush(o, l, OUT_FLUSH);
}

int op_list(struct op *o)
{
	auto_free char *path = op_absolute(o->path);
	char *roots[] = { path, NULL };
	struct lister l = lister_of(o);
	uint64_t depth = wire_rec_get_u64(o->r.p, o->r.n, WT_DEPTH, 1);
	struct stat st;
	FTSENT *e;
	FTS *fts;
	int r = 0;

	if (stat(path, &st))
		return op_fail(o, errno, o->path);
	if (!S_ISDIR(st.st_mode))
		return op_fail(o, ENOTDIR, o->path);
	fts = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW, by_name);
	if (!fts)
		return op_fail(o, errno, o->path);
	op_started(o);
	errno = 0;
	while (r == 0 && (e = fts_read(fts)))
		r = visit(o, &l, fts, e, depth > INT32_MAX ? INT32_MAX : (int64_t)depth);
	if (r == 0 && errno)
		r = op_fail(o, errno, o->path);
	if (r == 0)
		r = flush(o, &l, 0);
	fts_close(fts);
	buf_free(&l.out);
	user_cache_free(&l.users);
	return r;
}
