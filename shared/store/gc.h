/*
 * gc: what lives is what labels (heads and histories) and pins lead to.
 */
#ifndef SBX_STORE_GC_H
#define SBX_STORE_GC_H

#include "shared/store/label.h"

/* Sweep the rest. With wait == false CONFLICT when somebody holds gc off. */
int gc_run(struct store *s, bool dry, bool wait, struct store_swept *out, struct err *err);
/* store_check, and that every label, history and pin leads to whole trees. */
int gc_fsck(struct store *s, void (*fault)(void *arg, const char *text), void *arg, uint64_t *faults, struct err *err);

#endif
