/* Operations on trees as tar streams, by libarchive. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "daemon/guest/op.h"
#include "shared/base/mem.h"

#define BLOCK 65536
#define XATTR_LIST_MAX 65536
#define SPARSE_MIN (1 << 20) /* smaller files are not worth a map that plain tools cannot read */

/* ---- tar ---- */

struct packer {
	struct op *o;
	struct archive *out;
	struct archive_entry_linkresolver *links;
	struct user_cache users;
	const char *name; /* of the root member */
	size_t root_len;  /* of the walk's root path */
	char data[BLOCK];
};

static int pack_error(struct packer *p, const char *path)
{
	return op_error(p->o, archive_errno(p->out), "cannot pack '%s': %s", path, archive_error_string(p->out));
}

static void add_xattrs(const char *path, struct archive_entry *entry)
{
	char list[XATTR_LIST_MAX], value[XATTR_LIST_MAX];
	ssize_t n = llistxattr(path, list, sizeof(list));

	for (const char *name = list; n > 0 && name < list + n; name += strlen(name) + 1) {
		ssize_t len;

		/* ACLs and the like need more than a copy */
		if (!strncmp(name, "system.", 7))
			continue;
		len = lgetxattr(path, name, value, sizeof(value));
		if (len >= 0)
			archive_entry_xattr_add_entry(entry, name, value, (size_t)len);
	}
}

/* Tell the archive where the data of a file with holes is. */
static void add_sparse(int fd, const struct stat *st, struct archive_entry *entry)
{
	off_t at = 0;

	if (st->st_size < SPARSE_MIN || st->st_blocks * 512 >= st->st_size)
		return;
	while (at < st->st_size) {
		off_t data = lseek(fd, at, SEEK_DATA);
		off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);

		if (hole < 0)
			break;
		archive_entry_sparse_add_entry(entry, data, hole - data);
		at = hole;
	}
	if (at == 0 && st->st_blocks == 0)
		archive_entry_sparse_add_entry(entry, st->st_size, 0);
	if (lseek(fd, 0, SEEK_SET) < 0)
		archive_entry_sparse_clear(entry);
}

static int pack_data(struct packer *p, int fd, const char *path, off_t left)
{
	while (left > 0) {
		ssize_t n = read(fd, p->data, left < BLOCK ? (size_t)left : BLOCK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return op_fail(p->o, errno, path);
		if (n == 0)
			break; /* it became shorter: the archive fills up with zeros */
		if (archive_write_data(p->out, p->data, (size_t)n) < 0)
			return pack_error(p, path);
		left -= n;
	}
	return 0;
}

static int pack_entry(struct packer *p, struct archive_entry *entry, const FTSENT *e, int fd)
{
	struct archive_entry *first = entry, *spare = NULL;

	archive_entry_linkify(p->links, &first, &spare);
	/* for tar the resolver gives every entry back at once, a later name of the same file as a link without data */
	if (!first || archive_write_header(p->out, first) < ARCHIVE_WARN)
		return pack_error(p, e->fts_path);
	if (fd < 0 || archive_entry_size(first) <= 0)
		return 0;
	return pack_data(p, fd, e->fts_path, archive_entry_size(first));
}

/* "NAME", "NAME/below", or "below" for NAME ".". Caller frees. */
static char *member_name(const struct packer *p, const FTSENT *e)
{
	const char *below = e->fts_path + p->root_len;

	while (*below == '/')
		below++;
	if (!strcmp(p->name, "."))
		return mem_strdup(below);
	return *below ? mem_printf("%s/%s", p->name, below) : mem_strdup(p->name);
}

static int pack_file(struct packer *p, const FTSENT *e)
{
	auto_free char *name = member_name(p, e);
	auto_fd int fd = -1;
	char target[PATH_MAX];
	struct stat st = *e->fts_statp;
	struct archive_entry *entry;
	ssize_t n;
	int r;

	if (!*name || S_ISSOCK(st.st_mode))
		return 0; /* the root of a "." archive; sockets cannot be packed */
	if (S_ISREG(st.st_mode)) {
		fd = open(e->fts_accpath, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			return 0; /* vanished meanwhile */
		if (fd < 0 || fstat(fd, &st))
			return op_fail(p->o, errno, e->fts_path);
	}
	entry = archive_entry_new();
	if (!entry)
		return op_error(p->o, ENOMEM, "out of memory");
	archive_entry_copy_stat(entry, &st);
	archive_entry_copy_pathname(entry, name);
	archive_entry_copy_uname(entry, user_name(&p->users, st.st_uid));
	archive_entry_copy_gname(entry, user_group_name(&p->users, st.st_gid));
	if (S_ISLNK(st.st_mode)) {
		n = readlink(e->fts_accpath, target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = '\0';
		archive_entry_copy_symlink(entry, target);
	}
	add_xattrs(e->fts_accpath, entry);
	if (fd >= 0)
		add_sparse(fd, &st, entry);
	r = pack_entry(p, entry, e, fd);
	archive_entry_free(entry);
	return r;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int walk(struct packer *p, FTS *fts)
{
	FTSENT *e;
	int r = 0;

	errno = 0;
	while (r == 0 && (e = fts_read(fts))) {
		if (e->fts_info == FTS_DP)
			continue;
		if (e->fts_info == FTS_NS && e->fts_level > 0 && e->fts_errno == ENOENT)
			continue;
		if (e->fts_info == FTS_ERR || e->fts_info == FTS_DNR || e->fts_info == FTS_NS)
			r = op_fail(p->o, e->fts_errno, e->fts_path);
		else
			r = pack_file(p, e);
		errno = 0;
	}
	return r == 0 && errno ? op_fail(p->o, errno, p->o->path) : r;
}

static int pack_tree(struct packer *p)
{
	char *roots[] = { p->o->path, NULL };
	FTS *fts = fts_open(roots, FTS_PHYSICAL, by_name);
	int r;

	if (!fts)
		return op_fail(p->o, errno, p->o->path);
	op_started(p->o);
	r = walk(p, fts);
	fts_close(fts);
	if (r == 0 && archive_write_close(p->out) != ARCHIVE_OK)
		r = pack_error(p, p->o->path);
	return r;
}

/* Last component of the real path ("/" is "."). Caller frees. */
static char *default_name(const char *path)
{
	auto_free char *real = realpath(path, NULL);
	const char *slash = strrchr(real && path[strspn(path, "./")] == '\0' ? real : path, '/');

	if (slash)
		slash++;
	else
		slash = path;
	return mem_strdup(*slash ? slash : ".");
}

int op_tar(struct op *o)
{
	struct packer *p = mem_zalloc(sizeof(*p));
	auto_free char *name = NULL;
	struct stat st;
	size_t n = strlen(o->path);
	int r = -1;

	/* "link/" is the folder that the link names, "link" the link: so slashes count until here */
	if (lstat(o->path, &st)) {
		free(p);
		return op_fail(o, errno, o->path);
	}
	if (n > 1 && o->path[n - 1] == '/') {
		char *real = realpath(o->path, NULL);

		while (n > 1 && o->path[n - 1] == '/')
			o->path[--n] = '\0';
		name = default_name(o->path);
		if (real)
			o->path = real; /* until the child ends */
	} else {
		name = default_name(o->path);
	}
	p->o = o;
	p->root_len = strlen(o->path);
	p->out = archive_write_new();
	p->links = archive_entry_linkresolver_new();
	p->name = wire_rec_get_str(o->r.p, o->r.n, WT_NAME);
	if (!p->name || !*p->name)
		p->name = name;
	if (!p->out || !p->links || archive_write_set_format_pax(p->out) != ARCHIVE_OK ||
		archive_write_set_bytes_per_block(p->out, BLOCK) != ARCHIVE_OK ||
		archive_write_set_bytes_in_last_block(p->out, 1) != ARCHIVE_OK ||
		archive_write_open_fd(p->out, STDOUT_FILENO) != ARCHIVE_OK) {
		op_error(o, ENOMEM, "cannot start packing");
	} else {
		archive_entry_linkresolver_set_strategy(p->links, archive_format(p->out));
		r = pack_tree(p);
	}
	archive_entry_linkresolver_free(p->links);
	archive_write_free(p->out);
	user_cache_free(&p->users);
	free(p);
	return r;
}

/* ---- untar ---- */

static int64_t uid_of(void *users, const char *name, int64_t id)
{
	int64_t found = name && *name ? user_id(users, name) : -1;

	return found < 0 ? id : found;
}

static int64_t gid_of(void *users, const char *name, int64_t id)
{
	int64_t found = name && *name ? user_group_id(users, name) : -1;

	return found < 0 ? id : found;
}

static int unpack_error(struct op *o, struct archive *a, const char *entry)
{
	const char *why = archive_error_string(a) ? archive_error_string(a) : "damaged";
	int sys = archive_errno(a);

	if (sys == ENOSPC || sys == EDQUOT)
		why = strerror(sys); /* libarchive says only that a write failed */
	if (sys <= 0 || sys == EILSEQ)
		sys = EINVAL;
	if (!entry)
		return op_error(o, sys, "not a tar archive that can be read: %s", why);
	return op_error(o, sys, "cannot unpack '%s': %s", entry, why);
}

static int unpack_data(struct op *o, struct archive *in, struct archive *disk, const char *name)
{
	const void *block;
	int64_t offset;
	size_t n;
	int r;

	while ((r = archive_read_data_block(in, &block, &n, &offset)) == ARCHIVE_OK)
		if (archive_write_data_block(disk, block, n, offset) != ARCHIVE_OK) /* a full disk is but a warning to it */
			return unpack_error(o, disk, name);
	return r == ARCHIVE_EOF ? 0 : unpack_error(o, in, name);
}

static int unpack_all(struct op *o, struct archive *in, struct archive *disk)
{
	struct archive_entry *entry;
	int r;

	while ((r = archive_read_next_header(in, &entry)) >= ARCHIVE_WARN && r != ARCHIVE_EOF) {
		const char *name = archive_entry_pathname(entry);

		if (!name || !*name)
			return op_error(o, EINVAL, "the archive has a member without a usable name");
		if (archive_write_header(disk, entry) < ARCHIVE_WARN)
			return unpack_error(o, disk, name);
		if (unpack_data(o, in, disk, name))
			return -1;
		if (archive_write_finish_entry(disk) < ARCHIVE_WARN)
			return unpack_error(o, disk, name);
	}
	if (r != ARCHIVE_EOF)
		return unpack_error(o, in, NULL);
	return archive_write_close(disk) < ARCHIVE_WARN ? unpack_error(o, disk, o->path) : 0;
}

static int unpack(struct op *o, struct archive *in, struct archive *disk, struct user_cache *users)
{
	int flags = ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_XATTR | ARCHIVE_EXTRACT_SPARSE |
		ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS;

	if (!in || !disk)
		return op_error(o, ENOMEM, "out of memory");
	if (wire_rec_get_u64(o->r.p, o->r.n, WT_OWNERS, 0))
		flags |= ARCHIVE_EXTRACT_OWNER;
	archive_write_disk_set_options(disk, flags);
	archive_write_disk_set_user_lookup(disk, users, uid_of, NULL);
	archive_write_disk_set_group_lookup(disk, users, gid_of, NULL);
	archive_read_support_format_tar(in);
	archive_read_support_format_empty(in);
	archive_read_support_filter_gzip(in);
	archive_read_support_filter_zstd(in);
	if (archive_read_open_fd(in, STDIN_FILENO, BLOCK) != ARCHIVE_OK)
		return unpack_error(o, in, NULL);
	return unpack_all(o, in, disk);
}

int op_untar(struct op *o)
{
	struct user_cache users = { 0 };
	struct archive *in, *disk;
	int r;

	if (op_parents(o, o->path, true))
		return -1;
	if (chdir(o->path))
		return op_fail(o, errno, o->path);
	op_started(o);
	in = archive_read_new();
	disk = archive_write_disk_new();
	r = unpack(o, in, disk, &users);
	archive_read_free(in);
	archive_write_free(disk);
	user_cache_free(&users);
	return r;
}
