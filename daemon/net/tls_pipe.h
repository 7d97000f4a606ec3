/*
 * tls_pipe: a TCP connection that speaks TLS 1.3 on one side, a plain stream socket on the other, bytes carried both ways.
 *
 * The plain side is one end of a socket pair (tls_pipe_pair), whose other end somebody uses as any connection: http_adopt, a link.
 * Each direction has its own end (close_notify is shutdown(SHUT_WR) on the other side, and back) and its own back-pressure: at most
 * 64 KiB of it wait here, in memory that is there only while they do. Who closes his end of the pair altogether has ended the
 * connection: what he wrote still goes out, for as long as a minute.
 *
 * A pipe owns itself. Its owner hears of its end once, and may cut it before. When the connection breaks, or the peer ends it
 * without close_notify, what came before is delivered and the plain side sees an end like any other: whoever must know the
 * difference gets it from on_end. Callbacks come from the loop, never from inside a call. Thread: the loop's.
 */
#ifndef SBX_DAEMON_NET_TLS_PIPE_H
#define SBX_DAEMON_NET_TLS_PIPE_H

#include <uv.h>

#include "daemon/net/tls_ctx.h"
#include "shared/base/err.h"

enum {
	TLS_PIPE_LIMIT_MS = 10000, /* to connect and shake hands */
	TLS_PEER_CN = 64,
	TLS_PEER_HEX = 64,
};

struct tls_pipe;

/* Of the peer's certificate; "" when it has shown none. */
struct tls_peer {
	char cn[TLS_PEER_CN + 1];
	char fingerprint[TLS_PEER_HEX + 1]; /* SHA-256 in lower-case hex */
};

struct tls_pipe_ops {
	/* The handshake is done and the peer is who it must be. A client does not know yet whether the server takes its own
	 * certificate (in TLS 1.3 that comes after the handshake): if not, on_end says so. */
	void (*on_ready)(void *arg, const struct tls_peer *peer);
	/* Last callback: both directions have ended (why NULL), or the connection broke; before on_ready: there was none. */
	void (*on_end)(void *arg, const struct err *why);
};

struct tls_pipe_spec {
	struct tls_ctx *ctx;
	/* The common name that the peer's certificate must have. NULL: a client's server must be called as the address says, a
	 * server's client may be anybody whom the authority knows. */
	const char *peer;
	int limit_ms; /* 0: TLS_PIPE_LIMIT_MS */
	const struct tls_pipe_ops *ops;
	void *arg;
};

/* As a server, on a connected socket. Takes fd and plain, also when it fails. NULL with err. */
struct tls_pipe *tls_pipe_accept(uv_loop_t *loop, const struct tls_pipe_spec *spec, int fd, int plain, struct err *err);
/* As a client, to "HOST:PORT". Takes plain, also when it fails. What is written to the other end meanwhile waits. */
struct tls_pipe *tls_pipe_connect(
	uv_loop_t *loop, const struct tls_pipe_spec *spec, const char *address, int plain, struct err *err);
/* End it now, without a word to either side and without a callback. */
void tls_pipe_cut(struct tls_pipe *p);

/* A pair for it: non-blocking, close-on-exec. */
int tls_pipe_pair(int ends[2], struct err *err);

#endif
