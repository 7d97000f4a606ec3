#include "daemon/vm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/mem.h"

#define NOBODY 65534
enum { NUMBER_SIZE = 24, MAP_SIZE = 64, LOCKED_MAX = 65536 };

/* ---- in the parent ---- */

/* A program outside of /usr brings its folder along if that looks like one of programs (/opt/qemu/bin/...), else only its file. */
static void plan_prefix(struct jail *j)
{
	if (!strncmp(j->program, "/usr/", 5))
		return;
	memcpy(j->prefix, j->program, sizeof(j->prefix));
	char *name = strrchr(j->prefix, '/');
	if (name - j->prefix > 4 && !strncmp(name - 4, "/bin", 4))
		name[-4] = '\0';
}

int jail_plan(struct jail *j, const char *program, bool kvm, struct err *err)
{
	struct stat st;

	*j = (struct jail){ .root = geteuid() == 0, .uid = geteuid(), .gid = getegid(), .kvm = kvm };
	if (!realpath(program, j->program))
		return err_sys(err, errno, "cannot run '%s'", program);
	plan_prefix(j);
	if (kvm && !stat("/dev/kvm", &st))
		j->kvm_gid = st.st_gid;
	return 0;
}

/* The C library's fork knows no flags. What it would do besides is for children that go on as this program, not for one that
 * makes system calls and ends in exec. */
static pid_t clone_with(unsigned long flags)
{
	return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

pid_t jail_clone(struct jail *j)
{
	pid_t pid = clone_with(CLONE_NEWPID | (j->root ? 0 : CLONE_NEWUSER));

	if (pid >= 0 || errno == EAGAIN || errno == ENOMEM)
		return pid;
	j->pid_error = errno;
	j->user_error = j->root ? 0 : errno;
	return clone_with(0);
}

/* ---- in the child ---- */

static int write_text(const char *path, const char *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	int r = write(fd, text, n) == (ssize_t)n ? 0 : errno;
	close(fd);
	return r;
}

char *jail_put_number(char *to, unsigned long v)
{
	char digits[NUMBER_SIZE];
	unsigned n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		*to++ = digits[--n];
	return to;
}

/* "7 7 1": one id, which stays what it is. */
static int write_map(const char *path, unsigned id)
{
	char text[MAP_SIZE];
	char *end = jail_put_number(text, id);

	*end++ = ' ';
	end = jail_put_number(end, id);
	memcpy(end, " 1\n", 3);
	return write_text(path, text, (size_t)(end + 3 - text));
}

/* It has all capabilities in its user namespace until it gives them up. */
static int map_user(const struct jail *j)
{
	static const char deny[] = "deny";
	int why = j->user_error;

	if (!why)
		why = write_text("/proc/self/setgroups", deny, sizeof(deny) - 1);
	if (!why)
		why = write_map("/proc/self/gid_map", j->gid);
	return why ? why : write_map("/proc/self/uid_map", j->uid);
}

/* Our pid as the host sees it: /proc is still the host's. */
static unsigned host_pid(void)
{
	char text[NUMBER_SIZE];
	ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);
	unsigned pid = 0;

	for (ssize_t i = 0; i < n; i++)
		pid = pid * 10 + (unsigned)(text[i] - '0');
	return n > 0 ? pid : 0;
}

/* The calls themselves, not glibc's: those take a lock that another thread may have held at the clone, and wait for threads that
 * are not here, to change them all. */
static int become(unsigned id)
{
	return syscall(SYS_setresgid, id, id, id) || syscall(SYS_setresuid, id, id, id) ? -1 : 0;
}

static int drop_user(const struct jail *j, unsigned pid)
{
	if (syscall(SYS_setgroups, j->kvm && j->kvm_gid ? 1 : 0, &j->kvm_gid))
		return errno;
	if (pid && !become(JAIL_UID_FIRST + pid))
		return 0;
	/* in a container whose user namespace has no such number */
	return become(NOBODY) ? errno : 0;
}

/* Neither being root nor exec gives any back. */
static int lock_privileges(void)
{
	const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
		SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

	for (unsigned long c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0))
			return errno;
	return prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) ? errno : 0;
}

static int drop_privileges(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	return syscall(SYS_capset, &head, none) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? errno : 0;
}

static int set_limit(int which, rlim_t most)
{
	struct rlimit limit;

	if (getrlimit(which, &limit))
		return errno;
	limit.rlim_max = limit.rlim_max < most ? limit.rlim_max : most;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(which, &limit) ? errno : 0;
}

/* own_user: nobody else's processes are counted with ours. */
static int set_limits(bool own_user)
{
	int why = set_limit(RLIMIT_NOFILE, JAIL_FILES);

	if (!why)
		why = set_limit(RLIMIT_CORE, 0);
	if (!why)
		why = set_limit(RLIMIT_MEMLOCK, LOCKED_MAX);
	if (!why)
		why = set_limit(RLIMIT_MSGQUEUE, 0);
	return why || !own_user ? why : set_limit(RLIMIT_NPROC, JAIL_PROCESSES);
}

int jail_shut(const struct jail *j, struct jail_report *out)
{
	unsigned pid = host_pid();
	bool able = j->root || !j->user_error;

	out->why[JAIL_PIDS] = j->pid_error;
	out->why[JAIL_USER] = j->root ? 0 : map_user(j);
	out->why[JAIL_NETWORK] = unshare(CLONE_NEWNET) ? errno : 0;
	out->why[JAIL_IPC] = unshare(CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) ? errno : 0;
	out->why[JAIL_ROOT] = jail_change_root(j);
	int locked = able ? lock_privileges() : 0; /* an ordinary process cannot, and has nothing to lock */
	if (j->root)
		out->why[JAIL_USER] = drop_user(j, pid);
	out->why[JAIL_LIMITS] = set_limits(!out->why[JAIL_USER]);
	out->why[JAIL_PRIVILEGES] = drop_privileges();
	if (!out->why[JAIL_PRIVILEGES] && !out->why[JAIL_USER])
		out->why[JAIL_PRIVILEGES] = locked;
	return out->why[JAIL_PRIVILEGES] ? -1 : 0;
}

/* ---- for people ---- */

const char *jail_layer_name(enum jail_layer layer)
{
	static const char *const names[JAIL_LAYERS] = {
		[JAIL_USER] = "user",
		[JAIL_PRIVILEGES] = "privileges",
		[JAIL_ROOT] = "files",
		[JAIL_PIDS] = "processes",
		[JAIL_NETWORK] = "network",
		[JAIL_IPC] = "ipc",
		[JAIL_LIMITS] = "limits",
	};
	return names[layer];
}

const char *jail_mend(enum jail_layer layer, int why)
{
	if (!why)
		return "";
	if (why == ENOSYS || why == EINVAL)
		return "it needs Linux 5.12 or later, with namespaces";
	if (why == ENOSPC || why == EUSERS)
		return "raise the numbers in /proc/sys/user (max_user_namespaces first)";
	if (geteuid() == 0)
		return "the daemon is root without its usual capabilities: run it outside of the container, or give that "
		       "CAP_SYS_ADMIN, "
		       "CAP_SETUID and CAP_SETGID";
	if (layer == JAIL_LIMITS)
		return "raise the limits of whoever starts the daemon";
	return "allow user namespaces to ordinary users (sysctl kernel.unprivileged_userns_clone=1, "
	       "kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces), or run the daemon as root";
}

int jail_probe(struct jail_report *out, struct err *err)
{
	struct jail j;
	sigset_t all, old;
	int ends[2];

	if (jail_plan(&j, "/proc/self/exe", false, err))
		return -1;
	if (pipe2(ends, O_CLOEXEC))
		return err_sys(err, errno, "cannot make a pipe");
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid_t pid = jail_clone(&j);
	if (pid == 0) {
		struct jail_report report = { 0 };
		int r = jail_shut(&j, &report);
		_exit(write(ends[1], &report, sizeof(report)) == (ssize_t)sizeof(report) && !r ? 0 : 1);
	}
	int sys = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	close(ends[1]);
	ssize_t n = pid < 0 ? -1 : read(ends[0], out, sizeof(*out));
	close(ends[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	if (pid < 0)
		return err_sys(err, sys, "cannot fork");
	return n == (ssize_t)sizeof(*out) ? 0 : err_set(err, ERR_INTERNAL, "a process that went to look has not come back");
}
