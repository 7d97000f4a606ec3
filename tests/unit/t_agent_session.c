/* link: shared/wire/wire.c shared/wire/record.c tests/unit/agent_host.c | */
/* sbx-agent over a socket: terminals and sessions. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static bool gone(pid_t pid)
{
	for (int i = 0; i < 300; i++) {
		if (kill(pid, 0) && errno == ESRCH)
			return true;
		usleep(10000);
	}
	return false;
}

static struct host_stream *tty(struct host *h, const char *script)
{
	struct buf rec = BUF_INIT;

	host_rec_exec(&rec, "/bin/sh", "-c", script, NULL);
	wire_rec_u64(&rec, WT_TTY, 1);
	wire_rec_u64(&rec, WT_COLS, 100);
	wire_rec_u64(&rec, WT_ROWS, 30);
	return host_open(h, &rec);
}

static struct host_stream *session(struct host *h, const char *name, enum wire_attach attach, const char *script, uint64_t since)
{
	struct buf rec = BUF_INIT;

	if (script)
		host_rec_exec(&rec, "/bin/sh", "-c", script, NULL);
	else
		wire_rec_u64(&rec, WT_OP, WIRE_OP_EXEC);
	wire_rec_str(&rec, WT_SESSION, name);
	wire_rec_u64(&rec, WT_ATTACH, attach);
	if (since)
		wire_rec_u64(&rec, WT_SINCE, since);
	return host_open(h, &rec);
}

static void resize(struct host *h, struct host_stream *s, unsigned cols, unsigned rows)
{
	struct buf b = BUF_INIT;

	wire_put_resize(&b, s->id, cols, rows);
	host_raw(h, b.p, b.len);
	buf_free(&b);
}

static const char *sessions(struct host *h)
{
	struct buf rec = BUF_INIT;
	struct host_stream *s;

	wire_rec_u64(&rec, WT_OP, WIRE_OP_SESSIONS);
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 0);
	return s->out[WIRE_STDOUT].p;
}

static void close_stream(struct host *h, struct host_stream *s)
{
	host_frame(h, s, WIRE_CLOSE, NULL, 0);
	sessions(h); /* a round trip: the agent has seen it */
}

static void test_tty(void **state)
{
	struct host *h = *state;
	struct host_stream *s = tty(h,
		"tty; stty size; echo err >&2; trap 'stty size; exit 4' WINCH; echo ready; "
		"while :; do sleep 0.05; done");

	host_wait_output(h, s, "ready");
	assert_memory_equal(s->out[WIRE_STDOUT].p, "/dev/pts/", 9);
	assert_non_null(strstr(s->out[WIRE_STDOUT].p, "30 100\r\n"));
	assert_non_null(strstr(s->out[WIRE_STDOUT].p, "err\r\n"));
	assert_int_equal(s->out[WIRE_STDERR].len, 0);
	resize(h, s, 132, 50);
	assert_int_equal(host_wait(h, s), 4);
	assert_non_null(strstr(s->out[WIRE_STDOUT].p, "50 132\r\n"));
}

static void test_tty_input(void **state)
{
	struct host *h = *state;
	struct host_stream *s = tty(h, "read a; echo got-$a; cat; echo end");

	host_input(h, s, "hello\n", 6, false);
	host_wait_output(h, s, "got-hello");
	host_input(h, s, "line\n", 5, true); /* the end of input is ^D on a terminal */
	assert_int_equal(host_wait(h, s), 0);
	assert_non_null(strstr(s->out[WIRE_STDOUT].p, "end\r\n"));
	/* with a trap: without one dash may lose a SIGINT that comes while it starts a command */
	s = tty(h, "trap 'exit 42' INT; echo ready; while :; do sleep 0.05; done");
	host_wait_output(h, s, "ready");
	host_input(h, s, "\x03", 1, false);
	assert_int_equal(host_wait(h, s), 42);
}

static void test_tty_not_found(void **state)
{
	struct host *h = *state;
	struct buf rec = BUF_INIT;
	struct host_stream *s;

	host_rec_exec(&rec, "no-such", NULL);
	wire_rec_u64(&rec, WT_TTY, 1);
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 127);
	assert_string_equal(s->out[WIRE_STDOUT].p, "sbx: 'no-such': command not found\r\n");
}

/* All that was written before the end arrives, however fast the end comes. */
static void test_tty_whole_output(void **state)
{
	struct host *h = *state;

	for (int i = 0; i < 10; i++) {
		struct host_stream *s = tty(h, "seq 1 5000; echo last");

		assert_int_equal(host_wait(h, s), 0);
		assert_non_null(strstr(s->out[WIRE_STDOUT].p, "5000\r\nlast\r\n"));
		assert_int_equal(s->out[WIRE_STDOUT].len, 9 * 3 + 90 * 4 + 900 * 5 + 4001 * 6 + 6);
	}
}

static void test_tty_close(void **state)
{
	struct host *h = *state;
	struct host_stream *s = tty(h, "trap '' HUP; echo ready; sleep 60; sleep 60");
	pid_t pid;

	host_wait_output(h, s, "ready");
	pid = (pid_t)host_started_u64(s, WT_PID);
	close_stream(h, s);
	assert_true(gone(pid));
}

static void test_detach_attach(void **state)
{
	struct host *h = *state;
	struct host_stream *s = session(h, "main", WIRE_ATTACH_CREATE, "echo first; read a; echo got-$a; read b; exit 9", 0);
	uint64_t pid;

	host_wait_output(h, s, "first");
	assert_int_equal(host_started_u64(s, WT_CREATED), 1);
	assert_int_equal(host_started_u64(s, WT_REPLAY), 0);
	pid = host_started_u64(s, WT_PID);
	close_stream(h, s);
	assert_non_null(strstr(sessions(h), "\"session\":\"main\""));
	assert_non_null(strstr(sessions(h), "\"clients\":0"));
	assert_non_null(strstr(sessions(h), "\"running\":true"));
	s = session(h, "main", WIRE_ATTACH_ONLY, NULL, 0);
	host_wait_output(h, s, "first");
	assert_int_equal(host_started_u64(s, WT_CREATED), 0);
	assert_int_equal(host_started_u64(s, WT_REPLAY), 7);
	assert_true(host_started_u64(s, WT_PID) == pid);
	host_input(h, s, "x\n", 2, false);
	host_wait_output(h, s, "got-x");
	/* the host dies; the session does not. The next one wants only what it has not seen. */
	host_hello(h, true);
	s = session(h, "main", WIRE_ATTACH_OR_CREATE, "echo wrong", 7);
	host_wait_output(h, s, "got-x");
	assert_null(strstr(s->out[WIRE_STDOUT].p, "first"));
	assert_int_equal(host_started_u64(s, WT_OFFSET), 7);
	host_input(h, s, "y\n", 2, false);
	assert_int_equal(host_wait(h, s), 9);
	/* its end was seen: forgotten */
	assert_string_equal(sessions(h), "[]");
}

static void test_attach_modes(void **state)
{
	struct host *h = *state;
	struct host_stream *s = session(h, "a", WIRE_ATTACH_ONLY, NULL, 0), *t;

	host_wait(h, s);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), ENOENT);
	s = session(h, "a", WIRE_ATTACH_OR_CREATE, "echo ready; read x", 0);
	host_wait_output(h, s, "ready");
	assert_int_equal(host_started_u64(s, WT_CREATED), 1);
	t = session(h, "a", WIRE_ATTACH_CREATE, "true", 0);
	host_wait(h, t);
	assert_int_equal(host_exit_u64(t, WT_ERRNO), EEXIST);
	t = session(h, "no/such name", WIRE_ATTACH_CREATE, "true", 0);
	host_wait(h, t);
	assert_int_equal(host_exit_u64(t, WT_ERRNO), EINVAL);
	t = session(h, "", WIRE_ATTACH_CREATE, "read x", 0);
	host_wait_started(h, t);
	assert_non_null(memmem(t->started_rec.p, t->started_rec.len, "pty-", 4));
	t = session(h, "b", WIRE_ATTACH_CREATE, NULL, 0);
	host_wait(h, t);
	assert_int_equal(host_exit_u64(t, WT_ERRNO), EINVAL);
	assert_null(strstr(sessions(h), "\"b\""));
}

static void test_several_clients(void **state)
{
	struct host *h = *state;
	struct host_stream *a = session(h, "s", WIRE_ATTACH_CREATE, "stty -echo; read x; echo $x; read y; stty size; echo $y", 0),
			   *b;

	host_wait_started(h, a);
	b = session(h, "s", WIRE_ATTACH_ONLY, NULL, 0);
	host_wait_started(h, b);
	assert_non_null(strstr(sessions(h), "\"clients\":2"));
	host_input(h, a, "one\n", 4, false);
	host_wait_output(h, a, "one\r\n");
	host_wait_output(h, b, "one\r\n");
	resize(h, a, 90, 20);
	resize(h, b, 91, 21);
	host_input(h, b, "two\n", 4, false);
	assert_int_equal(host_wait(h, a), 0);
	assert_int_equal(host_wait(h, b), 0);
	assert_non_null(strstr(a->out[WIRE_STDOUT].p, "21 91\r\ntwo\r\n"));
	assert_non_null(strstr(b->out[WIRE_STDOUT].p, "21 91\r\ntwo\r\n"));
	assert_string_equal(sessions(h), "[]");
}

/* A client that takes nothing neither stops the others nor sees nonsense: it is skipped ahead. */
static void test_slow_client(void **state)
{
	struct host *h = *state;
	struct host_stream *fast = session(h, "s", WIRE_ATTACH_CREATE, "read x; seq 1 200000; echo last; read y", 0), *slow;
	size_t lines = 9 * 3 + 90 * 4 + 900 * 5 + 9000 * 6 + 90000 * 7 + 100001 * 8;

	slow = session(h, "s", WIRE_ATTACH_ONLY, NULL, 0);
	slow->hold = true;
	host_wait_started(h, slow);
	host_input(h, fast, "\n", 1, false);
	host_wait_output(h, fast, "\r\nlast\r\n");
	assert_true(fast->out[WIRE_STDOUT].len >= lines);
	assert_true(slow->out[WIRE_STDOUT].len <= WIRE_WINDOW);
	slow->hold = false;
	host_credit(h, slow, 1u << 30);
	host_wait_output(h, slow, "\r\nlast\r\n");
	assert_true(slow->out[WIRE_STDOUT].len < lines);
}

/* All clients are slow: the process waits, nothing is lost. */
static void test_only_slow_client_stops_the_process(void **state)
{
	struct host *h = *state;
	struct host_stream *s = session(h, "s", WIRE_ATTACH_CREATE, "seq 1 200000; echo last", 0);

	s->hold = true;
	host_wait_output(h, s, "1000\r\n");
	while (host_poll(h, 200))
		;
	assert_int_equal(s->out[WIRE_STDOUT].len, WIRE_WINDOW);
	assert_false(s->exited);
	s->hold = false;
	host_credit(h, s, WIRE_WINDOW);
	assert_int_equal(host_wait(h, s), 0);
	assert_int_equal(s->out[WIRE_STDOUT].len, 9 * 3 + 90 * 4 + 900 * 5 + 9000 * 6 + 90000 * 7 + 100001 * 8 + 6);
}

static void test_replay_is_the_last_256_kib(void **state)
{
	struct host *h = *state;
	struct host_stream *s = session(h, "s", WIRE_ATTACH_CREATE, "read x; seq 1 200000; echo last; read y", 0);

	host_wait_started(h, s);
	host_input(h, s, "\n", 1, false);
	host_wait_output(h, s, "1");
	close_stream(h, s);
	for (int i = 0; i < 500; i++) {
		s = session(h, "s", WIRE_ATTACH_ONLY, NULL, 0);
		host_wait_started(h, s);
		while (s->out[WIRE_STDOUT].len < host_started_u64(s, WT_REPLAY))
			assert_true(host_poll(h, 10000));
		if (memmem(s->out[WIRE_STDOUT].p, s->out[WIRE_STDOUT].len, "last", 4))
			break;
		close_stream(h, s);
		host_forget(h);
		usleep(5000); /* while a client catches up the terminal is not read */
	}
	host_wait_output(h, s, "200000\r\nlast\r\n");
	assert_true(host_started_u64(s, WT_REPLAY) <= 256 * 1024);
	assert_true(host_started_u64(s, WT_OFFSET) > 0);
}

static void test_finished_session(void **state)
{
	struct host *h = *state;
	struct host_stream *s;
	char name[16];

	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		s = session(h, name, WIRE_ATTACH_CREATE, "read x; echo bye; exit 6", 0);
		host_wait_started(h, s);
		host_input(h, s, "\n", 1, false);
		close_stream(h, s);
	}
	for (int i = 0; i < 300 && (strstr(sessions(h), "\"running\":true") || strstr(sessions(h), "\"f3\"")); i++) {
		usleep(10000);
		host_forget(h);
	}
	/* the sixteen youngest are kept */
	assert_null(strstr(sessions(h), "\"f3\""));
	assert_non_null(strstr(sessions(h), "\"f4\""));
	assert_non_null(strstr(sessions(h), "\"running\":false,\"exitCode\":6"));
	s = session(h, "f19", WIRE_ATTACH_ONLY, NULL, 0);
	assert_int_equal(host_wait(h, s), 6);
	assert_non_null(strstr(s->out[WIRE_STDOUT].p, "bye\r\n"));
	s = session(h, "f19", WIRE_ATTACH_ONLY, NULL, 0);
	host_wait(h, s);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), ENOENT);
}

static void kill_session(struct host *h, const char *name, int sig)
{
	struct buf rec = BUF_INIT;
	struct host_stream *s;

	wire_rec_u64(&rec, WT_OP, WIRE_OP_KILL);
	wire_rec_str(&rec, WT_SESSION, name);
	wire_rec_u64(&rec, WT_SIGNAL, (uint64_t)sig);
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 0);
}

static void test_kill(void **state)
{
	struct host *h = *state;
	struct host_stream *s = session(h, "k", WIRE_ATTACH_CREATE, "echo ready; sleep 60", 0);

	host_wait_output(h, s, "ready");
	kill_session(h, "k", SIGKILL);
	assert_int_equal(host_wait(h, s), 137);
	assert_string_equal(sessions(h), "[]");
	s = session(h, "k", WIRE_ATTACH_CREATE, "read x", 0);
	host_wait_started(h, s);
	close_stream(h, s);
	kill_session(h, "k", SIGKILL);
	for (int i = 0; i < 300 && strstr(sessions(h), "\"running\":true"); i++) {
		usleep(10000);
		host_forget(h);
	}
	assert_non_null(strstr(sessions(h), "\"exitCode\":137"));
	kill_session(h, "k", SIGTERM);
	assert_string_equal(sessions(h), "[]");
}

/* A terminal that writes without end does not hold up a resize or another command. */
static void test_flooding_terminal(void **state)
{
	struct host *h = *state;
	struct host_stream *flood =
		session(h, "s", WIRE_ATTACH_CREATE, "trap 'stty size >&2; exit 3' WINCH; while :; do echo xxxxxxxx; done", 0);

	host_wait_output(h, flood, "xxxx");
	for (int i = 0; i < 5; i++)
		assert_int_equal(host_wait(h, host_sh(h, "exit 5")), 5);
	resize(h, flood, 77, 11);
	assert_int_equal(host_wait(h, flood), 3);
	assert_non_null(strstr(flood->out[WIRE_STDOUT].p, "11 77"));
}

/* ---- sessions without a terminal ---- */

static struct host_stream *piped(struct host *h, const char *name, const char *script)
{
	struct buf rec = BUF_INIT;

	host_rec_exec(&rec, "/bin/sh", "-c", script, NULL);
	wire_rec_str(&rec, WT_SESSION, name);
	wire_rec_u64(&rec, WT_ATTACH, WIRE_ATTACH_CREATE);
	wire_rec_u64(&rec, WT_PIPES, 1);
	return host_open(h, &rec);
}

/* Join a running one for what comes from now on. */
static struct host_stream *follow(struct host *h, const char *name)
{
	struct buf rec = BUF_INIT;

	wire_rec_u64(&rec, WT_OP, WIRE_OP_EXEC);
	wire_rec_str(&rec, WT_SESSION, name);
	wire_rec_u64(&rec, WT_ATTACH, WIRE_ATTACH_RUNNING);
	wire_rec_u64(&rec, WT_REPLAY, 0);
	return host_open(h, &rec);
}

static void test_pipes(void **state)
{
	struct host *h = *state;
	struct host_stream *s = piped(h, "", "readlink /proc/$$/fd/0; test -t 1 || echo no tty; echo err >&2; sleep 0.1; exit 3");

	host_wait_started(h, s);
	assert_non_null(memmem(s->started_rec.p, s->started_rec.len, "proc-", 5));
	assert_null(strstr(sessions(h), "\"cols\""));
	assert_int_equal(host_wait(h, s), 3);
	assert_string_equal(s->out[WIRE_STDOUT].p, "/dev/null\nno tty\n");
	assert_string_equal(s->out[WIRE_STDERR].p, "err\n");
	assert_string_equal(sessions(h), "[]");
	s = piped(h, "p", "kill -9 $$");
	assert_int_equal(host_wait(h, s), 137);
	assert_int_equal(host_exit_u64(s, WT_TERMSIG), 9);
}

static void test_pipes_not_found(void **state)
{
	struct host *h = *state;
	struct buf rec = BUF_INIT;
	struct host_stream *s;

	host_rec_exec(&rec, "no-such", NULL);
	wire_rec_str(&rec, WT_SESSION, "p");
	wire_rec_u64(&rec, WT_PIPES, 1);
	s = host_open(h, &rec);
	assert_int_equal(host_wait(h, s), 127);
	assert_false(s->started);
	assert_true(host_exit_u64(s, WT_PID) > 1);
	assert_string_equal(s->out[WIRE_STDERR].p, "sbx: 'no-such': command not found\n");
}

/* Without a client it neither ends nor waits for anybody to read; who joins gets what comes then. */
static void test_pipes_outlive_their_client(void **state)
{
	struct host *h = *state;
	char path[] = "/tmp/sbx-t.XXXXXX";
	auto_fd int fd = mkstemp(path);
	auto_free char *script = mem_printf(
		"echo first; read x <&0; seq 1 200000; seq 1 200000 >&2; rm %s; while sleep 0.05; do echo now; done", path);
	struct host_stream *s = piped(h, "p", script);

	assert_true(fd >= 0);
	host_wait_output(h, s, "first");
	close_stream(h, s);
	for (int i = 0; i < 500 && access(path, F_OK) == 0; i++)
		usleep(10000);
	assert_int_equal(access(path, F_OK), -1);
	s = follow(h, "p");
	host_wait_output(h, s, "now\n");
	assert_int_equal(host_started_u64(s, WT_REPLAY), 0);
	assert_memory_equal(s->out[WIRE_STDOUT].p, "now\n", 4);
	assert_int_equal(s->out[WIRE_STDERR].len, 0);
	/* the host goes: the process stays */
	host_hello(h, true);
	s = follow(h, "p");
	host_wait_output(h, s, "now\n");
	kill_session(h, "p", SIGTERM);
	assert_int_equal(host_wait(h, s), 143);
	s = follow(h, "p");
	host_wait(h, s);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), ENOENT);
}

/* It waits for its slowest client, and when that one leaves it goes on. */
static void test_pipes_lose_nothing(void **state)
{
	struct host *h = *state;
	size_t lines = 9 * 2 + 90 * 3 + 900 * 4 + 9000 * 5 + 90000 * 6 + 100001 * 7;
	struct host_stream *fast = piped(h, "p", "sleep 0.2; seq 1 200000; sleep 0.2; seq 1 200000 >&2"), *slow, *idle;

	slow = follow(h, "p");
	idle = follow(h, "p");
	slow->hold = idle->hold = true;
	host_wait_started(h, slow);
	while (host_poll(h, 400))
		;
	assert_int_equal(slow->out[WIRE_STDOUT].len, WIRE_WINDOW);
	assert_true(fast->out[WIRE_STDOUT].len <= WIRE_WINDOW + 256 * 1024);
	host_frame(h, idle, WIRE_CLOSE, NULL, 0);
	slow->hold = false;
	host_credit(h, slow, WIRE_WINDOW);
	assert_int_equal(host_wait(h, slow), 0);
	assert_int_equal(host_wait(h, fast), 0);
	for (enum wire_channel ch = WIRE_STDOUT; ch <= WIRE_STDERR; ch++) {
		assert_int_equal(slow->out[ch].len, lines);
		assert_int_equal(fast->out[ch].len, lines);
		assert_memory_equal(slow->out[ch].p, fast->out[ch].p, lines);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tty_input, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tty_not_found, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tty_whole_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tty_close, setup, teardown),
		cmocka_unit_test_setup_teardown(test_detach_attach, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attach_modes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several_clients, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_slow_client_stops_the_process, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replay_is_the_last_256_kib, setup, teardown),
		cmocka_unit_test_setup_teardown(test_finished_session, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flooding_terminal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pipes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pipes_not_found, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pipes_outlive_their_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pipes_lose_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
