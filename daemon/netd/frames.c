#include "daemon/netd/frames.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void frames_init(struct frames *f, int fd)
{
	f->fd = fd;
	f->have = f->sent = 0;
	f->dropped = 0;
	buf_init(&f->out);
}

void frames_free(struct frames *f)
{
	buf_free(&f->out);
}

static size_t get_length(const uint8_t *p)
{
	return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

static bool would_block(void)
{
	return errno == EAGAIN || errno == EINTR;
}

int frames_read(struct frames *f, frames_fn *fn, void *arg, struct err *err)
{
	ssize_t got = read(f->fd, f->in + f->have, sizeof(f->in) - f->have);
	if (got < 0)
		return would_block() ? 1 : err_sys(err, errno, "cannot read from the virtual machine");
	if (got == 0)
		return 0;
	f->have += (size_t)got;
	size_t at = 0;
	while (f->have - at >= 4) {
		size_t n = get_length(f->in + at);
		if (n > FRAMES_MAX)
			return err_set(err, ERR_PROTOCOL, "frame of %zu bytes is too long", n);
		if (f->have - at - 4 < n)
			break;
		fn(arg, f->in + at + 4, n);
		at += 4 + n;
	}
	memmove(f->in, f->in + at, f->have - at);
	f->have -= at;
	return 1;
}

void frames_send(struct frames *f, const void *frame, size_t n)
{
	uint8_t head[4] = { 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
	char *p = n <= FRAMES_MAX && f->out.len + n + 4 <= FRAMES_QUEUE ? buf_reserve(&f->out, n + 4) : NULL;
	if (!p) {
		f->dropped++;
		return;
	}
	memcpy(p, head, 4);
	memcpy(p + 4, frame, n);
	buf_commit(&f->out, n + 4);
}

bool frames_pending(const struct frames *f)
{
	return f->out.len > f->sent;
}

int frames_flush(struct frames *f, struct err *err)
{
	while (frames_pending(f)) {
		/* not send: what is written is counted in /proc/PID/io, which is where the guest's traffic is read from */
		ssize_t done = write(f->fd, f->out.p + f->sent, f->out.len - f->sent);
		if (done < 0) {
			/* make room at the end for what comes while the peer is slow */
			buf_drop(&f->out, f->sent);
			f->sent = 0;
			return would_block() ? 0 : err_sys(err, errno, "cannot write to the virtual machine");
		}
		f->sent += (size_t)done;
	}
	buf_clear(&f->out);
	f->sent = 0;
	return 0;
}
