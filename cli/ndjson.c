#include "cli/ndjson.h"

#include <string.h>

#define LINE_MAX_BYTES ((size_t)1 << 20)

typedef int line_fn(void *arg, const js *line, struct err *err);

/* Handle the whole lines at the front of text. */
static int lines(struct buf *text, line_fn *each, void *arg, struct err *err)
{
	const char *nl;
	while ((nl = memchr(text->p, '\n', text->len))) {
		size_t n = (size_t)(nl - text->p);
		auto_js *line = js_parse(text->p, n, JS_LIMITS_DEFAULT, err);
		if (!line)
			return err_prefix(err, "the daemon's answer");
		buf_drop(text, n + 1);
		int rc = each(arg, line, err);
		if (rc)
			return rc;
	}
	if (text->len > LINE_MAX_BYTES || buf_failed(text))
		return err_set(err, ERR_PROTOCOL, "the daemon's answer has too long a line");
	return 0;
}

int ndjson_call_waiting(struct client *c, const struct call *call, const struct ndjson_ops *ops, void *arg, struct err *err)
{
	auto_buf text = BUF_INIT;
	if (client_begin(c, call, err) || client_head(c, err))
		return -1;
	const char *data;
	size_t n;
	int rc;
	for (;;) {
		/* what is in memory already must not wait for the socket */
		rc = ops->wait && c->rx_off == c->rx_len ? ops->wait(arg, c, err) : 0;
		if (rc)
			return rc;
		rc = client_read(c, &data, &n, err);
		if (rc != 1)
			return rc;
		buf_add(&text, data, n);
		rc = lines(&text, ops->each, arg, err);
		if (rc)
			return rc;
	}
}

int ndjson_call(struct client *c, const struct call *call, line_fn *each, void *arg, struct err *err)
{
	const struct ndjson_ops ops = { .each = each };
	return ndjson_call_waiting(c, call, &ops, arg, err);
}
