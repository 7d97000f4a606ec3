/* What the two halves of checkout share: work_plan.c finds out what to do, work_checkout.c does it. Private to them. */
#ifndef SBX_STORE_WORK_CHECKOUT_H
#define SBX_STORE_WORK_CHECKOUT_H

#include "shared/store/work_internal.h"

#define CONFLICTS_SHOWN 5

/* Something that has to go: an item of a scanned folder. */
struct removal {
	struct dir *dir;
	uint32_t item;
	bool folder, must; /* must: a folder that something else takes the place of */
};

struct plan_frame {
	struct dir *dir;
	bool tree;     /* the wanted tree has this folder */
	bool all;      /* everything in it goes */
	uint32_t item; /* its number in the folder above */
};

struct plan {
	struct work *w;
	struct plan_frame *stack, coming;
	size_t depth, max;
	struct removal *removals;
	size_t removals_n, removals_max;
	struct dir **touched;
	size_t touched_n, touched_max;
	struct buf conflicts; /* the first few, quoted */
	size_t conflicts_n;
};

/* Compare tree with the scanned folder. Nothing on disk is changed. CONFLICT when local changes are in the way. */
int plan_make(struct plan *p, struct work *w, const struct hash *tree, struct err *err);
void plan_free(struct plan *p);

#endif
