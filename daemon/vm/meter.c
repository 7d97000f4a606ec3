#include "daemon/vm/meter.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"

enum { TEXT_MAX = 512, NET_TRIES = 4 };
#define NET_NAME "(sbx-net) "

static int open_proc(pid_t pid, const char *name)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* The whole text of a file of /proc as it is now; false when it has none. */
static bool reread(int fd, char text[TEXT_MAX])
{
	ssize_t n = fd < 0 ? -1 : pread(fd, text, TEXT_MAX - 1, 0);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return true;
}

/* The number after a label ("wchar: "), or -1. */
static int64_t number_after(const char *text, const char *label)
{
	const char *at = strstr(text, label);
	return at ? strtoll(at + strlen(label), NULL, 10) : -1;
}

/* ---- sbx-net, which the VMM has as its only child ---- */

static bool is_net_of(pid_t pid, pid_t parent)
{
	char text[TEXT_MAX];
	auto_fd int fd = open_proc(pid, "stat");
	const char *name = reread(fd, text) ? strstr(text, NET_NAME) : NULL;
	/* after the name comes the state, one letter, and then the parent */
	return name && strtol(name + strlen(NET_NAME) + 2, NULL, 10) == parent;
}

/* It exists a moment after its VMM: looked for a few times, and by all processes since not every kernel lists children. */
static void find_net(struct meter *m)
{
	if (m->net_fd >= 0 || m->net_tries == 0)
		return;
	m->net_tries--;
	DIR *dir = opendir("/proc");
	struct dirent *e;
	while (dir && m->net_fd < 0 && (e = readdir(dir))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
		if (pid > 0 && is_net_of(pid, m->pid))
			m->net_fd = open_proc(pid, "io");
	}
	if (dir)
		closedir(dir);
}

/* ---- the meter ---- */

bool meter_open(struct meter *m, pid_t pid, const char *dir, bool net)
{
	*m = (struct meter){ .pid = pid, .net_fd = -1, .net_tries = net ? NET_TRIES : 0 };
	m->statm_fd = open_proc(pid, "statm");
	m->io_fd = open_proc(pid, "io");
	m->disk = fs_join(dir, "disk.qcow2");
	if (m->statm_fd >= 0 && clock_getcpuclockid(pid, &m->cpu) == 0)
		return true;
	meter_close(m);
	return false;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void meter_close(struct meter *m)
{
	if (!m->pid)
		return;
	close_fd(&m->statm_fd);
	close_fd(&m->io_fd);
	close_fd(&m->net_fd);
	free(m->disk);
	*m = (struct meter){ 0 };
}

bool meter_read(struct meter *m, struct meter_reading *out)
{
	char text[TEXT_MAX];
	struct timespec cpu;
	char *end;

	/* the clock goes by pid: memory, which does not, is read after it and says whether it was still the same process */
	if (clock_gettime(m->cpu, &cpu) || !reread(m->statm_fd, text))
		return false;
	long page_kb = sysconf(_SC_PAGESIZE) / 1024;
	(void)strtoll(text, &end, 10);
	int64_t resident = strtoll(end, &end, 10);
	int64_t of_files = strtoll(end, NULL, 10);
	if (resident == 0)
		return false;
	find_net(m);
	*out = (struct meter_reading){
		.cpu_ns = (int64_t)cpu.tv_sec * 1000000000 + cpu.tv_nsec,
		.private_kb = (resident - of_files) * page_kb,
		.resident_kb = resident * page_kb,
		.disk_kb = fs_allocated(m->disk) / 1024,
		.read_bytes = -1,
		.written_bytes = -1,
		.received_bytes = -1,
		.sent_bytes = -1,
	};
	if (reread(m->io_fd, text)) {
		out->read_bytes = number_after(text, "\nread_bytes: ");
		out->written_bytes = number_after(text, "\nwrite_bytes: ");
	}
	/* all that sbx-net reads and writes (it receives and sends the rest) is the guest's frames */
	if (reread(m->net_fd, text)) {
		out->sent_bytes = number_after(text, "rchar: ");
		out->received_bytes = number_after(text, "\nwchar: ");
	}
	return true;
}
