/*
 * exchange: an HTTP request and its answer, by libcurl on a libuv loop. What deliver.h says of addresses, redirects, proxies and
 * certificates is enforced here. Thread: the loop's.
 */
#ifndef SBX_NOTIFY_EXCHANGE_H
#define SBX_NOTIFY_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/notify/provider.h"
#include "shared/base/err.h"

#define EXCHANGE_ANSWER_MAX ((size_t)64 << 10) /* bytes of an answer's body; no more are read */

struct exchanges;
struct exchange;

/* Valid during the callback. */
struct exchange_answer {
	int status;	  /* 0: none came, and err says why */
	const char *body; /* as much of it as came */
	size_t n;
	const struct err *err;
};

/* May start and cancel other exchanges, not close. */
typedef void exchange_cb(void *arg, const struct exchange_answer *answer);

/* Loads libcurl, for `user` ("channels"). NULL with UNAVAILABLE. */
struct exchanges *exchanges_new(uv_loop_t *loop, const char *user, bool allow_private, struct err *err);
/* Cancels what is under way. The memory goes as the loop runs on. NULL is fine. */
void exchanges_close(struct exchanges *all);

/* rq must stay until cb was called, which happens from the loop, once, or until the exchange is cancelled. NULL with err. */
struct exchange *exchange_start(
	struct exchanges *all, const struct notify_request *rq, int64_t limit_ms, exchange_cb *cb, void *arg, struct err *err);
void exchange_cancel(struct exchange *x);

#endif
