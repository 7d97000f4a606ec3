/* link: tests/unit/carry_kit.c daemon/core/[a-z]*.c daemon/vm/[a-z]*.c daemon/image/[a-z]*.c daemon/notify/[a-z]*.c daemon/net/[a-z]*.c daemon/db/[a-z]*.c shared/wire/[a-z]*.c shared/net/[a-z]*.c shared/store/[a-z]*.c | -luv -lsqlite3 -lssl -lcrypto -lcrypt -llz4 -lzstd -lpthread -l:libarchive.a -l:libz.a -l:libzstd.a -l:liblzma.a -l:libbz2.a -l:libnettle.a -l:libext2fs.a -l:libcom_err.a */
/* What is known of what other hosts carry: when the daemon ends and starts, when hosts go and come back, when they say otherwise.
 */
#include "tests/unit/carry_box.h"

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
		carry_kit_settle(k);
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
		carry_kit_settle(k);
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
			assert_string_equal(sandbox_row(b.sb)->reason, says[s] ? "so it is" : "its host does not have it any more");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
		CARRY_TEST(t_host_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
