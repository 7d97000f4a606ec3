/*
 * op: one operation at a time on a sandbox. The table says what may begin when, and what the sandbox is called meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "daemon/core/disk.h"
#include "daemon/core/internal.h"
#include "daemon/core/remote.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define IN(state) (1u << SANDBOX_##state)

static const struct transition {
	const char *verb, *being;
	unsigned from;		      /* states */
	enum sandbox_state meanwhile; /* SANDBOX_STATES: as before */
	const char *hint;	      /* its id follows */
	bool at_home;		      /* only of what no other machine carries */
} transitions[OP_KINDS] = {
	[OP_PAUSE] = { "pause", "paused", IN(RUNNING), SANDBOX_PAUSING, "only what runs can be paused; see: sbx inspect" },
	[OP_RESUME] = { "resume", "resumed", IN(PAUSED), SANDBOX_RESUMING, "a stopped one is started with: sbx start" },
	[OP_STOP] = { "stop", "stopped", IN(RUNNING) | IN(PAUSED), SANDBOX_STOPPING, "remove it with: sbx rm" },
	[OP_START] = { "start", "started", IN(STOPPED), SANDBOX_STARTING, "a paused one is resumed with: sbx resume" },
	[OP_FORK] = { "fork", "forked", IN(RUNNING) | IN(PAUSED), SANDBOX_STATES, "start it first: sbx start", true },
	[OP_SETTLE] = { "settle", "looked after", IN(RUNNING), SANDBOX_STATES, "start it first: sbx start" }, /* recover.c */
	[OP_SNAPSHOT] = { "take a snapshot of", "kept as a snapshot", IN(RUNNING) | IN(PAUSED), SANDBOX_STATES,
		"start it first: sbx start" },
	[OP_COMMIT] = { "make an image of", "made an image", IN(STOPPED), SANDBOX_STATES, "its disk must be at rest: sbx stop",
		true },
	[OP_HOLD] = { "hold", "held", IN(POOLED), SANDBOX_STATES, "" },
	[OP_TAKE] = { "take", "taken", IN(POOLED), SANDBOX_CREATING, "" },
};

static void op_free(struct op *op)
{
	free(op->dir);
	free(op->memory);
	free(op->disk);
	drop_list(op->paths);
	if (op->more_free)
		op->more_free(op->more);
	mem_cleanup_fd(&op->freeze.out_fd);
	mem_cleanup_fd(&op->freeze.copy_fd);
	mem_cleanup_fd(&op->freeze.top_fd);
	free(op);
}

struct op *op_begin(struct sandbox *sb, enum op_kind kind, sandbox_done_cb *cb, void *arg, struct err *err)
{
	const struct transition *t = &transitions[kind];

	if (sb->op) {
		err_set(err, ERR_CONFLICT, "sandbox '%s' is just being %s", sb->row.id, transitions[sb->op->kind].being);
		err_hint(err, "wait for that, then try again");
		return NULL;
	}
	if (is_remote(sb) && t->at_home) {
		err_set(err, ERR_NOT_IMPLEMENTED, "cannot %s sandbox '%s': another host carries it", t->verb, sb->row.id);
		err_hint(err, "this is done only with what runs on this machine itself");
		return NULL;
	}
	if (sb->state == SANDBOX_MISSING) {
		err_set(err, ERR_STATE, "sandbox '%s' is missing: its host is not heard of", sb->row.id);
		err_hint(err, "it goes on when the host is back; see: sbx host ls");
		return NULL;
	}
	if (!(t->from & 1u << sb->state)) {
		err_set(err, ERR_STATE, "cannot %s sandbox '%s': it is %s", t->verb, sb->row.id, sandbox_state_name(sb->state));
		err_hint(err, "%s %s", t->hint, sb->row.id);
		return NULL;
	}
	enum sandbox_state was = sb->state;
	if (t->meanwhile != SANDBOX_STATES && sandbox_set_state(sb, t->meanwhile, NULL, err))
		return NULL;
	struct op *op = mem_zalloc(sizeof(*op));
	*op = (struct op){ .sb = sb,
		.kind = kind,
		.was = was,
		.cb = cb,
		.arg = arg,
		.since_ms = clock_mono_ms(),
		.dir = mem_strdup(sb->dir),
		.memory = fs_join(sb->dir, "memory"),
		.disk = fs_join(sb->dir, "disk.qcow2") };
	op->freeze = (struct freeze){ .dir = op->dir,
		.disk = op->disk,
		.pid = (pid_t)sb->row.pid,
		.memory_mb = (unsigned)sb->row.run_memory_mb,
		.out_fd = -1,
		.copy_fd = -1,
		.top_fd = -1 };
	sb->op = op;
	return op;
}

static void on_work(uv_work_t *work)
{
	struct op *op = work->data;
	op->run(op);
}

static void on_worked(uv_work_t *work, int status)
{
	struct op *op = work->data;
	struct sandbox *sb = op->sb;

	(void)status;
	op->working = false;
	if (!sb)
		op_free(op);
	else if (sb->state == SANDBOX_DELETING)
		sandbox_deletion_due(sb);
	else
		op->after(sb, op);
}

void op_work(struct op *op, void (*run)(struct op *op), void (*after)(struct sandbox *sb, struct op *op))
{
	op->run = run;
	op->after = after;
	op->working = true;
	op->work.data = op;
	uv_queue_work(op->sb->core->config.loop, &op->work, on_work, on_worked);
}

static void wake_tell(struct sandbox *sb, const struct op *op, const struct err *op_err);

/* ---- fewer layers of a disk ---- */

static void merge_work(struct op *op)
{
	size_t n = 0;

	while (op->paths[n])
		n++;
	op->failed = disk_merge((const char *const *)op->paths, n, &op->err) != 0;
}

/* When it failed the disk is as it was, and will do. */
static void merged(struct sandbox *sb, struct op *op)
{
	if (op->failed || disk_merged(sb, &op->err))
		log_warn("core", "%s: its disk keeps its layers: %s", sb->row.id, op->err.msg);
	op->failed = false;
	err_clear(&op->err);
	op->next(sb, op);
}

void op_merge(struct sandbox *sb, void (*next)(struct sandbox *sb, struct op *op))
{
	if (!disk_has_many(sb)) {
		next(sb, sb->op);
		return;
	}
	sb->op->paths = disk_paths(sb, "disk.qcow2");
	sb->op->next = next;
	op_work(sb->op, merge_work, merged);
}

/* ---- its state at one instant ---- */

int op_freeze(struct sandbox *sb, const char *copy, struct err *err)
{
	struct op *op = sb->op;
	struct freeze *f = &op->freeze;
	bool running = sb->state == SANDBOX_RUNNING;
	auto_free char *next = fs_join(sb->dir, "disk.next");

	f->out_fd = running ? memfd_create("sbx-state", MFD_CLOEXEC) : open(op->memory, O_RDONLY | O_CLOEXEC);
	if (f->out_fd < 0)
		return running ? err_sys(err, errno, "cannot make a file in memory")
			       : err_sys(err, errno, "cannot open '%s'", op->memory);
	if (!copy && disk_push(sb, err))
		return -1;
	if (!running)
		return 0;
	int *fd = copy ? &f->copy_fd : &f->top_fd;
	*fd = open(copy ? copy : next, O_RDWR | O_CLOEXEC | (copy ? O_CREAT | O_TRUNC : 0), 0600);
	if (*fd >= 0)
		return 0;
	err_sys(err, errno, "cannot open '%s'", copy ? copy : next);
	if (!copy)
		disk_settle(sb, false);
	return -1;
}

/* ---- its end ---- */

void op_end(struct sandbox *sb, const struct err *err)
{
	struct op *op = sb->op;
	struct err copy = ERR_INIT;

	if (err)
		copy = *err;
	sb->op = NULL;
	if (err)
		log_warn("core", "%s: cannot %s: %s", sb->row.id, transitions[op->kind].verb, err->msg);
	if (sb->state == SANDBOX_RUNNING && !sb->vm && !is_remote(sb)) /* it ended while the worker was at it */
		sandbox_ended_by_itself(sb);
	if (op->cb)
		op->cb(op->arg, sb, err ? &copy : NULL);
	wake_tell(sb, op, err ? &copy : NULL);
	op_free(op);
}

bool op_drop(struct sandbox *sb, const struct err *err)
{
	if (sb->op && sb->op->working)
		return false;
	if (sb->op)
		op_end(sb, err);
	return true;
}

void op_leave(struct sandbox *sb, const struct err *err)
{
	struct op *op = sb->op;

	if (op_drop(sb, err))
		return;
	sb->op = NULL;
	op->sb = NULL; /* it goes when the worker is done */
	if (op->cb)
		op->cb(op->arg, sb, err);
	wake_tell(sb, op, err);
}

bool op_vm_ended(struct sandbox *sb)
{
	struct op *op = sb->op;

	if (!op)
		return false;
	if (op->working)
		return true; /* it comes back, and finds the VM gone */
	if (!op->ended)
		return false;
	op->ended(sb, op);
	return true;
}

/* ---- whoever waits for it to run ---- */

struct wake {
	struct wake *next;
	sandbox_done_cb *cb;
	void *arg;
};

/* The operation is over, with this error or well. */
static void wake_tell(struct sandbox *sb, const struct op *op, const struct err *op_err)
{
	bool tried = op->kind == OP_RESUME; /* once is enough: what keeps it from running now does so the next time */
	struct err err = ERR_INIT;

	if (!sb->wakes || sb->op)
		return; /* or the callback has begun another, whose end comes here too */
	if (!tried && sb->state == SANDBOX_PAUSED && sb->row.idled && !sb->core->closing && !sandbox_resume(sb, NULL, NULL, NULL))
		return; /* it was wanted while it was being paused, or forked */
	struct wake *list = sb->wakes;
	bool usable = sandbox_usable(sb, &err) == 0;
	if (tried && op_err)
		err = *op_err;
	sb->wakes = NULL;
	while (list) {
		struct wake *w = list;
		list = w->next;
		w->cb(w->arg, sb, usable ? NULL : &err);
		free(w);
	}
}

static void wait_for(struct sandbox *sb, sandbox_done_cb *cb, void *arg)
{
	struct wake *w = mem_zalloc(sizeof(*w));
	*w = (struct wake){ .next = sb->wakes, .cb = cb, .arg = arg };
	sb->wakes = w;
}

bool sandbox_settling(struct sandbox *sb, sandbox_done_cb *cb, void *arg)
{
	if (!sb->op || sb->op->kind != OP_SETTLE)
		return false;
	wait_for(sb, cb, arg);
	return true;
}

int sandbox_wake(struct sandbox *sb, sandbox_done_cb *cb, void *arg, struct err *err)
{
	bool idled = (sb->state == SANDBOX_PAUSING && sb->op && sb->op->idle) || (sb->state == SANDBOX_PAUSED && sb->row.idled);
	bool coming = sb->state == SANDBOX_RESUMING || sb->state == SANDBOX_STARTING || (idled && sb->op);

	if (!coming && !idled)
		return sandbox_usable(sb, err);
	wait_for(sb, cb, arg);
	struct wake *w = sb->wakes;
	if (coming || !sandbox_resume(sb, NULL, NULL, err))
		return 1;
	sb->wakes = w->next;
	free(w);
	return -1;
}
