/* isolation: how VMs are shut away from this host, and from each other. */
#ifndef SBX_CORE_ISOLATION_H
#define SBX_CORE_ISOLATION_H

#include <stddef.h>

#include "shared/base/err.h"

#define ISOLATION_LAYERS_MAX 16

struct isolation_layer {
	const char *name;
	const char *reason; /* why it is not on; NULL: it is */
	const char *mend;   /* what to do about it */
};

/* Found out anew each time, in some milliseconds, by a process that goes where VMs go. Returns how many; -1 with err. */
int isolation_layers(struct isolation_layer out[ISOLATION_LAYERS_MAX], struct err *err);

#endif
