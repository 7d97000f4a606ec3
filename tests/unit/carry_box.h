/*
 * carry_box: a sandbox in a carry_kit, brought to where a test wants it, and what was told of it. For the tests of what other hosts
 * carry.
 */
#ifndef SBX_UNIT_CARRY_BOX_H
#define SBX_UNIT_CARRY_BOX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/core/host.h"
#include "daemon/core/metrics.h"
#include "daemon/core/remote.h"
#include "daemon/core/remote_snapshot.h"
#include "daemon/db/table.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "tests/unit/carry_kit.h"

/* ---- one sandbox, and what was told of it ---- */

struct told {
	unsigned n;
	bool well;
	struct err err;
};

struct box {
	struct carry_kit *k;
	struct sandbox *sb;
	char id[16];
	struct told created, done, deleted, shot;
	struct snapshot last; /* that it told of; its texts are not kept */
};

static inline void tell(struct told *t, const struct err *err)
{
	t->n++;
	t->well = !err;
	t->err = err ? *err : (struct err)ERR_INIT;
}

static inline void on_created(void *arg, struct sandbox *sb, const struct err *err)
{
	struct box *b = arg;
	assert_ptr_equal(sb, err ? NULL : b->sb);
	if (err)
		b->sb = NULL;
	tell(&b->created, err);
}

static inline void on_done(void *arg, struct sandbox *sb, const struct err *err)
{
	struct box *b = arg;
	assert_ptr_equal(sb, b->sb);
	tell(&b->done, err);
}

static inline void on_deleted(void *arg, const struct err *err)
{
	struct box *b = arg;
	tell(&b->deleted, err);
}

static inline void on_shot(void *arg, const struct snapshot *list, size_t n, const struct err *err)
{
	struct box *b = arg;
	assert_int_equal(n, err ? 0 : 1);
	if (n)
		b->last = *list;
	tell(&b->shot, err);
}

static inline void told(struct told *t, enum err_code code)
{
	assert_int_equal(t->n, 1);
	assert_int_equal(t->well ? ERR_OK : t->err.code, code);
	assert_true(t->well || t->err.msg[0]);
	*t = (struct told){ 0 };
}

static const struct sandbox_spec plain = {
	.host = "hosta", .image = "base", .account = TEAM, .vcpus = 2, .template = "plain", .name = "box"
};

static inline void create(struct box *b, struct carry_kit *k, const struct sandbox_spec *spec)
{
	struct err err = ERR_INIT;
	*b = (struct box){ .k = k };
	b->sb = sandbox_create(k->core, spec, on_created, b, &err);
	if (!b->sb)
		fail_msg("%s", err.msg);
	str_copy(b->id, sizeof(b->id), sandbox_row(b->sb)->id);
	assert_int_equal(sandbox_state(b->sb), SANDBOX_CREATING);
}

static inline struct carry_box as(const struct box *b, const char *state)
{
	return (struct carry_box){ .id = b->id,
		.state = state,
		.accel = "kvm",
		.digest = "abc",
		.mac = "02:00:00:00:00:01",
		.vcpus = 2,
		.memory_mb = 256,
		.run_vcpus = 2,
		.run_memory_mb = 256 };
}

static inline void done_as(const struct box *b, enum carry_verb verb, const char *state)
{
	const struct carry_box there = as(b, state);
	carry_kit_done(b->k, verb, &there);
}

static inline void list_as(const struct box *b, const char *state)
{
	const struct carry_box there = as(b, state);
	carry_kit_list(b->k, &there, 1);
}

static inline void state_is(const struct box *b, enum sandbox_state want)
{
	assert_string_equal(sandbox_state_name(sandbox_state(b->sb)), sandbox_state_name(want));
	assert_string_equal(sandbox_row(b->sb)->state, sandbox_state_name(want));
}

struct look {
	const char *id;
	char *state; /* NULL: there is none */
};

static inline int look_at(void *arg, struct db_sandbox *row)
{
	struct look *l = arg;
	if (!strcmp(row->id, l->id))
		l->state = mem_strdup(row->state);
	return 0;
}

/* want NULL: nothing is recorded of it. */
static inline void recorded(struct db *db, const char *id, const char *want)
{
	struct err err = ERR_INIT;
	struct look l = { .id = id };
	assert_int_equal(db_sandbox_each(db, look_at, &l, &err), 0);
	assert_int_equal(l.state != NULL, want != NULL);
	if (want)
		assert_string_equal(l.state, want);
	free(l.state);
}

static inline void is_gone(struct box *b)
{
	assert_null(sandbox_find(b->k->core, TEAM_ANY, b->id, NULL));
	recorded(b->k->core->db, b->id, NULL);
	auto_free char *dir = mem_printf("%s/vms/%s", b->k->dir, b->id);
	assert_false(fs_exists(dir));
}

/* ---- the points at which something may come between ---- */

enum step {
	BEGUN,
	CREATE,
	CREATE_AGENT,
	RUNNING,
	PAUSE,
	PAUSED,
	RESUME,
	RESUME_AGENT,
	STOP,
	STOPPED,
	START,
	START_AGENT,
	SNAPSHOT,
	SNAPSHOT_PAUSED,
	STEPS
};

static const struct {
	const char *waits, *recorded;
	enum sandbox_state state, after; /* after: the daemon has started anew and the host has not said anything */
	bool op;
} steps[STEPS] = {
	[BEGUN] = { "", "creating", SANDBOX_CREATING, SANDBOX_DELETING, false },
	[CREATE] = { "create hosta; ", "creating", SANDBOX_CREATING, SANDBOX_DELETING, false },
	[CREATE_AGENT] = { "agent hosta; ", "creating", SANDBOX_CREATING, SANDBOX_DELETING, false },
	[RUNNING] = { "", "running", SANDBOX_RUNNING, SANDBOX_RUNNING, false },
	[PAUSE] = { "pause hosta; ", "pausing", SANDBOX_PAUSING, SANDBOX_RUNNING, true },
	[PAUSED] = { "", "paused", SANDBOX_PAUSED, SANDBOX_PAUSED, false },
	[RESUME] = { "resume hosta; ", "resuming", SANDBOX_RESUMING, SANDBOX_PAUSED, true },
	[RESUME_AGENT] = { "agent hosta; ", "resuming", SANDBOX_RESUMING, SANDBOX_PAUSED, true },
	[STOP] = { "stop hosta; ", "stopping", SANDBOX_STOPPING, SANDBOX_RUNNING, true },
	[STOPPED] = { "", "stopped", SANDBOX_STOPPED, SANDBOX_STOPPED, false },
	[START] = { "start hosta; ", "starting", SANDBOX_STARTING, SANDBOX_STOPPED, true },
	[START_AGENT] = { "agent hosta; ", "starting", SANDBOX_STARTING, SANDBOX_STOPPED, true },
	[SNAPSHOT] = { "snapshot hosta; ", "running", SANDBOX_RUNNING, SANDBOX_RUNNING, true },
	[SNAPSHOT_PAUSED] = { "snapshot hosta; ", "paused", SANDBOX_PAUSED, SANDBOX_PAUSED, true },
};

static inline struct told *told_at(struct box *b, enum step step)
{
	return step >= SNAPSHOT ? &b->shot : steps[step].op ? &b->done : &b->created;
}

static inline void run(struct box *b)
{
	carry_kit_turn(b->k);
	carry_kit_waits(b->k, "create hosta; ");
	done_as(b, CARRY_CREATE, "running");
	carry_kit_agent(b->k);
	told(&b->created, ERR_OK);
}

static inline void pause_it(struct box *b)
{
	struct err err = ERR_INIT;
	assert_int_equal(sandbox_pause(b->sb, false, on_done, b, &err), 0);
}

static inline void resume_it(struct box *b)
{
	struct err err = ERR_INIT;
	assert_int_equal(sandbox_resume(b->sb, on_done, b, &err), 0);
}

static inline void stop_it(struct box *b, bool force)
{
	struct err err = ERR_INIT;
	assert_int_equal(sandbox_stop(b->sb, force, on_done, b, &err), 0);
}

static inline void start_it(struct box *b)
{
	struct err err = ERR_INIT;
	assert_int_equal(sandbox_start(b->sb, on_done, b, &err), 0);
}

/* Until its host is asked for it, or it has failed before. */
static inline enum err_code shoot(struct box *b, const char *name, bool replace)
{
	struct err err = ERR_INIT;
	const size_t asked = b->k->asked;
	if (sandbox_snapshot(b->sb, name, replace, on_shot, b, &err))
		return err.code;
	for (int64_t end = clock_mono_ms() + 20000; b->k->asked == asked && !b->shot.n && clock_mono_ms() < end;)
		uv_run(&b->k->loop, UV_RUN_ONCE);
	assert_true(b->k->asked != asked || b->shot.n);
	return ERR_OK;
}

static inline void reach(struct box *b, struct carry_kit *k, enum step step)
{
	create(b, k, &plain);
	if (step == BEGUN)
		return;
	if (step <= CREATE_AGENT) {
		carry_kit_turn(k);
		if (step == CREATE_AGENT)
			done_as(b, CARRY_CREATE, "running");
		return;
	}
	run(b);
	if (step >= STOP && step <= START_AGENT) {
		stop_it(b, false);
		if (step == STOP)
			return;
		done_as(b, CARRY_STOP, "stopped");
		told(&b->done, ERR_OK);
		if (step >= START)
			start_it(b);
		if (step == START_AGENT)
			done_as(b, CARRY_START, "running");
		return;
	}
	if (step == RUNNING || step == SNAPSHOT) {
		if (step == SNAPSHOT)
			assert_int_equal(shoot(b, "snap", false), ERR_OK);
		return;
	}
	pause_it(b);
	if (step == PAUSE)
		return;
	done_as(b, CARRY_PAUSE, "paused");
	told(&b->done, ERR_OK);
	if (step == RESUME || step == RESUME_AGENT)
		resume_it(b);
	if (step == RESUME_AGENT)
		done_as(b, CARRY_RESUME, "running");
	if (step == SNAPSHOT_PAUSED)
		assert_int_equal(shoot(b, "snap", false), ERR_OK);
}

static inline void is_at(struct box *b, enum step step)
{
	carry_kit_waits(b->k, steps[step].waits);
	state_is(b, steps[step].state);
	recorded(b->k->core->db, b->id, steps[step].recorded);
	assert_int_equal(b->sb->op != NULL, steps[step].op);
}

/* ---- its end ---- */

static inline void end_delete(struct box *b, int how)
{
	if (how == 0)
		carry_kit_done(b->k, CARRY_DELETE, NULL);
	else if (how == 1)
		carry_kit_refuse(b->k, CARRY_DELETE, ERR_NOT_FOUND);
	else if (how == 2)
		carry_kit_refuse(b->k, CARRY_DELETE, ERR_IO);
	else
		carry_kit_deaf(b->k, CARRY_DELETE);
}

static inline void remove_it(struct box *b)
{
	sandbox_delete(b->sb, on_deleted, b);
	carry_kit_done(b->k, CARRY_DELETE, NULL);
	told(&b->deleted, ERR_OK);
	is_gone(b);
	carry_kit_settle(b->k);
}

/* Then its host is asked to forget a snapshot whose answer was never heard. */
static inline bool is_shot(enum step step)
{
	return step == SNAPSHOT || step == SNAPSHOT_PAUSED;
}

#endif
