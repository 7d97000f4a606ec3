/*
 * usage: how many sandboxes a team runs and what they reserve, now and over time.
 *
 * Every USAGE_STEP_S seconds a row is kept for each team that has sandboxes, for USAGE_DAYS days. Memory counts whole for what
 * runs or comes up, and half for what is paused. Source: reference/wrenn.md 4.6. Thread: the loop's.
 */
#ifndef SBX_CORE_USAGE_H
#define SBX_CORE_USAGE_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/core/core.h"
#include "daemon/db/audit.h"
#include "shared/base/err.h"

enum { USAGE_STEP_S = 10, USAGE_DAYS = 60, USAGE_PEAK_DAYS = 30 };

/* At this moment. */
void usage_now(const struct core *core, int64_t team, struct db_use *out);
/* The highest figures of USAGE_PEAK_DAYS days. */
int usage_peaks(struct core *core, int64_t team, struct db_use *out, struct err *err);
/* "5m", "1h", "6h", "24h" or "30d": how far back, and how long a bucket is. -1 for another word. */
int usage_range(const char *word, int64_t *range_s, int64_t *bucket_s);
/* The highest of each bucket that has any, oldest first; free the array. */
int usage_series(
	struct core *core, int64_t team, int64_t range_s, int64_t bucket_s, struct db_use **out, size_t *n, struct err *err);
/* Of each UTC day: the sums of what was sampled every USAGE_STEP_S seconds. */
int usage_days(struct core *core, int64_t team, int64_t since_s, int64_t until_s, struct db_use **out, size_t *n, struct err *err);

/* Once a second, for core.c. */
void usage_tick(struct core *core, int64_t wall_ms);

#endif
