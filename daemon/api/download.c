#include "daemon/api/download.h"

#include <stdlib.h>

#include "shared/base/mem.h"

struct download {
	struct http_req *req;
	struct execution *x;
	const char *media_type;
	void (*on_failed)(struct http_req *r, const struct err *err);
	bool begun; /* the status is sent */
	size_t unconsumed;
};

static void on_over(struct http_req *r, bool delivered)
{
	struct download *d = http_user(r);
	(void)delivered;
	execution_close(d->x);
	free(d);
}

static void on_drain(struct http_req *r)
{
	struct download *d = http_user(r);
	execution_consumed(d->x, EXEC_STDOUT, d->unconsumed);
	d->unconsumed = 0;
}

/* The status is decided by the first byte or the end, whichever comes first. */
static void begin(struct download *d)
{
	if (d->begun)
		return;
	d->begun = true;
	http_stream_begin(d->req, 200, d->media_type, -1, on_drain);
}

static void on_data(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	struct download *d = arg;
	if (ch != EXEC_STDOUT) {
		execution_consumed(d->x, ch, n);
		return;
	}
	begin(d);
	if (http_stream_write(d->req, data, n) > HTTP_HIGH)
		d->unconsumed += n;
	else
		execution_consumed(d->x, ch, n);
}

static void on_end(void *arg, const struct exec_end *end)
{
	struct download *d = arg;
	if (!end->failed) {
		begin(d);
		http_stream_end(d->req);
	} else if (d->begun) {
		http_stream_abort(d->req);
	} else {
		d->on_failed(d->req, &end->err);
	}
}

void download_start(struct http_req *r, struct sandbox *sb, const struct file_spec *spec, const char *media_type,
	void (*on_failed)(struct http_req *r, const struct err *err))
{
	static const struct exec_ops ops = { .on_data = on_data, .on_end = on_end };
	struct err err = ERR_INIT;
	struct download *d = mem_zalloc(sizeof(*d));
	*d = (struct download){ .req = r, .media_type = media_type, .on_failed = on_failed };
	d->x = execution_file(sb, spec, &ops, d, &err);
	if (!d->x) {
		http_reply_err(r, &err);
		free(d);
		return;
	}
	http_set_user(r, d);
	http_on_done(r, on_over);
	execution_eof(d->x);
}
