/* link: tests/unit/core_kit.c daemon/core/usage.c daemon/core/team.c daemon/core/account.c daemon/core/password.c daemon/core/identity.c daemon/core/secret.c daemon/db/[a-z]*.c shared/net/crypto.c | -luv -lsqlite3 -lcrypt -lcrypto -Wl,--wrap=clock_wall_ms */
/* What teams use: at this moment, and what is kept of it every ten seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/core/usage.h"
#include "shared/base/mem.h"
#include "tests/unit/core_kit.h"

#define DAY_MS (86400LL * 1000)
static int64_t now_ms = 20000 * DAY_MS; /* a midnight */

int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_wall_ms(void)
{
	return now_ms;
}

static void use_is(const struct db_use *use, int64_t running, int64_t vcpus, int64_t memory_mb)
{
	assert_int_equal(use->running, running);
	assert_int_equal(use->vcpus, vcpus);
	assert_int_equal(use->memory_mb, memory_mb);
}

static void now_is(struct core_kit *k, int64_t team, int64_t running, int64_t vcpus, int64_t memory_mb)
{
	struct db_use use;
	usage_now(k->core, team, &use);
	assert_true(use.team == team && use.at_s == now_ms / 1000);
	use_is(&use, running, vcpus, memory_mb);
}

/* What is up or comes up counts whole, what is paused with half of its memory, what is over or in the pool not at all. */
static void t_now(void **state)
{
	struct core_kit *k = *state;
	static const bool counts[SANDBOX_STATES] = { [SANDBOX_CREATING] = true,
		[SANDBOX_RUNNING] = true,
		[SANDBOX_PAUSING] = true,
		[SANDBOX_RESUMING] = true,
		[SANDBOX_STARTING] = true };
	now_is(k, 5, 0, 0, 0);
	for (enum sandbox_state s = SANDBOX_CREATING; s < SANDBOX_STATES; s++) {
		struct sandbox *sb = core_kit_box(k, 5, s, 3, 101);
		if (s == SANDBOX_PAUSED)
			now_is(k, 5, 0, 0, 51);
		else
			now_is(k, 5, counts[s], counts[s] ? 3 : 0, counts[s] ? 101 : 0);
		now_is(k, 4, 0, 0, 0);
		sb->row.account = 6; /* out of the way */
	}
	now_is(k, 6, 5, 15, 5 * 101 + 51);
}

struct kept {
	struct db_use *all;
	size_t n;
};

static struct kept kept_of(struct core_kit *k, int64_t team)
{
	struct kept kept;
	struct err err = ERR_INIT;
	assert_int_equal(usage_series(k->core, team, 90 * 86400, 1, &kept.all, &kept.n, &err), 0);
	return kept;
}

static size_t rows_of(struct core_kit *k, int64_t team)
{
	struct kept kept = kept_of(k, team);
	free(kept.all);
	return kept.n;
}

static void t_tick(void **state)
{
	struct core_kit *k = *state;
	usage_tick(k->core, now_ms);
	now_ms += 10000;
	core_kit_box(k, 2, SANDBOX_RUNNING, 1, 100);
	core_kit_box(k, TEAM_LOCAL, SANDBOX_PAUSED, 4, 256);
	core_kit_box(k, 2, SANDBOX_RUNNING, 2, 50);
	core_kit_box(k, 4, SANDBOX_STOPPED, 2, 50);
	core_kit_box(k, 3, SANDBOX_POOLED, 2, 50);
	core_kit_box(k, 1, SANDBOX_RUNNING, 7, 70);
	usage_tick(k->core, now_ms);
	usage_tick(k->core, now_ms + 9999); /* too early */
	struct kept kept = kept_of(k, 2);
	assert_int_equal(kept.n, 1);
	assert_int_equal(kept.all[0].at_s, now_ms / 1000);
	use_is(&kept.all[0], 2, 3, 150);
	free(kept.all);
	kept = kept_of(k, TEAM_LOCAL);
	assert_int_equal(kept.n, 1);
	use_is(&kept.all[0], 0, 0, 128);
	free(kept.all);
	kept = kept_of(k, 1);
	assert_int_equal(kept.n, 1);
	use_is(&kept.all[0], 1, 7, 70);
	free(kept.all);
	assert_int_equal(rows_of(k, 3), 0); /* what waits in the pool is nobody's */
	assert_int_equal(rows_of(k, 4), 1);
	now_ms += 10000;
	usage_tick(k->core, now_ms);
	assert_int_equal(rows_of(k, 2), 2);
	/* a clock that was set back does not stop it */
	now_ms -= 3600 * 1000;
	usage_tick(k->core, now_ms);
	assert_int_equal(rows_of(k, 2), 3);
}

/* What is old goes, also when there is no sandbox any more. */
static void t_forgotten(void **state)
{
	struct core_kit *k = *state;
	struct sandbox *sb = core_kit_box(k, 2, SANDBOX_RUNNING, 1, 100);
	usage_tick(k->core, now_ms);
	now_ms += USAGE_DAYS * DAY_MS;
	usage_tick(k->core, now_ms);
	assert_int_equal(rows_of(k, 2), 2);
	now_ms += 10000;
	usage_tick(k->core, now_ms);
	assert_int_equal(rows_of(k, 2), 2);
	assert_int_equal(sb->row.account, 2);
	k->core->count = 0;
	now_ms += (USAGE_DAYS + 1) * DAY_MS;
	usage_tick(k->core, now_ms);
	k->core->count = 1;
	assert_int_equal(rows_of(k, 2), 0);
}

static void t_peaks_and_days(void **state)
{
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_use peak, *all;
	size_t n;
	int64_t start = now_ms = now_ms / DAY_MS * DAY_MS;
	assert_int_equal(usage_peaks(k->core, 2, &peak, &err), 0);
	use_is(&peak, 0, 0, 0);
	struct sandbox *sb = core_kit_box(k, 2, SANDBOX_RUNNING, 9, 10);
	usage_tick(k->core, now_ms);
	sb->row.vcpus = 1;
	sb->row.memory_mb = 500;
	now_ms += DAY_MS / 2;
	usage_tick(k->core, now_ms);
	core_kit_box(k, 2, SANDBOX_RUNNING, 1, 1);
	now_ms += DAY_MS / 2;
	usage_tick(k->core, now_ms);
	assert_int_equal(usage_peaks(k->core, 2, &peak, &err), 0);
	assert_int_equal(peak.team, 2);
	use_is(&peak, 2, 9, 501);
	assert_int_equal(usage_peaks(k->core, 3, &peak, &err), 0);
	use_is(&peak, 0, 0, 0);
	assert_int_equal(usage_days(k->core, 2, start / 1000, now_ms / 1000 + 86400, &all, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_int_equal(all[0].at_s, start / 1000);
	use_is(&all[0], 2, 10, 510);
	assert_int_equal(all[1].at_s, start / 1000 + 86400);
	use_is(&all[1], 2, 2, 501);
	free(all);
	now_ms = start + USAGE_PEAK_DAYS * DAY_MS + 1000; /* the first is too old */
	assert_int_equal(usage_peaks(k->core, 2, &peak, &err), 0);
	use_is(&peak, 2, 2, 501);
	/* in buckets: the highest of each */
	assert_int_equal(usage_series(k->core, 2, 60 * 86400, 86400, &all, &n, &err), 0);
	assert_int_equal(n, 2);
	use_is(&all[0], 1, 9, 500);
	free(all);
}

static void t_ranges(void **state)
{
	static const char *const words[] = { "5m", "1h", "6h", "24h", "30d" };
	int64_t range, bucket, before = 0;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		assert_int_equal(usage_range(words[i], &range, &bucket), 0);
		assert_true(range > before && range % bucket == 0 && range / bucket >= 100 && range / bucket <= 200);
		before = range;
	}
	assert_int_equal(before, 30 * 86400);
	range = 7;
	assert_int_equal(usage_range("7d", &range, &bucket), -1);
	assert_int_equal(usage_range("", &range, &bucket), -1);
	assert_int_equal(range, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CORE_TEST(t_now),
		CORE_TEST(t_tick),
		CORE_TEST(t_forgotten),
		CORE_TEST(t_peaks_and_days),
		cmocka_unit_test(t_ranges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
