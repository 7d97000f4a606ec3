/* wire: frames. The records are in record.c. */
#include "shared/wire/wire.h"

#include <string.h>

/* A HELLO is two short fields. While lost only such a short frame is believed, so that stray bytes which look like
 * its header cannot make us wait for, or swallow, much of what follows. */
#define HELLO_MAX 128

static void put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

uint32_t wire_get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void fill_header(uint8_t *h, enum wire_type type, uint8_t channel, uint32_t stream, size_t n)
{
	h[0] = WIRE_MAGIC;
	h[1] = (uint8_t)type;
	h[2] = channel;
	h[3] = 0;
	put_u32(h + 4, stream);
	put_u32(h + 8, (uint32_t)n);
}

void wire_put_header(struct buf *out, enum wire_type type, uint8_t channel, uint32_t stream, size_t n)
{
	uint8_t h[WIRE_HEADER];

	if (n > WIRE_PAYLOAD_MAX) {
		out->failed = true;
		return;
	}
	fill_header(h, type, channel, stream, n);
	buf_add(out, h, sizeof(h));
}

void wire_put_trailer(struct buf *out)
{
	buf_ch(out, (char)WIRE_TRAILER);
}

void wire_put(struct buf *out, enum wire_type type, uint8_t channel, uint32_t stream, const void *payload, size_t n)
{
	char *p;

	if (n > WIRE_PAYLOAD_MAX) {
		out->failed = true;
		return;
	}
	p = buf_reserve(out, WIRE_HEADER + n + 1);
	if (!p)
		return;
	fill_header((uint8_t *)p, type, channel, stream, n);
	if (n)
		memcpy(p + WIRE_HEADER, payload, n);
	p[WIRE_HEADER + n] = (char)WIRE_TRAILER;
	buf_commit(out, WIRE_HEADER + n + 1);
}

void wire_put_credit(struct buf *out, uint32_t stream, uint8_t channel, uint32_t bytes)
{
	uint8_t v[4];

	put_u32(v, bytes);
	wire_put(out, WIRE_CREDIT, channel, stream, v, sizeof(v));
}

void wire_put_signal(struct buf *out, uint32_t stream, int signo)
{
	uint8_t v = (uint8_t)signo;

	wire_put(out, WIRE_SIGNAL, 0, stream, &v, 1);
}

void wire_put_resize(struct buf *out, uint32_t stream, unsigned cols, unsigned rows)
{
	uint8_t v[4] = { (uint8_t)cols, (uint8_t)(cols >> 8), (uint8_t)rows, (uint8_t)(rows >> 8) };

	wire_put(out, WIRE_RESIZE, 0, stream, v, sizeof(v));
}

void wire_rx_init(struct wire_rx *rx)
{
	buf_init(&rx->in);
	rx->used = 0;
	rx->lost = false;
}

void wire_rx_free(struct wire_rx *rx)
{
	buf_free(&rx->in);
	rx->used = 0;
	rx->lost = false;
}

char *wire_rx_space(struct wire_rx *rx, size_t want)
{
	struct buf *b = &rx->in;

	if (b->failed)
		b->failed = false; /* the bytes that are there are still good */
	if (rx->used == b->len) {
		b->len = 0;
		rx->used = 0;
	} else if (rx->used && (b->cap <= b->len || b->cap - b->len - 1 < want)) {
		/* less than one frame is left when the caller takes all frames between reads: a short move */
		buf_drop(b, rx->used);
		rx->used = 0;
	}
	return buf_reserve(b, want);
}

void wire_rx_fed(struct wire_rx *rx, size_t n)
{
	buf_commit(&rx->in, n);
}

void wire_rx_lose(struct wire_rx *rx)
{
	rx->lost = true;
}

/* Fill f from the header at p. False when it cannot be one of ours. */
static bool parse_header(const uint8_t *p, struct wire_frame *f)
{
	f->type = p[1];
	f->channel = p[2];
	f->stream = wire_get_u32(p + 4);
	f->length = wire_get_u32(p + 8);
	f->payload = p + WIRE_HEADER;
	return p[0] == WIRE_MAGIC && f->type > 0 && f->type < WIRE_TYPE_END && f->channel < WIRE_CHANNELS && p[3] == 0 &&
		f->length <= WIRE_PAYLOAD_MAX;
}

/* Skip to the next well-formed HELLO. */
static int find_hello(struct wire_rx *rx, struct wire_frame *f)
{
	const uint8_t *start = (const uint8_t *)rx->in.p, *end = start + rx->in.len, *p = start + rx->used;
	struct wire_field nonce;

	for (; (p = memchr(p, WIRE_MAGIC, (size_t)(end - p))); p++) {
		size_t have = (size_t)(end - p);

		rx->used = (size_t)(p - start);
		if (have < WIRE_HEADER) {
			if (have > 1 && p[1] != WIRE_HELLO)
				continue;
			return 0;
		}
		if (!parse_header(p, f) || f->type != WIRE_HELLO || f->channel || f->stream || f->length > HELLO_MAX)
			continue;
		if (have < WIRE_HEADER + f->length + 1)
			return 0;
		if (f->payload[f->length] != WIRE_TRAILER || !wire_rec_find(f->payload, f->length, WT_NONCE, &nonce) ||
			nonce.n != WIRE_NONCE)
			continue;
		rx->used += WIRE_HEADER + f->length + 1;
		rx->lost = false;
		return 1;
	}
	rx->used = rx->in.len;
	return 0;
}

int wire_rx_next(struct wire_rx *rx, struct wire_frame *f)
{
	while (!rx->lost) {
		const uint8_t *p = (const uint8_t *)rx->in.p + rx->used;
		size_t have = rx->in.len - rx->used;

		if (!have || (have < WIRE_HEADER && p[0] == WIRE_MAGIC))
			return 0;
		if (have < WIRE_HEADER || !parse_header(p, f)) {
			rx->lost = true;
			break;
		}
		if (have < WIRE_HEADER + (size_t)f->length + 1)
			return 0;
		rx->used += WIRE_HEADER + (size_t)f->length + 1;
		if (f->payload[f->length] == WIRE_TRAILER)
			return 1;
		/* Whatever it carried is dropped with it: a payload must not be searched for a HELLO. */
		rx->lost = true;
	}
	return find_hello(rx, f);
}
