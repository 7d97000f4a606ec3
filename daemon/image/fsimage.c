#include "daemon/image/fsimage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "daemon/image/erofs.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/tree.h"

#define DEPTH_MAX 1000u			/* deeper paths no program could name */
#define PRUNE_AFTER_MS (10 * 60 * 1000) /* a VM may be about to be started on it */
#define SUFFIX ".erofs"

char *fsimage_path(const char *cache, const struct hash *tree)
{
	char hex[HASH_HEX + 1];
	return mem_printf("%s/fs/%s" SUFFIX, cache, hash_hex(tree, hex));
}

bool fsimage_ready(const char *cache, const struct hash *tree)
{
	auto_free char *path = fsimage_path(cache, tree);
	/* its time says when it was last used */
	return utimensat(AT_FDCWD, path, NULL, 0) == 0;
}

/* ---- from the tree ---- */

struct making {
	struct store *s;
	struct erofs *image;
	unsigned depth;
	fsimage_stop *stop;
	void *arg;
};

static int check_stop(const struct making *m, struct err *err)
{
	return m->stop && m->stop(m->arg) ? err_set(err, ERR_UNAVAILABLE, "the image of the tree was called off") : 0;
}

static int add_piece(void *arg, const void *data, size_t n, struct err *err)
{
	const struct making *m = arg;
	return check_stop(m, err) ? -1 : erofs_file_data(m->image, data, n, err);
}

static int add_file(struct making *m, struct erofs_name name, const struct entry *f, struct err *err)
{
	if (erofs_file_begin(m->image, name, f->mode & 07777, f->size, err) || tree_read(m->s, f, 0, f->size, add_piece, m, err))
		return -1;
	return erofs_file_end(m->image, err);
}

/* "MAJOR:MINOR" of a device. */
static dev_t device_of(const struct entry *f)
{
	char text[32] = "";
	unsigned long numbers[2] = { 0, 0 };
	memcpy(text, f->data, f->chunked || f->size >= sizeof(text) ? 0 : (size_t)f->size);
	char *end = text;
	numbers[0] = strtoul(text, &end, 10);
	if (*end == ':')
		numbers[1] = strtoul(end + 1, NULL, 10);
	return makedev((unsigned)numbers[0], (unsigned)numbers[1]);
}

static int add_folder(struct making *m, const struct hash *id, struct err *err);

static int add_child(struct making *m, const struct child *c, struct err *err)
{
	struct erofs_name name = { c->name, c->name_len };
	bool mode_only = c->has_file && entry_is_dir_mode(&c->file);
	if (c->has_dir && c->has_file && !mode_only) {
		err_set(err, ERR_INVALID, "'%.*s' is a file and a folder at once", (int)name.n, name.p);
		return err_hint(err, "a file system cannot hold both");
	}
	if (c->has_dir) {
		if (erofs_dir_begin(m->image, name, mode_only ? c->file.mode & 07777 : OBJECT_DIR_MODE, err) ||
			add_folder(m, &c->dir, err))
			return -1;
		return erofs_dir_end(m->image, err);
	}
	if (entry_is_link(&c->file))
		return erofs_link(m->image, name, (struct erofs_name){ c->file.link, c->file.link_len }, err);
	if (entry_is_special(&c->file))
		return erofs_special(m->image, name, c->file.mode, device_of(&c->file), err);
	return mode_only ? 0 : add_file(m, name, &c->file, err);
}

static int add_folder(struct making *m, const struct hash *id, struct err *err)
{
	struct tree_node t;
	if (check_stop(m, err))
		return -1;
	if (m->depth >= DEPTH_MAX)
		return err_set(err, ERR_INVALID, "the tree has paths through more than %u folders", DEPTH_MAX);
	if (tree_load(m->s, id, &t, err))
		return -1;
	m->depth++;
	int r = 0;
	for (uint32_t i = 0; i < t.node.count && r == 0; i++)
		r = add_child(m, &t.node.children[i], err);
	m->depth--;
	tree_unload(&t);
	return r;
}

static int write_image(int fd, struct making *m, const struct hash *tree, struct err *err)
{
	uint64_t size = 0;
	m->image = erofs_new(fd, FSIMAGE_SIZE, clock_wall_ms() / 1000);
	int r = add_folder(m, tree, err);
	if (r == 0)
		r = erofs_end(m->image, &size, err);
	erofs_free(m->image);
	/* the guest's drive has one size, whatever is on it */
	if (r == 0 && (ftruncate(fd, (off_t)FSIMAGE_SIZE) || fdatasync(fd)))
		r = err_sys(err, errno, "cannot write a file system image");
	return r;
}

static int make_locked(const char *path, struct making *m, const struct hash *tree, struct err *err)
{
	auto_free char *tmp = mem_printf("%s.tmp", path);
	if (fs_exists(path))
		return 0;
	/* we hold the lock: what is there was left by one that died */
	auto_fd int fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "cannot create '%s'", tmp);
	int r = write_image(fd, m, tree, err);
	if (r == 0 && rename(tmp, path))
		r = err_sys(err, errno, "cannot rename '%s'", tmp);
	if (r)
		unlink(tmp);
	return r;
}

int fsimage_make(const char *cache, struct store *s, const struct hash *tree, fsimage_stop *stop, void *arg, struct err *err)
{
	struct making m = { .s = s, .stop = stop, .arg = arg };
	if (fsimage_ready(cache, tree))
		return 0;
	auto_free char *dir = fs_join(cache, "fs");
	auto_free char *path = fsimage_path(cache, tree);
	/* as many lock files as a byte has values: they are never removed */
	auto_free char *lock_path = mem_printf("%s/.lock-%02x", dir, tree->b[0]);
	if (fs_mkdirs(dir, 0700, err))
		return -1;
	auto_fd int lock = fs_lock(lock_path, true, err);
	if (lock < 0 || make_locked(path, &m, tree, err))
		return -1;
	fsimage_prune(cache, FSIMAGE_CACHE_MAX);
	return 0;
}

/* ---- the cache ---- */

struct cached {
	char *path;
	int64_t used_ms;
	uint64_t bytes;
	bool kept; /* by a sandbox: removing our name for it would free nothing */
};

static int by_use(const void *a, const void *b)
{
	const struct cached *x = a, *y = b;
	return (x->used_ms > y->used_ms) - (x->used_ms < y->used_ms);
}

static struct cached *list_cached(const char *dir, size_t *n, uint64_t *bytes)
{
	struct cached *list = NULL;
	DIR *d = opendir(dir);
	const struct dirent *e;
	struct stat st;
	*n = 0;
	*bytes = 0;
	while (d && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): own stream */
		auto_free char *path = fs_join(dir, e->d_name);
		if (!str_ends(e->d_name, SUFFIX) || lstat(path, &st))
			continue;
		list = mem_grow(list, *n + 1, sizeof(*list));
		list[*n] = (struct cached){ .used_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000,
			.bytes = (uint64_t)st.st_blocks * 512,
			.kept = st.st_nlink > 1 };
		*bytes += list[*n].bytes;
		list[(*n)++].path = mem_steal(&path);
	}
	if (d)
		closedir(d);
	return list;
}

void fsimage_prune(const char *cache, uint64_t max)
{
	auto_free char *dir = fs_join(cache, "fs");
	size_t n;
	uint64_t bytes;
	struct cached *list = list_cached(dir, &n, &bytes);
	if (n > 0)
		qsort(list, n, sizeof(*list), by_use);
	for (size_t i = 0; i < n; i++) {
		if (bytes > max && clock_wall_ms() - list[i].used_ms > PRUNE_AFTER_MS && !list[i].kept && !unlink(list[i].path))
			bytes -= list[i].bytes;
		free(list[i].path);
	}
	free(list);
}
