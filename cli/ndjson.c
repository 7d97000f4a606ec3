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

int ndjson_call(struct client *c, const struct call *call, line_fn *each, void *arg, struct err *err)
{
	return client_begin(c, call, err) ? -1 : ndjson_answer(c, each, arg, err);
}

int ndjson_answer(struct client *c, line_fn *each, void *arg, struct err *err)
{
	auto_buf text = BUF_INIT;
	if (client_head(c, err))
		return -1;
	const char *data;
	size_t n;
	int rc;
	while ((rc = client_read(c, &data, &n, err)) == 1) {
		buf_add(&text, data, n);
		rc = lines(&text, each, arg, err);
		if (rc)
			return rc;
	}
	return rc;
}
