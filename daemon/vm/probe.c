#include "daemon/vm/probe.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { READ_SIZE = 65536, HELLO_AGAIN_MS = 500 };

static int wait_for(struct probe *p, short events, int64_t deadline, struct err *err)
{
	for (;;) {
		struct pollfd f = { .fd = p->fd, .events = events };
		int64_t left = deadline - clock_mono_ms();
		int r = left > 0 ? poll(&f, 1, (int)left) : 0;

		if (r > 0)
			return 0;
		if (r == 0)
			return err_set(err, ERR_TIMEOUT, "the agent in the guest did not answer");
		if (errno != EINTR)
			return err_sys(err, errno, "cannot wait for the agent");
	}
}

static int send_all(struct probe *p, const struct buf *b, int64_t deadline, struct err *err)
{
	for (size_t at = 0; at < b->len;) {
		if (wait_for(p, POLLOUT, deadline, err))
			return -1;
		ssize_t n = send(p->fd, b->p + at, b->len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			at += (size_t)n;
		else if (errno != EINTR && errno != EAGAIN)
			return err_sys(err, errno, "cannot write to the agent");
	}
	return 0;
}

static int next_frame(struct probe *p, struct wire_frame *f, int64_t deadline, struct err *err)
{
	while (!wire_rx_next(&p->rx, f)) {
		if (wait_for(p, POLLIN, deadline, err))
			return -1;
		char *to = wire_rx_space(&p->rx, READ_SIZE);
		if (!to)
			return err_set(err, ERR_INTERNAL, "no memory for the agent's answer");
		ssize_t n = recv(p->fd, to, READ_SIZE, MSG_DONTWAIT);
		if (n == 0)
			return err_set(err, ERR_UNAVAILABLE, "the virtual machine has ended");
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return err_sys(err, errno, "cannot read from the agent");
		if (n > 0)
			wire_rx_fed(&p->rx, (size_t)n);
	}
	return 0;
}

static bool answers(const struct wire_frame *f, const uint8_t nonce[WIRE_NONCE])
{
	struct wire_field field;

	return f->type == WIRE_HELLO && wire_rec_find(f->payload, f->length, WT_NONCE, &field) == 1 && field.n == WIRE_NONCE &&
		!memcmp(field.p, nonce, WIRE_NONCE);
}

/* A port that is opened in the guest forgets what came before: until it is answered, HELLO is said again. */
static int hello(struct probe *p, int64_t deadline, struct err *err)
{
	uint8_t nonce[WIRE_NONCE];
	auto_buf record = BUF_INIT;
	auto_buf out = BUF_INIT;
	struct wire_frame f;
	struct err silence = ERR_INIT;
	bool up = false;

	rand_bytes(nonce, sizeof(nonce));
	wire_rec_u64(&record, WT_VERSION, WIRE_VERSION);
	wire_rec_bytes(&record, WT_NONCE, nonce, sizeof(nonce));
	wire_put(&out, WIRE_HELLO, 0, 0, record.p, record.len);
	while (!up) {
		int64_t again = clock_mono_ms() + HELLO_AGAIN_MS;
		if (send_all(p, &out, deadline, err))
			return -1;
		while (!up && !next_frame(p, &f, again < deadline ? again : deadline, &silence))
			up = answers(&f, nonce);
		if (!up && (silence.code != ERR_TIMEOUT || clock_mono_ms() >= deadline))
			return err_set(err, silence.code, "%s", silence.msg);
	}
	if (wire_rec_get_u64(f.payload, f.length, WT_VERSION, 0) != WIRE_VERSION)
		return err_set(err, ERR_PROTOCOL, "the agent in the guest speaks another version");
	return 0;
}

int probe_open(struct probe *p, int fd, int64_t deadline_ms, struct err *err)
{
	*p = (struct probe){ .fd = fd, .next_stream = 1 };
	wire_rx_init(&p->rx);
	wire_rx_lose(&p->rx);
	if (!hello(p, deadline_ms, err))
		return 0;
	probe_close(p);
	return -1;
}

int probe_exec(struct probe *p, const char *const *argv, int64_t deadline_ms, int *code, struct err *err)
{
	auto_buf record = BUF_INIT;
	auto_buf out = BUF_INIT;
	uint32_t id = p->next_stream++;
	struct wire_frame f;

	wire_rec_u64(&record, WT_OP, WIRE_OP_EXEC);
	for (const char *const *a = argv; *a; a++)
		wire_rec_str(&record, WT_ARG, *a);
	wire_put(&out, WIRE_OPEN, 0, id, record.p, record.len);
	wire_put(&out, WIRE_EOF, WIRE_STDIN, id, NULL, 0);
	if (send_all(p, &out, deadline_ms, err))
		return -1;
	for (;;) {
		if (next_frame(p, &f, deadline_ms, err))
			return -1;
		if (f.stream != id)
			continue;
		if (f.type == WIRE_DATA) {
			buf_clear(&out);
			wire_put_credit(&out, id, f.channel, f.length);
			if (send_all(p, &out, deadline_ms, err))
				return -1;
		} else if (f.type == WIRE_EXIT) {
			if (wire_rec_get_u64(f.payload, f.length, WT_ERRNO, 0))
				return err_set(err, ERR_INTERNAL, "the guest cannot run '%s'", argv[0]);
			*code = (int)wire_rec_get_u64(f.payload, f.length, WT_CODE, 255);
			return 0;
		}
	}
}

void probe_close(struct probe *p)
{
	wire_rx_free(&p->rx);
	close(p->fd);
	p->fd = -1;
}
