/* link: shared/wire/wire.c shared/wire/record.c tests/unit/agent_host.c | */
/* sbx-agent over a socket: connections to ports. The test itself is the server inside. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base/mem.h"
#include "tests/unit/agent_host.h"

enum { BIG = 3000000, WAIT_MS = 10000 };

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

static int listen_on(int family, uint16_t *port)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a = { .v6 = { 0 } };
	socklen_t n = family == AF_INET ? sizeof(a.v4) : sizeof(a.v6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	a.any.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		a.v6.sin6_addr = in6addr_loopback;
	assert_int_equal(bind(fd, &a.any, n), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, &a.any, &n), 0);
	*port = ntohs(family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
	return fd;
}

static struct host_stream *dial(struct host *h, uint64_t port, const char *host)
{
	struct buf rec = BUF_INIT;

	wire_rec_u64(&rec, WT_OP, WIRE_OP_DIAL);
	wire_rec_u64(&rec, WT_PORT, port);
	wire_rec_str(&rec, WT_HOST, host);
	return host_open(h, &rec);
}

static int take(int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* All that comes until the end. */
static void read_all(int fd, struct buf *out)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	do {
		char *to = buf_reserve(out, 65536);

		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		n = read(fd, to, 65536);
		assert_true(n >= 0);
		buf_commit(out, (size_t)n);
	} while (n > 0);
}

static void both_ways_and_half_close(void **state)
{
	struct host *h = *state;
	uint16_t port;
	int listener = listen_on(AF_INET, &port);
	struct host_stream *s = dial(h, port, NULL);
	struct buf got = BUF_INIT;

	host_input(h, s, "question", 8, true);
	int fd = take(listener);
	host_wait_started(h, s);
	read_all(fd, &got);
	assert_string_equal(got.p, "question");
	assert_false(s->exited); /* the other direction is open */
	assert_int_equal(write(fd, "answer", 6), 6);
	close(fd);
	assert_int_equal(host_wait(h, s), 0);
	assert_string_equal(s->out[WIRE_STDOUT].p, "answer");
	assert_true(s->eof[WIRE_STDOUT]);
	buf_free(&got);
	close(listener);
}

static void the_server_ends_first(void **state)
{
	struct host *h = *state;
	uint16_t port;
	int listener = listen_on(AF_INET, &port);
	struct host_stream *s = dial(h, port, "127.0.0.1");
	int fd = take(listener);
	struct buf got = BUF_INIT;

	assert_int_equal(write(fd, "bye", 3), 3);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	host_wait_started(h, s);
	while (!s->eof[WIRE_STDOUT])
		assert_true(host_poll(h, WAIT_MS));
	assert_false(s->exited);
	host_input(h, s, "late", 4, true);
	read_all(fd, &got);
	assert_string_equal(got.p, "late");
	assert_int_equal(host_wait(h, s), 0);
	close(fd);
	buf_free(&got);
	close(listener);
}

static void much_data(void **state)
{
	struct host *h = *state;
	uint16_t port;
	int listener = listen_on(AF_INET, &port);
	struct host_stream *s = dial(h, port, NULL);
	int fd = take(listener);
	char *data = malloc(BIG);
	pid_t pid;

	assert_non_null(data);
	for (size_t i = 0; i < BIG; i++)
		data[i] = (char)(i * 31 ^ i >> 9);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) { /* an echo, one direction after the other in pieces */
		char piece[70000];
		for (ssize_t n; (n = read(fd, piece, sizeof(piece))) > 0;)
			for (ssize_t at = 0, w; at < n; at += w)
				if ((w = write(fd, piece + at, (size_t)(n - at))) <= 0)
					_exit(1);
		_exit(0);
	}
	close(fd);
	host_input(h, s, data, BIG, true);
	assert_int_equal(host_wait(h, s), 0);
	assert_int_equal(s->out[WIRE_STDOUT].len, BIG);
	assert_memory_equal(s->out[WIRE_STDOUT].p, data, BIG);
	free(data);
	close(listener);
}

static void ipv6_when_nobody_is_on_ipv4(void **state)
{
	struct host *h = *state;
	uint16_t port;
	int listener = listen_on(AF_INET6, &port);
	struct host_stream *s = dial(h, port, NULL);
	int fd = take(listener);

	host_wait_started(h, s);
	close(fd);
	host_input(h, s, "", 0, true);
	assert_int_equal(host_wait(h, s), 0);
	s = dial(h, port, "127.0.0.1");
	assert_int_equal(host_wait(h, s), 1);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), ECONNREFUSED);
	close(listener);
}

static void refusals(void **state)
{
	struct host *h = *state;
	uint16_t port;
	int listener = listen_on(AF_INET, &port);
	struct host_stream *s;

	close(listener); /* free now */
	s = dial(h, port, NULL);
	assert_int_equal(host_wait(h, s), 1);
	assert_false(s->started);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), ECONNREFUSED);
	assert_non_null(strstr(host_message(s), "refused"));
	static const struct {
		uint64_t port;
		const char *host;
	} wrong[] = { { 0, NULL }, { 65536, NULL }, { 80, "10.0.2.2" }, { 80, "localhost" }, { 80, "" }, { 80, "::2" } };
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		s = dial(h, wrong[i].port, wrong[i].host);
		assert_int_equal(host_wait(h, s), 1);
		assert_int_equal(host_exit_u64(s, WT_ERRNO), EINVAL);
	}
}

static void resets(void **state)
{
	struct host *h = *state;
	uint16_t port;
	int listener = listen_on(AF_INET, &port);
	struct host_stream *s = dial(h, port, NULL);
	int fd = take(listener);
	const struct linger at_once = { .l_onoff = 1 };
	char byte;

	/* by the server */
	host_wait_started(h, s);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(fd);
	assert_int_equal(host_wait(h, s), 1);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), ECONNRESET);
	assert_false(s->eof[WIRE_STDOUT]);
	/* by the host */
	s = dial(h, port, NULL);
	fd = take(listener);
	host_wait_started(h, s);
	host_frame(h, s, WIRE_CLOSE, NULL, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(read(fd, &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
	/* the agent is well */
	assert_int_equal(host_wait(h, host_sh(h, "exit 5")), 5);
	close(listener);
}

static void many_at_once(void **state)
{
	enum { MANY = 60 };
	struct host *h = *state;
	uint16_t port;
	int listener = listen_on(AF_INET, &port), fds[MANY];
	struct host_stream *s[MANY];

	for (size_t i = 0; i < MANY; i++) {
		s[i] = dial(h, port, NULL);
		fds[i] = take(listener);
	}
	for (size_t i = MANY; i-- > 0;) {
		assert_int_equal(write(fds[i], &(char){ (char)('!' + i) }, 1), 1);
		close(fds[i]);
		host_input(h, s[i], "x", 1, true);
	}
	for (size_t i = 0; i < MANY; i++) {
		host_wait(h, s[i]);
		assert_int_equal(s[i]->out[WIRE_STDOUT].len, 1);
		assert_int_equal(s[i]->out[WIRE_STDOUT].p[0], '!' + i);
	}
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_ways_and_half_close, setup, teardown),
		cmocka_unit_test_setup_teardown(the_server_ends_first, setup, teardown),
		cmocka_unit_test_setup_teardown(much_data, setup, teardown),
		cmocka_unit_test_setup_teardown(ipv6_when_nobody_is_on_ipv4, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(resets, setup, teardown),
		cmocka_unit_test_setup_teardown(many_at_once, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
