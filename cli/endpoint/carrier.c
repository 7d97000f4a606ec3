#include "cli/endpoint/carrier.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

#define SLICE_MS 100
#define LAST_MS 100
#define FD_PAIR 3
#define FD_REPORT 4

struct start {
	const struct carrier_plan *plan;
	const struct endpoint *ep;
	int mine, report; /* the parent's ends */
	pid_t pid;
};

void carrier_report(int report, const struct err *err)
{
	ssize_t n;
	do {
		n = write(report, err, sizeof(*err)); /* less than PIPE_BUF; nobody reads any more when the parent has gone */
	} while (n < 0 && errno == EINTR);
	close(report);
	(void)prctl(PR_SET_PDEATHSIG, 0); /* see bind_to_parent; it cannot fail */
}

/* One that is busy with connecting does not see its parent go: then it ends at once. Once up, it may have something to finish. */
static int bind_to_parent(pid_t parent)
{
	return prctl(PR_SET_PDEATHSIG, SIGTERM) || getppid() != parent ? -1 : 0;
}

/* The carrier's descriptors: nothing for input and output, the user's standard error, its two ends, no more. */
static int settle(int pair, int report)
{
	sigset_t none;
	sigemptyset(&none);
	setsid();
	if (sigprocmask(SIG_SETMASK, &none, NULL) || signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGCHLD, SIG_DFL) == SIG_ERR)
		return -1;
	int high_pair = fcntl(pair, F_DUPFD_CLOEXEC, FD_REPORT + 1), high_report = fcntl(report, F_DUPFD_CLOEXEC, FD_REPORT + 1);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (high_pair < 0 || high_report < 0 || null < 0)
		return -1;
	if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 || dup3(high_pair, FD_PAIR, O_CLOEXEC) < 0 ||
		dup3(high_report, FD_REPORT, O_CLOEXEC) < 0)
		return -1;
	return close_range(FD_REPORT + 1, ~0U, 0);
}

/* The signals that end a command may be blocked, for a signalfd: whether one waits. */
static bool interrupted(void)
{
	sigset_t waiting;
	sigemptyset(&waiting);
	return sigpending(&waiting) == 0 &&
		(sigismember(&waiting, SIGINT) == 1 || sigismember(&waiting, SIGTERM) == 1 || sigismember(&waiting, SIGQUIT) == 1 ||
			sigismember(&waiting, SIGHUP) == 1);
}

/* 1 when fd is ready, 0 when the time is over, -1. */
static int wait_ready(const struct start *s, int64_t end, struct pollfd p[2], struct err *err)
{
	for (;;) {
		int64_t left = end - clock_mono_ms();
		if (left <= 0) {
			err_set(err, ERR_TIMEOUT, "'%s' did not answer within %d s", s->ep->shown, s->plan->limit_ms / 1000);
			return -1;
		}
		p[0].revents = p[1].revents = 0;
		int rc = poll(p, 2, (int)(left < SLICE_MS ? left : SLICE_MS));
		if (rc > 0)
			return 0;
		if (rc < 0 && errno != EINTR)
			return err_sys(err, errno, "cannot wait for '%s'", s->ep->shown);
		if (interrupted()) {
			err_set(err, ERR_IO, "interrupted");
			if (err)
				err->sys = EINTR;
			return -1;
		}
	}
}

/* Take the far end's first line off the connection. 1 done, 0 more is to come, -1 it is something else or the end. */
static int take_hello(const struct start *s)
{
	const char *want = s->plan->hello;
	size_t n = strlen(want);
	char got[64];
	ssize_t have = recv(s->mine, got, n, MSG_PEEK);
	if (have < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (have == 0 || memcmp(got, want, (size_t)have) != 0)
		return -1;
	if ((size_t)have < n)
		return 0;
	return recv(s->mine, got, n, 0) == (ssize_t)n ? 1 : -1;
}

static int read_report(const struct start *s, struct err *err)
{
	struct err said = ERR_INIT;
	ssize_t n = read(s->report, &said, sizeof(said));
	if (n != (ssize_t)sizeof(said))
		return err_set(err, ERR_UNAVAILABLE, "the connection to '%s' ended before it was up", s->ep->shown);
	if (said.code == ERR_OK)
		return 0;
	if (err)
		*err = said;
	return -1;
}

/* What came instead of the hello is somebody else's; the carrier may know more. */
static int wrong_hello(const struct start *s, struct err *err)
{
	struct pollfd p = { .fd = s->report, .events = POLLIN };
	char first;
	if (recv(s->mine, &first, 1, MSG_PEEK) == 0 && poll(&p, 1, 2000) == 1)
		return read_report(s, err) ? -1 : err_set(err, ERR_UNAVAILABLE, "the connection to '%s' ended", s->ep->shown);
	err_set(err, ERR_PROTOCOL, "'%s' said something else than 'sbx dial-stdio' would", s->ep->shown);
	return err_hint(err, "the shell start files of that account must not print anything when there is no terminal");
}

static int wait_up(const struct start *s, struct err *err)
{
	int64_t end = clock_mono_ms() + s->plan->limit_ms;
	/* a partial hello is readable all the time: its rest is waited for in slices */
	struct pollfd p[2] = { { .fd = s->report, .events = POLLIN }, { .fd = s->plan->hello ? s->mine : -1, .events = POLLIN } };
	for (;;) {
		if (wait_ready(s, end, p, err))
			return -1;
		if (s->plan->hello && p[1].revents) {
			int rc = take_hello(s);
			if (rc)
				return rc > 0 ? 0 : wrong_hello(s, err);
			(void)poll(NULL, 0, 10);
		} else if (p[0].revents) {
			return read_report(s, err);
		}
	}
}

static int set_reaping(int flags)
{
	struct sigaction sa = { .sa_handler = SIG_DFL, .sa_flags = flags };
	sigemptyset(&sa.sa_mask);
	return sigaction(SIGCHLD, &sa, NULL);
}

static void give_up(struct start *s)
{
	close(s->mine);
	kill(s->pid, SIGTERM);
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void settle_children(void)
{
	if (set_reaping(SA_NOCLDWAIT))
		return; /* then zombies stay until we end */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		; /* one that ended while another was being started */
}

int carrier_start(const struct carrier_plan *plan, const struct endpoint *ep, struct err *err)
{
	int pair[2], report[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return err_sys(err, errno, "cannot make a socket pair");
	if (pipe2(report, O_CLOEXEC)) {
		err_sys(err, errno, "cannot make a pipe");
		close(pair[0]);
		close(pair[1]);
		return -1;
	}
	struct start s = { .plan = plan, .ep = ep, .mine = pair[0], .report = report[0] };
	pid_t parent = getpid();
	int rc = set_reaping(0);
	s.pid = rc ? -1 : fork();
	if (s.pid == 0) {
		bool lost = (!plan->hello && bind_to_parent(parent)) || settle(pair[1], report[1]);
		_exit(lost ? 1 : plan->run(ep, FD_PAIR, FD_REPORT));
	}
	int sys = errno;
	close(pair[1]);
	close(report[1]);
	if (s.pid < 0) {
		err_sys(err, sys, "cannot start a process");
		close(s.mine);
		rc = -1;
	} else {
		rc = wait_up(&s, err);
		if (rc)
			give_up(&s);
	}
	close(s.report);
	settle_children();
	return rc ? -1 : s.mine;
}

void carrier_wait_all(void)
{
	int64_t end = clock_mono_ms() + LAST_MS;
	/* 0: there are children and none of them has ended */
	while (waitpid(-1, NULL, WNOHANG) >= 0 && clock_mono_ms() < end)
		(void)poll(NULL, 0, 1);
}
