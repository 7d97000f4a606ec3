/*
 * target: moving a label to a tree that was pushed: what is expected of it, and how it went.
 */
#ifndef SBX_CLI_FS_TARGET_H
#define SBX_CLI_FS_TARGET_H

#include "cli/fs/repo.h"

/* What the label must be at. */
struct expectation {
	bool force;
	bool absent_ok;		     /* a label that does not exist is made */
	const struct hash *expected; /* else it must be there; NULL: it must not exist */
};

enum outcome { OUTCOME_CREATED, OUTCOME_MOVED, OUTCOME_UNCHANGED, OUTCOME_REJECTED };
const char *outcome_name(enum outcome o); /* "created", "pushed", "unchanged", "rejected" */

struct landing {
	enum outcome outcome;
	bool existed;
	struct hash before; /* where the label was, and where it is when it was rejected */
};
/* Move the label of the place to m->to (op, message and other are m's). Objects have been given. */
int target_move(struct place *p, const struct label_move *m, const struct expectation *e, struct landing *out, struct err *err);

#endif
