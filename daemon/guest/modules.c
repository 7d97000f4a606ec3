#include "daemon/guest/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "shared/base/mem.h"

#define MODPROBE "/run/sbx/modprobe"
#define INDEX MODULES_DIR "/index"
enum { LINE = 512, DEPTH_MAX = 4, LOOP_CONTROL = 237 };

int modules_insert(const char *path)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	return syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST ? -1 : 0;
}

/* Is `word` one of a list that is separated by commas? */
static bool in_list(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; p && len; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (!strncmp(p, word, len) && (p[len] == ',' || p[len] == '\0'))
			return true;
	return false;
}

/* A line of the index: "NAME ALIASES DEPENDENCIES", lists with commas, "-" for an empty one. */
struct row {
	char line[LINE];
	const char *name, *aliases, *depends;
};

static bool find_row(const char *alias, struct row *row)
{
	FILE *f = fopen(INDEX, "re");
	bool found = false;

	while (f && !found && fgets(row->line, sizeof(row->line), f)) {
		char *rest = row->line;

		row->name = strsep(&rest, " \n");
		row->aliases = strsep(&rest, " \n");
		row->depends = strsep(&rest, " \n");
		found = row->depends && (!strcmp(row->name, alias) || in_list(row->aliases, alias));
	}
	if (f)
		fclose(f);
	return found;
}

static int load(const char *alias, int depth)
{
	struct row row;

	if (depth > DEPTH_MAX || !find_row(alias, &row)) {
		errno = ENOENT;
		return -1;
	}
	auto_free char *path = mem_printf(MODULES_DIR "/%s.ko", row.name);
	auto_free char *depends = mem_strdup(row.depends);
	char *rest = strcmp(depends, "-") != 0 ? depends : NULL;

	for (const char *one; (one = strsep(&rest, ","));)
		if (load(one, depth + 1))
			return -1;
	return modules_insert(path);
}

int modules_load(const char *alias)
{
	return load(alias, 0);
}

int modules_announce(const char *root)
{
	auto_free char *link = mem_printf("%s" MODPROBE, root);
	auto_fd int fd = open("/proc/sys/kernel/modprobe", O_WRONLY | O_CLOEXEC);

	/* nobody would ask for the module of a device that is not there */
	if (mknod("/dev/loop-control", S_IFCHR | 0660, makedev(10, LOOP_CONTROL)) && errno != EEXIST)
		return -1;
	if (symlink("sbx-agent", link) || fd < 0 || write(fd, MODPROBE, strlen(MODPROBE)) < 0)
		return -1;
	return 0;
}

bool modules_is_modprobe(const char *argv0)
{
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL;

	return argv0 && !strcmp(slash ? slash + 1 : argv0, "modprobe");
}

int modules_modprobe(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[argc - 1] : "";

	return *name && *name != '-' && !modules_load(name) ? 0 : 1;
}
