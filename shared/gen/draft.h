/*
 * draft: a schema while it is being put together from its parts (allOf, $ref, its own keys), before it becomes a ct_schema.
 */
#ifndef SBX_GEN_DRAFT_H
#define SBX_GEN_DRAFT_H

#include "shared/gen/model.h"

struct draft_required {
	ct_str name;
	const struct yt_node *at;
};

struct draft {
	struct ct_schema s; /* type, ranges and counts are not set yet */
	unsigned types;	    /* set of 1 << CT_...; 0 = not said */
	bool has_enum;
	vec(struct ct_field) fields;
	vec(ct_str) enums;
	vec(ct_str) columns;
	vec(uint32_t) alternatives;
	vec(struct draft_required) required;
};

void draft_init(struct draft *d);
void draft_free(struct draft *d);
/* Merge what node says into d, tightening what is there already. hops counts the $ref and allOf steps on the way. */
int draft_read(struct model *m, struct yt_node *node, struct draft *d, unsigned hops);
/* The keys of one node that are about the value itself: type, enum, format, limits, flags (draft_value.c). */
int draft_value(struct model *m, struct yt_node *node, struct draft *d);

#endif
