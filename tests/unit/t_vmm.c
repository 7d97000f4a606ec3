/* link: daemon/vm/qemu.c daemon/vm/proc.c daemon/vm/spawn.c daemon/vm/jail.c daemon/vm/jail_root.c shared/net/sock.c daemon/vm/machine.c daemon/vm/qcow2.c daemon/vm/ram.c | -luv */
/* The driver with a VMM played by a script: life and death of the process, its sockets, its descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/vm/machine.h"
#include "daemon/vm/ram.h"
#include "shared/net/sock.h"
#include "daemon/vm/spawn.h"
#include "daemon/vm/vm.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* Complains, and stays; one that does not like its state ends. What it was given it finds under the numbers of its command line. */
static const char player[] = "#!/usr/bin/python3\n"
			     "import os, sys, time\n"
			     "words = ' '.join(sys.argv)\n"
			     "state = os.read(int(words.split('-incoming fd:')[1].split()[0]), 100).decode()\n"
			     "ram = os.stat(words.split('mem-path=')[1].split(',')[0]).st_size\n"
			     "disks = [os.readlink('/proc/self/fd/' + w.split(',')[0]) for w in words.split('-add-fd fd=')[1:]]\n"
			     "names = ' '.join(os.path.basename(d) for d in disks)\n"
			     "sys.stderr.write('a complaint: %s %d %s\\n' % (state, ram >> 20, names)); sys.stderr.flush()\n"
			     "if '-name sbx-refused' in words: sys.exit(1)\n"
			     "time.sleep(60)\n";

struct fixture {
	char *dir, *path_before, *state, *base;
	int ram_fd;
	uv_loop_t loop;
	int ended;
};

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	char template[] = "/tmp/t_vmm.XXXXXX";
	struct err err = ERR_INIT;

	if (!mkdtemp(template))
		return -1;
	f->dir = mem_strdup(template);
	auto_free char *qemu = fs_join(f->dir, MACHINE_QEMU);
	f->path_before = mem_strdup(getenv("PATH"));
	f->state = fs_join(f->dir, "state");
	f->base = fs_join(f->dir, "rootfs.ext4");
	f->ram_fd = ram_empty(64, &err);
	*state = f;
	return f->ram_fd < 0 || fs_write_atomic(qemu, player, sizeof(player) - 1, 0755, &err) ||
			fs_write_atomic(f->state, "frozen", 6, 0600, &err) || fs_write_atomic(f->base, player, 512, 0600, &err) ||
			setenv("PATH", f->dir, 1) || uv_loop_init(&f->loop)
		? -1
		: 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	uv_run(&f->loop, UV_RUN_DEFAULT);
	int r = uv_loop_close(&f->loop);
	setenv("PATH", f->path_before, 1);
	fs_remove_tree(f->dir, NULL);
	free(f->path_before);
	free(f->state);
	free(f->base);
	close(f->ram_fd);
	free(f->dir);
	free(f);
	return r;
}

static void on_end(struct vm *vm, void *arg)
{
	struct fixture *f = arg;
	f->ended++;
	vm_free(vm);
}

static void on_end_keep(struct vm *vm, void *arg)
{
	struct fixture *f = arg;
	(void)vm;
	f->ended++;
}

/* Turn the loop for at most ms, or until `ended` VMs have. */
static void turn(struct fixture *f, int ended, int ms)
{
	for (int64_t end = clock_mono_ms() + ms; clock_mono_ms() < end && f->ended < ended;) {
		uv_run(&f->loop, UV_RUN_NOWAIT);
		poll(NULL, 0, 1);
	}
}

static struct vm *spawn(struct fixture *f, const char *id, char **dir, vm_exit_cb *cb)
{
	struct err err = ERR_INIT;
	*dir = fs_join(f->dir, id);
	auto_free char *top = fs_join(*dir, "disk.qcow2");
	const struct vm_disk disk[] = { { top, false }, { f->base, true } };
	struct vm_config config = { .id = id,
		.dir = *dir,
		.vcpus = 1,
		.memory_mb = 64,
		.ram_fd = f->ram_fd,
		.state = f->state,
		.disk = disk,
		.disk_count = 2 };

	assert_int_equal(fs_mkdirs(*dir, 0700, &err), 0);
	assert_int_equal(vm_overlay(top, &disk[1], &err), 0);
	struct vm *vm = vm_spawn(&f->loop, &config, cb, f, &err);
	if (!vm)
		fail_msg("%s", err.msg);
	return vm;
}

static void await_complaint(struct fixture *f, const struct vm *vm)
{
	for (int i = 0; i < 2000; i++) {
		auto_buf b = BUF_INIT;
		vm_log(vm, &b);
		if (strstr(b.p, "a complaint: frozen 64 rootfs.ext4 disk.qcow2\n"))
			return;
		uv_run(&f->loop, UV_RUN_NOWAIT);
		poll(NULL, 0, 1);
	}
	fail_msg("the vmm never started");
}

static void held_then_dropped(void **state)
{
	struct fixture *f = *state;
	auto_free char *dir = NULL;
	struct vm *vm = spawn(f, "held", &dir, on_end);
	pid_t pid = vm_pid(vm);

	assert_true(vm_start_time(vm) == proc_start_time(pid));
	assert_true(proc_private_kb(pid) > 0);
	vm_free(vm);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* reaped */
	assert_int_equal(proc_start_time(pid), 0);
	turn(f, 1, 20);
	assert_int_equal(f->ended, 0);
}

static void lives_and_dies(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	auto_free char *dir = NULL;
	struct vm *vm = spawn(f, "alive", &dir, on_end);
	auto_free char *log = fs_join(dir, "qemu.log");
	auto_free char *agent = vm_agent_socket(dir);
	auto_fd int early = sock_connect(agent, &err); /* before anybody is there to accept */

	assert_true(early >= 0);
	assert_int_equal(vm_go(vm, &err), 0);
	await_complaint(f, vm);
	assert_int_equal(f->ended, 0);
	vm_kill(vm);
	turn(f, 1, 2000);
	assert_int_equal(f->ended, 1);
	assert_true(fs_exists(log));
}

static void refused_restore(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	auto_free char *dir = NULL;
	struct vm *vm = spawn(f, "refused", &dir, on_end);

	assert_int_equal(vm_go(vm, &err), 0);
	turn(f, 1, 3000);
	assert_int_equal(f->ended, 1);
}

/* Descriptor numbers are used again: closing one VM's monitor must not deafen the loop for another's end. */
static void all_ends_are_seen(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	enum { N = 4 };
	char *dirs[N];
	struct vm *vms[N];

	for (int i = 0; i < N; i++) {
		char id[16];
		snprintf(id, sizeof(id), "vm%d", i);
		vms[i] = spawn(f, id, &dirs[i], on_end);
		assert_int_equal(vm_go(vms[i], &err), 0);
		await_complaint(f, vms[i]);
		turn(f, N, 50); /* for its monitor to be closed */
	}
	for (int i = 0; i < N; i++) {
		vm_kill(vms[i]);
		turn(f, i + 1, 2000);
		assert_int_equal(f->ended, i + 1);
		free(dirs[i]);
	}
}

static void adopted(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	auto_free char *dir = NULL;
	struct vm *vm = spawn(f, "orphan", &dir, on_end_keep);
	pid_t pid = vm_pid(vm);
	uint64_t since = vm_start_time(vm);

	assert_int_equal(vm_go(vm, &err), 0);
	await_complaint(f, vm);
	assert_null(vm_adopt(&f->loop, dir, pid, since + 1, on_end, f, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	vm_kill_recorded(pid, since + 1); /* another process with that pid: untouched */
	assert_true(proc_start_time(pid) == since);
	struct vm *again = vm_adopt(&f->loop, dir, pid, since, on_end, f, &err);
	assert_non_null(again);
	auto_buf log = BUF_INIT;
	vm_log(again, &log);
	assert_non_null(strstr(log.p, "a complaint: frozen 64"));
	kill(pid, SIGSTOP);
	vm_kill(again); /* also ends a stopped one */
	turn(f, 2, 2000);
	assert_int_equal(f->ended, 2);
	vm_free(vm);
	assert_null(vm_adopt(&f->loop, dir, pid, since, on_end, f, &err));
}

/* A guest cannot fill the host's disk through its VMM's complaints. */
static void log_is_bounded(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	auto_fd int fd = spawn_log(&err);
	char block[4096];
	auto_buf b = BUF_INIT;
	size_t total = 0;

	memset(block, 'x', sizeof(block));
	for (ssize_t n; total < 10u << 20 && (n = write(fd, block, sizeof(block))) > 0;)
		total += (size_t)n;
	assert_int_equal(total, 65536);
	spawn_log_read(fd, &b);
	assert_int_equal(b.len, 65536);
}

static void long_path(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	auto_free char *dir = mem_printf("%s/%0120d/%0120d", f->dir, 1, 2);
	auto_free char *path = fs_join(dir, "s.sock");
	struct stat st;

	assert_int_equal(fs_mkdirs(dir, 0700, &err), 0);
	assert_int_equal(sock_connect(path, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	auto_fd int listener = sock_listen(path, &err);
	assert_true(listener >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	auto_fd int client = sock_connect(path, &err);
	assert_true(client >= 0);
	auto_fd int server = accept(listener, NULL, NULL);
	assert_int_equal(write(client, "x", 1), 1);
	char c = 0;
	assert_int_equal(read(server, &c, 1), 1);
	auto_fd int other = sock_listen(path, &err); /* what a dead one left is replaced */
	assert_true(other >= 0);
}

static bool has(char **argv, const char *option, const char *value)
{
	for (; argv[0]; argv++)
		if (!strcmp(argv[0], option) && argv[1] && strstr(argv[1], value))
			return true;
	return false;
}

/* Boot and restore describe the same devices in the same order, or the state does not fit. */
static void command_lines(void **state)
{
	(void)state;
	static const struct machine_disk disk[] = { { 6, false }, { 7, true } };
	struct machine m = { .qemu = "/q",
		.name = "n",
		.vcpus = 1,
		.memory_mb = 256,
		.ram_fd = 5,
		.disk = disk,
		.disk_count = 2,
		.agent_fd = 3,
		.qmp_fd = 4,
		.net_fd = -1,
		.state_fd = 8,
		.tsc_khz = 2600000 };
	char **restore = machine_argv(&m);
	m.kernel_fd = 9;
	m.initrd_fd = 10;
	m.console_fd = 11;
	m.ram_share = true;
	m.state_fd = -1;
	char **boot = machine_argv(&m);
	char **a = restore, **b = boot;

	assert_true(has(boot, "-append", "tsc_early_khz=2600000"));
	assert_true(has(boot, "-object", "mem-path=/proc/self/fd/5,size=256M,share=on"));
	assert_true(has(boot, "-kernel", "/proc/self/fd/9"));
	assert_true(has(boot, "-initrd", "/proc/self/fd/10"));
	assert_true(has(boot, "-chardev", "path=/dev/fdset/11"));
	assert_true(has(restore, "-object", "share=off"));
	assert_true(has(restore, "-object", "mem-path=/proc/self/fd/5,"));
	assert_true(has(restore, "-incoming", "fd:8"));
	assert_true(has(restore, "-global", "migration.send-configuration=off"));
	assert_true(has(restore, "-add-fd", "fd=6,set=6"));
	assert_false(has(boot, "-incoming", "fd"));
	/* the raw file is at the bottom and only read; the overlay names it, and is written to */
	assert_true(has(restore, "-blockdev", "\"driver\":\"raw\",\"node-name\":\"disk0\""));
	assert_true(has(restore, "-blockdev",
		"\"read-only\":true,\"file\":{\"driver\":\"file\",\"filename\":\"/dev/fdset/7\",\"read-only\":true"));
	assert_true(has(restore, "-blockdev",
		"\"backing\":\"disk0\",\"read-only\":false,\"file\":{\"driver\":\"file\",\"filename\":\"/dev/fdset/6\""));
	assert_true(has(restore, "-device", "id=disk,drive=disk1,"));
	assert_true(has(restore, "-serial", "null"));
	assert_true(has(restore, "-sandbox", "spawn=deny"));
	for (; *a && *b; a++, b++) {
		while (*a && strcmp(*a, "-device") != 0)
			a++;
		while (*b && strcmp(*b, "-device") != 0)
			b++;
		if (!*a || !*b)
			break;
		assert_string_equal(a[1], b[1]);
	}
	assert_true(!*a && !*b);
	machine_argv_free(restore);
	machine_argv_free(boot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(held_then_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(lives_and_dies, setup, teardown),
		cmocka_unit_test_setup_teardown(refused_restore, setup, teardown),
		cmocka_unit_test_setup_teardown(all_ends_are_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(adopted, setup, teardown),
		cmocka_unit_test(log_is_bounded),
		cmocka_unit_test_setup_teardown(long_path, setup, teardown),
		cmocka_unit_test(command_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
