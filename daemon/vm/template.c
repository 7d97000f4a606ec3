#include "daemon/vm/template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/image/hash.h"
#include "daemon/image/sparse.h"
#include "daemon/vm/accel.h"
#include "daemon/vm/boot.h"
#include "daemon/vm/qmp.h"
#include "daemon/vm/ram.h"
#include "shared/net/sock.h"
#include "daemon/vm/spawn.h"
#include "shared/base/fs.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/*
 * How a template is made: boot, let the agent answer, run a few commands so that what every VM needs is in the guest's
 * page cache, go away, stop, and save the devices (xen-save-devices-state records "running", so that a restored VM runs on
 * without being told). The memory is a shared file in memory, copied to one on disk. The agent's port is saved with no host
 * attached, which is what a restored VM starts from; the first connection then reaches the guest as an "open" event.
 */
#define KEY_LENGTH 16
#define PRUNE_AFTER_MS (10 * 60 * 1000) /* another process may be about to start a VM on it */
#define JSON_MAX ((size_t)64 << 10)
#define STATE_SET 1000
#define STATE_PATH "1000"
enum {
	FIRST_BOOT_MS = 20000, /* ten times what it takes; with two vCPUs the kernel was seen to hang once in some 40 boots */
	BOOT_MS = 180000,      /* systemd on a busy host may take that long to come to the agent */
	WARM_MS = 300000,      /* the first command may wait for systemd, which takes its time in emulation */
	SETTLE_MS = 300,       /* for the guest to notice that the host has gone, and to become idle */
	QMP_MS = 20000,
	QUIT_MS = 5000,
};

void template_free(struct template *t)
{
	free(t->key);
	free(t->dir);
	free(t->ram);
	free(t->state);
	free(t->disk);
	free(t->image_name);
	free(t->image_dir);
	free(t->kernel);
	free(t->initrd);
	free(t->rootfs);
	*t = (struct template){ 0 };
}

static void template_key(
	const struct image *image, const struct accel_facts *f, unsigned vcpus, unsigned memory_mb, char out[KEY_LENGTH + 1])
{
	auto_buf text = BUF_INIT;
	char sha[HASH_HEX];

	/* the measured rate differs by a few kHz from one start of the host to the next, and that does not matter */
	buf_fmt(&text, "machine=%d\nimage=%s\nqemu=%s %s\naccel=%s\nvcpus=%u\nmemory=%u\ntsc=%llu MHz\n", MACHINE_VERSION,
		image->key, f->version, f->qemu_id, accel_name(f->accel), vcpus, memory_mb,
		(unsigned long long)(f->tsc_khz + 500) / 1000);
	/* the real processor shows in the state, and a new microcode or kernel may change what it can */
	if (f->accel == VM_ACCEL_KVM)
		buf_fmt(&text, "boot=%s\n", f->boot_id);
	hash_bytes(text.p, text.len, sha);
	memcpy(out, sha, KEY_LENGTH);
	out[KEY_LENGTH] = '\0';
}

static void template_fill(
	const char *cache, const struct image *image, const struct machine *shape, const char *key, struct template *out)
{
	*out = (struct template){ .key = mem_strdup(key),
		.dir = mem_printf("%s/templates/%s", cache, key),
		.accel = shape->accel,
		.vcpus = shape->vcpus,
		.memory_mb = shape->memory_mb };
	out->ram = fs_join(out->dir, "ram");
	out->state = fs_join(out->dir, "state");
	out->disk = fs_join(out->dir, "disk.qcow2");
	out->image_name = mem_strdup(image->name);
	out->image_dir = mem_strdup(image->dir);
	out->kernel = mem_strdup(image->kernel);
	out->initrd = mem_strdup(image->initrd);
	out->rootfs = mem_strdup(image->rootfs);
}

/* template.json is written last and the folder renamed after that: where it is, all is. */
static bool is_complete(const struct template *t)
{
	auto_free char *path = fs_join(t->dir, "template.json");
	return fs_exists(path);
}

int template_find(
	const char *cache, const struct image *image, unsigned vcpus, unsigned memory_mb, struct template *out, struct err *err)
{
	struct accel_facts f;
	char key[KEY_LENGTH + 1];
	int r = accel_facts_read(cache, &f, err);

	*out = (struct template){ 0 };
	if (r == 1) {
		struct machine shape = { .accel = f.accel, .vcpus = vcpus, .memory_mb = memory_mb };
		template_key(image, &f, vcpus, memory_mb, key);
		template_fill(cache, image, &shape, key, out);
		if (!is_complete(out)) {
			template_free(out);
			r = 0;
		}
	}
	accel_facts_free(&f);
	return r;
}

/* ---- building ---- */

struct making {
	const char *cache;
	const struct image *image;
	const struct accel_facts *facts;
	struct machine shape;
	build_progress *progress;
	void *arg;
	struct err *err;
};

static void say(const struct making *b, const char *phase, const char *text)
{
	if (b->progress)
		b->progress(b->arg, phase, text);
}

static int warm_up(struct boot *boot, const struct image *image, struct err *err)
{
	int64_t deadline = clock_mono_ms() + WARM_MS;

	for (char **command = image->warm; *command; command++) {
		const char *const argv[] = { "sh", "-c", *command, NULL }; /* by name: the folders of PATH are read too */
		int code = 0;
		if (probe_exec(&boot->probe, argv, deadline, &code, err))
			return err_prefix(err, "warming the guest with '%s'", *command);
		if (code)
			return err_set(err, ERR_INTERNAL, "'%s' in the guest ended with code %d", *command, code);
	}
	probe_close(&boot->probe);
	poll(NULL, 0, SETTLE_MS);
	return 0;
}

/* Stopped first, and for good: the memory is the file, which must not change any more once the devices are saved. */
static int save_state(const struct boot *boot, int state, struct err *err)
{
	auto_free char *path = fs_join(boot->dir, "qmp.sock");
	int fd = sock_connect(path, err);
	struct qmp *q = fd < 0 ? NULL : qmp_open(fd, QMP_MS, err);

	if (!q)
		return -1;
	int r = qmp_execute(q, "stop", NULL, NULL, err);
	if (!r)
		r = qmp_add_fd(q, STATE_SET, state, err);
	if (!r)
		r = qmp_execute(
			q, "xen-save-devices-state", "{\"filename\":\"/dev/fdset/" STATE_PATH "\",\"live\":false}", NULL, err);
	if (!r)
		r = qmp_execute(q, "quit", NULL, NULL, err);
	qmp_close(q);
	return r;
}

static int sync_file(const char *path, bool punch, struct err *err)
{
	auto_fd int fd = open(path, O_RDWR | O_CLOEXEC);

	/* most of a small guest's memory is zero */
	if (fd < 0 || (punch && sparse_punch(fd, err)) || fsync(fd))
		return err_sys(err, errno, "cannot sync '%s'", path);
	return 0;
}

static int write_json(const struct making *b, const char *dir)
{
	auto_buf text = BUF_INIT;
	auto_free char *path = fs_join(dir, "template.json");
	struct jw w;

	jw_init(&w, &text);
	jw_obj(&w);
	jw_kstr(&w, "imageName", b->image->name);
	jw_kstr(&w, "imageKey", b->image->key);
	jw_kstr(&w, "imageFolder", strrchr(b->image->dir, '/') + 1);
	jw_kstr(&w, "imageDir", b->image->dir);
	jw_kint(&w, "machine", MACHINE_VERSION);
	jw_kstr(&w, "qemuVersion", b->facts->version);
	jw_kstr(&w, "accel", accel_name(b->shape.accel));
	jw_kint(&w, "vcpus", b->shape.vcpus);
	jw_kint(&w, "memoryMb", b->shape.memory_mb);
	jw_kint(&w, "tscKhz", (int64_t)b->shape.tsc_khz);
	jw_kint(&w, "createdWallMs", clock_wall_ms());
	jw_obj_end(&w);
	buf_ch(&text, '\n');
	return fs_write_atomic(path, text.p, text.len, 0644, b->err);
}

static void remove_sockets(const char *dir)
{
	static const char *const sockets[] = { "agent.sock", "qmp.sock" };

	for (size_t i = 0; i < ARRAY_LEN(sockets); i++) {
		auto_free char *path = fs_join(dir, sockets[i]);
		unlink(path);
	}
}

static int make_into(const struct making *b, const char *dir, int boot_ms)
{
	struct boot boot;
	auto_free char *state = fs_join(dir, "state");
	auto_fd int fd = open(state, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* as QEMU will open it */

	if (fd < 0)
		return err_sys(b->err, errno, "cannot create '%s'", state);
	say(b, "boot", accel_name(b->shape.accel));
	if (boot_start(&boot, b->image, &b->shape, dir, boot_ms, b->err))
		return err_prefix(b->err, "image '%s' did not start", b->image->name);
	say(b, "warm", "first commands in the guest");
	int r = warm_up(&boot, b->image, b->err);
	if (!r) {
		say(b, "save", "memory and device state");
		r = save_state(&boot, fd, b->err);
	}
	auto_free char *ram = fs_join(dir, "ram");
	auto_fd int memory = fcntl(boot.ram_fd, F_DUPFD_CLOEXEC, 0);
	auto_free char *disk = mem_strdup(boot.disk);
	boot_end(&boot, r ? 0 : QUIT_MS);
	remove_sockets(dir);
	if (r || ram_save(memory, ram, b->shape.memory_mb, b->err) || sync_file(ram, true, b->err) ||
		sync_file(disk, false, b->err) || sync_file(state, false, b->err))
		return -1;
	return write_json(b, dir);
}

/* Would nobody look for this template again: its image is gone, or `made` has taken its place? */
static bool is_stale(const char *cache, const js *v, const char *folder, const struct template *made)
{
	int64_t vcpus = 0, memory = 0, created = 0;
	auto_free char *cached = mem_printf("%s/images/%s", cache, js_str(js_get(v, "imageFolder"), ""));
	/* one of a user's library is somewhere else */
	const char *image = fs_exists(cached) ? cached : js_str(js_get(v, "imageDir"), "");

	if (js_int(js_get(v, "createdWallMs"), &created) || clock_wall_ms() - created < PRUNE_AFTER_MS ||
		!strcmp(folder, made->key))
		return false;
	if (!fs_exists(image))
		return true;
	return !strcmp(image, made->image_dir) && !strcmp(js_str(js_get(v, "accel"), ""), accel_name(made->accel)) &&
		!js_int(js_get(v, "vcpus"), &vcpus) && vcpus == made->vcpus && !js_int(js_get(v, "memoryMb"), &memory) &&
		memory == made->memory_mb;
}

static void prune(const char *cache, const struct template *made)
{
	auto_free char *dir = fs_join(cache, "templates");
	DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): own stream */
		auto_buf text = BUF_INIT;
		auto_free char *path = fs_join(dir, e->d_name);
		auto_free char *json = fs_join(path, "template.json");
		auto_free char *disk = fs_join(path, "disk.qcow2");
		if (e->d_name[0] == '.' || fs_read(json, JSON_MAX, &text, NULL))
			continue;
		auto_js *v = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, NULL);
		/* template.json first: if we are killed on the way, what is left must not count as a template */
		if (is_stale(cache, v, e->d_name, made) && !image_in_use(disk) && !unlink(json))
			fs_remove_tree(path, NULL);
	}
	if (d)
		closedir(d);
}

/* In an empty folder; a guest that did not come up gets a second chance, and more time. */
static int make_anew(const struct making *b, const char *dir)
{
	static const int tries[] = { FIRST_BOOT_MS, BOOT_MS };

	for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
		if (fs_remove_tree(dir, b->err) || fs_mkdirs(dir, 0700, b->err))
			return -1;
		if (!make_into(b, dir, tries[i]))
			return 0;
		if (!b->err || b->err->code != ERR_TIMEOUT)
			break;
		say(b, "boot", b->err->msg);
	}
	return -1;
}

static int make_locked(const struct making *b, const char *parent, struct template *out)
{
	auto_free char *tmp = mem_printf("%s/.tmp-%s", parent, out->key);

	if (is_complete(out))
		return 0;
	/* we hold the lock, so what is there was left by a build that died */
	int r = make_anew(b, tmp) || fs_remove_tree(out->dir, b->err) ? -1 : 0;
	if (!r && rename(tmp, out->dir))
		r = err_sys(b->err, errno, "cannot rename '%s'", tmp);
	fs_remove_tree(tmp, NULL);
	if (!r)
		prune(b->cache, out);
	return r;
}

static int make(struct making *b, struct template *out)
{
	char key[KEY_LENGTH + 1];
	auto_free char *parent = fs_join(b->cache, "templates");

	template_key(b->image, b->facts, b->shape.vcpus, b->shape.memory_mb, key);
	auto_free char *lock_path = mem_printf("%s/.lock-%s", parent, key);
	if (fs_mkdirs(parent, 0755, b->err))
		return -1;
	auto_fd int lock = fs_lock(lock_path, true, b->err);
	if (lock < 0)
		return -1;
	template_fill(b->cache, b->image, &b->shape, key, out);
	int r = make_locked(b, parent, out);
	if (r)
		template_free(out);
	return r;
}

/* NOLINTNEXTLINE(readability-function-size): a shape, a listener and a result */
int template_build(const char *cache, const struct image *image, unsigned vcpus, unsigned memory_mb, build_progress *progress,
	void *arg, struct template *out, struct err *err)
{
	struct accel_facts f = { 0 };
	struct making b = { .cache = cache, .image = image, .facts = &f, .progress = progress, .arg = arg, .err = err };

	*out = (struct template){ 0 };
	int r = accel_facts_get(cache, image, &f, err);
	if (!r) {
		b.shape = (struct machine){
			.qemu = f.qemu, .accel = f.accel, .vcpus = vcpus, .memory_mb = memory_mb, .tsc_khz = f.tsc_khz
		};
		r = make(&b, out);
	}
	accel_facts_free(&f);
	return r;
}
