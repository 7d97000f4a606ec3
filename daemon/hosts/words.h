/*
 * words: what is asked of a host (core/carrier.h), in the words of its native API, and what its answers say. A host is one of ours,
 * but not trusted: an answer that is not as the contract has it is PROTOCOL. Pure.
 */
#ifndef SBX_HOSTS_WORDS_H
#define SBX_HOSTS_WORDS_H

#include "daemon/core/carrier.h"
#include "daemon/core/snapshot.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"
#include "shared/base/json.h"

#define HOST_PROTOCOL "sbx-agent" /* that a connection to an agent is upgraded to */

struct words {
	const char *method;
	struct buf path, body; /* body empty: none */
	int64_t limit_ms;
	bool upgrade;
};
/* cursor: where a list goes on, or NULL. words_free in any case. */
void words_say(const struct carry_ask *ask, const char *cursor, struct words *out);
void words_free(struct words *w);

/* An answer: answer.fd is left alone. heard_free in any case. */
struct heard {
	char **texts; /* what the others point to */
	size_t text_count;
	struct carry_box *boxes;
	size_t box_count;
	struct point *points; /* of figures that are none, NAN; so in uses */
	size_t point_count;
	struct carry_use *uses;
	size_t use_count;
	struct snapshot shot;
	const char *cursor; /* there is more of the list, or NULL */
	unsigned pages;	    /* that came before */
};
/*
 * Add what an answer with this status says. -1 with err: what it refuses, in its own words, or PROTOCOL: also when it speaks of
 * another sandbox or snapshot than the one asked about, has no end, or has figures that cannot be or texts that are no plain line.
 * Of an ask only verb, id and name matter here.
 */
int words_hear(const struct carry_ask *ask, int status, const char *body, size_t n, struct heard *out, struct err *err);
void heard_free(struct heard *h);

#endif
