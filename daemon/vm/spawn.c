#include "daemon/vm/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/vm/jail.h"
#include "shared/base/mem.h"

enum { LOG_SIZE = 65536, HIGH_FD = 100, SPAWN_OWN_FDS = 3 /* above those given: to wait on, for sbx-net, the parent's */ };

int spawn_log(struct err *err)
{
	int fd = memfd_create("vmm.log", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && !ftruncate(fd, LOG_SIZE) && !fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK))
		return fd;
	int sys = errno;
	if (fd >= 0)
		close(fd);
	return err_sys(err, sys, "cannot make a log");
}

static int copy_file(int from, off_t size)
{
	int to = memfd_create("file", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	while (to >= 0 && size > 0) {
		ssize_t n = sendfile(to, from, NULL, (size_t)size);
		if (n <= 0 && (n == 0 || errno != EINTR)) {
			close(to);
			return -1;
		}
		size -= n < 0 ? 0 : n;
	}
	return to;
}

int spawn_file(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st = { 0 };

	if (fd >= 0 && !fstat(fd, &st) && geteuid() == 0 && !(st.st_mode & S_IROTH)) {
		int copy = copy_file(fd, st.st_size);
		close(fd);
		fd = copy;
	}
	return fd < 0 ? err_sys(err, errno, "cannot read '%s'", path) : fd;
}

void spawn_log_read(int fd, struct buf *out)
{
	char *p = buf_reserve(out, LOG_SIZE);
	ssize_t n = p ? pread(fd, p, LOG_SIZE, 0) : 0;

	if (n > 0)
		buf_commit(out, strnlen(p, (size_t)n));
}

/* ---- in the child: only what is safe after a fork in a process with threads ---- */

_Noreturn static void child_fail(const char *what)
{
	ssize_t r = write(STDERR_FILENO, what, strlen(what));
	(void)r;
	_exit(127);
}

static void child_reset_signals(void)
{
	const struct sigaction usual = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		sigaction(s, &usual, NULL); /* fails for the two that cannot be changed, and need not */
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
}

/* Put `from` at `to`, open across exec. */
static void child_move(int from, int to)
{
	if (dup2(from, to) < 0)
		child_fail("cannot arrange descriptors\n");
}

static int child_high(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
}

static void child_limits(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	/* when memory runs out a guest shall go before the daemon */
	if (fd >= 0) {
		ssize_t r = write(fd, "500", 3);
		(void)r;
		close(fd);
	}
	/* huge pages would give each of a hundred idle VMs 3.5 MB more of private memory and make nothing faster (measured) */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

/* What the parent has prepared for the child. */
struct prepared {
	struct jail jail;
	char *owner; /* SBX_VM=... or NULL */
	int parent;  /* with die_with_parent: a pidfd of it; else -1 */
};

/* Killed with its parent. The pid of that says nothing where it is of another namespace, so its end, should it have come before, is
 * seen from a pidfd. */
static void child_follow_parent(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	if (pidfd >= 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) || poll(&p, 1, 0)))
		_exit(0);
}

_Noreturn static void child_exec(const char *program, char *const *argv, char *owner)
{
	static char path[] = "PATH=/usr/bin:/bin", locale[] = "LC_ALL=C";
	char *env[] = { path, locale, owner, NULL };

	execve(program, argv, env);
	child_fail("cannot run the vmm\n");
}

static void child_start_net(const struct spawn *s, int net_fd, char *owner)
{
	pid_t pid = _Fork();

	if (pid < 0)
		child_fail("cannot fork\n");
	if (pid > 0)
		return;
	child_move(net_fd, SPAWN_FD_FIRST);
	close_range(SPAWN_FD_FIRST + 1, ~0u, 0);
	child_exec(s->net_argv[0], s->net_argv, owner);
}

_Noreturn static void child_main(const struct spawn *s, const struct prepared *p)
{
	struct jail_report report;
	int high[SPAWN_FDS_MAX];
	int null = child_high(open("/dev/null", O_RDWR | O_CLOEXEC));
	int log = child_high(s->log_fd);
	int hold = child_high(s->hold_fd);
	int net = child_high(s->net_fd);
	int parent = child_high(p->parent);
	int next = SPAWN_FD_FIRST + (int)s->fd_count;
	char byte;

	for (unsigned i = 0; i < s->fd_count; i++)
		high[i] = child_high(s->fds[i]);
	setsid();
	child_reset_signals();
	child_move(null, 0);
	child_move(log, 1);
	child_move(log, 2);
	for (unsigned i = 0; i < s->fd_count; i++)
		child_move(high[i], SPAWN_FD_FIRST + (int)i);
	if (hold >= 0)
		child_move(hold, next);
	if (net >= 0)
		child_move(net, next + 1);
	if (parent >= 0)
		child_move(parent, next + 2);
	/* now, not at exec: a held child must not keep another one's pipe, or the daemon's files, open */
	close_range((unsigned)next + SPAWN_OWN_FDS, ~0u, 0);
	while (hold >= 0) {
		ssize_t n = read(next, &byte, 1);
		if (n == 1)
			break;
		if (n == 0 || errno != EINTR)
			_exit(0); /* the daemon has died or changed its mind */
	}
	child_limits();
	if (s->net_argv)
		child_start_net(s, next + 1, p->owner);
	if (jail_shut(&p->jail, &report))
		child_fail("cannot give up privileges\n");
	/* a change of user would undo it */
	child_follow_parent(parent >= 0 ? next + 2 : -1);
	close_range((unsigned)next, ~0u, 0);
	child_exec(p->jail.program, s->argv, p->owner);
}

static int prepare(const struct spawn *s, struct prepared *p, struct err *err)
{
	*p = (struct prepared){ .parent = -1 };
	if (s->fd_count > SPAWN_FDS_MAX)
		return err_set(err, ERR_INTERNAL, "too many descriptors for a vmm");
	if (jail_plan(&p->jail, s->argv[0], s->kvm, err))
		return -1;
	p->jail.fd_first = SPAWN_FD_FIRST;
	p->jail.fd_end = SPAWN_FD_FIRST + (int)s->fd_count;
	if (s->die_with_parent && (p->parent = pidfd_open(getpid(), 0)) < 0)
		return err_sys(err, errno, "cannot open ourselves");
	p->owner = s->owner ? mem_printf("SBX_VM=%s", s->owner) : NULL;
	return 0;
}

pid_t spawn_start(const struct spawn *s, struct err *err)
{
	struct prepared p;
	sigset_t all, old;

	if (prepare(s, &p, err))
		return -1;
	/* no handler of ours may run in the child */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid_t pid = jail_clone(&p.jail);
	if (pid == 0)
		child_main(s, &p);
	int sys = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (p.parent >= 0)
		close(p.parent);
	free(p.owner);
	return pid < 0 ? err_sys(err, sys, "cannot fork") : pid;
}
