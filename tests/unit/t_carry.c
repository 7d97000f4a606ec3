/* link: tests/unit/carry_kit.c daemon/core/[a-z]*.c daemon/vm/[a-z]*.c daemon/image/[a-z]*.c daemon/notify/[a-z]*.c daemon/net/[a-z]*.c daemon/db/[a-z]*.c shared/wire/[a-z]*.c shared/net/[a-z]*.c shared/store/[a-z]*.c | -luv -lsqlite3 -lssl -lcrypto -lcrypt -llz4 -lzstd -lpthread -l:libarchive.a -l:libz.a -l:libzstd.a -l:liblzma.a -l:libbz2.a -l:libnettle.a -l:libext2fs.a -l:libcom_err.a */
/* Sandboxes that other hosts carry: every operation and how it can end, with the test as the hosts. */
#include "tests/unit/carry_box.h"

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
		carry_kit_waits(k, is_shot(step) ? "delete hosta; unsnapshot hosta; " : "delete hosta; ");
		assert_string_equal(carry_kit_call(k, CARRY_DELETE)->id, b.id);
		carry_kit_done(k, CARRY_DELETE, NULL);
		carry_kit_settle(k);
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

static void on_second(void *arg)
{
	++*(unsigned *)arg;
}

static void t_use(void **state)
{
	struct carry_kit *k = *state;
	unsigned seconds = 0;
	struct box b;
	struct point now;
	reach(&b, k, RUNNING);
	assert_int_equal(metrics_now(b.sb, &now), -1);
	carry_kit_waits(k, "");
	struct metrics_follow *f = metrics_follow(k->core, on_second, &seconds);
	carry_kit_waits(k, "uses hosta; ");
	assert_int_equal(carry_kit_call(k, CARRY_USES)->team, TEAM_ANY);
	/* another who wants to know asks nothing twice, nor do the seconds that pass */
	struct metrics_follow *g = metrics_follow(k->core, on_second, &seconds);
	carry_kit_until(k, &seconds, 4);
	carry_kit_waits(k, "uses hosta; ");
	const struct carry_use uses[] = { { .id = "stranger", .now.v = { 1 } }, { .id = b.id, .now.v = { [FIGURE_CPU] = 12.5f } } };
	const struct carry_answer answer = { .heard = true, .uses = uses, .use_count = 2, .fd = -1 };
	carry_kit_answer(k, CARRY_USES, &answer);
	assert_int_equal(metrics_now(b.sb, &now), 0);
	assert_true(now.v[FIGURE_CPU] == 12.5f);
	seconds = 0;
	carry_kit_until(k, &seconds, 2);
	/* no news is what was known, for a while */
	carry_kit_deaf(k, CARRY_USES);
	assert_int_equal(metrics_now(b.sb, &now), 0);
	/* what is missing uses nothing, and is not asked about */
	carry_kit_lose(k, 0);
	assert_int_equal(metrics_now(b.sb, &now), -1);
	seconds = 0;
	carry_kit_until(k, &seconds, 4);
	carry_kit_waits(k, "");
	carry_kit_find(k, 0);
	carry_kit_list(k, &(struct carry_box){ .id = b.id, .state = "running", .vcpus = 1, .memory_mb = 256 }, 1);
	assert_int_equal(metrics_now(b.sb, &now), 0);
	b.sb->use_ms -= 6000;
	assert_int_equal(metrics_now(b.sb, &now), -1);
	metrics_unfollow(g);
	metrics_unfollow(f);
}

/* Whoever waits is told that the daemon is going down, and begins nothing new. */
static void t_close_in_errands(void **state)
{
	struct carry_kit *k = *state;
	struct figures f = { 0 };
	unsigned seconds = 0;
	struct box b;
	reach(&b, k, RUNNING);
	f.again = &b;
	assert_int_equal(metrics_ask(b.sb, "5m", on_points, &f, NULL), 0);
	remote_compare_all(k->core);
	resize(&b, 1, 0, 0, ERR_OK);
	assert_int_equal(metrics_ask(b.sb, "5m", on_points, &f, NULL), 0);
	struct metrics_follow *use = metrics_follow(k->core, on_second, &seconds);
	metrics_unfollow(use);
	carry_kit_call(k, CARRY_USES);
	carry_kit_close(k);
	assert_int_equal(f.n, 2);
	assert_int_equal(f.code, ERR_UNAVAILABLE);
	assert_int_equal(f.again_rc, -1);
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
		CARRY_TEST(t_resize),
		CARRY_TEST(t_metrics),
		CARRY_TEST(t_use),
		CARRY_TEST(t_close_in_errands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
