#include "tests/unit/agent_host.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

#define WAIT_MS 10000

/* An agent that runs already, in a VM perhaps. */
static void connect_agent(struct host *h, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	h->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(h->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
}

static void start_agent(struct host *h)
{
	const char *agent = getenv("SBX_AGENT");
	int sv[2];
	char fd[16];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	snprintf(fd, sizeof(fd), "%d", sv[1]);
	h->pid = fork();
	assert_true(h->pid >= 0);
	if (h->pid == 0) {
		close(sv[0]);
		execl(agent ? agent : "build/bin/sbx-agent", "sbx-agent", "--fd", fd, (char *)NULL);
		_exit(99);
	}
	close(sv[1]);
	h->fd = sv[0];
}

struct host *host_new(void)
{
	struct host *h = mem_zalloc(sizeof(*h));

	wire_rx_init(&h->rx);
	if (getenv("SBX_AGENT_SOCKET"))
		connect_agent(h, getenv("SBX_AGENT_SOCKET"));
	else
		start_agent(h);
	host_hello(h, h->pid == 0);
	return h;
}

void host_forget(struct host *h)
{
	for (unsigned i = 0; i < h->n; i++) {
		buf_free(&h->s[i].started_rec);
		buf_free(&h->s[i].exit_rec);
		for (int c = 0; c < WIRE_CHANNELS; c++)
			buf_free(&h->s[i].out[c]);
	}
	h->n = 0;
}

void host_free(struct host *h)
{
	int status;

	close(h->fd);
	if (h->pid) {
		assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
	host_forget(h);
	wire_rx_free(&h->rx);
	free(h);
}

void host_raw(struct host *h, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t w = send(h->fd, at, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (w < 0 && errno == EAGAIN) {
			struct pollfd pfd = { .fd = h->fd, .events = POLLIN | POLLOUT };

			assert_true(poll(&pfd, 1, WAIT_MS) > 0);
			if (pfd.revents & POLLIN)
				host_poll(h, 0);
			continue;
		}
		assert_true(w > 0);
		at += w;
		n -= (size_t)w;
	}
}

static void send_buf(struct host *h, struct buf *b)
{
	host_raw(h, b->p, b->len);
	buf_free(b);
}

static struct host_stream *find(struct host *h, uint32_t id)
{
	for (unsigned i = 0; i < h->n; i++)
		if (h->s[i].id == id)
			return &h->s[i];
	return NULL;
}

void host_credit(struct host *h, struct host_stream *s, uint32_t n)
{
	struct buf b = BUF_INIT;

	wire_put_credit(&b, s->id, WIRE_STDOUT, n);
	send_buf(h, &b);
}

static void on_data(struct host *h, struct host_stream *s, const struct wire_frame *f)
{
	struct buf b = BUF_INIT;

	assert_false(s->eof[f->channel]);
	buf_add(&s->out[f->channel], f->payload, f->length);
	if (s->hold)
		return;
	wire_put_credit(&b, s->id, f->channel, f->length);
	send(h->fd, b.p, b.len, MSG_NOSIGNAL);
	buf_free(&b);
}

static void on_frame(struct host *h, const struct wire_frame *f)
{
	struct host_stream *s = find(h, f->stream);

	if (f->type == WIRE_HELLO) {
		struct wire_field nonce;

		assert_true(wire_rec_find(f->payload, f->length, WT_NONCE, &nonce));
		if (nonce.n == WIRE_NONCE && !memcmp(nonce.p, h->nonce, WIRE_NONCE))
			h->hellos++;
		return;
	}
	if (!s)
		return;
	assert_false(s->exited);
	if (f->type == WIRE_STARTED) {
		assert_false(s->started);
		assert_true(wire_rec_valid(f->payload, f->length));
		buf_add(&s->started_rec, f->payload, f->length);
		s->started = true;
	} else if (f->type == WIRE_DATA) {
		on_data(h, s, f);
	} else if (f->type == WIRE_EOF) {
		assert_false(s->eof[f->channel]);
		s->eof[f->channel] = true;
	} else if (f->type == WIRE_CREDIT) {
		s->credit += wire_get_u32(f->payload);
	} else if (f->type == WIRE_EXIT) {
		assert_true(wire_rec_valid(f->payload, f->length));
		buf_add(&s->exit_rec, f->payload, f->length);
		s->exited = true;
		s->order = ++h->exits;
	}
}

bool host_poll(struct host *h, int ms)
{
	struct pollfd pfd = { .fd = h->fd, .events = POLLIN };
	struct wire_frame f;
	ssize_t n;

	if (poll(&pfd, 1, ms) <= 0)
		return false;
	n = recv(h->fd, wire_rx_space(&h->rx, 65536), 65536, 0);
	if (n <= 0) {
		h->closed = true;
		return false;
	}
	wire_rx_fed(&h->rx, (size_t)n);
	while (wire_rx_next(&h->rx, &f))
		on_frame(h, &f);
	return true;
}

void host_hello(struct host *h, bool pad)
{
	struct buf b = BUF_INIT, rec = BUF_INIT;
	unsigned before = h->hellos;
	int64_t end = clock_mono_ms() + WAIT_MS;

	host_forget(h);
	rand_bytes(h->nonce, sizeof(h->nonce));
	wire_rx_lose(&h->rx);
	if (pad) {
		char *p = buf_reserve(&b, WIRE_SYNC_PAD);

		memset(p, 0, WIRE_SYNC_PAD);
		buf_commit(&b, WIRE_SYNC_PAD);
	}
	wire_rec_u64(&rec, WT_VERSION, WIRE_VERSION);
	wire_rec_bytes(&rec, WT_NONCE, h->nonce, WIRE_NONCE);
	wire_put(&b, WIRE_HELLO, 0, 0, rec.p, rec.len);
	buf_free(&rec);
	send_buf(h, &b);
	while (h->hellos == before) {
		assert_true(clock_mono_ms() < end);
		host_poll(h, 100);
	}
}

struct host_stream *host_open(struct host *h, struct buf *rec)
{
	struct host_stream *s = &h->s[h->n++];
	struct buf b = BUF_INIT;

	assert_true(h->n <= HOST_STREAMS);
	memset(s, 0, sizeof(*s));
	s->id = ++h->next_id;
	s->credit = WIRE_WINDOW;
	buf_init(&s->started_rec);
	buf_init(&s->exit_rec);
	for (int i = 0; i < WIRE_CHANNELS; i++)
		buf_init(&s->out[i]);
	wire_put(&b, WIRE_OPEN, 0, s->id, rec->p, rec->len);
	buf_free(rec);
	send_buf(h, &b);
	return s;
}

void host_rec_exec(struct buf *rec, ...)
{
	const char *arg;
	va_list ap;

	wire_rec_u64(rec, WT_OP, WIRE_OP_EXEC);
	va_start(ap, rec);
	while ((arg = va_arg(ap, const char *)))
		wire_rec_str(rec, WT_ARG, arg);
	va_end(ap);
}

struct host_stream *host_sh(struct host *h, const char *script)
{
	struct buf rec = BUF_INIT;

	host_rec_exec(&rec, "/bin/sh", "-c", script, NULL);
	return host_open(h, &rec);
}

struct host_stream *host_op(struct host *h, enum wire_op op, const char *path)
{
	struct buf rec = BUF_INIT;

	wire_rec_u64(&rec, WT_OP, op);
	wire_rec_str(&rec, WT_PATH, path);
	return host_open(h, &rec);
}

void host_frame(struct host *h, struct host_stream *s, enum wire_type type, const void *p, size_t n)
{
	struct buf b = BUF_INIT;

	wire_put(&b, type, 0, s->id, p, n);
	send_buf(h, &b);
}

void host_input(struct host *h, struct host_stream *s, const void *p, size_t n, bool eof)
{
	const char *at = p;
	int64_t end = clock_mono_ms() + WAIT_MS;

	while (n) {
		size_t one = n < WIRE_CHUNK ? n : WIRE_CHUNK;

		if (one > s->credit)
			one = (size_t)s->credit;
		if (!one) {
			assert_true(clock_mono_ms() < end);
			host_poll(h, 100);
			continue;
		}
		host_frame(h, s, WIRE_DATA, at, one);
		s->credit -= one;
		at += one;
		n -= one;
	}
	if (eof)
		host_frame(h, s, WIRE_EOF, NULL, 0);
}

int host_wait(struct host *h, struct host_stream *s)
{
	int64_t end = clock_mono_ms() + WAIT_MS;

	while (!s->exited) {
		assert_true(clock_mono_ms() < end);
		assert_false(h->closed);
		host_poll(h, 100);
	}
	return (int)host_exit_u64(s, WT_CODE);
}

void host_wait_started(struct host *h, struct host_stream *s)
{
	int64_t end = clock_mono_ms() + WAIT_MS;

	while (!s->started) {
		assert_false(s->exited);
		assert_true(clock_mono_ms() < end);
		host_poll(h, 100);
	}
}

void host_wait_output(struct host *h, struct host_stream *s, const char *text)
{
	int64_t end = clock_mono_ms() + WAIT_MS;

	while (!memmem(s->out[WIRE_STDOUT].p, s->out[WIRE_STDOUT].len, text, strlen(text))) {
		if (clock_mono_ms() >= end || s->exited)
			fail_msg("no '%s' in '%s'", text, s->out[WIRE_STDOUT].p);
		host_poll(h, 100);
	}
}

uint64_t host_exit_u64(const struct host_stream *s, enum wire_tag tag)
{
	return wire_rec_get_u64((const uint8_t *)s->exit_rec.p, s->exit_rec.len, tag, 0);
}

uint64_t host_started_u64(const struct host_stream *s, enum wire_tag tag)
{
	return wire_rec_get_u64((const uint8_t *)s->started_rec.p, s->started_rec.len, tag, 0);
}

const char *host_message(const struct host_stream *s)
{
	static char text[1024];
	struct wire_field f;

	text[0] = '\0';
	if (wire_rec_find((const uint8_t *)s->exit_rec.p, s->exit_rec.len, WT_MESSAGE, &f))
		snprintf(text, sizeof(text), "%.*s", (int)f.n, (const char *)f.p);
	return text;
}
