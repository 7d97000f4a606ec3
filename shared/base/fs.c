#include "shared/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/mem.h"

enum { TEMPORARY_OLD_S = 60 };

int fs_read(const char *path, size_t max, struct buf *out, struct err *err)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot open '%s'", path);
	size_t total = 0;
	for (;;) {
		/* one byte past max tells a file that is too large; files of /proc have no size to ask for */
		size_t room = max - total < 65536 ? max - total + 1 : 65536;
		char *p = buf_reserve(out, room);
		if (!p)
			return err_set(err, ERR_TOO_LARGE, "no memory to read '%s'", path);
		ssize_t n = read(fd, p, room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "cannot read '%s'", path);
		if ((size_t)n > max - total)
			return err_set(err, ERR_TOO_LARGE, "'%s' is larger than %zu bytes", path, max);
		if (n == 0)
			return 0;
		buf_commit(out, (size_t)n);
		total += (size_t)n;
	}
}

int fs_write_all(int fd, const void *data, size_t n, struct err *err)
{
	const char *p = data;
	while (n > 0) {
		ssize_t done = write(fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_sys(err, errno, "cannot write");
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

/* The folder part of path, allocated. */
static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return mem_strdup(".");
	return slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
}

static int sync_folder(const char *path, struct err *err)
{
	auto_free char *dir = parent_of(path);
	auto_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		return err_sys(err, errno, "cannot sync '%s'", dir);
	return 0;
}

static int write_temporary(int fd, const void *data, size_t n, mode_t mode, struct err *err)
{
	if (fs_write_all(fd, data, n, err))
		return -1;
	if (fchmod(fd, mode) || fsync(fd))
		return err_sys(err, errno, "cannot sync");
	return 0;
}

#define TEMPORARY ".tmp-"
#define RANDOM_PART "XXXXXX" /* of mkostemp */

int fs_write_atomic(const char *path, const void *data, size_t n, mode_t mode, struct err *err)
{
	auto_free char *tmp = mem_printf("%s" TEMPORARY RANDOM_PART, path);
	auto_fd int fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot create '%s'", tmp);
	if (write_temporary(fd, data, n, mode, err)) {
		err_prefix(err, "'%s'", path);
	} else if (rename(tmp, path)) {
		err_sys(err, errno, "cannot replace '%s'", path);
	} else {
		return sync_folder(path, err);
	}
	unlink(tmp);
	return -1;
}

static bool is_temporary(const char *name)
{
	static const size_t tail = sizeof(TEMPORARY RANDOM_PART) - 1;
	size_t n = strlen(name);
	return n > tail && !strncmp(name + n - tail, TEMPORARY, sizeof(TEMPORARY) - 1);
}

void fs_sweep_temporaries(const char *dir)
{
	time_t old = time(NULL) - TEMPORARY_OLD_S;
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		struct stat st;
		if (is_temporary(e->d_name) && !fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
			st.st_mtime < old)
			(void)unlinkat(dirfd(d), e->d_name, 0); /* the next start tries again */
	}
	if (d)
		closedir(d);
}

/* One folder; an existing one is fine and keeps its mode. */
static int make_folder(const char *path, mode_t mode, struct err *err)
{
	struct stat st;
	if (!mkdir(path, mode)) {
		/* the umask may have taken bits away */
		if (chmod(path, mode))
			return err_sys(err, errno, "cannot set the mode of '%s'", path);
		return 0;
	}
	int sys = errno;
	if (sys == EEXIST && !stat(path, &st)) {
		if (S_ISDIR(st.st_mode))
			return 0;
		sys = ENOTDIR;
	}
	return err_sys(err, sys, "cannot create folder '%s'", path);
}

int fs_mkdirs(const char *path, mode_t mode, struct err *err)
{
	auto_free char *copy = mem_strdup(path);
	size_t n = strlen(copy);
	while (n > 1 && copy[n - 1] == '/')
		copy[--n] = '\0';
	for (char *p = strchr(copy + (n > 0), '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (access(copy, F_OK) && make_folder(copy, mode & 0755, err))
			return -1;
		*p = '/';
	}
	return make_folder(copy, mode, err);
}

bool fs_exists(const char *path)
{
	struct stat st;
	return !lstat(path, &st);
}

off_t fs_allocated(const char *path)
{
	struct stat st;
	return lstat(path, &st) ? 0 : st.st_blocks * 512;
}

int fs_lock(const char *path, bool wait, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "cannot open '%s'", path);
	int rc = 0;
	do {
		rc = flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB);
	} while (rc && errno == EINTR);
	if (!rc)
		return fd;
	int sys = errno;
	close(fd);
	if (sys == EWOULDBLOCK)
		return err_set(err, ERR_CONFLICT, "'%s' is locked by another process", path);
	return err_sys(err, sys, "cannot lock '%s'", path);
}

char *fs_join(const char *dir, const char *name)
{
	return mem_printf("%s/%s", dir, name);
}

/* path made absolute and without slashes at its end; it need not exist. */
static char *absolute(const char *path, struct err *err)
{
	auto_free char *cwd = getcwd(NULL, 0);
	if (path[0] != '/' && !cwd) {
		err_sys(err, errno, "cannot tell the current folder");
		return NULL;
	}
	char *full = path[0] == '/' ? mem_strdup(path) : fs_join(cwd, path);
	size_t n = strlen(full);
	while (n > 1 && full[n - 1] == '/')
		full[--n] = '\0';
	return full;
}

/* An empty variable counts as unset. Ours never change once threads run. */
static const char *env(const char *name)
{
	const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe) */
	return value && *value ? value : NULL;
}

static char *env_or_home(const char *name, const char *below, struct err *err)
{
	const char *value = env(name), *home = env("HOME");
	if (value)
		return absolute(value, err);
	if (!home) {
		err_set(err, ERR_INVALID, "neither '%s' nor 'HOME' is set", name);
		err_hint(err, "set %s to a folder of your own", name);
		return NULL;
	}
	auto_free char *path = fs_join(home, below);
	return absolute(path, err);
}

char *fs_sbx_home(struct err *err)
{
	if (geteuid() == 0 && !env("SBX_HOME"))
		return mem_strdup("/var/lib/sbx");
	return env_or_home("SBX_HOME", ".local/share/sbx", err);
}

char *fs_sbx_cache(struct err *err)
{
	return env_or_home("SBX_CACHE", ".cache/sbx", err);
}

char *fs_exe_dir(struct err *err)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n < 0) {
		err_sys(err, errno, "cannot read '/proc/self/exe'");
		return NULL;
	}
	path[n] = '\0';
	return parent_of(path);
}
