/* agent conn: the port. Reads frames, writes control frames first and then data of the streams in turn. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/guest/agent.h"
#include "shared/base/util.h"

#define READ_SIZE 16384
/* The kernel's port driver takes at most 32 KiB a write: a data frame just fits. */
#define WRITE_SIZE WIRE_CHUNK
#define ROOM_MIN 2048 /* with less left in a write, leave the next stream for the next one */
#define ROUNDS 8      /* writes, and reads, before other events are looked at again */
/* How long the kernel may take to learn of a new host. To be late costs little: what the last host began ends with the HELLO of the
 * next one at the latest. */
#define HANGUP_MS 1000
#define CTL_MAX (256 * 1024) /* answers waiting: read no more requests until they are taken */

static void put_down(struct agent *a)
{
	stream_lose_all(a);
	buf_clear(&a->cur);
	buf_clear(&a->ctl);
	a->cur_at = 0;
	a->up = false;
}

/* The host is gone. A port stays open for the next one; a socket does not. */
static void hang_up(struct agent *a)
{
	put_down(a);
	wire_rx_lose(&a->rx);
	a->port_readable = false;
	a->hangup_at = 0;
	if (!a->port_is_socket)
		return;
	loop_close(&a->port);
	a->port_writable = false;
	if (a->listener.fd < 0)
		a->quit = true;
}

/* The port says that no host is connected. The kernel learns of a new one later than it gets that one's first bytes:
 * what we have just read may be its HELLO. So wait a little whether there is one. */
static void maybe_gone(struct agent *a)
{
	a->port_readable = false;
	if (a->port_is_socket)
		hang_up(a);
	else if (!a->hangup_at)
		a->hangup_at = clock_mono_ms() + HANGUP_MS;
}

int64_t conn_deadline(const struct agent *a)
{
	return a->hangup_at;
}

/* A processor that we share may have kept us away for longer than that, with the news waiting behind other events: what counts is
 * what the kernel says now. If it still knows of none, and a host whose HELLO we have read is forgotten here, no harm is done: it
 * cannot have got our answer, has opened nothing, and says HELLO again. */
void conn_timer(struct agent *a)
{
	struct pollfd port = { .fd = a->port.fd };

	if (!a->hangup_at || clock_mono_ms() < a->hangup_at)
		return;
	if (a->port_readable && a->ctl.len < CTL_MAX)
		return; /* it may be a HELLO: read that first */
	if (poll(&port, 1, 0) == 1 && port.revents & POLLHUP)
		hang_up(a);
	a->hangup_at = 0;
}

static void on_hello(struct agent *a, const struct wire_frame *f)
{
	struct wire_field nonce;
	struct buf rec = BUF_INIT;

	if (!wire_rec_find(f->payload, f->length, WT_NONCE, &nonce) || nonce.n != WIRE_NONCE)
		return;
	put_down(a);
	a->hangup_at = 0; /* whatever the kernel knows, somebody is there: he has all the time */
	wire_rec_u64(&rec, WT_VERSION, WIRE_VERSION);
	wire_rec_bytes(&rec, WT_NONCE, nonce.p, nonce.n);
	wire_put(&a->ctl, WIRE_HELLO, 0, 0, rec.p, rec.len);
	buf_free(&rec);
	a->up = true;
}

static void read_port(struct agent *a)
{
	struct wire_frame f;
	ssize_t n;

	for (int i = 0; a->port_readable && a->ctl.len < CTL_MAX; i++) {
		char *p = wire_rx_space(&a->rx, READ_SIZE);

		if (!p || i == ROUNDS) {
			a->busy = true;
			return;
		}
		n = read(a->port.fd, p, READ_SIZE);
		if (n < 0 && errno == EAGAIN)
			a->port_readable = false;
		else if (n == 0 || (n < 0 && errno != EINTR))
			maybe_gone(a);
		if (n <= 0)
			continue;
		wire_rx_fed(&a->rx, (size_t)n);
		while (wire_rx_next(&a->rx, &f)) {
			if (f.type == WIRE_HELLO)
				on_hello(a, &f);
			else if (a->up)
				stream_frame(a, &f);
		}
	}
}

/* True when nothing is left in cur. */
static bool flush(struct agent *a)
{
	while (a->cur_at < a->cur.len) {
		ssize_t n;

		if (!a->port_writable)
			return false;
		n = write(a->port.fd, a->cur.p + a->cur_at, a->cur.len - a->cur_at);
		if (n > 0)
			a->cur_at += (size_t)n;
		else if (n == 0 || errno == EAGAIN)
			a->port_writable = false;
		else if (errno != EINTR) {
			maybe_gone(a);
			return false;
		}
	}
	buf_clear(&a->cur);
	a->cur_at = 0;
	return true;
}

/* Let the streams, in turn, add to cur until a write is full or none has anything. */
static void pull(struct agent *a)
{
	size_t before = a->cur.len;

	for (unsigned n = a->n_streams; n && a->cur.len + ROOM_MIN < WRITE_SIZE; n--) {
		struct stream *s = TAILQ_FIRST(&a->streams);

		if (!s)
			break;
		TAILQ_REMOVE(&a->streams, s, turn);
		TAILQ_INSERT_TAIL(&a->streams, s, turn);
		stream_pull(a, s, WRITE_SIZE - a->cur.len);
		if (n == 1 && a->cur.len > before) {
			n = a->n_streams + 1;
			before = a->cur.len;
		}
	}
}

static void write_port(struct agent *a)
{
	for (int i = 0; i < ROUNDS; i++) {
		if (!flush(a))
			return;
		if (a->ctl.len) {
			struct buf empty = a->cur;

			a->cur = a->ctl;
			a->ctl = empty;
		}
		pull(a);
		if (buf_failed(&a->cur) || buf_failed(&a->ctl))
			hang_up(a); /* no memory: what was lost cannot be told apart any more */
		if (!a->cur.len)
			return;
	}
	a->busy = true;
}

void conn_pump(struct agent *a)
{
	a->busy = false;
	if (a->port_readable)
		read_port(a);
	if (session_fill(a) | proc_drain(a))
		a->busy = true;
	if (a->port.fd >= 0)
		write_port(a);
	if (a->port_readable && a->ctl.len < CTL_MAX)
		a->busy = true;
}

static void on_port(struct agent *a, void *owner, uint32_t events)
{
	(void)owner;
	if (events & EPOLLOUT)
		a->port_writable = true;
	if (!(events & EPOLLHUP))
		a->hangup_at = 0;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP | EPOLLERR))
		a->port_readable = true;
}

int conn_open(struct agent *a, int fd, bool is_socket)
{
	a->port_is_socket = is_socket;
	wire_rx_lose(&a->rx); /* nothing counts before a HELLO */
	return loop_watch(a, &a->port, fd, on_port, a);
}

void conn_begin_anew(struct agent *a)
{
	char *pad = buf_reserve(&a->ctl, WIRE_SYNC_PAD);

	if (!pad)
		return;
	memset(pad, 0, WIRE_SYNC_PAD);
	buf_commit(&a->ctl, WIRE_SYNC_PAD);
}

static void on_listener(struct agent *a, void *owner, uint32_t events)
{
	int fd = accept4(a->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)owner;
	(void)events;
	if (fd < 0)
		return;
	if (a->port.fd >= 0)
		hang_up(a); /* the newest host wins, as after a restart of the daemon */
	if (conn_open(a, fd, true))
		loop_close(&a->port);
}

int conn_listen(struct agent *a, int fd)
{
	return loop_watch(a, &a->listener, fd, on_listener, a);
}
