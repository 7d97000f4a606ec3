#include "daemon/vm/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/vm/qcow2.h"
#include "daemon/vm/ram.h"
#include "shared/net/sock.h"
#include "daemon/vm/spawn.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define CONSOLE_MAX ((size_t)4 << 20)

void boot_end(struct boot *b, int timeout_ms)
{
	int64_t deadline = clock_mono_ms() + timeout_ms;

	if (b->probe.fd >= 0)
		probe_close(&b->probe);
	while (b->pid > 0) {
		pid_t r = waitpid(b->pid, NULL, WNOHANG);
		if (r == b->pid || (r < 0 && errno != EINTR))
			break;
		if (clock_mono_ms() >= deadline)
			kill(b->pid, SIGKILL);
		poll(NULL, 0, 1);
	}
	if (b->log_fd >= 0)
		close(b->log_fd);
	if (b->ram_fd >= 0)
		close(b->ram_fd);
	free(b->dir);
	free(b->disk);
	free(b->console);
	*b = (struct boot){ .log_fd = -1, .ram_fd = -1, .probe.fd = -1 };
}

/* The disk of an image of the cache is named relative to dir (<cache>/<kind>/<folder>), so that the cache can be moved as a whole;
 * one of a user's library is somewhere else. */
static int make_disk(const struct boot *b, const struct image *image, struct err *err)
{
	struct stat st, cached;
	auto_free char *relative = mem_printf("../../images%s/rootfs.ext4", strrchr(image->dir, '/'));
	auto_free char *path = fs_join(b->dir, relative);

	if (stat(image->rootfs, &st))
		return err_sys(err, errno, "cannot read '%s'", image->rootfs);
	bool same = !stat(path, &cached) && cached.st_ino == st.st_ino && cached.st_dev == st.st_dev;
	return qcow2_overlay(b->disk, same ? relative : image->rootfs, "raw", (uint64_t)st.st_size, err);
}

/* What the VMM inherits, in this order. */
enum given { AGENT, QMP, DISK, ROOTFS, RAM, KERNEL, INITRD, CONSOLE, GIVEN };

static int open_all(const struct boot *b, const struct image *image, int fds[GIVEN], struct err *err)
{
	auto_free char *agent = fs_join(b->dir, "agent.sock");
	auto_free char *qmp = fs_join(b->dir, "qmp.sock");

	fds[AGENT] = sock_listen(agent, err);
	fds[QMP] = fds[AGENT] < 0 ? -1 : sock_listen(qmp, err);
	fds[KERNEL] = fds[QMP] < 0 ? -1 : spawn_file(image->kernel, err);
	fds[INITRD] = fds[KERNEL] < 0 ? -1 : spawn_file(image->initrd, err);
	if (fds[INITRD] < 0)
		return -1;
	fds[DISK] = open(b->disk, O_RDWR | O_CLOEXEC);
	fds[ROOTFS] = open(image->rootfs, O_RDONLY | O_CLOEXEC);
	if (fds[DISK] < 0 || fds[ROOTFS] < 0)
		return err_sys(err, errno, "cannot open the disk of image '%s'", image->name);
	fds[RAM] = fcntl(b->ram_fd, F_DUPFD_CLOEXEC, 0);
	fds[CONSOLE] = open(b->console, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return fds[RAM] < 0 || fds[CONSOLE] < 0 ? err_sys(err, errno, "cannot create '%s'", b->console) : 0;
}

static int start_with(struct boot *b, const struct machine *wanted, const int fds[GIVEN], struct err *err)
{
	static const struct machine_disk chain[] = { { SPAWN_FD_FIRST + DISK, false }, { SPAWN_FD_FIRST + ROOTFS, true } };
	struct machine m = *wanted;

	m.name = "template";
	m.ram_fd = SPAWN_FD_FIRST + RAM;
	m.ram_share = true;
	m.disk = chain;
	m.disk_count = ARRAY_LEN(chain);
	m.state_fd = -1;
	m.kernel_fd = SPAWN_FD_FIRST + KERNEL;
	m.initrd_fd = SPAWN_FD_FIRST + INITRD;
	m.console_fd = SPAWN_FD_FIRST + CONSOLE;
	m.agent_fd = SPAWN_FD_FIRST + AGENT;
	m.qmp_fd = SPAWN_FD_FIRST + QMP;
	m.net_fd = -1;
	char **argv = machine_argv(&m);
	struct spawn s = { .argv = argv,
		.owner = b->dir,
		.fds = fds,
		.fd_count = GIVEN,
		.log_fd = b->log_fd,
		.die_with_parent = true,
		.kvm = m.accel == VM_ACCEL_KVM,
		.hold_fd = -1,
		.net_fd = -1 };
	b->pid = spawn_start(&s, err);
	machine_argv_free(argv);
	return b->pid < 0 ? -1 : 0;
}

static int start_vmm(struct boot *b, const struct image *image, const struct machine *wanted, struct err *err)
{
	int fds[GIVEN];

	b->log_fd = spawn_log(err);
	b->ram_fd = b->log_fd < 0 ? -1 : ram_shared(wanted->memory_mb, err);
	if (b->ram_fd < 0)
		return -1;
	for (size_t i = 0; i < GIVEN; i++)
		fds[i] = -1;
	int r = open_all(b, image, fds, err) ? -1 : start_with(b, wanted, fds, err);
	for (size_t i = 0; i < GIVEN; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return r;
}

/* Last line that says something, in text (which is cut up); NULL when there is none. */
static const char *last_words(char *text)
{
	const char *last = NULL;

	for (char *line; (line = strsep(&text, "\r\n"));)
		if (*line && !strstr(line, "has no peer")) /* which QEMU always says of a NIC without network */
			last = line;
	return last;
}

/* What the VMM, else the guest's console said last explains a failure best. */
static void add_last_words(const struct boot *b, struct err *err)
{
	auto_buf log = BUF_INIT;
	auto_buf console = BUF_INIT;
	const char *words;

	spawn_log_read(b->log_fd, &log);
	words = last_words(log.p);
	if (!words && !fs_read(b->console, CONSOLE_MAX, &console, NULL))
		words = last_words(console.p);
	if (words)
		err_prefix(err, "%.200s", words);
}

int boot_start(struct boot *b, const struct image *image, const struct machine *m, const char *dir, int timeout_ms, struct err *err)
{
	*b = (struct boot){ .dir = mem_strdup(dir),
		.disk = fs_join(dir, "disk.qcow2"),
		.console = fs_join(dir, "console.log"),
		.log_fd = -1,
		.ram_fd = -1,
		.probe.fd = -1 };
	auto_free char *path = fs_join(dir, "agent.sock");
	if (!make_disk(b, image, err) && !start_vmm(b, image, m, err)) {
		int fd = sock_connect(path, err);
		if (fd >= 0 && !probe_open(&b->probe, fd, clock_mono_ms() + timeout_ms, err))
			return 0;
		b->probe.fd = -1;
		add_last_words(b, err);
	}
	boot_end(b, 0);
	return -1;
}
