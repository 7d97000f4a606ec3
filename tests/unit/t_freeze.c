/* link: daemon/vm/freeze.c daemon/vm/qmp.c daemon/vm/machine.c daemon/vm/stream.c daemon/vm/qcow2.c daemon/vm/ram.c shared/net/sock.c | */
/* What a daemon that died while it held a machine leaves behind, and freeze_repair; with a QEMU that has no guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/vm/freeze.h"
#include "daemon/vm/machine.h"
#include "daemon/vm/qcow2.h"
#include "daemon/vm/qmp.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/sock.h"

enum { DISK_SIZE = 1 << 20, QMP_MS = 20000, SET_TOP = 2002, NODE_AND_SET = 2 };

struct vmm {
	char dir[32];
	pid_t pid;
};

static char *file(const struct vmm *v, const char *name)
{
	return fs_join(v->dir, name);
}

static void make_overlay(const struct vmm *v, const char *name, const char *below, const char *format)
{
	struct err err = ERR_INIT;
	auto_free char *path = file(v, name);
	auto_free char *backing = file(v, below);

	if (qcow2_overlay(path, backing, format, DISK_SIZE, &err))
		fail_msg("%s", err.msg);
}

static struct qmp *monitor(const struct vmm *v)
{
	struct err err = ERR_INIT;
	auto_free char *path = file(v, "qmp.sock");
	int fd = -1;

	for (int64_t end = clock_mono_ms() + QMP_MS; fd < 0 && clock_mono_ms() < end; poll(NULL, 0, 5))
		fd = sock_connect(path, NULL);
	assert_true(fd >= 0);
	struct qmp *q = qmp_open(fd, QMP_MS, &err);
	if (!q)
		fail_msg("%s", err.msg);
	return q;
}

static js *say(struct qmp *q, const char *command, const char *args)
{
	struct err err = ERR_INIT;
	js *result = NULL;

	if (qmp_execute(q, command, args, &result, &err))
		fail_msg("%s", err.msg);
	return result;
}

static int start(void **state)
{
	struct vmm *v = mem_zalloc(sizeof(*v));
	struct err err = ERR_INIT;

	strcpy(v->dir, "/tmp/t_freeze.XXXXXX"); /* lint: allow */
	assert_non_null(mkdtemp(v->dir));
	auto_free char *base = file(v, "base");
	auto_free char *top = file(v, "disk.qcow2");
	auto_free char *qemu = machine_find_qemu(&err);
	auto_free char *qmp = mem_printf("unix:%s/qmp.sock,server=on,wait=off", v->dir);
	auto_free char *disk0 = mem_printf("{\"driver\":\"raw\",\"node-name\":\"disk0\",\"read-only\":true,"
					   "\"file\":{\"driver\":\"file\",\"filename\":\"%s\",\"read-only\":true}}",
		base);
	auto_free char *disk1 = mem_printf("{\"driver\":\"qcow2\",\"node-name\":\"disk1\",\"backing\":\"disk0\","
					   "\"file\":{\"driver\":\"file\",\"filename\":\"%s\"}}",
		top);
	auto_fd int fd = open(base, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, DISK_SIZE), 0);
	make_overlay(v, "disk.qcow2", "base", "raw");
	make_overlay(v, "next", "disk.qcow2", "qcow2");
	make_overlay(v, "later", "next", "qcow2");
	make_overlay(v, "last", "later", "qcow2");
	assert_non_null(qemu);
	v->pid = fork();
	if (v->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(qemu, qemu, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "microvm,x-option-roms=off",
			"-accel", "tcg", "-m", "32M", "-blockdev", disk0, "-blockdev", disk1, "-device",
			"virtio-blk-device,drive=disk1", "-qmp", qmp, (char *)NULL);
		_exit(127);
	}
	*state = v;
	return v->pid < 0;
}

static int end(void **state)
{
	struct vmm *v = *state;

	kill(v->pid, SIGKILL);
	waitpid(v->pid, NULL, 0);
	fs_remove_tree(v->dir, NULL);
	free(v);
	return 0;
}

/* ---- a daemon that dies ---- */

enum point { RUNNING, STOPPED, DESCRIPTOR, NODE, SWITCHED, POINTS };

/* As freeze_run does it, up to a point; then the connection ends. */
static void die_at(const struct vmm *v, enum point at)
{
	struct qmp *q = monitor(v);
	struct err err = ERR_INIT;
	auto_free char *next = file(v, "next");
	auto_free char *add = machine_top_json(2, SET_TOP);
	auto_fd int fd = open(next, O_RDWR | O_CLOEXEC);

	if (at >= STOPPED)
		js_free(say(q, "stop", NULL));
	if (at >= DESCRIPTOR)
		assert_int_equal(qmp_add_fd(q, SET_TOP, fd, &err), 0);
	if (at >= NODE)
		js_free(say(q, "blockdev-add", add));
	if (at >= SWITCHED)
		js_free(say(q, "blockdev-snapshot", "{\"node\":\"disk1\",\"overlay\":\"disk2\"}"));
	qmp_close(q);
}

/* ---- what is left ---- */

/* How often its VMM has a file open. */
static unsigned opened(const struct vmm *v, const char *name)
{
	auto_free char *path = file(v, name);
	auto_free char *fds = mem_printf("/proc/%ld/fd", (long)v->pid);
	DIR *d = opendir(fds);
	unsigned n = 0;

	assert_non_null(d);
	for (const struct dirent *e; (e = readdir(d));) {
		auto_free char *link = fs_join(fds, e->d_name);
		char to[256] = "";
		n += readlink(link, to, sizeof(to) - 1) > 0 && !strcmp(to, path);
	}
	closedir(d);
	return n;
}

static void runs_on(const struct vmm *v, const char *node)
{
	struct qmp *q = monitor(v);
	auto_js *status = say(q, "query-status", NULL);
	auto_js *disks = say(q, "query-block", NULL);
	auto_js *nodes = say(q, "query-named-block-nodes", "{\"flat\":true}");

	assert_string_equal(js_str(js_get(status, "status"), ""), "running");
	assert_string_equal(js_str(js_get(js_get(js_first(disks), "inserted"), "node-name"), ""), node);
	js_each (it, nodes) /* nothing that is not part of it */
		assert_true(strcmp(js_str(js_get(it, "node-name"), ""), node) <= 0 || *js_str(js_get(it, "node-name"), "") == '#');
	qmp_close(q);
}

static void repair(const struct vmm *v, const char *name, unsigned node)
{
	struct err err = ERR_INIT;
	auto_free char *path = file(v, name);

	if (freeze_repair(v->dir, path, node, &err))
		fail_msg("%s", err.msg);
}

static void repaired_from(const struct vmm *v, enum point at)
{
	die_at(v, at);
	repair(v, "next", 2);
	runs_on(v, "disk2");
	assert_int_equal(opened(v, "next"), NODE_AND_SET);
	repair(v, "next", 2); /* by one that dies after it, and its successor */
	runs_on(v, "disk2");
	repair(v, "later", 3);
	runs_on(v, "disk3");
	assert_true(opened(v, "later"));
	/* QEMU opens what is below a new top anew, by name: what was a top once has to be the same file ever after */
	repair(v, "last", 4);
	runs_on(v, "disk4");
	assert_true(opened(v, "disk.qcow2") && opened(v, "next") && opened(v, "later") && opened(v, "last"));
}

static void t_running(void **state)
{
	repaired_from(*state, RUNNING);
}

static void t_stopped(void **state)
{
	repaired_from(*state, STOPPED);
}

static void t_descriptor(void **state)
{
	repaired_from(*state, DESCRIPTOR);
}

static void t_node(void **state)
{
	repaired_from(*state, NODE);
}

static void t_switched(void **state)
{
	repaired_from(*state, SWITCHED);
}

/* The file that was to be the new top was given up, and another came in its place. */
static void t_another_file(void **state)
{
	struct vmm *v = *state;
	auto_free char *next = file(v, "next");

	die_at(v, NODE);
	assert_int_equal(unlink(next), 0);
	make_overlay(v, "next", "disk.qcow2", "qcow2");
	repair(v, "next", 2);
	runs_on(v, "disk2");
	assert_int_equal(opened(v, "next"), NODE_AND_SET);
}

/* It switches nothing, and runs on all the same. */
static void t_not_repaired(void **state)
{
	struct vmm *v = *state;
	struct err err = ERR_INIT;
	auto_free char *none = file(v, "none");
	auto_free char *next = file(v, "next");

	die_at(v, STOPPED);
	assert_int_equal(freeze_repair(v->dir, none, 2, &err), -1);
	runs_on(v, "disk1");
	die_at(v, STOPPED);
	assert_int_equal(freeze_repair(v->dir, next, 7, &err), -1);
	runs_on(v, "disk1");
	repair(v, "disk.qcow2", 1);
	runs_on(v, "disk1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(t_running, start, end),
		cmocka_unit_test_setup_teardown(t_stopped, start, end),
		cmocka_unit_test_setup_teardown(t_descriptor, start, end),
		cmocka_unit_test_setup_teardown(t_node, start, end),
		cmocka_unit_test_setup_teardown(t_switched, start, end),
		cmocka_unit_test_setup_teardown(t_another_file, start, end),
		cmocka_unit_test_setup_teardown(t_not_repaired, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
