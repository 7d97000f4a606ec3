/* link: shared/net/http1.c */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "shared/net/http1.h"

/* An answer as a client would read it: head, then the body in pieces whose size the first byte chooses. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	size_t step = data[0] % 64 + 1;
	const char *p = (const char *)data + 1;
	size_t n = size - 1;
	struct http1_head head;
	struct err err = ERR_INIT;
	ssize_t used = http1_head(p, n, &head, &err);
	if (used <= 0)
		return 0;
	if ((size_t)used > n || head.status < 100 || head.status > 599)
		abort();
	struct http1_body body;
	http1_body_init(&body, &head);
	for (size_t at = (size_t)used; at < n && body.state != HTTP1_DONE;) {
		struct http1_piece piece;
		size_t len = n - at < step ? n - at : step;
		if (http1_body(&body, p + at, len, &piece, &err))
			return 0;
		if (piece.used == 0 || piece.used > len ||
			(piece.len && (piece.data < p + at || piece.data + piece.len > p + at + len)))
			abort();
		at += piece.used;
	}
	(void)http1_body_eof(&body, &err);
	return 0;
}
