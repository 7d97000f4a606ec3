#include "daemon/http/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"

#define STREAM_BLOCK ((size_t)32 << 10)
#define OUTQ_KEEP ((size_t)1 << 20)

void outq_drop(struct outq *q, size_t n)
{
	q->head += n;
	if (q->head >= q->b.len) {
		q->head = 0;
		if (q->b.cap > OUTQ_KEEP)
			buf_free(&q->b);
		else
			buf_clear(&q->b);
	} else if (q->head >= STREAM_BLOCK && q->head > q->b.len / 2) {
		buf_drop(&q->b, q->head);
		q->head = 0;
	}
}

void answer_free(struct answer *a)
{
	free(a->content_type);
	buf_free(&a->body);
	for (size_t i = 0; i < a->header_count; i++)
		free(a->headers[i]);
	free(a->headers);
}

/* ---- streams ---- */

static ssize_t take(struct http_req *r, char *out, size_t max)
{
	size_t n = outq_len(&r->out);
	if (n > max)
		n = max;
	memcpy(out, outq_data(&r->out), n);
	outq_drop(&r->out, n);
	if (r->drain_due && outq_len(&r->out) < HTTP_LOW) {
		r->drain_due = false;
		if (r->on_drain && !r->out_ended)
			r->on_drain(r);
	}
	return (ssize_t)n;
}

static ssize_t on_read(void *cls, uint64_t pos, char *out, size_t max)
{
	struct http_req *r = cls;
	if (r->dead || r->out_aborted)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (outq_len(&r->out) > 0)
		return take(r, out, max);
	if (r->out_ended) {
		bool complete = r->a.length < 0 || pos == (uint64_t)r->a.length;
		return complete ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
	}
	req_suspend(r);
	return r->dead ? MHD_CONTENT_READER_END_WITH_ERROR : 0;
}

void http_stream_begin(
	struct http_req *r, int status, const char *content_type, int64_t length, void (*on_drain)(struct http_req *r))
{
	if (r->a.set)
		return;
	r->a.set = true;
	r->a.stream = true;
	r->a.status = status;
	r->a.content_type = content_type ? mem_strdup(content_type) : NULL;
	r->a.length = length;
	r->on_drain = on_drain;
	req_answered(r);
}

size_t http_stream_write(struct http_req *r, const void *data, size_t n)
{
	if (!r->a.stream || r->dead || r->head || r->out_ended || r->out_aborted)
		return 0;
	buf_add(&r->out.b, data, n);
	if (buf_failed(&r->out.b)) {
		http_stream_abort(r);
		return 0;
	}
	size_t queued = outq_len(&r->out);
	if (queued > HTTP_LOW)
		r->drain_due = true;
	if (r->phase == REQ_ANSWERED)
		req_wake(r);
	return queued;
}

void http_stream_end(struct http_req *r)
{
	if (!r->a.stream)
		return;
	r->out_ended = true;
	if (r->phase == REQ_ANSWERED)
		req_wake(r);
}

void http_stream_abort(struct http_req *r)
{
	if (!r->a.stream || r->out_aborted)
		return;
	r->out_aborted = true;
	req_kill(r);
}

/* ---- answers ---- */

static struct MHD_Response *make_response(struct http_req *r)
{
	struct answer *a = &r->a;
	if (a->ws)
		return MHD_create_response_for_upgrade(ws_upgraded, r);
	if (a->take)
		return MHD_create_response_for_upgrade(take_upgraded, r);
	if (a->stream && r->head)
		r->must_close = a->length < 0; /* MHD would send the end of the chunks that HEAD has not */
	if (a->stream) {
		uint64_t size = a->length < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)a->length;
		return MHD_create_response_from_callback(size, STREAM_BLOCK, on_read, r, NULL);
	}
	if (a->body.len == 0)
		return MHD_create_response_from_buffer(0, buf_empty, MHD_RESPMEM_PERSISTENT);
	size_t n = 0;
	char *p = buf_take(&a->body, &n);
	return p ? MHD_create_response_from_buffer(n, p, MHD_RESPMEM_MUST_FREE) : NULL;
}

enum MHD_Result answer_queue(struct http_req *r)
{
	struct answer *a = &r->a;
	struct MHD_Response *resp = make_response(r);
	if (!resp)
		return MHD_NO;
	if (a->content_type)
		MHD_add_response_header(resp, "Content-Type", a->content_type);
	for (size_t i = 0; i + 1 < a->header_count; i += 2)
		MHD_add_response_header(resp, a->headers[i], a->headers[i + 1]);
	if (r->must_close)
		MHD_add_response_header(resp, "Connection", "close");
	/* a reader of a stream may stop for as long as he likes (a pager): the kernel tells when he is gone */
	if (a->stream)
		MHD_set_connection_option(r->conn, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
	r->phase = REQ_ANSWERED;
	enum MHD_Result rc = MHD_queue_response(r->conn, (unsigned)a->status, resp);
	MHD_destroy_response(resp);
	if (rc != MHD_YES)
		r->phase = REQ_FULL;
	return rc;
}

void answer_raw(struct http_req *r)
{
	struct answer *a = &r->a;
	auto_buf text = BUF_INIT;
	buf_fmt(&text, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %zu\r\n", a->status,
		MHD_get_reason_phrase_for((unsigned)a->status), a->body.len);
	if (a->content_type)
		buf_fmt(&text, "Content-Type: %s\r\n", a->content_type);
	for (size_t i = 0; i + 1 < a->header_count; i += 2)
		buf_fmt(&text, "%s: %s\r\n", a->headers[i], a->headers[i + 1]);
	buf_str(&text, "\r\n");
	buf_add(&text, a->body.p, a->body.len);
	r->raw_sent = true;
	int fd = req_socket(r);
	size_t sent = 0;
	while (!buf_failed(&text) && sent < text.len) {
		ssize_t n = send(fd, text.p + sent, text.len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	r->raw_ok = sent == text.len && !buf_failed(&text);
	shutdown(fd, SHUT_WR);
}

void http_reply(struct http_req *r, int status, const char *content_type, struct buf *body)
{
	if (r->a.set) {
		if (body)
			buf_free(body);
		return;
	}
	if (body && buf_failed(body)) {
		struct err e;
		err_clear(&e);
		err_set(&e, ERR_UNAVAILABLE, "no memory for the answer");
		buf_free(body);
		http_reply_err(r, &e);
		return;
	}
	r->a.set = true;
	r->a.status = status;
	if (body) {
		r->a.body = *body;
		buf_init(body);
	}
	if (content_type && r->a.body.len > 0)
		r->a.content_type = mem_strdup(content_type);
	req_answered(r);
}

void http_reply_json(struct http_req *r, int status, struct buf *json)
{
	http_reply(r, status, "application/json", json);
}

void http_reply_empty(struct http_req *r, int status)
{
	http_reply(r, status, NULL, NULL);
}

/* The methods in router_match's hint ("GET, POST") as an Allow header; HEAD comes with GET. */
static void add_allow(struct http_req *r, const char *hint)
{
	auto_buf allow = BUF_INIT;
	bool get = false, head = false;
	for (const char *p = hint; *p;) {
		size_t n = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
		if (n >= 3) {
			if (allow.len > 0)
				buf_str(&allow, ", ");
			buf_add(&allow, p, n);
			get |= n == 3 && memcmp(p, "GET", 3) == 0;
			head |= n == 4 && memcmp(p, "HEAD", 4) == 0;
		}
		p += n ? n : 1;
	}
	if (get && !head)
		buf_str(&allow, ", HEAD");
	http_add_header(r, "Allow", allow.p);
}

void http_reply_err(struct http_req *r, const struct err *e)
{
	reply_fault(r, NULL, e);
}

void reply_fault(struct http_req *r, const char *stage, const struct err *e)
{
	if (r->a.set)
		return;
	struct buf body = BUF_INIT;
	struct ct_words words = ct_fault(r->d->contract, stage, e, &body);
	if (e->code == ERR_UNAUTHORIZED)
		http_add_header(r, "WWW-Authenticate", "Bearer");
	if (e->code == ERR_METHOD)
		add_allow(r, e->hint);
	if (buf_failed(&body))
		buf_free(&body); /* the status alone still says it */
	http_reply(r, words.status, words.media, &body);
}

void http_add_header(struct http_req *r, const char *name, const char *value)
{
	if (r->a.set || strpbrk(value, "\r\n") || strpbrk(name, "\r\n:"))
		return;
	r->a.headers = mem_grow(r->a.headers, r->a.header_count + 2, sizeof(*r->a.headers));
	r->a.headers[r->a.header_count++] = mem_strdup(name);
	r->a.headers[r->a.header_count++] = mem_strdup(value);
}
