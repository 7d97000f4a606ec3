/* link: shared/wire/wire.c shared/wire/record.c tests/unit/agent_host.c | */
/* sbx-agent over a socket: commands. Sessions are in t_agent_session.c, files in t_agent_files.c. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "tests/unit/agent_host.h"

static int setup(void **state)
{
	*state = host_new();
	return 0;
}

static int teardown(void **state)
{
	host_free(*state);
	return 0;
}

static struct host_stream *run(struct host *h, const char *script)
{
	struct host_stream *s = host_sh(h, script);

	host_wait(h, s);
	return s;
}

/* Wait until no process pid is left (a zombie counts as one). */
static bool gone(pid_t pid)
{
	for (int i = 0; i < 300; i++) {
		if (kill(pid, 0) && errno == ESRCH)
			return true;
		usleep(10000);
	}
	return false;
}

static void test_codes(void **state)
{
	struct host *h = *state;
	struct buf rec = BUF_INIT;
	struct host_stream *s;

	host_rec_exec(&rec, "true", NULL);
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 0);
	assert_true(s->started);
	assert_true(host_started_u64(s, WT_PID) > 1);
	assert_true(s->eof[WIRE_STDOUT] && s->eof[WIRE_STDERR]);
	assert_true(host_exit_u64(s, WT_MAXRSS_KB) > 0);
	host_rec_exec(&rec, "false", NULL);
	assert_int_equal(host_wait(h, host_open(h, &rec)), 1);
	assert_int_equal(host_wait(h, host_sh(h, "exit 42")), 42);
	s = run(h, "kill -9 $$");
	assert_int_equal(host_exit_u64(s, WT_CODE), 137);
	assert_int_equal(host_exit_u64(s, WT_TERMSIG), 9);
}

static void test_output(void **state)
{
	struct host *h = *state;
	struct host_stream *s = run(h, "echo out; echo err >&2; exit 3");

	assert_string_equal(s->out[WIRE_STDOUT].p, "out\n");
	assert_string_equal(s->out[WIRE_STDERR].p, "err\n");
	assert_int_equal(host_exit_u64(s, WT_CODE), 3);
	s = run(h, "cat /dev/zero | head -c 3000000");
	assert_int_equal(s->out[WIRE_STDOUT].len, 3000000);
}

static void test_cat(void **state)
{
	struct host *h = *state;
	struct buf rec = BUF_INIT;
	size_t n = 10u << 20;
	char *data = malloc(n);
	struct host_stream *s;

	rand_bytes(data, n);
	host_rec_exec(&rec, "cat", NULL);
	s = host_open(h, &rec);
	host_input(h, s, data, n, true);
	assert_int_equal(host_wait(h, s), 0);
	assert_int_equal(s->out[WIRE_STDOUT].len, n);
	assert_memory_equal(s->out[WIRE_STDOUT].p, data, n);
	free(data);
}

/* A reader that is slow, or gone, does not lose or block anything. */
static void test_input_of_a_process_that_does_not_read(void **state)
{
	struct host *h = *state;
	size_t n = 2u << 20;
	char *data = mem_zalloc(n);
	struct host_stream *s = host_sh(h, "exec 0</dev/null; sleep 0.2; echo done");

	host_input(h, s, data, n, true);
	assert_int_equal(host_wait(h, s), 0);
	s = host_sh(h, "sleep 0.1; wc -c");
	host_input(h, s, data, n, true);
	assert_int_equal(host_wait(h, s), 0);
	assert_string_equal(s->out[WIRE_STDOUT].p, "2097152\n");
	free(data);
}

static void test_not_found(void **state)
{
	struct host *h = *state;
	struct buf rec = BUF_INIT;
	struct host_stream *s;

	host_rec_exec(&rec, "no-such-command", NULL);
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 127);
	assert_false(s->started);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), 0);
	assert_string_equal(host_message(s), "'no-such-command': command not found");
	assert_string_equal(s->out[WIRE_STDERR].p, "sbx: 'no-such-command': command not found\n");
	host_rec_exec(&rec, "/no/such/file", NULL);
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 127);
	assert_string_equal(host_message(s), "'/no/such/file': no such file or directory");
	host_rec_exec(&rec, "/etc/passwd", NULL);
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 126);
	assert_string_equal(host_message(s), "'/etc/passwd': permission denied");
	host_rec_exec(&rec, "/etc", NULL);
	assert_int_equal(host_wait(h, host_open(h, &rec)), 126);
}

static void test_script_without_shebang(void **state)
{
	struct host *h = *state;
	char path[] = "/tmp/t_agent_script.XXXXXX";
	int fd = mkstemp(path);
	struct buf rec = BUF_INIT;
	struct host_stream *s;

	assert_int_equal(write(fd, "echo \"$1-$2\"\n", 13), 13);
	assert_int_equal(fchmod(fd, 0755), 0);
	close(fd);
	host_rec_exec(&rec, path, "a", "b", NULL);
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 0);
	assert_string_equal(s->out[WIRE_STDOUT].p, "a-b\n");
	unlink(path);
}

static void test_env_cwd_user(void **state)
{
	struct host *h = *state;
	struct buf rec = BUF_INIT;
	struct host_stream *s;

	/* the sandbox's own environment comes before the request's */
	wire_rec_u64(&rec, WT_OP, WIRE_OP_CONFIGURE);
	wire_rec_str(&rec, WT_ID, "sb-1");
	wire_rec_str(&rec, WT_HOSTNAME, "must-not-be-set-on-the-host");
	wire_rec_str(&rec, WT_ENV, "A=sandbox");
	wire_rec_str(&rec, WT_ENV, "B=sandbox");
	assert_int_equal(host_wait(h, host_open(h, &rec)), 0);
	host_rec_exec(&rec, "sh", "-c", "echo $A $B $SBX_SANDBOX_ID $USER $PWD", NULL);
	wire_rec_str(&rec, WT_ENV, "B=request");
	wire_rec_str(&rec, WT_CWD, "/usr");
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 0);
	assert_string_equal(s->out[WIRE_STDOUT].p, "sandbox request sb-1 root /usr\n");
	host_rec_exec(&rec, "sh", "-c", "id -u; id -g; echo $HOME", NULL);
	wire_rec_str(&rec, WT_USER, "nobody");
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 0);
	assert_string_equal(s->out[WIRE_STDOUT].p, "65534\n65534\n/nonexistent\n");
	host_rec_exec(&rec, "sh", "-c", "id -u; id -g; id -G; pwd", NULL);
	wire_rec_str(&rec, WT_USER, "1234:daemon");
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 0);
	assert_string_equal(s->out[WIRE_STDOUT].p, "1234\n1\n1\n/\n");
}

static void test_bad_cwd_user(void **state)
{
	struct host *h = *state;
	struct buf rec = BUF_INIT;
	struct host_stream *s;

	host_rec_exec(&rec, "true", NULL);
	wire_rec_str(&rec, WT_CWD, "/no/such/folder");
	s = host_open(h, &rec);
	host_wait(h, s);
	assert_false(s->started);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), ENOENT);
	assert_string_equal(host_message(s), "cannot change to the working directory '/no/such/folder': no such file or directory");
	host_rec_exec(&rec, "true", NULL);
	wire_rec_str(&rec, WT_USER, "no-such-user");
	s = host_open(h, &rec);
	host_wait(h, s);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), ENOENT);
	assert_string_equal(host_message(s), "no such user or group: 'no-such-user'");
	host_rec_exec(&rec, NULL);
	s = host_open(h, &rec);
	host_wait(h, s);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), EINVAL);
}

static void test_path_of_request(void **state)
{
	struct host *h = *state;
	struct buf rec = BUF_INIT;

	host_rec_exec(&rec, "true", NULL);
	wire_rec_str(&rec, WT_ENV, "PATH=/nowhere");
	assert_int_equal(host_wait(h, host_open(h, &rec)), 127);
	host_rec_exec(&rec, "true", NULL);
	wire_rec_str(&rec, WT_ENV, "PATH=/nowhere:/bin");
	assert_int_equal(host_wait(h, host_open(h, &rec)), 0);
}

static void test_timeout(void **state)
{
	struct host *h = *state;
	struct buf rec = BUF_INIT;
	struct host_stream *s;
	pid_t child;

	host_rec_exec(&rec, "sh", "-c", "sleep 60 & echo $!; wait", NULL);
	wire_rec_u64(&rec, WT_TIMEOUT_MS, 200);
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 124);
	assert_int_equal(host_exit_u64(s, WT_TIMED_OUT), 1);
	child = (pid_t)strtol(s->out[WIRE_STDOUT].p, NULL, 10);
	assert_true(child > 1 && gone(child));
	/* SIGTERM is not obeyed: SIGKILL follows */
	host_rec_exec(&rec, "sh", "-c", "trap '' TERM; sleep 60 & wait; sleep 60", NULL);
	wire_rec_u64(&rec, WT_TIMEOUT_MS, 50);
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 124);
	assert_int_equal(host_exit_u64(s, WT_TERMSIG), SIGKILL);
}

static void test_background_child_does_not_hold_exit(void **state)
{
	struct host *h = *state;
	struct host_stream *s;
	int64_t start = clock_mono_ms();

	s = run(h, "echo here; (sleep 5; echo late) & echo $!");
	assert_true(clock_mono_ms() - start < 4000);
	assert_memory_equal(s->out[WIRE_STDOUT].p, "here\n", 5);
	kill((pid_t)strtol(s->out[WIRE_STDOUT].p + 5, NULL, 10), SIGKILL);
	/* nor does one that writes without end */
	s = run(h, "yes & echo $! >&2; sleep 0.1");
	assert_int_equal(host_exit_u64(s, WT_CODE), 0);
	kill((pid_t)strtol(s->out[WIRE_STDERR].p, NULL, 10), SIGKILL);
}

static void test_signal(void **state)
{
	struct host *h = *state;
	struct host_stream *s = host_sh(h, "trap 'echo int; exit 7' INT; echo ready; while :; do sleep 0.05; done");
	uint8_t sig = SIGINT;

	host_wait_output(h, s, "ready");
	host_frame(h, s, WIRE_SIGNAL, &sig, 1);
	assert_int_equal(host_wait(h, s), 7);
	assert_non_null(strstr(s->out[WIRE_STDOUT].p, "int\n"));
}

static void test_close_kills_the_group(void **state)
{
	struct host *h = *state;
	struct host_stream *s = host_sh(h, "sleep 60 & echo $!.; wait");
	pid_t child;

	host_wait_output(h, s, ".");
	child = (pid_t)strtol(s->out[WIRE_STDOUT].p, NULL, 10);
	host_frame(h, s, WIRE_CLOSE, NULL, 0);
	assert_true(gone(child));
	assert_true(gone((pid_t)host_started_u64(s, WT_PID)));
	host_poll(h, 50);
	assert_false(s->exited);
}

static void test_orphans_are_reaped(void **state)
{
	struct host *h = *state;
	struct host_stream *s = run(h, "for i in 1 2 3; do (sh -c 'sleep 0.1; exit 3' & echo $!); done");
	const char *at = s->out[WIRE_STDOUT].p;

	assert_int_equal(host_exit_u64(s, WT_CODE), 0);
	for (int i = 0; i < 3; i++) {
		char *end;
		pid_t pid = (pid_t)strtol(at, &end, 10);

		assert_true(pid > 1 && gone(pid));
		at = end;
	}
}

/* One stream floods and its host takes nothing: others are served; and a flood that is taken takes turns. */
static void test_flood_does_not_delay(void **state)
{
	struct host *h = *state;
	struct host_stream *stuck = host_sh(h, "yes stuck"), *flood, *s;
	size_t before;

	stuck->hold = true;
	host_wait_output(h, stuck, "stuck");
	s = run(h, "echo one");
	assert_string_equal(s->out[WIRE_STDOUT].p, "one\n");
	assert_true(stuck->out[WIRE_STDOUT].len <= WIRE_WINDOW);
	flood = host_sh(h, "yes flood");
	host_wait_output(h, flood, "flood");
	for (int i = 0; i < 5; i++) {
		before = flood->out[WIRE_STDOUT].len;
		s = run(h, "echo two");
		assert_string_equal(s->out[WIRE_STDOUT].p, "two\n");
	}
	host_wait_output(h, flood, "flood");
	assert_true(flood->out[WIRE_STDOUT].len >= before);
	host_frame(h, flood, WIRE_CLOSE, NULL, 0);
	host_frame(h, stuck, WIRE_CLOSE, NULL, 0);
	assert_int_equal(host_wait(h, host_sh(h, "true")), 0);
}

/* Once a quick command has answered, at most some chunks of the flood may have come before its answer. */
static void test_fair_order(void **state)
{
	struct host *h = *state;
	struct host_stream *flood = host_sh(h, "cat /dev/zero"), *tick;
	struct buf rec = BUF_INIT;

	host_wait_started(h, flood);
	host_rec_exec(&rec, "cat", NULL);
	tick = host_open(h, &rec);
	host_wait_started(h, tick);
	for (int i = 1; i <= 20; i++) {
		size_t before = flood->out[WIRE_STDOUT].len;

		host_input(h, tick, "x", 1, false);
		while (tick->out[WIRE_STDOUT].len < (size_t)i)
			assert_true(host_poll(h, 10000));
		/* what was in the socket and on its way, not seconds of flood */
		assert_true(flood->out[WIRE_STDOUT].len - before < 64u << 20);
	}
	host_frame(h, flood, WIRE_CLOSE, NULL, 0);
	host_frame(h, tick, WIRE_EOF, NULL, 0);
	assert_int_equal(host_wait(h, tick), 0);
}

static void test_overdraw(void **state)
{
	struct host *h = *state;
	struct host_stream *s = host_sh(h, "sleep 60");
	char *data = mem_zalloc(WIRE_PAYLOAD_MAX);

	for (int i = 0; i < 8; i++)
		host_frame(h, s, WIRE_DATA, data, WIRE_PAYLOAD_MAX);
	host_wait(h, s);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), EPROTO);
	free(data);
}

static void test_limits_and_nonsense(void **state)
{
	struct host *h = *state;
	struct host_stream *s, *all[256];
	struct buf rec = BUF_INIT;

	wire_rec_u64(&rec, WT_OP, 99);
	s = host_open(h, &rec);
	host_wait(h, s);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), ENOSYS);
	buf_add(&rec, "\x01\xff\xff", 3);
	s = host_open(h, &rec);
	host_wait(h, s);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), EINVAL);
	for (int i = 0; i < 256; i++) {
		host_rec_exec(&rec, "cat", NULL);
		all[i] = host_open(h, &rec);
	}
	s = host_sh(h, "true");
	host_wait(h, s);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), EAGAIN);
	for (int i = 0; i < 256; i++)
		host_frame(h, all[i], WIRE_EOF, NULL, 0);
	for (int i = 0; i < 256; i++)
		assert_int_equal(host_wait(h, all[i]), 0);
}

/* A host that died in the middle of a frame; the next one comes with pad and HELLO. */
static void test_reconnect(void **state)
{
	struct host *h = *state;
	struct host_stream *s = host_sh(h, "sleep 60 & echo $!.; wait");
	struct buf b = BUF_INIT;
	char junk[40000];
	pid_t child;

	host_wait_output(h, s, ".");
	child = (pid_t)strtol(s->out[WIRE_STDOUT].p, NULL, 10);
	memset(junk, 0xB5, sizeof(junk));
	for (size_t cut = 1; cut < 60000; cut = cut * 3 + 1) {
		wire_put(&b, WIRE_DATA, 0, s->id, junk, sizeof(junk));
		host_raw(h, b.p, cut < b.len ? cut : b.len - 1);
		buf_clear(&b);
		host_hello(h, true);
		assert_int_equal(host_wait(h, host_sh(h, "exit 5")), 5);
	}
	/* the new host may be that of a copy of this machine: what runs goes on, with nobody to read what it prints */
	assert_false(gone(child));
	kill(child, SIGKILL);
	buf_free(&b);
}

static void test_orphan_is_not_held_up(void **state)
{
	struct host *h = *state;
	struct host_stream *s = host_sh(h, "read x; head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; echo $$ > $HOME/done");

	host_wait_started(h, s);
	host_hello(h, true);
	assert_int_equal(host_wait(h, host_sh(h, "while ! test -s $HOME/done; do sleep 0.01; done; rm $HOME/done")), 0);
}

static void test_info(void **state)
{
	struct host *h = *state;
	struct buf rec = BUF_INIT;
	struct host_stream *s;

	wire_rec_u64(&rec, WT_OP, WIRE_OP_INFO);
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 0);
	assert_true(s->started);
	assert_non_null(strstr(s->out[WIRE_STDOUT].p, "\"memTotalKb\":"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_codes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cat, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input_of_a_process_that_does_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_found, setup, teardown),
		cmocka_unit_test_setup_teardown(test_script_without_shebang, setup, teardown),
		cmocka_unit_test_setup_teardown(test_env_cwd_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_cwd_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_path_of_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_background_child_does_not_hold_exit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_kills_the_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_orphans_are_reaped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flood_does_not_delay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fair_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overdraw, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits_and_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reconnect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_orphan_is_not_held_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_info, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
