#include "daemon/image/rootfs.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/image/recipe.h"
#include "daemon/image/run.h"
#include "daemon/image/sparse.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define FILE_MAX ((size_t)64 << 20)
#define DISK_SIZE "4G" /* what the guest sees; the file holds only what is used */
#define USER_ID 1000
enum { BUSYBOX_MS = 5000, DISK_MS = 300000, TEXT_MAX = 1 << 20 };

struct tree {
	const char *dir;
	struct buf *owners;
	struct err *err;
};

struct dir_row {
	const char *path;
	unsigned mode, owner;
};

/* Parents first. */
static const struct dir_row dirs[] = {
	{ "/bin", 0755, 0 },
	{ "/sbin", 0755, 0 },
	{ "/usr", 0755, 0 },
	{ "/usr/bin", 0755, 0 },
	{ "/usr/sbin", 0755, 0 },
	{ "/usr/lib", 0755, 0 },
	{ "/usr/share", 0755, 0 },
	{ "/usr/local", 0755, 0 },
	{ "/usr/local/bin", 0755, 0 },
	{ "/lib", 0755, 0 },
	{ "/etc", 0755, 0 },
	{ "/etc/network", 0755, 0 },
	{ "/root", 0700, 0 },
	{ "/home", 0755, 0 },
	{ "/home/user", 0755, USER_ID },
	{ "/tmp", 01777, 0 },
	{ "/var", 0755, 0 },
	{ "/var/log", 0755, 0 },
	{ "/var/tmp", 01777, 0 },
	{ "/var/lib", 0755, 0 },
	{ "/var/cache", 0755, 0 },
	{ "/proc", 0555, 0 },
	{ "/sys", 0555, 0 },
	{ "/dev", 0755, 0 },
	{ "/run", 0755, 0 },
	{ "/mnt", 0755, 0 },
	{ "/opt", 0755, 0 },
	{ "/srv", 0755, 0 },
};

static const struct {
	const char *path, *text;
	unsigned mode;
} files[] = {
	{ "/etc/passwd",
		"root:x:0:0:root:/root:/bin/sh\n"
		"daemon:x:1:1:daemon:/:/bin/false\n"
		"nobody:x:65534:65534:nobody:/:/bin/false\n"
		"user:x:1000:1000:user:/home/user:/bin/sh\n",
		0644 },
	{ "/etc/group", "root:x:0:\ndaemon:x:1:\ntty:x:5:\ndisk:x:6:\nusers:x:100:user\nnogroup:x:65534:\nuser:x:1000:\n", 0644 },
	/* no password: nobody logs in by one, the agent starts processes as who is asked for */
	{ "/etc/shadow", "root:*:19000:0:99999:7:::\nuser:*:19000:0:99999:7:::\n", 0600 },
	{ "/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n", 0644 },
	{ "/etc/hostname", "sbx\n", 0644 },
	/* no id yet, as systemd too reads it; it is there so that a clone writes its own in place */
	{ "/etc/machine-id", "00000000000000000000000000000000\n", 0644 },
	{ "/etc/resolv.conf", "", 0644 },
	{ "/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n", 0644 },
	{ "/etc/shells", "/bin/sh\n/bin/ash\n", 0644 },
	{ "/etc/profile",
		"export PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}\n"
		"export PS1='\\u@\\h:\\w\\$ '\n"
		"umask 022\n",
		0644 },
	{ "/etc/os-release",
		"NAME=\"sbx base\"\nID=sbx\nPRETTY_NAME=\"sbx base (busybox on Debian's cloud kernel)\"\nVERSION_ID=1\n", 0644 },
};

/* Names of busybox that are not for us: init is the agent, linuxrc is history. */
static const char *const not_applets[] = { "linuxrc", "sbin/init", "init", "bin/busybox" };

static void own(struct tree *t, const char *path, unsigned owner)
{
	buf_fmt(t->owners, "sif %s uid %u\nsif %s gid %u\n", path, owner, path, owner);
}

static int make_dir(struct tree *t, const struct dir_row *row)
{
	auto_free char *path = mem_printf("%s%s", t->dir, row->path);

	/* chmod: mkdir is subject to the umask and may not set the sticky bit */
	if ((mkdir(path, 0700) && errno != EEXIST) || chmod(path, row->mode | 0700))
		return err_sys(t->err, errno, "cannot make '%s'", path);
	if ((row->mode | 0700) != row->mode)
		buf_fmt(t->owners, "sif %s mode 0%o\n", row->path, S_IFDIR | row->mode);
	own(t, row->path, row->owner);
	return 0;
}

static int make_file(struct tree *t, const char *name, const void *data, size_t n, unsigned mode)
{
	auto_free char *path = mem_printf("%s%s", t->dir, name);
	/* not durable: only the disk made of it must be */
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(t->err, errno, "cannot make '%s'", path);
	if (fs_write_all(fd, data, n, t->err))
		return err_prefix(t->err, "'%s'", path);
	if (fchmod(fd, mode))
		return err_sys(t->err, errno, "cannot change '%s'", path);
	own(t, name, 0);
	return 0;
}

static int copy_program(struct tree *t, const char *from, const char *name)
{
	auto_buf data = BUF_INIT;

	if (fs_read(from, FILE_MAX, &data, t->err))
		return -1;
	return make_file(t, name, data.p, data.len, 0755);
}

static bool is_applet(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(not_applets); i++)
		if (!strcmp(name, not_applets[i]))
			return false;
	/* what debugfs and the tree can take as it is */
	return name[0] && name[0] != '/' && !strstr(name, "..") && !strpbrk(name, " \t\"'\\");
}

static int link_applets(struct tree *t, const char *busybox)
{
	auto_buf list = BUF_INIT;
	const char *const argv[] = { busybox, "--list-full", NULL };
	struct run run = { .argv = argv, .timeout_ms = BUSYBOX_MS, .max_output = TEXT_MAX };

	if (run_capture(&run, &list, t->err))
		return -1;
	for (char *rest = list.p, *name; (name = strsep(&rest, "\n"));) {
		auto_free char *inside = mem_printf("/%s", name);
		auto_free char *path = mem_printf("%s%s", t->dir, inside);
		if (!is_applet(name))
			continue;
		if (symlink("/bin/busybox", path) && errno != EEXIST)
			return err_sys(t->err, errno, "cannot make '%s'", path);
		own(t, inside, 0);
	}
	return 0;
}

static int make_tree(struct tree *t, const char *busybox)
{
	if (fs_mkdirs(t->dir, 0755, t->err))
		return -1;
	/* or the kernel reads all bitmaps in the background after the mount, in every VM anew */
	buf_str(t->owners, "ssv mount_opts no_prefetch_block_bitmaps\n");
	own(t, "/", 0);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (make_dir(t, &dirs[i]))
			return -1;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (make_file(t, files[i].path, files[i].text, strlen(files[i].text), files[i].mode))
			return -1;
	return copy_program(t, busybox, "/bin/busybox") || link_applets(t, busybox) ? -1 : 0;
}

static int make_disk(const struct tree *t, const char *tmp, const char *path)
{
	auto_free char *script = fs_join(tmp, "owners.debugfs");
	/* A journal, though a small one: the disk may one day be started again after the guest was killed. Inode tables are
	 * zeroed here, so that the guest has no such work in the background; sparse_punch gives the space back. */
	const char *const format[] = { "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-J", "size=8", "-L", "sbx",
		"-O", "^resize_inode", "-E", "root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0", "-d", t->dir, path, DISK_SIZE,
		NULL };
	/* mke2fs keeps the owners of the tree, and that is whoever builds */
	const char *const chown[] = { "debugfs", "-w", "-f", script, path, NULL };
	struct run run = { .argv = format, .timeout_ms = DISK_MS, .max_output = TEXT_MAX };

	if (buf_failed(t->owners))
		return err_set(t->err, ERR_INTERNAL, "no memory for the owners of the root file system");
	if (fs_write_atomic(script, t->owners->p, t->owners->len, 0644, t->err) || run_capture(&run, NULL, t->err))
		return -1;
	run.argv = chown;
	if (run_capture(&run, NULL, t->err))
		return -1;
	auto_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || sparse_punch(fd, NULL) || fsync(fd))
		return err_sys(t->err, errno, "cannot sync '%s'", path);
	return 0;
}

int rootfs_base(const struct disk_job *job)
{
	auto_buf owners = BUF_INIT;
	auto_free char *dir = fs_join(job->tmp, "tree");
	struct tree t = { .dir = dir, .owners = &owners, .err = job->err };

	if (job->progress)
		job->progress(job->arg, "rootfs", "busybox");
	if (make_tree(&t, job->busybox))
		return -1;
	if (job->progress)
		job->progress(job->arg, "disk", "ext4");
	return make_disk(&t, job->tmp, job->disk);
}

/* A 64-bit ELF without an interpreter: it runs with no libraries around it. Only its first page is read, since this is
 * on the path of every create. */
static bool is_static(const char *path)
{
	char page[4096];
	Elf64_Ehdr h;
	Elf64_Phdr p;
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, page, sizeof(page));

	if (n < (ssize_t)sizeof(h))
		return false;
	memcpy(&h, page, sizeof(h));
	if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_phentsize != sizeof(p) ||
		h.e_phoff > (size_t)n || h.e_phnum > ((size_t)n - h.e_phoff) / sizeof(p))
		return false;
	for (unsigned i = 0; i < h.e_phnum; i++) {
		memcpy(&p, page + h.e_phoff + i * sizeof(p), sizeof(p));
		if (p.p_type == PT_INTERP)
			return false;
	}
	return true;
}

char *rootfs_busybox(struct err *err)
{
	static const char *const places[] = { "/bin/busybox", "/usr/bin/busybox" };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (is_static(places[i]))
			return mem_strdup(places[i]);
	}
	err_set(err, ERR_NOT_FOUND, "no static busybox on this machine");
	err_hint(err, "install the package busybox-static");
	return NULL;
}
