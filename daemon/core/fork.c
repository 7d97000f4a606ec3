/*
 * fork: children that go on from one instant of a sandbox, all or none.
 *
 *   records (state creating) -> base -> [worker: the parent stops, its state goes to memory, its disk is copied or gets a new top,
 *   it goes on; copies for the other children] -> every child is launched from that state -> all records at once (state running)
 *   -> done
 *
 * The parent is busy only until its children are launched. A fork is over when that is and every child is up or gone; until then
 * any of them may be removed, which fails it. Nothing of a fork is on disk but the children's own disks: a child that
 * a crash finds unfinished is undone like any create.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/core/disk.h"
#include "daemon/core/internal.h"
#include "daemon/vm/ram.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

struct fork {
	struct core *core;
	char *parent;
	unsigned users;			 /* the operation, whose worker reads this, and the fork until it is over */
	size_t count;			 /* of children */
	size_t left;			 /* those that are not up yet, and the parent's operation */
	struct sandbox *child[FORK_MAX]; /* NULL: gone */
	bool up[FORK_MAX];
	char *disks[FORK_MAX]; /* their tops */
	bool running;	       /* the parent is; else it is paused */
	bool copy;	       /* its disk's top is small */
	bool failed;
	struct err err;
	sandbox_forked_cb *cb;
	void *arg;
};

static void fork_let_go(void *more)
{
	struct fork *f = more;

	if (--f->users > 0)
		return;
	for (size_t i = 0; i < f->count; i++)
		free(f->disks[i]);
	free(f->parent);
	free(f);
}

/* All children run from here on, also for whatever daemon comes next, or none. */
static int record_all(struct fork *f, struct err *err)
{
	if (db_begin(f->core->db, err))
		return -1;
	for (size_t i = 0; i < f->count; i++) {
		struct sandbox *child = f->child[i];
		if (child && child->state == SANDBOX_CREATING && !sandbox_set_state(child, SANDBOX_RUNNING, NULL, err))
			continue;
		if (!err->msg[0])
			err_set(err, ERR_CONFLICT, "a child ended before all were there");
		db_rollback(f->core->db);
		return -1;
	}
	return db_commit(f->core->db, err);
}

static void tell_children(struct fork *f)
{
	for (size_t i = 0; i < f->count; i++) {
		struct sandbox *child = f->child[i];
		struct err err = ERR_INIT;
		eventlog_add(child->log, "created", "forked from %s in %lld ms", f->parent, (long long)child->row.create_us / 1000);
		sandbox_arm_expiry(child);
		if (!child->link && sandbox_open_link(child, false, &err)) /* it was lost while the others came up */
			log_warn("core", "%s: %s", child->row.id, err.msg);
	}
}

/* The parent is free again, and every child is up or gone. */
static void fork_over(struct fork *f)
{
	if (!f->failed)
		f->failed = record_all(f, &f->err) != 0;
	if (!f->failed)
		tell_children(f);
	for (size_t i = 0; i < f->count; i++) {
		if (!f->child[i])
			continue;
		f->child[i]->fork = NULL;
		if (f->failed)
			sandbox_delete(f->child[i], NULL, NULL);
	}
	f->cb(f->arg, f->child, f->failed ? 0 : f->count, f->failed ? &f->err : NULL);
	fork_let_go(f);
}

static void note_failure(struct fork *f, const struct err *err)
{
	if (!f->failed)
		f->err = *err;
	f->failed = true;
}

static void note_removed(struct fork *f)
{
	struct err err = ERR_INIT;
	err_set(&err, ERR_CONFLICT, "a child was removed before all were there");
	note_failure(f, &err);
}

/* One that is going is as good as gone. */
static bool has_failed(struct fork *f)
{
	for (size_t i = 0; !f->failed && i < f->count; i++)
		if (f->child[i]->state != SANDBOX_CREATING)
			note_removed(f);
	return f->failed;
}

static void part_done(struct fork *f)
{
	if (--f->left == 0)
		fork_over(f);
}

static size_t index_of(const struct fork *f, const struct sandbox *child)
{
	size_t i = 0;
	while (i < f->count && f->child[i] != child)
		i++;
	return i;
}

void fork_child_gone(struct sandbox *child)
{
	struct fork *f = child->fork;
	size_t i = index_of(f, child);

	child->fork = NULL;
	f->child[i] = NULL;
	if (child->failure.code != ERR_OK)
		note_failure(f, &child->failure);
	else
		note_removed(f);
	if (!f->up[i])
		part_done(f);
}

static void child_launched(struct sandbox *child, const struct err *launch_err)
{
	struct fork *f = child->fork;

	if (launch_err) {
		create_fail(child, launch_err); /* fork_child_gone is told */
		return;
	}
	child->row.create_us = clock_mono_us() - child->asked_us;
	f->up[index_of(f, child)] = true;
	part_done(f);
}

/* ---- from the state to the children ---- */

static void launch_child(struct fork *f, struct sandbox *child, const struct sandbox *parent, const struct launch *how)
{
	auto_free char *log = fs_join(child->dir, "events.log");
	struct err err = ERR_INIT;

	child->log = eventlog_new(log);
	if (db_sandbox_update(f->core->db, &child->row, &err) || mount_share(child, parent, &err) ||
		launch_begin(child, how, child_launched, &err))
		create_fail(child, &err);
}

static void launch_children(struct fork *f, const struct sandbox *parent, const struct base *base)
{
	auto_free char *state = mem_printf("/proc/self/fd/%d", parent->op->freeze.out_fd);
	struct err err = ERR_INIT;
	auto_fd int empty = parent->row.booted ? ram_empty((unsigned)parent->row.run_memory_mb, &err) : -1;
	const struct launch how = { .base = base,
		.state = state,
		.top = "disk.qcow2",
		.ram_fd = parent->row.booted ? empty : base->ram_fd,
		.vcpus = (unsigned)parent->row.run_vcpus,
		.memory_mb = (unsigned)parent->row.run_memory_mb };

	for (size_t i = 0; i < f->count; i++) {
		struct sandbox *child = f->child[i];
		/* where nothing was copied, the parent's top has just become a layer */
		auto_free char *layer = f->copy ? NULL : mem_printf("%s/layers/%s.qcow2", f->core->home, parent->row.layers[0]);
		const struct vm_disk below = { .path = layer };
		disk_share(&child->row, &parent->row);
		if (how.ram_fd < 0 || (!f->copy && vm_overlay(f->disks[i], &below, &err)))
			create_fail(child, &err);
		else
			launch_child(f, child, parent, &how);
	}
}

/* The parent's operation is over; with an error, nothing has come of it. */
static void on_parent_done(void *arg, struct sandbox *parent, const struct err *err)
{
	struct fork *f = arg;

	(void)parent;
	if (err)
		note_failure(f, err);
	for (size_t i = 0; err && i < f->count; i++)
		if (f->child[i])
			create_fail(f->child[i], err);
	part_done(f);
}

static void fork_after(struct sandbox *sb, struct op *op)
{
	struct fork *f = op->more;
	struct err err = op->err;

	if (!f->copy)
		disk_settle(sb, !op->failed || op->freeze.switched);
	if (op->failed || has_failed(f)) {
		op_end(sb, op->failed ? &err : &f->err);
		return;
	}
	struct base *base = base_ready(sb->core->bases, sb->row.template_key);
	if (!base) {
		err_set(&err, ERR_INTERNAL, "the base of '%s' is gone", sb->row.id);
		op_end(sb, &err);
		return;
	}
	launch_children(f, sb, base);
	if (f->running)
		eventlog_add(sb->log, "forked", "%zu, stopped for %lld ms, %lld MiB of memory", f->count,
			(long long)op->freeze.stopped_us / 1000, (long long)(op->freeze.pages >> 8));
	op_end(sb, NULL);
}

/* ---- the state ---- */

static int copy_disks(struct fork *f, const char *first, size_t from, struct err *err)
{
	for (size_t i = from; f->copy && i < f->count; i++)
		if (fs_copy_sparse(first, f->disks[i], 0600, err))
			return -1;
	return 0;
}

static void fork_work(struct op *op)
{
	struct fork *f = op->more;

	if (f->running)
		op->failed = freeze_run(&op->freeze, &op->err) || copy_disks(f, f->disks[0], 1, &op->err);
	else
		op->failed = copy_disks(f, op->disk, 0, &op->err) != 0;
}

static void fork_on(void *arg, struct base *base, const struct err *base_err)
{
	struct sandbox *sb = arg;
	struct op *op = sb->op;
	struct fork *f = op->more;
	struct err err = ERR_INIT;

	sb->base_wait = NULL;
	if (!base || has_failed(f)) {
		op_end(sb, base ? &f->err : base_err);
		return;
	}
	f->copy = disk_is_small(sb);
	f->running = sb->state == SANDBOX_RUNNING;
	for (size_t i = 0; i < f->count; i++) {
		f->disks[i] = fs_join(f->child[i]->dir, "disk.qcow2");
		if (mkdir(f->child[i]->dir, 0700)) {
			err_sys(&err, errno, "cannot make '%s'", f->child[i]->dir);
			op_end(sb, &err);
			return;
		}
	}
	if (op_freeze(sb, f->copy ? f->disks[0] : NULL, &err))
		op_end(sb, &err);
	else
		op_work(op, fork_work, fork_after);
}

/* ---- the request ---- */

static struct sandbox *child_record(const struct sandbox *parent, const char *name, int64_t account, struct err *err)
{
	const struct db_sandbox *from = &parent->row;
	struct db_sandbox row = { .name = name ? mem_strdup(name) : NULL,
		.image = mem_strdup(from->image),
		.image_digest = from->image_digest ? mem_strdup(from->image_digest) : NULL,
		.template_key = mem_strdup(from->template_key),
		.parent = mem_strdup(from->id),
		.env = copy_list(from->env),
		.labels = copy_list(from->labels),
		.vcpus = from->vcpus,
		.memory_mb = from->memory_mb,
		.run_vcpus = from->run_vcpus,
		.run_memory_mb = from->run_memory_mb,
		.booted = from->booted,
		.timeout_s = from->timeout_s,
		.idle_s = from->idle_s,
		.net = from->net,
		.net_rules = from->net_rules ? mem_strdup(from->net_rules) : NULL,
		.account = account };
	return create_record(parent->core, &row, err);
}

static int check_names(struct core *core, const struct fork_spec *spec, struct err *err)
{
	for (size_t i = 0; spec->names && spec->names[i]; i++) {
		if (i >= spec->count)
			return err_set(err, ERR_INVALID, "more names than children");
		if (create_check_name(core, spec->account, spec->names[i], err))
			return -1;
		for (size_t k = 0; k < i; k++)
			if (!strcmp(spec->names[i], spec->names[k]))
				return err_set(err, ERR_CONFLICT, "two children cannot both be named '%s'", spec->names[i]);
	}
	return 0;
}

int sandbox_fork(struct sandbox *sb, const struct fork_spec *spec, sandbox_forked_cb *cb, void *arg, struct err *err)
{
	if (spec->count < 1 || spec->count > FORK_MAX)
		return err_set(err, ERR_INVALID, "between 1 and %d children can be made at a time", FORK_MAX);
	if (check_names(sb->core, spec, err))
		return -1;
	struct op *op = op_begin(sb, OP_FORK, on_parent_done, NULL, err);
	if (!op)
		return -1;
	struct fork *f = mem_zalloc(sizeof(*f));
	*f = (struct fork){ .core = sb->core, .users = 2, .parent = mem_strdup(sb->row.id), .cb = cb, .arg = arg };
	op->arg = op->more = f;
	op->more_free = fork_let_go;
	bool named = spec->names != NULL;
	for (size_t i = 0; i < spec->count; i++) {
		const char *name = named ? spec->names[i] : NULL;
		named = name != NULL;
		f->child[i] = child_record(sb, name, spec->account, err);
		if (!f->child[i])
			break;
		f->child[i]->fork = f;
		f->count = i + 1;
	}
	if (f->count == spec->count) {
		f->left = f->count + 1;
		sb->base_wait = base_load(sb->core->bases, sb->row.template_key, fork_on, sb);
		return 0;
	}
	op->cb = NULL;
	for (size_t i = 0; i < f->count; i++) {
		f->child[i]->fork = NULL;
		sandbox_delete(f->child[i], NULL, NULL);
	}
	op_end(sb, err);
	fork_let_go(f);
	return -1;
}
