/*
 * power: stop and start. A stop keeps the disk and nothing else; a start boots from it.
 *
 *   stop:  record stopping -> the guest shuts down, or is killed when it takes too long -> record stopped -> done
 *   start: record starting -> launch from the kernel -> record running -> done
 */
#include <unistd.h>

#include "daemon/core/internal.h"
#include "daemon/core/lend.h"
#include "daemon/core/remote.h"
#include "daemon/image/bundle.h"
#include "daemon/vm/qcow2.h"
#include "daemon/vm/ram.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { STOP_MS = 30000 }; /* an init system, in emulation */

/* ---- stop ---- */

static void stopped(struct sandbox *sb)
{
	struct op *op = sb->op;
	struct err err = ERR_INIT;

	uv_timer_stop(&sb->deadline);
	link_stream_close(sb->configure);
	sb->configure = NULL;
	link_close(sb->link);
	sb->link = NULL;
	sb->row.idled = sb->row.booted = 0;
	int rc = sandbox_set_state(sb, SANDBOX_STOPPED, NULL, &err);
	if (rc)
		sb->state = SANDBOX_STOPPED; /* the record says stopping, which the next start of the daemon takes for the same */
	else
		unlink(op->memory);
	eventlog_add(sb->log, "stopped", "on request");
	op_end(sb, rc ? &err : NULL);
}

static void stop_vm_ended(struct sandbox *sb, struct op *op)
{
	(void)op;
	stopped(sb);
}

static void on_stop_due(uv_timer_t *timer)
{
	struct sandbox *sb = timer->data;

	if (sb->vm) {
		if (sb->configure)
			log_info("core", "%s: does not shut down: killed", sb->row.id);
		vm_kill(sb->vm); /* stop_vm_ended goes on */
	} else {
		stopped(sb);
	}
}

static void ignore_data(void *arg, enum wire_channel ch, const uint8_t *data, size_t n)
{
	struct sandbox *sb = arg;
	(void)data;
	link_stream_consumed(sb->configure, ch, n);
}

/* Process 1 that does as asked ends without an answer; one that has asked its init system says so, and the end is to come. */
static void on_answer(void *arg, const struct link_exit *e)
{
	struct sandbox *sb = arg;
	link_stream_close(sb->configure);
	sb->configure = NULL;
	if (!e->link_lost && (e->sys || e->code) && sb->op && sb->op->kind == OP_STOP && sb->vm)
		vm_kill(sb->vm); /* it says that it cannot */
}

static const struct link_stream_ops stop_ops = { .on_data = ignore_data, .on_exit = on_answer };

int sandbox_stop(struct sandbox *sb, bool force, sandbox_done_cb *cb, void *arg, struct err *err)
{
	auto_buf r = BUF_INIT;
	struct err link_err = ERR_INIT;
	struct op *op = op_begin(sb, OP_STOP, cb, arg, err);

	if (!op)
		return -1;
	if (is_remote(sb)) {
		remote_stop(sb, force);
		return 0;
	}
	op->ended = stop_vm_ended;
	if (sb->row.host == HOST_CONTROL && sb->vm && !force && !sb->link) { /* nobody else is to speak to it any more */
		lend_end(sb);
		if (sandbox_open_link(sb, false, &link_err))
			log_warn("core", "%s: %s", sb->row.id, link_err.msg);
	}
	wire_rec_u64(&r, WT_OP, WIRE_OP_SHUTDOWN);
	if (sb->vm && sb->link && !force)
		sb->configure = link_stream_open(sb->link, &r, &stop_ops, sb, NULL);
	/* a paused one, and one that cannot be asked, are over at once */
	uv_timer_start(&sb->deadline, on_stop_due, sb->configure ? STOP_MS : 0, 0);
	return 0;
}

/* ---- start ---- */

static void start_failed(struct sandbox *sb, const struct err *why)
{
	struct err err = *why, ignored = ERR_INIT;

	if (sandbox_set_state(sb, SANDBOX_STOPPED, why->msg, &ignored))
		sb->state = SANDBOX_STOPPED;
	op_end(sb, &err);
}

static void start_vm_ended(struct sandbox *sb, struct op *op)
{
	struct err err = op->err;
	start_failed(sb, &err);
}

static void on_started(struct sandbox *sb, const struct err *launch_err)
{
	struct op *op = sb->op;

	if (launch_err) {
		start_failed(sb, launch_err);
		return;
	}
	if (sandbox_set_state(sb, SANDBOX_RUNNING, NULL, &op->err)) {
		op->ended = start_vm_ended;
		vm_kill(sb->vm);
		return;
	}
	eventlog_add(sb->log, "started", "in %lld ms", (long long)(clock_mono_ms() - op->since_ms));
	op_end(sb, NULL);
}

static void start_on(void *arg, struct base *base, const struct err *base_err)
{
	struct sandbox *sb = arg;
	struct err err = ERR_INIT;

	sb->base_wait = NULL;
	if (!base) {
		start_failed(sb, base_err);
		return;
	}
	/* a base that came from a snapshot has no kernel of its own */
	struct bundle kernel = { 0 };
	if (!fs_exists(base->kernel) && bundle_find(sb->core->cache, &kernel, &err) != 1) {
		if (err.code == ERR_OK)
			err_set(&err, ERR_STATE, "there is no kernel to boot it with");
		err_hint(&err, "build one with: sbx image build base");
		start_failed(sb, &err);
		return;
	}
	auto_free char *disk = fs_join(sb->dir, "disk.qcow2");
	if (sb->row.disk_mb && qcow2_grow(disk, (uint64_t)sb->row.disk_mb << 20, &err)) {
		start_failed(sb, &err);
		bundle_free(&kernel);
		return;
	}
	auto_fd int ram = ram_empty((unsigned)sb->row.memory_mb, &err);
	const struct launch how = { .base = base,
		.kernel = kernel.kernel,
		.initrd = kernel.initrd,
		.top = "disk.qcow2",
		.ram_fd = ram,
		.vcpus = (unsigned)sb->row.vcpus,
		.memory_mb = (unsigned)sb->row.memory_mb,
		.fresh = true,
		.mount = true };
	sb->row.booted = 1;
	if (ram < 0 || launch_begin(sb, &how, on_started, &err))
		start_failed(sb, &err);
	bundle_free(&kernel);
}

static void start_merged(struct sandbox *sb, struct op *op)
{
	(void)op;
	sb->base_wait = base_load(sb->core->bases, sb->row.template_key, start_on, sb);
}

int sandbox_start(struct sandbox *sb, sandbox_done_cb *cb, void *arg, struct err *err)
{
	struct op *op = op_begin(sb, OP_START, cb, arg, err);
	if (!op)
		return -1;
	if (is_remote(sb))
		remote_start_vm(sb);
	else
		op_merge(sb, start_merged);
	return 0;
}

/* ---- shape ---- */

int sandbox_resize(struct sandbox *sb, unsigned vcpus, unsigned memory_mb, unsigned disk_mb, struct err *err)
{
	struct db_sandbox row = sb->row;
	auto_free char *disk = fs_join(sb->dir, "disk.qcow2");
	uint64_t size = 0;

	if (sb->state == SANDBOX_CREATING || sb->state == SANDBOX_DELETING)
		return err_set(err, ERR_STATE, "sandbox '%s' is %s", row.id, sandbox_state_name(sb->state));
	if (vcpus)
		row.vcpus = vcpus;
	if (memory_mb)
		row.memory_mb = memory_mb;
	if (is_remote(sb))
		size = (uint64_t)row.disk_mb << 20; /* as far as we know */
	else if (disk_mb && qcow2_size(disk, &size, err))
		return -1;
	if (disk_mb && ((uint64_t)disk_mb << 20) < size) {
		err_set(err, ERR_INVALID, "its disk has %llu MiB already, and only grows", (unsigned long long)(size >> 20));
		return -1;
	}
	if (disk_mb)
		row.disk_mb = disk_mb;
	if (db_sandbox_update(sb->core->db, &row, err))
		return -1;
	sb->row.disk_mb = row.disk_mb;
	sb->row.vcpus = row.vcpus;
	sb->row.memory_mb = row.memory_mb;
	if (is_remote(sb))
		remote_resize(sb);
	eventlog_add(
		sb->log, "resized", "%lld vCPUs, %lld MiB from the next start on", (long long)row.vcpus, (long long)row.memory_mb);
	return 0;
}
