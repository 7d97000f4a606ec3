/*
 * The carrier of an ssh connection copies nothing: ssh has the socket as its input and output. The carrier watches both: when the
 * parent has closed its end (which ssh cannot tell from a half-close) ssh ends, and when ssh ends the parent gets to know why.
 */
#include "cli/endpoint/ssh.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/endpoint/carrier.h"
#include "shared/base/mem.h"

#define START_MS 60000
#define GRACE_MS 1000 /* for ssh to send what it has */
#define ARGS_MAX 12

static const char *program(void)
{
	const char *set = getenv("SBX_SSH");
	return set && *set ? set : "ssh";
}

static char *destination(const struct endpoint *ep)
{
	return mem_printf("%s%s%s", ep->user ? ep->user : "", ep->user ? "@" : "", ep->host);
}

/* In the child of the carrier. */
static int run_ssh(const struct endpoint *ep, int fd, int report)
{
	auto_free char *where = destination(ep);
	const char *argv[ARGS_MAX] = { program(), "-T", "-o", "BatchMode=yes" };
	size_t n = 4;
	if (ep->port) {
		argv[n++] = "-p";
		argv[n++] = ep->port;
	}
	argv[n++] = where;
	argv[n++] = "sbx";
	argv[n++] = "dial-stdio";
	argv[n++] = "--hello";
	struct err err = ERR_INIT;
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) || signal(SIGPIPE, SIG_DFL) == SIG_ERR || dup2(fd, STDIN_FILENO) < 0 ||
		dup2(fd, STDOUT_FILENO) < 0) {
		err_sys(&err, errno, "cannot prepare '%s'", argv[0]);
	} else {
		/* argv has no const for historical reasons only */
		execvp(argv[0], (char *const *)(void *)argv);
		int sys = errno;
		err_sys(&err, sys, "cannot run '%s'", argv[0]);
		err_hint(&err, sys == ENOENT ? "install openssh-client, or set SBX_SSH to another program" : "see SBX_SSH");
	}
	carrier_report(report, &err);
	return 127;
}

static void report_end(const struct endpoint *ep, int status, int report)
{
	struct err err = ERR_INIT;
	auto_free char *where = destination(ep);
	const char *p = ep->port ? "-p " : "", *port = ep->port ? ep->port : "", *sep = ep->port ? " " : "";
	if (WIFSIGNALED(status))
		err_set(&err, ERR_UNAVAILABLE, "ssh to '%s' was ended by signal %d before the connection was up", where,
			WTERMSIG(status));
	else
		err_set(&err, ERR_UNAVAILABLE, "ssh to '%s' ended with code %d before the connection was up", where,
			WEXITSTATUS(status));
	/* 255 is ssh's own failure, of which it has said more */
	bool own = WIFEXITED(status) && WEXITSTATUS(status) == 255;
	err_hint(
		&err, "%s try: ssh %s%s%s%s sbx version", own ? "does this work?" : "is sbx installed there?", p, port, sep, where);
	carrier_report(report, &err);
}

static int wait_for(pid_t pid)
{
	int status = 0;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 0;
	return status;
}

static bool ended_within(int pid_fd, int ms)
{
	struct pollfd p = { .fd = pid_fd, .events = POLLIN };
	return poll(&p, 1, ms) == 1;
}

static int carry(const struct endpoint *ep, int fd, int report)
{
	(void)prctl(PR_SET_NAME, "sbx-ssh"); /* for ps only */
	/* ssh may be any program: it gets a descriptor that blocks */
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK))
		return 1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(run_ssh(ep, fd, report));
	int pid_fd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
	if (pid_fd < 0) {
		struct err err = ERR_INIT;
		err_sys(&err, errno, "cannot start a process");
		carrier_report(report, &err);
		return 1; /* its parent's end is the child's, too */
	}
	struct pollfd p[2] = { { .fd = fd }, { .fd = pid_fd, .events = POLLIN } };
	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	/* closed by the parent */
	if (!p[1].revents && !ended_within(pid_fd, GRACE_MS)) {
		kill(pid, SIGTERM);
		if (!ended_within(pid_fd, GRACE_MS))
			kill(pid, SIGKILL);
	}
	report_end(ep, wait_for(pid), report);
	return 0;
}

int ssh_connect(const struct endpoint *ep, struct err *err)
{
	static const struct carrier_plan plan = { .run = carry, .hello = SSH_HELLO, .limit_ms = START_MS };
	return carrier_start(&plan, ep, err);
}
