/* store: opening and closing, and what it holds. */
#include "shared/store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/store/store_internal.h"

static const char format[] = "sbx store 1\n";

/* What a store that was never finished may consist of. */
static bool ours(const char *name)
{
	static const char *const names[] = { ".", "..", "packs", "labels", "tmp", "lock", "gc.lock" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return !strncmp(name, "format.tmp-", 11);
}

static int check_empty(const char *path, struct err *err)
{
	DIR *d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : err_sys(err, errno, "cannot open '%s'", path);
	const struct dirent *e;
	int rc = 0;
	while (!rc && (e = readdir(d)) != NULL) /* NOLINT(concurrency-mt-unsafe): the stream is ours */
		if (!ours(e->d_name))
			rc = err_set(err, ERR_INVALID, "'%s' is neither a store nor empty", path);
	closedir(d);
	if (rc)
		err_hint(err, "name a folder that is empty or does not exist yet");
	return rc;
}

/* Any number of processes may do this at once: the file that makes it a store comes last. */
static int make_store(const char *path, struct err *err)
{
	static const char *const folders[] = { "packs", "labels", "tmp" };
	if (check_empty(path, err) || fs_mkdirs(path, 0755, err))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		auto_free char *dir = fs_join(path, folders[i]);
		if (fs_mkdirs(dir, 0755, err))
			return -1;
	}
	auto_free char *gc = fs_join(path, "gc.lock"), *lock = fs_join(path, "lock"), *file = fs_join(path, "format");
	auto_fd int gc_fd = open(gc, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	auto_fd int lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (gc_fd < 0 || lock_fd < 0)
		return err_sys(err, errno, "cannot make the locks of '%s'", path);
	return fs_write_atomic(file, format, sizeof(format) - 1, 0644, err);
}

/* 0 a store, 1 none, -1 err. */
static int check_format(const char *path, struct err *err)
{
	auto_free char *file = fs_join(path, "format");
	auto_buf text = BUF_INIT;
	struct err why = ERR_INIT;
	if (fs_read(file, 256, &text, &why)) {
		if (why.sys == ENOENT || why.sys == ENOTDIR)
			return 1;
		if (err)
			*err = why;
		return -1;
	}
	if (!strcmp(text.p, format))
		return 0;
	if (strncmp(text.p, format, sizeof(format) - 3) != 0)
		return err_set(err, ERR_INVALID, "'%s' is not the format file of a store", file);
	err_set(err, ERR_UNAVAILABLE, "the store '%s' has a format that this version of sbx does not know", path);
	return err_hint(err, "use a newer sbx with this store");
}

static int open_folders(struct store *s, struct err *err)
{
	s->dir_fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		return err_sys(err, errno, "cannot open the store '%s'", s->path);
	s->packs_fd = openat(s->dir_fd, "packs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s->labels_fd = openat(s->dir_fd, "labels", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->packs_fd < 0 || s->labels_fd < 0)
		return err_sys(err, errno, "the store '%s' is not whole", s->path);
	s->read_only = faccessat(s->packs_fd, ".", W_OK, AT_EACCESS) || faccessat(s->labels_fd, ".", W_OK, AT_EACCESS);
	return 0;
}

struct store *store_open(const char *path, bool create, struct err *err)
{
	int rc = check_format(path, err);
	if (rc == 1 && !create) {
		err_set(err, ERR_NOT_FOUND, "there is no store at '%s'", path);
		return NULL;
	}
	if (rc < 0 || (rc == 1 && make_store(path, err)))
		return NULL;
	struct store *s = mem_zalloc(sizeof(*s));
	s->path = mem_strdup(path);
	s->dir_fd = s->packs_fd = s->labels_fd = s->lock_fd = s->gc_fd = s->w.fd = -1;
	pthread_rwlock_init(&s->lists, NULL);
	pthread_mutex_init(&s->put, NULL);
	pthread_mutex_init(&s->spare_lock, NULL);
	if (open_folders(s, err) || store_list(s, err)) {
		store_close(s);
		return NULL;
	}
	return s;
}

bool store_exists(const char *path)
{
	return check_format(path, NULL) != 1 || check_empty(path, NULL);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->w.on)
		store_abort(s);
	label_drop(s);
	for (size_t i = 0; i < s->count; i++)
		pack_unref(s->packs[i]);
	free(s->packs);
	const int fds[] = { s->dir_fd, s->packs_fd, s->labels_fd, s->lock_fd, s->gc_fd, s->w.fd };
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	codec_free_all(s);
	pthread_rwlock_destroy(&s->lists);
	pthread_mutex_destroy(&s->put);
	pthread_mutex_destroy(&s->spare_lock);
	free(s->w.buf);
	free(s->path);
	free(s);
}

const char *store_path(const struct store *s)
{
	return s->path;
}

bool store_read_only(const struct store *s)
{
	return s->read_only;
}

/* Bytes on disk of the files in a folder of the store. */
static uint64_t disk_of(int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	uint64_t total = 0;
	const struct dirent *e;
	struct stat st;
	while ((e = readdir(d)) != NULL) /* NOLINT(concurrency-mt-unsafe): the stream is ours */
		if (!fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode))
			total += (uint64_t)st.st_blocks * 512;
	closedir(d);
	return total;
}

static int add_total(void *arg, const struct hash *id, const struct store_info *info)
{
	struct store_totals *t = arg;
	(void)id;
	t->objects++;
	t->bytes += info->size;
	t->stored += info->stored;
	return 0;
}

int store_totals(struct store *s, struct store_totals *out, struct err *err)
{
	*out = (struct store_totals){ 0 };
	if (store_each(s, add_total, out, err))
		return -1;
	pthread_rwlock_rdlock(&s->lists);
	for (size_t i = 0; i < s->count; i++)
		out->packs += !s->packs[i]->gone;
	pthread_rwlock_unlock(&s->lists);
	auto_fd int index = openat(s->dir_fd, "index", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	out->disk = disk_of(s->dir_fd) + disk_of(s->packs_fd) + disk_of(s->labels_fd) + (index >= 0 ? disk_of(index) : 0);
	return 0;
}
