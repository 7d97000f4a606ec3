#include "daemon/vm/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shared/base/mem.h"

enum { LOG_SIZE = 65536, HIGH_FD = 100 };

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
	struct rlimit none = { 0, 0 };
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	/* when memory runs out a guest shall go before the daemon */
	if (fd >= 0) {
		ssize_t r = write(fd, "500", 3);
		(void)r;
		close(fd);
	}
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* huge pages would give each of a hundred idle VMs 3.5 MB more of private memory and make nothing faster (measured) */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

/* QEMU needs no network of its own: all its sockets are given to it. Root can take it away in a moment; for others it
 * would need a user namespace, which cuts them off from their own files' group access. */
static void child_isolate(void)
{
	if (geteuid() == 0 && unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)) {
		static const char note[] = "sbxd: no namespaces for the vmm\n";
		ssize_t r = write(STDERR_FILENO, note, sizeof(note) - 1);
		(void)r;
	}
}

_Noreturn static void child_exec(char *const *argv, char *owner)
{
	static char path[] = "PATH=/usr/bin:/bin", locale[] = "LC_ALL=C";
	char *env[] = { path, locale, owner, NULL };

	execve(argv[0], argv, env);
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
	child_exec(s->net_argv, owner);
}

_Noreturn static void child_main(const struct spawn *s, pid_t parent, char *owner)
{
	int high[SPAWN_FDS_MAX];
	int null = child_high(open("/dev/null", O_RDWR | O_CLOEXEC));
	int log = child_high(s->log_fd);
	int hold = child_high(s->hold_fd);
	int net = child_high(s->net_fd);
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
	/* now, not at exec: a held child must not keep another one's pipe, or the daemon's files, open */
	close_range((unsigned)next + (net >= 0 ? 2 : 1), ~0u, 0);
	while (hold >= 0) {
		ssize_t n = read(next, &byte, 1);
		if (n == 1)
			break;
		if (n == 0 || errno != EINTR)
			_exit(0); /* the daemon has died or changed its mind */
	}
	child_limits();
	/* if the parent has ended before prctl, its place as our parent has been taken by another */
	if (s->die_with_parent && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent))
		_exit(0);
	if (s->net_argv)
		child_start_net(s, next + 1, owner);
	close_range((unsigned)next, ~0u, 0);
	child_isolate();
	child_exec(s->argv, owner);
}

pid_t spawn_start(const struct spawn *s, struct err *err)
{
	sigset_t all, old;
	pid_t parent = getpid();
	auto_free char *owner = s->owner ? mem_printf("SBX_VM=%s", s->owner) : NULL;

	if (s->fd_count > SPAWN_FDS_MAX)
		return err_set(err, ERR_INTERNAL, "too many descriptors for a vmm");
	/* no handler of ours may run in the child */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid_t pid = _Fork();
	if (pid == 0)
		child_main(s, parent, owner);
	int sys = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return pid < 0 ? err_sys(err, sys, "cannot fork") : pid;
}
