#include "daemon/guest/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST_FREE 3
#define KERNEL_SIGSET 8 /* bytes */
#define UMASK 022

/*
 * A system call that returns -errno. The child of a command shares our memory, errno too, while we run on: libc's
 * wrappers would change the errno that we are about to look at.
 */
static long sys(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return r;
}

/* Session, terminal, descriptors 0 to 2, signals, priority, umask. 0 or -errno. */
static long set_up(const struct spawn_io *io)
{
	static const long zeros[4]; /* the kernel's struct sigaction for SIG_DFL, and an empty signal set */
	long r = sys(SYS_setsid, 0, 0, 0, 0);

	for (int i = 0; r >= 0 && i < FIRST_FREE; i++)
		r = sys(SYS_dup2, io->fds[i], i, 0, 0);
	if (r >= 0 && io->tty)
		r = sys(SYS_ioctl, 0, TIOCSCTTY, 0, 0);
	if (r < 0)
		return r;
	/* SIGPIPE is the one signal that is not at its default here */
	sys(SYS_rt_sigaction, SIGPIPE, (long)zeros, 0, KERNEL_SIGSET);
	sys(SYS_rt_sigprocmask, SIG_SETMASK, (long)zeros, 0, KERNEL_SIGSET);
	if (io->reset_nice)
		sys(SYS_setpriority, PRIO_PROCESS, 0, 0, 0);
	sys(SYS_umask, UMASK, 0, 0, 0);
	return 0;
}

/* As user_become. */
static long become(const struct user *u)
{
	long r = sys(SYS_geteuid, 0, 0, 0, 0);

	if (r != 0)
		return r == (long)u->uid ? 0 : -EPERM;
	r = sys(SYS_setgroups, (long)u->n_groups, (long)u->groups, 0, 0);
	if (r >= 0)
		r = sys(SYS_setresgid, u->gid, u->gid, u->gid, 0);
	if (r >= 0)
		r = sys(SYS_setresuid, u->uid, u->uid, u->uid, 0);
	return r;
}

static long change_folder(const struct spawn_command *c)
{
	long r = sys(SYS_chdir, (long)c->cwd, 0, 0, 0);

	return r < 0 && !c->cwd_asked ? sys(SYS_chdir, (long)"/", 0, 0, 0) : r;
}

/* Try every candidate. Returns the -errno that says most. */
static long exec_any(const struct spawn_command *c)
{
	long best = -ENOENT;

	for (char **path = c->paths; *path; path++) {
		long r = sys(SYS_execve, (long)*path, (long)c->argv, (long)c->env, 0);

		if (r == -ENOEXEC) {
			c->script_argv[1] = *path;
			sys(SYS_execve, (long)c->script_argv[0], (long)c->script_argv, (long)c->env, 0);
			return r;
		}
		if (r == -ETXTBSY || r == -E2BIG || r == -ENOMEM)
			return r;
		if (r != -ENOENT && r != -ENOTDIR && best == -ENOENT)
			best = r;
	}
	return best;
}

static int command_child(void *arg)
{
	const struct spawn_command *c = arg;
	struct spawn_failure f = { .stage = SPAWN_SETUP };
	long r = set_up(&c->io);

	if (r >= 0)
		r = sys(SYS_close_range, FIRST_FREE, 0xffffffffL, CLOSE_RANGE_CLOEXEC, 0);
	if (r >= 0) {
		f.stage = SPAWN_USER;
		r = become(&c->user);
	}
	if (r >= 0) {
		f.stage = SPAWN_CWD;
		r = change_folder(c);
	}
	if (r >= 0) {
		f.stage = SPAWN_EXEC;
		r = exec_any(c);
	}
	f.sys = (int32_t)-r;
	sys(SYS_write, c->io.status, (long)&f, sizeof(f), 0);
	sys(SYS_exit_group, 127, 0, 0, 0);
	return 127;
}

pid_t spawn_command(struct spawn_command *c)
{
	return clone(command_child, c->stack + sizeof(c->stack), CLONE_VM | SIGCHLD, c);
}

pid_t spawn_function(const struct spawn_io *io, int (*fn)(void *arg, int status_fd), void *arg)
{
	pid_t pid = fork();
	int status;

	if (pid)
		return pid;
	status = io->status;
	if (set_up(io) == 0) {
		/* no exec will close the other streams' pipes for us */
		status = status == FIRST_FREE ? status : dup2(status, FIRST_FREE);
		if (status >= 0 && close_range(FIRST_FREE + 1, ~0U, 0) == 0)
			_exit(fn(arg, status));
	}
	_exit(126);
}
