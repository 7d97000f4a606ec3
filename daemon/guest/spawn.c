/* Between fork and exec only system calls: everything was prepared by the parent. */
#include "daemon/guest/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_FREE 3

const char *spawn_stage_name(enum spawn_stage stage)
{
	static const char *const names[] = {
		[SPAWN_SETUP] = "set up the process",
		[SPAWN_USER] = "change the user",
		[SPAWN_CWD] = "change to the working directory",
		[SPAWN_EXEC] = "run the command",
	};

	return stage >= SPAWN_SETUP && stage <= SPAWN_EXEC ? names[stage] : "start";
}

/* Try every candidate; the errno that says most. */
static int exec_any(const struct spawn *s)
{
	int best = ENOENT;

	for (char **path = s->paths; *path; path++) {
		execve(*path, s->argv, s->env);
		if (errno == ENOEXEC) {
			s->script_argv[1] = *path;
			execve(s->script_argv[0], s->script_argv, s->env);
			return ENOEXEC;
		}
		if (errno != ENOENT && errno != ENOTDIR && best == ENOENT)
			best = errno;
		if (errno == ETXTBSY || errno == E2BIG || errno == ENOMEM)
			return errno;
	}
	return best;
}

static bool stdio(const struct spawn *s)
{
	if (setsid() < 0)
		return false;
	for (int i = 0; i < FIRST_FREE; i++)
		if (dup2(s->fds[i], i) < 0)
			return false;
	return !s->tty || ioctl(0, TIOCSCTTY, 0) == 0;
}

/* errno of what failed, with *stage; 0 does not happen for a command. */
static int child(const struct spawn *s, enum spawn_stage *stage)
{
	sigset_t none;
	int status = s->status;

	*stage = SPAWN_SETUP;
	if (!stdio(s))
		return errno;
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (s->reset_nice)
		setpriority(PRIO_PROCESS, 0, 0);
	umask(022);
	if (s->fn) {
		/* no exec will close the other streams' pipes for us */
		status = status == FIRST_FREE ? status : dup2(status, FIRST_FREE);
		if (status >= 0 && close_range(FIRST_FREE + 1, ~0U, 0) == 0)
			_exit(s->fn(s->arg, status));
		return errno;
	}
	if (close_range(FIRST_FREE, ~0U, CLOSE_RANGE_CLOEXEC))
		return errno;
	*stage = SPAWN_USER;
	if (user_become(s->user))
		return errno;
	*stage = SPAWN_CWD;
	if (chdir(s->cwd) && (s->cwd_asked || chdir("/")))
		return errno;
	*stage = SPAWN_EXEC;
	return exec_any(s);
}

pid_t spawn_child(const struct spawn *s)
{
	pid_t pid = fork();

	if (pid == 0) {
		enum spawn_stage stage;
		struct spawn_failure f = { 0 };
		int sys = child(s, &stage);

		f.stage = stage;
		f.sys = sys;
		if (s->fn || write(s->status, &f, sizeof(f)) < 0)
			_exit(126);
		_exit(127);
	}
	return pid;
}
