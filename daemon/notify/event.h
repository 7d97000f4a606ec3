/*
 * event: what happened, worded for a program (JSON) and for a person (the text of a chat message). Pure.
 */
#ifndef SBX_NOTIFY_EVENT_H
#define SBX_NOTIFY_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

#define NOTIFY_EVENT_MAX ((size_t)64 << 10) /* bytes of JSON that notify_event_parse takes */
#define NOTIFY_TEXT_MAX ((size_t)32 << 10)  /* bytes of text; the rest is cut off */

struct notify_event {
	const char *type; /* "capsule.created" */
	const char *team_id;
	const char *actor_type;		   /* "user", "api_key", "system" */
	const char *actor_id, *actor_name; /* or NULL */
	const char *resource_id;
	const char *resource_type; /* "sandbox", "snapshot", "host" */
	int64_t wall_ms;
};

/* RFC 3339 UTC in whole seconds, "2026-11-22T04:37:00Z"; returns out. */
#define NOTIFY_TIME_LEN 32
char *notify_time(int64_t wall_ms, char out[NOTIFY_TIME_LEN]);

/* The types that channels may ask for, NULL-terminated. */
extern const char *const notify_event_types[];
bool notify_event_known(const char *type);

/* Append {"event":...,"timestamp":...,...}. -1 with LIMIT when it does not fit into NOTIFY_EVENT_MAX. */
int notify_event_json(const struct notify_event *event, struct buf *out, struct err *err);
/* The event of such JSON, which notify_event_json turns into the same bytes again. One allocation: free() it. NULL with INVALID. */
struct notify_event *notify_event_parse(const char *json, size_t n, struct err *err);
/* Append the lines of a chat message. What callers chose is kept to its line: no control characters. */
void notify_event_text(const struct notify_event *event, struct buf *out);

#endif
