#include "daemon/core/usage.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { DAY_S = 86400 };

/* What one sandbox adds. False: it is nobody's, or over. */
static bool add(struct db_use *sum, const struct sandbox *sb)
{
	const struct db_sandbox *row = &sb->row;
	if (sb->state == SANDBOX_POOLED)
		return false;
	if (sandbox_state_is_up(sb->state)) {
		sum->running++;
		sum->vcpus += row->vcpus;
		sum->memory_mb += row->memory_mb;
	} else if (sb->state == SANDBOX_PAUSED) {
		sum->memory_mb += (row->memory_mb + 1) / 2;
	}
	return true;
}

void usage_now(const struct core *core, int64_t team, struct db_use *out)
{
	*out = (struct db_use){ .team = team, .at_s = clock_wall_ms() / 1000 };
	for (size_t i = 0; i < core->count; i++)
		if (core->boxes[i]->row.account == team)
			add(out, core->boxes[i]);
}

int usage_peaks(struct core *core, int64_t team, struct db_use *out, struct err *err)
{
	struct db_use *all;
	size_t n;
	int64_t since = clock_wall_ms() / 1000 - (int64_t)USAGE_PEAK_DAYS * DAY_S;
	*out = (struct db_use){ .team = team };
	/* one bucket that holds all of them */
	if (db_use_series(core->db, team, since, INT64_MAX, &all, &n, err))
		return -1;
	if (n > 0)
		*out = all[0];
	free(all);
	return 0;
}

int usage_range(const char *word, int64_t *range_s, int64_t *bucket_s)
{
	static const struct {
		const char *word;
		int64_t range, bucket;
	} ranges[] = { { "5m", 300, 3 }, { "1h", 3600, 30 }, { "6h", 21600, 180 }, { "24h", DAY_S, 720 },
		{ "30d", 30 * DAY_S, 21600 } };
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		if (strcmp(ranges[i].word, word) != 0)
			continue;
		*range_s = ranges[i].range;
		*bucket_s = ranges[i].bucket;
		return 0;
	}
	return -1;
}

/* NOLINTNEXTLINE(readability-function-size): whose, of which time, and the list */
int usage_series(
	struct core *core, int64_t team, int64_t range_s, int64_t bucket_s, struct db_use **out, size_t *n, struct err *err)
{
	return db_use_series(core->db, team, clock_wall_ms() / 1000 - range_s, bucket_s, out, n, err);
}

/* NOLINTNEXTLINE(readability-function-size): as usage_series */
int usage_days(struct core *core, int64_t team, int64_t since_s, int64_t until_s, struct db_use **out, size_t *n, struct err *err)
{
	return db_use_days(core->db, team, since_s, until_s, out, n, err);
}

/* ---- keeping it ---- */

static int by_team(const void *a, const void *b)
{
	const struct sandbox *const *x = a, *const *y = b;
	int64_t t = (*x)->row.account, u = (*y)->row.account;
	return t < u ? -1 : t > u;
}

static void keep(struct core *core, const struct db_use *use)
{
	struct err err = ERR_INIT;
	if (db_use_insert(core->db, use, &err))
		log_warn("usage", "%s", err.msg);
}

/* A row for each team that has any. */
static void sample(struct core *core, int64_t now)
{
	auto_free struct sandbox **all = mem_array(core->count, sizeof(struct sandbox *));
	memcpy(all, core->boxes, core->count * sizeof(struct sandbox *));
	qsort(all, core->count, sizeof(struct sandbox *), by_team);
	for (size_t i = 0; i < core->count;) {
		struct db_use use = { .team = all[i]->row.account, .at_s = now };
		bool any = false;
		for (; i < core->count && all[i]->row.account == use.team; i++)
			any |= add(&use, all[i]);
		if (any)
			keep(core, &use);
	}
}

void usage_tick(struct core *core, int64_t wall_ms)
{
	int64_t now = wall_ms / 1000, since = now - core->used_s;
	struct err err = ERR_INIT;
	if (since >= 0 && since < USAGE_STEP_S) /* less than 0: the clock was set back */
		return;
	core->used_s = now;
	if (core->count)
		sample(core, now);
	if (db_use_prune(core->db, now - (int64_t)USAGE_DAYS * DAY_S, &err))
		log_warn("usage", "%s", err.msg);
}
