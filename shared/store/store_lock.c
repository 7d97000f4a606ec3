/* store: who may write, and who holds gc off. flock, so that a lock ends with the process that had it, however it ended. */
#include "shared/store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int store_open_lock(struct store *s, const char *name, int *fd, struct err *err)
{
	if (*fd < 0)
		*fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC);
	if (*fd < 0 && errno == ENOENT && !s->read_only)
		*fd = openat(s->dir_fd, name, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
	return *fd >= 0 ? 0 : err_sys(err, errno, "cannot open the lock '%s' of '%s'", name, s->path);
}

/* Who has it, as the kernel lists it: "1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF". 0 when that cannot be told. */
static int holder_of(int fd)
{
	struct stat st;
	char line[256];
	int pid = 0;
	FILE *f = fopen("/proc/locks", "re");
	if (!f)
		return 0;
	while (!pid && !fstat(fd, &st) && fgets(line, sizeof(line), f)) {
		int owner = 0;
		unsigned major, minor;
		unsigned long inode;
		/* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers */
		int got = sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%lu", &owner, &major, &minor, &inode);
		if (got == 4 && inode == (unsigned long)st.st_ino && makedev(major, minor) == st.st_dev)
			pid = owner;
	}
	fclose(f);
	return pid;
}

int store_flock(struct store *s, int fd, int how, bool wait, const char *what, struct err *err)
{
	if (!flock(fd, how | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK && wait && !flock(fd, how))
		return 0;
	if (errno != EWOULDBLOCK)
		return err_sys(err, errno, "cannot lock the store '%s'", s->path);
	int pid = holder_of(fd);
	if (pid > 0)
		err_set(err, ERR_CONFLICT, "process %d %s the store '%s'", pid, what, s->path);
	else
		err_set(err, ERR_CONFLICT, "another process %s the store '%s'", what, s->path);
	return err_hint(err, "wait until it is done, and try again");
}

int store_hold(struct store *s, struct err *err)
{
	if (s->holds || s->gc) {
		s->holds++;
		return 0;
	}
	struct err why = ERR_INIT;
	if (store_open_lock(s, "gc.lock", &s->gc_fd, &why)) {
		/* nobody can collect on a file system that nobody can write */
		if (s->read_only) {
			s->holds++;
			return 0;
		}
		if (err)
			*err = why;
		return -1;
	}
	if (store_flock(s, s->gc_fd, LOCK_SH, true, "collects garbage in", err))
		return -1;
	s->holds++;
	/* what was collected before is not there any more, also for us */
	if (!store_refresh(s, true, err))
		return 0;
	store_release(s);
	return -1;
}

void store_release(struct store *s)
{
	if (s->holds && !--s->holds && !s->gc && s->gc_fd >= 0)
		flock(s->gc_fd, LOCK_UN);
}

int store_gc_lock(struct store *s, bool wait, struct err *err)
{
	if (s->holds)
		return err_set(err, ERR_CONFLICT, "objects of the store '%s' are in use by this process", s->path);
	if (store_need_write(s, err) || store_open_lock(s, "gc.lock", &s->gc_fd, err) ||
		store_flock(s, s->gc_fd, LOCK_EX, wait, "uses objects of", err))
		return -1;
	s->gc = true;
	return 0;
}

void store_gc_unlock(struct store *s)
{
	s->gc = false;
	if (s->gc_fd >= 0)
		flock(s->gc_fd, LOCK_UN);
}
