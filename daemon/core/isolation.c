#include "daemon/core/isolation.h"

#include <errno.h>
#include <string.h>

#include "daemon/vm/group.h"
#include "daemon/vm/jail.h"

_Static_assert(JAIL_LAYERS < ISOLATION_LAYERS_MAX, "all layers fit");

static struct isolation_layer layer(const char *name, int why, const char *mend)
{
	/* what ENOSPC means to namespaces has nothing to do with disks */
	const char *text = why == ENOSPC ? "no more namespaces are allowed" : why ? strerrordesc_np(why) : NULL;
	return (struct isolation_layer){ .name = name, .reason = why && !text ? "unknown error" : text, .mend = why ? mend : "" };
}

int isolation_layers(struct isolation_layer out[ISOLATION_LAYERS_MAX], struct err *err)
{
	struct jail_report report;

	if (jail_probe(&report, err))
		return -1;
	for (unsigned i = 0; i < JAIL_LAYERS; i++)
		out[i] = layer(jail_layer_name(i), report.why[i], jail_mend(i, report.why[i]));
	out[JAIL_LAYERS] = layer("cgroup", group_probe(),
		"start the daemon in a control group of its own that it may write to, as with: systemd-run --user --scope -p "
		"Delegate=yes sbx up");
	return JAIL_LAYERS + 1;
}
