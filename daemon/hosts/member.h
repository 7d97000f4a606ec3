/*
 * member: this daemon as a host that carries sandboxes for a control plane.
 *
 * It registers once with a token, then tells every beat_ms that it is there, and has its credentials renewed at half of their life,
 * or when they are refused. The control plane comes to it over mutual TLS, with this host's own certificate, and is then the
 * operator of it (IDENTITY_CONTROL): nobody else can connect. While the control plane is out of reach, sandboxes run on; a host
 * that was removed there (it says so itself, in its API's words) ends those that run for it, keeps those that are paused in its
 * home, and goes down. Source: reference/wrenn.md 2.7, 3.4, 4.4. Thread: the loop's; callbacks come from the loop.
 */
#ifndef SBX_HOSTS_MEMBER_H
#define SBX_HOSTS_MEMBER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/core/core.h"
#include "daemon/http/http.h"
#include "shared/base/err.h"

struct member;

struct member_config {
	const char *control; /* URL of the control plane's API; NULL: as when it registered */
	const char *token;   /* to register with, if it has not or is not known any more; NULL: none */
	const char *address; /* "IP:PORT" to be reached at, port 0 takes a free one; NULL: as before, or this machine only */
	int64_t beat_ms;     /* 0: HOST_BEAT_MS */
};

struct member_ops {
	/* It serves, and its control plane knows it or at least did: once. */
	void (*on_ready)(void *arg);
	/* It does not carry any more, or never could: the last callback. */
	void (*on_over)(void *arg, const struct err *why);
};

/* Was this home's daemon registered as a host, and not removed since? Then it is one however it is started. */
bool member_registered(const char *home);
/* Strings of config stay the caller's until member_close. USAGE: what is needed to register is missing, or unsafe. */
struct member *member_new(const struct member_config *config, struct core *core, struct http_server *server,
	const struct member_ops *ops, void *arg, struct err *err);
/* Before core_close. The control plane's connections end with it, whatever is under way there. NULL is fine. */
void member_close(struct member *m);

#endif
