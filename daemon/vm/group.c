#include "daemon/vm/group.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/vm/jail.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define MOUNTS "/sys/fs/cgroup"
#define TEXT_MAX 65536
/* The VMM itself takes 60 MiB, its translated code 64, and block caches grow with the disk. What is shared (templates) is counted
 * where it was first touched, which is the daemon. */
enum { OVERHEAD_MB = 512, CONTROLLERS = 2 };

/* The daemon's own group, once for each controller; both the same in version 2. NULL: none. */
struct groups {
	char *base[CONTROLLERS];
	bool two; /* version 2 */
};
static const char *const controllers[CONTROLLERS] = { "memory", "pids" };
static const char *const limits[2][CONTROLLERS] = {
	{ "memory.limit_in_bytes", "pids.max" },
	{ "memory.max", "pids.max" },
};

static void release(struct groups *g)
{
	for (size_t i = 0; i < CONTROLLERS; i++)
		free(g->base[i]);
}

static int put(const char *dir, const char *file, const char *text)
{
	auto_free char *path = fs_join(dir, file);
	auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? errno : 0;
}

/* A line of /proc/self/cgroup: "NUMBER:CONTROLLERS:PATH", the second empty in version 2. */
static void take_line(struct groups *g, char *line)
{
	strsep(&line, ":");
	const char *names = line ? strsep(&line, ":") : NULL;

	for (size_t i = 0; line && i < CONTROLLERS; i++)
		if (*names ? !strcmp(names, controllers[i]) : !g->base[i] && g->two)
			g->base[i] = g->two ? mem_printf(MOUNTS "%s", line) : mem_printf(MOUNTS "/%s%s", names, line);
}

/* 0, or why there are none; g is to be released anyway. */
static int find(struct groups *g)
{
	auto_buf text = BUF_INIT;

	*g = (struct groups){ .two = !access(MOUNTS "/cgroup.controllers", F_OK) };
	if (fs_read("/proc/self/cgroup", TEXT_MAX, &text, NULL))
		return ENOENT;
	char *rest = text.p;
	for (char *line; (line = strsep(&rest, "\n"));)
		take_line(g, line);
	for (size_t i = 0; i < CONTROLLERS; i++) {
		if (!g->base[i] || access(g->base[i], F_OK))
			return ENOENT;
		if (access(g->base[i], W_OK))
			return errno;
	}
	/* refused (EBUSY) where the daemon itself is a member, but for the topmost group: then it has to be started in one of its
	 * own */
	return g->two ? put(g->base[0], "cgroup.subtree_control", "+memory +pids") : 0;
}

int group_probe(void)
{
	struct groups g;
	int why = find(&g);

	release(&g);
	return why;
}

static void limit(const struct groups *g, size_t i, const char *name, const char *pid, unsigned memory_mb)
{
	auto_free char *dir = fs_join(g->base[i], name);
	auto_free char *most =
		i ? mem_printf("%d", JAIL_PROCESSES) : mem_printf("%llu", ((unsigned long long)memory_mb + OVERHEAD_MB) << 20);

	if ((mkdir(dir, 0755) && errno != EEXIST) || put(dir, limits[g->two][i], most))
		return;
	if (!g->two || i + 1 == CONTROLLERS)
		put(dir, "cgroup.procs", pid);
}

void group_enter(pid_t pid, unsigned memory_mb)
{
	struct groups g;
	auto_free char *number = mem_printf("%ld", (long)pid);
	auto_free char *name = mem_printf("sbx-%ld", (long)pid);

	if (!find(&g))
		for (size_t i = 0; i < CONTROLLERS; i++)
			limit(&g, i, name, number, memory_mb);
	release(&g);
}

void group_remove(pid_t pid)
{
	struct groups g;
	auto_free char *name = mem_printf("sbx-%ld", (long)pid);

	if (!find(&g))
		for (size_t i = 0; i < CONTROLLERS; i++) {
			auto_free char *dir = fs_join(g.base[i], name);
			rmdir(dir);
		}
	release(&g);
}
