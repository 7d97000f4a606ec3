#include "shared/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shared by all empty buffers; never written but with '\0' (p[len] of an empty buffer). */
char buf_empty[1];

void buf_init(struct buf *b)
{
	*b = (struct buf)BUF_INIT;
}

void buf_free(struct buf *b)
{
	if (b->cap)
		free(b->p);
	buf_init(b);
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->cap)
		b->p[0] = '\0';
}

bool buf_failed(const struct buf *b)
{
	return b->failed;
}

char *buf_reserve(struct buf *b, size_t n)
{
	if (b->failed)
		return NULL;
	if (n > BUF_MAX - 1 || b->len > BUF_MAX - 1 - n) {
		b->failed = true;
		return NULL;
	}
	size_t need = b->len + n + 1;
	if (need > b->cap) {
		size_t cap = b->cap ? b->cap : 64;
		while (cap < need)
			cap *= 2;
		char *p = realloc(b->cap ? b->p : NULL, cap);
		if (!p) {
			b->failed = true;
			return NULL;
		}
		b->p = p;
		b->cap = cap;
		b->p[b->len] = '\0';
	}
	return b->p + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
	b->len += n;
	b->p[b->len] = '\0';
}

void buf_add(struct buf *b, const void *data, size_t n)
{
	if (n == 0)
		return;
	char *p = buf_reserve(b, n);
	if (!p)
		return;
	memcpy(p, data, n);
	buf_commit(b, n);
}

void buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_ch(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_vfmt(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	char small[256];
	int n = vsnprintf(small, sizeof(small), fmt, ap);
	if (n < 0) {
		b->failed = true;
	} else if ((size_t)n < sizeof(small)) {
		buf_add(b, small, (size_t)n);
	} else {
		char *p = buf_reserve(b, (size_t)n);
		if (p) {
			vsnprintf(p, (size_t)n + 1, fmt, again);
			buf_commit(b, (size_t)n);
		}
	}
	va_end(again);
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	buf_vfmt(b, fmt, ap);
	va_end(ap);
}

void buf_hex(struct buf *b, const void *data, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *in = data;
	char *p = n > BUF_MAX / 2 ? NULL : buf_reserve(b, 2 * n);
	if (!p) {
		b->failed = true;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		p[2 * i] = digits[in[i] >> 4];
		p[2 * i + 1] = digits[in[i] & 15];
	}
	if (n)
		buf_commit(b, 2 * n);
}

void buf_drop(struct buf *b, size_t n)
{
	if (n >= b->len) {
		b->len = 0;
		if (b->cap)
			b->p[0] = '\0';
		return;
	}
	memmove(b->p, b->p + n, b->len - n + 1);
	b->len -= n;
}

char *buf_take(struct buf *b, size_t *len)
{
	if (b->failed || (!b->cap && !buf_reserve(b, 0))) {
		buf_free(b);
		return NULL;
	}
	char *p = b->p;
	if (len)
		*len = b->len;
	buf_init(b);
	return p;
}

void buf_shell(struct buf *b, const char *s)
{
	buf_ch(b, '\'');
	for (; *s; s++) {
		if (*s == '\'')
			buf_str(b, "'\\''");
		else
			buf_ch(b, *s);
	}
	buf_ch(b, '\'');
}

void buf_url(struct buf *b, const char *s)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	for (; *s; s++) {
		if (strchr(plain, *s))
			buf_ch(b, *s);
		else
			buf_fmt(b, "%%%02X", (unsigned char)*s);
	}
}
