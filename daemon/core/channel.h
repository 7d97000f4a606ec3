/*
 * channel: where a team wants to hear its news, and their delivery.
 *
 * News are recorded with what they tell of, one delivery a channel, and leave the record when they have arrived, or after the last
 * try; so they survive a restart. What fails is tried again after 10 s, 30 s, two minutes and ten; a wrong configuration or an
 * address that may not be reached is not. Deliveries do not wait for each other. Configurations are sealed in the database. Source:
 * reference/wrenn.md 2.8, 8. Thread: the loop's; callbacks come from the loop.
 */
#ifndef SBX_CORE_CHANNEL_H
#define SBX_CORE_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/core/core.h"
#include "daemon/core/identity.h"
#include "daemon/db/audit.h"
#include "daemon/db/channel.h"
#include "shared/base/err.h"

struct channel_spec {
	const char *name, *provider;
	char *const *events, *const *config; /* NULL-terminated; config "K=V" */
};

/* secret (allocated, or NULL): signs a webhook's messages; told this once. Release out with db_channel_release. CONFLICT, INVALID.
 */
int channel_create(
	struct core *core, int64_t team, const struct channel_spec *spec, struct db_channel *out, char **secret, struct err *err);
/* By uid; NOT_FOUND. */
int channel_get(struct core *core, int64_t team, const char *uid, struct db_channel *out, struct err *err);
/* Newest first; db_channels_release. */
int channel_list(struct core *core, int64_t team, struct db_channel **out, size_t *n, struct err *err);
/* Another name and other events. */
struct channel_change {
	const char *name;
	char *const *events;
};
int channel_update(struct core *core, int64_t team, const char *uid, const struct channel_change *change, struct db_channel *out,
	struct err *err);
/* Another configuration. */
int channel_configure(
	struct core *core, int64_t team, const char *uid, char *const *config, struct db_channel *out, struct err *err);
/* 0 also when there is none. */
int channel_delete(struct core *core, int64_t team, const char *uid, struct err *err);
/* Deliver a test message now: cb says how it went. -1: refused, cb is not called. */
typedef void channel_tested_cb(void *arg, const struct err *err);
int channel_test(struct core *core, const struct channel_spec *spec, channel_tested_cb *cb, void *arg, struct err *err);
/* The same through one that there is, by uid, as it is configured. NOT_FOUND. */
int channel_test_saved(struct core *core, int64_t team, const char *uid, channel_tested_cb *cb, void *arg, struct err *err);

/* ---- for core ---- */
struct notify_config;
struct courier;
struct courier *courier_new(struct core *core, const struct notify_config *config, struct err *err);
/* See what is due: when the state is open, and with every piece of news. */
void courier_wake(struct courier *c);
/* NULL is fine. What is under way is tried again by the next daemon. */
void courier_close(struct courier *c);
/* News for the channels of note->team that ask for this event. */
void channel_announce(struct core *core, const char *event, const struct db_audit *note);

#endif
