/* link: daemon/vm/qmp.c | -lpthread */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/vm/qmp.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define GREETING "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\r\n"
#define READY "{\"return\":{},\"id\":1}\r\n"

/* The other side: says `greeting`, then for each line it reads the next of `answers`; NULL closes. */
struct peer {
	int fd;
	const char *greeting, *answers[4];
	char heard[4][256];
	pthread_t thread;
};

static size_t read_line(int fd, char *to, size_t size)
{
	size_t n = 0;
	while (n + 1 < size && read(fd, to + n, 1) == 1 && to[n] != '\n')
		n++;
	to[n] = '\0';
	return n;
}

static void *peer_main(void *arg)
{
	struct peer *p = arg;
	ssize_t r = write(p->fd, p->greeting, strlen(p->greeting));
	for (size_t i = 0; r > 0 && i < 4 && p->answers[i]; i++) {
		if (!read_line(p->fd, p->heard[i], sizeof(p->heard[i])))
			break;
		r = send(p->fd, p->answers[i], strlen(p->answers[i]), MSG_NOSIGNAL);
	}
	shutdown(p->fd, SHUT_WR);
	return NULL;
}

static struct qmp *start(struct peer *p, int timeout_ms, struct err *err)
{
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	p->fd = pair[1];
	assert_int_equal(pthread_create(&p->thread, NULL, peer_main, p), 0);
	return qmp_open(pair[0], timeout_ms, err);
}

static void finish(struct peer *p, struct qmp *q)
{
	qmp_close(q);
	pthread_join(p->thread, NULL);
	close(p->fd);
}

static void answers(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct peer p = { .greeting = GREETING,
		.answers = { READY, "{\"event\":\"STOP\",\"data\":{}}\n{\"return\":{\"status\":\"completed\"},\"id\":2}\n",
			"{\"error\":{\"class\":\"GenericError\",\"desc\":\"no such thing\"},\"id\":3}\n" } };
	struct qmp *q = start(&p, 5000, &err);
	js *v = NULL;

	assert_non_null(q);
	assert_int_equal(qmp_execute(q, "query-migrate", NULL, &v, &err), 0);
	assert_string_equal(js_str(js_get(v, "status"), ""), "completed");
	js_free(v);
	assert_int_equal(qmp_execute(q, "migrate", "{\"uri\":\"fd:x\"}", NULL, &err), -1);
	assert_int_equal(err.code, ERR_STATE);
	assert_non_null(strstr(err.msg, "no such thing"));
	finish(&p, q);
	assert_string_equal(p.heard[0], "{\"execute\":\"qmp_capabilities\",\"id\":1}");
	assert_string_equal(p.heard[2], "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"fd:x\"},\"id\":3}");
}

static void no_qemu(void **state)
{
	(void)state;
	static const struct {
		const char *greeting, *answer;
		enum err_code code;
	} rows[] = {
		{ "{\"hello\":1}\n", NULL, ERR_PROTOCOL },
		{ "garbage\n", NULL, ERR_PROTOCOL },
		{ GREETING, NULL, ERR_IO },
		{ GREETING, "{\"return\":{},\"id\":7}\n", ERR_PROTOCOL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = ERR_INIT;
		struct peer p = { .greeting = rows[i].greeting, .answers = { rows[i].answer } };
		struct qmp *q = start(&p, 5000, &err);
		assert_null(q);
		assert_int_equal(err.code, rows[i].code);
		finish(&p, q);
	}
}

static void too_slow(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	int pair[2];
	int64_t before = clock_mono_ms();

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_null(qmp_open(pair[0], 50, &err));
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_in_range(clock_mono_ms() - before, 49, 1500);
	close(pair[1]);
}

/* The descriptor arrives with the command that names it. */
static void gives_fd(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	int pair[2];
	char text[512] = "";
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
	};
	static const char said[] = GREETING READY "{\"return\":{},\"id\":2}\n";

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	/* everything is said in advance: one packet for the greeting, one for both answers */
	assert_true(write(pair[1], said, strlen(said)) > 0);
	struct qmp *q = qmp_open(pair[0], 1000, &err);
	assert_non_null(q);
	assert_int_equal(qmp_add_fd(q, 7, STDERR_FILENO, &err), 0);
	assert_true(read(pair[1], text, sizeof(text)) > 0); /* qmp_capabilities */
	memset(text, 0, sizeof(text));
	assert_true(recvmsg(pair[1], &m, MSG_CMSG_CLOEXEC) > 0);
	assert_non_null(strstr(text, "\"add-fd\",\"arguments\":{\"fdset-id\":7}"));
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	assert_non_null(c);
	assert_int_equal(c->cmsg_type, SCM_RIGHTS);
	int got = -1;
	memcpy(&got, CMSG_DATA(c), sizeof(got));
	assert_true(got > 2);
	close(got);
	close(pair[1]);
	qmp_close(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(answers), cmocka_unit_test(no_qemu), cmocka_unit_test(too_slow),
		cmocka_unit_test(gives_fd) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
