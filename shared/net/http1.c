#include "shared/net/http1.h"

#include <string.h>
#include <strings.h>

#include "shared/base/mem.h"

#define EXTRA_MAX 65536
#define CHUNK_DIGITS_MAX 15

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_PROTOCOL, "bad answer: %s", what);
}

static bool is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

struct span {
	const char *p;
	size_t n;
};

static bool span_is(struct span s, const char *text)
{
	return s.n == strlen(text) && strncasecmp(s.p, text, s.n) == 0;
}

static int copy_span(struct span s, char *out, size_t size, struct err *err, const char *what)
{
	if (s.n >= size)
		return bad(err, what);
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return 0;
}

static int set_length(struct http1_head *h, struct span v, struct err *err)
{
	int64_t length = 0;
	if (v.n == 0 || v.n > 18)
		return bad(err, "content-length");
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return bad(err, "content-length");
		length = length * 10 + (v.p[i] - '0');
	}
	if (h->length >= 0 && h->length != length)
		return bad(err, "two content-lengths");
	h->length = length;
	return 0;
}

static int set_encoding(struct http1_head *h, struct span v, struct err *err)
{
	if (h->chunked || !span_is(v, "chunked"))
		return bad(err, "transfer-encoding");
	h->chunked = true;
	return 0;
}

static int set_connection(struct http1_head *h, struct span v, struct err *err)
{
	(void)err;
	if (span_is(v, "close"))
		h->close = true;
	return 0;
}

static int set_accept(struct http1_head *h, struct span v, struct err *err)
{
	return copy_span(v, h->accept, sizeof(h->accept), err, "sec-websocket-accept");
}

static int set_upgrade(struct http1_head *h, struct span v, struct err *err)
{
	/* one that is too long is nobody's whom we would ask for */
	return v.n < sizeof(h->upgrade) ? copy_span(v, h->upgrade, sizeof(h->upgrade), err, "upgrade") : 0;
}

static int set_type(struct http1_head *h, struct span v, struct err *err)
{
	if (copy_span(v, h->media, sizeof(h->media), err, "content-type"))
		return -1;
	const char *end = memchr(v.p, ';', v.n);
	if (end)
		v.n = (size_t)(end - v.p);
	if (copy_span(v, h->type, sizeof(h->type), err, "content-type"))
		return -1;
	for (char *c = h->type; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 32) : *c;
	return 0;
}

static int set_location(struct http1_head *h, struct span v, struct err *err)
{
	/* one that is too long is not followed, and the answer is good all the same */
	return v.n < sizeof(h->location) ? copy_span(v, h->location, sizeof(h->location), err, "location") : 0;
}

static const struct {
	const char *name;
	int (*set)(struct http1_head *h, struct span value, struct err *err);
} fields[] = {
	{ "content-length", set_length },
	{ "transfer-encoding", set_encoding },
	{ "connection", set_connection },
	{ "sec-websocket-accept", set_accept },
	{ "upgrade", set_upgrade },
	{ "content-type", set_type },
	{ "location", set_location },
};

static int parse_field(struct http1_head *h, struct span line, struct err *err)
{
	size_t n = 0;
	while (n < line.n && is_token(line.p[n]))
		n++;
	if (n == 0 || n == line.n || line.p[n] != ':')
		return bad(err, "header line");
	struct span name = { line.p, n };
	struct span v = { line.p + n + 1, line.n - n - 1 };
	while (v.n && (*v.p == ' ' || *v.p == '\t'))
		v.p++, v.n--;
	while (v.n && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t'))
		v.n--;
	for (size_t i = 0; i < v.n; i++)
		if (((unsigned char)v.p[i] < 32 && v.p[i] != '\t') || v.p[i] == 127)
			return bad(err, "control character in a header");
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (span_is(name, fields[i].name))
			return fields[i].set(h, v, err);
	return 0;
}

static int parse_status(struct http1_head *h, struct span line, struct err *err)
{
	if (line.n < 12 || memcmp(line.p, "HTTP/1.", 7) != 0 || (line.p[7] != '0' && line.p[7] != '1') || line.p[8] != ' ')
		return bad(err, "this is not HTTP/1.1");
	for (int i = 9; i < 12; i++) {
		if (line.p[i] < '0' || line.p[i] > '9')
			return bad(err, "status");
		h->status = h->status * 10 + (line.p[i] - '0');
	}
	if (h->status < 100 || h->status > 599 || (line.n > 12 && line.p[12] != ' '))
		return bad(err, "status");
	h->close = line.p[7] == '0';
	return 0;
}

/* Size of the head with its empty line, 0 when that has not come yet. */
static size_t head_size(const char *p, size_t n)
{
	const char *end = memmem(p, n, "\r\n\r\n", 4);
	return end ? (size_t)(end - p) + 4 : 0;
}

ssize_t http1_head(const char *p, size_t n, struct http1_head *out, struct err *err)
{
	*out = (struct http1_head){ .length = -1 };
	size_t size = head_size(p, n < HTTP1_HEAD_MAX ? n : HTTP1_HEAD_MAX);
	if (size == 0)
		return n >= HTTP1_HEAD_MAX ? bad(err, "headers are too long") : 0;
	const char *at = p, *end = p + size - 2;
	for (bool first = true; at < end; first = false) {
		const char *nl = memmem(at, (size_t)(end - at), "\r\n", 2);
		if (!nl)
			return bad(err, "header line");
		struct span line = { at, (size_t)(nl - at) };
		if (memchr(line.p, '\n', line.n) || memchr(line.p, '\0', line.n))
			return bad(err, "header line");
		if (first ? parse_status(out, line, err) : parse_field(out, line, err))
			return -1;
		at = nl + 2;
	}
	if (out->chunked && out->length >= 0)
		return bad(err, "both content-length and transfer-encoding");
	return (ssize_t)size;
}

void http1_body_init(struct http1_body *b, const struct http1_head *head)
{
	*b = (struct http1_body){ .state = HTTP1_CLOSE };
	if (head->status < 200 || head->status == 204 || head->status == 304) {
		b->state = HTTP1_DONE;
	} else if (head->chunked) {
		b->state = HTTP1_CHUNK_SIZE;
	} else if (head->length >= 0) {
		b->left = (uint64_t)head->length;
		b->state = b->left ? HTTP1_LENGTH : HTTP1_DONE;
	}
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int size_byte(struct http1_body *b, char c, struct err *err)
{
	int v = hex_value(c);
	if (v >= 0) {
		if (++b->digits > CHUNK_DIGITS_MAX)
			return bad(err, "chunk size");
		b->left = b->left * 16 + (unsigned)v;
		return 0;
	}
	if (b->digits == 0)
		return bad(err, "chunk size");
	if (c == '\r')
		b->state = HTTP1_CHUNK_LF;
	else if (c == ';' || c == ' ' || c == '\t')
		b->state = HTTP1_CHUNK_EXT;
	else
		return bad(err, "chunk size");
	return 0;
}

/* One byte that is not data of the chunked framing. */
static int chunk_byte(struct http1_body *b, char c, struct err *err)
{
	switch (b->state) {
	case HTTP1_CHUNK_SIZE:
		return size_byte(b, c, err);
	case HTTP1_CHUNK_EXT:
	case HTTP1_TRAILER_LINE:
		if (c == '\n' || ++b->extra > EXTRA_MAX)
			return bad(err, "chunk extension or trailer");
		if (c == '\r')
			b->state = b->state == HTTP1_CHUNK_EXT ? HTTP1_CHUNK_LF : HTTP1_TRAILER_LF;
		return 0;
	case HTTP1_TRAILER:
		b->state = c == '\r' ? HTTP1_END_LF : HTTP1_TRAILER_LINE;
		return c == '\n' ? bad(err, "trailer") : 0;
	case HTTP1_DATA_CR:
		b->state = HTTP1_DATA_LF;
		return c == '\r' ? 0 : bad(err, "chunk end");
	default:
		break;
	}
	if (c != '\n')
		return bad(err, "line end");
	if (b->state == HTTP1_CHUNK_LF)
		b->state = b->left ? HTTP1_CHUNK_DATA : HTTP1_TRAILER;
	else if (b->state == HTTP1_DATA_LF)
		b->state = HTTP1_CHUNK_SIZE, b->digits = 0;
	else
		b->state = b->state == HTTP1_END_LF ? HTTP1_DONE : HTTP1_TRAILER;
	return 0;
}

int http1_body(struct http1_body *b, const char *in, size_t n, struct http1_piece *piece, struct err *err)
{
	*piece = (struct http1_piece){ .data = in };
	while (piece->used < n && b->state != HTTP1_DONE) {
		if (b->state == HTTP1_CLOSE || b->state == HTTP1_LENGTH || b->state == HTTP1_CHUNK_DATA) {
			piece->data = in + piece->used;
			piece->len = n - piece->used;
			if (b->state != HTTP1_CLOSE) {
				if (piece->len > b->left)
					piece->len = (size_t)b->left;
				b->left -= piece->len;
				if (b->left == 0)
					b->state = b->state == HTTP1_LENGTH ? HTTP1_DONE : HTTP1_DATA_CR;
			}
			piece->used += piece->len;
			return 0;
		}
		if (chunk_byte(b, in[piece->used++], err))
			return -1;
	}
	return 0;
}

int http1_body_eof(struct http1_body *b, struct err *err)
{
	if (b->state != HTTP1_DONE && b->state != HTTP1_CLOSE)
		return err_set(err, ERR_PROTOCOL, "the connection broke in the middle of an answer");
	b->state = HTTP1_DONE;
	return 0;
}
