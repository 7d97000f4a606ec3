/*
 * sandbox: one microVM as its users know it: a name, a state, and what it may do.
 *
 *   (nothing) -> creating -> running <-> pausing -> paused -> resuming -> running
 *                   |          |                       |
 *                   |          +-> stopping -> stopped <+       -> starting -> running
 *                   +-> deleting -> (nothing)          from every state
 *
 * paused: no process; memory and disk are kept. stopped: the disk is kept; also what becomes of a VM whose process ended by itself.
 * pooled: a VM that runs for nobody yet, its processors held; a create may take it (pool.h).
 * missing: it ran on another machine, which is not heard of; it is what that says when it is back (remote.h).
 * The states in -ing last as long as one operation; an operation is the only one on its sandbox. What they become when the daemon
 * dies in them: creating, deleting and pooled are undone; pausing goes back to running if its VM lives, else it is stopped;
 * resuming goes back to paused; stopping and starting become stopped. What another machine carries is as before, until that says
 * what it is. The table is in op.c.
 */
#ifndef SBX_CORE_SANDBOX_H
#define SBX_CORE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/core.h"
#include "daemon/core/identity.h"
#include "daemon/db/db.h"
#include "shared/base/err.h"

enum sandbox_state {
	SANDBOX_CREATING,
	SANDBOX_RUNNING,
	SANDBOX_PAUSING,
	SANDBOX_PAUSED,
	SANDBOX_RESUMING,
	SANDBOX_STOPPING,
	SANDBOX_STOPPED,
	SANDBOX_STARTING,
	SANDBOX_DELETING,
	SANDBOX_POOLED,
	SANDBOX_MISSING,
	SANDBOX_STATES
};
enum net_mode { NET_NONE, NET_FULL, NET_ALLOW };

const char *sandbox_state_name(enum sandbox_state state);
/* It has a VM that computes, or will in a moment: it takes processors and memory. */
static inline bool sandbox_state_is_up(enum sandbox_state state)
{
	return state == SANDBOX_CREATING || state == SANDBOX_RUNNING || state == SANDBOX_PAUSING || state == SANDBOX_RESUMING ||
		state == SANDBOX_STARTING;
}
/* "none", "full" or "allow:HOST[:PORT],..." (egress.h; *rules points into text then). -1 with err INVALID. */
int net_parse(const char *text, enum net_mode *mode, const char **rules, struct err *err);
/* A sandbox's network in these words: allocated. */
char *net_text(const struct db_sandbox *row);

struct sandbox;
struct eventlog;

/* Its record: id, name, image, shape, times. Valid until the sandbox is gone. */
const struct db_sandbox *sandbox_row(const struct sandbox *sb);
enum sandbox_state sandbox_state(const struct sandbox *sb);
/* The id of the machine that carries it, valid as long as the sandbox is; NULL: this one. */
const char *sandbox_host(const struct sandbox *sb);
/* What commands in it run as and where, where its image says so; else NULL. */
const char *sandbox_user(const struct sandbox *sb);
const char *sandbox_workdir(const struct sandbox *sb);
/* As its users see it: one that is being made for the pool is creating until a create may take it. */
enum sandbox_state sandbox_shown_state(const struct sandbox *sb);
struct eventlog *sandbox_log(struct sandbox *sb);
/* Host memory and disk that are this sandbox's alone, in KiB; 0 when it does not run. */
void sandbox_usage(const struct sandbox *sb, int64_t *memory_kb, int64_t *disk_kb);

/* Where the time of its create went, while this daemon remembers: the i-th phase and when it was over, in microseconds since the
 * request; false past the end. */
bool sandbox_phase(const struct sandbox *sb, size_t i, const char **name, int64_t *us);

/* One of that team (TEAM_ANY: of any) by id or name; NULL with NOT_FOUND and a hint. Names are their
 * team's: TEAM_ANY finds those of the local team alone. */
struct sandbox *sandbox_find(struct core *core, int64_t team, const char *id_or_name, struct err *err);
size_t sandbox_count(const struct core *core);
/* i-th, oldest first. */
struct sandbox *sandbox_at(const struct core *core, size_t i);

/* It is in use: its idle time begins anew. */
void sandbox_touch(struct sandbox *sb);
/* What is left of one of that team that is over, made by a spec with a template: 1 (db_past_release), 0, -1. */
int sandbox_past(struct core *core, int64_t team, const char *id, struct db_past *out, struct err *err);

/* 0 when commands can be run in it now, else -1 with STATE or UNAVAILABLE. */
int sandbox_usable(struct sandbox *sb, struct err *err);

struct port_spec;
struct sandbox_spec {
	const char *id;			  /* of one that this host is to carry for its control plane, or NULL */
	const char *host;		  /* id of the machine that is to carry it, or NULL: as place.h says */
	char *const *tags;		  /* that its host must have, NULL-terminated, or NULL */
	const char *name;		  /* or NULL */
	const char *image;		  /* or: */
	const char *template;		  /* what a dialect calls it (then it is told of also when it is over), or NULL */
	const char *snapshot;		  /* go on from this one (snapshot.h); vcpus and memory_mb are its then */
	char *const *env, *const *labels; /* "K=V", NULL-terminated, or NULL */
	unsigned vcpus, memory_mb;	  /* memory_mb 0: what the image wants */
	int64_t timeout_s;		  /* 0 = never */
	int64_t idle_s;			  /* pause it after so long without use; 0 or less = never */
	enum net_mode net;
	const char *net_rules;	       /* of NET_ALLOW */
	const struct port_spec *ports; /* port.h: open when it is there */
	size_t port_count;
	int64_t account;
	const char *fs_ref, *fs_path; /* a tree of the store (store/ref.h) and where it is mounted (absolute), or NULL */
};

/* Runs, or err says why not and nothing is left of it. sb is NULL on failure. */
typedef void sandbox_created_cb(void *arg, struct sandbox *sb, const struct err *err);
/* All or nothing. Returns the sandbox in state creating (the name is taken from now on), or NULL with err (CONFLICT, NOT_FOUND,
 * NO_SPACE ...) in which case cb is not called. The image is built first when it must be. */
struct sandbox *sandbox_create(
	struct core *core, const struct sandbox_spec *spec, sandbox_created_cb *cb, void *arg, struct err *err);

/* Operations. Each begins at once, or is refused (STATE, CONFLICT: another one is under way) with cb never called; cb comes when it
 * is over. When it failed the sandbox is as before, or in a state that err tells. */
typedef void sandbox_done_cb(void *arg, struct sandbox *sb, const struct err *err);
/* The process goes; memory and disk stay. Streams end. idle: it was not in use, and its next use resumes it. */
int sandbox_pause(struct sandbox *sb, bool idle, sandbox_done_cb *cb, void *arg, struct err *err);
/* Its processes go on where they were. */
int sandbox_resume(struct sandbox *sb, sandbox_done_cb *cb, void *arg, struct err *err);
/* The guest shuts down (for at most STOP_MS; with force it gets no say); the disk stays. */
int sandbox_stop(struct sandbox *sb, bool force, sandbox_done_cb *cb, void *arg, struct err *err);
/* It boots anew from its disk, with the shape that the record has. */
int sandbox_start(struct sandbox *sb, sandbox_done_cb *cb, void *arg, struct err *err);
/* Change the shape; 0 leaves a value. It counts from the next start. A disk only grows. */
int sandbox_resize(struct sandbox *sb, unsigned vcpus, unsigned memory_mb, unsigned disk_mb, struct err *err);

/* Children that go on from this instant of a running or paused sandbox, each for itself. All or none. */
#define FORK_MAX 100
struct fork_spec {
	unsigned count;
	char *const *names; /* NULL-terminated, at most count; NULL: none has one */
	int64_t account;
};
/* children: valid in the call. */
typedef void sandbox_forked_cb(void *arg, struct sandbox *const *children, size_t n, const struct err *err);
int sandbox_fork(struct sandbox *sb, const struct fork_spec *spec, sandbox_forked_cb *cb, void *arg, struct err *err);

/* 0: it can be used now. 1: it was paused for idleness and is being resumed, or comes up anyhow; cb says when, or why not. -1: it
 * is in no such state. */
int sandbox_wake(struct sandbox *sb, sandbox_done_cb *cb, void *arg, struct err *err);

/* True: it is being looked after, since this daemon has just taken it over, and cb says when that is over. No operation can begin
 * before. */
bool sandbox_settling(struct sandbox *sb, sandbox_done_cb *cb, void *arg);

typedef void sandbox_deleted_cb(void *arg, const struct err *err); /* err NULL when all went well */
/* End the VM at once and remove the record and files; works in any state, also while creating (whose callback then gets an
 * error) and while its VM is stuck. cb may be NULL. */
void sandbox_delete(struct sandbox *sb, sandbox_deleted_cb *cb, void *arg);

#endif
