#include "daemon/core/isolation.h"

#include <string.h>

#include "daemon/vm/jail.h"

_Static_assert(JAIL_LAYERS <= ISOLATION_LAYERS_MAX, "all layers fit");

int isolation_layers(struct isolation_layer out[ISOLATION_LAYERS_MAX], struct err *err)
{
	struct jail_report report;

	if (jail_probe(&report, err))
		return -1;
	for (unsigned i = 0; i < JAIL_LAYERS; i++) {
		int why = report.why[i];
		const char *text = why ? strerrordesc_np(why) : NULL;
		out[i] = (struct isolation_layer){ .name = jail_layer_name(i),
			.reason = why && !text ? "unknown error" : text,
			.mend = jail_mend(i, why) };
	}
	return JAIL_LAYERS;
}
