/*
 * carrier: what this daemon, as a control plane, asks of the hosts that carry sandboxes for it. How it gets there is not core's
 * affair: whoever can (daemon/hosts) puts a carrier into core with core_carry.
 *
 * Thread: the loop's. Callbacks come from the loop, once, never from inside the call that asked, and not after carry_cancel.
 */
#ifndef SBX_CORE_CARRIER_H
#define SBX_CORE_CARRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/core.h"
#include "daemon/core/series.h"
#include "daemon/db/db.h"
#include "shared/base/err.h"

struct snapshot;

enum carry_verb {
	CARRY_CREATE, /* what row says, under its id */
	CARRY_PAUSE,
	CARRY_RESUME,
	CARRY_STOP,
	CARRY_START,
	CARRY_RESIZE, /* to the shape that row has */
	CARRY_DELETE,
	CARRY_SNAPSHOT,	  /* under name */
	CARRY_UNSNAPSHOT, /* forget the one of that name */
	CARRY_LIST,
	CARRY_POINTS, /* what it used, in the words of metrics_range */
	CARRY_AGENT,  /* a connection to its agent */
	CARRY_USES,   /* what each that runs there uses now */
	CARRY_VERBS
};

struct carry_ask {
	enum carry_verb verb;
	const char *host, *address; /* its id and where it is: it has to prove the one, whoever answers at the other */
	int64_t team;		    /* whose they are; TEAM_ANY: any team's */
	const char *id;		    /* of the sandbox */
	const struct db_sandbox *row;
	const char *name;
	bool force, replace; /* stop, snapshot */
	const char *range;
};

/* A sandbox, as its host sees it. */
struct carry_box {
	const char *id, *state, *reason, *accel, *digest, *mac, *user, *workdir; /* from reason on they may be NULL */
	int64_t vcpus, memory_mb, run_vcpus, run_memory_mb;
};

/* What it uses now; figures that are not known are NAN, and now has no time. */
struct carry_use {
	const char *id;
	struct point now;
};

/* Valid in the callback. */
struct carry_answer {
	const struct err *err; /* NULL: it was done */
	bool heard;	       /* the host has answered: else nobody knows what it did */
	/* The one that was asked about, or all that it carries for us. */
	const struct carry_box *boxes;
	size_t box_count;
	const struct snapshot *shot;
	const struct point *points; /* oldest first */
	size_t point_count;
	const struct carry_use *uses; /* also of those that are none of ours */
	size_t use_count;
	int fd; /* of CARRY_AGENT: a stream socket, the callee's; else -1 */
};
typedef void carry_cb(void *arg, const struct carry_answer *answer);

struct carry;
struct carrier {
	void *self;
	/* NULL with err. What ask points to is needed only in the call. */
	struct carry *(*start)(void *self, const struct carry_ask *ask, carry_cb *cb, void *arg, struct err *err);
	void (*cancel)(void *self, struct carry *call);
};

/* From now on: what was found in the home at the start is looked after. The carrier stays the caller's, until core is closed. */
void core_carry(struct core *core, const struct carrier *carrier);

#endif
