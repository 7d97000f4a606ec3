/* link: shared/wire/wire.c shared/wire/record.c daemon/vm/link.c shared/net/sock.c | -luv */
/* link against a guest that breaks the rules: what it does costs its own streams or its own link, never the daemon. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/vm/link.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/net/sock.h"

/* ---- the peer: a child process that answers HELLO and OPEN properly and then does its worst ---- */

struct peer {
	int fd;
	struct wire_rx rx;
	struct buf out;
	uint32_t stream;
};

typedef void worst(struct peer *p);

static void put(struct peer *p)
{
	size_t at = 0;
	while (at < p->out.len) {
		ssize_t n = write(p->fd, p->out.p + at, p->out.len - at);
		if (n <= 0)
			_exit(0);
		at += (size_t)n;
	}
	buf_clear(&p->out);
}

static void next(struct peer *p, struct wire_frame *f)
{
	while (wire_rx_next(&p->rx, f) != 1) {
		char *space = wire_rx_space(&p->rx, 65536);
		ssize_t n = space ? read(p->fd, space, 65536) : 0;
		if (n <= 0)
			_exit(0);
		wire_rx_fed(&p->rx, (size_t)n);
	}
}

static void answer_hello(struct peer *p, const struct wire_frame *f)
{
	struct wire_field nonce;
	auto_buf r = BUF_INIT;
	wire_rec_u64(&r, WT_VERSION, WIRE_VERSION);
	if (wire_rec_find(f->payload, f->length, WT_NONCE, &nonce) == 1)
		wire_rec_bytes(&r, WT_NONCE, nonce.p, nonce.n);
	wire_put(&p->out, WIRE_HELLO, 0, 0, r.p, r.len);
	put(p);
}

static void started(struct peer *p)
{
	auto_buf r = BUF_INIT;
	wire_rec_u64(&r, WT_PID, 1);
	wire_put(&p->out, WIRE_STARTED, 0, p->stream, r.p, r.len);
	put(p);
}

static void be_peer(int listener, worst *act)
{
	struct peer p = { .fd = accept(listener, NULL, NULL), .out = BUF_INIT };
	struct wire_frame f;
	wire_rx_init(&p.rx);
	wire_rx_lose(&p.rx);
	do {
		next(&p, &f);
		if (f.type == WIRE_HELLO)
			answer_hello(&p, &f);
	} while (f.type != WIRE_OPEN);
	p.stream = f.stream;
	act(&p);
	for (;;) /* until the daemon hangs up or the test ends */
		next(&p, &f);
}

static void overdraw(struct peer *p)
{
	static const char zeros[WIRE_CHUNK];
	started(p);
	for (int i = 0; i < 16; i++) /* twice the window */
		wire_put(&p->out, WIRE_DATA, WIRE_STDOUT, p->stream, zeros, sizeof(zeros));
	put(p);
}

static void end_twice(struct peer *p)
{
	started(p);
	wire_put(&p->out, WIRE_EOF, WIRE_STDOUT, p->stream, NULL, 0);
	wire_put(&p->out, WIRE_EOF, WIRE_STDOUT, p->stream, NULL, 0);
	put(p);
}

static void say_nothing_often(struct peer *p)
{
	auto_buf r = BUF_INIT;
	started(p);
	for (int i = 0; i < 100000; i++)
		wire_put(&p->out, WIRE_DATA, WIRE_STDOUT, p->stream, NULL, 0);
	wire_rec_u64(&r, WT_CODE, 7);
	wire_put(&p->out, WIRE_EXIT, 0, p->stream, r.p, r.len);
	put(p);
}

static void break_a_record(struct peer *p)
{
	wire_put(&p->out, WIRE_STARTED, 0, p->stream, "\x04\xff", 2);
	put(p);
}

static void end_without_code(struct peer *p)
{
	auto_buf r = BUF_INIT;
	started(p);
	wire_rec_u64(&r, WT_UTIME_US, 1000);
	wire_put(&p->out, WIRE_EXIT, 0, p->stream, r.p, r.len);
	put(p);
}

static void end_with_nothing(struct peer *p)
{
	started(p);
	wire_put(&p->out, WIRE_EXIT, 0, p->stream, NULL, 0);
	put(p);
}

/* Eight bits of it would be success. */
static void end_with_large_code(struct peer *p)
{
	auto_buf r = BUF_INIT;
	started(p);
	wire_rec_u64(&r, WT_CODE, 256);
	wire_put(&p->out, WIRE_EXIT, 0, p->stream, r.p, r.len);
	put(p);
}

static void end_with_short_code(struct peer *p)
{
	auto_buf r = BUF_INIT;
	started(p);
	wire_rec_bytes(&r, WT_CODE, "\x01", 1);
	wire_put(&p->out, WIRE_EXIT, 0, p->stream, r.p, r.len);
	put(p);
}

static void end_unstarted(struct peer *p)
{
	auto_buf r = BUF_INIT;
	wire_rec_u64(&r, WT_CODE, 0);
	wire_put(&p->out, WIRE_EXIT, 0, p->stream, r.p, r.len);
	put(p);
}

static void start_twice(struct peer *p)
{
	started(p);
	started(p);
}

static void write_to_stdin(struct peer *p)
{
	started(p);
	wire_put(&p->out, WIRE_DATA, WIRE_STDIN, p->stream, "x", 1);
	put(p);
}

static void give_endless_credit(struct peer *p)
{
	started(p);
	for (int i = 0; i < 64; i++)
		wire_put_credit(&p->out, p->stream, WIRE_STDIN, UINT32_MAX);
	put(p);
}

static void talk_garbage(struct peer *p)
{
	started(p);
	buf_str(&p->out, "this is not a frame, and it goes on for a while");
	put(p);
}

static void speak_for_others(struct peer *p)
{
	auto_buf r = BUF_INIT;
	for (uint32_t id = p->stream + 1; id < p->stream + 1000; id++)
		wire_put(&p->out, WIRE_DATA, WIRE_STDOUT, id, "x", 1);
	started(p);
	wire_rec_u64(&r, WT_CODE, 9);
	wire_put(&p->out, WIRE_EXIT, 0, p->stream, r.p, r.len);
	put(p);
}

/* ---- the test's side ---- */

struct fixture {
	uv_loop_t loop;
	uv_timer_t watchdog;
	char dir[64], *path;
	int listener;
	pid_t peer;
	struct link *link;
	struct link_stream *s;
	bool down, ended;
	size_t data_calls;
	struct link_exit end;
};

static void on_data(void *arg, enum wire_channel ch, const uint8_t *data, size_t n)
{
	(void)ch;
	(void)data;
	(void)n;
	((struct fixture *)arg)->data_calls++;
}

static void on_end(void *arg, const struct link_exit *end)
{
	struct fixture *f = arg;
	f->ended = true;
	f->end = *end;
}

static const struct link_stream_ops stream_ops = { .on_data = on_data, .on_exit = on_end };

static void on_down(void *arg, const struct err *why)
{
	(void)why;
	struct fixture *f = arg;
	f->down = true;
	f->link = NULL;
}

static const struct link_ops link_ops = { .on_down = on_down };

static void on_watchdog(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("the stream did not end");
}

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	memcpy(f->dir, "/tmp/sbx-t-host-XXXXXX", sizeof("/tmp/sbx-t-host-XXXXXX"));
	assert_non_null(mkdtemp(f->dir));
	f->path = fs_join(f->dir, "agent.sock");
	f->listener = sock_listen(f->path, NULL);
	assert_true(f->listener >= 0);
	uv_loop_init(&f->loop);
	uv_timer_init(&f->loop, &f->watchdog);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	link_stream_close(f->s);
	link_close(f->link);
	uv_close((uv_handle_t *)&f->watchdog, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	kill(f->peer, SIGKILL);
	waitpid(f->peer, NULL, 0);
	close(f->listener);
	assert_int_equal(fs_remove_tree(f->dir, NULL), 0);
	free(f->path);
	free(f);
	return 0;
}

static void meet(struct fixture *f, worst *act)
{
	f->peer = fork();
	assert_true(f->peer >= 0);
	if (f->peer == 0)
		be_peer(f->listener, act);
	struct err err = ERR_INIT;
	f->link = link_open(&f->loop, f->path, false, &link_ops, f, &err);
	assert_non_null(f->link);
	auto_buf record = BUF_INIT;
	wire_rec_u64(&record, WT_OP, WIRE_OP_EXEC);
	f->s = link_stream_open(f->link, &record, &stream_ops, f, &err);
	assert_non_null(f->s);
	uv_timer_start(&f->watchdog, on_watchdog, 15000, 0);
	while (!f->ended)
		uv_run(&f->loop, UV_RUN_ONCE);
	uv_timer_stop(&f->watchdog);
}

static void test_cut(void **state)
{
	static worst *const acts[] = { overdraw, end_twice, break_a_record, start_twice, write_to_stdin, give_endless_credit,
		end_without_code, end_with_nothing, end_with_large_code, end_with_short_code };
	for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
		void *one = NULL;
		setup(&one);
		struct fixture *f = one;
		meet(f, acts[i]);
		assert_int_equal(f->end.sys, EPROTO);
		assert_false(f->down); /* only the stream is cut */
		teardown(&one);
	}
	(void)state;
}

static void test_nothing_costs_nothing(void **state)
{
	struct fixture *f = *state;
	meet(f, say_nothing_often);
	assert_int_equal(f->data_calls, 0);
	assert_int_equal(f->end.code, 7);
}

static void test_garbage_drops_the_link(void **state)
{
	struct fixture *f = *state;
	meet(f, talk_garbage);
	assert_true(f->end.link_lost);
	while (!f->down)
		uv_run(&f->loop, UV_RUN_ONCE);
}

static void test_streams_that_are_not_open(void **state)
{
	struct fixture *f = *state;
	meet(f, speak_for_others);
	assert_int_equal(f->data_calls, 0);
	assert_int_equal(f->end.code, 9);
	assert_true(f->end.started);
}

static void test_end_of_what_never_began(void **state)
{
	struct fixture *f = *state;
	meet(f, end_unstarted);
	assert_int_equal(f->end.sys, 0);
	assert_false(f->end.started);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut),
		cmocka_unit_test_setup_teardown(test_nothing_costs_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage_drops_the_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_streams_that_are_not_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_of_what_never_began, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
