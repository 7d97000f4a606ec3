#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/points.h"
#include "daemon/core/metrics.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { STATS_QUEUE_MAX = 1 << 20 };

/* How a figure is said, and to which part of its unit: more would be noise. */
static const struct {
	const char *key;
	double digits;
} figures[FIGURES] = {
	[FIGURE_CPU] = { "cpuPercent", 100 },
	[FIGURE_PRIVATE] = { "privateMemoryKb", 1 },
	[FIGURE_RESIDENT] = { "residentMemoryKb", 1 },
	[FIGURE_DISK] = { "diskKb", 1 },
	[FIGURE_READ] = { "readBytesPerSecond", 1 },
	[FIGURE_WRITTEN] = { "writtenBytesPerSecond", 1 },
	[FIGURE_RECEIVED] = { "receivedBytesPerSecond", 1 },
	[FIGURE_SENT] = { "sentBytesPerSecond", 1 },
};

/* NULL: nothing is known. */
static void write_figures(struct jw *w, const struct point *p)
{
	for (size_t i = 0; i < FIGURES; i++) {
		jw_key(w, figures[i].key);
		if (p && !isnan(p->v[i]))
			jw_num(w, round((double)p->v[i] * figures[i].digits) / figures[i].digits);
		else
			jw_null(w);
	}
}

/* ---- history ---- */

static void write_point(struct jw *w, const struct point *p)
{
	jw_obj(w);
	api_write_time(w, "time", p->wall_ms);
	write_figures(w, p);
	jw_obj_end(w);
}

static void reply_metrics(struct http_req *r, const struct sandbox *sb, const struct point *list, size_t n, const struct err *err)
{
	const char *range = http_query(r, "range");
	enum series_tier tier = SERIES_FINE;
	int64_t range_ms = 0;
	if (err) {
		http_reply_err(r, err);
		return;
	}
	if (!sb && !api_sandbox(r))
		return;
	metrics_range(range, &tier, &range_ms);
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "range", range);
	jw_kint(&w, "intervalMs", metrics_interval_ms(tier));
	jw_key(&w, "points");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_point(&w, &list[i]);
	jw_arr_end(&w);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

void sbx_getSandboxMetrics(struct http_req *r)
{
	const struct sandbox *sb = api_sandbox(r);
	if (sb)
		api_points(r, sb, http_query(r, "range"), reply_metrics);
}

/* ---- now ---- */

struct stats_call {
	struct http_req *req;
	struct metrics_follow *follow;
	char **ids; /* NULL-terminated; NULL = all that run */
};

static void call_free(struct stats_call *call)
{
	metrics_unfollow(call->follow);
	api_free_list(call->ids);
	free(call);
}

static void on_stats_over(struct http_req *r, bool delivered)
{
	(void)delivered;
	call_free(http_user(r));
}

static void write_row(struct jw *w, const struct sandbox *sb)
{
	const struct db_sandbox *row = sandbox_row(sb);
	struct point now;
	bool known = metrics_now(sb, &now) == 0;
	jw_obj(w);
	jw_kstr(w, "id", row->id);
	jw_kstr(w, "name", row->name);
	jw_kstr(w, "state", sandbox_state_name(sandbox_state(sb)));
	jw_kint(w, "vcpus", row->vcpus);
	jw_kint(w, "memoryMb", row->memory_mb);
	write_figures(w, known ? &now : NULL);
	jw_obj_end(w);
}

/* Named ones are there in whatever state, as long as they exist. */
static bool is_wanted(const struct stats_call *call, const struct sandbox *sb)
{
	int64_t team = api_scope(call->req);
	if (!call->ids)
		return sandbox_state(sb) == SANDBOX_RUNNING && (team == TEAM_ANY || team == sandbox_row(sb)->account);
	for (size_t i = 0; call->ids[i]; i++)
		if (!strcmp(call->ids[i], sandbox_row(sb)->id))
			return true;
	return false;
}

/* One line; how many rows are in it. */
static size_t write_stats(struct stats_call *call)
{
	struct core *core = api_of(call->req)->core;
	size_t rows = 0;
	auto_buf line = BUF_INIT;
	struct jw w;
	jw_init(&w, &line);
	jw_obj(&w);
	api_write_time(&w, "time", clock_wall_ms());
	jw_key(&w, "sandboxes");
	jw_arr(&w);
	for (size_t i = sandbox_count(core); i-- > 0;) {
		struct sandbox *sb = sandbox_at(core, i);
		if (!is_wanted(call, sb))
			continue;
		rows++;
		write_row(&w, sb);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	buf_ch(&line, '\n');
	if (http_stream_write(call->req, line.p, line.len) > STATS_QUEUE_MAX)
		http_stream_abort(call->req); /* a follower that does not read */
	return rows;
}

static void on_second(void *arg)
{
	struct stats_call *call = arg;
	if (write_stats(call) > 0 || !call->ids)
		return;
	metrics_unfollow(call->follow); /* all that were asked for are gone */
	call->follow = NULL;
	http_stream_end(call->req);
}

/* The ids of a list of ids and names. NULL with err when there is no such sandbox. */
static char **find_all(struct core *core, int64_t team, const char *list, struct err *err)
{
	size_t commas = 0, n = 0;
	for (const char *p = list; *p; p++)
		commas += *p == ',';
	char **ids = mem_array(commas + 2, sizeof(*ids));
	while (list) {
		size_t len = strcspn(list, ",");
		auto_free char *word = mem_strndup(list, len);
		struct sandbox *sb = sandbox_find(core, team, word, err);
		if (!sb) {
			api_free_list(ids);
			return NULL;
		}
		ids[n++] = mem_strdup(sandbox_row(sb)->id);
		list = list[len] ? list + len + 1 : NULL;
	}
	return ids;
}

void sbx_streamStats(struct http_req *r)
{
	struct core *core = api_of(r)->core;
	const char *list = http_query(r, "sandboxes");
	struct err err = ERR_INIT;
	char **ids = list ? find_all(core, api_scope(r), list, &err) : NULL;
	if (list && !ids) {
		http_reply_err(r, &err);
		return;
	}
	struct stats_call *call = mem_zalloc(sizeof(*call));
	*call = (struct stats_call){ .req = r, .ids = ids };
	http_set_user(r, call);
	http_on_done(r, on_stats_over);
	http_stream_begin(r, 200, "application/x-ndjson", -1, NULL);
	(void)write_stats(call); /* they exist, since they were found just now */
	if (http_query_bool(r, "follow", false))
		call->follow = metrics_follow(core, on_second, call);
	else
		http_stream_end(r);
}
