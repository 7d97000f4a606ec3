/* link: shared/wire/wire.c shared/wire/record.c daemon/vm/link.c shared/net/sock.c | -luv */
/* link against the real agent, which runs on the host behind a Unix socket as it does behind QEMU's. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/vm/link.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

struct fixture {
	uv_loop_t loop;
	uv_poll_t acceptor;
	uv_timer_t watchdog;
	char dir[64], path[96];
	int listener;
	pid_t agent;
	struct link *link;
	bool up, down;
};

static const char *agent_path(void)
{
	const char *path = getenv("SBX_AGENT");
	return path ? path : "build/bin/sbx-agent";
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	struct fixture *f = poll->data;
	int fd = accept(f->listener, NULL, NULL);
	assert_true(fd >= 0);
	if (f->agent > 0) {
		kill(f->agent, SIGKILL);
		waitpid(f->agent, NULL, 0);
	}
	f->agent = fork();
	assert_true(f->agent >= 0);
	if (f->agent == 0) {
		char number[16];
		snprintf(number, sizeof(number), "%d", fd);
		execl(agent_path(), "sbx-agent", "--fd", number, (char *)NULL);
		_exit(127);
	}
	close(fd);
}

static void on_watchdog(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("the loop did not come to an end");
}

static void on_up(void *arg)
{
	((struct fixture *)arg)->up = true;
}

static void on_down(void *arg, const struct err *why)
{
	(void)why;
	struct fixture *f = arg;
	f->down = true;
	f->link = NULL;
}

static const struct link_ops link_ops = { .on_up = on_up, .on_down = on_down };

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	memcpy(f->dir, "/tmp/sbx-t-link-XXXXXX", sizeof("/tmp/sbx-t-link-XXXXXX"));
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/agent.sock", f->dir);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	memcpy(addr.sun_path, f->path, strlen(f->path) + 1);
	f->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(f->listener, 4), 0);
	uv_loop_init(&f->loop);
	uv_poll_init(&f->loop, &f->acceptor, f->listener);
	uv_timer_init(&f->loop, &f->watchdog);
	f->acceptor.data = f->watchdog.data = f;
	uv_poll_start(&f->acceptor, UV_READABLE, on_connection);
	uv_timer_start(&f->watchdog, on_watchdog, 20000, 0);
	struct err err = ERR_INIT;
	f->link = link_open(&f->loop, f->path, false, &link_ops, f, &err);
	assert_non_null(f->link);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	link_close(f->link);
	uv_close((uv_handle_t *)&f->acceptor, NULL);
	uv_close((uv_handle_t *)&f->watchdog, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	close(f->listener);
	if (f->agent > 0) {
		kill(f->agent, SIGKILL);
		waitpid(f->agent, NULL, 0);
	}
	assert_int_equal(fs_remove_tree(f->dir, NULL), 0);
	free(f);
	return 0;
}

/* ---- one command and what came of it ---- */

struct run {
	struct link_stream *s;
	struct buf out[3];
	const char *input;
	size_t input_len, input_at, max_out;
	bool started, ended, hold;
	size_t held;
	struct link_exit end;
};

static void pump(struct run *r)
{
	while (r->input_at < r->input_len) {
		size_t n = link_stream_write(r->s, r->input + r->input_at, r->input_len - r->input_at);
		if (n == 0)
			return;
		r->input_at += n;
	}
	link_stream_eof(r->s);
}

static void on_started(void *arg, const struct link_started *started)
{
	struct run *r = arg;
	assert_true(started->pid > 0);
	r->started = true;
}

static void on_data(void *arg, enum wire_channel ch, const uint8_t *data, size_t n)
{
	struct run *r = arg;
	buf_add(&r->out[ch], data, n);
	if (r->hold)
		r->held += n;
	else
		link_stream_consumed(r->s, ch, n);
}

static void on_writable(void *arg)
{
	pump(arg);
}

static void on_exit_frame(void *arg, const struct link_exit *end)
{
	struct run *r = arg;
	r->ended = true;
	r->end = *end;
}

static const struct link_stream_ops ops = { .on_started = on_started, .on_data = on_data, .on_writable = on_writable, .on_exit = on_exit_frame };

static void begin(struct fixture *f, struct run *r, const char *const *argv)
{
	auto_buf record = BUF_INIT;
	wire_rec_u64(&record, WT_OP, WIRE_OP_EXEC);
	for (; *argv; argv++)
		wire_rec_str(&record, WT_ARG, *argv);
	for (size_t i = 0; i < ARRAY_LEN(r->out); i++)
		buf_init(&r->out[i]);
	struct err err = ERR_INIT;
	r->s = link_stream_open(f->link, &record, &ops, r, &err);
	assert_non_null(r->s);
	pump(r);
}

static void finish(struct fixture *f, struct run *r)
{
	while (!r->ended)
		uv_run(&f->loop, UV_RUN_ONCE);
	link_stream_close(r->s);
}

static void run_free(struct run *r)
{
	for (size_t i = 0; i < ARRAY_LEN(r->out); i++)
		buf_free(&r->out[i]);
}

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_streams_apart(void **state)
{
	struct run r = { 0 };
	begin(*state, &r, ARGV("sh", "-c", "echo out; echo err >&2; exit 3"));
	finish(*state, &r);
	assert_true(r.started);
	assert_int_equal(r.end.code, 3);
	assert_string_equal(r.out[WIRE_STDOUT].p, "out\n");
	assert_string_equal(r.out[WIRE_STDERR].p, "err\n");
	run_free(&r);
}

static void test_input_comes_back(void **state)
{
	size_t n = (size_t)10 << 20;
	auto_free char *data = mem_array(n, 1);
	rand_bytes(data, n);
	struct run r = { .input = data, .input_len = n };
	begin(*state, &r, ARGV("cat"));
	finish(*state, &r);
	assert_int_equal(r.end.code, 0);
	assert_int_equal(r.out[WIRE_STDOUT].len, n);
	assert_memory_equal(r.out[WIRE_STDOUT].p, data, n);
	run_free(&r);
}

static void test_unread_output_stops(void **state)
{
	struct fixture *f = *state;
	struct run flood = { .hold = true }, other = { 0 };
	begin(f, &flood, ARGV("sh", "-c", "head -c 3000000 /dev/zero"));
	begin(f, &other, ARGV("echo", "still here"));
	finish(f, &other);
	assert_string_equal(other.out[WIRE_STDOUT].p, "still here\n");
	while (flood.held < WIRE_WINDOW)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(flood.held, WIRE_WINDOW); /* not a byte more than was granted */
	assert_false(flood.ended);
	flood.hold = false;
	link_stream_consumed(flood.s, WIRE_STDOUT, flood.held);
	finish(f, &flood);
	assert_int_equal(flood.out[WIRE_STDOUT].len, 3000000);
	run_free(&flood);
	run_free(&other);
}

static void test_no_such_command(void **state)
{
	struct run r = { 0 };
	begin(*state, &r, ARGV("/no/such/command"));
	finish(*state, &r);
	assert_int_equal(r.end.code, 127);
	run_free(&r);
}

static void test_signal(void **state)
{
	struct fixture *f = *state;
	struct run r = { 0 };
	begin(f, &r, ARGV("sleep", "1000"));
	while (!r.started)
		uv_run(&f->loop, UV_RUN_ONCE);
	link_stream_signal(r.s, SIGTERM);
	finish(f, &r);
	assert_int_equal(r.end.code, 128 + SIGTERM);
	assert_int_equal(r.end.signal, SIGTERM);
	run_free(&r);
}

static void test_lost(void **state)
{
	struct fixture *f = *state;
	struct run r = { 0 };
	begin(f, &r, ARGV("sleep", "1000"));
	while (!r.started)
		uv_run(&f->loop, UV_RUN_ONCE);
	kill(f->agent, SIGKILL);
	finish(f, &r);
	assert_true(r.end.link_lost);
	while (!f->down)
		uv_run(&f->loop, UV_RUN_ONCE);
	run_free(&r);
}

static void test_many(void **state)
{
	struct run runs[32] = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(runs); i++)
		begin(*state, &runs[i], ARGV("echo", "hello"));
	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		finish(*state, &runs[i]);
		assert_string_equal(runs[i].out[WIRE_STDOUT].p, "hello\n");
		run_free(&runs[i]);
	}
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_streams_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unread_output_stops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_such_command, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
