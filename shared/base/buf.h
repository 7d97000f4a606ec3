/*
 * buf: the one growing byte buffer.
 *
 * Invariants: p is never NULL and p[len] is always '\0' (so p is a C string when the content has no NUL).
 * Growth is overflow checked and bounded by BUF_MAX. When memory cannot be had the buffer turns `failed`: later
 * appends do nothing, so a sequence of appends needs only one check at its end (buf_failed).
 */
#ifndef SBX_BASE_BUF_H
#define SBX_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *p;
	size_t len, cap;
	bool failed;
};

#define BUF_MAX ((size_t)1 << 30)

extern char buf_empty[];
#define BUF_INIT                                                                                                                   \
	{                                                                                                                          \
		.p = buf_empty                                                                                                     \
	}
#define auto_buf __attribute__((cleanup(buf_free))) struct buf

void buf_init(struct buf *b);
void buf_free(struct buf *b);  /* releases and leaves an empty, usable buffer */
void buf_clear(struct buf *b); /* len = 0, keeps the memory, forgets a failure */
bool buf_failed(const struct buf *b);

/* Room for n more bytes at p + len. Returns NULL (and marks failed) without memory; commit with buf_commit. */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

void buf_add(struct buf *b, const void *data, size_t n);
void buf_str(struct buf *b, const char *s);
void buf_ch(struct buf *b, char c);
void buf_fmt(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vfmt(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_hex(struct buf *b, const void *data, size_t n);
/* Drop n bytes from the front (memmove). n is clamped to len. */
void buf_drop(struct buf *b, size_t n);
/* Hand over the bytes; the caller frees; the buffer is empty afterwards. NULL when it had failed. */
char *buf_take(struct buf *b, size_t *len);

/* s quoted for a POSIX shell ('...'), and s percent-encoded for one URL path segment or query value. */
void buf_shell(struct buf *b, const char *s);
void buf_url(struct buf *b, const char *s);

#endif
