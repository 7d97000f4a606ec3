/* agent shutdown: the orderly end of the machine. The VMM ends when the kernel would restart. */
#include <errno.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/guest/agent.h"
#include "daemon/guest/text.h"
#include "shared/base/util.h"

#define GRACE_MS 3000
#define KILLED_MS 500
#define SYSTEMCTL "/usr/bin/systemctl"

/* Until all processes have gone that can be waited for, which for process 1 is all, or the time is over. */
static void await_processes(int64_t ms)
{
	const struct timespec nap = { .tv_nsec = 2000000 };

	for (int64_t end = clock_mono_ms() + ms; clock_mono_ms() < end; nanosleep(&nap, NULL)) {
		pid_t pid;
		do
			pid = waitpid(-1, NULL, WNOHANG);
		while (pid > 0 || (pid < 0 && errno == EINTR));
		if (pid < 0)
			return;
	}
}

/* Process 1 does it itself: nothing else is left that could. */
static void power_off(void)
{
	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
	await_processes(GRACE_MS);
	kill(-1, SIGKILL);
	await_processes(KILLED_MS);
	sync();
	mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL); /* if it fails, the journal is for that */
	reboot(RB_AUTOBOOT);
}

/* The init system's own way. 0, or -1 with errno. */
static int ask_init(void)
{
	sync(); /* what happens now may be cut short by a host that does not wait for ever */
	pid_t pid = fork();

	if (pid == 0) {
		execl(SYSTEMCTL, "systemctl", "--no-block", "reboot", (char *)NULL);
		_exit(127);
	}
	return pid < 0 ? -1 : 0; /* the loop reaps it */
}

void shutdown_open(struct agent *a, struct stream *s, struct rec r)
{
	char text[TEXT_ERRNO_MAX];

	(void)r;
	if (!a->guest) {
		stream_fail(a, s, EPERM, "this agent is not that of a machine");
	} else if (getpid() == 1) {
		power_off();
		stream_fail(a, s, errno, "cannot shut down: %s", text_errno(errno, text));
	} else if (access(SYSTEMCTL, X_OK) || ask_init()) {
		stream_fail(a, s, errno, "cannot ask the init system: %s", text_errno(errno, text));
	}
}
