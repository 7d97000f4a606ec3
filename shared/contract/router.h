/*
 * router: which operation of which contract takes a request. All contracts share one port, so all share one router.
 *
 * The paths become a deterministic automaton over path segments, made once at start (six contracts, 253 operations:
 * 0.4 ms): finding an operation costs one step a segment, whatever the paths look like, and never goes back. Static segments win
 * over parameters, the earlier in the path the stronger; where the stronger path lacks the method, the next one is asked.
 * Segments are split first and decoded then, so %2F stays inside one.
 *
 * Immutable after router_new; any number of threads may match.
 */
#ifndef SBX_CONTRACT_ROUTER_H
#define SBX_CONTRACT_ROUTER_H

#include "shared/contract/contract.h"

struct router;

/* For at most 64 contracts, which must outlive it. CONFLICT, naming both, when two operations take the same requests, unless both
 * are x-sbx-shared: then the one of the earlier contract takes them. Free with router_free. */
struct router *router_new(const struct contract *const *contracts, size_t n, struct err *err);
void router_free(struct router *r);

struct ct_match {
	uint32_t contract; /* index; after a failure, that in whose shape the answer should be */
	uint32_t op;	   /* index in that contract; CT_NONE after a failure */
	unsigned count;
	const char *names[CT_PARAMS_MAX];
	const char *values[CT_PARAMS_MAX]; /* decoded; may hold any byte but NUL */
	char *text, *rest;		   /* what the values point into */
};

/* path is raw (still encoded) and without its query. 0; -1 with NOT_FOUND (no such path), METHOD (path known; the hint is the list
 * of methods, "GET, POST", as the Allow header wants it), INVALID (bad escape, %00), TOO_LARGE (no memory for it).
 * Call ct_match_free in every case. */
int router_match(const struct router *r, const char *method, const char *path, struct ct_match *out, struct err *err);
void ct_match_free(struct ct_match *m);

#endif
