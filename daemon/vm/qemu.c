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
 * - The commands that start the restore are in the QMP socket before QEMU exists (x-ignore-shared cannot be given on QEMU 7.2's
 *   command line, so -incoming with a descriptor is not enough). The answers are only looked at for a refusal.
 * - The template was saved running, so the guest runs as soon as its state is loaded.
 * Measured here under TCG, fork to the agent's answer: about 50 ms, of which QEMU's own start (linking its 40 libraries,
 * building its object model) is over 40. Leaving out -kernel (not needed: ROMs are not part of the state) saves 1 ms,
 * MALLOC_ARENA_MAX, a small tb-size and LD_BIND_NOW make no difference, huge pages cost 3.5 MB and gain nothing.
 */
#define AGENT_SOCKET "agent.sock"
#define QMP_SOCKET "qmp.sock"
enum { FD_AGENT = SPAWN_FD_FIRST, FD_QMP, FD_STATE, FD_NET, FD_END };
_Static_assert(FD_STATE == 5, "named in the commands");

static const char restore_commands[] = "{\"execute\":\"qmp_capabilities\"}\n"
				       "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[{\"capability\":"
				       "\"x-ignore-shared\",\"state\":true}]}}\n"
				       "{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"fd:5\"},\"id\":\"restore\"}\n";

enum { QMP_READ = 4096, QMP_LINE_MAX = 65536 };

struct vm {
	char *dir;
	pid_t pid;
	uint64_t start_time;
	bool child;			  /* ours to reap */
	bool exited;			  /* and reaped, if ours */
	int pidfd, go_fd, qmp_fd, log_fd; /* -1: closed */
	uv_loop_t *loop;
	uv_poll_t exit_poll, qmp_poll;
	unsigned handles; /* initialised, not yet closed */
	bool qmp_polled;
	struct buf qmp_in;
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

int vm_files(const struct vm_config *config, struct err *err)
{
	uint64_t size = 0;
	auto_free char *disk = fs_join(config->dir, "disk.qcow2");

	if (qcow2_size(config->tmpl->disk, &size, err))
		return -1;
	return qcow2_overlay(disk, config->tmpl->disk, "qcow2", size, err);
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
	if (!vm->child)
		return;
	do
		r = waitpid(vm->pid, &status, 0);
	while (r < 0 && errno == EINTR);
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

/* ---- the restore's answers ---- */

static void on_handle_closed(uv_handle_t *handle);

/* No more is wanted from QEMU; its monitor is free for the next client. The handle is closed before its descriptor: libuv takes
 * the descriptor out of its epoll set whenever a poll handle is stopped or closed, and by a later time the number may
 * belong to somebody else, who would then never hear of his events. */
static void qmp_done(struct vm *vm)
{
	if (vm->qmp_polled)
		uv_close((uv_handle_t *)&vm->qmp_poll, on_handle_closed);
	vm->qmp_polled = false;
	close_fd(&vm->qmp_fd);
}

/* One line from QEMU; true when no more is to be expected. */
static bool qmp_line(struct vm *vm, const char *line, size_t n)
{
	auto_js *v = js_parse(line, n, JS_LIMITS_DEFAULT, NULL);
	const js *error = js_get(v, "error");

	if (v && !error)
		return !strcmp(js_str(js_get(v, "id"), ""), "restore");
	log_error("vm", "'%s': the restore was refused: %s", vm->dir, js_str(js_get(error, "desc"), "no reason given"));
	vm_kill(vm);
	return true;
}

static void on_qmp(uv_poll_t *poll, int status, int events)
{
	struct vm *vm = poll->data;
	char *p = vm->qmp_in.len < QMP_LINE_MAX ? buf_reserve(&vm->qmp_in, QMP_READ) : NULL;
	ssize_t n = p ? recv(vm->qmp_fd, p, QMP_READ, MSG_DONTWAIT) : -1;

	(void)status;
	(void)events;
	if (n < 0 && p && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		qmp_done(vm); /* QEMU has ended: on_pidfd tells */
		return;
	}
	buf_commit(&vm->qmp_in, (size_t)n);
	for (char *nl; (nl = memchr(vm->qmp_in.p, '\n', vm->qmp_in.len));) {
		size_t line = (size_t)(nl - vm->qmp_in.p) + 1;
		if (qmp_line(vm, vm->qmp_in.p, line)) {
			qmp_done(vm);
			return;
		}
		buf_drop(&vm->qmp_in, line);
	}
}

/* ---- life ---- */

static struct vm *vm_new(uv_loop_t *loop, const char *dir, vm_exit_cb *on_exit, void *arg)
{
	struct vm *vm = mem_zalloc(sizeof(*vm));

	vm->dir = mem_strdup(dir);
	vm->pidfd = vm->go_fd = vm->qmp_fd = vm->log_fd = -1;
	vm->loop = loop;
	buf_init(&vm->qmp_in);
	vm->on_exit = on_exit;
	vm->arg = arg;
	return vm;
}

static void vm_release(struct vm *vm)
{
	close_fd(&vm->pidfd);
	close_fd(&vm->go_fd);
	close_fd(&vm->qmp_fd);
	close_fd(&vm->log_fd);
	buf_free(&vm->qmp_in);
	free(vm->dir);
	free(vm);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct vm *vm = handle->data;

	if (--vm->handles == 0)
		vm_release(vm);
}

static int watch(struct vm *vm, uv_poll_t *poll, int fd, uv_poll_cb cb, struct err *err)
{
	int r = uv_poll_init(vm->loop, poll, fd);

	if (r)
		return err_set(err, ERR_INTERNAL, "cannot watch a vmm: %s", uv_strerror(r));
	poll->data = vm;
	vm->handles++;
	r = uv_poll_start(poll, UV_READABLE, cb);
	return r ? err_set(err, ERR_INTERNAL, "cannot watch a vmm: %s", uv_strerror(r)) : 0;
}

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
	if (!vm->handles) {
		vm_release(vm);
		return;
	}
	qmp_done(vm);
	uv_close((uv_handle_t *)&vm->exit_poll, on_handle_closed);
}

/* With network: the helper's command line and both ends of the line to it. */
struct net {
	char *argv[4];
	int pair[2];
};

static void net_free(struct net *net)
{
	free(net->argv[0]);
	close_fd(&net->pair[0]);
	close_fd(&net->pair[1]);
}

static int net_make(struct net *net, struct err *err)
{
	static char option[] = "--fd", number[] = "3";
	auto_free char *dir = fs_exe_dir(err);

	if (!dir)
		return -1;
	net->argv[0] = fs_join(dir, "sbx-net");
	net->argv[1] = option;
	net->argv[2] = number;
	if (access(net->argv[0], X_OK))
		return err_sys(err, errno, "cannot run '%s'", net->argv[0]);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, net->pair))
		return err_sys(err, errno, "cannot make a socket pair");
	return 0;
}

/* The child, with everything it inherits. */
static int fork_vmm(struct vm *vm, const struct vm_config *config, const struct net *net, int hold, struct err *err)
{
	auto_free char *agent_path = vm_agent_socket(config->dir);
	auto_free char *qmp_path = fs_join(config->dir, QMP_SOCKET);
	auto_fd int agent = sock_listen(agent_path, err);
	auto_fd int qmp = agent < 0 ? -1 : sock_listen(qmp_path, err);
	auto_fd int state = open(config->tmpl->state, O_RDONLY | O_CLOEXEC);
	auto_free char *qemu = machine_find_qemu(err);
	auto_free char *disk = fs_join(config->dir, "disk.qcow2");

	if (agent < 0 || qmp < 0 || !qemu)
		return -1;
	if (state < 0)
		return err_sys(err, errno, "cannot open '%s'", config->tmpl->state);
	vm->log_fd = spawn_log(err);
	if (vm->log_fd < 0)
		return -1;
	struct machine m = { .qemu = qemu,
		.name = config->id,
		.accel = config->tmpl->accel,
		.vcpus = config->tmpl->vcpus,
		.memory_mb = config->tmpl->memory_mb,
		.ram = config->tmpl->ram,
		.disk = disk,
		.fs_disk = config->fs_disk,
		.agent_fd = FD_AGENT,
		.qmp_fd = FD_QMP,
		.net_fd = config->net ? FD_NET : -1 };
	const int fds[FD_END - SPAWN_FD_FIRST] = { agent, qmp, state, net->pair[0] };
	char **argv = machine_argv(&m);
	struct spawn s = { .argv = argv,
		.fds = fds,
		.fd_count = config->net ? 4 : 3,
		.log_fd = vm->log_fd,
		.hold_fd = hold,
		.net_argv = config->net ? net->argv : NULL,
		.net_fd = net->pair[1] };
	vm->pid = spawn_start(&s, err);
	machine_argv_free(argv);
	if (vm->pid < 0)
		return -1;
	vm->child = true;
	return 0;
}

static int spawn_held(struct vm *vm, const struct vm_config *config, struct err *err)
{
	int hold[2]; /* as a pipe; a socket can be written to without SIGPIPE */
	struct net net = { .pair = { -1, -1 } };

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, hold))
		return err_sys(err, errno, "cannot make a socket pair");
	vm->go_fd = hold[1];
	int r = config->net ? net_make(&net, err) : 0;
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
	return watch(vm, &vm->exit_poll, vm->pidfd, on_pidfd, err);
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
	auto_free char *path = fs_join(vm->dir, QMP_SOCKET);
	vm->qmp_fd = sock_connect(path, err);
	if (vm->qmp_fd < 0)
		return -1;
	if (send(vm->qmp_fd, restore_commands, sizeof(restore_commands) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) !=
		(ssize_t)sizeof(restore_commands) - 1)
		return err_sys(err, errno, "cannot write to '%s/" QMP_SOCKET "'", vm->dir);
	unsigned before = vm->handles;
	int r = watch(vm, &vm->qmp_poll, vm->qmp_fd, on_qmp, err);
	vm->qmp_polled = vm->handles > before;
	if (r)
		return -1;
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
		err_set(err, ERR_NOT_FOUND, "process %ld has ended", (long)pid);
		return NULL;
	}
	struct vm *vm = vm_new(loop, dir, on_exit, arg);
	auto_free char *log = mem_printf("/proc/%ld/fd/2", (long)pid);
	vm->pid = pid;
	vm->start_time = start_time;
	vm->pidfd = pidfd;
	vm->log_fd = open(log, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* without it nothing but the complaints is lost */
	if (!watch(vm, &vm->exit_poll, vm->pidfd, on_pidfd, err))
		return vm;
	vm_free(vm);
	return NULL;
}

void vm_kill(struct vm *vm)
{
	if (!vm->exited)
		pidfd_send_signal(vm->pidfd, SIGKILL, NULL, 0);
}
