/*
 * metrics: what sandboxes use, sampled twice a second from the host's side alone; no guest is woken for it.
 *
 * One timer for all sandboxes, which runs only while a VM does or somebody follows. The points of a sandbox are kept in memory
 * (series.h) for as long as the sandbox exists, also while it does not run. They are written to its folder (series_file.h) when it
 * is paused and when the daemon ends, and read by the daemon that starts next: a daemon that is killed loses what was sampled since
 * the last of these, and nothing else. Thread: the loop's, unless it says otherwise.
 */
#ifndef SBX_CORE_METRICS_H
#define SBX_CORE_METRICS_H

#include "daemon/core/core.h"
#include "daemon/core/sandbox.h"
#include "daemon/core/series.h"

struct metrics;
struct metrics_follow;
struct metrics_box; /* what is kept for one sandbox */

/* ---- for the rest of core ---- */
struct metrics *metrics_new(struct core *core);
/* A sandbox runs, or may: see to it that it is sampled. */
void metrics_wake(struct metrics *m);
/* No callback follows; the handle closes by the loop. */
void metrics_close(struct metrics *m);
void metrics_box_free(struct metrics_box *box); /* NULL is fine */

#define METRICS_FILE "metrics" /* in the folder of a sandbox */
/* Have what was saved, for a sandbox that was not sampled yet. A file that is damaged or none of ours is warned of, and ignored; of
 * one that is so old that nobody can ask for it any more there is nothing. */
void metrics_load(struct sandbox *sb);
/* Save what was not saved yet; a failure is warned of. */
void metrics_save(struct sandbox *sb);
/* The same in another thread, as the sandbox pauses: what is to be saved, or NULL when that is nothing; the saving, from any
 * thread; whether it was, back in the loop. NULL is fine for all of them. */
struct metrics_copy *metrics_copy(const struct sandbox *sb);
void metrics_copy_save(struct metrics_copy *copy);
void metrics_copied(struct sandbox *sb, const struct metrics_copy *copy);
void metrics_copy_free(void *copy);

/* ---- for its users ---- */

/* How far back "5m", "10m", "1h", "2h", "6h", "12h" or "24h" reach, and in what resolution. -1 for another word. */
int metrics_range(const char *word, enum series_tier *tier, int64_t *range_ms);
int64_t metrics_interval_ms(enum series_tier tier);
/* The points of the last range_ms, oldest first. */
void metrics_each(const struct sandbox *sb, enum series_tier tier, int64_t range_ms, series_cb *cb, void *arg);
/* The same of one that another machine carries, which is asked for them: cb comes once, from the loop. -1: it cannot be asked. */
typedef void metrics_cb(void *arg, const struct point *list, size_t n, const struct err *err);
int metrics_ask(const struct sandbox *sb, const char *range, metrics_cb *cb, void *arg, struct err *err);
/* The mean of the last second or so: 0, or -1 when it does not run or has just begun to. Of one that another machine carries: what
 * that said last, while somebody follows. */
int metrics_now(const struct sandbox *sb, struct point *out);

/* cb once a second from now on, after the sandboxes were sampled. */
struct metrics_follow *metrics_follow(struct core *core, void (*cb)(void *arg), void *arg);
void metrics_unfollow(struct metrics_follow *f); /* NULL is fine; also from inside its cb */

#endif
