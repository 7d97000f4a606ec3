#include "daemon/vm/qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { READ_SIZE = 4096, LINE_LIMIT = 1 << 20 };

struct qmp {
	int fd, timeout_ms;
	int64_t next_id;
	int attached; /* descriptor that goes with the next command, or -1 */
	struct buf in;
	size_t used; /* bytes of in that were handed out */
};

void qmp_close(struct qmp *q)
{
	if (!q)
		return;
	close(q->fd);
	buf_free(&q->in);
	free(q);
}

static int wait_for(struct qmp *q, short events, int64_t deadline, struct err *err)
{
	for (;;) {
		struct pollfd p = { .fd = q->fd, .events = events };
		int64_t left = deadline - clock_mono_ms();
		int r = left > 0 ? poll(&p, 1, (int)left) : 0;

		if (r > 0)
			return 0;
		if (r == 0)
			return err_set(err, ERR_TIMEOUT, "qemu did not answer in %d ms", q->timeout_ms);
		if (errno != EINTR)
			return err_sys(err, errno, "cannot wait for qemu");
	}
}

static int fill(struct qmp *q, int64_t deadline, struct err *err)
{
	if (q->in.len > LINE_LIMIT)
		return err_set(err, ERR_PROTOCOL, "qemu sent too long a line");
	if (wait_for(q, POLLIN, deadline, err))
		return -1;
	char *p = buf_reserve(&q->in, READ_SIZE);
	if (!p)
		return err_set(err, ERR_INTERNAL, "no memory for an answer of qemu");
	ssize_t n = recv(q->fd, p, READ_SIZE, MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0)
		return err_sys(err, errno, "cannot read from qemu");
	if (n == 0)
		return err_set(err, ERR_IO, "qemu has closed its monitor");
	buf_commit(&q->in, (size_t)n);
	return 0;
}

/* The next line as JSON. */
static js *read_message(struct qmp *q, int64_t deadline, struct err *err)
{
	char *nl;

	buf_drop(&q->in, q->used);
	q->used = 0;
	while (!(nl = memchr(q->in.p, '\n', q->in.len)))
		if (fill(q, deadline, err))
			return NULL;
	q->used = (size_t)(nl - q->in.p) + 1;
	js *v = js_parse(q->in.p, q->used, JS_LIMITS_DEFAULT, err);
	if (!v) {
		err_prefix(err, "answer of qemu");
		if (err)
			err->code = ERR_PROTOCOL;
	}
	return v;
}

/* As send, with the attached descriptor if there is one. */
static ssize_t send_some(struct qmp *q, const char *p, size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (q->attached >= 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &q->attached, sizeof(int));
	}
	ssize_t r = sendmsg(q->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (r > 0)
		q->attached = -1;
	return r;
}

static int send_all(struct qmp *q, const char *p, size_t n, int64_t deadline, struct err *err)
{
	while (n > 0) {
		if (wait_for(q, POLLOUT, deadline, err))
			return -1;
		ssize_t r = send_some(q, p, n);
		if (r < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (r < 0)
			return err_sys(err, errno, "cannot write to qemu");
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

static int send_command(struct qmp *q, const char *command, const char *args, int64_t deadline, struct err *err)
{
	auto_buf text = BUF_INIT;
	struct jw w;

	jw_init(&w, &text);
	jw_obj(&w);
	jw_kstr(&w, "execute", command);
	if (args) {
		jw_key(&w, "arguments");
		jw_raw(&w, args, strlen(args));
	}
	jw_kint(&w, "id", q->next_id);
	jw_obj_end(&w);
	buf_ch(&text, '\n');
	return send_all(q, text.p, text.len, deadline, err);
}

static int take_answer(const js *answer, const char *command, js **result, struct err *err)
{
	const js *refusal = js_get(answer, "error");
	const js *value = js_get(answer, "return");
	auto_buf copy = BUF_INIT;
	struct jw w;

	if (refusal)
		return err_set(
			err, ERR_STATE, "qemu refused '%s': %s", command, js_str(js_get(refusal, "desc"), "no reason given"));
	if (!result)
		return 0;
	jw_init(&w, &copy);
	jw_js(&w, value);
	*result = js_parse(copy.p, copy.len, JS_LIMITS_DEFAULT, err);
	return *result ? 0 : -1;
}

int qmp_execute(struct qmp *q, const char *command, const char *args, js **result, struct err *err)
{
	int64_t deadline = clock_mono_ms() + q->timeout_ms;

	q->next_id++;
	if (send_command(q, command, args, deadline, err))
		return -1;
	for (;;) {
		int64_t id = 0;
		auto_js *v = read_message(q, deadline, err);
		if (!v)
			return -1;
		if (!js_get(v, "return") && !js_get(v, "error"))
			continue; /* an event */
		if (js_int(js_get(v, "id"), &id) || id != q->next_id)
			return err_set(err, ERR_PROTOCOL, "qemu answered another command than '%s'", command);
		return take_answer(v, command, result, err);
	}
}

int qmp_add_fd(struct qmp *q, unsigned set, int fd, struct err *err)
{
	auto_free char *args = mem_printf("{\"fdset-id\":%u}", set);

	q->attached = fd;
	int r = qmp_execute(q, "add-fd", args, NULL, err);
	q->attached = -1;
	return r;
}

int qmp_drop_fds(struct qmp *q, unsigned set, struct err *err)
{
	auto_free char *args = mem_printf("{\"fdset-id\":%u}", set);
	return qmp_execute(q, "remove-fd", args, NULL, err);
}

static int negotiate(struct qmp *q, struct err *err)
{
	auto_js *greeting = read_message(q, clock_mono_ms() + q->timeout_ms, err);

	if (!greeting)
		return -1;
	if (!js_get(greeting, "QMP"))
		return err_set(err, ERR_PROTOCOL, "qemu did not greet");
	return qmp_execute(q, "qmp_capabilities", NULL, NULL, err);
}

struct qmp *qmp_open(int fd, int timeout_ms, struct err *err)
{
	struct qmp *q = mem_zalloc(sizeof(*q));

	q->fd = fd;
	q->attached = -1;
	q->timeout_ms = timeout_ms;
	buf_init(&q->in);
	if (!negotiate(q, err))
		return q;
	qmp_close(q);
	return NULL;
}
