/* What /proc knows of a process. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "daemon/vm/vm.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

enum { TEXT_MAX = 65536, KILL_WAIT_MS = 2000, START_TIME_AFTER_NAME = 19 };

static int read_proc(pid_t pid, const char *name, struct buf *out)
{
	auto_free char *path = mem_printf("/proc/%ld/%s", (long)pid, name);
	return pid > 0 ? fs_read(path, TEXT_MAX, out, NULL) : -1;
}

uint64_t proc_start_time(pid_t pid)
{
	auto_buf text = BUF_INIT;

	if (read_proc(pid, "stat", &text))
		return 0;
	/* the name, in parentheses, may hold anything; the state is the first field after it, the start time the 20th */
	const char *p = strrchr(text.p, ')');
	for (int i = 0; p && i <= START_TIME_AFTER_NAME; i++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

int64_t proc_private_kb(pid_t pid)
{
	static const char label[] = "\nAnonymous:";
	auto_buf text = BUF_INIT;

	if (read_proc(pid, "smaps_rollup", &text))
		return 0;
	const char *p = strstr(text.p, label);
	return p ? strtoll(p + sizeof(label) - 1, NULL, 10) : 0;
}

void vm_kill_recorded(pid_t pid, uint64_t start_time)
{
	auto_fd int fd = pid > 0 ? pidfd_open(pid, 0) : -1;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	/* the descriptor first, then the check: from there on the pid cannot be another's */
	if (fd < 0 || proc_start_time(pid) != start_time || pidfd_send_signal(fd, SIGKILL, NULL, 0))
		return;
	poll(&p, 1, KILL_WAIT_MS);
}
