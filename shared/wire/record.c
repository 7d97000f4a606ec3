/* wire: records, the (tag, length, bytes) lists inside control frames. */
#include <string.h>

#include "shared/base/mem.h"
#include "shared/wire/wire.h"

#define LONG_LENGTH 0x80 /* in the tag byte: the length is a u32 */

void wire_rec_bytes(struct buf *out, enum wire_tag tag, const void *p, size_t n)
{
	uint8_t h[5] = { (uint8_t)tag, (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24) };
	size_t hn = 3;
	char *at;

	if (n > UINT16_MAX) {
		if (n > UINT32_MAX) {
			out->failed = true;
			return;
		}
		h[0] |= LONG_LENGTH;
		hn = 5;
	}
	at = buf_reserve(out, hn + n);
	if (!at)
		return;
	memcpy(at, h, hn);
	if (n)
		memcpy(at + hn, p, n);
	buf_commit(out, hn + n);
}

void wire_rec_u64(struct buf *out, enum wire_tag tag, uint64_t v)
{
	uint8_t b[8];

	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	wire_rec_bytes(out, tag, b, sizeof(b));
}

void wire_rec_str(struct buf *out, enum wire_tag tag, const char *s)
{
	if (s)
		wire_rec_bytes(out, tag, s, strlen(s));
}

int wire_rec_next(const uint8_t *rec, size_t n, size_t *at, struct wire_field *f)
{
	size_t left, head, len;
	const uint8_t *p;

	if (*at >= n)
		return *at == n ? 0 : -1;
	p = rec + *at;
	left = n - *at;
	head = p[0] & LONG_LENGTH ? 5 : 3;
	if (left < head)
		return -1;
	len = head == 5 ? wire_get_u32(p + 1) : (size_t)(p[1] | p[2] << 8);
	if (len > left - head)
		return -1;
	f->tag = (enum wire_tag)(p[0] & ~LONG_LENGTH);
	f->p = p + head;
	f->n = len;
	*at += head + len;
	return 1;
}

bool wire_rec_valid(const uint8_t *rec, size_t n)
{
	struct wire_field f;
	size_t at = 0;
	int r;

	do
		r = wire_rec_next(rec, n, &at, &f);
	while (r > 0);
	return r == 0;
}

int wire_rec_find(const uint8_t *rec, size_t n, enum wire_tag tag, struct wire_field *f)
{
	size_t at = 0;

	while (wire_rec_next(rec, n, &at, f) > 0)
		if (f->tag == tag)
			return 1;
	return 0;
}

uint64_t wire_rec_get_u64(const uint8_t *rec, size_t n, enum wire_tag tag, uint64_t def)
{
	struct wire_field f;
	uint64_t v = 0;

	if (!wire_rec_find(rec, n, tag, &f) || f.n != 8)
		return def;
	for (int i = 7; i >= 0; i--)
		v = v << 8 | f.p[i];
	return v;
}

char *wire_rec_get_str(const uint8_t *rec, size_t n, enum wire_tag tag)
{
	struct wire_field f;

	if (!wire_rec_find(rec, n, tag, &f) || memchr(f.p, 0, f.n))
		return NULL;
	return mem_strndup((const char *)f.p, f.n);
}
