/*
 * wsframe: WebSocket frames (RFC 6455) on memory, the client's side: unmasked frames in, masked frames out.
 *
 * Own instead of wslay: output of a command has to pass at >= 500 MB/s, and here the payload is handed out where it was
 * received, without a copy.
 */
#ifndef SBX_CLI_WSFRAME_H
#define SBX_CLI_WSFRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

#define WS_MESSAGE_MAX ((size_t)4 << 20)

enum ws_op { WS_CONT = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

struct ws_msg {
	enum ws_op op; /* never WS_CONT */
	uint8_t *data; /* inside the input or the reassembly buffer: valid until the next call */
	size_t len;
};

/* Reassembly of fragmented messages. Zero is a fresh one but for part, which is BUF_INIT. */
struct ws_reader {
	struct buf part;
	bool open;	/* within a fragmented message */
	bool part_done; /* part was handed out and is to be cleared */
	enum ws_op op;
};

/* The next message in in[0..n). 1 message, 0 more bytes are needed (*need = at least so many in all), -1 PROTOCOL.
 * *used is set in every case: the bytes that are done with (the message's own too, which stay valid until they are moved). */
struct ws_input {
	uint8_t *in;
	size_t n;
	size_t used;
	size_t need;
};
int ws_read(struct ws_reader *r, struct ws_input *input, struct ws_msg *msg, struct err *err);
void ws_reader_free(struct ws_reader *r);

/* Append one masked frame. prefix: n_prefix bytes that go before data within the same frame. */
struct ws_piece {
	const void *p;
	size_t n;
};
void ws_write(struct buf *out, enum ws_op op, struct ws_piece prefix, struct ws_piece data);

/* The Sec-WebSocket-Accept that answers key. */
#define WS_ACCEPT_LEN 29
void ws_accept(const char *key, char out[WS_ACCEPT_LEN]);

#endif
