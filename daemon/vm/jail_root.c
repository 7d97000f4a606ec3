/* The files that a VMM sees. All of this runs between clone and exec: jail.h. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/vm/jail.h"
#include "shared/base/util.h"

enum { LINK_MAX_SIZE = 256, PARTS_MAX = 10 };
#define INNER "in"
#define PLACE "/proc" /* where the new root is put together: any folder that is certainly there */

/* Something of the host that shows up at the same path. */
struct part {
	const char *path;
	bool device;
	bool folder;
	int fd; /* a detached mount of it; -1: not here */
};

struct root {
	struct part parts[PARTS_MAX];
	unsigned n;
	int proc;
	int fd;	   /* the new mount */
	int place; /* a folder in it, which becomes the root */
};

static int attach(int from, int at, const char *to)
{
	return move_mount(from, "", at, to, MOVE_MOUNT_F_EMPTY_PATH);
}

static int set_flags(int fd, unsigned flags, uint64_t attributes)
{
	struct mount_attr a = { .attr_set = attributes };
	return mount_setattr(fd, "", AT_EMPTY_PATH | flags, &a, sizeof(a));
}

/* Mounts are taken off the old tree before the new one is put together, as it may hide them. A part that is not there, or may not
 * be taken, is left out: what needs it will say so. */
static void take(struct root *r, const char *path, bool device)
{
	struct stat st;
	struct part *p = &r->parts[r->n];

	*p = (struct part){ .path = path, .device = device, .fd = -1 };
	if (r->n == PARTS_MAX || stat(path, &st))
		return;
	p->folder = S_ISDIR(st.st_mode);
	p->fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (p->folder ? AT_RECURSIVE : 0));
	if (p->fd < 0)
		return;
	uint64_t flags = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | (device ? MOUNT_ATTR_NOEXEC : MOUNT_ATTR_NODEV);
	if (set_flags(p->fd, p->folder ? AT_RECURSIVE : 0, flags))
		close(p->fd);
	else
		r->n++;
}

/* Make the folders on the way to path, which is absolute, and path itself. */
static int make_place(int root, const char *path, bool folder)
{
	char part[PATH_MAX];
	size_t n = strlen(path);

	if (n >= sizeof(part))
		return -1;
	memcpy(part, path, n + 1);
	for (size_t i = 1; i < n; i++) {
		if (part[i] != '/')
			continue;
		part[i] = '\0';
		if (mkdirat(root, part + 1, 0755) && errno != EEXIST)
			return -1;
		part[i] = '/';
	}
	if (folder)
		return mkdirat(root, part + 1, 0755) && errno != EEXIST ? -1 : 0;
	int fd = openat(root, part + 1, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int put_parts(const struct root *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		const struct part *p = &r->parts[i];
		if (make_place(r->place, p->path, p->folder) || attach(p->fd, r->place, p->path + 1))
			return -1;
	}
	return make_place(r->place, "/proc", true) || attach(r->proc, r->place, "proc") ? -1 : 0;
}

/* A folder of the old root, or the symbolic link that it is on most systems today. */
static void take_or_link(struct root *r, const char *path)
{
	char target[LINK_MAX_SIZE];
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	if (n < 0) {
		take(r, path, false);
		return;
	}
	target[n] = '\0';
	/* without it the program interpreter is not found, which shows at exec */
	if (symlinkat(target, r->place, path + 1))
		return;
}

static int new_file_system(const char *type, const char *const options[][2], uint64_t attributes)
{
	int fs = fsopen(type, FSOPEN_CLOEXEC);
	bool failed = fs < 0;

	for (unsigned i = 0; !failed && options[i][0]; i++)
		failed = fsconfig(fs, FSCONFIG_SET_STRING, options[i][0], options[i][1], 0) != 0;
	failed = failed || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0;
	int fd = failed ? -1 : fsmount(fs, FSMOUNT_CLOEXEC, attributes);
	int sys = errno;
	if (fs >= 0)
		close(fs);
	errno = sys;
	return fd;
}

static int prepare(struct root *r, const struct jail *j)
{
	/* its own process and nothing else: QEMU opens /proc/self/fd */
	static const char *const proc_options[][2] = { { "subset", "pid" }, { "hidepid", "invisible" }, { NULL, NULL } };
	static const char *const root_options[][2] = { { "size", "64k" }, { "mode", "0755" }, { NULL, NULL } };

	r->proc =
		new_file_system("proc", proc_options, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	r->fd = r->proc < 0 ? -1 : new_file_system("tmpfs", root_options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (r->fd < 0 || mkdirat(r->fd, INNER, 0755))
		return -1;
	r->place = openat(r->fd, INNER, O_PATH | O_DIRECTORY | O_CLOEXEC);
	take(r, "/usr", false);
	take_or_link(r, "/lib");
	take_or_link(r, "/lib64");
	take(r, "/etc/ld.so.cache", false);
	if (j->prefix[0])
		take(r, j->prefix, false);
	take(r, "/dev/null", true);
	take(r, "/dev/zero", true);
	take(r, "/dev/urandom", true);
	if (j->kvm)
		take(r, "/dev/kvm", true);
	return r->place < 0 ? -1 : 0;
}

/* The root is a folder of the new mount, not all of it: who is chrooted cannot make a user namespace, in which he would be able to
 * mount, and to reach kernel code that is for root only. */
static int enter(const struct root *r)
{
	/* the old root ends up on top of the new one, and is taken off: pivot_root(2), "pivot_root(".", ".")" */
	if (put_parts(r) || set_flags(r->fd, 0, MOUNT_ATTR_RDONLY) || fchdir(r->fd) || syscall(SYS_pivot_root, ".", "."))
		return -1;
	if (umount2(".", MNT_DETACH) || chdir("/" INNER) || chroot("."))
		_exit(127); /* neither here nor there */
	return 0;
}

/* As `fd`, but through a mount that is read-only: -1 when it is not to be had. */
static int open_read_only(int fd)
{
	char link[sizeof("/proc/self/fd/") + 12] = "/proc/self/fd/", path[PATH_MAX];
	struct stat st, again;

	jail_put_number(link + strlen(link), (unsigned long)fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (n < 0 || fstat(fd, &st))
		return -1;
	path[n] = '\0';
	int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return -1;
	memset(link + sizeof("/proc/self/fd/") - 1, 0, 12);
	jail_put_number(link + sizeof("/proc/self/fd/") - 1, (unsigned long)tree);
	int now = set_flags(tree, 0, MOUNT_ATTR_RDONLY) ? -1 : open(link, O_RDONLY | O_CLOEXEC);
	close(tree);
	if (now >= 0 && !fstat(now, &again) && again.st_ino == st.st_ino && again.st_dev == st.st_dev)
		return now;
	if (now >= 0)
		close(now);
	errno = ESTALE;
	return -1;
}

/*
 * Its own files a process can open anew for writing through /proc/self/fd, or change the mode of, however they were given to it.
 * So those for reading are given to it through mounts that are read-only. (What belongs to root needs none of that.)
 */
static int protect(const struct jail *j)
{
	for (int fd = j->fd_first; fd < j->fd_end; fd++) {
		struct stat st;
		int flags = fcntl(fd, F_GETFL);
		if (flags < 0 || (flags & O_ACCMODE) != O_RDONLY || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_nlink == 0)
			continue; /* without a name: in memory */
		int now = open_read_only(fd);
		if (now < 0 || dup2(now, fd) < 0)
			return -1;
		close(now);
	}
	return 0;
}

static int change_root(const struct jail *j)
{
	struct mount_attr own = { .propagation = MS_PRIVATE };
	struct root r = { .proc = -1, .fd = -1, .place = -1 };

	if (unshare(CLONE_NEWNS) || mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &own, sizeof(own)) || (!j->root && protect(j)) ||
		prepare(&r, j) || attach(r.fd, AT_FDCWD, PLACE))
		return errno;
	if (!enter(&r))
		return 0;
	int sys = errno;
	umount2(PLACE, MNT_DETACH);
	return sys;
}

int jail_change_root(const struct jail *j)
{
	/* whatever the daemon's is: another user is to get at what is in there */
	mode_t mask = umask(022);
	int why = change_root(j);
	umask(mask);
	return why;
}
