#include "daemon/core/mount.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/internal.h"
#include "daemon/image/fsimage.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

#define PIN_PREFIX "sandbox-fs-"

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
	struct hash tree;
	return sb->fs.tree && hash_parse(sb->fs.tree, &tree) ? fsimage_path(sb->core->cache, &tree) : NULL;
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
	struct sandbox *sb = sandbox_find(core, row->sandbox, &ignored);
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
