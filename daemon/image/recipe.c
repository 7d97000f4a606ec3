#include "daemon/image/recipe.h"

#include <string.h>

#include "daemon/image/debian.h"
#include "daemon/image/rootfs.h"
#include "shared/base/mem.h"

/* What every VM needs soon is then in the page cache of the template, which all share, and links are resolved. */
static const char *const warm_base[] = {
	"/bin/true",
	"echo warm | cat; ls /; id; hostname; :",
	"/bin/sh -lc 'cat /etc/os-release /etc/host* /etc/machine-id; uname -a; true'", /* what a clone rewrites, too */
	"/bin/sync",
	NULL,
};

/* The first one waits for the end of the boot, and fails when a unit has failed. */
#define WARM_DEBIAN                                                                                                                \
	"systemctl is-system-running --wait", "bash -lc 'true; id; hostname; ls -la / /root >/dev/null; uname -a'",                \
		"su user -c 'cd; ls -la; sudo -n true'", "git --version", "python3 -c pass"

static const char *const warm_debian[] = { WARM_DEBIAN, "sync", NULL };
static const char *const warm_code[] = { WARM_DEBIAN, "node -e 0", "sync", NULL };

static const struct recipe recipes[] = {
	{ .name = "base", .version = 2, .busybox = true, .memory_mb = 256, .warm = warm_base, .make = rootfs_base },
	{ .name = "debian", .version = 2, .memory_mb = 512, .warm = warm_debian, .make = debian_disk },
	{ .name = "code", .version = 2, .memory_mb = 512, .warm = warm_code, .make = debian_code_disk },
};

static const char *const names[] = { "base", "debian", "code", NULL };

const struct recipe *recipe_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(recipes); i++)
		if (!strcmp(recipes[i].name, name))
			return &recipes[i];
	return NULL;
}

const char *const *recipe_names(void)
{
	return names;
}
