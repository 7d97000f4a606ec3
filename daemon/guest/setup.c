/* agent setup: what it does before it serves. Two lives: PID 1 in the initramfs, until the disk is mounted; then again, from
 * /run/sbx on the disk's root, for good: as PID 1, or as a service of the image's systemd. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "daemon/guest/agent.h"
#include "daemon/guest/modules.h"
#include "daemon/guest/systemd.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define MODULES "/lib/sbx/modules"
#define DISK "/dev/vda"
#define ROOT "/root" /* where the initramfs mounts the disk */
#define INIT "/init" /* the agent in the initramfs */
#define WAIT_MS 10000
#define PORT_NAME "agent"
#define FILES_SOFT 65536
#define FILES_HARD 1048576

/* To the console of the guest, which the host keeps as a log. */
static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *fmt, ...)
{
	va_list ap;

	dprintf(STDERR_FILENO, "sbx-agent: ");
	va_start(ap, fmt);
	vdprintf(STDERR_FILENO, fmt, ap);
	va_end(ap);
	dprintf(STDERR_FILENO, "\n");
}

struct mount_row {
	const char *type, *at, *options;
	unsigned long flags;
};

static const struct mount_row early[] = {
	{ "devtmpfs", "/dev", "mode=0755", MS_NOSUID },
	{ "proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
};

static const struct mount_row late[] = {
	{ "devpts", "/dev/pts", "mode=0620,gid=5,ptmxmode=0666", MS_NOSUID | MS_NOEXEC },
	{ "tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV },
	{ "tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV },
	{ "cgroup2", "/sys/fs/cgroup", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
};

/* Is another file system mounted there? A second tmpfs would hide what the first one holds. */
static bool is_mounted(const char *at)
{
	struct stat here, above;
	auto_free char *parent = mem_printf("%s/..", at);

	return !stat(at, &here) && !stat(parent, &above) && here.st_dev != above.st_dev;
}

static void mount_all(const struct mount_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct mount_row *r = &rows[i];

		if (mkdir(r->at, 0755) && errno != EEXIST)
			say("cannot make '%s': %s", r->at, strerror(errno));
		if (!is_mounted(r->at) && mount(r->type, r->at, r->type, r->flags, r->options))
			say("cannot mount '%s': %s", r->at, strerror(errno));
	}
}

static void nap_ms(long ms)
{
	struct timespec t = { .tv_nsec = ms * 1000000 };

	nanosleep(&t, NULL);
}

/* The kernel opens /dev/console for us only if it is in the initramfs. Descriptors 0 to 2 are inherited. */
static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY); /* lint: allow */

	if (fd < 0)
		fd = open("/dev/null", O_RDWR); /* lint: allow */
	for (int i = 0; i < 3 && fd >= 0; i++)
		if (fd != i && dup2(fd, i) < 0)
			return;
	if (fd > 2)
		close(fd);
}

static void load_modules(void)
{
	FILE *f = fopen(MODULES, "re");
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] && modules_insert(line))
			say("cannot load module '%s': %s", line, strerror(errno));
	}
	if (f)
		fclose(f);
}

bool setup_is_initramfs(void)
{
	return access("/sbx-initramfs", F_OK) == 0;
}

/* Remove what is on the file system of dir (the initramfs: its memory is freed), never crossing into another. */
static void delete_tree(int dir, dev_t dev)
{
	DIR *d = fdopendir(dir);
	const struct dirent *e;

	if (!d) {
		close(dir);
		return;
	}
	while ((e = readdir(d))) {
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
			st.st_dev != dev)
			continue;
		if (S_ISDIR(st.st_mode)) {
			int sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (sub >= 0)
				delete_tree(sub, dev);
		}
		unlinkat(dirfd(d), e->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
	}
	closedir(d);
}

static bool wait_for(const char *path)
{
	for (int64_t end = clock_mono_ms() + WAIT_MS; access(path, F_OK); nap_ms(1))
		if (clock_mono_ms() > end)
			return false;
	return true;
}

static bool mount_disk(void)
{
	if (mkdir(ROOT, 0700) && errno != EEXIST)
		return false;
	for (int64_t end = clock_mono_ms() + WAIT_MS; mount(DISK, ROOT, "ext4", MS_NOATIME, NULL); nap_ms(5)) {
		if (errno == EROFS || errno == EACCES)
			return mount(DISK, ROOT, "ext4", MS_NOATIME | MS_RDONLY, NULL) == 0;
		if (clock_mono_ms() > end)
			return false;
	}
	return true;
}

/* ---- what comes along into the disk's root ---- */

/* An image may be as bare as it likes. A root that is read-only must have them. */
static void make_folders(void)
{
	static const struct {
		const char *path;
		mode_t mode;
	} folders[] = { { "dev", 0755 }, { "proc", 0555 }, { "sys", 0555 }, { "run", 0755 }, { "etc", 0755 }, { "tmp", 01777 } };

	umask(0);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		auto_free char *path = mem_printf(ROOT "/%s", folders[i].path);

		if (mkdir(path, folders[i].mode) && errno != EEXIST)
			say("cannot make '%s': %s", path, strerror(errno));
	}
	umask(022);
}

static bool copy_file(const char *from, const char *to, mode_t mode)
{
	static char chunk[65536];
	auto_fd int in = open(from, O_RDONLY | O_CLOEXEC);
	auto_fd int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	ssize_t n = in < 0 || out < 0 ? -1 : 1;

	while (n > 0) {
		n = read(in, chunk, sizeof(chunk));
		if (n > 0 && write(out, chunk, (size_t)n) != n)
			n = -1;
	}
	return n == 0;
}

static bool copy_folder(const char *from, const char *to)
{
	DIR *d = opendir(from);
	const struct dirent *e;
	bool ok = true;

	if (!d)
		return errno == ENOENT;
	ok = !mkdir(to, 0755);
	while (ok && (e = readdir(d))) {
		auto_free char *source = mem_printf("%s/%s", from, e->d_name);
		auto_free char *target = mem_printf("%s/%s", to, e->d_name);

		if (e->d_name[0] != '.')
			ok = copy_file(source, target, 0644);
	}
	closedir(d);
	return ok;
}

/*
 * Any root file system is to work as it is, so nothing of ours is on it: the agent and the modules that are loaded on demand
 * move into a tmpfs on /run, which systemd, too, takes as it finds it.
 */
static bool bring_along(void)
{
	static const struct mount_row run = { "tmpfs", ROOT "/run", "mode=0755", MS_NOSUID | MS_NODEV };

	make_folders();
	if (mount(run.type, run.at, run.type, run.flags, run.options) || mkdir(ROOT SETUP_RUN, 0755))
		return false;
	return copy_file(INIT, ROOT SETUP_AGENT, 0755) && copy_folder(MODULES_STORED, ROOT MODULES_DIR) &&
		modules_announce(ROOT) == 0;
}

static bool switch_root(void)
{
	int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (old < 0 || fstat(old, &st))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(early); i++) {
		auto_free char *to = mem_printf(ROOT "%s", early[i].at);

		if (mount(early[i].at, to, NULL, MS_MOVE, NULL))
			say("cannot move '%s': %s", early[i].at, strerror(errno));
	}
	if (chdir(ROOT))
		return false;
	delete_tree(old, st.st_dev);
	return mount(".", "/", NULL, MS_MOVE, NULL) == 0 && chroot(".") == 0 && chdir("/") == 0;
}

/* The image's systemd with the agent as its service; without one the agent is PID 1. */
static void start_init(void)
{
	static char init[] = "/sbin/init", agent[] = SETUP_AGENT;

	if (systemd_is_there()) {
		if (!systemd_prepare())
			execv(SYSTEMD_PROGRAM, (char *const[]){ init, NULL });
		say("cannot start '" SYSTEMD_PROGRAM "': %s", strerror(errno));
	}
	execv(SETUP_AGENT, (char *const[]){ agent, NULL });
	say("cannot start '" SETUP_AGENT "': %s", strerror(errno));
}

void setup_initramfs(void)
{
	mount_all(early, ARRAY_LEN(early));
	open_console();
	load_modules();
	if (!wait_for(DISK))
		say("no disk '%s'", DISK);
	else if (!mount_disk())
		say("cannot mount '%s': %s", DISK, strerror(errno));
	else if (!bring_along())
		say("cannot fill '" ROOT "/run': %s", strerror(errno));
	else if (!switch_root())
		say("cannot switch to the disk: %s", strerror(errno));
	else
		start_init();
}

/* ---- the real root ---- */

static void loopback_up(void)
{
	struct ifreq r = { .ifr_name = "lo" };
	auto_fd int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0 || ioctl(s, SIOCGIFFLAGS, &r))
		return;
	r.ifr_flags |= IFF_UP;
	if (ioctl(s, SIOCSIFFLAGS, &r))
		say("cannot bring up the loopback: %s", strerror(errno));
}

static void set_limits(void)
{
	struct rlimit files = { FILES_SOFT, FILES_HARD }, core = { 0, RLIM_INFINITY };

	if (setrlimit(RLIMIT_NOFILE, &files) || setrlimit(RLIMIT_CORE, &core))
		say("cannot set limits: %s", strerror(errno));
	if (setpriority(PRIO_PROCESS, 0, -20))
		say("cannot set the priority: %s", strerror(errno));
	umask(022);
}

/* "vport0p1" of the port with our name into out. */
static bool find_port(char out[64])
{
	DIR *d = opendir("/sys/class/virtio-ports");
	const struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d))) {
		char path[320], name[32] = "";
		ssize_t n;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
		auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);
		if (n <= 0)
			continue;
		name[strcspn(name, "\n")] = '\0';
		found = !strcmp(name, PORT_NAME);
		if (found)
			snprintf(out, 64, "/dev/%.48s", e->d_name);
	}
	if (d)
		closedir(d);
	return found;
}

static int open_port(void)
{
	char path[64];
	int fd;

	for (int64_t end = clock_mono_ms() + WAIT_MS; clock_mono_ms() < end; nap_ms(2)) {
		if (!find_port(path))
			continue;
		fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (fd >= 0)
			return fd;
	}
	return -1;
}

static void link_dev(const char *to, const char *at)
{
	if (symlink(to, at) && errno != EEXIST)
		say("cannot link '%s': %s", at, strerror(errno));
}

static int serve_port(void)
{
	int fd;

	set_limits();
	loopback_up();
	if (setsid() < 0 && errno != EPERM)
		say("cannot start a session: %s", strerror(errno));
	fd = open_port();
	if (fd < 0)
		say("no port named '%s'", PORT_NAME);
	else
		say("ready");
	return fd;
}

int setup_service(void)
{
	open_console();
	/* orphans of commands come to us, as they do to PID 1 */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		say("cannot adopt orphans: %s", strerror(errno));
	return serve_port();
}

int setup_guest(void)
{
	mount_all(early, ARRAY_LEN(early));
	open_console();
	mount_all(late, ARRAY_LEN(late));
	link_dev("/proc/self/fd", "/dev/fd");
	link_dev("/proc/self/fd/0", "/dev/stdin");
	link_dev("/proc/self/fd/1", "/dev/stdout");
	link_dev("/proc/self/fd/2", "/dev/stderr");
	return serve_port();
}
