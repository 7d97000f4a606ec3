#include "daemon/core/mount.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/internal.h"
#include "daemon/image/fsimage.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

#define PIN_PREFIX "sandbox-fs-"
#define FILE_NAME "fs.erofs" /* in the folder of a sandbox */

const struct db_fs *sandbox_fs(const struct sandbox *sb)
{
	return sb->fs.path ? &sb->fs : NULL;
}

char *mount_pin(const struct sandbox *sb, const char *suffix)
{
	return mem_printf(PIN_PREFIX "%s%s", sb->row.id, suffix);
}

char *mount_disk(const struct sandbox *sb)
{
	return sb->fs.tree ? fs_join(sb->dir, FILE_NAME) : NULL;
}

int mount_keep(const struct sandbox *sb, struct err *err)
{
	struct hash tree;
	auto_free char *to = mount_disk(sb);
	if (!to)
		return 0;
	if (!hash_parse(sb->fs.tree, &tree))
		return err_set(err, ERR_INTERNAL, "the record of sandbox '%s' names no tree", sb->row.id);
	auto_free char *from = fsimage_path(sb->core->cache, &tree);
	return fs_link_or_copy(from, to, err);
}

static void free_pin(struct vault_op *op)
{
	struct vault_pin *q = (struct vault_pin *)op;
	if (op->failed) /* the parent's pin holds it for as long as there is the parent */
		log_warn("core", "cannot pin a mounted tree: %s", op->err.msg);
	free((char *)(uintptr_t)q->name);
	free(q);
}

/* Before the pins of the parent can go: the vault does one thing after the other. */
static void share_pin(const struct sandbox *child, const char *suffix, const char *tree)
{
	struct vault_pin *q = mem_zalloc(sizeof(*q));
	q->op.done = free_pin;
	q->name = mount_pin(child, suffix);
	if (tree && hash_parse(tree, &q->tree))
		vault_pin(child->core->vault, q);
	else
		free_pin(&q->op);
}

static char *copy(const char *s)
{
	return s ? mem_strdup(s) : NULL;
}

void mount_describe(const struct sandbox *sb, struct vm_info *out)
{
	if (!sb->fs.tree)
		return;
	out->fs_tree = mem_strdup(sb->fs.tree);
	out->fs_path = mem_strdup(sb->fs.path);
	out->fs_label = copy(sb->fs.label);
}

int mount_share(struct sandbox *child, const struct sandbox *parent, struct err *err)
{
	const struct db_fs *fs = &parent->fs;
	if (!fs->tree)
		return 0;
	child->fs = (struct db_fs){ mem_strdup(child->row.id), mem_strdup(fs->path), mem_strdup(fs->tree), copy(fs->label),
		copy(fs->pushed) };
	auto_free char *from = mount_disk(parent);
	auto_free char *to = mount_disk(child);
	share_pin(child, "", fs->tree);
	share_pin(child, ".pushed", fs->pushed);
	return db_fs_put(child->core->db, &child->fs, err) || fs_link_or_copy(from, to, err) ? -1 : 0;
}

/* ---- before the VM is started: tree, pin, image ---- */

struct mount_wait {
	struct vault_mount q;
	struct sandbox *sb; /* NULL: it is being removed */
	void (*next)(struct sandbox *sb);
	char *text, *pin;
};

static void wait_free(struct mount_wait *w)
{
	free(w->q.label);
	free(w->text);
	free(w->pin);
	free(w);
}

static int keep_mount(struct sandbox *sb, struct mount_wait *w, struct err *err)
{
	char hex[HASH_HEX + 1];
	free(sb->fs.tree);
	sb->fs.tree = mem_strdup(hash_hex(&w->q.tree, hex));
	if (!sb->fs.label)
		sb->fs.label = mem_steal(&w->q.label);
	return db_fs_put(sb->core->db, &sb->fs, err);
}

static void on_ready(struct vault_op *op)
{
	struct mount_wait *w = (struct mount_wait *)op;
	struct sandbox *sb = w->sb;
	struct err err = op->err;
	if (sb) {
		sb->mount_wait = NULL;
		if (op->failed || keep_mount(sb, w, &err)) {
			err_prefix(&err, "cannot mount '%.200s'", w->text);
			create_fail(sb, &err);
		} else {
			w->next(sb);
		}
	}
	wait_free(w);
}

void mount_prepare(struct sandbox *sb, void (*next)(struct sandbox *sb))
{
	struct mount_wait *w = mem_zalloc(sizeof(*w));
	w->sb = sb;
	w->next = next;
	w->text = mem_strdup(sb->fs.tree ? sb->fs.tree : sb->fs_ref);
	w->pin = mount_pin(sb, "");
	w->q.op.done = on_ready;
	w->q.text = w->text;
	w->q.pin = w->pin;
	w->q.cache = sb->core->cache;
	sb->mount_wait = w;
	vault_mount(sb->core->vault, &w->q);
}

void mount_forget(struct sandbox *sb)
{
	if (sb->mount_wait)
		sb->mount_wait->sb = NULL;
	sb->mount_wait = NULL;
}

void mount_removed(struct sandbox *sb)
{
	if (!sb->fs.path)
		return;
	auto_free char *mounted = mount_pin(sb, "");
	auto_free char *pushed = mount_pin(sb, ".pushed");
	const char *const names[] = { mounted, pushed };
	vault_unpin(sb->core->vault, names, ARRAY_LEN(names));
}

/* ---- after a restart ---- */

static int recover_row(void *arg, struct db_fs *row)
{
	struct core *core = arg;
	struct err ignored = ERR_INIT;
	struct sandbox *sb = sandbox_find(core, TEAM_ANY, row->sandbox, &ignored);
	if (sb) {
		sb->fs = *row;
		*row = (struct db_fs){ 0 };
	}
	return 0;
}

int mount_recover(struct core *core, struct err *err)
{
	return db_fs_each(core->db, recover_row, core, err);
}

void mount_sweep(struct core *core)
{
	auto_free char **names = mem_array(2 * core->count + 1, sizeof(*names));
	size_t n = 0;
	for (size_t i = 0; i < core->count; i++) {
		if (!core->boxes[i]->fs.path)
			continue;
		names[n++] = mount_pin(core->boxes[i], "");
		names[n++] = mount_pin(core->boxes[i], ".pushed");
	}
	vault_keep_pins(core->vault, PIN_PREFIX, (const char *const *)names, n);
	while (n > 0)
		free(names[--n]);
}
