/* internal: between provider.c, which knows the list, and hooks.c and bots.c, which know each chat service. */
#ifndef SBX_NOTIFY_INTERNAL_H
#define SBX_NOTIFY_INTERNAL_H

#include "daemon/notify/provider.h"
#include "daemon/notify/url.h"

struct notify_making {
	char *const *config; /* the required fields are there */
	const struct notify_event *event;
	const char *text; /* of the event */
	const struct notify_attempt *attempt;
	struct notify_requests *out;
	struct err *err;
};

struct notify_answer {
	int status;
	const char *body;
	size_t n;
};

/* One more request, to the URL that is formatted, with a JSON Content-Type. The caller fills in the body. */
struct notify_request *notify_add_request(struct notify_making *m, const char *method, const char *url, ...)
	__attribute__((format(printf, 3, 4)));
/* "name: value" after the headers that are there already. */
void notify_add_header(struct notify_request *rq, const char *name, const char *value);

/* Where a service lives: as given, or the real one. */
const char *notify_origin(const char *given, const char *real);
/* Bytes at the head of s that are at most max characters, counted as UTF-16 does: JavaScript's services count so, and others count
 * less. s is valid UTF-8. */
size_t notify_head(const char *s, size_t max);

int notify_make_discord(struct notify_making *m);
int notify_make_slack(struct notify_making *m);
int notify_make_teams(struct notify_making *m);
int notify_make_googlechat(struct notify_making *m);
int notify_make_telegram(struct notify_making *m);
int notify_make_matrix(struct notify_making *m);

bool notify_accepts_discord(const struct notify_answer *a);
bool notify_accepts_slack(const struct notify_answer *a);
bool notify_accepts_teams(const struct notify_answer *a);
bool notify_accepts_telegram(const struct notify_answer *a);
bool notify_accepts_2xx(const struct notify_answer *a);

#endif
