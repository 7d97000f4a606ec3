/*
 * http1: the reading half of a strict HTTP/1.1 client, on memory only: response heads, and bodies by length, in chunks or
 * to the end of the connection. The peer may be hostile: heads are bounded, and anything odd is refused with PROTOCOL.
 */
#ifndef SBX_NET_HTTP1_H
#define SBX_NET_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/base/err.h"

#define HTTP1_HEAD_MAX ((size_t)64 * 1024)

struct http1_head {
	int status;
	bool chunked;
	bool close;	     /* the connection ends after this answer */
	int64_t length;	     /* Content-Length, -1 when absent */
	char accept[32];     /* Sec-WebSocket-Accept, "" when absent */
	char upgrade[64];    /* Upgrade, "" when absent */
	char media[256];     /* Content-Type as it came, "" when absent */
	char type[64];	     /* the same without parameters in lower case */
	char location[2048]; /* of a redirection, "" when absent */
};

/* Read a head from p. Returns its size, 0 when more bytes are needed, -1 with err. */
ssize_t http1_head(const char *p, size_t n, struct http1_head *out, struct err *err);

enum http1_state {
	HTTP1_LENGTH,
	HTTP1_CLOSE,
	HTTP1_CHUNK_SIZE,
	HTTP1_CHUNK_EXT,
	HTTP1_CHUNK_LF,
	HTTP1_CHUNK_DATA,
	HTTP1_DATA_CR,
	HTTP1_DATA_LF,
	HTTP1_TRAILER,
	HTTP1_TRAILER_LINE,
	HTTP1_TRAILER_LF,
	HTTP1_END_LF,
	HTTP1_DONE,
};

struct http1_body {
	enum http1_state state;
	uint64_t left;	 /* of this chunk, or of the whole body */
	unsigned digits; /* of the chunk size so far */
	size_t extra;	 /* bytes of extensions and trailers, bounded */
};

/* A run of body bytes inside the input. */
struct http1_piece {
	const char *data;
	size_t len;
	size_t used; /* input bytes that are done with, data included */
};

void http1_body_init(struct http1_body *b, const struct http1_head *head);
/* Take input until a run of data or its end. 0 (piece filled; state HTTP1_DONE when the body is over), -1 with err. */
int http1_body(struct http1_body *b, const char *in, size_t n, struct http1_piece *piece, struct err *err);
/* The connection ended: 0 when that ends the body properly, -1 with err when the body is cut. */
int http1_body_eof(struct http1_body *b, struct err *err);

#endif
