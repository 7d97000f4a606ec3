#include "daemon/core/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/internal.h"
#include "daemon/vm/ram.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define UNUSED_MS (10 * 60 * 1000) /* the next create may want it again */

struct entry {
	struct entry *next;
	struct bases *owner; /* NULL: nobody waits for the worker any more */
	struct base base;
	struct base_wait *waits;
	uv_work_t work;
	bool loading;
	int64_t used_ms;
	struct err err;
};

struct base_wait {
	struct base_wait *next;
	struct entry *entry;
	base_cb *cb;
	void *arg;
};

struct bases {
	struct core *core;
	char *dir;
	struct entry *entries;
};

struct bases *bases_new(struct core *core)
{
	struct bases *b = mem_zalloc(sizeof(*b));
	b->core = core;
	b->dir = fs_join(core->home, "bases");
	return b;
}

char *base_dir(const struct bases *b, const char *key)
{
	return fs_join(b->dir, key);
}

static void entry_free(struct entry *e)
{
	char *const texts[] = { e->base.key, e->base.dir, e->base.ram, e->base.state, e->base.kernel, e->base.initrd };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	vm_info_free(&e->base.info);
	for (unsigned i = 0; i < e->base.disk_count; i++)
		free((char *)(uintptr_t)e->base.disk[i].path);
	if (e->base.ram_fd >= 0)
		close(e->base.ram_fd);
	free(e);
}

static void entry_unlink(struct entry *e)
{
	for (struct entry **p = &e->owner->entries; *p; p = &(*p)->next) {
		if (*p == e) {
			*p = e->next;
			break;
		}
	}
	e->owner = NULL;
	if (!e->loading)
		entry_free(e);
}

void bases_close(struct bases *b)
{
	if (!b)
		return;
	while (b->entries) {
		for (struct base_wait *w = b->entries->waits, *next; w; w = next) {
			next = w->next;
			free(w);
		}
		b->entries->waits = NULL;
		entry_unlink(b->entries);
	}
	free(b->dir);
	free(b);
}

/* ---- files ---- */

static int keep_files(const struct template *t, const char *dir, struct err *err)
{
	auto_free char *json = fs_join(t->dir, "template.json");
	const struct {
		const char *from, *name;
	} files[] = { { t->ram, "ram" }, { t->state, "state" }, { t->disk, "disk.qcow2" }, { t->rootfs, "rootfs.ext4" },
		{ t->kernel, "vmlinux" }, { t->initrd, "initrd" }, { json, "base.json" } };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_free char *to = fs_join(dir, files[i].name);
		if (fs_link_or_copy(files[i].from, to, err))
			return -1;
	}
	return 0;
}

int base_keep(struct bases *b, const struct template *t, struct err *err)
{
	auto_free char *dir = fs_join(b->dir, t->key);
	auto_free char *json = fs_join(dir, "base.json");
	auto_free char *tmp = mem_printf("%s/.tmp-%s", b->dir, t->key);

	if (base_ready(b, t->key) || fs_exists(json))
		return 0;
	if (fs_remove_tree(tmp, err) || fs_remove_tree(dir, err) || fs_mkdirs(tmp, 0700, err) || keep_files(t, tmp, err))
		return -1;
	return rename(tmp, dir) ? err_sys(err, errno, "cannot rename '%s'", tmp) : 0;
}

static void add_disk(struct base *base, const char *name, bool raw)
{
	base->disk[base->disk_count++] = (struct vm_disk){ .path = fs_join(base->dir, name), .raw = raw };
}

static int read_base(struct base *base, struct err *err)
{
	auto_free char *path = fs_join(base->dir, "base.json");
	auto_free char *raw = fs_join(base->dir, "disk.raw");

	if (vm_info_load(path, &base->info, err))
		return -1;
	base->ram = fs_join(base->dir, "ram");
	base->state = fs_join(base->dir, "state");
	base->kernel = fs_join(base->dir, "vmlinux");
	base->initrd = fs_join(base->dir, "initrd");
	if (fs_exists(raw)) {
		add_disk(base, "disk.raw", true);
	} else {
		add_disk(base, "disk.qcow2", false);
		add_disk(base, "rootfs.ext4", true);
	}
	return 0;
}

/* ---- memory ---- */

static void load(uv_work_t *work)
{
	struct entry *e = work->data;
	e->base.ram_fd = ram_load(e->base.ram, (unsigned)e->base.info.memory_mb, &e->err);
}

static void on_loaded(uv_work_t *work, int status)
{
	struct entry *e = work->data;
	(void)status;
	e->loading = false;
	if (!e->owner) {
		entry_free(e);
		return;
	}
	struct base_wait *list = e->waits;
	struct err err = e->err;
	bool ok = e->base.ram_fd >= 0;
	e->waits = NULL;
	if (!ok)
		entry_unlink(e);
	while (list) {
		struct base_wait *w = list;
		list = w->next;
		w->cb(w->arg, ok ? &e->base : NULL, ok ? NULL : &err);
		free(w);
	}
}

static struct entry *find(const struct bases *b, const char *key)
{
	struct entry *e = b->entries;
	while (e && strcmp(e->base.key, key) != 0)
		e = e->next;
	return e;
}

struct base *base_ready(struct bases *b, const char *key)
{
	struct entry *e = find(b, key);
	if (!e || e->base.ram_fd < 0)
		return NULL;
	e->used_ms = clock_mono_ms();
	return &e->base;
}

/* In the worker, so that a failure too is told from the loop. */
static void load_all(uv_work_t *work)
{
	struct entry *e = work->data;
	if (!read_base(&e->base, &e->err))
		load(work);
	else if (e->err.code == ERR_NOT_FOUND)
		err_set(&e->err, ERR_NOT_FOUND, "the files that it was made from are gone ('%s')", e->base.dir);
}

static void nothing(uv_work_t *work)
{
	(void)work;
}

struct base_wait *base_load(struct bases *b, const char *key, base_cb *cb, void *arg)
{
	struct entry *e = find(b, key);
	if (!e) {
		e = mem_zalloc(sizeof(*e));
		e->owner = b;
		e->base.key = mem_strdup(key);
		e->base.dir = fs_join(b->dir, key);
		e->base.ram_fd = -1;
		e->next = b->entries;
		b->entries = e;
	}
	if (!e->loading) {
		e->loading = true;
		e->work.data = e;
		uv_queue_work(b->core->config.loop, &e->work, e->base.ram_fd < 0 ? load_all : nothing, on_loaded);
	}
	e->used_ms = clock_mono_ms();
	struct base_wait *w = mem_zalloc(sizeof(*w));
	*w = (struct base_wait){ .next = e->waits, .entry = e, .cb = cb, .arg = arg };
	e->waits = w;
	return w;
}

void base_forget(struct base_wait *w)
{
	if (!w)
		return;
	for (struct base_wait **p = &w->entry->waits; *p; p = &(*p)->next) {
		if (*p == w) {
			*p = w->next;
			break;
		}
	}
	free(w);
}

/* ---- what nobody needs ---- */

/* A folder in bases/: of a key, or a half-made one. */
static bool is_needed(const struct bases *b, const char *key)
{
	for (size_t i = 0; i < b->core->count; i++) {
		const char *used = b->core->boxes[i]->row.template_key;
		if (used && !strcmp(used, key))
			return true;
		/* which one it is, a worker is finding out, or making */
		if (b->core->boxes[i]->snapshot_wait && (*key == SNAPSHOT_KEY || *key == '.'))
			return true;
	}
	const struct entry *e = find(b, key);
	return e && (e->loading || clock_mono_ms() - e->used_ms < UNUSED_MS);
}

void bases_sweep(struct bases *b)
{
	DIR *dir = opendir(b->dir);
	const struct dirent *d;

	while (dir && (d = readdir(dir))) { /* NOLINT(concurrency-mt-unsafe): own stream */
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") || is_needed(b, d->d_name))
			continue;
		auto_free char *path = fs_join(b->dir, d->d_name);
		auto_free char *json = fs_join(path, "base.json");
		struct entry *e = find(b, d->d_name);
		struct err err = ERR_INIT;
		if (e)
			entry_unlink(e);
		/* base.json first: what a crash leaves must not count as a base */
		if ((unlink(json) && errno != ENOENT) || fs_remove_tree(path, &err))
			log_warn("core", "cannot remove '%s': %s", path, err.msg);
	}
	if (dir)
		closedir(dir);
}
