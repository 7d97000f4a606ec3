/* agent_host: the host's end of the wire protocol for tests of sbx-agent: one agent process, blocking, simple. */
#ifndef SBX_TESTS_AGENT_HOST_H
#define SBX_TESTS_AGENT_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/base/buf.h"
#include "shared/wire/wire.h"

#define HOST_STREAMS 320

struct host_stream {
	uint32_t id;
	bool started, exited, hold; /* hold: give no credit back */
	struct buf started_rec, exit_rec, out[WIRE_CHANNELS];
	bool eof[WIRE_CHANNELS];
	uint64_t credit, sent; /* stdin */
	unsigned order;	       /* of its EXIT among all */
};

struct host {
	int fd;
	pid_t pid;
	struct wire_rx rx;
	struct host_stream s[HOST_STREAMS];
	unsigned n, exits;
	uint32_t next_id;
	unsigned hellos;
	bool closed;
	uint8_t nonce[WIRE_NONCE];
};

/* Start an agent ($SBX_AGENT or build/bin/sbx-agent), or connect to the one at $SBX_AGENT_SOCKET, and greet it. */
struct host *host_new(void);
/* Close the socket, wait for the agent to end, free. */
void host_free(struct host *h);
/* (Re)connect: optionally the pad, then HELLO; waits for the answer. Streams of before are forgotten. */
void host_hello(struct host *h, bool pad);
/* Free what is known of all streams; what still comes for them is dropped. */
void host_forget(struct host *h);
void host_raw(struct host *h, const void *p, size_t n);
/* Take what comes within ms; false when nothing came. */
bool host_poll(struct host *h, int ms);

/* OPEN with a record; the record is freed. */
struct host_stream *host_open(struct host *h, struct buf *rec);
/* WT_OP and the arguments of a command, NULL-terminated. */
void host_rec_exec(struct buf *rec, ...);
struct host_stream *host_sh(struct host *h, const char *script);
struct host_stream *host_op(struct host *h, enum wire_op op, const char *path);
void host_frame(struct host *h, struct host_stream *s, enum wire_type type, const void *p, size_t n);
/* All bytes as DATA by credit, then EOF if asked. */
void host_input(struct host *h, struct host_stream *s, const void *p, size_t n, bool eof);
void host_credit(struct host *h, struct host_stream *s, uint32_t n);

/* Wait (10 s, then the test fails) for the end; returns WT_CODE. */
int host_wait(struct host *h, struct host_stream *s);
void host_wait_started(struct host *h, struct host_stream *s);
void host_wait_output(struct host *h, struct host_stream *s, const char *text);
uint64_t host_exit_u64(const struct host_stream *s, enum wire_tag tag);
uint64_t host_started_u64(const struct host_stream *s, enum wire_tag tag);
/* WT_MESSAGE of EXIT, or "". Valid until the host is freed or the next call. */
const char *host_message(const struct host_stream *s);

#endif
