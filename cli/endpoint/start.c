#include "cli/endpoint/start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/config.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define START_MS 10000
#define READY_FD 3

int start_lock(const char *home, struct err *err)
{
	if (fs_mkdirs(home, 0700, err))
		return -1;
	auto_free char *path = fs_join(home, "start.lock");
	return fs_lock(path, true, err);
}

struct launch {
	char *program; /* with a slash, or a name for PATH */
	int log, ready;
};

/* In the child, between fork and exec: only async-signal-safe calls, and everything was prepared before. */
static void run_child(const struct launch *l)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	umask(077);
	/* the descriptors were made above READY_FD, so that these cannot clobber each other */
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(l->log, 1) < 0 || dup2(l->log, 2) < 0 || dup2(l->ready, READY_FD) < 0)
		return;
	close_range(READY_FD + 1, ~0U, 0);
	if (chdir("/"))
		return;
	char fd_text[] = { '0' + READY_FD, '\0' };
	char name[] = "sbxd", flag[] = "--ready-fd";
	char *argv[] = { name, flag, fd_text, NULL };
	execvp(l->program, argv);
	const char *why = strerror(errno);
	static const char text[] = "cannot run 'sbxd': ";
	if (write(READY_FD, text, sizeof(text) - 1) > 0 && write(READY_FD, why, strlen(why)) < 0)
		return;
}

/* Twice forked, so that the daemon is nobody's child and no session leader of a terminal. */
static int spawn(const struct launch *l, struct err *err)
{
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(err, errno, "cannot start a process");
	if (pid == 0) {
		setsid();
		if (fork() == 0)
			run_child(l);
		_exit(0);
	}
	while (waitpid(pid, NULL, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "cannot wait for a process");
	return 0;
}

/* Read what the daemon says of its start: one line. */
static int wait_ready(int fd, const char *log_path, struct err *err)
{
	char text[512] = "";
	size_t n = 0;
	int64_t end = clock_mono_ms() + START_MS;
	while (n < sizeof(text) - 1 && !memchr(text, '\n', n)) {
		int64_t left = end - clock_mono_ms();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int rc = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (rc == 0) {
			err_set(err, ERR_UNAVAILABLE, "the daemon did not come up within %d s", START_MS / 1000);
			return err_hint(err, "its log: %s", log_path);
		}
		ssize_t got = rc > 0 ? read(fd, text + n, sizeof(text) - 1 - n) : -1;
		if (got == 0)
			break;
		if (got < 0 && errno != EINTR)
			return err_sys(err, errno, "cannot hear from the daemon");
		n += got > 0 ? (size_t)got : 0;
	}
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (strcmp(text, "ready") == 0)
		return 0;
	err_set(err, ERR_UNAVAILABLE, "the daemon did not start%s%s", *text ? ": " : "", text);
	return err_hint(err, "its log: %s", log_path);
}

/* The descriptor moved above those that the child takes for itself. */
static int lift(int fd)
{
	if (fd < 0 || fd > READY_FD)
		return fd;
	int high = fcntl(fd, F_DUPFD_CLOEXEC, READY_FD + 1);
	close(fd);
	return high;
}

/* The daemon runs in "/": relative folders in the environment must become absolute first. */
static int fix_environment(const char *home, struct err *err)
{
	auto_free char *cache = fs_sbx_cache(err);
	struct config *config = config_load(err);
	if (!cache || !config) {
		config_free(config);
		return -1;
	}
	const char *pool = config_pool_size(config);
	int failed = pool ? setenv("SBX_POOL", pool, 0) : 0; /* what is in the environment already wins */
	config_free(config);
	if (failed || setenv("SBX_HOME", home, 1) || setenv("SBX_CACHE", cache, 1))
		return err_sys(err, errno, "cannot set the environment");
	return 0;
}

static char *find_program(struct err *err)
{
	auto_free char *dir = fs_exe_dir(err);
	if (!dir)
		return NULL;
	char *beside = fs_join(dir, "sbxd");
	if (access(beside, X_OK) == 0)
		return beside;
	free(beside);
	return mem_strdup("sbxd");
}

int start_daemon(const char *home, struct err *err)
{
	auto_free char *logs = fs_join(home, "log");
	auto_free char *log_path = fs_join(logs, "sbxd.log");
	if (fs_mkdirs(logs, 0700, err) || fix_environment(home, err))
		return -1;
	auto_free char *program = find_program(err);
	if (!program)
		return -1;
	auto_fd int log = lift(open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
	if (log < 0)
		return err_sys(err, errno, "cannot open '%s'", log_path);
	int ends[2];
	if (pipe2(ends, O_CLOEXEC))
		return err_sys(err, errno, "cannot make a pipe");
	auto_fd int in = ends[0];
	int out = lift(ends[1]);
	struct launch launch = { .program = program, .log = log, .ready = out };
	int rc = out < 0 ? err_sys(err, errno, "cannot make a pipe") : spawn(&launch, err);
	if (out >= 0)
		close(out);
	return rc ? -1 : wait_ready(in, log_path, err);
}
