/*
 * tls_fixture: an authority, a host that listens with TLS on loopback and a control plane that comes to it, on one loop.
 */
#ifndef SBX_TESTS_TLS_FIXTURE_H
#define SBX_TESTS_TLS_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/net/tls_pipe.h"
#include "shared/net/ca.h"

#define TLS_HOST "host-7"

/* A pipe, and the other end of its pair. */
struct tls_end {
	struct tls_pipe *pipe; /* NULL when it is over, or cut */
	int plain;	       /* -1: none */
	bool ready, ended, cut_when_ready;
	bool broken; /* and why */
	struct tls_peer peer;
	struct err why;
};

struct tls_world {
	uv_loop_t loop;
	uv_poll_t acceptor;
	uv_timer_t watchdog;
	int64_t deadline_ms;
	int listener, port, limit_ms;
	char address[32];
	struct ca *ca;
	struct ca_pem root, host, control;
	struct tls_ctx *server, *client;
	const char *client_name; /* whom the server lets in; NULL: anybody whom the authority knows */
	struct tls_end *accept;	 /* where the next connection goes: s at first */
	struct tls_end s, c;
	size_t descriptors; /* of the process, before */
};

struct tls_world *tls_world_new(void);
/* Everything has to be gone by itself or by being cut here: checks that no handle and no descriptor stays. */
void tls_world_free(struct tls_world *w);

/* The same with cmocka's state. */
int tls_setup(void **state);
int tls_teardown(void **state);
#define TLS_TEST(f) cmocka_unit_test_setup_teardown(f, tls_setup, tls_teardown)

/* Other credentials; NULL where there are none. */
void tls_serve_as(struct tls_world *w, const char *ca, const struct ca_pem *pair);
void tls_come_as(struct tls_world *w, const char *ca, const struct ca_pem *pair);

/* Begin a connection to the world's host (address NULL) as the one that must be called so. */
void tls_start(struct tls_world *w, struct tls_end *end, const char *address, const char *name);
/* The same, and both ends become ready. */
void tls_join(struct tls_world *w);
/* Run the loop until it is so; a test that takes longer than 20 s fails. */
void tls_until(struct tls_world *w, const bool *so);
/* Run it for so long. */
void tls_for(struct tls_world *w, int ms);
/* Nothing comes of it: the error of this end. */
void tls_broken(struct tls_world *w, struct tls_end *end, enum err_code code, const char *text);
/* Ended well. */
void tls_ended(struct tls_world *w, struct tls_end *end);

/* A plain TCP connection to the host, blocking. */
int tls_raw(struct tls_world *w);
/* To and from a non-blocking descriptor while the loop runs; reads up to n bytes or to the end, returns how many. */
void tls_say(struct tls_world *w, int fd, const void *data, size_t n);
size_t tls_hear(struct tls_world *w, int fd, void *out, size_t n);

#endif
