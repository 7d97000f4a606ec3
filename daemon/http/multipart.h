/*
 * multipart: bodies of multipart/form-data (RFC 7578, RFC 2046 5.1), parsed as they come, in constant memory.
 *
 * Call multipart_init with the request's Content-Type, multipart_feed with the body as it arrives, multipart_finish after its last
 * byte. A part is told by on_part, its bytes by any number of on_data, its end by on_part_end; on_data is given slices of what is
 * fed, but for the few bytes that looked like a boundary until the next feed. How the body is cut into feeds changes nothing else.
 *
 * The struct is all the memory there is: nothing is to be freed, a parse may be given up at any time, a part without its
 * on_part_end is not whole. Not to be called from its own callbacks.
 *
 * As tolerant as clients need it: what stands before the first boundary and after the last is ignored, blanks may follow a
 * boundary, lines of a part's header may end with LF alone and be folded, and where the first boundary's line ends with LF alone,
 * so may the one before each other boundary (Go's rule). A part's header has to be right, though: no two headers that we read of
 * one name, no control characters, no Content-Transfer-Encoding that would have to be decoded.
 */
#ifndef SBX_HTTP_MULTIPART_H
#define SBX_HTTP_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "shared/base/err.h"

#define MULTIPART_BOUNDARY_MAX 70 /* RFC 2046 5.1.1 */
#define MULTIPART_HEAD_MAX 8192	  /* header lines of a part, with the empty one */
#define MULTIPART_NAME_MAX 1024	  /* decoded */
#define MULTIPART_PARTS_MAX 64

/* Bytes as the client sent them, not checked for UTF-8; without NUL. In name and filename a backslash before '"' or '\', %22, %0D
 * and %0A are decoded (what curl, browsers and Python write): so both can hold a quote or a line end. A filename may be a path. */
struct multipart_part {
	const char *name;	  /* may be empty */
	const char *filename;	  /* NULL: none was sent; filename* is ignored (RFC 7578 4.2) */
	const char *content_type; /* NULL: none was sent */
};

struct multipart_ops {
	/* The strings are valid during the call. */
	void (*on_part)(void *arg, const struct multipart_part *part);
	/* n > 0; returns how many bytes it takes (0..n). Fewer than n pauses the parse. */
	size_t (*on_data)(void *arg, const void *data, size_t n);
	void (*on_part_end)(void *arg);
};

enum multipart_state {
	MULTIPART_PREAMBLE,
	MULTIPART_LINE,	   /* behind a boundary */
	MULTIPART_LINE_LF, /* ... and the CR of its line end */
	MULTIPART_HEAD,
	MULTIPART_DATA,
	MULTIPART_CLOSED, /* behind the closing boundary, in its line */
	MULTIPART_EPILOGUE,
	MULTIPART_FAILED,
};

/* The fields are multipart.c's. */
struct multipart {
	const struct multipart_ops *ops;
	void *arg;
	enum multipart_state state;
	unsigned parts;
	/* "\r\n--BOUNDARY--"; looked for is [start, len), and [held, matched) has been read but is not yet known for data or not */
	char delim[2 + 2 + MULTIPART_BOUNDARY_MAX + 2];
	size_t len, start, matched, held;
	size_t head_len, line; /* bytes of the part's header so far; where its last line begins */
	char head[MULTIPART_HEAD_MAX];
};

/* content_type is the request's, NULL when it had none. 0, or -1 with INVALID when it is not multipart/form-data with a boundary of
 * 1 to 70 printable characters. ops and arg must outlive m. */
int multipart_init(struct multipart *m, const char *content_type, const struct multipart_ops *ops, void *arg, struct err *err);

/* Returns the bytes consumed: all n, or fewer when on_data paused the parse; then feed the rest, from there on, when it can go on.
 * -1 with err: INVALID when the body is malformed, TOO_LARGE past a limit; each later call fails then. */
ssize_t multipart_feed(struct multipart *m, const void *data, size_t n, struct err *err);

/* The body is over: 0, or -1 with INVALID when its closing boundary has not come. */
int multipart_finish(const struct multipart *m, struct err *err);

#endif
