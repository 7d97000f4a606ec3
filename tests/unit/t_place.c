/* link: tests/unit/core_kit.c daemon/core/place.c daemon/core/host.c daemon/core/audit.c daemon/core/team.c daemon/core/account.c daemon/core/password.c daemon/core/identity.c daemon/core/secret.c daemon/image/hash.c daemon/db/[a-z]*.c shared/net/crypto.c shared/net/tcp.c | -luv -lsqlite3 -lcrypt -lcrypto */
/* Which machine carries a sandbox: how full each is, whose it is, and what was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/core/place.h"
#include "daemon/core/remote.h"
#include "daemon/core/remote_snapshot.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "tests/unit/core_kit.h"

#define LENT(s) ((char *)(uintptr_t)(s)) /* rows and lists only read it */

/* ---- what the rest of core would do ---- */

void remote_lost(struct core *core, int64_t host)
{
	(void)core;
	(void)host;
	fail();
}

void remote_compare(struct core *core, int64_t host)
{
	(void)core;
	(void)host;
	fail();
}

struct sandbox *sandbox_find(struct core *core, int64_t team, const char *id, struct err *err)
{
	(void)core;
	(void)team;
	(void)id;
	(void)err;
	fail();
	return NULL;
}

void drop_list(char **list)
{
	(void)list;
	fail();
}

static struct { /* the one snapshot that a host keeps */
	int64_t team, host;
	const char *name;
	bool broken;
} kept;

int remote_snapshot_host(struct core *core, int64_t team, const char *name, int64_t *host, struct err *err)
{
	(void)core;
	if (kept.broken)
		return err_set(err, ERR_IO, "broken");
	bool found = kept.name && kept.team == team && !strcmp(kept.name, name);
	*host = found ? kept.host : 0;
	return found;
}

/* ---- how full ---- */

static void free_is(const struct db_host *host, struct place_load load, struct place_load want, double part)
{
	double left = place_free(host, &load, &want);
	if (left < part - 1e-9 || left > part + 1e-9)
		fail_msg("%g is not %g", left, part);
}

static void t_free(void **state)
{
	(void)state;
	/* 8 GiB and 30 GiB are kept of it, and each processor counts for one and a half */
	const struct db_host large = { .memory_mb = 108192, .cpu_cores = 100, .disk_gb = 1030 };
	/* an eighth of it */
	const struct db_host small = { .memory_mb = 8000, .cpu_cores = 4, .disk_gb = 80 };
	const struct db_host quiet = { 0 };
	const struct place_load none = { 0 };
	free_is(&large, none, none, 1);
	free_is(&small, none, none, 1);
	free_is(&large, none, (struct place_load){ .memory_mb = 25000 }, 0.75);
	free_is(&large, (struct place_load){ .memory_mb = 25000 }, (struct place_load){ .memory_mb = 25000 }, 0.5);
	free_is(&large, none, (struct place_load){ .disk_mb = 1000 * 1024 / 4.0 }, 0.75);
	free_is(&large, none, (struct place_load){ .vcpus = 30 }, 0.8);
	free_is(&small, none, (struct place_load){ .memory_mb = 3500 }, 0.5);
	free_is(&small, none, (struct place_load){ .disk_mb = 70 * 1024 / 2.0 }, 0.5);
	/* the least of them */
	free_is(&small, none, (struct place_load){ .memory_mb = 3500, .disk_mb = 70 * 1024 / 4.0, .vcpus = 1 }, 0.5);
	/* what fits exactly, and what does not */
	free_is(&small, none, (struct place_load){ .memory_mb = 7000 }, 0);
	assert_true(place_free(&small, &none, &(struct place_load){ .memory_mb = 7001 }) < 0);
	assert_true(place_free(&small, &none, &(struct place_load){ .disk_mb = 70 * 1024 + 1 }) < 0);
	/* half of what nobody told */
	free_is(&quiet, none, none, 0.5);
	free_is(&quiet, (struct place_load){ .memory_mb = 1e6, .vcpus = 1e3, .disk_mb = 1e9 }, none, 0.5);
	/* processors are shared: there is always a little left of them, and less with every one more */
	double before = 1;
	for (int n = 0; n < 100; n++) {
		double left = place_free(&small, &(struct place_load){ .vcpus = n }, &(struct place_load){ .vcpus = 1 });
		assert_true(left > 0 && left < before);
		before = left;
	}
}

/* ---- which ---- */

static int64_t number; /* of the newest host; the first is 1 */

struct want_host {
	const char *uid, *type, *status, *address;
	int64_t team, memory_mb;
};

static int64_t add_host(struct core_kit *k, struct want_host w)
{
	struct err err = ERR_INIT;
	struct db_host row = { .uid = LENT(w.uid),
		.type = LENT(w.type ? w.type : "regular"),
		.team = w.team,
		.status = LENT(w.status ? w.status : "online"),
		.address = LENT(w.address ? w.address : "10.0.0.1:1"),
		.memory_mb = w.memory_mb ? w.memory_mb : 80000,
		.cpu_cores = 64,
		.disk_gb = 1000,
		.created_ms = ++number };
	if (w.address && !*w.address)
		row.address = NULL;
	assert_int_equal(db_host_insert(k->core->db, &row, &err), 0);
	return row.id;
}

static void tag(struct core_kit *k, int64_t host, const char *name)
{
	struct err err = ERR_INIT;
	assert_int_equal(db_host_tag_add(k->core->db, host, name, &err), 0);
}

/* want: the id of a host, "" for here, or the code of an error with its word. */
static void goes_to(struct core_kit *k, struct sandbox_spec spec, const char *want)
{
	struct err err = ERR_INIT;
	struct db_host host;
	auto_free char *got = NULL;
	spec.vcpus = spec.vcpus ? spec.vcpus : 1;
	int rc = place_choose(k->core, &spec, &host, &err);
	if (rc == 1) {
		got = mem_strdup(host.uid);
		db_host_release(&host);
	} else {
		got = rc < 0 ? mem_printf("%s %s", err_name(err.code), err.word ? err.word : "-") : mem_strdup("");
		assert_true(rc == 0 || err.msg[0]);
	}
	assert_string_equal(got, want);
}

#define NO_HOSTS "unavailable no_hosts"
enum { OTHERS = 77 }; /* a team without hosts of its own */

static void t_here(void **state)
{
	struct core_kit *k = *state;
	const struct sandbox_spec local = { .account = TEAM_LOCAL }, others = { .account = OTHERS };
	goes_to(k, local, "");
	goes_to(k, others, "");
	/* one that was announced and never came is none */
	add_host(k, (struct want_host){ .uid = "p", .status = "pending", .address = "" });
	add_host(k, (struct want_host){ .uid = "b", .type = "byoc", .team = 5 });
	goes_to(k, others, "");
	add_host(k, (struct want_host){ .uid = "r" });
	goes_to(k, local, "");
	goes_to(k, others, "r");
	/* what a control plane placed here stays here */
	goes_to(k, (struct sandbox_spec){ .account = OTHERS, .id = "abcdefghijkl" }, "");
	goes_to(k, (struct sandbox_spec){ .account = OTHERS, .id = "abcdefghijkl", .host = "r" }, "");
}

static void t_away(void **state)
{
	struct core_kit *k = *state;
	const struct sandbox_spec others = { .account = OTHERS };
	add_host(k, (struct want_host){ .uid = "u", .status = "unreachable" });
	goes_to(k, others, NO_HOSTS); /* there are hosts: nothing runs here for lack of them */
	goes_to(k, (struct sandbox_spec){ .account = TEAM_LOCAL }, "");
	add_host(k, (struct want_host){ .uid = "r" });
	goes_to(k, others, "r");
}

static void t_named(void **state)
{
	struct core_kit *k = *state;
	add_host(k, (struct want_host){ .uid = "a" });
	add_host(k, (struct want_host){ .uid = "b", .memory_mb = 160000 });
	add_host(k, (struct want_host){ .uid = "u", .status = "unreachable" });
	add_host(k, (struct want_host){ .uid = "o", .type = "byoc", .team = 5 });
	for (int64_t team = TEAM_LOCAL; team <= OTHERS; team += OTHERS) {
		goes_to(k, (struct sandbox_spec){ .account = team, .host = "a" }, "a");
		goes_to(k, (struct sandbox_spec){ .account = team, .host = "b" }, "b");
		goes_to(k, (struct sandbox_spec){ .account = team, .host = "u" }, NO_HOSTS);
		goes_to(k, (struct sandbox_spec){ .account = team, .host = "o" }, "not_found -"); /* another's */
		goes_to(k, (struct sandbox_spec){ .account = team, .host = "z" }, "not_found -");
		goes_to(k, (struct sandbox_spec){ .account = team, .host = "a", .memory_mb = 1 << 20 }, NO_HOSTS);
	}
}

static void t_tags(void **state)
{
	struct core_kit *k = *state;
	char *gpu[] = { LENT("gpu"), NULL }, *both[] = { LENT("eu"), LENT("gpu"), NULL }, *none[] = { NULL },
	     *other[] = { LENT("us"), NULL };
	char *twice[] = { LENT("gpu"), LENT("gpu"), NULL };
	int64_t a = add_host(k, (struct want_host){ .uid = "a" }), b = add_host(k, (struct want_host){ .uid = "b" });
	add_host(k, (struct want_host){ .uid = "c", .memory_mb = 160000 });
	tag(k, a, "gpu");
	tag(k, a, "eu");
	tag(k, b, "eu");
	for (int64_t team = TEAM_LOCAL; team <= OTHERS; team += OTHERS) {
		goes_to(k, (struct sandbox_spec){ .account = team, .tags = gpu }, "a");
		goes_to(k, (struct sandbox_spec){ .account = team, .tags = both }, "a");
		goes_to(k, (struct sandbox_spec){ .account = team, .tags = twice }, "a");
		goes_to(k, (struct sandbox_spec){ .account = team, .tags = other }, NO_HOSTS);
		goes_to(k, (struct sandbox_spec){ .account = team, .tags = gpu, .host = "b" }, NO_HOSTS);
		goes_to(k, (struct sandbox_spec){ .account = team, .tags = none, .memory_mb = 4000 },
			team == TEAM_LOCAL ? "" : "c");
	}
}

static void t_byoc(void **state)
{
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	char *gpu[] = { LENT("gpu"), NULL };
	struct identity own = core_kit_person(k, "own@b.c"), other = core_kit_person(k, "other@b.c");
	assert_int_equal(db_team_set_byoc(k->core->db, own.team, &err), 0);
	assert_int_equal(db_team_set_byoc(k->core->db, other.team, &err), 0);
	const struct sandbox_spec spec = { .account = own.team };
	int64_t regular = add_host(k, (struct want_host){ .uid = "r", .memory_mb = 160000 });
	tag(k, regular, "gpu");
	add_host(k, (struct want_host){ .uid = "o", .type = "byoc", .team = other.team, .memory_mb = 160000 });
	goes_to(k, spec, NO_HOSTS); /* neither here nor on anybody else's */
	goes_to(k, (struct sandbox_spec){ .account = own.team, .host = "r" }, "not_found -");
	goes_to(k, (struct sandbox_spec){ .account = own.team, .tags = gpu }, NO_HOSTS);
	add_host(k, (struct want_host){ .uid = "p", .type = "byoc", .team = own.team, .status = "pending", .address = "" });
	goes_to(k, spec, NO_HOSTS);
	add_host(k, (struct want_host){ .uid = "m", .type = "byoc", .team = own.team, .memory_mb = 8000 });
	goes_to(k, spec, "m");
	goes_to(k, (struct sandbox_spec){ .account = own.team, .host = "m" }, "m");
	goes_to(k, (struct sandbox_spec){ .account = own.team, .tags = gpu }, NO_HOSTS);
	goes_to(k, (struct sandbox_spec){ .account = own.team, .memory_mb = 9000 }, NO_HOSTS);
	goes_to(k, (struct sandbox_spec){ .account = OTHERS }, "r");
	goes_to(k, (struct sandbox_spec){ .account = other.team }, "o");
}

static void t_snapshot(void **state)
{
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	char *gpu[] = { LENT("gpu"), NULL };
	struct identity own = core_kit_person(k, "own@b.c");
	assert_int_equal(db_team_set_byoc(k->core->db, own.team, &err), 0);
	int64_t a = add_host(k, (struct want_host){ .uid = "a", .memory_mb = 8000 });
	int64_t m = add_host(k, (struct want_host){ .uid = "m", .type = "byoc", .team = own.team });
	int64_t b = add_host(k, (struct want_host){ .uid = "b" });
	tag(k, b, "gpu");
	for (int64_t team = TEAM_LOCAL; team <= OTHERS; team += OTHERS) {
		kept.team = team;
		kept.host = a;
		kept.name = "s";
		goes_to(k, (struct sandbox_spec){ .account = team, .snapshot = "s" }, "a");
		goes_to(k, (struct sandbox_spec){ .account = team, .snapshot = "s", .host = "a" }, "a");
		goes_to(k, (struct sandbox_spec){ .account = team, .snapshot = "s", .host = "b" }, NO_HOSTS);
		goes_to(k, (struct sandbox_spec){ .account = team, .snapshot = "s", .tags = gpu }, NO_HOSTS);
		goes_to(k, (struct sandbox_spec){ .account = team, .snapshot = "s", .host = "z" }, "not_found -");
		/* what is kept here is used here, if it may be */
		goes_to(k, (struct sandbox_spec){ .account = team, .snapshot = "t" }, "");
		goes_to(k, (struct sandbox_spec){ .account = team, .snapshot = "t", .host = "b" }, "not_found -");
		goes_to(k, (struct sandbox_spec){ .account = team, .snapshot = "t", .tags = gpu }, "not_found -");
		kept.host = b + 1; /* it was removed */
		goes_to(k, (struct sandbox_spec){ .account = team, .snapshot = "s" }, NO_HOSTS);
	}
	kept.team = own.team;
	kept.host = m;
	goes_to(k, (struct sandbox_spec){ .account = own.team, .snapshot = "s" }, "m");
	goes_to(k, (struct sandbox_spec){ .account = own.team, .snapshot = "t" }, "not_found -");
	goes_to(k, (struct sandbox_spec){ .account = OTHERS, .snapshot = "s" }, ""); /* not theirs */
	kept.broken = true;
	goes_to(k, (struct sandbox_spec){ .account = own.team, .snapshot = "s" }, "io -");
	kept.broken = false;
	kept.name = NULL;
}

static struct sandbox *carry(struct core_kit *k, int64_t host, enum sandbox_state state, int64_t vcpus, int64_t memory_mb)
{
	struct sandbox *sb = core_kit_box(k, OTHERS, state, vcpus, memory_mb);
	sb->row.host = host;
	return sb;
}

/* The most left; of equals the oldest. */
static void t_best(void **state)
{
	struct core_kit *k = *state;
	const struct sandbox_spec spec = { .account = OTHERS, .memory_mb = 1000 };
	int64_t a = add_host(k, (struct want_host){ .uid = "a" }), b = add_host(k, (struct want_host){ .uid = "b" });
	goes_to(k, spec, "a");
	carry(k, a, SANDBOX_STOPPED, 64, 70000); /* only its disk counts */
	goes_to(k, spec, "a");
	carry(k, a, SANDBOX_RUNNING, 1, 10000);
	goes_to(k, spec, "b");
	carry(k, b, SANDBOX_PAUSED, 1, 20000); /* half of it */
	goes_to(k, spec, "a");
	carry(k, b, SANDBOX_MISSING, 1, 1000);
	goes_to(k, spec, "a");
	carry(k, a, SANDBOX_CREATING, 1, 2000);
	goes_to(k, spec, "b");
	carry(k, 0, SANDBOX_RUNNING, 64, 80000); /* here, which is neither */
	goes_to(k, spec, "b");
	int64_t c = add_host(k, (struct want_host){ .uid = "c", .memory_mb = 160000 });
	goes_to(k, spec, "c");
	carry(k, c, SANDBOX_RUNNING, 90, 1000); /* the processors are what is short */
	goes_to(k, spec, "b");
}

/* A disk that was asked for counts as asked for. */
static void t_disk(void **state)
{
	struct core_kit *k = *state;
	int64_t a = add_host(k, (struct want_host){ .uid = "a" });
	add_host(k, (struct want_host){ .uid = "b" });
	carry(k, a, SANDBOX_RUNNING, 1, 1)->row.disk_mb = 1 << 20;
	goes_to(k, (struct sandbox_spec){ .account = OTHERS }, "b");
	goes_to(k, (struct sandbox_spec){ .account = OTHERS, .host = "a" }, NO_HOSTS);
}

static void t_full(void **state)
{
	struct core_kit *k = *state;
	int64_t a = add_host(k, (struct want_host){ .uid = "a", .memory_mb = 8000 });
	goes_to(k, (struct sandbox_spec){ .account = OTHERS, .memory_mb = 7001 }, NO_HOSTS);
	goes_to(k, (struct sandbox_spec){ .account = OTHERS, .memory_mb = 7000 }, "a");
	carry(k, a, SANDBOX_RUNNING, 1, 6000);
	goes_to(k, (struct sandbox_spec){ .account = OTHERS, .memory_mb = 1001 }, NO_HOSTS);
	goes_to(k, (struct sandbox_spec){ .account = OTHERS, .memory_mb = 1000 }, "a");
	/* what its image decides is guessed: 512, of those that are being made too */
	goes_to(k, (struct sandbox_spec){ .account = OTHERS }, "a");
	carry(k, a, SANDBOX_CREATING, 1, 0);
	goes_to(k, (struct sandbox_spec){ .account = OTHERS, .memory_mb = 489 }, NO_HOSTS);
	goes_to(k, (struct sandbox_spec){ .account = OTHERS, .memory_mb = 488 }, "a");
	/* processors alone are never too few */
	carry(k, a, SANDBOX_RUNNING, 95, 1);
	goes_to(k, (struct sandbox_spec){ .account = OTHERS, .memory_mb = 1, .vcpus = 1 }, "a");
	carry(k, a, SANDBOX_RUNNING, 1000, 1);
	goes_to(k, (struct sandbox_spec){ .account = OTHERS, .memory_mb = 1, .vcpus = 64 }, "a");
}

/* Who has not told what he has is half free, whatever he carries. */
static void t_unknown(void **state)
{
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_host row = { .uid = LENT("q"), .type = LENT("regular"), .status = LENT("online"), .address = LENT("h:1") };
	assert_int_equal(db_host_insert(k->core->db, &row, &err), 0);
	const struct sandbox_spec spec = { .account = OTHERS, .memory_mb = 1000 };
	goes_to(k, spec, "q");
	int64_t a = add_host(k, (struct want_host){ .uid = "a" });
	carry(k, row.id, SANDBOX_RUNNING, 1, 1 << 20);
	goes_to(k, spec, "a");
	carry(k, a, SANDBOX_RUNNING, 1, 40000);
	goes_to(k, spec, "q");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_free),
		CORE_TEST(t_here),
		CORE_TEST(t_away),
		CORE_TEST(t_named),
		CORE_TEST(t_tags),
		CORE_TEST(t_byoc),
		CORE_TEST(t_snapshot),
		CORE_TEST(t_best),
		CORE_TEST(t_disk),
		CORE_TEST(t_full),
		CORE_TEST(t_unknown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
