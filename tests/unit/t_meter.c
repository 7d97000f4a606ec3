/* link: daemon/vm/meter.c */
/* The meter on processes of our own: what it reads is what getrusage and /proc/PID/status say. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/vm/meter.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

struct fixture {
	char dir[64];
	pid_t child;
};

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	memcpy(f->dir, "/tmp/sbx-t-meter-XXXXXX", sizeof("/tmp/sbx-t-meter-XXXXXX"));
	assert_non_null(mkdtemp(f->dir));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	if (f->child > 0) {
		kill(f->child, SIGKILL);
		waitpid(f->child, NULL, 0);
	}
	assert_int_equal(fs_remove_tree(f->dir, NULL), 0);
	free(f);
	return 0;
}

/* "VmRSS:" and such of /proc/self/status. */
static int64_t status_kb(const char *label)
{
	auto_buf text = BUF_INIT;
	assert_int_equal(fs_read("/proc/self/status", 1 << 16, &text, NULL), 0);
	const char *at = strstr(text.p, label);
	assert_non_null(at);
	return strtoll(at + strlen(label), NULL, 10);
}

static int64_t used_ns(void)
{
	struct rusage u;
	assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
	return ((int64_t)u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000 +
		((int64_t)u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

static void burn(int64_t ns)
{
	int64_t end = used_ns() + ns;
	while (used_ns() < end)
		;
}

static void close_to(int64_t got, int64_t want, int64_t within)
{
	if (got < want - within || got > want + within)
		fail_msg("%lld is not within %lld of %lld", (long long)got, (long long)within, (long long)want);
}

static void test_own(void **state)
{
	struct fixture *f = *state;
	struct meter m;
	struct meter_reading a, b;
	auto_free char *disk = fs_join(f->dir, "disk.qcow2");
	assert_true(meter_open(&m, getpid(), f->dir, false));
	assert_true(meter_read(&m, &a));
	assert_int_equal(a.disk_kb, 0);
	/* sanitizers and the kernel's batched counters make these coarse */
	const int64_t slack = 2048;
	close_to(a.resident_kb, status_kb("\nVmRSS:"), slack);
	close_to(a.private_kb, status_kb("\nRssAnon:"), slack);
	assert_int_equal(a.received_bytes, -1);
	size_t size = 32u << 20;
	char *memory = mem_array(1, size);
	memset(memory, 1, size);
	__asm__ volatile("" : : "r"(memory) : "memory");
	burn(50000000);
	int fd = open(disk, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(fs_write_all(fd, memory, 1 << 20, NULL), 0);
	assert_int_equal(fsync(fd), 0);
	close(fd);
	int64_t before = used_ns();
	assert_true(meter_read(&m, &b));
	close_to(b.cpu_ns, before, 100000000);
	assert_true(b.cpu_ns - a.cpu_ns >= 49000000);
	close_to(b.private_kb - a.private_kb, (int64_t)size / 1024, slack);
	close_to(b.disk_kb, fs_allocated(disk) / 1024, 0);
	assert_true(b.disk_kb >= 1024);
	assert_true(b.read_bytes >= a.read_bytes && b.written_bytes >= a.written_bytes && a.read_bytes >= 0);
	free(memory);
	meter_close(&m);
	meter_close(&m);
}

static void test_ended(void **state)
{
	struct fixture *f = *state;
	struct meter m;
	struct meter_reading r;
	f->child = fork();
	assert_true(f->child >= 0);
	if (f->child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	assert_true(meter_open(&m, f->child, f->dir, true)); /* has no sbx-net: looked for in vain */
	for (int i = 0; i < 10; i++) {
		assert_true(meter_read(&m, &r));
		assert_int_equal(r.sent_bytes, -1);
	}
	assert_int_equal(kill(f->child, SIGKILL), 0);
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)f->child, &info, WEXITED | WNOWAIT), 0);
	assert_false(meter_read(&m, &r)); /* ended, not reaped */
	assert_int_equal(waitpid(f->child, NULL, 0), f->child);
	assert_false(meter_read(&m, &r));
	meter_close(&m);
	assert_false(meter_open(&m, f->child, f->dir, false));
	f->child = 0;
}

/* What a child named sbx-net reads and writes is its parent's network. */
static void test_net(void **state)
{
	struct fixture *f = *state;
	struct meter m;
	struct meter_reading r;
	int up[2], down[2];
	char text[5000] = { 0 };
	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	assert_int_equal(pipe2(down, O_CLOEXEC), 0);
	f->child = fork();
	assert_true(f->child >= 0);
	if (f->child == 0) {
		prctl(PR_SET_NAME, "sbx-net");
		ssize_t n = read(up[0], text, sizeof(text));
		n = write(down[1], text, n > 3000 ? 3000 : 0);
		for (;;)
			pause();
	}
	assert_int_equal(write(up[1], text, 4000), 4000);
	assert_int_equal(read(down[0], text, sizeof(text)), 3000);
	assert_true(meter_open(&m, getpid(), f->dir, true));
	assert_true(meter_read(&m, &r));
	assert_int_equal(r.sent_bytes, 4000);
	assert_int_equal(r.received_bytes, 3000);
	meter_close(&m);
	for (int i = 0; i < 2; i++) {
		close(up[i]);
		close(down[i]);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { TEST(test_own), TEST(test_ended), TEST(test_net) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
