#include "daemon/core/recover.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/disk.h"
#include "daemon/core/internal.h"
#include "daemon/core/remote.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

static int recover_row(void *arg, struct db_sandbox *row)
{
	struct core *core = arg;
	int state = sandbox_state_parse(row->state);
	/* An unknown word can only come from a newer sbx or a damaged file: such a sandbox cannot be trusted to run. */
	sandbox_load(core, row, state < 0 ? SANDBOX_STOPPED : (enum sandbox_state)state);
	return 0;
}

/* A create or delete that was under way when the daemon ended is undone; so is a VM of the pool, that nobody has. */
static int undo(struct sandbox *sb, struct err *err)
{
	log_info("core", "%s: was %s when the daemon ended; removing it", sb->row.id, sandbox_state_name(sb->state));
	if (sb->row.pid)
		vm_kill_recorded((pid_t)sb->row.pid, (uint64_t)sb->row.start_time);
	/* one that was being made has never been told of */
	int rc = fs_remove_tree(sb->dir, err);
	if (rc == 0 && sb->state == SANDBOX_DELETING)
		rc = sandbox_remember(sb, err);
	if (rc || db_sandbox_delete(sb->core->db, sb->row.id, err)) {
		sb->deletion_failed = true; /* nothing is under way: its users may try again */
		return -1;
	}
	sandbox_unload(sb);
	return 0;
}

static void remove_file(const struct sandbox *sb, const char *name)
{
	auto_free char *path = fs_join(sb->dir, name);
	unlink(path);
}

/* A daemon that died while it held the VM may have left it so, and may not have come to switch its disk to the new top. */
static void settle_work(struct op *op)
{
	struct err err = ERR_INIT;
	if (freeze_repair(op->dir, op->disk, op->freeze.node, &err))
		log_warn("core", "'%s': %s", op->dir, err.msg);
}

static void settle_after(struct sandbox *sb, struct op *op)
{
	(void)op;
	op_end(sb, NULL);
}

static void settle(struct sandbox *sb)
{
	struct op *op = op_begin(sb, OP_SETTLE, NULL, NULL, NULL);
	if (!op)
		return;
	auto_free char *base = base_dir(sb->core->bases, sb->row.template_key);
	auto_free char *raw = fs_join(base, "disk.raw");
	op->freeze.node = fs_exists(raw) ? 1 : 2; /* files of the base */
	for (char *const *l = sb->row.layers; l && *l; l++)
		op->freeze.node++;
	op_work(op, settle_work, settle_after);
}

static int stopped_meanwhile(struct sandbox *sb, struct err *err)
{
	sb->row.pid = sb->row.start_time = 0;
	eventlog_add(sb->log, "stopped", "the VM ended while no daemon ran");
	return sandbox_set_state(sb, SANDBOX_STOPPED, "the VM ended while no daemon ran", err);
}

/* What was running, or was being paused and had not been yet. */
static int adopt(struct sandbox *sb, struct err *err)
{
	remove_file(sb, "memory.tmp");
	remove_file(sb, "memory");
	remove_file(sb, "snapshot.qcow2"); /* of a snapshot that was being taken */
	disk_forget_saved(sb);
	if (disk_recover(sb, err))
		return -1;
	sb->vm = vm_adopt(
		sb->core->config.loop, sb->dir, (pid_t)sb->row.pid, (uint64_t)sb->row.start_time, sandbox_vm_ended, sb, err);
	if (sb->vm) {
		log_info("core", "%s: adopted, pid %lld", sb->row.id, (long long)sb->row.pid);
		sandbox_arm_expiry(sb);
		if (sb->state != SANDBOX_RUNNING && sandbox_set_state(sb, SANDBOX_RUNNING, NULL, err))
			return -1;
		settle(sb);
		return sandbox_open_link(sb, false, err);
	}
	if (err->code != ERR_NOT_FOUND)
		return -1;
	err_clear(err);
	return stopped_meanwhile(sb, err);
}

/* Its process must not live: what is recorded is its memory and disk, or its disk. */
static int end_vm(struct sandbox *sb, enum sandbox_state state, struct err *err)
{
	if (sb->row.pid)
		vm_kill_recorded((pid_t)sb->row.pid, (uint64_t)sb->row.start_time);
	sb->row.pid = sb->row.start_time = 0;
	if (state == SANDBOX_PAUSED ? disk_restore(sb, err) : disk_recover(sb, err))
		return -1;
	if (state == SANDBOX_STOPPED)
		remove_file(sb, "memory");
	sandbox_arm_expiry(sb);
	return sandbox_set_state(sb, state, sb->row.reason, err);
}

static int recover_one(struct sandbox *sb, struct err *err)
{
	enum sandbox_state was = sb->state;

	if (is_remote(sb) && (was == SANDBOX_CREATING || was == SANDBOX_DELETING))
		return 0; /* core_carry */
	if (was == SANDBOX_CREATING || was == SANDBOX_DELETING || was == SANDBOX_POOLED)
		return undo(sb, err);
	auto_free char *log = fs_join(sb->dir, "events.log");
	sb->log = eventlog_new(log);
	if (is_remote(sb))
		return 0; /* the rest is core_carry's */
	metrics_load(sb);
	if (was == SANDBOX_RUNNING || was == SANDBOX_PAUSING)
		return adopt(sb, err);
	return end_vm(sb, was == SANDBOX_PAUSED || was == SANDBOX_RESUMING ? SANDBOX_PAUSED : SANDBOX_STOPPED, err);
}

/* Folders without a record: left by a delete between its two steps. */
static void sweep(struct core *core)
{
	DIR *dir = opendir(core->vms_dir);
	if (!dir)
		return;
	struct dirent *e;
	while ((e = readdir(dir))) {
		struct err ignored = ERR_INIT;
		if (e->d_name[0] == '.' || sandbox_find(core, TEAM_ANY, e->d_name, &ignored))
			continue;
		auto_free char *path = fs_join(core->vms_dir, e->d_name);
		if (fs_remove_tree(path, &ignored)) /* costs space, and nobody his sandboxes */
			log_warn("core", "%s", ignored.msg);
	}
	closedir(dir);
}

int core_recover(struct core *core, struct err *err)
{
	if (db_sandbox_each(core->db, recover_row, core, err) || ports_load(core, err) || mount_recover(core, err))
		return -1;
	for (size_t i = core->count; i-- > 0;) {
		struct sandbox *sb = core->boxes[i];
		if (recover_one(sb, err)) /* one that cannot be mended does not keep the others from their users */
			log_error("core", "%s: %s", sb->row.id, err->msg);
		err_clear(err);
	}
	for (size_t i = 0; i < core->count; i++)
		ports_update(core->boxes[i]);
	sweep(core);
	disk_sweep(core);
	mount_sweep(core);
	bases_sweep(core->bases);
	return 0;
}

void core_release_all(struct core *core)
{
	while (core->count > 0) {
		struct sandbox *sb = core->boxes[core->count - 1];
		struct err err = ERR_INIT;
		bool half = sb->state == SANDBOX_CREATING || sb->state == SANDBOX_DELETING || sb->state == SANDBOX_POOLED;
		if (half && !is_remote(sb) && !undo(sb, &err))
			continue;
		if (err.code != ERR_OK) /* the next start tries again */
			log_error("core", "%s: %s", sb->row.id, err.msg);
		metrics_save(sb);
		sandbox_unload(sb);
	}
}
