/* link: daemon/vm/spawn.c daemon/vm/jail.c daemon/vm/jail_root.c daemon/vm/ram.c | */
/* A process that has been taken over, in the very jail of a VMM, tries to get out. As root's and as an ordinary user's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/vm/jail.h"
#include "daemon/vm/ram.h"
#include "daemon/vm/spawn.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define ORDINARY 12345
#define FDS_GIVEN 3
enum { RAM = 3, READ_ONLY = 4, WRITABLE = 5 };

/* ---- inside ---- */

static int failures;

/* What must not have worked. */
static void must_fail(const char *what, bool worked)
{
	if (worked)
		printf("ESCAPED: %s\n", what);
	failures += worked;
}

static bool can_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool can_connect_unix(const char *path, bool abstract)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t n = strlen(path);

	memcpy(a.sun_path + abstract, path, n);
	return fd >= 0 && !connect(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract + n));
}

static bool can_connect(uint32_t address, int port, int type)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = { htonl(address) } };
	auto_fd int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	return fd >= 0 && !connect(fd, (struct sockaddr *)&a, sizeof(a));
}

static void try_files(const char *dir)
{
	static const char *const names[] = { "db.sqlite", "disk.qcow2", "." };
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		static const char *const ways[] = { "", "../../../../../..", "/proc/1/root", "/proc/self/cwd/.." };
		for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
			(void)snprintf(path, sizeof(path), "%s%s/%s", ways[w], dir, names[i]);
			must_fail(path, can_open(path, O_RDONLY));
		}
	}
	must_fail("read /etc/passwd", can_open("/etc/passwd", O_RDONLY));
	must_fail("write to /", can_open("/x", O_WRONLY | O_CREAT));
	must_fail("write to /usr", can_open("/usr/x", O_WRONLY | O_CREAT));
	must_fail("write to /dev", can_open("/dev/x", O_WRONLY | O_CREAT));
	must_fail("write to /proc/self", can_open("/proc/self/oom_score_adj", O_WRONLY));
	must_fail("a device", !mknod("/dev/x", S_IFBLK | 0600, 0xfe00));
	if (!can_open("/dev/null", O_RDWR) || !can_open("/usr/share", O_RDONLY | O_DIRECTORY)) {
		printf("ESCAPED: what it needs is not there\n"); /* or all of the above proves nothing */
		failures++;
	}
}

static void try_descriptors(void)
{
	int ram = open("/proc/self/fd/3", O_RDWR | O_CLOEXEC);
	unsigned count = 0;
	DIR *d = opendir("/proc/self/fd");

	while (d && readdir(d))
		count++;
	must_fail("descriptors of others", count != 2 + 3 + FDS_GIVEN + 2); /* dots, the usual, given, ram and d */
	if (d)
		closedir(d);
	must_fail("no memory", ram < 0);
	must_fail("write to the memory of others", pwrite(ram, "x", 1, 0) == 1 || pwrite(RAM, "x", 1, 0) == 1);
	must_fail("cut it", !ftruncate(ram, 0));
	must_fail("map it", mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, ram, 0) != MAP_FAILED);
	must_fail("write to what is for reading", pwrite(READ_ONLY, "x", 1, 0) == 1);
	must_fail("open it anew", can_open("/proc/self/fd/4", O_RDWR));
	must_fail("change its mode", !fchmod(READ_ONLY, 0666));
	must_fail("cannot write to its own", pwrite(WRITABLE, "x", 1, 0) != 1);
}

static void try_sockets(const char *dir, const char *abstract, int port)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/sbxd.sock", dir);
	must_fail("the daemon's socket", can_connect_unix(path, false));
	must_fail("an abstract socket", can_connect_unix(abstract, true));
	must_fail("loopback", can_connect(INADDR_LOOPBACK, port, SOCK_STREAM));
	must_fail("the network", can_connect(0xc0000201, 53, SOCK_DGRAM)); /* nothing is sent; there is no route */
}

static void try_processes(pid_t outside)
{
	char byte, path[64];
	struct iovec here = { &byte, 1 }, there = { &failures, 1 };
	DIR *d = opendir("/proc");
	const struct dirent *e;

	must_fail("signal a process", !kill(outside, 0));
	must_fail("trace a process", !ptrace(PTRACE_SEIZE, outside, NULL, NULL));
	must_fail("read the memory of a process", process_vm_readv(outside, &here, 1, &there, 1, 0) >= 0);
	(void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)outside);
	must_fail("read about a process", can_open(path, O_RDONLY));
	while (d && (e = readdir(d)))
		must_fail("see a process", e->d_name[0] >= '0' && e->d_name[0] <= '9' && atoi(e->d_name) != getpid());
	if (d)
		closedir(d);
	must_fail("/proc/sys", can_open("/proc/sys/kernel/core_pattern", O_RDONLY));
}

static void try_privileges(int shm_key)
{
	gid_t root = 0;

	for (int c = 0; c < 64; c++)
		must_fail("a capability in the bounding set", prctl(PR_CAPBSET_READ, c, 0, 0, 0) == 1);
	must_fail("new privileges", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1);
	must_fail("become root", !setuid(0) || !setresuid(0, 0, 0) || !setgid(0) || !setgroups(1, &root));
	must_fail("mount", !mount("none", "/usr", "tmpfs", 0, NULL) || !umount2("/usr", MNT_DETACH));
	must_fail("remount", !mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL));
	must_fail("chroot", !chroot("/usr"));
	must_fail("a user namespace", !unshare(CLONE_NEWUSER));
	must_fail("a namespace", !unshare(CLONE_NEWNS) || !unshare(CLONE_NEWNET));
	must_fail("host name", !sethostname("x", 1));
	must_fail("shared memory", shmget(shm_key, 4096, 0) >= 0);
}

/* The children end with us, the first process of the namespace. */
static void try_fork_bomb(void)
{
	int n = 0;

	for (pid_t pid; n <= JAIL_PROCESSES; n++) {
		pid = fork();
		if (pid == 0)
			pause();
		if (pid < 0)
			break;
	}
	must_fail("any number of processes", n >= JAIL_PROCESSES);
	must_fail("no processes at all", n < 8);
}

/* dir, abstract socket, port, pid, key */
static int inside(char **argv)
{
	try_files(argv[0]);
	try_descriptors();
	try_sockets(argv[0], argv[1], atoi(argv[2]));
	try_processes(atoi(argv[3]));
	try_privileges(atoi(argv[4]));
	try_fork_bomb();
	printf("tried all, uid %u, pid %d\n", getuid(), getpid());
	fflush(stdout);
	_exit(failures != 0); /* a sanitizer's look for leaks at exit wants to trace, which it must not there */
}

/* ---- outside ---- */

struct fixture {
	char *dir, *program;
	int ram, read_only, writable, unix_fd, abstract, tcp, shm;
	struct jail_report layers;
};

static int listen_at(int family, const void *address, size_t size)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd < 0 || bind(fd, address, (socklen_t)size) || listen(fd, 4) ? -1 : fd;
}

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	char template[] = "/tmp/t_jail.XXXXXX", self[PATH_MAX];
	struct err err = ERR_INIT;
	struct sockaddr_un a = { .sun_family = AF_UNIX }, b = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };

	*state = f;
	if (!mkdtemp(template) || !realpath("/proc/self/exe", self))
		return -1;
	f->dir = mem_strdup(template);
	f->program = mem_strdup(self);
	auto_free char *db = fs_join(f->dir, "db.sqlite");
	auto_free char *disk = fs_join(f->dir, "disk.qcow2");
	if (fs_write_atomic(db, "secret", 6, 0600, &err) || fs_write_atomic(disk, "disk", 4, 0600, &err))
		return -1;
	f->read_only = open(db, O_RDONLY | O_CLOEXEC);
	f->writable = open(disk, O_RDWR | O_CLOEXEC);
	f->ram = ram_empty(1, &err);
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/sbxd.sock", f->dir);
	f->unix_fd = listen_at(AF_UNIX, &a, sizeof(a));
	memcpy(b.sun_path + 1, f->dir, strlen(f->dir));
	f->abstract = listen_at(AF_UNIX, &b, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(f->dir));
	f->tcp = listen_at(AF_INET, &in, sizeof(in));
	f->shm = shmget(getpid(), 4096, IPC_CREAT | 0666);
	return f->read_only < 0 || f->writable < 0 || f->ram < 0 || f->unix_fd < 0 || f->abstract < 0 || f->tcp < 0 || f->shm < 0 ||
			jail_probe(&f->layers, &err)
		? -1
		: 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int fds[] = { f->ram, f->read_only, f->writable, f->unix_fd, f->abstract, f->tcp };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	shmctl(f->shm, IPC_RMID, NULL);
	fs_remove_tree(f->dir, NULL);
	free(f->dir);
	free(f->program);
	free(f);
	return 0;
}

/* The layer that this host does not give, or JAIL_LAYERS. */
static int missing(const struct jail_report *r)
{
	int i = 0;
	while (i < JAIL_LAYERS && !r->why[i])
		i++;
	return i;
}

static int port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	return ntohs(a.sin_port);
}

/* Without the jail all of it must work, or the test would prove nothing. */
static void outside_it_works(void **state)
{
	struct fixture *f = *state;
	auto_free char *db = fs_join(f->dir, "db.sqlite");
	auto_free char *sock = fs_join(f->dir, "sbxd.sock");

	assert_true(can_open(db, O_RDONLY));
	assert_true(can_connect_unix(sock, false));
	assert_true(can_connect_unix(f->dir, true));
	assert_true(can_connect(INADDR_LOOPBACK, port_of(f->tcp), SOCK_STREAM));
	assert_true(shmget(getpid(), 4096, 0) >= 0);
	assert_true(can_open("/etc/passwd", O_RDONLY));
}

static void nothing_gets_out(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	char way[] = "--inside", port[16], pid[16], key[16];
	char *argv[] = { f->program, way, f->dir, f->dir, port, pid, key, NULL };
	const int fds[FDS_GIVEN] = { f->ram, f->read_only, f->writable };
	auto_fd int log = spawn_log(&err);
	auto_buf text = BUF_INIT;
	int status = 0;

	if (missing(&f->layers) != JAIL_LAYERS) {
		print_message("no '%s' here: %s\n", jail_layer_name((enum jail_layer)missing(&f->layers)),
			strerror(f->layers.why[missing(&f->layers)]));
		skip();
	}
	(void)snprintf(port, sizeof(port), "%d", port_of(f->tcp));
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	(void)snprintf(key, sizeof(key), "%d", (int)getpid());
	struct spawn s = {
		.argv = argv, .fds = fds, .fd_count = FDS_GIVEN, .log_fd = log, .die_with_parent = true, .hold_fd = -1, .net_fd = -1
	};
	mode_t mask = umask(077); /* as daemons like to have it */
	pid_t child = spawn_start(&s, &err);
	umask(mask);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	spawn_log_read(log, &text);
	print_message("%s", text.p ? text.p : "");
	assert_true(text.p && strstr(text.p, "tried all, uid ") && strstr(text.p, ", pid 1\n"));
	assert_int_equal(status, 0);
	if (geteuid() == 0) { /* a user of its own, known by the pid that we know it by */
		auto_free char *uid = mem_printf("uid %u,", JAIL_UID_FIRST + (unsigned)child);
		assert_non_null(strstr(text.p, uid));
	}
}

/* A program that may not be read, as a kernel in a private folder: for another user it is copied, and as good. */
static void private_file(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	auto_free char *db = fs_join(f->dir, "db.sqlite");
	auto_fd int fd = spawn_file(db, &err);
	char text[8] = "";
	struct stat st, original;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, text, sizeof(text), 0), 6);
	assert_string_equal(text, "secret");
	assert_int_equal(fstat(fd, &st) || stat(db, &original), 0);
	assert_int_equal(st.st_ino != original.st_ino, geteuid() == 0);
	assert_int_equal(spawn_file("/nowhere", &err), -1);
}

static int run_all(const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outside_it_works),
		cmocka_unit_test(nothing_gets_out),
		cmocka_unit_test(private_file),
	};
	return cmocka_run_group_tests_name(name, tests, setup, teardown);
}

/* As somebody else, if he can get at this program. */
static int run_ordinary(void)
{
	int status = 0;

	(void)fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) || setresgid(ORDINARY, ORDINARY, ORDINARY) || setresuid(ORDINARY, ORDINARY, ORDINARY))
			_exit(1);
		/* a change of user makes /proc/self root's, until exec */
		execl("/proc/self/exe", "t_jail", "--ordinary", NULL);
		_exit(errno == EACCES ? 0 : 1);
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid || status ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc == 7 && !strcmp(argv[1], "--inside"))
		return inside(argv + 2);
	if (argc == 2)
		return run_all(argv[1]);
	int r = run_all("as we are");
	return geteuid() == 0 ? r | run_ordinary() : r;
}
