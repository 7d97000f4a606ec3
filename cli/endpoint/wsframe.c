#include "cli/endpoint/wsframe.h"

#include <string.h>

#include "cli/endpoint/sha1.h"
#include "shared/base/b64.h"
#include "shared/base/util.h"

#define FIN 0x80
#define RESERVED 0x70
#define MASKED 0x80
#define CONTROL 0x08

struct frame {
	bool fin;
	enum ws_op op;
	size_t head, len;
};

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_PROTOCOL, "bad websocket frame: %s", what);
}

/* 1 header read, 0 more bytes are needed (*need), -1. */
static int read_header(const uint8_t *p, size_t n, struct frame *f, size_t *need, struct err *err)
{
	*need = 2;
	if (n < 2)
		return 0;
	f->fin = p[0] & FIN;
	f->op = (enum ws_op)(p[0] & 15);
	uint64_t len = p[1] & 127;
	size_t extra = len == 126 ? 2 : len == 127 ? 8 : 0;
	if (p[0] & RESERVED)
		return bad(err, "reserved bits");
	if (p[1] & MASKED)
		return bad(err, "masked by the server");
	if ((f->op > WS_BINARY && f->op < WS_CLOSE) || f->op > WS_PONG)
		return bad(err, "unknown kind");
	if ((f->op & CONTROL) && (extra || !f->fin))
		return bad(err, "control frame");
	f->head = *need = 2 + extra;
	if (n < f->head)
		return 0;
	if (extra)
		len = 0;
	for (size_t i = 0; i < extra; i++)
		len = len << 8 | p[2 + i];
	if (len > WS_MESSAGE_MAX)
		return bad(err, "too long");
	f->len = (size_t)len;
	*need = f->head + f->len;
	return n >= *need;
}

/* A whole data frame: 1 when it ends a message. */
static int data_frame(struct ws_reader *r, const struct frame *f, uint8_t *payload, struct ws_msg *msg, struct err *err)
{
	if ((f->op == WS_CONT) != r->open)
		return bad(err, "fragments out of order");
	if (!r->open && f->fin) {
		*msg = (struct ws_msg){ .op = f->op, .data = payload, .len = f->len };
		return 1;
	}
	if (!r->open)
		r->op = f->op;
	r->open = !f->fin;
	if (r->part.len + f->len > WS_MESSAGE_MAX)
		return bad(err, "too long");
	buf_add(&r->part, payload, f->len);
	if (buf_failed(&r->part))
		return err_set(err, ERR_LIMIT, "no memory for a message");
	if (!f->fin)
		return 0;
	*msg = (struct ws_msg){ .op = r->op, .data = (uint8_t *)r->part.p, .len = r->part.len };
	r->part_done = true;
	return 1;
}

int ws_read(struct ws_reader *r, struct ws_input *input, struct ws_msg *msg, struct err *err)
{
	input->used = 0;
	if (r->part_done) {
		buf_clear(&r->part);
		r->part_done = false;
	}
	for (;;) {
		struct frame f = { 0 };
		uint8_t *p = input->in + input->used;
		int rc = read_header(p, input->n - input->used, &f, &input->need, err);
		if (rc <= 0)
			return rc;
		input->used += f.head + f.len;
		if (f.op & CONTROL) {
			*msg = (struct ws_msg){ .op = f.op, .data = p + f.head, .len = f.len };
			return 1;
		}
		rc = data_frame(r, &f, p + f.head, msg, err);
		if (rc)
			return rc;
	}
}

void ws_reader_free(struct ws_reader *r)
{
	buf_free(&r->part);
}

/* XOR with the mask, which is at byte `at` of its cycle; eight bytes a step. */
static void mask_copy(uint8_t *out, const uint8_t *in, size_t n, const uint8_t key[4], size_t at)
{
	uint8_t cycle[8];
	for (size_t i = 0; i < 8; i++)
		cycle[i] = key[(at + i) & 3];
	uint64_t k;
	memcpy(&k, cycle, 8);
	size_t i = 0;
	for (; i + 8 <= n; i += 8) {
		uint64_t v;
		memcpy(&v, in + i, 8);
		v ^= k;
		memcpy(out + i, &v, 8);
	}
	for (; i < n; i++)
		out[i] = in[i] ^ cycle[i & 7];
}

void ws_write(struct buf *out, enum ws_op op, struct ws_piece prefix, struct ws_piece data)
{
	size_t len = prefix.n + data.n;
	uint8_t *p = (uint8_t *)buf_reserve(out, len + 14);
	if (!p)
		return;
	size_t at = 0;
	p[at++] = (uint8_t)(FIN | op);
	if (len < 126) {
		p[at++] = (uint8_t)(MASKED | len);
	} else {
		size_t bytes = len < 65536 ? 2 : 8;
		p[at++] = bytes == 2 ? MASKED | 126 : MASKED | 127;
		for (size_t i = 0; i < bytes; i++)
			p[at++] = (uint8_t)((uint64_t)len >> (8 * (bytes - 1 - i)));
	}
	uint8_t key[4];
	rand_bytes(key, sizeof(key));
	memcpy(p + at, key, sizeof(key));
	at += sizeof(key);
	mask_copy(p + at, prefix.p, prefix.n, key, 0);
	mask_copy(p + at + prefix.n, data.p, data.n, key, prefix.n);
	buf_commit(out, at + len);
}

void ws_accept(const char *key, char out[WS_ACCEPT_LEN])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	char text[128];
	size_t n = strnlen(key, 64);
	memcpy(text, key, n);
	memcpy(text + n, guid, sizeof(guid) - 1);
	uint8_t digest[SHA1_LEN];
	sha1(text, n + sizeof(guid) - 1, digest);
	auto_buf encoded = BUF_INIT;
	b64_encode(&encoded, digest, SHA1_LEN);
	size_t len = encoded.len < WS_ACCEPT_LEN ? encoded.len : WS_ACCEPT_LEN - 1;
	memcpy(out, encoded.p, len);
	out[len] = '\0';
}
