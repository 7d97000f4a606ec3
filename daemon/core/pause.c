/*
 * pause and resume.
 *
 *   pause:  record pausing -> [worker: figures saved, stop, memory.tmp, fsync, rename to memory] -> record paused
 *           -> the process is killed -> done
 *   resume: record resuming -> the disk is saved -> launch from memory -> record running -> memory and saved disk go -> done
 *
 * Until "paused" is recorded the VM can go on; from then on that process never runs again. Until "running" is recorded, memory and
 * the saved disk are those of the pause, and it is paused again by putting the saved disk back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/core/disk.h"
#include "daemon/core/internal.h"
#include "daemon/core/remote.h"
#include "daemon/vm/freeze.h"
#include "daemon/vm/ram.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- pause ---- */

static int sync_path(const char *path, int flags, struct err *err)
{
	auto_fd int fd = open(path, flags | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? err_sys(err, errno, "cannot sync '%s'", path) : 0;
}

/* In the worker: the whole state in one file that is there or is not. */
static int write_memory(struct op *op, struct err *err)
{
	auto_free char *tmp = mem_printf("%s.tmp", op->memory);
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(err, errno, "cannot create '%s'", tmp);
	op->freeze.out_fd = fd;
	int r = freeze_run(&op->freeze, err);
	if (!r && fdatasync(fd))
		r = err_sys(err, errno, "cannot sync '%s'", tmp);
	if (!r)
		r = sync_path(op->disk, O_RDONLY, err);
	if (!r && rename(tmp, op->memory))
		r = err_sys(err, errno, "cannot rename '%s'", tmp);
	if (!r)
		r = sync_path(op->dir, O_RDONLY | O_DIRECTORY, err);
	if (!r)
		return 0;
	unlink(tmp);
	unlink(op->memory);
	freeze_release(op->dir, NULL); /* nothing has happened to it */
	return -1;
}

static void pause_work(struct op *op)
{
	metrics_copy_save(op->more);
	op->failed = write_memory(op, &op->err) != 0;
}

static void release_work(struct op *op)
{
	unlink(op->memory);
	freeze_release(op->dir, NULL);
}

/* Back to what it was before, as far as it still is. */
static void pause_undone(struct sandbox *sb, struct op *op)
{
	struct err err = op->err, ignored = ERR_INIT;
	enum sandbox_state state = sb->vm ? SANDBOX_RUNNING : SANDBOX_STOPPED;

	if (sandbox_set_state(sb, state, sb->vm ? NULL : "the VM process ended", &ignored))
		sb->state = state;
	sb->row.idled = 0;
	if (sb->vm && !sb->link && !sb->lent && sandbox_open_link(sb, false, &ignored))
		log_warn("core", "%s: %s", sb->row.id, ignored.msg);
	op_end(sb, &err);
}

static void on_paused_vm_ended(struct sandbox *sb, struct op *op)
{
	struct err err = ERR_INIT;

	if (sandbox_set_state(sb, SANDBOX_PAUSED, NULL, &err)) /* the record still has the pid of a process that is gone */
		log_error("core", "%s: %s", sb->row.id, err.msg);
	eventlog_add(sb->log, "paused", "%s, %lld MiB of memory in %lld ms", op->idle ? "for idleness" : "on request",
		(long long)(op->freeze.pages >> 8), (long long)(clock_mono_ms() - op->since_ms));
	op_end(sb, NULL);
}

static void pause_after(struct sandbox *sb, struct op *op)
{
	sb->row.idled = op->idle;
	metrics_copied(sb, op->more);
	if (op->failed) {
		pause_undone(sb, op);
		return;
	}
	if (sandbox_set_state(sb, SANDBOX_PAUSED, NULL, &op->err)) {
		op_work(op, release_work, pause_undone);
		return;
	}
	link_close(sb->link);
	sb->link = NULL;
	op->ended = on_paused_vm_ended;
	if (sb->vm)
		vm_kill(sb->vm); /* on_paused_vm_ended goes on */
	else
		on_paused_vm_ended(sb, op);
}

int sandbox_pause(struct sandbox *sb, bool idle, sandbox_done_cb *cb, void *arg, struct err *err)
{
	struct op *op = op_begin(sb, OP_PAUSE, cb, arg, err);
	if (!op)
		return -1;
	op->idle = idle;
	op->freeze.stay = true;
	if (is_remote(sb)) {
		remote_pause(sb);
		return 0;
	}
	op->more = metrics_copy(sb); /* nothing is sampled from here on */
	op->more_free = metrics_copy_free;
	op_work(op, pause_work, pause_after);
	return 0;
}

/* ---- resume ---- */

/* Not running on: memory and disk are again those of the pause. */
static void resume_failed(struct sandbox *sb, const struct err *why)
{
	struct err err = *why, ignored = ERR_INIT;

	if (disk_restore(sb, &ignored))
		log_error("core", "%s: %s", sb->row.id, ignored.msg);
	if (sandbox_set_state(sb, SANDBOX_PAUSED, NULL, &ignored))
		sb->state = SANDBOX_PAUSED;
	op_end(sb, &err);
}

static void resume_vm_ended(struct sandbox *sb, struct op *op)
{
	struct err err = op->err;
	resume_failed(sb, &err);
}

static void on_resumed(struct sandbox *sb, const struct err *launch_err)
{
	struct op *op = sb->op;

	if (launch_err) {
		resume_failed(sb, launch_err);
		return;
	}
	sb->row.idled = 0;
	if (sandbox_set_state(sb, SANDBOX_RUNNING, NULL, &op->err)) {
		op->ended = resume_vm_ended;
		vm_kill(sb->vm);
		return;
	}
	unlink(op->memory);
	disk_forget_saved(sb);
	eventlog_add(sb->log, "resumed", "in %lld ms", (long long)(clock_mono_ms() - op->since_ms));
	op_end(sb, NULL);
}

static void resume_on(struct sandbox *sb, const struct base *base)
{
	struct op *op = sb->op;
	struct err err = ERR_INIT;
	int empty = -1;

	if (sb->row.booted)
		empty = ram_empty((unsigned)sb->row.run_memory_mb, &err);
	const struct launch how = { .base = base,
		.state = op->memory,
		.top = "disk.qcow2",
		.ram_fd = sb->row.booted ? empty : base->ram_fd,
		.vcpus = (unsigned)sb->row.run_vcpus,
		.memory_mb = (unsigned)sb->row.run_memory_mb };
	if (how.ram_fd < 0 || launch_begin(sb, &how, on_resumed, &err))
		resume_failed(sb, &err);
	if (empty >= 0)
		close(empty);
}

static void copy_work(struct op *op)
{
	auto_free char *saved = fs_join(op->dir, DISK_SAVED);
	auto_free char *tmp = mem_printf("%s.tmp", saved);

	unlink(tmp);
	op->failed = fs_copy_sparse(op->disk, tmp, 0600, &op->err) || rename(tmp, saved);
	if (op->failed && op->err.code == ERR_OK)
		err_sys(&op->err, errno, "cannot rename '%s'", tmp);
}

static void resume_saved(struct sandbox *sb, struct op *op)
{
	struct base *base = base_ready(sb->core->bases, sb->row.template_key);

	if (!base && !op->failed)
		err_set(&op->err, ERR_INTERNAL, "the base of '%s' is gone", sb->row.id);
	if (base && !op->failed)
		resume_on(sb, base);
	else
		resume_failed(sb, &op->err);
}

static void resume_save(struct sandbox *sb, struct op *op)
{
	if (disk_is_small(sb)) {
		op_work(op, copy_work, resume_saved);
		return;
	}
	op->failed = disk_save(sb, &op->err) != 0;
	resume_saved(sb, op);
}

static void resume_begin(void *arg, struct base *base, const struct err *base_err)
{
	struct sandbox *sb = arg;

	sb->base_wait = NULL;
	if (base)
		op_merge(sb, resume_save);
	else
		resume_failed(sb, base_err);
}

int sandbox_resume(struct sandbox *sb, sandbox_done_cb *cb, void *arg, struct err *err)
{
	struct op *op = op_begin(sb, OP_RESUME, cb, arg, err);
	if (!op)
		return -1;
	if (is_remote(sb))
		remote_resume(sb);
	else /* from the loop, so that a failure is told from there */
		sb->base_wait = base_load(sb->core->bases, sb->row.template_key, resume_begin, sb);
	return 0;
}
