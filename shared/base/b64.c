#include "shared/base/b64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void b64_encode(struct buf *out, const void *data, size_t n)
{
	const uint8_t *in = data;
	size_t need = (n + 2) / 3 * 4;
	char *p = n > BUF_MAX / 2 ? NULL : buf_reserve(out, need);
	if (!p) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < n; i += 3, p += 4) {
		uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0) | (i + 2 < n ? in[i + 2] : 0);
		p[0] = alphabet[v >> 18];
		p[1] = alphabet[v >> 12 & 63];
		p[2] = i + 1 < n ? alphabet[v >> 6 & 63] : '=';
		p[3] = i + 2 < n ? alphabet[v & 63] : '=';
	}
	if (need)
		buf_commit(out, need);
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int b64_decode(struct buf *out, const char *text, size_t n)
{
	if (n % 4 != 0)
		return -1;
	for (size_t i = 0; i < n; i += 4) {
		size_t pad = 0;
		if (i + 4 == n)
			pad = text[n - 1] != '=' ? 0 : text[n - 2] != '=' ? 1 : 2;
		uint32_t v = 0;
		for (size_t k = 0; k < 4; k++) {
			int d = k >= 4 - pad ? 0 : value_of(text[i + k]);
			if (d < 0)
				return -1;
			v = v << 6 | (uint32_t)d;
		}
		if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff)))
			return -1; /* bits that say nothing must be zero: one text per value */
		const uint8_t bytes[3] = { (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };
		buf_add(out, bytes, 3 - pad);
	}
	return 0;
}
