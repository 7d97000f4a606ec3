/* agent info: figures about the guest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#include <fcntl.h>

#include "daemon/guest/agent.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/version.h"

/* MemAvailable of /proc/meminfo, which sysinfo(2) does not tell. */
static int64_t available_kb(int64_t def)
{
	char text[512];
	auto_fd int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *at;

	if (n <= 0)
		return def;
	text[n] = '\0';
	at = strstr(text, "MemAvailable:");
	return at ? strtoll(at + strlen("MemAvailable:"), NULL, 10) : def;
}

void info_open(struct agent *a, struct stream *s, struct rec r)
{
	struct sysinfo si = { 0 };
	char host[256] = "";
	struct jw w;

	(void)r;
	if (sysinfo(&si) || gethostname(host, sizeof(host) - 1)) {
		stream_fail(a, s, 5, "the kernel tells nothing");
		return;
	}
	jw_init(&w, &s->mem);
	jw_obj(&w);
	jw_kstr(&w, "hostname", host);
	jw_kint(&w, "uptimeMs", (int64_t)si.uptime * 1000);
	jw_kint(&w, "memTotalKb", (int64_t)(si.totalram / 1024 * si.mem_unit));
	jw_kint(&w, "memAvailableKb", available_kb((int64_t)(si.freeram / 1024 * si.mem_unit)));
	jw_kint(&w, "processes", si.procs);
	jw_kstr(&w, "agentVersion", sbx_version);
	jw_key(&w, "load");
	jw_arr(&w);
	for (int i = 0; i < 3; i++)
		jw_num(&w, (double)(si.loads[i] * 100 >> SI_LOAD_SHIFT) / 100);
	jw_arr_end(&w);
	jw_obj_end(&w);
	stream_started(a, s, false);
}
