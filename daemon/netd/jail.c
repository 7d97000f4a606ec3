#include "daemon/netd/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared/base/mem.h"

#define NOBODY 65534

int jail_close_others(int keep, struct err *err)
{
	const int place = 3;
	if (keep < place)
		return err_set(err, ERR_USAGE, "descriptor %d is not one that can be kept", keep);
	if (keep != place && dup2(keep, place) < 0)
		return err_sys(err, errno, "cannot use descriptor %d", keep);
	if (fcntl(place, F_SETFD, FD_CLOEXEC) || close_range((unsigned)place + 1, ~0u, 0))
		return err_sys(err, errno, "cannot close inherited descriptors");
	return place;
}

static int drop_user(struct err *err)
{
	if (geteuid() == 0) {
		if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
			return err_sys(err, errno, "cannot become user %d", NOBODY);
		if (!setuid(0))
			return err_set(err, ERR_INTERNAL, "user %d can become root again", NOBODY);
	}
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
	if (syscall(SYS_capset, &head, none))
		return err_sys(err, errno, "cannot give up capabilities");
	return 0;
}

static int set_limits(struct err *err)
{
	const struct rlimit files = { JAIL_FILES_GUEST, JAIL_FILES };
	const struct rlimit none = { 0, 0 };
	if (setrlimit(RLIMIT_NOFILE, &files) || setrlimit(RLIMIT_CORE, &none))
		return err_sys(err, errno, "cannot set limits");
	return 0;
}

#define ARG_LOW(n) offsetof(struct seccomp_data, args[n]) /* little endian: the low half of argument n */
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
/* is the loaded value v? then go on, else skip n instructions */
#define IF_ELSE_SKIP(v, n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, v, 0, n)
#define PERMIT(name) IF_ELSE_SKIP(SYS_##name, 1), ALLOW

/*
 * What is not listed fails with EPERM, which libslirp survives as any failed call. socket() is for the Internet and for
 * netlink (getifaddrs) only, so that not even a taken-over helper reaches the daemon's Unix socket; open is read-only
 * (/etc/resolv.conf).
 */
static const struct sock_filter program[] = {
	LOAD(offsetof(struct seccomp_data, arch)),
	IF_ELSE_SKIP(AUDIT_ARCH_X86_64, 1),
	BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	LOAD(offsetof(struct seccomp_data, nr)),
	PERMIT(poll),
	PERMIT(read),
	PERMIT(write),
	PERMIT(sendto),
	PERMIT(recvfrom),
	PERMIT(sendmsg),
	PERMIT(recvmsg),
	PERMIT(close),
	PERMIT(connect),
	PERMIT(bind),
	PERMIT(getsockname),
	PERMIT(getpeername),
	PERMIT(getsockopt),
	PERMIT(setsockopt),
	PERMIT(shutdown),
	PERMIT(ioctl),
	PERMIT(fcntl),
	PERMIT(clock_gettime),
	PERMIT(gettimeofday),
	PERMIT(time),
	PERMIT(brk),
	PERMIT(mmap),
	PERMIT(munmap),
	PERMIT(mremap),
	PERMIT(madvise),
	PERMIT(mprotect),
	PERMIT(futex),
	PERMIT(fstat),
	PERMIT(stat),
	PERMIT(newfstatat),
	PERMIT(lseek),
	PERMIT(getrandom),
	PERMIT(getpid),
	PERMIT(gettid),
	PERMIT(tgkill),
	PERMIT(rt_sigprocmask),
	PERMIT(rt_sigaction),
	PERMIT(rt_sigreturn),
	PERMIT(restart_syscall),
	PERMIT(prlimit64),
	PERMIT(setrlimit),
	PERMIT(exit),
	PERMIT(exit_group),
	IF_ELSE_SKIP(SYS_openat, 4),
	LOAD(ARG_LOW(2)),
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, 1, 0),
	ALLOW,
	REFUSE,
	IF_ELSE_SKIP(SYS_socket, 5),
	LOAD(ARG_LOW(0)),
	IF_ELSE_SKIP(AF_INET, 1),
	ALLOW,
	IF_ELSE_SKIP(AF_NETLINK, 1),
	ALLOW,
	REFUSE,
};

static int set_seccomp(struct err *err)
{
	/* the kernel only reads it */
	union {
		const struct sock_filter *in;
		struct sock_filter *out;
	} code = { .in = program };
	const struct sock_fprog prog = { .len = ARRAY_LEN(program), .filter = code.out };
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return err_sys(err, errno, "cannot restrict system calls");
	return 0;
}

int jail_enter(struct err *err)
{
	/* fails only for the leader of a process group, which is as good */
	setsid();
	if (set_limits(err) || drop_user(err))
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return err_sys(err, errno, "cannot give up privileges");
	return set_seccomp(err);
}
