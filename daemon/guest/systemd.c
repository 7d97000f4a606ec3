#include "daemon/guest/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/guest/agent.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define RUNTIME "/run/systemd"
#define UNITS RUNTIME "/system"
#define UNIT "sbx-agent.service"

static const char *const folders[] = { RUNTIME, UNITS, UNITS "/sysinit.target.wants", UNITS "/systemd-journald.service.d",
	RUNTIME "/journald.conf.d", RUNTIME "/system.conf.d" };

/*
 * As early as can be: a boot that hangs can then be looked at. It is not stopped before the guest is switched off, and when it
 * is started again the commands go on (KillMode). A command that runs out of memory must not take the agent with it: OOMPolicy;
 * no OOMScoreAdjust, which the commands would inherit, and the agent is small enough not to be chosen.
 */
static const struct {
	const char *path, *text;
} files[] = {
	{ UNITS "/" UNIT,
		"[Unit]\n"
		"Description=sbx agent\n"
		"DefaultDependencies=no\n"
		"StartLimitIntervalSec=0\n"
		"[Service]\n"
		"ExecStart=" SETUP_AGENT " --guest\n"
		"Restart=always\n"
		"RestartSec=100ms\n"
		"KillMode=process\n"
		"OOMPolicy=continue\n"
		"TasksMax=infinity\n"
		"TimeoutStopSec=2\n"
		"StandardInput=null\n"
		"StandardOutput=null\n"
		"StandardError=null\n" },
	/* in memory and small: the disk is the user's, and writing to it would wake the guest up */
	{ RUNTIME "/journald.conf.d/50-sbx.conf", "[Journal]\nStorage=volatile\nRuntimeMaxUse=8M\n" },
	/* emulation on a busy host is slow: a unit that takes minutes has not failed */
	{ RUNTIME "/system.conf.d/50-sbx.conf", "[Manager]\nDefaultTimeoutStartSec=5min\nDefaultDeviceTimeoutSec=5min\n" },
	/* a VM that was frozen for a week has not missed its deadline */
	{ UNITS "/systemd-journald.service.d/50-sbx.conf", "[Service]\nWatchdogSec=0\n" },
};

/* What would wait for a device that is not there, take memory for a seat that nobody sits at, or wake up by the clock. */
static const char *const masked[] = {
	"getty.target",
	"serial-getty@ttyS0.service",
	"getty@tty1.service",
	"console-getty.service",
	"systemd-logind.service",
	"dbus-org.freedesktop.login1.service", /* its other name, by which the bus would start it */
	"systemd-networkd-wait-online.service",
	"NetworkManager-wait-online.service",
	"systemd-timesyncd.service",
	"systemd-firstboot.service",
	"apt-daily.timer",
	"apt-daily-upgrade.timer",
	"dpkg-db-backup.timer",
	"e2scrub_all.timer",
	"e2scrub_reap.service",
	"fstrim.timer",
	"logrotate.timer",
	"man-db.timer",
	"motd-news.timer",
	"systemd-tmpfiles-clean.timer",
	"systemd-hwdb-update.service",
	"systemd-pstore.service",
	/* nor is time spent, at every boot, on file systems that nobody asked for */
	"dev-hugepages.mount",
	"proc-sys-fs-binfmt_misc.automount",
	"sys-kernel-debug.mount",
	"sys-kernel-tracing.mount",
};

bool systemd_is_there(void)
{
	struct stat st;

	return !access(SYSTEMD_PROGRAM, X_OK) && !lstat("/sbin/init", &st);
}

static int write_new(const char *path, const char *text)
{
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

int systemd_prepare(void)
{
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (mkdir(folders[i], 0755) && errno != EEXIST)
			return -1;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (write_new(files[i].path, files[i].text))
			return -1;
	for (size_t i = 0; i < ARRAY_LEN(masked); i++) {
		auto_free char *path = mem_printf(UNITS "/%s", masked[i]);

		if (symlink("/dev/null", path) && errno != EEXIST)
			return -1;
	}
	return symlink("../" UNIT, UNITS "/sysinit.target.wants/" UNIT) && errno != EEXIST ? -1 : 0;
}
