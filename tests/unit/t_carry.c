/* link: tests/unit/carry_kit.c daemon/core/[a-z]*.c daemon/vm/[a-z]*.c daemon/image/[a-z]*.c daemon/notify/[a-z]*.c daemon/net/[a-z]*.c daemon/db/[a-z]*.c shared/wire/[a-z]*.c shared/net/[a-z]*.c shared/store/[a-z]*.c | -luv -lsqlite3 -lssl -lcrypto -lcrypt -llz4 -lzstd -lpthread -l:libarchive.a -l:libz.a -l:libzstd.a -l:liblzma.a -l:libbz2.a -l:libnettle.a -l:libext2fs.a -l:libcom_err.a */
/* Sandboxes that other hosts carry: every operation and how it can end, with the test as the hosts. */
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

static void tell(struct told *t, const struct err *err)
{
	t->n++;
	t->well = !err;
	t->err = err ? *err : (struct err)ERR_INIT;
}

static void on_created(void *arg, struct sandbox *sb, const struct err *err)
{
	struct box *b = arg;
	assert_ptr_equal(sb, err ? NULL : b->sb);
	if (err)
		b->sb = NULL;
	tell(&b->created, err);
}

static void on_done(void *arg, struct sandbox *sb, const struct err *err)
{
	struct box *b = arg;
	assert_ptr_equal(sb, b->sb);
	tell(&b->done, err);
}

static void on_deleted(void *arg, const struct err *err)
{
	struct box *b = arg;
	tell(&b->deleted, err);
}

static void on_shot(void *arg, const struct snapshot *list, size_t n, const struct err *err)
{
	struct box *b = arg;
	assert_int_equal(n, err ? 0 : 1);
	if (n)
		b->last = *list;
	tell(&b->shot, err);
}

static void told(struct told *t, enum err_code code)
{
	assert_int_equal(t->n, 1);
	assert_int_equal(t->well ? ERR_OK : t->err.code, code);
	assert_true(t->well || t->err.msg[0]);
	*t = (struct told){ 0 };
}

static const struct sandbox_spec plain = {
	.host = "hosta", .image = "base", .account = TEAM, .vcpus = 2, .template = "plain", .name = "box"
};

static void create(struct box *b, struct carry_kit *k, const struct sandbox_spec *spec)
{
	struct err err = ERR_INIT;
	*b = (struct box){ .k = k };
	b->sb = sandbox_create(k->core, spec, on_created, b, &err);
	if (!b->sb)
		fail_msg("%s", err.msg);
	str_copy(b->id, sizeof(b->id), sandbox_row(b->sb)->id);
	assert_int_equal(sandbox_state(b->sb), SANDBOX_CREATING);
}

static struct carry_box as(const struct box *b, const char *state)
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

static void done_as(const struct box *b, enum carry_verb verb, const char *state)
{
	const struct carry_box there = as(b, state);
	carry_kit_done(b->k, verb, &there);
}

static void list_as(const struct box *b, const char *state)
{
	const struct carry_box there = as(b, state);
	carry_kit_list(b->k, &there, 1);
}

static void state_is(const struct box *b, enum sandbox_state want)
{
	assert_string_equal(sandbox_state_name(sandbox_state(b->sb)), sandbox_state_name(want));
	assert_string_equal(sandbox_row(b->sb)->state, sandbox_state_name(want));
}

struct look {
	const char *id;
	char *state; /* NULL: there is none */
};

static int look_at(void *arg, struct db_sandbox *row)
{
	struct look *l = arg;
	if (!strcmp(row->id, l->id))
		l->state = mem_strdup(row->state);
	return 0;
}

/* want NULL: nothing is recorded of it. */
static void recorded(struct db *db, const char *id, const char *want)
{
	struct err err = ERR_INIT;
	struct look l = { .id = id };
	assert_int_equal(db_sandbox_each(db, look_at, &l, &err), 0);
	assert_int_equal(l.state != NULL, want != NULL);
	if (want)
		assert_string_equal(l.state, want);
	free(l.state);
}

static void is_gone(struct box *b)
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

static struct told *told_at(struct box *b, enum step step)
{
	return step >= SNAPSHOT ? &b->shot : steps[step].op ? &b->done : &b->created;
}

static void run(struct box *b)
{
	carry_kit_turn(b->k);
	carry_kit_waits(b->k, "create hosta; ");
	done_as(b, CARRY_CREATE, "running");
	carry_kit_agent(b->k);
	told(&b->created, ERR_OK);
}

static void pause_it(struct box *b)
{
	struct err err = ERR_INIT;
	assert_int_equal(sandbox_pause(b->sb, false, on_done, b, &err), 0);
}

static void resume_it(struct box *b)
{
	struct err err = ERR_INIT;
	assert_int_equal(sandbox_resume(b->sb, on_done, b, &err), 0);
}

static void stop_it(struct box *b, bool force)
{
	struct err err = ERR_INIT;
	assert_int_equal(sandbox_stop(b->sb, force, on_done, b, &err), 0);
}

static void start_it(struct box *b)
{
	struct err err = ERR_INIT;
	assert_int_equal(sandbox_start(b->sb, on_done, b, &err), 0);
}

static enum err_code shoot(struct box *b, const char *name, bool replace)
{
	struct err err = ERR_INIT;
	return sandbox_snapshot(b->sb, name, replace, on_shot, b, &err) ? err.code : ERR_OK;
}

static void reach(struct box *b, struct carry_kit *k, enum step step)
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

static void is_at(struct box *b, enum step step)
{
	carry_kit_waits(b->k, steps[step].waits);
	state_is(b, steps[step].state);
	recorded(b->k->core->db, b->id, steps[step].recorded);
	assert_int_equal(b->sb->op != NULL, steps[step].op);
}

/* ---- create ---- */

static void t_create(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	create(&b, k, &plain);
	assert_string_equal(sandbox_host(b.sb), "hosta");
	assert_null(k->calls); /* from the loop */
	carry_kit_turn(k);
	const struct carry *c = carry_kit_call(k, CARRY_CREATE);
	assert_string_equal(c->host, "hosta");
	assert_string_equal(c->id, b.id);
	assert_string_equal(c->image, "base");
	assert_true(c->team == TEAM && c->vcpus == 2 && c->memory_mb == 0);
	done_as(&b, CARRY_CREATE, "running");
	assert_int_equal(b.created.n, 0);
	state_is(&b, SANDBOX_CREATING);
	c = carry_kit_call(k, CARRY_AGENT);
	assert_string_equal(c->id, b.id);
	assert_int_equal(c->team, TEAM);
	carry_kit_agent(k);
	told(&b.created, ERR_OK);
	is_at(&b, RUNNING);
	const struct db_sandbox *row = sandbox_row(b.sb);
	assert_string_equal(row->accel, "kvm");
	assert_string_equal(row->image_digest, "abc");
	assert_string_equal(row->mac, "02:00:00:00:00:01");
	assert_true(row->memory_mb == 256 && row->run_memory_mb == 256 && row->vcpus == 2 && row->started_ms > 0);
	assert_int_equal(sandbox_usable(b.sb, NULL), 0);
	assert_false(carry_kit_hung_up(k));
}

/* Where there is nobody the sandbox is not. */
static void t_create_refused_here(void **state)
{
	struct carry_kit *k = *state;
	struct err err = ERR_INIT;
	struct sandbox_spec spec = plain;
	carry_kit_lose(k, 0);
	assert_null(sandbox_create(k->core, &spec, NULL, NULL, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_string_equal(err.word, "no_hosts");
	spec.host = "hostz";
	assert_null(sandbox_create(k->core, &spec, NULL, NULL, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	spec.host = "hostb";
	spec.fs_ref = "main";
	spec.fs_path = "/data";
	assert_null(sandbox_create(k->core, &spec, NULL, NULL, &err));
	assert_int_equal(err.code, ERR_INVALID);
	carry_kit_turn(k);
	assert_int_equal(k->asked, 0);
	assert_int_equal(sandbox_count(k->core), 0);
}

static void end_delete(struct box *b, int how)
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

/* However the host takes it that it is undone there, it is undone here, and why is told once. */
static void t_create_fails(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	for (int how = 0; how < 4; how++)
		for (int why = 0; why < 5; why++) {
			static const enum err_code want[] = { ERR_LIMIT, ERR_TIMEOUT, ERR_PROTOCOL, ERR_STATE, ERR_TIMEOUT };
			reach(&b, k, why < 3 ? CREATE : CREATE_AGENT);
			if (why == 0)
				carry_kit_refuse(k, CARRY_CREATE, ERR_LIMIT);
			else if (why == 1)
				carry_kit_deaf(k, CARRY_CREATE);
			else if (why == 2)
				carry_kit_done(k, CARRY_CREATE, NULL);
			else if (why == 3)
				carry_kit_refuse(k, CARRY_AGENT, ERR_STATE);
			else
				carry_kit_deaf(k, CARRY_AGENT);
			assert_int_equal(b.created.n, 0); /* not before it is gone */
			assert_string_equal(carry_kit_call(k, CARRY_DELETE)->id, b.id);
			end_delete(&b, how);
			told(&b.created, want[why]);
			is_gone(&b);
			while (k->calls)
				carry_kit_list(k, NULL, 0);
			auto_free char *past_id = mem_strdup(b.id);
			struct db_past past;
			assert_int_equal(sandbox_past(k->core, TEAM, past_id, &past, NULL), 1);
			assert_string_equal(past.state, "error");
			db_past_release(&past);
		}
}

/* The reason stays what it was when the host cannot be asked to undo it. */
static void t_create_fails_and_host_goes(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	reach(&b, k, CREATE);
	carry_kit_lose(k, 0);
	carry_kit_deaf(k, CARRY_CREATE);
	carry_kit_turn(k);
	told(&b.created, ERR_TIMEOUT);
	is_gone(&b);
	carry_kit_waits(k, "");
	/* and when nothing could even begin */
	carry_kit_find(k, 0);
	carry_kit_list(k, NULL, 0);
	k->refuse = true;
	create(&b, k, &plain);
	carry_kit_turn(k);
	carry_kit_turn(k);
	told(&b.created, ERR_IO);
	is_gone(&b);
}

/* ---- operations ---- */

static void t_pause_and_resume(void **state)
{
	struct carry_kit *k = *state;
	struct err err = ERR_INIT;
	struct box b;
	reach(&b, k, RUNNING);
	int64_t came_up = sandbox_row(b.sb)->started_ms;
	pause_it(&b);
	is_at(&b, PAUSE);
	assert_string_equal(carry_kit_call(k, CARRY_PAUSE)->id, b.id);
	assert_int_equal(sandbox_pause(b.sb, false, on_done, &b, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(sandbox_usable(b.sb, NULL), -1);
	done_as(&b, CARRY_PAUSE, "paused");
	told(&b.done, ERR_OK);
	is_at(&b, PAUSED);
	assert_true(carry_kit_hung_up(k));
	resume_it(&b);
	is_at(&b, RESUME);
	struct carry_box there = as(&b, "running");
	there.accel = "tcg";
	there.run_vcpus = 1;
	carry_kit_done(k, CARRY_RESUME, &there);
	is_at(&b, RESUME_AGENT);
	assert_int_equal(b.done.n, 0);
	carry_kit_agent(k);
	told(&b.done, ERR_OK);
	is_at(&b, RUNNING);
	assert_int_equal(sandbox_usable(b.sb, NULL), 0);
	assert_string_equal(sandbox_row(b.sb)->accel, "tcg");
	assert_int_equal(sandbox_row(b.sb)->run_vcpus, 1);
	assert_true(sandbox_row(b.sb)->started_ms >= came_up);
}

static void t_stop_and_start(void **state)
{
	struct carry_kit *k = *state;
	struct err err = ERR_INIT;
	struct box b;
	reach(&b, k, RUNNING);
	for (int force = 0; force < 2; force++) {
		stop_it(&b, force);
		is_at(&b, STOP);
		assert_int_equal(carry_kit_call(k, CARRY_STOP)->force, force);
		done_as(&b, CARRY_STOP, "stopped");
		told(&b.done, ERR_OK);
		is_at(&b, STOPPED);
		assert_true(carry_kit_hung_up(k));
		assert_int_equal(sandbox_resume(b.sb, on_done, &b, &err), -1);
		assert_int_equal(err.code, ERR_STATE);
		start_it(&b);
		is_at(&b, START);
		done_as(&b, CARRY_START, "running");
		is_at(&b, START_AGENT);
		carry_kit_agent(k);
		told(&b.done, ERR_OK);
		is_at(&b, RUNNING);
	}
	/* a paused one too */
	pause_it(&b);
	done_as(&b, CARRY_PAUSE, "paused");
	told(&b.done, ERR_OK);
	stop_it(&b, false);
	done_as(&b, CARRY_STOP, "stopped");
	told(&b.done, ERR_OK);
	is_at(&b, STOPPED);
}

static const enum step operations[] = { PAUSE, RESUME, STOP, START };
static const enum carry_verb asked[] = { CARRY_PAUSE, CARRY_RESUME, CARRY_STOP, CARRY_START };
static const enum sandbox_state before[] = { SANDBOX_RUNNING, SANDBOX_PAUSED, SANDBOX_RUNNING, SANDBOX_STOPPED };

static void remove_it(struct box *b)
{
	sandbox_delete(b->sb, on_deleted, b);
	carry_kit_done(b->k, CARRY_DELETE, NULL);
	told(&b->deleted, ERR_OK);
	is_gone(b);
	while (b->k->calls)
		carry_kit_list(b->k, NULL, 0);
}

/* It is as before, until the host says what it is; it is asked at once. */
static void t_operation_fails(void **state)
{
	static const char *const says[] = { "running", "paused", "stopped", "pausing", "nonsense", NULL };
	struct carry_kit *k = *state;
	for (size_t i = 0; i < ARRAY_LEN(operations); i++)
		for (int heard = 0; heard < 2; heard++)
			for (size_t s = 0; s < ARRAY_LEN(says); s++) {
				struct box b;
				reach(&b, k, operations[i]);
				int64_t came_up = sandbox_row(b.sb)->started_ms;
				if (heard)
					carry_kit_refuse(k, asked[i], ERR_IO);
				else
					carry_kit_deaf(k, asked[i]);
				told(&b.done, heard ? ERR_IO : ERR_TIMEOUT);
				state_is(&b, before[i]);
				recorded(k->core->db, b.id, sandbox_state_name(before[i]));
				assert_int_equal(sandbox_row(b.sb)->started_ms, came_up);
				assert_int_equal(sandbox_usable(b.sb, NULL), before[i] == SANDBOX_RUNNING ? 0 : -1);
				carry_kit_waits(k, "list hosta; ");
				if (says[s])
					list_as(&b, says[s]);
				else
					carry_kit_list(k, NULL, 0);
				int want = s < 3 ? sandbox_state_parse(says[s]) : says[s] ? (int)before[i] : SANDBOX_STOPPED;
				state_is(&b, (enum sandbox_state)want);
				bool dials = want == SANDBOX_RUNNING && before[i] != SANDBOX_RUNNING;
				carry_kit_waits(k, dials ? "agent hosta; " : "");
				if (before[i] == SANDBOX_RUNNING)
					assert_int_equal(carry_kit_hung_up(k), want != SANDBOX_RUNNING);
				remove_it(&b);
			}
}

/* A VM that came up runs, whatever becomes of its agent. */
static void t_agent_fails(void **state)
{
	static const enum step at[] = { RESUME_AGENT, START_AGENT };
	struct carry_kit *k = *state;
	for (size_t i = 0; i < ARRAY_LEN(at); i++)
		for (int heard = 0; heard < 2; heard++) {
			struct box b;
			reach(&b, k, at[i]);
			if (heard)
				carry_kit_refuse(k, CARRY_AGENT, ERR_UNAVAILABLE);
			else
				carry_kit_deaf(k, CARRY_AGENT);
			told(&b.done, ERR_OK);
			state_is(&b, SANDBOX_RUNNING);
			struct err err = ERR_INIT;
			assert_int_equal(sandbox_usable(b.sb, &err), -1);
			assert_int_equal(err.code, ERR_UNAVAILABLE);
			carry_kit_waits(k, heard ? "list hosta; " : "");
			remove_it(&b);
		}
}

static void t_not_here(void **state)
{
	struct carry_kit *k = *state;
	struct err err = ERR_INIT;
	struct box b;
	const struct fork_spec fork = { .count = 1, .account = TEAM };
	reach(&b, k, RUNNING);
	assert_int_equal(sandbox_fork(b.sb, &fork, NULL, NULL, &err), -1);
	assert_int_equal(err.code, ERR_NOT_IMPLEMENTED);
	carry_kit_waits(k, "");
	assert_null(b.sb->op);
}

/* ---- removal ---- */

static void t_delete(void **state)
{
	struct carry_kit *k = *state;
	for (int how = 0; how < 4; how++)
		for (enum step step = BEGUN; step < STEPS; step++) {
			struct box b;
			size_t cancelled = k->cancelled;
			reach(&b, k, step);
			is_at(&b, step);
			sandbox_delete(b.sb, on_deleted, &b);
			assert_int_equal(k->cancelled - cancelled, steps[step].waits[0] ? 1 : 0);
			carry_kit_waits(k, "delete hosta; ");
			recorded(k->core->db, b.id, "deleting");
			assert_int_equal(b.deleted.n, 0);
			sandbox_delete(b.sb, NULL, NULL); /* again is nothing more */
			carry_kit_waits(k, "delete hosta; ");
			if (step >= RUNNING)
				assert_true(k->agent < 0 || carry_kit_hung_up(k));
			struct told *t = told_at(&b, step);
			assert_int_equal(t->n, 0);
			end_delete(&b, how);
			told(&b.deleted, ERR_OK);
			if (step < RUNNING || steps[step].op)
				told(t, ERR_CONFLICT);
			assert_true(b.created.n == 0 && b.done.n == 0 && b.shot.n == 0);
			is_gone(&b);
			carry_kit_waits(k, "");
		}
}

/* The host is away: it is removed here, and there when it is back. */
static void t_delete_while_lost(void **state)
{
	struct carry_kit *k = *state;
	for (enum step step = BEGUN; step < STEPS; step++) {
		struct box b;
		reach(&b, k, step);
		carry_kit_lose(k, 0);
		sandbox_delete(b.sb, on_deleted, &b);
		assert_int_equal(b.deleted.n, 0);
		carry_kit_turn(k);
		told(&b.deleted, ERR_OK);
		if (step < RUNNING || steps[step].op)
			told(told_at(&b, step), ERR_CONFLICT);
		is_gone(&b);
		carry_kit_waits(k, "");
		carry_kit_find(k, 0);
		carry_kit_waits(k, "list hosta; ");
		list_as(&b, "running");
		carry_kit_waits(k, "delete hosta; ");
		assert_string_equal(carry_kit_call(k, CARRY_DELETE)->id, b.id);
		carry_kit_done(k, CARRY_DELETE, NULL);
	}
}

/* Its record cannot be removed: that is told, and it can be tried again. */
static void t_delete_again(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	reach(&b, k, PAUSED);
	sqlite3 *h = db_handle(k->core->db);
	sandbox_delete(b.sb, on_deleted, &b);
	assert_int_equal(sqlite3_exec(h, "ALTER TABLE sandbox RENAME TO away", NULL, NULL, NULL), SQLITE_OK);
	carry_kit_done(k, CARRY_DELETE, NULL);
	told(&b.deleted, ERR_IO);
	assert_int_equal(sqlite3_exec(h, "ALTER TABLE away RENAME TO sandbox", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sandbox_state(b.sb), SANDBOX_DELETING);
	recorded(k->core->db, b.id, "deleting");
	sandbox_delete(b.sb, on_deleted, &b);
	carry_kit_refuse(k, CARRY_DELETE, ERR_NOT_FOUND);
	told(&b.deleted, ERR_OK);
	is_gone(&b);
}

/* ---- the end of the daemon, and its next start ---- */

static void t_close(void **state)
{
	struct carry_kit *k = *state;
	for (enum step step = BEGUN; step < STEPS; step++) {
		struct box b;
		reach(&b, k, step);
		is_at(&b, step);
		carry_kit_close(k);
		if (step < RUNNING || steps[step].op)
			told(told_at(&b, step), ERR_UNAVAILABLE);
		assert_true(b.created.n == 0 && b.done.n == 0 && b.shot.n == 0);
		struct db *db = carry_kit_db(k);
		recorded(db, b.id, steps[step].recorded);
		db_close(db);
		carry_kit_open(k, true);
		b.sb = sandbox_find(k->core, TEAM, b.id, NULL);
		assert_non_null(b.sb);
		assert_int_equal(sandbox_state(b.sb), steps[step].after);
		if (steps[step].after == SANDBOX_DELETING) {
			carry_kit_waits(k, "delete hosta; list hostb; list hosta; ");
			carry_kit_done(k, CARRY_DELETE, NULL);
			is_gone(&b);
		} else {
			bool runs = steps[step].after == SANDBOX_RUNNING;
			carry_kit_waits(k, runs ? "agent hosta; list hostb; list hosta; " : "list hostb; list hosta; ");
			remove_it(&b);
		}
		while (k->calls)
			carry_kit_list(k, NULL, 0);
	}
}

/* While it is being removed. */
static void t_close_in_delete(void **state)
{
	struct carry_kit *k = *state;
	for (enum step step = BEGUN; step < STEPS; step++) {
		struct box b;
		reach(&b, k, step);
		sandbox_delete(b.sb, on_deleted, &b);
		carry_kit_close(k);
		told(&b.deleted, ERR_UNAVAILABLE);
		if (step < RUNNING || steps[step].op)
			assert_int_equal(told_at(&b, step)->n, 1);
		carry_kit_open(k, true);
		carry_kit_waits(k, "delete hosta; list hostb; list hosta; ");
		carry_kit_done(k, CARRY_DELETE, NULL);
		is_gone(&b);
		carry_kit_list(k, NULL, 0);
		carry_kit_list(k, NULL, 0);
	}
}

/* A row in a state, as a daemon that was killed leaves it. */
static void put(struct carry_kit *k, struct box *b, const char *state, int64_t host)
{
	struct err err = ERR_INIT;
	struct db *db = carry_kit_db(k);
	*b = (struct box){ .k = k, .id = "aaaaaaaaaaaa" };
	char *none[] = { NULL };
	const struct db_sandbox row = { .id = b->id,
		.image = (char *)(uintptr_t) "base",
		.state = (char *)(uintptr_t)state,
		.env = none,
		.labels = none,
		.layers = none,
		.vcpus = 2,
		.memory_mb = 256,
		.account = TEAM,
		.host = host,
		.created_ms = 1,
		.changed_ms = INT64_MAX }; /* clocks may have been wrong */
	assert_int_equal(db_sandbox_insert(db, &row, &err), 0);
	db_close(db);
}

static void t_recover(void **state)
{
	static const struct {
		const char *was;
		enum sandbox_state first;
	} rows[] = { { "running", SANDBOX_RUNNING }, { "pausing", SANDBOX_RUNNING }, { "paused", SANDBOX_PAUSED },
		{ "resuming", SANDBOX_PAUSED }, { "stopping", SANDBOX_RUNNING }, { "stopped", SANDBOX_STOPPED },
		{ "starting", SANDBOX_STOPPED }, { "missing", SANDBOX_MISSING }, { "nonsense", SANDBOX_STOPPED } };
	static const char *const says[] = { "running", "paused", "stopped", "creating", NULL };
	struct carry_kit *k = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t s = 0; s < ARRAY_LEN(says); s++) {
			struct box b;
			carry_kit_close(k);
			put(k, &b, rows[i].was, k->host[0]);
			carry_kit_open(k, true);
			b.sb = sandbox_find(k->core, TEAM, b.id, NULL);
			assert_non_null(b.sb);
			assert_int_equal(sandbox_state(b.sb), rows[i].first);
			carry_kit_list(k, NULL, 0); /* hostb's, which does not have it */
			assert_int_equal(sandbox_state(b.sb), rows[i].first);
			if (says[s])
				list_as(&b, says[s]);
			else
				carry_kit_list(k, NULL, 0);
			int want = s < 3 ? sandbox_state_parse(says[s]) : says[s] ? (int)rows[i].first : SANDBOX_STOPPED;
			assert_int_equal(sandbox_state(b.sb), want);
			carry_kit_waits(k, want == SANDBOX_RUNNING ? "agent hosta; " : "");
			if (want == SANDBOX_RUNNING) {
				carry_kit_agent(k);
				assert_int_equal(sandbox_usable(b.sb, NULL), 0);
			}
			remove_it(&b);
		}
}

/* What was being made or removed goes; of the former nobody was told. */
static void t_recover_halves(void **state)
{
	static const char *const was[] = { "creating", "deleting" };
	struct carry_kit *k = *state;
	for (size_t i = 0; i < ARRAY_LEN(was); i++)
		for (int how = 0; how < 4; how++) {
			struct box b;
			carry_kit_close(k);
			put(k, &b, was[i], k->host[0]);
			carry_kit_open(k, true);
			b.sb = sandbox_find(k->core, TEAM, b.id, NULL);
			assert_int_equal(sandbox_state(b.sb), SANDBOX_DELETING);
			sandbox_delete(b.sb, on_deleted, &b);
			carry_kit_waits(k, "delete hosta; list hostb; list hosta; ");
			end_delete(&b, how);
			told(&b.deleted, ERR_OK);
			is_gone(&b);
			carry_kit_list(k, NULL, 0);
			carry_kit_list(k, NULL, 0);
		}
}

/* Its host was away before, or is no more. */
static void t_recover_without_host(void **state)
{
	static const char *const was[] = { "running", "pausing", "stopping", "missing", "paused", "resuming", "stopped" };
	struct carry_kit *k = *state;
	carry_kit_lose(k, 0);
	for (size_t i = 0; i < ARRAY_LEN(was); i++) {
		struct box b;
		carry_kit_close(k);
		put(k, &b, was[i], k->host[0]);
		carry_kit_open(k, true);
		b.sb = sandbox_find(k->core, TEAM, b.id, NULL);
		state_is(&b, i < 4 ? SANDBOX_MISSING : i < 6 ? SANDBOX_PAUSED : SANDBOX_STOPPED);
		carry_kit_waits(k, "list hostb; ");
		carry_kit_list(k, NULL, 0);
		sandbox_delete(b.sb, on_deleted, &b);
		carry_kit_turn(k);
		told(&b.deleted, ERR_OK);
		is_gone(&b);
	}
	for (size_t i = 0; i < ARRAY_LEN(was); i++) {
		struct box b;
		carry_kit_close(k);
		put(k, &b, was[i], k->host[1] + 1);
		carry_kit_open(k, true);
		b.sb = sandbox_find(k->core, TEAM, b.id, NULL);
		assert_string_equal(sandbox_host(b.sb), "");
		carry_kit_list(k, NULL, 0);
		if (i == 4) {
			resume_it(&b);
			carry_kit_turn(k);
			told(&b.done, ERR_UNAVAILABLE);
			state_is(&b, SANDBOX_PAUSED);
		}
		sandbox_delete(b.sb, on_deleted, &b);
		carry_kit_turn(k);
		told(&b.deleted, ERR_OK);
		is_gone(&b);
	}
}

/* A daemon without a carrier leaves them as they are, and takes no harm. */
static void t_no_carrier(void **state)
{
	static const char *const was[] = { "creating", "running", "pausing", "paused", "deleting", "missing" };
	struct carry_kit *k = *state;
	for (size_t i = 0; i < ARRAY_LEN(was); i++) {
		struct err err = ERR_INIT;
		struct box b;
		carry_kit_close(k);
		put(k, &b, was[i], k->host[0]);
		carry_kit_open(k, false);
		b.sb = sandbox_find(k->core, TEAM, b.id, NULL);
		if (i == 1) {
			carry_kit_lose(k, 0);
			state_is(&b, SANDBOX_MISSING);
			carry_kit_find(k, 0);
		}
		if (i == 3)
			assert_int_equal(sandbox_resize(b.sb, 3, 0, 0, &err), 0);
		carry_kit_close(k);
		struct db *db = carry_kit_db(k);
		recorded(db, b.id, i == 1 ? "missing" : was[i]);
		assert_int_equal(db_sandbox_delete(db, b.id, &err), 0);
		db_close(db);
		carry_kit_open(k, false);
	}
}

/* ---- hosts that are lost, and come back ---- */

static void t_lost_and_back(void **state)
{
	static const char *const says[] = { "running", "paused", "stopped", NULL };
	struct carry_kit *k = *state;
	for (size_t s = 0; s < ARRAY_LEN(says); s++) {
		struct err err = ERR_INIT;
		struct box b;
		reach(&b, k, RUNNING);
		int64_t came_up = sandbox_row(b.sb)->started_ms;
		carry_kit_lose(k, 0);
		state_is(&b, SANDBOX_MISSING);
		recorded(k->core->db, b.id, "missing");
		assert_non_null(sandbox_row(b.sb)->reason);
		assert_true(carry_kit_hung_up(k));
		assert_int_equal(sandbox_pause(b.sb, false, on_done, &b, &err), -1);
		assert_int_equal(err.code, ERR_STATE);
		assert_int_equal(sandbox_stop(b.sb, true, on_done, &b, &err), -1);
		assert_int_equal(sandbox_start(b.sb, on_done, &b, &err), -1);
		assert_int_equal(sandbox_resume(b.sb, on_done, &b, &err), -1);
		assert_int_equal(shoot(&b, "snap", false), ERR_STATE);
		assert_int_equal(sandbox_usable(b.sb, &err), -1);
		carry_kit_waits(k, "");
		carry_kit_find(k, 0);
		carry_kit_waits(k, "list hosta; ");
		state_is(&b, SANDBOX_MISSING);
		struct carry_box there = as(&b, says[s]);
		there.reason = "so it is";
		carry_kit_list(k, &there, says[s] ? 1 : 0);
		state_is(&b, says[s] ? (enum sandbox_state)sandbox_state_parse(says[s]) : SANDBOX_STOPPED);
		if (s == 0) {
			assert_null(sandbox_row(b.sb)->reason);
			assert_int_equal(sandbox_row(b.sb)->started_ms, came_up); /* it ran all the time */
			carry_kit_agent(k);
			assert_int_equal(sandbox_usable(b.sb, NULL), 0);
		} else {
			assert_string_equal(
				sandbox_row(b.sb)->reason, says[s] ? "so it is" : "its host does not have it any more");
		}
		carry_kit_waits(k, "");
		remove_it(&b);
	}
}

/* What does not run is not missing; nor what another carries. */
static void t_lost_others(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	reach(&b, k, PAUSED);
	carry_kit_lose(k, 0);
	carry_kit_lose(k, 1);
	is_at(&b, PAUSED);
	resume_it(&b);
	carry_kit_turn(k);
	told(&b.done, ERR_UNAVAILABLE);
	is_at(&b, PAUSED);
	carry_kit_find(k, 0);
	list_as(&b, "paused");
	remove_it(&b);
	reach(&b, k, RUNNING);
	carry_kit_lose(k, 1);
	is_at(&b, RUNNING);
}

/* In an operation it is missing when that is over. */
static void t_lost_in_operation(void **state)
{
	static const struct {
		enum step step;
		enum carry_verb verb;
		bool well;
		enum sandbox_state want;
	} cases[] = {
		{ PAUSE, CARRY_PAUSE, false, SANDBOX_MISSING },
		{ PAUSE, CARRY_PAUSE, true, SANDBOX_PAUSED },
		{ STOP, CARRY_STOP, false, SANDBOX_MISSING },
		{ RESUME, CARRY_RESUME, false, SANDBOX_PAUSED },
		{ START, CARRY_START, false, SANDBOX_STOPPED },
		{ SNAPSHOT, CARRY_SNAPSHOT, false, SANDBOX_MISSING },
		{ SNAPSHOT_PAUSED, CARRY_SNAPSHOT, false, SANDBOX_PAUSED },
	};
	struct carry_kit *k = *state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct box b;
		reach(&b, k, cases[i].step);
		carry_kit_lose(k, 0);
		state_is(&b, steps[cases[i].step].state);
		if (cases[i].well)
			done_as(&b, cases[i].verb, "paused");
		else
			carry_kit_deaf(k, cases[i].verb);
		told(told_at(&b, cases[i].step), cases[i].well ? ERR_OK : ERR_TIMEOUT);
		state_is(&b, cases[i].want);
		carry_kit_waits(k, "");
		carry_kit_find(k, 0);
		list_as(&b, sandbox_state_name(cases[i].want == SANDBOX_MISSING ? SANDBOX_RUNNING : cases[i].want));
		remove_it(&b);
	}
}

/* It came up when its host was gone already: the next look finds that. */
static void t_lost_while_coming_up(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	reach(&b, k, RESUME);
	carry_kit_lose(k, 0);
	done_as(&b, CARRY_RESUME, "running");
	told(&b.done, ERR_OK);
	carry_kit_waits(k, "");
	k->core->host_checked_ms = 0;
	unsigned ticks = 0;
	while (sandbox_state(b.sb) != SANDBOX_MISSING && ticks++ < 100)
		uv_run(&k->loop, UV_RUN_ONCE);
	state_is(&b, SANDBOX_MISSING);
}

/* ---- comparing ---- */


/* Whatever a host has and nobody here knows of goes; what is known, in whatever state, stays. */
static void t_orphans(void **state)
{
	struct carry_kit *k = *state;
	struct box known, going;
	struct sandbox_spec other = plain;
	other.name = "other";
	reach(&known, k, PAUSED);
	create(&going, k, &other);
	carry_kit_turn(k);
	sandbox_delete(going.sb, on_deleted, &going);
	carry_kit_waits(k, "delete hosta; ");
	remote_compare_all(k->core);
	carry_kit_waits(k, "delete hosta; list hostb; list hosta; ");
	struct carry_box strange = as(&known, "paused");
	strange.id = "zzzzzzzzzzzz";
	carry_kit_list(k, &strange, 1);
	carry_kit_waits(k, "delete hosta; list hosta; delete hostb; ");
	carry_kit_done(k, CARRY_DELETE, NULL);
	told(&going.deleted, ERR_OK);
	assert_string_equal(carry_kit_call(k, CARRY_DELETE)->id, "zzzzzzzzzzzz");
	carry_kit_refuse(k, CARRY_DELETE, ERR_IO); /* the next list has it again */
	struct carry_box boxes[3] = { as(&going, "running"), as(&known, "paused"), strange };
	boxes[2].state = "creating";
	carry_kit_list(k, boxes, 3);
	carry_kit_waits(k, "delete hosta; delete hosta; ");
	assert_string_equal(carry_kit_call(k, CARRY_DELETE)->id, going.id);
	carry_kit_deaf(k, CARRY_DELETE);
	assert_string_equal(carry_kit_call(k, CARRY_DELETE)->id, "zzzzzzzzzzzz");
	carry_kit_done(k, CARRY_DELETE, NULL);
	carry_kit_waits(k, "");
	is_at(&known, PAUSED);
}

/* A list that was asked for before an operation began, or ended, is no news of it. */
static void t_old_list(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	reach(&b, k, RUNNING);
	remote_compare(k->core, k->host[0]);
	pause_it(&b);
	list_as(&b, "stopped");
	is_at(&b, PAUSE);
	remote_compare(k->core, k->host[0]);
	done_as(&b, CARRY_PAUSE, "paused");
	told(&b.done, ERR_OK);
	list_as(&b, "running");
	is_at(&b, PAUSED);
	/* one that is asked for while an older one is under way comes after it */
	remote_compare(k->core, k->host[0]);
	resume_it(&b);
	carry_kit_refuse(k, CARRY_RESUME, ERR_IO);
	told(&b.done, ERR_IO);
	carry_kit_waits(k, "list hosta; ");
	list_as(&b, "running");
	state_is(&b, SANDBOX_PAUSED);
	carry_kit_waits(k, "list hosta; ");
	list_as(&b, "stopped");
	is_at(&b, STOPPED);
	/* and of two that know the same there is one */
	remote_compare(k->core, k->host[0]);
	remote_compare(k->core, k->host[0]);
	carry_kit_waits(k, "list hosta; ");
	list_as(&b, "stopped");
	carry_kit_waits(k, "");
}

/* The list fails: nothing is known. */
static void t_no_list(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	reach(&b, k, RUNNING);
	remote_compare(k->core, k->host[0]);
	carry_kit_deaf(k, CARRY_LIST);
	is_at(&b, RUNNING);
	remote_compare(k->core, k->host[0]);
	carry_kit_refuse(k, CARRY_LIST, ERR_UNAVAILABLE);
	is_at(&b, RUNNING);
}

/* ---- its agent ---- */

static void wait_ms(struct carry_kit *k, int64_t ms)
{
	for (int64_t end = clock_mono_ms() + ms; clock_mono_ms() < end;) {
		carry_kit_turn(k);
		uv_sleep(5);
	}
}

static void t_agent_lost(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	reach(&b, k, RUNNING);
	close(k->agent);
	k->agent = -1;
	wait_ms(k, 500);
	carry_kit_waits(k, "agent hosta; ");
	assert_int_equal(sandbox_usable(b.sb, NULL), -1);
	carry_kit_agent(k);
	assert_int_equal(sandbox_usable(b.sb, NULL), 0);
	is_at(&b, RUNNING);
}

/* A host that says 'running' and gives no agent is not asked as fast as it answers. */
static void t_agent_refused(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	reach(&b, k, RUNNING);
	close(k->agent);
	k->agent = -1;
	wait_ms(k, 500);
	carry_kit_refuse(k, CARRY_AGENT, ERR_UNAVAILABLE);
	carry_kit_waits(k, "list hosta; ");
	list_as(&b, "running");
	carry_kit_waits(k, "");
	wait_ms(k, 700);
	carry_kit_waits(k, "");
	wait_ms(k, 600);
	carry_kit_waits(k, "agent hosta; ");
	/* and what it says of it otherwise is true */
	carry_kit_refuse(k, CARRY_AGENT, ERR_STATE);
	list_as(&b, "paused");
	is_at(&b, PAUSED);
	wait_ms(k, 1200);
	carry_kit_waits(k, "");
}

/* The connection broke while it was being paused, which failed. */
static void t_agent_lost_in_operation(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	reach(&b, k, PAUSE);
	close(k->agent);
	k->agent = -1;
	wait_ms(k, 300);
	is_at(&b, PAUSE);
	carry_kit_refuse(k, CARRY_PAUSE, ERR_IO);
	told(&b.done, ERR_IO);
	carry_kit_deaf(k, CARRY_LIST);
	wait_ms(k, 1200);
	carry_kit_waits(k, "agent hosta; ");
	carry_kit_agent(k);
	is_at(&b, RUNNING);
	assert_int_equal(sandbox_usable(b.sb, NULL), 0);
}

/* ---- shape ---- */

static void resize(struct box *b, unsigned vcpus, unsigned memory_mb, unsigned disk_mb, enum err_code code)
{
	struct err err = ERR_INIT;
	int rc = sandbox_resize(b->sb, vcpus, memory_mb, disk_mb, &err);
	assert_int_equal(rc ? err.code : ERR_OK, code);
}

static void t_resize(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	reach(&b, k, CREATE);
	resize(&b, 4, 0, 0, ERR_STATE);
	done_as(&b, CARRY_CREATE, "running");
	carry_kit_agent(k);
	told(&b.created, ERR_OK);
	resize(&b, 4, 512, 1000, ERR_OK);
	const struct carry *c = carry_kit_call(k, CARRY_RESIZE);
	assert_true(c->vcpus == 4 && c->memory_mb == 512 && c->disk_mb == 1000 && c->team == TEAM);
	assert_string_equal(c->id, b.id);
	assert_int_equal(sandbox_row(b.sb)->vcpus, 4);
	assert_int_equal(sandbox_row(b.sb)->run_vcpus, 2);
	carry_kit_done(k, CARRY_RESIZE, NULL);
	resize(&b, 0, 0, 999, ERR_INVALID);
	resize(&b, 0, 0, 1000, ERR_OK);
	carry_kit_done(k, CARRY_RESIZE, NULL);
	assert_int_equal(sandbox_row(b.sb)->disk_mb, 1000);
	/* while it is away it counts here, and is asked for when it is back */
	carry_kit_lose(k, 0);
	resize(&b, 1, 0, 0, ERR_OK);
	carry_kit_waits(k, "");
	carry_kit_find(k, 0);
	struct carry_box there = as(&b, "stopped");
	there.vcpus = 4;
	there.memory_mb = 512;
	carry_kit_list(k, &there, 1);
	state_is(&b, SANDBOX_STOPPED);
	carry_kit_waits(k, "resize hosta; ");
	c = carry_kit_call(k, CARRY_RESIZE);
	assert_true(c->vcpus == 1 && c->memory_mb == 512);
	/* what it starts with meanwhile is no reason to forget what was asked for */
	start_it(&b);
	carry_kit_done(k, CARRY_START, &there);
	carry_kit_agent(k);
	told(&b.done, ERR_OK);
	assert_int_equal(sandbox_row(b.sb)->vcpus, 1);
	carry_kit_done(k, CARRY_RESIZE, NULL);
	remote_compare(k->core, k->host[0]);
	there.state = "running";
	there.vcpus = 1;
	carry_kit_list(k, &there, 1);
	carry_kit_waits(k, "");
}

/* ---- snapshots ---- */

static void done_shot(struct box *b, const char *name)
{
	struct snapshot shot = { .name = (char *)(uintptr_t)name,
		.image = (char *)(uintptr_t) "base",
		.accel = (char *)(uintptr_t) "kvm",
		.vcpus = 2,
		.memory_mb = 256,
		.created_ms = 5,
		.disk = 6 };
	memset(&shot.tree, 0xab, sizeof(shot.tree));
	const struct carry_answer answer = { .heard = true, .shot = &shot, .fd = -1 };
	carry_kit_answer(b->k, CARRY_SNAPSHOT, &answer);
}

/* "hosta", "hostb" or "". */
static void kept_by(struct carry_kit *k, const char *name, const char *want)
{
	struct err err = ERR_INIT;
	int64_t host;
	int rc = remote_snapshot_host(k->core, TEAM, name, &host, &err);
	assert_int_equal(rc, *want ? 1 : 0);
	auto_free char *uid = rc ? remote_host_id(k->core, host) : mem_strdup("");
	assert_string_equal(uid, want);
}

static void t_snapshot(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	for (enum step step = SNAPSHOT; step <= SNAPSHOT_PAUSED; step++) {
		reach(&b, k, step);
		const struct carry *c = carry_kit_call(k, CARRY_SNAPSHOT);
		assert_string_equal(c->name, "snap");
		assert_string_equal(c->id, b.id);
		assert_true(c->team == TEAM && !c->replace);
		done_shot(&b, "snap");
		assert_int_equal(b.shot.n, 1);
		assert_true(b.last.vcpus == 2 && b.last.memory_mb == 256 && b.last.created_ms == 5 && b.last.disk == 6);
		assert_int_equal(b.last.tree.b[0], 0xab);
		told(&b.shot, ERR_OK);
		state_is(&b, steps[step].state);
		kept_by(k, "snap", "hosta");
		/* a name is its team's */
		assert_int_equal(shoot(&b, "snap", false), ERR_CONFLICT);
		assert_int_equal(shoot(&b, "bad name", false), ERR_INVALID);
		carry_kit_waits(k, "");
		assert_int_equal(b.shot.n, 0);
		struct err err = ERR_INIT;
		assert_int_equal(remote_snapshot_remove(k->core, TEAM + 1, "snap", &err), 0);
		assert_int_equal(remote_snapshot_remove(k->core, TEAM, "snap", &err), 1);
		c = carry_kit_call(k, CARRY_UNSNAPSHOT);
		assert_string_equal(c->name, "snap");
		assert_string_equal(c->host, "hosta");
		assert_int_equal(c->team, TEAM);
		carry_kit_done(k, CARRY_UNSNAPSHOT, NULL);
		kept_by(k, "snap", "");
		assert_int_equal(remote_snapshot_remove(k->core, TEAM, "snap", &err), 0);
		remove_it(&b);
	}
}

static void t_snapshot_fails(void **state)
{
	struct carry_kit *k = *state;
	for (enum step step = SNAPSHOT; step <= SNAPSHOT_PAUSED; step++)
		for (int heard = 0; heard < 2; heard++) {
			struct box b;
			reach(&b, k, step);
			if (heard)
				carry_kit_refuse(k, CARRY_SNAPSHOT, ERR_NO_SPACE);
			else
				carry_kit_deaf(k, CARRY_SNAPSHOT);
			told(&b.shot, heard ? ERR_NO_SPACE : ERR_TIMEOUT);
			state_is(&b, steps[step].state);
			kept_by(k, "snap", "");
			remove_it(&b);
		}
}

static void t_snapshot_replaces(void **state)
{
	struct carry_kit *k = *state;
	struct box a, b;
	struct sandbox_spec other = plain;
	other.name = "other";
	other.host = "hostb";
	reach(&a, k, RUNNING);
	create(&b, k, &other);
	carry_kit_turn(k);
	done_as(&b, CARRY_CREATE, "running");
	int agent = k->agent;
	k->agent = -1;
	carry_kit_agent(k);
	told(&b.created, ERR_OK);
	assert_int_equal(shoot(&a, "snap", false), ERR_OK);
	assert_int_equal(shoot(&b, "snap", false), ERR_CONFLICT); /* it is just being taken */
	assert_int_equal(shoot(&b, "snap", true), ERR_CONFLICT);
	done_shot(&a, "snap");
	told(&a.shot, ERR_OK);
	assert_int_equal(shoot(&b, "snap", false), ERR_CONFLICT); /* it is there */
	assert_int_equal(shoot(&a, "snap", true), ERR_OK);
	assert_true(carry_kit_call(k, CARRY_SNAPSHOT)->replace);
	done_shot(&a, "snap");
	told(&a.shot, ERR_OK);
	carry_kit_waits(k, ""); /* its host has replaced it itself */
	assert_int_equal(shoot(&b, "snap", true), ERR_OK);
	kept_by(k, "snap", "hosta"); /* until the other is there */
	done_shot(&b, "snap");
	told(&b.shot, ERR_OK);
	kept_by(k, "snap", "hostb");
	carry_kit_waits(k, "unsnapshot hosta; ");
	carry_kit_deaf(k, CARRY_UNSNAPSHOT);
	/* one that fails leaves the other */
	assert_int_equal(shoot(&a, "snap", true), ERR_OK);
	carry_kit_refuse(k, CARRY_SNAPSHOT, ERR_IO);
	told(&a.shot, ERR_IO);
	kept_by(k, "snap", "hostb");
	close(agent);
}

struct listed {
	unsigned n;
	char names[64];
	enum err_code code;
};

static void on_list(void *arg, const struct snapshot *list, size_t n, const struct err *err)
{
	struct listed *l = arg;
	l->n++;
	l->code = err ? err->code : ERR_OK;
	l->names[0] = '\0';
	for (size_t i = 0; i < n; i++)
		snprintf(l->names + strlen(l->names), sizeof(l->names) - strlen(l->names), "%s ", list[i].name);
}

static void lists(struct carry_kit *k, int64_t team, const char *name, const char *want, enum err_code code)
{
	struct listed l = { 0 };
	snapshot_list(k->core, team, name, on_list, &l);
	carry_kit_until(k, &l.n, 1);
	assert_int_equal(l.code, code);
	assert_string_equal(l.names, want);
}

/* They are listed with all others, used where they are kept, and removed as others are. */
static void t_snapshot_use(void **state)
{
	struct carry_kit *k = *state;
	struct box b, child;
	struct err err = ERR_INIT;
	struct listed l = { 0 };
	reach(&b, k, PAUSED);
	lists(k, TEAM, NULL, "", ERR_OK);
	assert_int_equal(shoot(&b, "two", false), ERR_OK);
	done_shot(&b, "two");
	told(&b.shot, ERR_OK);
	assert_int_equal(shoot(&b, "one", false), ERR_OK);
	done_shot(&b, "one");
	told(&b.shot, ERR_OK);
	lists(k, TEAM, NULL, "one two ", ERR_OK);
	lists(k, TEAM, "two", "two ", ERR_OK);
	lists(k, TEAM, "three", "", ERR_NOT_FOUND);
	lists(k, TEAM + 1, NULL, "", ERR_OK);
	const struct sandbox_spec spec = { .snapshot = "one", .account = TEAM, .vcpus = 1 };
	create(&child, k, &spec);
	assert_string_equal(sandbox_host(child.sb), "hosta");
	carry_kit_turn(k);
	assert_string_equal(carry_kit_call(k, CARRY_CREATE)->image, SNAPSHOT_IMAGE "one");
	done_as(&child, CARRY_CREATE, "running");
	carry_kit_agent(k);
	told(&child.created, ERR_OK);
	assert_true(sandbox_row(child.sb)->vcpus == 2 && sandbox_row(child.sb)->memory_mb == 256);
	snapshot_remove(k->core, TEAM, "one", on_list, &l);
	carry_kit_until(k, &l.n, 1);
	assert_int_equal(l.code, ERR_OK);
	carry_kit_waits(k, "unsnapshot hosta; ");
	carry_kit_done(k, CARRY_UNSNAPSHOT, NULL);
	snapshot_remove(k->core, TEAM, "one", on_list, &l);
	carry_kit_until(k, &l.n, 2);
	assert_int_equal(l.code, ERR_NOT_FOUND);
	lists(k, TEAM, NULL, "two ", ERR_OK);
	/* only where it is */
	carry_kit_lose(k, 0);
	const struct sandbox_spec away = { .snapshot = "two", .account = TEAM, .vcpus = 1 };
	assert_null(sandbox_create(k->core, &away, NULL, NULL, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	/* it outlives the daemon */
	carry_kit_close(k);
	carry_kit_open(k, true);
	lists(k, TEAM, NULL, "two ", ERR_OK);
}

/* ---- figures ---- */

struct figures {
	unsigned n;
	size_t points;
	enum err_code code;
	struct box *again; /* ask once more, from inside the callback */
	int again_rc;
};

static void on_points(void *arg, const struct point *list, size_t n, const struct err *err)
{
	struct figures *f = arg;
	f->n++;
	f->code = err ? err->code : ERR_OK;
	f->points = n;
	assert_true(!n || list[0].wall_ms == 5);
	if (f->again)
		f->again_rc = metrics_ask(f->again->sb, "5m", on_points, f, NULL);
}

static void t_metrics(void **state)
{
	struct carry_kit *k = *state;
	struct err err = ERR_INIT;
	struct figures f = { 0 };
	struct box b;
	const struct point points[2] = { { .wall_ms = 5 } };
	const struct carry_answer answer = { .heard = true, .points = points, .point_count = 2, .fd = -1 };
	reach(&b, k, RUNNING);
	assert_int_equal(metrics_ask(b.sb, "5m", on_points, &f, &err), 0);
	const struct carry *c = carry_kit_call(k, CARRY_POINTS);
	assert_string_equal(c->range, "5m");
	assert_string_equal(c->id, b.id);
	assert_int_equal(c->team, TEAM);
	assert_int_equal(f.n, 0);
	carry_kit_answer(k, CARRY_POINTS, &answer);
	assert_true(f.n == 1 && f.points == 2 && f.code == ERR_OK);
	assert_int_equal(metrics_ask(b.sb, "5m", on_points, &f, &err), 0);
	carry_kit_refuse(k, CARRY_POINTS, ERR_STATE);
	assert_true(f.n == 2 && f.points == 0 && f.code == ERR_STATE);
	/* two at once, and the sandbox goes meanwhile */
	assert_int_equal(metrics_ask(b.sb, "5m", on_points, &f, &err), 0);
	assert_int_equal(metrics_ask(b.sb, "1h", on_points, &f, &err), 0);
	sandbox_delete(b.sb, on_deleted, &b);
	carry_kit_done(k, CARRY_DELETE, NULL);
	told(&b.deleted, ERR_OK);
	carry_kit_answer(k, CARRY_POINTS, &answer);
	carry_kit_deaf(k, CARRY_POINTS);
	assert_int_equal(f.n, 4);
	reach(&b, k, RUNNING);
	carry_kit_lose(k, 0);
	assert_int_equal(metrics_ask(b.sb, "5m", on_points, &f, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_int_equal(f.n, 4);
}

/* Whoever waits is told that the daemon is going down, and begins nothing new. */
static void t_close_in_errands(void **state)
{
	struct carry_kit *k = *state;
	struct figures f = { 0 };
	struct box b;
	reach(&b, k, RUNNING);
	f.again = &b;
	assert_int_equal(metrics_ask(b.sb, "5m", on_points, &f, NULL), 0);
	remote_compare_all(k->core);
	resize(&b, 1, 0, 0, ERR_OK);
	assert_int_equal(metrics_ask(b.sb, "5m", on_points, &f, NULL), 0);
	carry_kit_close(k);
	assert_int_equal(f.n, 2);
	assert_int_equal(f.code, ERR_UNAVAILABLE);
	assert_int_equal(f.again_rc, -1);
}

/* ---- a host that is removed ---- */

static void t_host_removed(void **state)
{
	struct carry_kit *k = *state;
	struct err err = ERR_INIT;
	const struct identity root = { .kind = IDENTITY_LOCAL, .admin = true };
	struct box a, b;
	struct sandbox_spec other = plain;
	other.name = "other";
	reach(&a, k, PAUSED);
	create(&b, k, &other);
	carry_kit_turn(k);
	done_as(&b, CARRY_CREATE, "running");
	carry_kit_agent(k);
	told(&b.created, ERR_OK);
	assert_int_equal(host_delete(k->core, &root, "hosta", &err), 0);
	assert_int_equal(sandbox_state(b.sb), SANDBOX_DELETING);
	carry_kit_waits(k, "delete hosta; ");
	carry_kit_done(k, CARRY_DELETE, NULL);
	is_gone(&b);
	is_at(&a, PAUSED);
	resume_it(&a);
	carry_kit_turn(k);
	told(&a.done, ERR_UNAVAILABLE);
	is_at(&a, PAUSED);
	sandbox_delete(a.sb, on_deleted, &a);
	carry_kit_turn(k);
	told(&a.deleted, ERR_OK);
	is_gone(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CARRY_TEST(t_create),
		CARRY_TEST(t_create_refused_here),
		CARRY_TEST(t_create_fails),
		CARRY_TEST(t_create_fails_and_host_goes),
		CARRY_TEST(t_pause_and_resume),
		CARRY_TEST(t_stop_and_start),
		CARRY_TEST(t_operation_fails),
		CARRY_TEST(t_agent_fails),
		CARRY_TEST(t_not_here),
		CARRY_TEST(t_delete),
		CARRY_TEST(t_delete_while_lost),
		CARRY_TEST(t_delete_again),
		CARRY_TEST(t_close),
		CARRY_TEST(t_close_in_delete),
		CARRY_TEST(t_recover),
		CARRY_TEST(t_recover_halves),
		CARRY_TEST(t_recover_without_host),
		CARRY_TEST(t_no_carrier),
		CARRY_TEST(t_lost_and_back),
		CARRY_TEST(t_lost_others),
		CARRY_TEST(t_lost_in_operation),
		CARRY_TEST(t_lost_while_coming_up),
		CARRY_TEST(t_orphans),
		CARRY_TEST(t_old_list),
		CARRY_TEST(t_no_list),
		CARRY_TEST(t_agent_lost),
		CARRY_TEST(t_agent_refused),
		CARRY_TEST(t_agent_lost_in_operation),
		CARRY_TEST(t_resize),
		CARRY_TEST(t_snapshot),
		CARRY_TEST(t_snapshot_fails),
		CARRY_TEST(t_snapshot_replaces),
		CARRY_TEST(t_snapshot_use),
		CARRY_TEST(t_metrics),
		CARRY_TEST(t_close_in_errands),
		CARRY_TEST(t_host_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
