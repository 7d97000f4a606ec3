/*
 * eventlog: what happened to a sandbox, one line an event, in a file of the sandbox's folder; bounded (the oldest half goes
 * when it reaches 1 MiB). Losing it never fails anything else: write errors are logged and forgotten.
 */
#ifndef SBX_CORE_EVENTLOG_H
#define SBX_CORE_EVENTLOG_H

#include <stddef.h>
#include <stdint.h>

struct eventlog;
struct eventlog_follow;

struct event {
	int64_t wall_ms;
	const char *name;    /* "created", "exec", "exit", ... */
	const char *message; /* printable */
};

typedef void event_cb(void *arg, const struct event *event);

struct eventlog *eventlog_new(const char *path);
/* Followers get no more events and must still call eventlog_unfollow. */
void eventlog_free(struct eventlog *log);
void eventlog_add(struct eventlog *log, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The last `tail` events (SIZE_MAX: all that are kept), oldest first. */
void eventlog_read(struct eventlog *log, size_t tail, event_cb *cb, void *arg);
/* cb for each event from now on; ended (may be NULL) when the log goes away. */
struct eventlog_follow *eventlog_follow(struct eventlog *log, event_cb *cb, void (*ended)(void *arg), void *arg);
void eventlog_unfollow(struct eventlog_follow *follow);

#endif
