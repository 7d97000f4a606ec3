/*
 * port: TCP ports of this machine that lead to ports inside a sandbox.
 *
 * A port is recorded and comes back with the daemon, on the same number. It listens while its sandbox is there, or was paused for
 * idleness: who connects then resumes it.
 * When somebody else has taken its number meanwhile it is `failed`, with the reason; adding it again, or the next start of the
 * sandbox or the daemon, tries anew. What goes through is relay.h's part.
 */
#ifndef SBX_CORE_PORT_H
#define SBX_CORE_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/sandbox.h"
#include "shared/base/err.h"

#define PORTS_MAX 64		 /* a sandbox */
#define PORT_CONNECTIONS_MAX 128 /* a port; more wait until one ends */

enum port_state { PORT_OPEN, PORT_CLOSED, PORT_FAILED };

struct port_info {
	const char *bind; /* IP literal */
	uint16_t host_port, guest_port;
	enum port_state state;
	const char *reason; /* why it failed, or NULL */
	unsigned connections;
};

struct port_spec {
	const char *bind;    /* NULL: 127.0.0.1 */
	uint16_t host_port;  /* 0: a free one */
	uint16_t guest_port; /* 1... */
	bool anywhere;	     /* bind may be off loopback */
};

/* Strings in *out are valid until the port is removed. CONFLICT when the number is taken, FORBIDDEN off loopback, STATE when the
 * sandbox does not run. */
int port_add(struct sandbox *sb, const struct port_spec *spec, struct port_info *out, struct err *err);
/* i-th, in the order they were added; false past the end. */
bool port_at(const struct sandbox *sb, size_t i, struct port_info *out);
/* "127.0.0.1:8080": allocated. */
char *port_address(const struct port_info *p);
/* By its number on the host; its connections are cut. NOT_FOUND. */
int port_remove(struct sandbox *sb, uint16_t host_port, struct err *err);

#endif
