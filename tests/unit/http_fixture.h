/*
 * http_fixture: a real server with a small contract of its own in a thread, and raw-socket clients to try it with.
 */
#ifndef SBX_TESTS_HTTP_FIXTURE_H
#define SBX_TESTS_HTTP_FIXTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/http/http.h"

#define FX_KEY "secret-key"
/* The upload handler refuses at this many bytes when asked with ?refuse=1, from a timer with ?refuse=2. */
#define FX_REFUSE_AT 100000

struct fx {
	char dir[64], sock[96];
	int port;
	struct http_server *server; /* of the loop's thread */
	/* written by the handlers */
	atomic_int started; /* requests whose handler keeps them */
	atomic_int done_true, done_false, ws_closed, closed;
	atomic_size_t max_queued, uploaded;
	atomic_int after_close; /* on_message calls after ws_close: must stay 0 */
	atomic_uint_least64_t ws_sent;
	/* of http_take: how many there were, what came of the last, and the bytes that came early */
	atomic_int taken, taken_fd;
	char early[256];
	atomic_size_t early_len;
};

/* Start the server (timeouts of WebSockets in ms). The one fixture of the process. */
struct fx *fx_start(unsigned ping, unsigned dead, unsigned close_limit);
void fx_stop(struct fx *f);
/* Have the server adopt a connection (taken), in its own thread. */
int fx_adopt(struct fx *f, int fd, const struct identity *who);
/* For fuzzing: a server in the caller's thread that listens nowhere; one conversation with it: the client's bytes are sent,
 * whatever the server says is dropped. */
struct fx *fx_inline(void);
void fx_converse(struct fx *f, const void *data, size_t n);

/* Connected blocking sockets that give up reading after 5 s. */
int fx_unix(struct fx *f);
int fx_tcp(struct fx *f);

struct fx_reply {
	int status;
	char head[8192];
	struct buf body;
	bool broken; /* ended before it should */
};

void fx_send(int fd, const void *data, size_t n);
void fx_puts(int fd, const char *text);
/* Read one answer; no_body for HEAD. */
void fx_read(int fd, struct fx_reply *out, bool no_body);
/* Value of a header of the answer or NULL; in a static buffer. */
const char *fx_header(const struct fx_reply *r, const char *name);
/* One request and its answer on a connection of its own. */
void fx_ask(int fd, const char *request, struct fx_reply *out);
/* Is the connection closed by the server? Waits for it. */
bool fx_eof(int fd);
/* Wait up to 3 s for a counter to reach a value. */
bool fx_wait(atomic_int *counter, int value);

/* ---- WebSocket client ---- */
/* Handshake on /t/v1/<op>; fails the test when refused. extra is sent together with the request. */
int fx_ws(struct fx *f, const char *op, const void *extra, size_t extra_len);
/* A masked frame. */
size_t fx_frame(uint8_t *out, bool fin, int opcode, const void *data, size_t n);
void fx_ws_send(int fd, bool fin, int opcode, const void *data, size_t n);
/* Next frame: opcode, or -1 when the connection ended. Payload in out. */
int fx_ws_read(int fd, struct buf *out);
/* Next frame must be a close with this code. */
void fx_ws_expect_close(int fd, int code);

#endif
