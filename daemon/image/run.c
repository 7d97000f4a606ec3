#include "daemon/image/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { STDERR_MAX = 65536, READ_SIZE = 65536 };

struct child {
	pid_t pid;
	int out, err; /* our ends of its stdout and stderr, -1 when at their end */
	struct buf *text, *complaint;
	size_t max_output;
};

/* Our environment with the language fixed (the output is parsed) and the sbin folders in PATH (mke2fs is there, and a
 * user's PATH often is not). */
static char **child_environment(void)
{
	size_t n = 0, k = 0;
	while (environ[n])
		n++;
	char **env = mem_array(n + 3, sizeof(*env));
	for (size_t i = 0; i < n; i++)
		if (!str_starts(environ[i], "LC_ALL=") && !str_starts(environ[i], "PATH="))
			env[k++] = mem_strdup(environ[i]);
	const char *path = getenv("PATH"); /* NOLINT(concurrency-mt-unsafe): the builder has one thread */
	env[k++] = mem_printf("PATH=%s%s/usr/sbin:/sbin:/usr/bin:/bin", path ? path : "", path ? ":" : "");
	env[k] = mem_strdup("LC_ALL=C");
	return env;
}

static void free_environment(char **env)
{
	for (size_t i = 0; env[i]; i++)
		free(env[i]);
	free((void *)env);
}

static int spawn(const struct run *run, posix_spawn_file_actions_t *actions, int out, int err, pid_t *pid)
{
	posix_spawnattr_t attr;
	sigset_t none;
	char **env = child_environment();
	int r = posix_spawn_file_actions_addopen(actions, 0, run->input ? run->input : "/dev/null", O_RDONLY, 0);

	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attr, &none);
	if (!r)
		r = posix_spawn_file_actions_adddup2(actions, out, 1);
	if (!r)
		r = posix_spawn_file_actions_adddup2(actions, err, 2);
	if (!r && run->dir)
		r = posix_spawn_file_actions_addchdir_np(actions, run->dir);
	if (!r)
		r = posix_spawnp(pid, run->argv[0], actions, &attr, (char *const *)(uintptr_t)run->argv, env);
	posix_spawnattr_destroy(&attr);
	free_environment(env);
	return r;
}

static int child_start(const struct run *run, struct child *c, struct err *err)
{
	posix_spawn_file_actions_t actions;
	int out[2], complaint[2];

	if (pipe2(out, O_CLOEXEC))
		return err_sys(err, errno, "cannot make a pipe");
	if (pipe2(complaint, O_CLOEXEC)) {
		int e = errno;
		close(out[0]);
		close(out[1]);
		return err_sys(err, e, "cannot make a pipe");
	}
	posix_spawn_file_actions_init(&actions);
	int r = spawn(run, &actions, out[1], complaint[1], &c->pid);
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	close(complaint[1]);
	c->out = out[0];
	c->err = complaint[0];
	if (!r)
		return 0;
	close(c->out);
	close(c->err);
	return err_sys(err, r, "cannot run '%s'", run->argv[0]);
}

/* Read once; closes *fd at its end. */
static int drain(int *fd, struct buf *to, size_t max)
{
	char *p = buf_reserve(to, READ_SIZE);
	ssize_t n = p ? read(*fd, p, READ_SIZE) : -1;

	if (n < 0 && p && errno == EINTR)
		return 0;
	if (n <= 0) {
		close(*fd);
		*fd = -1;
		return n < 0 ? -1 : 0;
	}
	buf_commit(to, (size_t)n);
	return to->len > max ? -1 : 0;
}

/* Until both pipes are at their end. NULL, or what went wrong. */
static const char *child_read(struct child *c, int64_t deadline)
{
	while (c->out >= 0 || c->err >= 0) {
		struct pollfd p[2] = { { .fd = c->out, .events = POLLIN }, { .fd = c->err, .events = POLLIN } };
		int64_t left = deadline - clock_mono_ms();

		if (left <= 0)
			return "took too long";
		if (poll(p, 2, (int)left) < 0 && errno != EINTR)
			return "cannot be waited for";
		if (p[0].revents && drain(&c->out, c->text, c->max_output))
			return "wrote too much";
		if (p[1].revents && drain(&c->err, c->complaint, STDERR_MAX))
			return "wrote too many complaints";
	}
	return NULL;
}

/* Its status, or -1. After the deadline it is killed: it may have closed its pipes and gone on. */
static int child_wait(struct child *c, int64_t deadline)
{
	int status = -1;

	for (;;) {
		bool late = clock_mono_ms() >= deadline;
		if (late)
			kill(-c->pid, SIGKILL);
		pid_t r = waitpid(c->pid, &status, late ? 0 : WNOHANG);
		if (r == c->pid)
			return status;
		if (r < 0 && errno != EINTR)
			return -1;
		poll(NULL, 0, 1); /* its pipes are closed: the end is near */
	}
}

static const char *last_line(struct buf *b)
{
	while (b->len && (b->p[b->len - 1] == '\n' || b->p[b->len - 1] == ' '))
		b->p[--b->len] = '\0';
	const char *nl = strrchr(b->p, '\n');
	return nl ? nl + 1 : b->p;
}

int run_capture(const struct run *run, struct buf *out, struct err *err)
{
	auto_buf dropped = BUF_INIT;
	auto_buf complaint = BUF_INIT;
	struct child c = { .text = out ? out : &dropped, .complaint = &complaint };
	int64_t deadline = clock_mono_ms() + run->timeout_ms;

	c.max_output = c.text->len + (run->max_output ? run->max_output : STDERR_MAX);
	if (child_start(run, &c, err))
		return -1;
	const char *why = child_read(&c, deadline);
	if (why)
		kill(-c.pid, SIGKILL);
	if (c.out >= 0)
		close(c.out);
	if (c.err >= 0)
		close(c.err);
	int status = child_wait(&c, deadline);
	if (why)
		return err_set(err, ERR_IO, "'%s' %s", run->argv[0], why);
	if (status == -1 || !WIFEXITED(status))
		return err_set(err, ERR_IO, "'%s' was ended by a signal", run->argv[0]);
	if (WEXITSTATUS(status) != 0)
		return err_set(
			err, ERR_IO, "'%s' ended with code %d: %s", run->argv[0], WEXITSTATUS(status), last_line(&complaint));
	return 0;
}
