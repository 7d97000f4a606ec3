/* link: tests/unit/carry_kit.c daemon/core/[a-z]*.c daemon/vm/[a-z]*.c daemon/image/[a-z]*.c daemon/notify/[a-z]*.c daemon/net/[a-z]*.c daemon/db/[a-z]*.c shared/wire/[a-z]*.c shared/net/[a-z]*.c shared/store/[a-z]*.c | -luv -lsqlite3 -lssl -lcrypto -lcrypt -llz4 -lzstd -lpthread -l:libarchive.a -l:libz.a -l:libzstd.a -l:liblzma.a -l:libbz2.a -l:libnettle.a -l:libext2fs.a -l:libcom_err.a */
/* The agents of sandboxes that other hosts carry, and the snapshots that those keep. */
#include "tests/unit/carry_box.h"

#include "daemon/core/vault.h"
#include "shared/store/store.h"

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

/* ---- snapshots ---- */

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

/* Whatever answer is lost, a host is asked until it has forgotten what is not ours. */
static void t_snapshot_left(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	reach(&b, k, SNAPSHOT);
	carry_kit_deaf(k, CARRY_SNAPSHOT);
	told(&b.shot, ERR_TIMEOUT);
	list_as(&b, "running");
	carry_kit_waits(k, "unsnapshot hosta; ");
	assert_string_equal(carry_kit_call(k, CARRY_UNSNAPSHOT)->name, "snap");
	carry_kit_deaf(k, CARRY_UNSNAPSHOT);
	remote_compare(k->core, b.sb->row.host);
	list_as(&b, "running");
	carry_kit_refuse(k, CARRY_UNSNAPSHOT, ERR_NOT_FOUND); /* it never had it */
	remote_compare(k->core, b.sb->row.host);
	list_as(&b, "running");
	carry_kit_waits(k, "");
	/* taken there, and not here */
	assert_int_equal(shoot(&b, "snap", false), ERR_OK);
	carry_kit_refuse(k, CARRY_SNAPSHOT, ERR_CONFLICT);
	told(&b.shot, ERR_CONFLICT);
	carry_kit_waits(k, "unsnapshot hosta; ");
	remove_it(&b);
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

/* Names of this machine's own snapshots, as pins on some object. */
static void keep_at_home(struct carry_kit *k, const char *pin)
{
	struct err err = ERR_INIT;
	struct hash id;
	struct store *s = vault_open(core_vault(k->core), &err);
	assert_non_null(s);
	assert_int_equal(store_begin(s, true, &err), 0);
	assert_int_equal(store_put(s, OBJECT_BLOB, "x", 1, NULL, &id, &err), 0);
	assert_int_equal(store_pin(s, pin, &id, &err), 0);
	assert_int_equal(store_end(s, &err), 0);
	store_close(s);
}

static bool kept_at_home(struct carry_kit *k, const char *name)
{
	struct err err = ERR_INIT;
	int there = snapshot_is_home(core_vault(k->core), TEAM, name, &err);
	assert_true(there >= 0);
	return there;
}

/* A name that is taken on this machine is taken on the hosts, too; replaced, it is there and not here. */
static void t_snapshot_of_a_name_at_home(void **state)
{
	struct carry_kit *k = *state;
	struct box b;
	reach(&b, k, RUNNING);
	keep_at_home(k, "vm/snap");
	keep_at_home(k, "vm/8:snap");
	assert_int_equal(shoot(&b, "snap", false), ERR_OK); /* those are of other teams */
	carry_kit_refuse(k, CARRY_SNAPSHOT, ERR_IO);
	told(&b.shot, ERR_IO);
	keep_at_home(k, "vm/7:snap");
	assert_int_equal(shoot(&b, "snap", false), ERR_OK);
	told(&b.shot, ERR_CONFLICT);
	carry_kit_waits(k, "");
	assert_true(kept_at_home(k, "snap"));
	/* one that fails replaces nothing */
	assert_int_equal(shoot(&b, "snap", true), ERR_OK);
	carry_kit_refuse(k, CARRY_SNAPSHOT, ERR_IO);
	told(&b.shot, ERR_IO);
	assert_true(kept_at_home(k, "snap"));
	assert_int_equal(shoot(&b, "snap", true), ERR_OK);
	done_shot(&b, "snap");
	carry_kit_until(k, &b.shot.n, 1);
	told(&b.shot, ERR_OK);
	kept_by(k, "snap", "hosta");
	assert_false(kept_at_home(k, "snap"));
	assert_int_equal(snapshot_is_home(core_vault(k->core), TEAM_LOCAL, "snap", NULL), 1);
	assert_int_equal(snapshot_is_home(core_vault(k->core), TEAM + 1, "snap", NULL), 1);
}

/* It is removed while this machine is still looking. */
static void t_snapshot_of_one_that_goes(void **state)
{
	struct carry_kit *k = *state;
	struct err err = ERR_INIT;
	struct box b;
	reach(&b, k, RUNNING);
	assert_int_equal(sandbox_snapshot(b.sb, "snap", false, on_shot, &b, &err), 0);
	sandbox_delete(b.sb, on_deleted, &b);
	carry_kit_done(k, CARRY_DELETE, NULL);
	carry_kit_until(k, &b.deleted.n, 1);
	assert_int_equal(b.shot.n, 1);
	assert_int_not_equal(b.shot.err.code, ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CARRY_TEST(t_agent_lost),
		CARRY_TEST(t_agent_refused),
		CARRY_TEST(t_agent_lost_in_operation),
		CARRY_TEST(t_snapshot),
		CARRY_TEST(t_snapshot_fails),
		CARRY_TEST(t_snapshot_left),
		CARRY_TEST(t_snapshot_replaces),
		CARRY_TEST(t_snapshot_use),
		CARRY_TEST(t_snapshot_of_a_name_at_home),
		CARRY_TEST(t_snapshot_of_one_that_goes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
