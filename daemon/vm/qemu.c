#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/vm/group.h"
#include "daemon/vm/machine.h"
#include "daemon/vm/qcow2.h"
#include "shared/net/sock.h"
#include "daemon/vm/spawn.h"
#include "daemon/vm/vm.h"
#include "shared/base/fs.h"
#include "shared/base/json.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

/*
 * The way to a running guest has no round trip and no polling in it:
 * - Both sockets are bound and listened on here, before the fork, and inherited. Whoever connects early waits in the
 *   backlog, and what he writes waits in the socket until the guest reads it.
 * - The state comes with -incoming from a descriptor, and was saved running, so the guest runs as soon as it is loaded. A state
 * that does not fit ends QEMU. Measured here under TCG, fork to the agent's answer: about 50 ms, of which QEMU's own start (linking
 * its 40 libraries, building its object model) is over 40. Leaving out -kernel (not needed: ROMs are not part of the state) saves 1
 * ms, MALLOC_ARENA_MAX, a small tb-size and LD_BIND_NOW make no difference, huge pages cost 3.5 MB and gain nothing.
 */
#define AGENT_SOCKET "agent.sock"
#define QMP_SOCKET "qmp.sock"

struct vm {
	char *dir;
	pid_t pid;
	uint64_t start_time;
	bool child;		  /* ours to reap */
	bool exited;		  /* and reaped, if ours */
	int pidfd, go_fd, log_fd; /* -1: closed */
	uv_loop_t *loop;
	uv_poll_t exit_poll;
	bool polled; /* exit_poll is initialised and not yet closed */
	vm_exit_cb *on_exit;
	void *arg;
};

char *vm_agent_socket(const char *dir)
{
	return fs_join(dir, AGENT_SOCKET);
}

pid_t vm_pid(const struct vm *vm)
{
	return vm->pid;
}

uint64_t vm_start_time(const struct vm *vm)
{
	return vm->start_time;
}

void vm_log(const struct vm *vm, struct buf *out)
{
	if (vm->log_fd >= 0)
		spawn_log_read(vm->log_fd, out);
}

int vm_overlay(const char *path, const struct vm_disk *below, struct err *err)
{
	uint64_t size = 0;
	struct stat st;

	if (!below->raw && qcow2_size(below->path, &size, err))
		return -1;
	if (below->raw && stat(below->path, &st))
		return err_sys(err, errno, "cannot read '%s'", below->path);
	return qcow2_overlay(path, below->path, below->raw ? "raw" : "qcow2", below->raw ? (uint64_t)st.st_size : size, err);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- its end ---- */

static void save_log(const struct vm *vm)
{
	auto_buf text = BUF_INIT;
	auto_free char *path = fs_join(vm->dir, "qemu.log");

	vm_log(vm, &text);
	if (!text.len)
		return;
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0) /* the folder may be gone already: then nobody wants it */
		fs_write_all(fd, text.p, text.len, NULL);
}

/* Collect a child's status if there is one. */
static void reap(struct vm *vm)
{
	int status = 0;
	pid_t r;

	vm->exited = true;
	if (!vm->child) {
		group_remove(vm->pid);
		return;
	}
	do
		r = waitpid(vm->pid, &status, 0);
	while (r < 0 && errno == EINTR);
	group_remove(vm->pid);
	if (r == vm->pid && WIFEXITED(status) && WEXITSTATUS(status))
		log_warn("vm", "'%s': the vmm ended with code %d", vm->dir, WEXITSTATUS(status));
	else if (r == vm->pid && WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		log_warn("vm", "'%s': the vmm was ended by signal %d", vm->dir, WTERMSIG(status));
}

static void on_pidfd(uv_poll_t *poll, int status, int events)
{
	struct vm *vm = poll->data;

	(void)status;
	(void)events;
	uv_poll_stop(poll);
	if (vm->exited)
		return;
	reap(vm);
	save_log(vm);
	vm->on_exit(vm, vm->arg);
}

/* ---- life ---- */

static struct vm *vm_new(uv_loop_t *loop, const char *dir, vm_exit_cb *on_exit, void *arg)
{
	struct vm *vm = mem_zalloc(sizeof(*vm));

	vm->dir = mem_strdup(dir);
	vm->pidfd = vm->go_fd = vm->log_fd = -1;
	vm->loop = loop;
	vm->on_exit = on_exit;
	vm->arg = arg;
	return vm;
}

static void vm_release(struct vm *vm)
{
	close_fd(&vm->pidfd);
	close_fd(&vm->go_fd);
	close_fd(&vm->log_fd);
	free(vm->dir);
	free(vm);
}

static void on_handle_closed(uv_handle_t *handle)
{
	vm_release(handle->data);
}

static int watch(struct vm *vm, struct err *err)
{
	int r = uv_poll_init(vm->loop, &vm->exit_poll, vm->pidfd);

	if (r)
		return err_set(err, ERR_INTERNAL, "cannot watch a vmm: %s", uv_strerror(r));
	vm->exit_poll.data = vm;
	vm->polled = true;
	r = uv_poll_start(&vm->exit_poll, UV_READABLE, on_pidfd);
	return r ? err_set(err, ERR_INTERNAL, "cannot watch a vmm: %s", uv_strerror(r)) : 0;
}

/* The poll handle is closed before its descriptor: libuv takes the descriptor out of its epoll set whenever a handle is stopped or
 * closed, and by a later time the number may belong to somebody else, who would then never hear of his events. */
void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	if (vm->child && !vm->exited && vm->go_fd >= 0) {
		/* still held: it ends with our end of the pair, at once, and nobody else would reap it */
		close_fd(&vm->go_fd);
		kill(vm->pid, SIGKILL); /* should somebody have stopped it; unreaped, the pid cannot be another's */
		reap(vm);
	}
	if (vm->polled)
		uv_close((uv_handle_t *)&vm->exit_poll, on_handle_closed);
	else
		vm_release(vm);
}

/* With network: the helper's command line and both ends of the line to it. */
struct net {
	char *argv[6];
	int pair[2];
};

static void net_free(struct net *net)
{
	free(net->argv[0]);
	free(net->argv[4]);
	close_fd(&net->pair[0]);
	close_fd(&net->pair[1]);
}

static int net_make(struct net *net, const char *rules, struct err *err)
{
	static char option[] = "--fd", number[] = "3", allow[] = "--allow";
	auto_free char *dir = fs_exe_dir(err);

	if (!dir)
		return -1;
	net->argv[0] = fs_join(dir, "sbx-net");
	net->argv[1] = option;
	net->argv[2] = number;
	if (rules) {
		net->argv[3] = allow;
		net->argv[4] = mem_strdup(rules);
	}
	if (access(net->argv[0], X_OK))
		return err_sys(err, errno, "cannot run '%s'", net->argv[0]);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, net->pair))
		return err_sys(err, errno, "cannot make a socket pair");
	return 0;
}

/* What the child inherits: descriptors of ours, in the order of the numbers that they will have. */
struct given {
	int fds[SPAWN_FDS_MAX];
	unsigned count;
	struct machine_disk disk[MACHINE_CHAIN_MAX], fs[MACHINE_CHAIN_MAX];
};

static void given_free(struct given *g)
{
	for (unsigned i = 0; i < g->count; i++)
		close_fd(&g->fds[i]);
}

/* Takes fd over, also when it is -1: a failure. Returns its number in the child. */
static int give(struct given *g, int fd)
{
	if (fd < 0)
		return -1;
	g->fds[g->count] = fd;
	return SPAWN_FD_FIRST + (int)g->count++;
}

static int give_file(struct given *g, const char *path, int flags, struct err *err)
{
	int n = give(g, open(path, flags | O_CLOEXEC));
	return n < 0 ? err_sys(err, errno, "cannot open '%s'", path) : n;
}

static int give_chain(
	struct given *g, const struct vm_disk *chain, unsigned n, bool top_writable, struct machine_disk *out, struct err *err)
{
	if (n > MACHINE_CHAIN_MAX)
		return err_set(err, ERR_INTERNAL, "a disk of %u layers", n);
	for (unsigned i = 0; i < n; i++) {
		out[i].raw = chain[i].raw;
		out[i].fd = give_file(g, chain[i].path, top_writable && i == 0 ? O_RDWR : O_RDONLY, err);
		if (out[i].fd < 0)
			return -1;
	}
	return 0;
}

static int give_all(struct given *g, const struct vm_config *config, const struct net *net, struct machine *m, struct err *err)
{
	auto_free char *agent_path = vm_agent_socket(config->dir);
	auto_free char *qmp_path = fs_join(config->dir, QMP_SOCKET);

	m->agent_fd = give(g, sock_listen(agent_path, err));
	m->qmp_fd = m->agent_fd < 0 ? -1 : give(g, sock_listen(qmp_path, err));
	if (m->qmp_fd < 0)
		return -1;
	m->ram_fd = give(g, fcntl(config->ram_fd, F_DUPFD_CLOEXEC, 0));
	if (m->ram_fd < 0)
		return err_sys(err, errno, "cannot share a machine's memory");
	m->net_fd = net ? give(g, fcntl(net->pair[0], F_DUPFD_CLOEXEC, 0)) : -1;
	if (net && m->net_fd < 0)
		return err_sys(err, errno, "cannot share a socket");
	m->state_fd = config->state ? give_file(g, config->state, O_RDONLY, err) : -1;
	if (config->state && m->state_fd < 0)
		return -1;
	if (!config->state) {
		m->kernel_fd = give(g, spawn_file(config->kernel, err));
		m->initrd_fd = m->kernel_fd < 0 ? -1 : give(g, spawn_file(config->initrd, err));
		if (m->initrd_fd < 0)
			return -1;
	}
	m->disk = g->disk;
	m->disk_count = config->disk_count;
	m->fs = g->fs;
	m->fs_count = config->fs_count;
	return give_chain(g, config->disk, config->disk_count, true, g->disk, err) ||
			give_chain(g, config->fs, config->fs_count, false, g->fs, err)
		? -1
		: 0;
}

/* The child, with everything it inherits. */
static int fork_vmm(struct vm *vm, const struct vm_config *config, const struct net *net, int hold, struct err *err)
{
	auto_free char *qemu = machine_find_qemu(err);
	struct given g = { .count = 0 };
	struct machine m = { .qemu = qemu,
		.name = config->id,
		.accel = config->accel,
		.vcpus = config->vcpus,
		.memory_mb = config->memory_mb,
		.kernel_fd = -1,
		.initrd_fd = -1,
		.console_fd = -1,
		.tsc_khz = config->tsc_khz };

	if (!qemu || give_all(&g, config, config->net ? net : NULL, &m, err)) {
		given_free(&g);
		return -1;
	}
	vm->log_fd = spawn_log(err);
	if (vm->log_fd >= 0) {
		char **argv = machine_argv(&m);
		struct spawn s = { .argv = argv,
			.owner = config->dir,
			.fds = g.fds,
			.fd_count = g.count,
			.log_fd = vm->log_fd,
			.kvm = config->accel == VM_ACCEL_KVM,
			.hold_fd = hold,
			.net_argv = config->net ? net->argv : NULL,
			.net_fd = net->pair[1] };
		vm->pid = spawn_start(&s, err);
		machine_argv_free(argv);
		vm->child = vm->pid >= 0;
	}
	given_free(&g);
	return vm->child ? 0 : -1;
}

static int spawn_held(struct vm *vm, const struct vm_config *config, struct err *err)
{
	int hold[2]; /* as a pipe; a socket can be written to without SIGPIPE */
	struct net net = { .pair = { -1, -1 } };

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, hold))
		return err_sys(err, errno, "cannot make a socket pair");
	vm->go_fd = hold[1];
	int r = config->net ? net_make(&net, config->net_rules, err) : 0;
	if (!r)
		r = fork_vmm(vm, config, &net, hold[0], err);
	close(hold[0]);
	net_free(&net);
	if (r)
		return -1;
	vm->start_time = proc_start_time(vm->pid);
	vm->pidfd = pidfd_open(vm->pid, 0);
	if (vm->pidfd < 0 || !vm->start_time)
		return err_sys(err, errno, "cannot watch process %ld", (long)vm->pid);
	group_enter(vm->pid, config->memory_mb);
	return watch(vm, err);
}

struct vm *vm_spawn(uv_loop_t *loop, const struct vm_config *config, vm_exit_cb *on_exit, void *arg, struct err *err)
{
	struct vm *vm = vm_new(loop, config->dir, on_exit, arg);

	if (!spawn_held(vm, config, err))
		return vm;
	vm_free(vm);
	return NULL;
}

int vm_go(struct vm *vm, struct err *err)
{
	ssize_t n = send(vm->go_fd, "g", 1, MSG_NOSIGNAL);
	int sys = errno;

	close_fd(&vm->go_fd);
	return n == 1 ? 0 : err_sys(err, sys, "cannot start the vmm");
}

/* NOLINTNEXTLINE(readability-function-size): one call, in recovery, and each of them is needed */
struct vm *vm_adopt(
	uv_loop_t *loop, const char *dir, pid_t pid, uint64_t start_time, vm_exit_cb *on_exit, void *arg, struct err *err)
{
	errno = ESRCH;
	int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;

	if (pidfd < 0 && errno != ESRCH) { /* it may well run: we only cannot look */
		err_sys(err, errno, "cannot watch process %ld", (long)pid);
		if (err && err->code == ERR_NOT_FOUND)
			err->code = ERR_IO;
		return NULL;
	}
	/* the descriptor first, then the check: from there on the pid cannot be another's */
	if (pidfd < 0 || proc_start_time(pid) != start_time) {
		close_fd(&pidfd);
		group_remove(pid);
		err_set(err, ERR_NOT_FOUND, "process %ld has ended", (long)pid);
		return NULL;
	}
	struct vm *vm = vm_new(loop, dir, on_exit, arg);
	auto_free char *log = mem_printf("/proc/%ld/fd/2", (long)pid);
	vm->pid = pid;
	vm->start_time = start_time;
	vm->pidfd = pidfd;
	vm->log_fd = open(log, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* without it nothing but the complaints is lost */
	if (!watch(vm, err))
		return vm;
	vm_free(vm);
	return NULL;
}

void vm_kill(struct vm *vm)
{
	if (!vm->exited)
		pidfd_send_signal(vm->pidfd, SIGKILL, NULL, 0);
}
