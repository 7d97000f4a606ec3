/*
 * deliver: carries events to channels, by libcurl on a libuv loop. One attempt each; when to try again is the caller's matter.
 *
 * Any number at a time: a slow receiver delays no other. Past `in_flight_max` deliveries the next ones wait, each for its turn.
 * No redirects, no proxy of the environment, certificates are verified (SSL_CERT_FILE is respected), of an answer 64 KiB are read.
 * Receivers must be public addresses unless allow_private: looked at is the address that is connected to, so that no name, no
 * spelling of an address and no second answer of a name server helps.
 *
 * The process must ignore SIGPIPE: libcurl leaves that to it. Thread: the loop's.
 */
#ifndef SBX_NOTIFY_DELIVER_H
#define SBX_NOTIFY_DELIVER_H

#include <stdbool.h>
#include <uv.h>

#include "daemon/notify/provider.h"
#include "shared/base/err.h"

struct notify;
struct notify_delivery;

struct notify_config {
	bool allow_private;	       /* receivers may be on this machine and in its networks */
	struct notify_origins origins; /* copied */
	int timeout_ms;		       /* for all requests of a delivery; 0: 10 s */
	size_t in_flight_max;	       /* 0: 256 */
};

/* err is NULL when the event was delivered. Else INVALID: the configuration is wrong; FORBIDDEN: the receiver is no public address
 * (trying again helps with neither); UNAVAILABLE, TIMEOUT: the receiver was not reached, or did not answer; PROTOCOL: it refused;
 * LIMIT: too many wait already. */
typedef void notify_cb(void *arg, const struct err *err);

/* NULL with INVALID when an origin is no URL. libcurl is loaded by the first delivery. */
struct notify *notify_new(uv_loop_t *loop, const struct notify_config *config, struct err *err);
/* Ends all deliveries without calling back. The memory goes as the loop runs on. May be called by a callback. NULL is fine. */
void notify_close(struct notify *n);

/* Deliver event to a channel of `provider` that is configured so; copies what it needs. cb is called from the loop, exactly once
 * unless cancelled, never by notify_send itself. The handle lasts until then. */
struct notify_delivery *notify_send(
	struct notify *n, const char *provider, char *const *config, const struct notify_event *event, notify_cb *cb, void *arg);
/* End it; cb will not be called. What was sent already may have arrived. */
void notify_cancel(struct notify_delivery *d);

#endif
