/*
 * ws: a WebSocket to the daemon, non-blocking: the caller polls ws->fd.
 *
 * Sequence: ws_open; then ws_fill when readable, ws_next until 0; ws_queue and ws_flush when writable.
 */
#ifndef SBX_CLI_WS_H
#define SBX_CLI_WS_H

#include "cli/endpoint/client.h"
#include "cli/endpoint/wsframe.h"

struct ws {
	int fd;
	uint8_t *rx;
	size_t rx_off, rx_len, rx_cap, need;
	struct ws_reader reader;
	struct buf tx;
	size_t tx_off;
};

/* Call op (a WebSocket operation) and take over the client's connection. Free with ws_free in every case. */
int ws_open(struct ws *ws, struct client *c, const struct call *call, struct err *err);
int ws_open_request(struct ws *ws, struct client *c, const struct request *rq, struct err *err);
void ws_free(struct ws *ws); /* closes */

/* Receive what is there. 1 (maybe nothing new), 0 the connection ended, -1. */
int ws_fill(struct ws *ws, struct err *err);
/* The next message that is in: text, binary or close; pings are answered. 1, 0 none, -1. */
int ws_next(struct ws *ws, struct ws_msg *msg, struct err *err);

void ws_queue(struct ws *ws, enum ws_op op, struct ws_piece prefix, struct ws_piece data);
/* Bytes queued and not sent yet. */
size_t ws_queued(const struct ws *ws);
/* Send what the socket takes now. 0 or -1. */
int ws_flush(struct ws *ws, struct err *err);

#endif
