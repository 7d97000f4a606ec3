#include "daemon/core/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/execution.h"
#include "daemon/core/internal.h"
#include "shared/base/mem.h"

enum {
	READ_SIZE = 64 * 1024,
	KEEPALIVE_S = 60,
	LINGER_MS = 5000, /* a client may still be sending when its answer is complete: closing then would cost it the answer */
};

struct relay {
	struct sandbox *sb; /* only while x is there: the sandbox may be gone after it */
	uv_tcp_t tcp;
	uv_timer_t timer;    /* until what was refused at once is told; after the end, for the client to be heard out */
	unsigned handles;    /* and 1 while the sandbox is being resumed, which is told in any case */
	struct execution *x; /* NULL: there is none yet, or its end has come */
	uint16_t port;
	struct err refusal;
	const struct relay_ops *ops;
	void *arg;
	struct buf input; /* from the client, not taken by the guest yet */
	bool client_ended, guest_said, over;
	bool shut, flushed; /* the client is told that no more comes; he has been */
	uv_shutdown_t shutdown;
	char chunk[READ_SIZE];
};

struct pending {
	uv_write_t write;
	struct relay *relay;
	size_t n;
	char data[];
};

static void read_on(struct relay *r);

/* ---- the end ---- */

static void release(struct relay *r)
{
	if (--r->handles > 0)
		return;
	buf_free(&r->input);
	free(r);
}

static void on_closed(uv_handle_t *h)
{
	release(h->data);
}

static void drop_stream(struct relay *r)
{
	if (!r->x)
		return;
	execution_close(r->x);
	r->x = NULL;
	r->sb->relay_count--;
}

/* Let go of everything; tells the owner once, unless he is the one who asked. */
static void end(struct relay *r, bool reset, bool tell)
{
	if (r->over)
		return;
	r->over = true;
	drop_stream(r);
	/* refused by libuv after a shutdown, where a plain close does as well */
	if (!reset || uv_tcp_close_reset(&r->tcp, (uv_close_cb)on_closed) != 0)
		uv_close((uv_handle_t *)&r->tcp, on_closed);
	uv_close((uv_handle_t *)&r->timer, on_closed);
	if (tell && r->ops->on_end)
		r->ops->on_end(r->arg);
}

void relay_cut(struct relay *relay)
{
	end(relay, true, false);
}

static void on_linger(uv_timer_t *timer)
{
	end(timer->data, false, true);
}

/* Both sides have said all: or the client is heard out for a moment. */
static void end_softly(struct relay *r)
{
	if (r->client_ended)
		end(r, false, true);
	else
		uv_timer_start(&r->timer, on_linger, LINGER_MS, 0);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
	struct relay *r = req->data;
	if (r->over)
		return;
	r->flushed = true;
	if (status < 0)
		end(r, true, true);
	else if (!r->x)
		end_softly(r);
}

/* No more for the client: he is told after what is still to be written. */
static void finish_output(struct relay *r)
{
	if (r->shut)
		return;
	r->shut = true;
	r->shutdown.data = r;
	if (uv_shutdown(&r->shutdown, (uv_stream_t *)&r->tcp, on_shutdown) != 0)
		end(r, true, true);
}

/* ---- from the guest ---- */

static void on_written(uv_write_t *req, int status)
{
	struct pending *p = req->data;
	struct relay *r = p->relay;
	size_t n = p->n;
	free(p);
	if (r->over)
		return;
	if (status < 0)
		end(r, true, true);
	else if (r->x)
		execution_consumed(r->x, EXEC_STDOUT, n);
}

/* What the socket does not take at once waits; the guest's credit bounds how much. False when the client is gone. */
static bool send_client(struct relay *r, const void *data, size_t n)
{
	uv_buf_t b = uv_buf_init((char *)(uintptr_t)data, (unsigned)n);
	int done = uv_try_write((uv_stream_t *)&r->tcp, &b, 1);
	if (done < 0 && done != UV_EAGAIN)
		return false;
	size_t at = done > 0 ? (size_t)done : 0;
	if (at > 0 && r->x)
		execution_consumed(r->x, EXEC_STDOUT, at);
	if (at == n)
		return true;
	struct pending *p = mem_try(sizeof(*p) + n - at);
	if (!p)
		return false;
	*p = (struct pending){ .relay = r, .n = n - at };
	p->write.data = p;
	memcpy(p->data, (const char *)data + at, n - at);
	b = uv_buf_init(p->data, (unsigned)p->n);
	if (uv_write(&p->write, (uv_stream_t *)&r->tcp, &b, 1, on_written) == 0)
		return true;
	free(p);
	return false;
}

static void on_data(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	struct relay *r = arg;
	if (ch != EXEC_STDOUT || r->shut) {
		execution_consumed(r->x, ch, n); /* not what an honest agent sends */
		return;
	}
	r->guest_said = true;
	if (!send_client(r, data, n))
		end(r, true, true);
}

static void on_eof(void *arg, enum exec_channel ch)
{
	if (ch == EXEC_STDOUT)
		finish_output(arg);
}

/* It came to nothing, or was broken off. */
static void refuse(struct relay *r, const struct err *err)
{
	bool can_say = !r->guest_said && !r->shut && r->ops->on_refused;
	auto_free char *text = can_say ? r->ops->on_refused(r->arg, err) : NULL;
	if (!text || !send_client(r, text, strlen(text))) {
		end(r, true, true);
		return;
	}
	finish_output(r);
	if (!r->over)
		read_on(r);
}

static void on_end(void *arg, const struct exec_end *e)
{
	struct relay *r = arg;
	drop_stream(r);
	if (e->failed) {
		refuse(r, &e->err);
		return;
	}
	if (r->flushed)
		end_softly(r);
	else
		finish_output(r); /* on_shutdown goes on */
	if (!r->over)
		read_on(r);
}

/* ---- from the client ---- */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	(void)suggested;
	struct relay *r = h->data;
	*out = uv_buf_init(r->chunk, sizeof(r->chunk));
}

/* Give the guest what waits. Reading goes on only when nothing does any more. */
static void feed(struct relay *r)
{
	if (r->x && r->input.len > 0)
		buf_drop(&r->input, execution_write(r->x, r->input.p, r->input.len));
	if (r->input.len > 0)
		return;
	if (r->client_ended && r->x)
		execution_eof(r->x);
	else if (!r->client_ended)
		read_on(r);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
	struct relay *r = stream->data;
	if (n == UV_EOF) {
		r->client_ended = true;
		uv_read_stop(stream);
		if (r->x)
			feed(r);
		else
			end(r, false, true);
	} else if (n < 0) {
		end(r, true, true);
	} else if (n > 0 && r->x) {
		size_t taken = execution_write(r->x, b->base, (size_t)n);
		if (taken == (size_t)n)
			return;
		uv_read_stop(stream);
		buf_add(&r->input, b->base + taken, (size_t)n - taken);
		if (buf_failed(&r->input))
			end(r, true, true);
	}
}

static void read_on(struct relay *r)
{
	if (!r->client_ended && (!r->x || r->input.len == 0))
		uv_read_start((uv_stream_t *)&r->tcp, on_alloc, on_read); /* an error here comes to on_read */
}

static void on_writable(void *arg)
{
	feed(arg);
}

static const struct exec_ops exec_ops = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_writable = on_writable,
	.on_end = on_end,
};

/* ---- the start ---- */

static void on_refused(uv_timer_t *timer)
{
	struct relay *r = timer->data;
	refuse(r, &r->refusal);
}

static void dial(struct relay *r, struct sandbox *sb)
{
	if (sb->relay_count >= RELAYS_MAX)
		err_set(&r->refusal, ERR_LIMIT, "too many connections to sandbox '%s' (%d)", sb->row.id, RELAYS_MAX);
	else
		r->x = execution_dial(sb, r->port, &exec_ops, r, &r->refusal);
	if (!r->x) {
		uv_timer_start(&r->timer, on_refused, 0, 0);
		return;
	}
	r->sb = sb;
	sb->relay_count++;
	feed(r);
}

static void on_awake(void *arg, struct sandbox *sb, const struct err *err)
{
	struct relay *r = arg;
	if (!r->over && err)
		refuse(r, err);
	else if (!r->over)
		dial(r, sb);
	release(r);
}

/* Have the sandbox running, then dial. */
static void begin(struct relay *r, struct sandbox *sb)
{
	int rc = sandbox_wake(sb, on_awake, r, &r->refusal);
	if (rc == 0) {
		dial(r, sb);
	} else if (rc > 0) {
		r->handles++;
	} else {
		uv_timer_start(&r->timer, on_refused, 0, 0);
	}
}

struct relay *relay_start(
	struct sandbox *sb, uint16_t port, const struct relay_client *client, const struct relay_ops *ops, void *arg)
{
	struct relay *r = mem_zalloc(sizeof(*r));
	uv_loop_t *loop = sb->core->config.loop;
	r->port = port;
	r->ops = ops;
	r->arg = arg;
	r->handles = 2;
	buf_init(&r->input);
	buf_add(&r->input, client->first, client->n);
	uv_timer_init(loop, &r->timer);
	uv_tcp_init(loop, &r->tcp);
	r->tcp.data = r->timer.data = r;
	int rc = uv_tcp_open(&r->tcp, client->fd);
	if (rc < 0) {
		close(client->fd);
		err_sys(&r->refusal, -rc, "cannot use a connection");
		uv_timer_start(&r->timer, on_refused, 0, 0);
		return r;
	}
	uv_tcp_nodelay(&r->tcp, 1);
	uv_tcp_keepalive(&r->tcp, 1, KEEPALIVE_S);
	begin(r, sb);
	return r;
}
