#include "daemon/image/kernel.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "daemon/image/cpio.h"
#include "daemon/image/run.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define META "linux-image-cloud-amd64"
#define FILE_MAX ((size_t)256 << 20)
#define SPACE_MIN ((uint64_t)1 << 20) /* with less the disk is full */
enum { APT_MS = 30000, UPDATE_MS = 180000, DOWNLOAD_MS = 600000, UNPACK_MS = 60000, TEXT_MAX = 1 << 20 };

/* In load order; each is checked to come after what it depends on. */
static const char *const modules[] = {
	"drivers/virtio/virtio_ring",
	"drivers/virtio/virtio",
	"drivers/virtio/virtio_mmio",
	"drivers/char/virtio_console",
	"drivers/block/virtio_blk",
	"net/core/failover",
	"drivers/net/net_failover",
	"drivers/net/virtio_net",
};

/* Loaded when something in the guest asks for them (daemon/guest/modules.h), dependencies first. They cost a megabyte of the
 * template's memory, which its VMs share. */
static const char *const on_demand[] = {
	"fs/overlayfs/overlay",
	"lib/libcrc32c",
	"fs/erofs/erofs",
	"fs/squashfs/squashfs",
	"drivers/block/loop",
};

/* The word after `label` in apt's output, if it can be part of a command line and a file name. */
static int word_after(const char *text, const char *label, char *out, size_t size)
{
	const char *p = strstr(text, label);
	size_t n = 0;

	if (!p)
		return -1;
	p += strlen(label);
	while (isalnum((unsigned char)p[n]) || (p[n] && strchr(".+~:-", p[n])))
		n++;
	if (n == 0 || n >= size || !isalnum((unsigned char)p[0]))
		return -1;
	memcpy(out, p, n);
	out[n] = '\0';
	return 0;
}

static int ask_apt(struct kernel_package *out, struct err *err)
{
	auto_buf text = BUF_INIT;
	const char *const depends[] = { "apt-cache", "depends", META, NULL };
	struct run run = { .argv = depends, .timeout_ms = APT_MS, .max_output = TEXT_MAX };

	if (run_capture(&run, &text, err))
		return -1;
	if (word_after(text.p, "Depends: ", out->name, sizeof(out->name)))
		return err_set(err, ERR_NOT_FOUND, "apt does not know which package '" META "' stands for");
	const char *const policy[] = { "apt-cache", "policy", out->name, NULL };
	run.argv = policy;
	buf_clear(&text);
	if (run_capture(&run, &text, err))
		return -1;
	if (word_after(text.p, "Candidate: ", out->version, sizeof(out->version)))
		return err_set(err, ERR_NOT_FOUND, "apt does not know package '%s'", out->name);
	return 0;
}

int kernel_candidate(struct kernel_package *out, struct err *err)
{
	static const char *const update[] = { "apt-get", "update", "-q", NULL };
	struct run run = { .argv = update, .timeout_ms = UPDATE_MS, .max_output = TEXT_MAX };

	if (!ask_apt(out, err))
		return 0;
	if (geteuid() != 0)
		return err_hint(err, "run 'sudo apt-get update' and try again");
	err_clear(err);
	if (run_capture(&run, NULL, err))
		return err_hint(err, "the kernel comes from Debian's archive: check the network and /etc/apt/sources.list");
	return ask_apt(out, err);
}

/* The first entry of dir that has prefix and suffix, as a path; NULL when there is none. */
static char *find_entry(const char *dir, const char *prefix, const char *suffix)
{
	char *found = NULL;
	DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && !found && (e = readdir(d))) /* NOLINT(concurrency-mt-unsafe): own stream */
		if (e->d_name[0] != '.' && str_starts(e->d_name, prefix) && str_ends(e->d_name, suffix))
			found = fs_join(dir, e->d_name);
	if (d)
		closedir(d);
	return found;
}

/* apt-get chooses the file's name: let it do so in a folder of its own. */
static int download(const struct kernel_package *package, const char *to, struct err *err)
{
	auto_free char *dir = mem_printf("%s.tmp.%ld", to, (long)getpid());
	auto_free char *what = mem_printf("%s=%s", package->name, package->version);
	const char *const argv[] = { "apt-get", "download", "-q", what, NULL };
	struct run run = { .argv = argv, .dir = dir, .timeout_ms = DOWNLOAD_MS, .max_output = TEXT_MAX };

	if (fs_mkdirs(dir, 0755, err))
		return -1;
	int r = run_capture(&run, NULL, err);
	if (r) {
		err_hint(err, "the kernel package is downloaded once from Debian's archive: check the network");
	} else {
		auto_free char *deb = find_entry(dir, "", ".deb");
		if (!deb)
			r = err_set(err, ERR_IO, "apt-get downloaded no package '%s'", package->name);
		else if (rename(deb, to))
			r = err_sys(err, errno, "cannot rename '%s'", deb);
	}
	fs_remove_tree(dir, NULL);
	return r;
}

static bool is_full(const char *dir)
{
	struct statvfs s;
	return !statvfs(dir, &s) && (uint64_t)s.f_bavail * s.f_frsize < SPACE_MIN;
}

int kernel_unpack(const char *cache, const struct kernel_package *package, const char *dir, struct err *err)
{
	auto_free char *debs = fs_join(cache, "debs");
	auto_free char *deb = mem_printf("%s/%s_%s.deb", debs, package->name, package->version);
	const char *const argv[] = { "dpkg-deb", "-x", deb, dir, NULL };
	struct run run = { .argv = argv, .timeout_ms = UNPACK_MS, .max_output = TEXT_MAX };

	if (fs_mkdirs(debs, 0755, err))
		return -1;
	if (!fs_exists(deb) && download(package, deb, err))
		return -1;
	if (!run_capture(&run, NULL, err))
		return 0;
	if (is_full(dir)) /* which dpkg-deb says once for every file; the package is good */
		return err_sys(err, ENOSPC, "cannot unpack '%s'", deb);
	unlink(deb); /* it may be damaged: fetch it anew next time */
	return -1;
}

int kernel_write_elf(const char *dir, const char *path, char **release, struct err *err)
{
	auto_buf image = BUF_INIT;
	auto_buf elf = BUF_INIT;
	auto_free char *boot = fs_join(dir, "boot");
	auto_free char *vmlinuz = find_entry(boot, "vmlinuz-", "");

	if (!vmlinuz)
		return err_set(err, ERR_NOT_FOUND, "no kernel in '%s'", boot);
	if (fs_read(vmlinuz, FILE_MAX, &image, err) || kernel_elf(image.p, image.len, &elf, err))
		return err_prefix(err, "kernel '%s'", strrchr(vmlinuz, '/') + 1);
	if (fs_write_atomic(path, elf.p, elf.len, 0644, err))
		return -1;
	*release = mem_strdup(strstr(vmlinuz, "/vmlinuz-") + strlen("/vmlinuz-"));
	return 0;
}

/* The value of the next `key` ("\0depends=") in .modinfo, a section of NUL-terminated strings, from *at on; NULL when there is
 * none. */
static const char *module_info(const struct buf *text, const char *key, size_t key_n, size_t *at)
{
	const char *p = *at < text->len ? memmem(text->p + *at, text->len - *at, key, key_n) : NULL;

	if (!p)
		return NULL;
	*at = (size_t)(p - text->p) + key_n;
	return p + key_n;
}

static const char *module_depends(const struct buf *text)
{
	static const char key[] = "\0depends=";
	size_t at = 0;

	return module_info(text, key, sizeof(key) - 1, &at);
}

int kernel_check_depends(const char *name, const struct buf *text, const char *loaded, struct err *err)
{
	const char *depends = module_depends(text);

	for (size_t n; depends && *depends; depends += n + (depends[n] == ',')) {
		n = strcspn(depends, ",");
		auto_free char *wanted = mem_printf(",%.*s,", (int)n, depends);
		if (!strstr(loaded, wanted))
			return err_set(
				err, ERR_INVALID, "module '%s' needs '%.*s', which is not loaded before it", name, (int)n, depends);
	}
	return 0;
}

struct initrd {
	struct cpio cpio;
	const char *tree;  /* with the modules */
	struct buf loaded; /* names so far, each between commas */
	struct err *err;
};

/* Its .ko as <folder>/<name>.ko. */
static int add_module(struct initrd *rd, const char *module, const char *folder, struct buf *text)
{
	const char *name = strrchr(module, '/') + 1;
	auto_free char *path = mem_printf("%s/%s.ko", rd->tree, module);
	auto_free char *inside = mem_printf("%s/%s.ko", folder, name);

	if (fs_read(path, FILE_MAX, text, rd->err) || kernel_check_depends(name, text, rd->loaded.p, rd->err))
		return -1;
	cpio_file(&rd->cpio, inside, 0644, text->p, text->len);
	buf_fmt(&rd->loaded, "%s,", name);
	return 0;
}

static int add_boot_modules(struct initrd *rd)
{
	auto_buf list = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(modules); i++) {
		auto_buf text = BUF_INIT;

		if (add_module(rd, modules[i], "lib/sbx", &text))
			return -1;
		buf_fmt(&list, "/lib/sbx/%s.ko\n", strrchr(modules[i], '/') + 1);
	}
	cpio_file(&rd->cpio, "lib/sbx/modules", 0644, list.p, list.len);
	return 0;
}

/* "NAME ALIASES DEPENDENCIES": what the guest's modprobe reads. Aliases with a wildcard are left out. */
void kernel_module_row(const char *name, const struct buf *text, struct buf *out)
{
	static const char key[] = "\0alias=";
	const char *depends = module_depends(text);
	const char *alias;
	bool any = false;

	buf_fmt(out, "%s ", name);
	for (size_t at = 0; (alias = module_info(text, key, sizeof(key) - 1, &at));) {
		if (!strpbrk(alias, "* ,")) {
			buf_fmt(out, "%s%s", any ? "," : "", alias);
			any = true;
		}
	}
	buf_fmt(out, "%s %s\n", any ? "" : "-", depends && *depends ? depends : "-");
}

static int add_on_demand(struct initrd *rd)
{
	auto_buf index = BUF_INIT;

	cpio_dir(&rd->cpio, "lib/sbx/modules.d", 0755);
	for (size_t i = 0; i < ARRAY_LEN(on_demand); i++) {
		auto_buf text = BUF_INIT;

		if (add_module(rd, on_demand[i], "lib/sbx/modules.d", &text))
			return -1;
		kernel_module_row(strrchr(on_demand[i], '/') + 1, &text, &index);
	}
	cpio_file(&rd->cpio, "lib/sbx/modules.d/index", 0644, index.p, index.len);
	return 0;
}

static int fill_initrd(struct initrd *rd, const struct buf *agent)
{
	static const char *const dirs[] = { "dev", "proc", "sys", "root", "lib", "lib/sbx" };

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		cpio_dir(&rd->cpio, dirs[i], 0755);
	cpio_file(&rd->cpio, "init", 0755, agent->p, agent->len);
	cpio_file(&rd->cpio, "sbx-initramfs", 0644, "", 0);
	buf_ch(&rd->loaded, ',');
	if (add_boot_modules(rd) || add_on_demand(rd))
		return -1;
	cpio_end(&rd->cpio);
	return 0;
}

int kernel_write_initrd(const char *dir, const char *release, const char *init, const char *path, struct err *err)
{
	auto_buf out = BUF_INIT;
	auto_buf agent = BUF_INIT;
	auto_free char *tree = mem_printf("%s/lib/modules/%s/kernel", dir, release);
	struct initrd rd = { .tree = tree, .loaded = BUF_INIT, .err = err };

	if (fs_read(init, FILE_MAX, &agent, err))
		return -1;
	cpio_init(&rd.cpio, &out);
	int r = fill_initrd(&rd, &agent);
	buf_free(&rd.loaded);
	if (r)
		return -1;
	if (buf_failed(&out))
		return err_set(err, ERR_INTERNAL, "no memory for the initial file system");
	return fs_write_atomic(path, out.p, out.len, 0644, err);
}
