/*
 * provider: the services that a channel may deliver to. What each wants in its configuration, the HTTP requests that carry an event
 * to it, and what of its answers means delivered. Pure: requests are data, deliver.h sends them.
 *
 * A configuration is a NULL-terminated list of "K=V"; keys that a provider does not know are ignored. No error names a value: URLs
 * and tokens are secrets.
 */
#ifndef SBX_NOTIFY_PROVIDER_H
#define SBX_NOTIFY_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/notify/event.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"

#define NOTIFY_ID_LEN 36

/* Where the services with one address for all live, "scheme://host[:port]"; NULL: the real one. */
struct notify_origins {
	const char *discord, *slack, *teams, *googlechat, *telegram;
};

/* What differs between two attempts to deliver the same event. */
struct notify_attempt {
	const struct notify_origins *origins;
	int64_t wall_ms;
	const char *id; /* UUID, NOTIFY_ID_LEN characters */
};

struct notify_request {
	const char *method;
	char *url;
	char *headers[4]; /* "Name: value"; NULL behind the last */
	struct buf body;
};

/* To be sent in their order, each once the one before was accepted. */
struct notify_requests {
	struct notify_request *items;
	size_t count;
};

struct notify_making;
struct notify_answer;

/* How much of an answer may be shown. A server that the channel's owner chose could be one that only we reach. */
enum notify_quote {
	NOTIFY_QUOTE_NONE,
	NOTIFY_QUOTE_FAULT, /* the member of a JSON answer that says what is wrong */
	NOTIFY_QUOTE_ALL
};

struct notify_provider {
	const char *name;
	const char *const *required; /* fields of the configuration, NULL-terminated */
	int (*make)(struct notify_making *m);
	bool (*accepts)(const struct notify_answer *answer);
	enum notify_quote quote;
};

/* NULL for an unknown name. notify_provider_names: all, NULL-terminated. */
const struct notify_provider *notify_provider_find(const char *name);
extern const char *const notify_provider_names[];
/* The value of a field, or NULL. */
const char *notify_config_get(char *const *config, const char *key);
/* Are the required fields there, and not empty? -1 with INVALID, which names the first that is not. Whether their values make sense
 * shows only in notify_requests_make. */
int notify_config_check(const struct notify_provider *provider, char *const *config, struct err *err);

/* Release out with notify_requests_release; after a failure there is nothing to release. -1 with INVALID, which names the field
 * that is wrong. */
int notify_requests_make(const struct notify_provider *provider, char *const *config, const struct notify_event *event,
	const struct notify_attempt *attempt, struct notify_requests *out, struct err *err);
void notify_requests_release(struct notify_requests *r);

/* 0 when the answer means delivered; else -1 with PROTOCOL and what the service said. */
int notify_judge(const struct notify_provider *provider, int status, const char *body, size_t n, struct err *err);

#endif
