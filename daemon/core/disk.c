#include "daemon/core/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/core/base.h"
#include "daemon/vm/machine.h"
#include "daemon/vm/qcow2_map.h"
#include "daemon/vm/vm.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { LAYER_NAME = 16 };

static char *layer_path(const struct core *core, const char *name)
{
	return mem_printf("%s/layers/%s.qcow2", core->home, name);
}

static size_t layer_count(const struct db_sandbox *row)
{
	size_t n = 0;
	while (row->layers && row->layers[n])
		n++;
	return n;
}

static void add(struct disk_chain *chain, const char *path, bool raw)
{
	chain->v[chain->n++] = (struct vm_disk){ .path = path, .raw = raw };
}

int disk_chain(const struct sandbox *sb, const struct base *base, const char *top, struct disk_chain *out, struct err *err)
{
	size_t layers = layer_count(&sb->row);

	*out = (struct disk_chain){ .n = 0 };
	if (layers + 1 + base->disk_count > DISK_CHAIN_MAX)
		return err_set(err, ERR_INTERNAL, "the disk of '%s' has too many layers", sb->row.id);
	add(out, fs_join(sb->dir, top), false);
	for (size_t i = 0; i < layers; i++)
		add(out, layer_path(sb->core, sb->row.layers[i]), false);
	for (unsigned i = 0; i < base->disk_count; i++)
		add(out, mem_strdup(base->disk[i].path), base->disk[i].raw);
	return 0;
}

void disk_chain_free(struct disk_chain *chain)
{
	for (unsigned i = 0; i < chain->n; i++)
		free((char *)(uintptr_t)chain->v[i].path);
	chain->n = 0;
}

bool disk_is_small(const struct sandbox *sb)
{
	auto_free char *top = fs_join(sb->dir, "disk.qcow2");
	return fs_allocated(top) <= DISK_COPY_MAX || layer_count(&sb->row) >= DISK_LAYERS_MANY;
}

/* ---- fewer layers ---- */

bool disk_has_many(const struct sandbox *sb)
{
	return layer_count(&sb->row) >= DISK_LAYERS_MERGE;
}

char **disk_paths(const struct sandbox *sb, const char *top)
{
	size_t layers = layer_count(&sb->row), n = 0;
	char **paths = mem_array(layers + 2, sizeof(*paths));

	if (top)
		paths[n++] = fs_join(sb->dir, top);
	for (size_t i = 0; i < layers; i++)
		paths[n++] = layer_path(sb->core, sb->row.layers[i]);
	return paths;
}

int disk_merge(const char *const *paths, size_t n, struct err *err)
{
	auto_free char *merged = mem_printf("%s.merged", paths[0]);
	struct qcow2_map *map = qcow2_map_open(paths, n, err);

	if (!map)
		return -1;
	unlink(merged);
	/* the name of what is below does not count: whoever opens the chain says what it is */
	int r = qcow2_flatten(map, merged, "base", "qcow2", err);
	qcow2_map_free(map);
	if (r)
		return -1;
	auto_fd int fd = open(merged, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fdatasync(fd) || rename(merged, paths[0]))
		return err_sys(err, errno, "cannot replace '%s'", paths[0]);
	return 0;
}

int disk_merged(struct sandbox *sb, struct err *err)
{
	char **layers = sb->row.layers;

	sb->row.layers = copy_list(NULL);
	int r = db_sandbox_update(sb->core->db, &sb->row, err);
	if (r) { /* they are below a top that has all of them: superfluous, not wrong */
		drop_list(sb->row.layers);
		sb->row.layers = layers;
		return -1;
	}
	drop_list(layers);
	disk_sweep(sb->core);
	return 0;
}

/* ---- a new top ---- */

static void forget_first(struct db_sandbox *row)
{
	size_t n = layer_count(row);
	if (!n)
		return;
	free(row->layers[0]);
	memmove(row->layers, row->layers + 1, n * sizeof(*row->layers));
}

static int push(struct sandbox *sb, const char *top, const char *layer, const char *next, struct err *err)
{
	auto_free char *layers = fs_join(sb->core->home, "layers");
	const struct vm_disk below = { .path = layer };

	if (fs_mkdirs(layers, 0700, err))
		return -1;
	if (unlink(next) && errno != ENOENT)
		return err_sys(err, errno, "cannot remove '%s'", next);
	if (link(top, layer))
		return err_sys(err, errno, "cannot link '%s'", top);
	if (!vm_overlay(next, &below, err))
		return 0;
	unlink(layer);
	return -1;
}

int disk_push(struct sandbox *sb, struct err *err)
{
	char name[LAYER_NAME + 1];
	size_t n = layer_count(&sb->row);

	rand_id(name, LAYER_NAME);
	auto_free char *top = fs_join(sb->dir, "disk.qcow2");
	auto_free char *next = fs_join(sb->dir, "disk.next");
	auto_free char *layer = layer_path(sb->core, name);
	if (push(sb, top, layer, next, err))
		return -1;
	sb->row.layers = mem_grow(sb->row.layers, n + 2, sizeof(*sb->row.layers));
	memmove(sb->row.layers + 1, sb->row.layers, n * sizeof(*sb->row.layers));
	sb->row.layers[0] = mem_strdup(name);
	sb->row.layers[n + 1] = NULL;
	if (!db_sandbox_update(sb->core->db, &sb->row, err))
		return 0;
	forget_first(&sb->row);
	unlink(next);
	unlink(layer);
	return -1;
}

static int settle(struct sandbox *sb, struct err *err)
{
	auto_free char *top = fs_join(sb->dir, "disk.qcow2");
	auto_free char *next = fs_join(sb->dir, "disk.next");
	return rename(next, top) ? err_sys(err, errno, "cannot rename '%s'", next) : 0;
}

static void pop(struct sandbox *sb)
{
	auto_free char *next = fs_join(sb->dir, "disk.next");
	auto_free char *layer = layer_count(&sb->row) ? layer_path(sb->core, sb->row.layers[0]) : NULL;
	struct err err = ERR_INIT;

	forget_first(&sb->row);
	if (db_sandbox_update(sb->core->db, &sb->row, &err)) {
		/* the record goes on naming the layer, which is there, and disk.next, which is empty: a whole chain too */
		log_error("core", "%s: %s", sb->row.id, err.msg);
		return;
	}
	unlink(next);
	if (layer)
		unlink(layer);
}

void disk_settle(struct sandbox *sb, bool switched)
{
	struct err err = ERR_INIT;

	if (!switched)
		pop(sb);
	else if (settle(sb, &err))
		log_error("core", "%s: %s", sb->row.id, err.msg);
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;
	return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int disk_recover(struct sandbox *sb, struct err *err)
{
	auto_free char *top = fs_join(sb->dir, "disk.qcow2");
	auto_free char *next = fs_join(sb->dir, "disk.next");
	auto_free char *layer = layer_count(&sb->row) ? layer_path(sb->core, sb->row.layers[0]) : NULL;

	if (!fs_exists(next))
		return 0;
	if (layer && same_file(top, layer))
		return settle(sb, err);
	return unlink(next) && errno != ENOENT ? err_sys(err, errno, "cannot remove '%s'", next) : 0;
}

/* ---- a saved one ---- */

int disk_save(struct sandbox *sb, struct err *err)
{
	auto_free char *top = fs_join(sb->dir, "disk.qcow2");
	auto_free char *saved = fs_join(sb->dir, DISK_SAVED);

	if (link(top, saved))
		return err_sys(err, errno, "cannot link '%s'", top);
	if (disk_push(sb, err)) {
		unlink(saved);
		return -1;
	}
	return settle(sb, err); /* when it fails the caller restores */
}

int disk_restore(struct sandbox *sb, struct err *err)
{
	auto_free char *top = fs_join(sb->dir, "disk.qcow2");
	auto_free char *saved = fs_join(sb->dir, DISK_SAVED);
	auto_free char *next = fs_join(sb->dir, "disk.next");
	auto_free char *layer = layer_count(&sb->row) ? layer_path(sb->core, sb->row.layers[0]) : NULL;

	if (!fs_exists(saved))
		return 0;
	if (rename(saved, top))
		return err_sys(err, errno, "cannot rename '%s'", saved);
	unlink(next);
	unlink(saved); /* two names of one file are not renamed */
	if (!layer || !same_file(top, layer))
		return 0;
	forget_first(&sb->row);
	if (db_sandbox_update(sb->core->db, &sb->row, err))
		return -1;
	unlink(layer);
	return 0;
}

void disk_forget_saved(struct sandbox *sb)
{
	auto_free char *saved = fs_join(sb->dir, DISK_SAVED);
	unlink(saved);
}

/* ---- layers ---- */

void disk_share(struct db_sandbox *to, const struct db_sandbox *from)
{
	size_t n = layer_count(from);

	drop_list(to->layers);
	to->layers = mem_array(n + 1, sizeof(*to->layers));
	for (size_t i = 0; i < n; i++)
		to->layers[i] = mem_strdup(from->layers[i]);
}

static bool is_used(const struct core *core, const char *name, size_t len)
{
	for (size_t i = 0; i < core->count; i++)
		for (char *const *l = core->boxes[i]->row.layers; l && *l; l++)
			if (!strncmp(*l, name, len) && !(*l)[len])
				return true;
	return false;
}

void disk_sweep(struct core *core)
{
	auto_free char *layers = fs_join(core->home, "layers");
	DIR *dir = opendir(layers);
	const struct dirent *d;

	while (dir && (d = readdir(dir))) { /* NOLINT(concurrency-mt-unsafe): own stream */
		const char *dot = strchr(d->d_name, '.');
		if (!dot || dot == d->d_name || is_used(core, d->d_name, (size_t)(dot - d->d_name)))
			continue;
		auto_free char *path = fs_join(layers, d->d_name);
		if (unlink(path))
			log_warn("core", "cannot remove '%s'", path);
	}
	if (dir)
		closedir(dir);
}
