#include "daemon/core/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/internal.h"
#include "daemon/core/remote.h"
#include "daemon/core/remote_use.h"
#include "daemon/core/series_file.h"
#include "daemon/vm/meter.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { FOLLOW_EVERY = 2, NOW_MS = 1250, DAY_MS = 86400000 }; /* ticks; two samples, and what the timer may be late */

struct metrics_follow {
	struct metrics *metrics;
	struct metrics_follow *next;
	void (*cb)(void *arg);
	void *arg; /* cb NULL: left, to be freed when nobody walks the list */
};

struct metrics {
	struct core *core;
	uv_timer_t timer;
	struct metrics_follow *followers;
	unsigned ticks;
	bool running, walking;
};

struct metrics_box {
	struct meter meter;
	uint64_t start_time; /* of the process that meter is open for */
	struct meter_reading last;
	int64_t last_us; /* when that was, 0 = there is none */
	struct series series;
	bool saved; /* all of it */
};

/* ---- one sandbox ---- */

/* Growth in one second, or NAN; a sum that falls (it never should) is no growth. */
static float rate(int64_t before, int64_t now, int64_t elapsed_us)
{
	if (before < 0 || now < 0)
		return NAN;
	return now > before ? (float)((double)(now - before) * 1e6 / (double)elapsed_us) : 0;
}

static struct point point_between(const struct meter_reading *a, const struct meter_reading *b, int64_t elapsed_us, int64_t wall_ms)
{
	struct point p = { .wall_ms = wall_ms };
	p.v[FIGURE_CPU] = rate(a->cpu_ns, b->cpu_ns, elapsed_us) / 1e7f; /* from ns a second to per cent */
	p.v[FIGURE_PRIVATE] = (float)b->private_kb;
	p.v[FIGURE_RESIDENT] = (float)b->resident_kb;
	p.v[FIGURE_DISK] = (float)b->disk_kb;
	p.v[FIGURE_READ] = rate(a->read_bytes, b->read_bytes, elapsed_us);
	p.v[FIGURE_WRITTEN] = rate(a->written_bytes, b->written_bytes, elapsed_us);
	p.v[FIGURE_RECEIVED] = rate(a->received_bytes, b->received_bytes, elapsed_us);
	p.v[FIGURE_SENT] = rate(a->sent_bytes, b->sent_bytes, elapsed_us);
	return p;
}

static void let_go(struct metrics_box *box)
{
	meter_close(&box->meter);
	box->start_time = 0;
	box->last_us = 0;
}

/* The meter follows the sandbox to another process, as after a resume. */
static bool metered(struct sandbox *sb)
{
	struct metrics_box *box = sb->metrics;
	if (box->start_time && box->start_time == vm_start_time(sb->vm) && box->meter.pid == vm_pid(sb->vm))
		return true;
	let_go(box);
	if (!meter_open(&box->meter, vm_pid(sb->vm), sb->dir, sb->row.net != NET_NONE))
		return false;
	box->start_time = vm_start_time(sb->vm);
	return true;
}

/* True while it has to be looked at again. */
static bool sample(struct sandbox *sb, int64_t now_us, int64_t wall_ms)
{
	if (sb->state != SANDBOX_RUNNING || !sb->vm) {
		if (sb->metrics)
			let_go(sb->metrics);
		return false;
	}
	if (!sb->metrics) {
		sb->metrics = mem_zalloc(sizeof(*sb->metrics));
		series_init(&sb->metrics->series);
	}
	struct metrics_box *box = sb->metrics;
	struct meter_reading reading;
	if (!metered(sb) || !meter_read(&box->meter, &reading)) {
		let_go(box); /* it is ending, and the next tick finds it ended */
		return true;
	}
	if (box->last_us && now_us > box->last_us) {
		struct point p = point_between(&box->last, &reading, now_us - box->last_us, wall_ms);
		series_add(&box->series, &p);
		box->saved = false;
	}
	box->last = reading;
	box->last_us = now_us;
	return true;
}

void metrics_box_free(struct metrics_box *box)
{
	if (!box)
		return;
	let_go(box);
	series_free(&box->series);
	free(box);
}

/* ---- what outlives the daemon ---- */

struct metrics_copy {
	char *path;
	struct buf data;
	bool failed;
};

struct metrics_copy *metrics_copy(const struct sandbox *sb)
{
	if (!sb->metrics || sb->metrics->saved)
		return NULL;
	struct metrics_copy *copy = mem_zalloc(sizeof(*copy));
	copy->path = fs_join(sb->dir, METRICS_FILE);
	buf_init(&copy->data);
	series_write(&sb->metrics->series, &copy->data);
	return copy;
}

void metrics_copy_save(struct metrics_copy *copy)
{
	struct err err = ERR_INIT;
	if (!copy)
		return;
	copy->failed = buf_failed(&copy->data) || fs_write_atomic(copy->path, copy->data.p, copy->data.len, 0600, &err);
	if (copy->failed)
		log_warn("core", "what was used is not saved: %s", err.code ? err.msg : "no memory");
}

void metrics_copied(struct sandbox *sb, const struct metrics_copy *copy)
{
	if (copy && sb->metrics)
		sb->metrics->saved = !copy->failed;
}

void metrics_copy_free(void *arg)
{
	struct metrics_copy *copy = arg;
	if (!copy)
		return;
	buf_free(&copy->data);
	free(copy->path);
	free(copy);
}

void metrics_save(struct sandbox *sb)
{
	struct metrics_copy *copy = metrics_copy(sb);
	metrics_copy_save(copy);
	metrics_copied(sb, copy);
	metrics_copy_free(copy);
}

static void note(void *arg, const struct point *p)
{
	(void)p;
	*(bool *)arg = true;
}

void metrics_load(struct sandbox *sb)
{
	auto_free char *path = fs_join(sb->dir, METRICS_FILE);
	auto_buf data = BUF_INIT;
	struct err err = ERR_INIT;
	struct series series = { 0 };
	bool recent = false;

	if (sb->metrics || !fs_exists(path))
		return;
	if (fs_read(path, SERIES_FILE_MAX, &data, &err) || series_read(data.p, data.len, &series, &err)) {
		log_warn("core", "'%s' is ignored: %s", path, err.msg);
		return;
	}
	series_each(&series, SERIES_FINE, clock_wall_ms() - DAY_MS, note, &recent);
	if (!recent) {
		series_free(&series);
		return;
	}
	sb->metrics = mem_zalloc(sizeof(*sb->metrics));
	sb->metrics->series = series;
	sb->metrics->saved = true;
}

/* ---- all of them ---- */

static void sweep_followers(struct metrics *m)
{
	for (struct metrics_follow **p = &m->followers; *p;) {
		struct metrics_follow *f = *p;
		if (f->cb) {
			p = &f->next;
			continue;
		}
		*p = f->next;
		free(f);
	}
}

static void tell_followers(struct metrics *m)
{
	m->walking = true;
	for (struct metrics_follow *f = m->followers; f; f = f->next)
		if (f->cb)
			f->cb(f->arg);
	m->walking = false;
	sweep_followers(m);
	if (m->followers)
		remote_use_ask(m->core); /* for the next time */
}

static void on_tick(uv_timer_t *timer)
{
	struct metrics *m = timer->data;
	int64_t now_us = clock_mono_us(), wall_ms = clock_wall_ms();
	bool needed = false;
	for (size_t i = 0; i < m->core->count; i++)
		needed |= sample(m->core->boxes[i], now_us, wall_ms);
	if (m->ticks++ % FOLLOW_EVERY == 0)
		tell_followers(m);
	if (needed || m->followers)
		return;
	uv_timer_stop(&m->timer);
	m->running = false;
}

struct metrics *metrics_new(struct core *core)
{
	struct metrics *m = mem_zalloc(sizeof(*m));
	m->core = core;
	uv_timer_init(core->config.loop, &m->timer);
	m->timer.data = m;
	return m;
}

void metrics_wake(struct metrics *m)
{
	if (m->running)
		return;
	m->running = true;
	uv_timer_start(&m->timer, on_tick, 0, SERIES_FINE_MS);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void metrics_close(struct metrics *m)
{
	for (struct metrics_follow *f = m->followers; f; f = f->next)
		f->cb = NULL;
	sweep_followers(m);
	uv_close((uv_handle_t *)&m->timer, on_closed);
}

/* ---- its users ---- */

int metrics_range(const char *word, enum series_tier *tier, int64_t *range_ms)
{
	static const struct {
		const char *word;
		enum series_tier tier;
		int64_t minutes;
	} ranges[] = {
		{ "5m", SERIES_FINE, 5 },
		{ "10m", SERIES_FINE, 10 },
		{ "1h", SERIES_MIDDLE, 60 },
		{ "2h", SERIES_MIDDLE, 120 },
		{ "6h", SERIES_COARSE, 360 },
		{ "12h", SERIES_COARSE, 720 },
		{ "24h", SERIES_COARSE, 1440 },
	};
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		if (strcmp(ranges[i].word, word) != 0)
			continue;
		*tier = ranges[i].tier;
		*range_ms = ranges[i].minutes * 60000;
		return 0;
	}
	return -1;
}

int64_t metrics_interval_ms(enum series_tier tier)
{
	static const int64_t intervals[SERIES_TIERS] = { SERIES_FINE_MS, SERIES_MIDDLE_MS, SERIES_COARSE_MS };
	return intervals[tier];
}

void metrics_each(const struct sandbox *sb, enum series_tier tier, int64_t range_ms, series_cb *cb, void *arg)
{
	if (sb->metrics)
		series_each(&sb->metrics->series, tier, clock_wall_ms() - range_ms, cb, arg);
}

int metrics_now(const struct sandbox *sb, struct point *out)
{
	if (sb->state != SANDBOX_RUNNING)
		return -1;
	if (is_remote(sb))
		return remote_use_now(sb, out);
	return !sb->metrics ? -1 : series_mean(&sb->metrics->series, clock_wall_ms() - NOW_MS, out);
}

struct metrics_follow *metrics_follow(struct core *core, void (*cb)(void *arg), void *arg)
{
	struct metrics *m = core->metrics;
	struct metrics_follow *f = mem_zalloc(sizeof(*f));
	*f = (struct metrics_follow){ .metrics = m, .next = m->followers, .cb = cb, .arg = arg };
	m->followers = f;
	metrics_wake(m);
	remote_use_ask(core);
	return f;
}

void metrics_unfollow(struct metrics_follow *f)
{
	if (!f)
		return;
	f->cb = NULL;
	if (!f->metrics->walking)
		sweep_followers(f->metrics);
}
